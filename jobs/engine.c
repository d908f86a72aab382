#include "jobs/engine.h"

#include "base/clock.h"
#include "base/own.h"
#include "jobs/engine_internal.h"
#include "scheduler/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RUNNING_MAX 10000
#define BACKLOG_MAX 4096
#define CRASHES_MAX 3
#define WORKER_MAX 100000
#define HTTP_MAX 2000
#define FILE_MAX 16
#define EXEC_PER_CPU 4
#define EXEC_MIN 16

OWN_DEFINE(struct job, job_free);
OWN_DEFINE(struct spec, spec_free);

/* ----- limits ----- */

static uint32_t kind_default(enum job_kind kind)
{
    uint32_t exec = scheduler_usable_cpus() * EXEC_PER_CPU;

    switch (kind) {
    case KIND_HTTP:
        return HTTP_MAX;
    case KIND_FILE:
        return FILE_MAX;
    case KIND_WORKER:
        return WORKER_MAX;
    default:
        return exec > EXEC_MIN ? exec : EXEC_MIN;
    }
}

/* A kind that nobody runs is never started; workers run theirs elsewhere. */
struct core_limits engine_core_limits(const struct engine_options *o,
                                      const struct kind *const *kind_table)
{
    struct core_limits limits = {
        .running_max = o->running_max ? o->running_max : RUNNING_MAX,
        .jobs_waiting_max = o->jobs_waiting_max,
        .crashes_max = o->crashes_max ? o->crashes_max : CRASHES_MAX,
    };

    for (enum job_kind kind = KIND_EXEC; kind < KIND_COUNT; kind++) {
        if (kind_table[kind] || kind == KIND_WORKER)
            limits.kind_max[kind] = o->kind_max[kind] ? o->kind_max[kind] : kind_default(kind);
    }
    return limits;
}

/* ----- requests ----- */

static bool is_submission(const struct request *request)
{
    return request->kind == REQUEST_STEP && !request->items &&
           request->item.input.kind == INPUT_SUBMIT;
}

/* Under the lock. */
static int may_enter(const struct engine *e, const struct request *request)
{
    uint32_t max = e->options.backlog_max ? e->options.backlog_max : BACKLOG_MAX;

    if (e->inbox.draining && (is_submission(request) || request->kind == REQUEST_ASK))
        return ENGINE_DRAINING;
    return e->inbox.len >= max ? ENGINE_FULL : ENGINE_OK;
}

/* Under the lock, which the end of an attempt must be the last to touch: the engine may be gone
 * as soon as that is stored. */
static void wake(struct inbox *inbox)
{
    if (inbox->parked)
        event_set(&inbox->call);
    else if (inbox->sleeps)
        pthread_cond_signal(&inbox->wake);
    inbox->parked = inbox->sleeps = false;
}

int engine_post(struct engine *e, struct request *request)
{
    struct inbox *inbox = &e->inbox;

    pthread_mutex_lock(&inbox->lock);

    int r = request->run ? ENGINE_OK : may_enter(e, request);

    if (r == ENGINE_OK) {
        list_push_back(&inbox->requests, &request->link);
        if (!request->run)
            inbox->len++;
        wake(inbox);
    }
    pthread_mutex_unlock(&inbox->lock);
    return r;
}

int engine_ask(struct engine *e, struct request *request)
{
    int r;

    event_init(&request->done);
    r = engine_post(e, request);
    if (r == ENGINE_OK)
        event_wait_shielded(&request->done);
    return r;
}

int engine_answer_of(int answer)
{
    switch (answer) {
    case CORE_OK:
        return ENGINE_OK;
    case CORE_NOT_FOUND:
        return ENGINE_NOT_FOUND;
    case CORE_STOPPING:
        return ENGINE_STOPPING;
    case CORE_CONFLICT:
        return ENGINE_CONFLICT;
    case CORE_FULL:
        return ENGINE_FULL;
    case CORE_STALE:
        return ENGINE_SUPERSEDED;
    case COMMIT_KEY_REUSED:
        return ENGINE_KEY_REUSED;
    case -ENOSPC:
    case -EROFS:
    case -EIO:
    case -EBUSY:
        return ENGINE_UNWRITABLE;
    default:
        return answer;
    }
}

static int step(struct engine *e, struct request *request)
{
    int r = engine_ask(e, request);

    return r == ENGINE_OK ? engine_answer_of(request->item.answer) : r;
}

/* ----- submit ----- */

static void specs_free(struct spec **specs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        spec_free(specs[i]);
}

static void submissions_free(struct core_submission *items, size_t count)
{
    for (size_t i = 0; items && i < count; i++)
        job_free(items[i].job);
    free(items);
}

static struct core_submission *submissions_new(struct spec **specs, size_t count)
{
    struct core_submission *items = calloc(count, sizeof *items);
    int64_t now_ms = clock_wall_ms();

    for (size_t i = 0; items && i < count; i++) {
        items[i].job = spec_job(specs[i], now_ms);
        items[i].hold = specs[i]->hold;
        items[i].relaxed = specs[i]->relaxed;
        items[i].usual = spec_terms_are_usual(specs[i]);
        if (!items[i].job) {
            submissions_free(items, count);
            return NULL;
        }
    }
    return items;
}

static int submit(struct engine *e, struct core_submission *items, size_t count,
                  const struct submit_options *options, uint64_t *ret_first_id,
                  bool *ret_replayed)
{
    struct request request = {
        .kind = REQUEST_STEP,
        .item = {.input = {.kind = INPUT_SUBMIT, .submit = {items, count, 0}}}};
    int r;

    if (options) {
        request.item.key = options->key;
        request.item.fingerprint = options->fingerprint;
    }
    r = step(e, &request);
    if (r != ENGINE_OK)
        return r;
    *ret_first_id = request.item.input.submit.ret_first_id;
    if (ret_replayed)
        *ret_replayed = request.item.replayed;
    return ENGINE_OK;
}

int engine_submit_one(struct engine *e, struct spec *spec, const struct submit_options *options,
                      struct job **ret, bool *ret_replayed)
{
    struct core_submission *items = submissions_new(&spec, 1);
    uint64_t id = 0;
    int r = -ENOMEM;

    spec_free(spec);
    *ret_replayed = false;
    if (items) {
        items->wanted = true;
        r = submit(e, items, 1, options, &id, ret_replayed);
    }
    if (r == ENGINE_OK && *ret_replayed)
        r = engine_read_job(e, id, false, ret);
    else if (r == ENGINE_OK)
        *ret = TAKE(items->job);
    submissions_free(items, 1);
    return r;
}

int engine_submit(struct engine *e, struct spec **specs, size_t count,
                  const struct submit_options *options, uint64_t *ret_first_id,
                  bool *ret_replayed)
{
    struct core_submission *items = NULL;
    int r = -EINVAL;

    if (count > 0 && count <= ENGINE_SUBMIT_MAX) {
        items = submissions_new(specs, count);
        r = items ? submit(e, items, count, options, ret_first_id, ret_replayed) : -ENOMEM;
    }
    specs_free(specs, count);
    submissions_free(items, count);
    return r;
}

/* ----- commands ----- */

/* The core does not know the job: it never was, or it has ended. */
static int answer_ended(struct engine *e, uint64_t id, struct job **ret)
{
    OWN(job_free) struct job *job = NULL;
    int r = engine_read_job(e, id, false, &job);

    if (r != ENGINE_OK)
        return r;
    r = job_state_is_final(job->state) ? ENGINE_FINAL : ENGINE_CONFLICT;
    *ret = TAKE(job);
    return r;
}

/* The job as it is after the step; its answer stands even if it cannot be read. */
static int command(struct engine *e, struct request *request, uint64_t id, struct job **ret)
{
    int r = step(e, request), read;

    if (r == ENGINE_NOT_FOUND)
        return answer_ended(e, id, ret);
    if (r != ENGINE_OK && r != ENGINE_STOPPING && r != ENGINE_CONFLICT)
        return r;
    read = engine_read_job(e, id, false, ret);
    return read == ENGINE_OK ? r : read;
}

static int command_plain(struct engine *e, enum core_input_kind kind, uint64_t id,
                         struct job **ret)
{
    struct request request = {.kind = REQUEST_STEP,
                              .item = {.input = {.kind = kind, .id = id}}};

    return command(e, &request, id, ret);
}

/* Cancelling what is cancelled is no conflict. */
int engine_cancel(struct engine *e, uint64_t id, const struct cancel_options *options,
                  struct job **ret)
{
    int64_t grace_ms = options ? options->grace_ms : -1;
    struct request request = {.kind = REQUEST_STEP, .item = {.input = {.kind = INPUT_CANCEL}}};
    int r;

    request.item.input.cancel.id = id;
    request.item.input.cancel.grace_ms = options && options->force ? 0 : grace_ms;
    r = command(e, &request, id, ret);
    return r == ENGINE_FINAL && (*ret)->state == JOB_CANCELLED ? ENGINE_OK : r;
}

int engine_hold(struct engine *e, uint64_t id, struct job **ret)
{
    return command_plain(e, INPUT_HOLD, id, ret);
}

int engine_release(struct engine *e, uint64_t id, struct job **ret)
{
    return command_plain(e, INPUT_RELEASE, id, ret);
}

/* The same work again, at once: what the first one's delay or hold was for is past. */
static int redrive(struct engine *e, const struct job *old, struct job **ret)
{
    OWN(spec_free) struct spec *spec = NULL;
    struct core_submission item = {.job = NULL};
    struct spec_fault fault;
    uint64_t id;
    int r = spec_from_text(old->spec, strlen(old->spec), &spec, &fault);

    if (r < 0)
        return r;
    item.relaxed = spec->relaxed;
    item.usual = spec_terms_are_usual(spec);
    item.job = spec_job(spec, clock_wall_ms());
    if (!item.job)
        return -ENOMEM;
    item.job->run_at_ms = 0;
    item.job->retry_of = old->id;
    r = submit(e, &item, 1, NULL, &id, NULL);
    job_free(item.job);
    return r == ENGINE_OK ? engine_read_job(e, id, false, ret) : r;
}

int engine_retry(struct engine *e, uint64_t id, struct job **ret)
{
    OWN(job_free) struct job *job = NULL;
    int r = command_plain(e, INPUT_RETRY_NOW, id, &job);

    if (r == ENGINE_FINAL)
        return redrive(e, job, ret);
    if (job)
        *ret = TAKE(job);
    return r;
}

static int64_t limit_of(int64_t asked)
{
    return asked > UINT32_MAX ? UINT32_MAX : asked;
}

int engine_queue_set(struct engine *e, const char *name, const struct queue_settings *settings)
{
    struct request request = {.kind = REQUEST_STEP,
                              .item = {.input = {.kind = INPUT_QUEUE_SET}}};

    request.item.input.queue.name = name;
    request.item.input.queue.concurrency = limit_of(settings->concurrency);
    request.item.input.queue.key_concurrency = limit_of(settings->key_concurrency);
    request.item.input.queue.paused = settings->paused;
    return step(e, &request);
}

/* ----- looks ----- */

struct queues_look {
    struct queue_list list;
    int result;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct queue_view *)a)->record.name,
                  ((const struct queue_view *)b)->record.name);
}

static bool view_fill(struct queue_view *view, const struct core_queue *q, int64_t now_ms)
{
    *view = (struct queue_view){.record = *q->record};
    view->record.name = strdup(q->record->name);
    for (enum job_state s = JOB_HELD; s < JOB_STATE_COUNT; s++)
        view->counts[s] = q->counts[s] + q->record->finished[s];
    if (q->oldest_at_ms && q->oldest_at_ms < now_ms)
        view->oldest_ms = now_ms - q->oldest_at_ms;
    return view->record.name != NULL;
}

static void look_queues(struct engine *e, void *ctx)
{
    struct queues_look *look = ctx;
    struct core *core = commit_core(e->rounds.commit);
    struct core_queue q;
    size_t pos = 0, count = 0;

    while (core_queue_next(core, &pos, &q))
        count++;
    look->list.items = calloc(count ? count : 1, sizeof *look->list.items);
    look->result = look->list.items ? 0 : -ENOMEM;
    pos = 0;
    while (look->result == 0 && core_queue_next(core, &pos, &q)) {
        if (view_fill(&look->list.items[look->list.count], &q, clock_wall_ms()))
            look->list.count++;
        else
            look->result = -ENOMEM;
    }
}

int engine_queues(struct engine *e, struct queue_list *ret)
{
    struct queues_look look = {.result = 0};
    struct request request = {.kind = REQUEST_LOOK, .look = look_queues, .ctx = &look};
    int r = engine_ask(e, &request);

    if (r == ENGINE_OK)
        r = look.result;
    if (r != ENGINE_OK) {
        queue_list_deinit(&look.list);
        return r;
    }
    qsort(look.list.items, look.list.count, sizeof *look.list.items, by_name);
    *ret = look.list;
    return ENGINE_OK;
}

void queue_list_deinit(struct queue_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].record.name);
    free(list->items);
    *list = (struct queue_list){.count = 0};
}

static void look_limits(struct engine *e, void *ctx)
{
    core_set_limits(commit_core(e->rounds.commit), ctx);
}

void engine_limits(struct engine *e, const struct engine_options *options)
{
    struct core_limits limits = engine_core_limits(options, e->kind_table);
    struct request request = {.kind = REQUEST_LOOK, .look = look_limits, .ctx = &limits};

    pthread_mutex_lock(&e->inbox.lock);
    e->options.backlog_max = options->backlog_max;
    pthread_mutex_unlock(&e->inbox.lock);
    while (engine_ask(e, &request) != ENGINE_OK)
        task_yield();
}

struct joblogs *engine_logs(struct engine *e)
{
    return e->logs;
}

void engine_stats(struct engine *e, struct engine_stats *ret)
{
    pthread_mutex_lock(&e->published_lock);
    *ret = e->published;
    pthread_mutex_unlock(&e->published_lock);
    pthread_mutex_lock(&e->inbox.lock);
    ret->backlog = e->inbox.len;
    ret->draining = e->inbox.draining;
    pthread_mutex_unlock(&e->inbox.lock);
    ret->workers_waiting = atomic_load(&e->rounds.askers_waiting);
    store_info(e->options.store, &ret->store);
}
