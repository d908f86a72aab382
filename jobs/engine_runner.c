/* engine_runner.c: attempts as tasks. The commit task makes a run for each start that is
 * stored; the dispatcher, a task, starts two tasks for it:
 *
 *   keeper   opens the attempt's group, waits for its end, and posts what came of it
 *   worker   in that group, with a large stack: parses the job, runs its kind
 *
 * so that a deadline or a cancel of the group reaches whatever the kind waits for, and the
 * keeper is there to tell the tale. A run is in runs.live from its making until its end is
 * posted; that is where a stop finds it, before, while or after its group is open. */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/own.h"
#include "jobs/engine_internal.h"
#include "scheduler/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

#define PATIENCE_MS 20
#define RETRY_UNREAD 10 /* attempts of a job whose own policy cannot be read */

/* ----- the worker ----- */

static void fail(struct run *run, enum outcome_kind kind, const char *what, int r)
{
    outcome_fail(&run->outcome, kind, REASON_SPAWN_FAILED, "%s: %s", what, err_text(r));
}

/* The job and its spec. What was accepted once cannot be refused now, unless another version
 * accepted it. */
static bool prepare(struct run *run)
{
    struct spec_fault fault = {.what = ""};
    int r = run->row ? 0 : engine_read_job(run->engine, run->id, true, &run->row);

    if (r != 0) {
        fail(run, OUTCOME_FAILED, "cannot read the job", r < 0 ? r : -ENOENT);
        return false;
    }
    r = run->row->spec
            ? spec_from_text(run->row->spec, strlen(run->row->spec), &run->spec, &fault)
            : -EINVAL;
    if (r == -EINVAL) {
        outcome_fail(&run->outcome, OUTCOME_FAILED_FINAL, REASON_SPAWN_FAILED,
                     "cannot understand the job: %s %s", fault.pointer, fault.what);
        return false;
    }
    if (r < 0) {
        fail(run, OUTCOME_FAILED, "cannot prepare the job", r);
        return false;
    }
    run->retry = run->spec->retry;
    return true;
}

/* The earlier of the attempt's own and the job's whole time; as wall time, 0 = none. */
static int64_t deadline_ms(struct run *run, int64_t now_ms)
{
    int64_t timeout_ms = run->spec->timeout_ms, until_ms = run->row->retry_until_at_ms;
    int64_t at_ms = timeout_ms ? now_ms + timeout_ms : 0;

    run->deadline_reason = REASON_TIMEOUT_ATTEMPT;
    if (until_ms && (!at_ms || until_ms < at_ms)) {
        run->deadline_reason = REASON_TIMEOUT_TOTAL;
        at_ms = until_ms;
    }
    return at_ms;
}

static int deadline_set(struct run *run, int64_t now_ms, int64_t at_ms)
{
    if (!at_ms)
        return 0;

    int64_t left_ms = at_ms > now_ms ? at_ms - now_ms : 0;

    return group_deadline(run->group, clock_mono_ns() + (uint64_t)left_ms * NS_PER_MS + 1);
}

static void run_kind(struct run *run, int64_t at_ms)
{
    struct engine *e = run->engine;
    struct attempt attempt = {.job = run->row,
                              .spec = run->spec,
                              .config = e->options.kinds,
                              .deadline_at_ms = at_ms,
                              .stop_grace_ms = &run->grace_ms,
                              .kinds = e->kinds};
    int r = joblog_start(e->logs, run->id, run->fence, &attempt.log);

    if (r < 0) {
        fail(run, OUTCOME_FAILED, "cannot open the log", r);
        return;
    }
    e->kind_table[run->kind]->run(&attempt, &run->outcome);
    joblog_end(attempt.log);
}

static int work(void *arg)
{
    struct run *run = arg;
    int64_t now_ms, at_ms;
    int r;

    if (!prepare(run))
        return 0;
    now_ms = clock_wall_ms();
    at_ms = deadline_ms(run, now_ms);
    r = deadline_set(run, now_ms, at_ms);
    if (r < 0)
        fail(run, OUTCOME_FAILED, "cannot set the deadline", r);
    else
        run_kind(run, at_ms);
    return 0;
}

/* ----- the keeper ----- */

static void group_publish(struct run *run, struct group *g)
{
    struct runs *runs = &run->engine->runs;

    pthread_mutex_lock(&runs->lock);
    run->group = g;
    if (g && atomic_load(&run->stop))
        group_cancel(g, -ECANCELED);
    pthread_mutex_unlock(&runs->lock);
}

/* A kind that was stopped knows only that; who stopped it is known here. A daemon that goes
 * down without a word (its group was cancelled) is a shutdown. */
static void why_stopped(struct run *run, bool late)
{
    int stop = atomic_load(&run->stop);

    if (run->outcome.kind != OUTCOME_STOPPED)
        return;
    if (run->outcome.reason == REASON_DEADLOCK)
        return;
    if (stop)
        run->outcome.reason = (enum job_reason)stop;
    else if (late)
        run->outcome.reason = run->deadline_reason;
    else
        run->outcome.reason = REASON_SHUTDOWN;
}

/* late: the deadline ended it. */
static void run_end(struct run *run, bool late)
{
    struct runs *runs = &run->engine->runs;

    why_stopped(run, late);
    job_free(run->row);
    spec_free(run->spec);
    run->row = NULL;
    run->spec = NULL;
    pthread_mutex_lock(&runs->lock);
    map_remove(&runs->live, run->id);
    pthread_mutex_unlock(&runs->lock);
    run->request.kind = REQUEST_STEP;
    run->request.run = run;
    run->request.item.input = (struct core_input){.kind = INPUT_FINISHED,
                                                  .finished = {.id = run->id,
                                                               .fence = run->fence,
                                                               .outcome = &run->outcome,
                                                               .retry = &run->retry}};
    engine_post(run->engine, &run->request);
}

static void not_started(struct run *run, int r)
{
    if (r == -ECANCELED)
        run->outcome.kind = OUTCOME_STOPPED;
    else
        fail(run, OUTCOME_FAILED, "cannot start a task", r);
}

static int keep(void *arg)
{
    struct run *run = arg;
    struct group g;
    bool late;
    int r;

    group_open(&g, "attempt");
    group_policy(&g, GROUP_COLLECT);
    group_publish(run, &g);
    r = group_go_stack(&g, work, run, STACK_LARGE);
    if (r < 0)
        not_started(run, r);
    late = group_wait(&g) == -ETIMEDOUT;
    group_publish(run, NULL);
    group_close(&g);
    run_end(run, late);
    return 0;
}

/* ----- the dispatcher ----- */

static struct run *next_run(struct runs *runs, bool *ret_stop)
{
    pthread_mutex_lock(&runs->lock);

    struct list *link = list_pop_front(&runs->starting);

    *ret_stop = runs->stop;
    pthread_mutex_unlock(&runs->lock);
    return link ? container_of(link, struct run, link) : NULL;
}

static void dispatch_one(struct engine *e, struct run *run)
{
    int r = group_go(e->group, keep, run);

    if (r == 0)
        return;
    not_started(run, r);
    run_end(run, false);
}

/* Its wait is shielded: while the daemon stops, starts that are stored already must still be
 * answered, if only by giving them back. */
static int dispatch(void *arg)
{
    struct engine *e = arg;
    struct runs *runs = &e->runs;
    bool stop = false;

    while (!stop) {
        struct run *run = next_run(runs, &stop);

        if (run) {
            dispatch_one(e, run);
            stop = false;
        } else if (!stop) {
            event_wait_shielded(&runs->wake);
        }
    }
    event_set(&runs->ended);
    return 0;
}

/* ----- public ----- */

int engine_runner_start(struct engine *e)
{
    int r = group_spawn(e->group, dispatch, e,
                        &(const struct task_options){.name = "dispatch attempts",
                                                     .site = __FILE__ ":" GROUP_STR(__LINE__),
                                                     .stack = STACK_NORMAL,
                                                     .background = true});

    e->runs.dispatching = r == 0;
    return r;
}

void engine_runner_stop(struct engine *e)
{
    struct runs *runs = &e->runs;

    if (!runs->dispatching)
        return;
    pthread_mutex_lock(&runs->lock);
    runs->stop = true;
    pthread_mutex_unlock(&runs->lock);
    event_set(&runs->wake);
    event_wait_shielded(&runs->ended);
    runs->dispatching = false;
}

/* A start that is stored must become a run. Without memory for a kilobyte the commit task
 * waits for it: nothing else would go on either. */
static void wait_for_memory(uint64_t id)
{
    struct timespec nap = {.tv_nsec = PATIENCE_MS * (long)NS_PER_MS};

    log_error("engine.no_memory", LOG_U64("id", id));
    thrd_sleep(&nap, NULL);
}

/* Here the writer has its pages at hand, since it has just counted the attempt; a reader would
 * look at the log anew. Without a row the worker asks again, and says what is wrong. */
static void row_read(struct engine *e, struct run *run)
{
    if (store_job_get(store_writer_reader(e->options.store), run->id, &run->row) <= 0)
        run->row = NULL;
}

static struct run *run_new(struct engine *e, const struct core_action *start)
{
    struct run *run;

    while (!(run = calloc(1, sizeof *run)))
        wait_for_memory(start->id);
    run->engine = e;
    run->id = start->id;
    run->fence = start->fence;
    run->kind = start->job_kind;
    run->retry = (struct retry_spec){
        .max_attempts = RETRY_UNREAD, .base_ms = 5000, .factor = 2, .cap_ms = 3600000};
    atomic_init(&run->grace_ms, -1);
    atomic_init(&run->stop, 0);
    if (start->submission && !start->submission->wanted)
        run->row = TAKE(start->submission->job);
    else if (start->submission)
        run->row = job_dup(start->submission->job); /* NULL: the store has it too */
    else
        row_read(e, run);
    return run;
}

static bool enter(struct runs *runs, struct run *run)
{
    pthread_mutex_lock(&runs->lock);

    bool entered = map_put(&runs->live, run->id, run) == 0;

    if (entered)
        list_push_back(&runs->starting, &run->link);
    pthread_mutex_unlock(&runs->lock);
    return entered;
}

void engine_runner_begin(struct engine *e, const struct core_action *start)
{
    struct run *run = run_new(e, start);

    while (!enter(&e->runs, run))
        wait_for_memory(run->id);
}

void engine_runner_wake(struct engine *e)
{
    event_set(&e->runs.wake);
}

/* Under runs.lock, so that the group stays open. */
static void stop_run(struct run *run, enum job_reason why, int64_t grace_ms)
{
    atomic_store(&run->grace_ms, grace_ms);
    atomic_store(&run->stop, (int)why);
    if (run->group)
        group_cancel(run->group, -ECANCELED);
}

void engine_runner_cancel(struct engine *e, uint64_t id, uint32_t fence, int64_t grace_ms)
{
    struct runs *runs = &e->runs;

    pthread_mutex_lock(&runs->lock);

    struct run *run = map_find(&runs->live, id);

    if (run && run->fence == fence)
        stop_run(run, REASON_CANCELLED_BY_USER, grace_ms);
    pthread_mutex_unlock(&runs->lock);
}

void engine_runner_stop_all(struct engine *e, int64_t grace_ms)
{
    struct runs *runs = &e->runs;
    size_t pos = 0;

    pthread_mutex_lock(&runs->lock);
    for (struct run *run; (run = map_next(&runs->live, &pos));)
        stop_run(run, REASON_SHUTDOWN, grace_ms);
    pthread_mutex_unlock(&runs->lock);
}

void engine_runner_free(struct run *run)
{
    outcome_deinit(&run->outcome);
    job_free(run->row);
    spec_free(run->spec);
    free(run);
}
