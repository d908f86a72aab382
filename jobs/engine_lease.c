/* engine_lease.c: jobs that workers elsewhere take. A worker asks for some, and its task parks
 * until the commit task has some for it; what it says about them later, a thousand things at
 * once if it likes, is a request as any other, with an answer for each.
 *
 * The lease is stored before anybody hears of it, and with it its end. So a daemon that dies
 * takes no lease with it: the next one finds them, and their fences still fit.
 *
 * What a job is about comes with the submission when both happen in one round, otherwise from
 * the store, by a reading thread: the commit task has no time for it. */
#include "base/clock.h"
#include "base/own.h"
#include "base/str.h"
#include "jobs/engine_internal.h"
#include "scheduler/task.h"

#include <errno.h>
#include <stdlib.h>

/* ----- askers, on the commit task ----- */

static void asker_leave(struct engine *e, struct asker *asker)
{
    list_remove(&asker->ask.link);
    e->rounds.askers_len--;
    e->rounds.askers_jobs -= asker->ask.max;
    atomic_fetch_sub(&e->rounds.askers_waiting, asker->waits);
    asker->answered = true;
}

/* What was submitted in this very round is still in hand: its document goes along, and nobody
 * has to read it from the store. */
static void lease_take(struct core_lease *from, struct lease *to)
{
    struct core_submission *s = TAKE(from->submission);

    *to = (struct lease){.id = from->id,
                         .fence = from->fence,
                         .attempt = from->attempt,
                         .crashes = from->crashes,
                         .until_ms = from->until_ms,
                         .deadline_ms = from->deadline_ms};
    if (s)
        to->spec = s->wanted ? str_dup(s->job->spec) : TAKE(s->job->spec);
}

/* Those that have something, or need not wait, go. Their frames may be gone after the event. */
void engine_askers_answer(struct engine *e)
{
    struct rounds *rounds = &e->rounds;
    bool more;
    size_t leased = commit_leased(rounds->commit, &more);
    struct list *next;

    rounds->more_to_lease = more;
    if (!leased && !rounds->asked)
        return;
    rounds->asked = more;
    for (struct list *link = rounds->askers.next; link != &rounds->askers; link = next) {
        struct asker *asker = container_of(link, struct asker, ask.link);

        next = link->next;
        if (!asker->ask.count && (asker->waits || more))
            continue;
        for (uint32_t i = 0; i < asker->ask.count; i++)
            lease_take(&asker->ask.leases[i], &asker->leases[i]);
        asker_leave(e, asker);
        event_set(&asker->done);
    }
}

/* A store that cannot be written gives nothing away; who can wait waits on. */
void engine_askers_refuse(struct engine *e, int r)
{
    struct list *next;

    if (!e->rounds.asked)
        return;
    e->rounds.asked = false;
    for (struct list *link = e->rounds.askers.next; link != &e->rounds.askers; link = next) {
        struct asker *asker = container_of(link, struct asker, ask.link);

        next = link->next;
        if (asker->waits)
            continue;
        asker->refused = r;
        asker_leave(e, asker);
        event_set(&asker->done);
    }
}

void engine_asker_enter(struct engine *e, struct asker *asker)
{
    struct rounds *rounds = &e->rounds;

    if (asker->waits && (rounds->askers_len >= ASKERS_MAX ||
                         rounds->askers_jobs + asker->ask.max > ASKERS_JOBS_MAX)) {
        asker->refused = -EAGAIN;
        asker->answered = true;
        event_set(&asker->done);
        return;
    }
    list_push_back(&rounds->askers, &asker->ask.link);
    rounds->askers_len++;
    rounds->askers_jobs += asker->ask.max;
    atomic_fetch_add(&rounds->askers_waiting, asker->waits);
    rounds->asked = true;
}

void engine_askers_hurry(struct engine *e)
{
    list_each (link, &e->rounds.askers)
        container_of(link, struct asker, ask.link)->waits = false;
    atomic_store(&e->rounds.askers_waiting, 0);
    e->rounds.asked = true;
}

/* ----- asking ----- */

static bool is_draining(struct engine *e)
{
    pthread_mutex_lock(&e->inbox.lock);

    bool draining = e->inbox.draining;

    pthread_mutex_unlock(&e->inbox.lock);
    return draining;
}

static void look_withdraw(struct engine *e, void *ctx)
{
    struct asker *asker = ctx;

    if (!asker->answered)
        asker_leave(e, asker);
}

/* After it the commit task knows the asker no longer; it may have been given something in the
 * last moment. */
static void withdraw(struct engine *e, struct asker *asker)
{
    struct request request = {.kind = REQUEST_LOOK, .look = look_withdraw, .ctx = asker};

    while (engine_ask(e, &request) != ENGINE_OK)
        task_yield();
}

/* Back to their queues, as if they had never been asked for but for the fence. */
void engine_lease_return(struct engine *e, const struct lease_list *list)
{
    struct lease_word *words = list->count ? calloc(list->count, sizeof *words) : NULL;
    bool drain;

    if (!words)
        return; /* without memory they come back when their leases end */
    for (size_t i = 0; i < list->count; i++)
        words[i] = (struct lease_word){.id = list->items[i].id,
                                       .fence = list->items[i].fence,
                                       .outcome = {.kind = OUTCOME_SNOOZED}};
    (void)engine_lease_tell(e, words, list->count, &drain);
    free(words);
}

struct specs_read {
    struct lease *leases;
    size_t count;
    int result;
};

static void read_specs(struct store_reader *reader, void *ctx)
{
    struct specs_read *read = ctx;

    for (size_t i = 0; i < read->count && read->result == 0; i++) {
        struct lease *lease = &read->leases[i];
        int r = lease->spec ? 1 : store_spec_get(reader, lease->id, &lease->spec);

        read->result = r == 1 ? 0 : r == 0 ? -EIO : r;
    }
}

static int specs_fill(struct engine *e, struct lease *leases, size_t count)
{
    struct specs_read read = {.leases = leases, .count = count};
    size_t missing = 0;
    int r;

    for (size_t i = 0; i < count; i++)
        missing += leases[i].spec == NULL;
    if (!missing)
        return ENGINE_OK;
    r = engine_read(e, read_specs, &read, true);
    return r == ENGINE_OK ? read.result : r;
}

/* Parks until something is there. ENGINE_OK also without anything, when the time is over. */
static int ask(struct engine *e, struct asker *asker, uint64_t wait_until_ns)
{
    struct request request = {.kind = REQUEST_ASK, .asker = asker};
    int r = engine_post(e, &request);

    if (r != ENGINE_OK)
        return r;
    if (wait_until_ns == 0) {
        event_wait_shielded(&asker->done); /* in the next round */
        return engine_answer_of(asker->refused);
    }
    r = event_wait(&asker->done, wait_until_ns);
    if (r == 0)
        return engine_answer_of(asker->refused);
    withdraw(e, asker);
    return r == -ETIMEDOUT ? ENGINE_OK : r;
}

int engine_lease(struct engine *e, const char *const *queues, uint32_t queues_count,
                 uint32_t max, uint64_t wait_until_ns, struct lease_list *ret)
{
    OWN(free) struct core_lease *room = calloc(max, sizeof *room);
    struct lease_list list = {.items = calloc(max, sizeof *list.items)};
    struct asker asker = {
        .ask = {.queues = queues, .queues_count = queues_count, .max = max, .leases = room},
        .leases = list.items,
        .waits = wait_until_ns > 0};
    int r = -ENOMEM;

    event_init(&asker.done);
    if (room && list.items)
        r = ask(e, &asker, wait_until_ns);
    list.count = asker.ask.count;
    if (r == ENGINE_OK)
        r = specs_fill(e, list.items, list.count);
    if (r == ENGINE_OK && list.count == 0 && is_draining(e))
        r = ENGINE_DRAINING;
    if (r != ENGINE_OK) {
        engine_lease_return(e, &list);
        lease_list_deinit(&list);
        return r;
    }
    *ret = list;
    return ENGINE_OK;
}

void lease_list_deinit(struct lease_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].spec);
    free(list->items);
    *list = (struct lease_list){.count = 0};
}

/* ----- telling ----- */

static void word_put(const struct lease_word *word, struct commit_item *item)
{
    item->input.kind = word->renew ? INPUT_RENEW : INPUT_FINISHED;
    if (word->renew) {
        item->input.renew.id = word->id;
        item->input.renew.fence = word->fence;
        return;
    }
    item->input.finished.id = word->id;
    item->input.finished.fence = word->fence;
    item->input.finished.outcome = &word->outcome;
}

static void word_answer(struct lease_word *word, const struct commit_item *item)
{
    word->answer = engine_answer_of(item->answer);
    if (item->answer != CORE_OK)
        return;
    if (word->renew) {
        word->stop = item->input.renew.ret_stop;
        word->until_ms = item->input.renew.ret_until_ms;
        return;
    }
    word->state = item->input.finished.ret_state;
    if (job_state_is_waiting(word->state))
        word->run_at_ms = item->input.finished.ret_run_at_ms;
}

/* The answer that all share because their round failed; 0 when they have answers of their own.
 */
static int round_failure(const struct commit_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i].answer >= 0 || items[i].answer != items[0].answer)
            return 0;
    }
    return items[0].answer;
}

int engine_lease_tell(struct engine *e, struct lease_word *words, size_t count, bool *ret_drain)
{
    OWN(free) struct commit_item *items = NULL;
    struct request request = {.kind = REQUEST_STEP, .count = count};
    int r;

    *ret_drain = is_draining(e);
    if (count == 0 || count > ENGINE_WORDS_MAX)
        return count == 0 ? ENGINE_OK : -EINVAL;
    items = calloc(count, sizeof *items);
    if (!items)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        word_put(&words[i], &items[i]);
    request.items = items;
    r = engine_ask(e, &request);
    if (r == ENGINE_OK)
        r = engine_answer_of(round_failure(items, count));
    for (size_t i = 0; i < count && r == ENGINE_OK; i++)
        word_answer(&words[i], &items[i]);
    return r;
}
