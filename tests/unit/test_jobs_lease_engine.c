/* Leases through the engine, over both stores: loop index 0 is SQLite, 1 is memory. */
#include "jobs/engine.h"

#include "base/fault.h"
#include "jobs/commit.h"
#include "scheduler/task.h"
#include "tests/lib/fake_kind.h"
#include "tests/lib/stored.h"

#include <errno.h>

#define JOB "{\"worker\":{\"payload\":7},\"queue\":\"w\"}"
#define SLOW_JOB "{\"worker\":{\"lease\":\"1h\"},\"queue\":\"w\",\"timeout\":\"2h\"}"
#define HOUR_MS (INT64_C(3600) * 1000)

#define BOTH(name)                                                                             \
    static void name##_story(void);                                                            \
    START_TEST(name)                                                                           \
    {                                                                                          \
        story_on_disk = _i == 0;                                                               \
        story_run(2, name##_story);                                                            \
    }                                                                                          \
    END_TEST                                                                                   \
    static void name##_story(void)

static const char *const queues[] = {"w", "v"};

/* Up to max jobs, without waiting. */
static struct lease_list take(uint32_t max)
{
    struct lease_list list = {.count = 0};

    ck_assert_int_eq(engine_lease(engine, queues, 2, max, 0, &list), ENGINE_OK);
    return list;
}

static void nothing_is_left(void)
{
    struct lease_list list = take(10);

    ck_assert_uint_eq(list.count, 0);
    lease_list_deinit(&list);
}

static struct lease take_one(void)
{
    struct lease_list list = take(1);

    ck_assert_uint_eq(list.count, 1);

    struct lease lease = list.items[0];

    lease.spec = NULL;
    lease_list_deinit(&list);
    return lease;
}

static struct lease_word word(const struct lease *lease, bool renew)
{
    return (struct lease_word){.id = lease->id, .fence = lease->fence, .renew = renew};
}

static int tell_one(struct lease_word *w)
{
    bool drain;

    ck_assert_int_eq(engine_lease_tell(engine, w, 1, &drain), ENGINE_OK);
    return w->answer;
}

static void completes(const struct lease *lease)
{
    struct lease_word w = word(lease, false);

    ck_assert_int_eq(tell_one(&w), ENGINE_OK);
    ck_assert_int_eq(w.state, JOB_SUCCEEDED);
}

BOTH(a_worker_gets_the_document_and_ends_the_job)
{
    uint64_t first = submit(JOB), second = submit(JOB);
    struct lease_list list = take(10);

    ck_assert_uint_eq(list.count, 2);
    ck_assert_uint_eq(list.items[0].id, first);
    ck_assert_uint_eq(list.items[1].id, second);
    ck_assert_str_eq(list.items[0].spec, JOB);
    is_now(first, JOB_RUNNING);
    completes(&list.items[0]);
    completes(&list.items[1]);
    ends_as(first, JOB_SUCCEEDED, REASON_NONE);
    nothing_is_left();
    lease_list_deinit(&list);
}

/* ----- waiting ----- */

struct wait {
    struct lease_list list;
    int result;
    uint64_t until_ns;
};

static int wait_for_one(void *arg)
{
    struct wait *w = arg;

    w->result = engine_lease(engine, queues, 2, 5, w->until_ns, &w->list);
    return 0;
}

/* Until the commit task knows that somebody waits: it answers in the order it is asked. */
static void asked(void)
{
    struct lease_list none = {.count = 0};
    static const char *const other[] = {"nowhere"};

    for (int i = 0; i < 3; i++) {
        task_yield();
        ck_assert_int_eq(engine_lease(engine, other, 1, 1, 0, &none), ENGINE_OK);
        lease_list_deinit(&none);
    }
}

BOTH(a_submission_wakes_who_waits_and_gives_the_document_along)
{
    struct wait w = {.until_ns = LONG};
    struct group g;

    group_open(&g, "waits");
    ck_assert_int_eq(group_go(&g, wait_for_one, &w), 0);
    asked();
    uint64_t id = submit(JOB);
    group_join(&g);
    ck_assert_int_eq(w.result, ENGINE_OK);
    ck_assert_uint_eq(w.list.count, 1);
    ck_assert_uint_eq(w.list.items[0].id, id);
    ck_assert_str_eq(w.list.items[0].spec, JOB);
    completes(&w.list.items[0]);
    lease_list_deinit(&w.list);
}

BOTH(who_is_cancelled_while_waiting_takes_nothing)
{
    struct wait w = {.until_ns = LONG};
    struct group g;

    group_open(&g, "waits");
    ck_assert_int_eq(group_go(&g, wait_for_one, &w), 0);
    asked();
    group_cancel(&g, -ECANCELED);
    group_close(&g);
    ck_assert_int_eq(w.result, -ECANCELED);
    ck_assert_uint_eq(w.list.count, 0);
    submit(JOB);

    struct lease lease = take_one();

    ck_assert_uint_eq(lease.fence, 1);
    completes(&lease);
}

#define CROWD 1001 /* of which each asks for 1,000 jobs */

static atomic_int sent_away, cancelled;

static int wait_for_many(void *arg)
{
    struct lease_list list = {.count = 0};
    int r = engine_lease(engine, queues, 2, LEASE_ASK_MAX, LONG, &list);

    (void)arg;
    atomic_fetch_add(r == -EAGAIN ? &sent_away : &cancelled, 1);
    return 0;
}

BOTH(who_asks_when_too_much_is_asked_for_is_sent_away)
{
    struct group g;

    group_open(&g, "waits");
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(group_go(&g, wait_for_many, NULL), 0);
    while (atomic_load(&sent_away) == 0)
        asked();
    group_cancel(&g, -ECANCELED);
    group_close(&g);
    /* Our own small questions took a place, too, for a moment. */
    ck_assert_int_lt(atomic_load(&sent_away), 10);
    ck_assert_int_eq(atomic_load(&sent_away) + atomic_load(&cancelled), CROWD);
    submit(JOB);

    struct lease lease = take_one();

    completes(&lease);
}

BOTH(a_wait_that_is_over_is_no_error)
{
    struct wait w = {.until_ns = clock_mono_ns() + NS_PER_MS};

    wait_for_one(&w);
    ck_assert_int_eq(w.result, ENGINE_OK);
    ck_assert_uint_eq(w.list.count, 0);
    lease_list_deinit(&w.list);
}

BOTH(what_is_returned_comes_again_and_counts_nothing)
{
    uint64_t id = submit(JOB);
    struct lease_list list = take(1);

    engine_lease_return(engine, &list);
    lease_list_deinit(&list);

    struct lease again = take_one();

    ck_assert_uint_eq(again.id, id);
    ck_assert_uint_eq(again.fence, 2);
    ck_assert_uint_eq(again.attempt, 1);
    ck_assert_uint_eq(again.crashes, 0);
    completes(&again);
}

/* ----- words ----- */

BOTH(each_word_of_a_batch_has_its_own_answer)
{
    struct lease_list list;
    struct lease_word words[4];
    bool drain;

    submit(JOB);
    submit(JOB);
    list = take(2);
    ck_assert_uint_eq(list.count, 2);
    words[0] = word(&list.items[0], true);
    words[1] = word(&list.items[1], false);
    words[1].outcome = (struct outcome){.kind = OUTCOME_FAILED, .reason = REASON_WORKER_FAILED};
    words[2] = words[1]; /* twice in one batch: the second comes too late */
    words[3] = (struct lease_word){.id = 4711, .fence = 1};
    ck_assert_int_eq(engine_lease_tell(engine, words, 4, &drain), ENGINE_OK);
    ck_assert(!drain);
    ck_assert_int_eq(words[0].answer, ENGINE_OK);
    ck_assert(!words[0].stop);
    ck_assert_int_eq(words[1].answer, ENGINE_OK);
    ck_assert_int_eq(words[1].state, JOB_RETRYING);
    ck_assert_int_gt(words[1].run_at_ms, 0);
    ck_assert_int_eq(words[2].answer, ENGINE_SUPERSEDED);
    ck_assert_int_eq(words[3].answer, ENGINE_NOT_FOUND);
    completes(&list.items[0]);
    lease_list_deinit(&list);
}

BOTH(a_success_told_twice_is_a_success_and_another_end_comes_too_late)
{
    uint64_t id = submit(JOB);
    struct lease lease = take_one();
    struct lease_word late = word(&lease, false);

    completes(&lease);
    completes(&lease);
    late.outcome.kind = OUTCOME_FAILED;
    ck_assert_int_eq(tell_one(&late), ENGINE_SUPERSEDED);
    late = word(&lease, true);
    ck_assert_int_eq(tell_one(&late), ENGINE_SUPERSEDED);
    ends_as(id, JOB_SUCCEEDED, REASON_NONE);
}

BOTH(a_cancel_is_told_and_a_forced_one_ends_at_once)
{
    OWN(job_free) struct job *job = NULL;
    OWN(job_free) struct job *again = NULL;
    struct cancel_options force = {.force = true};
    uint64_t id = submit(JOB);
    struct lease lease = take_one();
    struct lease_word w = word(&lease, true);

    ck_assert_int_eq(engine_cancel(engine, id, NULL, &job), ENGINE_STOPPING);
    ck_assert_int_gt(job->lease_until_ms, 0);
    ck_assert_int_eq(tell_one(&w), ENGINE_OK);
    ck_assert(w.stop);
    ck_assert_int_eq(engine_cancel(engine, id, &force, &again), ENGINE_OK);
    ends_as(id, JOB_CANCELLED, REASON_CANCELLED_BY_USER);
}

/* ----- trouble ----- */

BOTH(a_full_disk_gives_nothing_away)
{
    struct lease_list list = {.count = 0};
    struct lease_word w;
    bool drain;

    submit(JOB);
    fault_arm("store.commit", 1, -ENOSPC, true);
    ck_assert_int_eq(engine_lease(engine, queues, 2, 1, 0, &list), ENGINE_UNWRITABLE);
    fault_disarm_all();

    /* Who can wait is served when there is room again. */
    ck_assert_int_eq(engine_lease(engine, queues, 2, 1, LONG, &list), ENGINE_OK);
    ck_assert_uint_eq(list.count, 1);
    ck_assert_uint_eq(list.items[0].fence, 1);
    w = word(&list.items[0], false);
    fault_arm("store.commit", 1, -ENOSPC, true);
    ck_assert_int_eq(engine_lease_tell(engine, &w, 1, &drain), ENGINE_UNWRITABLE);
    fault_disarm_all();
    while (engine_lease_tell(engine, &w, 1, &drain) != ENGINE_OK)
        task_sleep_ns(NS_PER_MS);
    ck_assert_int_eq(w.answer, ENGINE_OK);
    lease_list_deinit(&list);
}

/* ----- the end and the beginning ----- */

BOTH(a_lease_outlives_the_engine_with_its_terms)
{
    OWN(job_free) struct job *job = NULL;
    uint64_t id = submit(SLOW_JOB);
    struct lease lease = take_one();
    struct lease_word w = word(&lease, true);

    ck_assert_int_gt(lease.until_ms, clock_wall_ms() + HOUR_MS / 2);
    ck_assert_int_gt(lease.deadline_ms, lease.until_ms);
    engine_end();
    engine_begin();
    nothing_is_left();
    ck_assert_int_eq(tell_one(&w), ENGINE_OK);
    ck_assert_int_gt(w.until_ms, clock_wall_ms() + HOUR_MS / 2); /* its own lease, not 30 s */
    completes(&lease);
    ck_assert_int_eq(engine_get(engine, id, &job), ENGINE_OK);
    ck_assert_uint_eq(job->crashes, 0);
    ck_assert_uint_eq(job->attempt, 1);
    ck_assert_int_eq(job->lease_until_ms, 0);
}

BOTH(a_drain_sends_askers_home_and_waits_for_no_lease)
{
    struct lease_list list = {.count = 0};
    struct wait w = {.until_ns = LONG};
    struct lease_word renewal;
    struct lease lease;
    struct group g;
    bool drain = false;

    submit(JOB);
    lease = take_one();
    group_open(&g, "waits");
    ck_assert_int_eq(group_go(&g, wait_for_one, &w), 0);
    asked();
    ck_assert_int_eq(engine_drain(engine, LONG), 0);
    group_join(&g);
    ck_assert_int_eq(w.result, ENGINE_DRAINING);
    ck_assert_int_eq(engine_lease(engine, queues, 2, 1, 0, &list), ENGINE_DRAINING);
    renewal = word(&lease, true);
    ck_assert_int_eq(engine_lease_tell(engine, &renewal, 1, &drain), ENGINE_OK);
    ck_assert(drain);
    completes(&lease);
}

int main(void)
{
    return STORED_MAIN(
        "jobs_lease_engine", a_worker_gets_the_document_and_ends_the_job,
        a_submission_wakes_who_waits_and_gives_the_document_along,
        who_is_cancelled_while_waiting_takes_nothing,
        who_asks_when_too_much_is_asked_for_is_sent_away, a_wait_that_is_over_is_no_error,
        what_is_returned_comes_again_and_counts_nothing,
        each_word_of_a_batch_has_its_own_answer,
        a_success_told_twice_is_a_success_and_another_end_comes_too_late,
        a_cancel_is_told_and_a_forced_one_ends_at_once, a_full_disk_gives_nothing_away,
        a_lease_outlives_the_engine_with_its_terms,
        a_drain_sends_askers_home_and_waits_for_no_lease);
}
