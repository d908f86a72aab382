/* engine_commit.c: the commit task. It takes everything that waits, gives it to one round
 * (commit.h), and when that is on the disk answers, starts and tells; while the disk works, the
 * next batch gathers.
 *
 * When the store refuses (disk full, read-only), requests are answered ENGINE_UNWRITABLE at
 * once; what cannot be refused, the ends of attempts, is kept and tried again every
 * RETRY_MS until the store takes it. In between no round is tried for requests alone, so a
 * full disk costs a failed write each RETRY_MS, not one each request.
 *
 * A batch that is refused for what is in it is divided until what is in the way stands alone:
 * one bad item cannot poison the others. (A savepoint for each would cost every batch what only
 * a bad one needs.) */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "jobs/engine_internal.h"
#include "scheduler/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS 250
#define LOOK_MS 1000 /* a step of the wall clock is noticed within it */
#define LITTLE_JOBS 16
#define TEND_ROUNDS 256
#define OLDEST_EVERY_MS 100

/* ----- the inbox ----- */

/* Until when to sleep: the next thing that time does, or a retry; 0 = until somebody comes. */
static uint64_t next_ns(struct engine *e)
{
    struct rounds *rounds = &e->rounds;
    uint64_t now_ns = clock_mono_ns();
    int64_t now_ms = clock_wall_ms(), at_ms;

    if (rounds->refused)
        return rounds->retry_at_ns;
    if (rounds->more_to_lease)
        return now_ns;
    at_ms = core_next_at_ms(commit_core(rounds->commit), now_ms);
    if (!at_ms)
        return 0;
    if (at_ms <= now_ms)
        return now_ns;
    return now_ns + (uint64_t)(at_ms - now_ms < LOOK_MS ? at_ms - now_ms : LOOK_MS) * NS_PER_MS;
}

static uint32_t weight_of(const struct request *request)
{
    if (request->items)
        return (uint32_t)request->count;
    if (request->kind == REQUEST_STEP && request->item.input.kind == INPUT_SUBMIT)
        return (uint32_t)request->item.input.submit.count;
    return 1;
}

/* Under the lock: a bounded batch. True: it is little, one small request at most. */
static bool take_batch(struct inbox *inbox, struct list *batch)
{
    uint32_t count = 0, weight = 0;

    while (count < ROUND_REQUESTS_MAX && weight < ROUND_JOBS_MAX) {
        struct list *link = list_pop_front(&inbox->requests);

        if (!link)
            break;

        struct request *request = container_of(link, struct request, link);

        list_push_back(batch, link);
        weight += weight_of(request);
        count++;
        if (!request->run)
            inbox->len--;
    }
    return count <= 1 && weight <= LITTLE_JOBS;
}

/* False: the engine closes, and nothing waits any more. */
static bool gather(struct engine *e, struct list *batch, bool *ret_little)
{
    struct inbox *inbox = &e->inbox;
    uint64_t at_ns = next_ns(e);

    pthread_mutex_lock(&inbox->lock);
    while (list_is_empty(&inbox->requests) && !inbox->stop &&
           (!at_ns || clock_mono_ns() < at_ns))
        engine_pace_wait(e, at_ns);
    *ret_little = take_batch(inbox, batch);

    bool go_on = !inbox->stop || !list_is_empty(batch);

    pthread_mutex_unlock(&inbox->lock);
    return go_on;
}

/* ----- acting ----- */

/* Starts come first: a stop of the same round must find its run. */
static void act(struct engine *e, int64_t now_ms)
{
    size_t count;
    const struct core_action *actions = commit_actions(e->rounds.commit, &count);
    bool started = false;

    for (size_t i = 0; i < count; i++) {
        if (actions[i].kind != ACTION_START)
            continue;
        engine_runner_begin(e, &actions[i]);
        started = true;
    }
    for (size_t i = 0; i < count; i++) {
        if (actions[i].kind == ACTION_STOP)
            engine_runner_cancel(e, actions[i].id, actions[i].fence, actions[i].grace_ms);
        engine_tell(&actions[i], now_ms);
    }
    if (started)
        engine_runner_wake(e);
    engine_watch_ended(e, actions, count);
}

/* ----- figures ----- */

static void publish(struct engine *e, size_t submitted, uint64_t took_ns, bool committed)
{
    struct rounds *rounds = &e->rounds;
    struct engine_stats *s = &e->published;
    uint64_t now_ns = clock_mono_ns();
    size_t count = 0;
    const struct core_action *actions =
        rounds->refused ? NULL : commit_actions(rounds->commit, &count);

    pthread_mutex_lock(&e->published_lock);
    memcpy(s->counts, core_counts(commit_core(rounds->commit)), sizeof s->counts);
    for (size_t i = 0; i < count; i++)
        engine_tell_count(s, &actions[i]);
    s->submitted += submitted;
    if (committed) {
        s->commits++;
        s->commit_ns_total += took_ns;
        s->commit_ns_max = took_ns > s->commit_ns_max ? took_ns : s->commit_ns_max;
    }
    s->commit_failures += rounds->refused && committed;
    s->commit_changes += committed && !rounds->refused ? commit_changes(rounds->commit) : 0;
    s->writable = !rounds->refused;
    s->failed = rounds->broken;
    if (now_ns - rounds->oldest_at_ns >= OLDEST_EVERY_MS * NS_PER_MS) {
        rounds->oldest_at_ns = now_ns;
        s->waiting_since_ms_oldest = (uint64_t)core_oldest_at_ms(commit_core(rounds->commit));
    }
    pthread_mutex_unlock(&e->published_lock);
}

/* Nothing runs, or what ran has ended and only the store does not take it. Who leases a job
 * keeps it while the daemon is away. */
static void tell_drainers(struct engine *e)
{
    struct rounds *rounds = &e->rounds;
    uint32_t live = core_running(commit_core(rounds->commit));

    if (live > 0 && !(rounds->refused && rounds->kept_len >= live))
        return;
    pthread_mutex_lock(&e->inbox.lock);
    for (struct list *link; (link = list_pop_front(&e->drainers));)
        event_set(&container_of(link, struct drainer, link)->event);
    pthread_mutex_unlock(&e->inbox.lock);
}

/* ----- rounds ----- */

/* Ends of attempts live on in their runs; the others are answered and gone. */
static void answer(struct engine *e, struct list *requests)
{
    struct rounds *rounds = &e->rounds;
    unsigned count = 0;

    for (struct list *link; (link = list_pop_front(requests));) {
        struct request *request = container_of(link, struct request, link);

        if (request->run) {
            engine_runner_free(request->run);
            continue;
        }
        rounds->events[count++] = &request->done;
    }
    if (count == 1)
        event_set(rounds->events[0]);
    else
        event_set_all(rounds->events, count);
}

static size_t count_submitted(struct commit_item *const *items, size_t count)
{
    size_t submitted = 0;

    for (size_t i = 0; i < count; i++) {
        if (items[i]->input.kind == INPUT_SUBMIT && items[i]->answer == CORE_OK &&
            !items[i]->replayed)
            submitted += items[i]->input.submit.count;
    }
    return submitted;
}

/* What the store refused: ends of attempts are kept, the others get the reason. */
static void refuse(struct engine *e, struct list *requests, int r)
{
    struct rounds *rounds = &e->rounds;
    struct list others = LIST_INIT(others);

    for (struct list *link; (link = list_pop_front(requests));) {
        struct request *request = container_of(link, struct request, link);

        request->item.answer = r;
        for (size_t i = 0; i < request->count; i++)
            request->items[i].answer = r;
        if (request->run) {
            list_push_back(&rounds->kept, link);
            rounds->kept_len++;
        } else {
            list_push_back(&others, link);
        }
    }
    answer(e, &others);
}

static void note_refusal(struct engine *e, int r)
{
    struct rounds *rounds = &e->rounds;

    if (!rounds->refused)
        log_error("store.refused", LOG_ERR(r), LOG_U64("retry_ms", RETRY_MS),
                  LOG_U64("kept", rounds->kept_len));
    rounds->refused = true;
    rounds->retry_at_ns = clock_mono_ns() + RETRY_MS * NS_PER_MS;
    if (r != -EIO || rounds->broken)
        return;
    rounds->broken = true;
    log_error("store.failed", LOG_ERR(r));
    if (e->options.failed)
        e->options.failed(e->options.failed_ctx, r);
}

/* It is about what is written, not about the store. */
static bool refuses_an_item(int r)
{
    return r == -EEXIST || r == -E2BIG;
}

static void note_success(struct engine *e)
{
    if (e->rounds.refused)
        log_info("store.writable");
    e->rounds.refused = false;
}

/* One transaction; asks: whom to lease jobs to. Figures are published before anybody is woken:
 * who has seen a job end sees it counted. A refusal is noted unless an item is its reason. */
static int play(struct engine *e, struct commit_item *const *items, size_t count,
                struct list *asks)
{
    struct rounds *rounds = &e->rounds;
    uint64_t began_ns = clock_mono_ns();
    int64_t now_ms = clock_wall_ms();
    engine_pace_enter(&e->rounds.pace);

    int r = commit_round(rounds->commit, items, count, asks, now_ms);

    if (count > 0 && refuses_an_item(r))
        return r;

    uint64_t took_ns = clock_mono_ns() - began_ns;

    engine_pace_stored(e);
    if (r < 0)
        note_refusal(e, r);
    publish(e, r < 0 ? 0 : count_submitted(items, count), took_ns,
            r < 0 || commit_changes(rounds->commit) > 0);
    if (r == 0)
        act(e, now_ms);
    return r;
}

/* Halves until what the store refuses stands alone, with its answer. 0, or what else the store
 * says, which is then the answer of all that was not played. */
static int divide(struct engine *e, struct commit_item *const *items, size_t count)
{
    struct list nobody = LIST_INIT(nobody);
    int r = play(e, items, count, &nobody);

    if (!refuses_an_item(r))
        return r;
    if (count == 1) {
        log_error("store.item_refused", LOG_ERR(r), LOG_U64("input", items[0]->input.kind));
        return 0;
    }
    r = divide(e, items, count / 2);
    if (r == 0)
        return divide(e, items + count / 2, count - count / 2);
    for (size_t i = count / 2; i < count; i++)
        items[i]->answer = r;
    return r;
}

/* An item is in the way: the others are to go on without it. When not even a round without
 * items succeeds, it was none of them. */
static int play_divided(struct engine *e, struct commit_item *const *items, size_t count)
{
    struct list nobody = LIST_INIT(nobody);
    int r = play(e, NULL, 0, &nobody);

    if (r == 0)
        return divide(e, items, count);
    for (size_t i = 0; i < count; i++)
        items[i]->answer = r;
    return r;
}

/* The end of an attempt has to be stored; what it said need not be. */
static void end_in_plain_words(struct run *run)
{
    free(run->outcome.result);
    free(run->outcome.error);
    run->outcome.result = NULL;
    run->outcome.error = strdup("the store did not take what this attempt said");
}

/* Ends that were refused by themselves, as they come again. */
static void ends_take(struct list *requests, struct list *ret)
{
    struct list *next;

    for (struct list *link = requests->next; link != requests; link = next) {
        struct request *request = container_of(link, struct request, link);

        next = link->next;
        if (!request->run || request->item.answer >= 0)
            continue;
        end_in_plain_words(request->run);
        list_remove(link);
        list_push_back(ret, link);
    }
}

static size_t items_gather(struct rounds *rounds, const struct list *requests)
{
    size_t count = 0;

    list_each (link, requests) {
        struct request *request = container_of(link, struct request, link);

        if (!request->items)
            rounds->items[count++] = &request->item;
        for (size_t i = 0; i < request->count; i++)
            rounds->items[count++] = &request->items[i];
    }
    return count;
}

/* After a batch that was refused for one of its items: the others go on, and so do ends of
 * attempts. */
static int round_divided(struct engine *e, struct list *requests, size_t count)
{
    struct rounds *rounds = &e->rounds;
    struct list nobody = LIST_INIT(nobody), ends = LIST_INIT(ends);
    int r = play_divided(e, rounds->items, count);

    ends_take(requests, &ends);
    answer(e, requests);
    if (r == 0) {
        r = play(e, rounds->items, items_gather(rounds, &ends), &nobody);
        if (refuses_an_item(r))
            note_refusal(e, r);
    }
    if (r < 0)
        refuse(e, &ends, r);
    else
        answer(e, &ends);
    return r == 0 ? play(e, NULL, 0, &rounds->askers) : r;
}

/* One transaction of these requests, or more when one of them is in the way. */
static void round_of(struct engine *e, struct list *requests)
{
    struct rounds *rounds = &e->rounds;
    size_t count = items_gather(rounds, requests);
    int r = play(e, rounds->items, count, &rounds->askers);

    rounds->tended++;
    if (count > 0 && refuses_an_item(r))
        r = round_divided(e, requests, count);
    if (r < 0) {
        refuse(e, requests, r);
        engine_askers_refuse(e, r);
    } else {
        /* first: they take from the submissions that are answered next */
        engine_askers_answer(e);
        answer(e, requests);
    }
}

static void kept_take(struct rounds *rounds, struct list *ret)
{
    for (unsigned n = 0; n < ROUND_REQUESTS_MAX && rounds->kept_len > 0; n++) {
        list_push_back(ret, list_pop_front(&rounds->kept));
        rounds->kept_len--;
    }
}

static void probe(struct engine *e)
{
    int r = commit_probe(e->rounds.commit, clock_wall_ms());

    if (r < 0)
        note_refusal(e, r);
    else
        note_success(e);
}

/* After a refusal the store is asked again at times, and what was kept goes first and alone, so
 * that no request can stand in its way. */
static void round_again(struct engine *e, struct list *requests)
{
    struct rounds *rounds = &e->rounds;
    struct list kept = LIST_INIT(kept);

    if (clock_mono_ns() >= rounds->retry_at_ns)
        probe(e);
    while (!rounds->refused && rounds->kept_len > 0) {
        kept_take(rounds, &kept);
        round_of(e, &kept);
    }
    if (rounds->refused) {
        refuse(e, requests, rounds->broken ? -EIO : -ENOSPC);
        engine_askers_refuse(e, rounds->broken ? -EIO : -ENOSPC);
    } else
        round_of(e, requests);
}

/* Looks see the core between rounds and wait for no disk. */
static void look(struct engine *e, struct list *batch, struct list *steps)
{
    for (struct list *link; (link = list_pop_front(batch));) {
        struct request *request = container_of(link, struct request, link);

        if (request->kind == REQUEST_STEP) {
            list_push_back(steps, link);
            continue;
        }
        if (request->kind == REQUEST_ASK) {
            engine_asker_enter(e, request->asker);
            continue;
        }
        request->look(e, request->ctx);
        event_set(&request->done);
    }
}

static void tend(struct engine *e)
{
    bool idle = engine_inbox_is_empty(&e->inbox);

    if (e->rounds.tended == 0 || (!idle && e->rounds.tended < TEND_ROUNDS))
        return;
    e->rounds.tended = 0;
    if (!store_tend_due(e->options.store))
        return;
    engine_pace_enter(&e->rounds.pace);
    store_tend(e->options.store);
}

/* ----- opening ----- */

static int recover(struct engine *e)
{
    struct commit *commit = e->rounds.commit;
    int r;

    do {
        int64_t now_ms = clock_wall_ms();
        size_t count;

        r = commit_recover(commit, now_ms);
        if (r <= 0)
            continue;

        const struct core_action *actions = commit_actions(commit, &count);

        for (size_t i = 0; i < count; i++) {
            engine_tell(&actions[i], now_ms);
            engine_tell_count(&e->published, &actions[i]);
        }
    } while (r > 0);
    return r;
}

static int load(struct engine *e)
{
    struct commit_options options = {.store = e->options.store,
                                     .limits = engine_core_limits(&e->options, e->kind_table),
                                     .seed = e->options.seed};
    uint64_t refused = 0, began_ns = clock_mono_ns();
    int r = store_next_epoch(e->options.store, &e->epoch);

    options.epoch = e->epoch;
    if (r == 0)
        r = commit_open(&options, &e->rounds.commit, &refused);
    if (r == 0)
        r = recover(e);
    if (r < 0)
        return r;
    if (refused > 0)
        log_error("store.rows_refused", LOG_U64("count", refused));
    log_info("engine.loaded", LOG_U64("epoch", e->epoch),
             LOG_U64("waiting", core_waiting(commit_core(e->rounds.commit))),
             LOG_U64("recovered", e->published.recovered),
             LOG_U64("poisoned", e->published.poisoned),
             LOG_U64("took_ms", (clock_mono_ns() - began_ns) / NS_PER_MS));
    e->published.epoch = e->epoch;
    e->published.writable = true;
    return 0;
}

static void commit_run(struct engine *e)
{
    struct list batch = LIST_INIT(batch), steps = LIST_INIT(steps);
    bool little;

    engine_pace_enter(&e->rounds.pace);
    e->opened_result = load(e);
    if (e->opened_result < 0) {
        engine_pace_leave(&e->rounds.pace);
        event_set(&e->opened);
        return;
    }
    round_of(e, &steps); /* starts what waits, and publishes the counts */
    event_set(&e->opened);
    engine_pace_calm(&e->rounds.pace);
    while (gather(e, &batch, &little)) {
        engine_pace_enter(&e->rounds.pace);
        look(e, &batch, &steps);
        if (e->rounds.refused)
            round_again(e, &steps);
        else
            round_of(e, &steps);
        engine_pace_note(e, little);
        tell_drainers(e);
        tend(e);
    }
    engine_pace_leave(&e->rounds.pace);
}

/* In a shield, as it outlives all that it answers; its end is engine_commit_stop. */
static int commit_main(void *arg)
{
    struct engine *e = arg;

    task_shield_begin(UINT64_MAX);
    commit_run(e);
    task_shield_end();
    event_set(&e->commit_ended);
    return 0;
}

int engine_commit_start(struct engine *e)
{
    int r = group_spawn(e->group, commit_main, e,
                        &(const struct task_options){.name = "commit",
                                                     .site = __FILE__ ":" GROUP_STR(__LINE__),
                                                     .stack = STACK_HUGE,
                                                     .background = true});

    if (r < 0)
        return r;
    e->commit_started = true;
    event_wait_shielded(&e->opened);
    return e->opened_result;
}

void engine_commit_stop(struct engine *e)
{
    struct rounds *rounds = &e->rounds;

    if (e->commit_started) {
        pthread_mutex_lock(&e->inbox.lock);
        e->inbox.stop = true;
        e->inbox.parked = false;
        pthread_mutex_unlock(&e->inbox.lock);
        pthread_cond_signal(&e->inbox.wake);
        event_set(&e->inbox.call);
        event_wait_shielded(&e->commit_ended);
    }
    if (rounds->kept_len > 0)
        log_error("engine.ends_lost", LOG_U64("count", rounds->kept_len),
                  LOG_STR("why", "the store did not take them; their jobs run again"));
    for (struct list *link; (link = list_pop_front(&rounds->kept));)
        engine_runner_free(container_of(link, struct request, link)->run);
    commit_close(rounds->commit);
}
