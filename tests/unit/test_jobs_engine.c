#include "jobs/engine.h"

#include "tests/lib/fake_kind.h"
#include "tests/lib/suite.h"

/* ----- jobs run ----- */

STORY(a_job_is_stored_run_and_its_end_told)
{
    uint64_t id = submit(OK);
    OWN(job_free) struct job *job = ended(id);
    struct attempt_list list;

    ck_assert_int_eq(job->state, JOB_SUCCEEDED);
    ck_assert_str_eq(job->result, "{\"exit_code\":0}");
    ck_assert_uint_eq(job->attempt, 1);
    ck_assert_int_gt(job->started_at_ms, 0);
    ck_assert_int_ge(job->finished_at_ms, job->started_at_ms);
    ck_assert_int_eq(engine_attempts(engine, id, &list), ENGINE_OK);
    ck_assert_uint_eq(list.count, 1);
    ck_assert_int_eq(list.items[0].state, JOB_SUCCEEDED);
    attempt_list_deinit(&list);
    ck_assert_int_eq(engine_attempts(engine, 99, &list), ENGINE_NOT_FOUND);
}

STORY(a_failing_job_is_tried_again_and_then_fails)
{
    uint64_t id = submit(FAIL_TWICE);
    OWN(job_free) struct job *job = ended(id);
    struct attempt_list list;

    ck_assert_int_eq(job->state, JOB_FAILED);
    ck_assert_int_eq(job->reason, REASON_EXIT_NONZERO);
    ck_assert_str_eq(job->error, "it said no");
    ck_assert(job->dead_letter);
    ck_assert_int_eq(engine_attempts(engine, id, &list), ENGINE_OK);
    ck_assert_uint_eq(list.count, 2);
    ck_assert_uint_eq(list.items[1].fence, 2);
    attempt_list_deinit(&list);
}

STORY(a_late_attempt_is_a_timeout)
{
    uint64_t id = submit("{\"exec\":{\"argv\":[\"wait\"]},\"timeout\":\"20ms\","
                         "\"retry\":{\"max_attempts\":1}}");

    ends_as(id, JOB_FAILED, REASON_TIMEOUT_ATTEMPT);
}

STORY(a_job_that_outlives_its_retry_for_is_a_timeout_of_all)
{
    uint64_t id = submit("{\"exec\":{\"argv\":[\"wait\"]},\"retry_for\":\"50ms\"}");

    ends_as(id, JOB_FAILED, REASON_TIMEOUT_TOTAL);
}

STORY(a_delayed_job_waits_for_its_time)
{
    uint64_t id = submit("{\"exec\":{\"argv\":[\"ok\"]},\"delay\":\"60ms\"}");
    OWN(job_free) struct job *job = NULL;

    is_now(id, JOB_SCHEDULED);
    job = ended(id);
    ck_assert_int_ge(job->started_at_ms, job->created_at_ms + 60);
}

static int submit_many(void *arg)
{
    struct spec *specs[50];
    uint64_t *first = arg;
    bool replayed;

    for (int i = 0; i < 50; i++)
        specs[i] = spec(OK);
    ck_assert_int_eq(engine_submit(engine, specs, 50, NULL, first, &replayed), ENGINE_OK);
    return 0;
}

/* ----- on whose thread ----- */

static uint64_t handoffs(void)
{
    struct scheduler_stats stats;

    scheduler_stats(&stats);
    return stats.handoffs + stats.retakes;
}

/* Rather often than always: who is put aside by the kernel is taken from by the monitor. */
STORY(submissions_that_come_alone_are_committed_where_they_came)
{
    unsigned kept = 0;

    for (int i = 0; i < 100; i++) {
        uint64_t before = handoffs();

        submit("{\"exec\":{\"argv\":[\"ok\"]},\"hold\":true}");
        kept += handoffs() == before;
    }
    ck_assert_uint_ge(kept, 50);
}

STORY(a_large_submission_is_committed_apart)
{
    uint64_t first = 0, before;

    for (int i = 0; i < 20; i++)
        submit("{\"exec\":{\"argv\":[\"ok\"]},\"hold\":true}");
    before = handoffs();
    for (int i = 0; i < 3; i++)
        submit_many(&first);
    ck_assert_uint_gt(handoffs(), before);
    ck_assert_uint_gt(submit("{\"exec\":{\"argv\":[\"ok\"]},\"hold\":true}"), first);
}

#define SUBMITTERS (32 / SLOWDOWN)

STORY(many_tasks_submit_many_jobs_and_all_run)
{
    uint64_t first[SUBMITTERS];
    struct engine_stats stats;
    struct group g;

    group_open(&g, "submitters");
    for (int i = 0; i < SUBMITTERS; i++)
        ck_assert_int_eq(group_go(&g, submit_many, &first[i]), 0);
    ck_assert_int_eq(group_join(&g), 0);
    for (int i = 0; i < SUBMITTERS; i++) {
        for (uint64_t k = 0; k < 50; k++)
            ends_as(first[i] + k, JOB_SUCCEEDED, REASON_NONE);
    }
    engine_stats(engine, &stats);
    ck_assert_uint_eq(stats.submitted, SUBMITTERS * 50);
    ck_assert_uint_eq(stats.started[KIND_EXEC], SUBMITTERS * 50);
    ck_assert_uint_eq(stats.counts[JOB_SUCCEEDED], SUBMITTERS * 50);
    ck_assert_uint_eq(stats.counts[JOB_QUEUED] + stats.counts[JOB_RUNNING], 0);
    ck_assert(stats.writable && !stats.failed);
}

STORY(a_queue_keeps_to_its_concurrency)
{
    struct queue_settings two = {.concurrency = 2, .key_concurrency = -1, .paused = -1};
    uint64_t first;

    ck_assert_int_eq(engine_queue_set(engine, "default", &two), ENGINE_OK);
    submit_many(&first);
    for (uint64_t k = 0; k < 50; k++)
        ends_as(first + k, JOB_SUCCEEDED, REASON_NONE);
    ck_assert_int_le(atomic_load(&running_most), 2);
}

STORY(a_paused_queue_starts_nothing_until_it_goes_on)
{
    struct queue_settings pause = {.concurrency = -1, .key_concurrency = -1, .paused = 1},
                          go_on = {.concurrency = -1, .key_concurrency = -1, .paused = 0};
    struct queue_list list;
    uint64_t id;

    ck_assert_int_eq(engine_queue_set(engine, "mail", &pause), ENGINE_OK);
    id = submit("{\"exec\":{\"argv\":[\"ok\"]},\"queue\":\"mail\"}");
    submit(OK);
    is_now(id, JOB_QUEUED);
    ck_assert_int_eq(engine_queues(engine, &list), ENGINE_OK);
    ck_assert_uint_eq(list.count, 2);
    ck_assert_str_eq(list.items[0].record.name, "default");
    ck_assert_str_eq(list.items[1].record.name, "mail");
    ck_assert(list.items[1].record.paused && list.items[1].record.configured);
    ck_assert_uint_eq(list.items[1].counts[JOB_QUEUED], 1);
    queue_list_deinit(&list);
    ck_assert_int_eq(engine_queue_set(engine, "mail", &go_on), ENGINE_OK);
    ends_as(id, JOB_SUCCEEDED, REASON_NONE);
}

/* ----- commands ----- */

STORY(a_cancel_reaches_a_running_attempt)
{
    uint64_t id = submit(WAIT);
    struct cancel_options gently = {.grace_ms = 1234};
    struct job *job = NULL;

    began_wait();
    ck_assert_int_eq(engine_cancel(engine, id, &gently, &job), ENGINE_STOPPING);
    job_free(job);
    job = ended(id);
    ck_assert_int_eq(job->state, JOB_CANCELLED);
    ck_assert_int_eq(job->reason, REASON_CANCELLED_BY_USER);
    ck_assert(job->cancel_requested);
    ck_assert_int_eq(atomic_load(&grace_seen), 1234);
    job_free(job);
    ck_assert_int_eq(engine_cancel(engine, id, NULL, &job), ENGINE_OK);
    job_free(job);
    ck_assert_int_eq(engine_hold(engine, id, &job), ENGINE_FINAL);
    job_free(job);
}

STORY(a_forced_cancel_leaves_no_grace)
{
    struct cancel_options force = {.grace_ms = -1, .force = true};
    uint64_t id = submit(WAIT);
    struct job *job = NULL;

    began_wait();
    ck_assert_int_eq(engine_cancel(engine, id, &force, &job), ENGINE_STOPPING);
    job_free(job);
    ends_as(id, JOB_CANCELLED, REASON_CANCELLED_BY_USER);
    ck_assert_int_eq(atomic_load(&grace_seen), 0);
}

STORY(commands_on_what_is_not_there_are_not_found)
{
    struct job *job = NULL;

    ck_assert_int_eq(engine_cancel(engine, 42, NULL, &job), ENGINE_NOT_FOUND);
    ck_assert_int_eq(engine_hold(engine, 42, &job), ENGINE_NOT_FOUND);
    ck_assert_int_eq(engine_release(engine, 42, &job), ENGINE_NOT_FOUND);
    ck_assert_int_eq(engine_retry(engine, 42, &job), ENGINE_NOT_FOUND);
    ck_assert_int_eq(engine_get(engine, 42, &job), ENGINE_NOT_FOUND);
    ck_assert_int_eq(engine_wait(engine, 42, LONG, &job), ENGINE_NOT_FOUND);
    ck_assert_ptr_null(job);
}

STORY(a_held_job_runs_when_it_is_released)
{
    uint64_t id = submit("{\"exec\":{\"argv\":[\"ok\"]},\"hold\":true}");
    struct job *job = NULL;

    is_now(id, JOB_HELD);
    ck_assert_int_eq(engine_hold(engine, id, &job), ENGINE_OK);
    job_free(job);
    ck_assert_int_eq(engine_release(engine, id, &job), ENGINE_OK);
    job_free(job);
    ends_as(id, JOB_SUCCEEDED, REASON_NONE);
}

STORY(retry_of_an_ended_job_makes_a_new_one)
{
    uint64_t id = submit(USELESS);
    struct job *again = NULL;

    ends_as(id, JOB_FAILED, REASON_EXIT_NONZERO);
    ck_assert_int_eq(engine_retry(engine, id, &again), ENGINE_OK);
    ck_assert_uint_eq(again->retry_of, id);
    ck_assert_uint_ne(again->id, id);
    ends_as(again->id, JOB_FAILED, REASON_EXIT_NONZERO);
    ends_as(id, JOB_FAILED, REASON_EXIT_NONZERO);
    job_free(again);
}

STORY(retry_of_a_retrying_job_ends_its_wait)
{
    uint64_t id = submit("{\"exec\":{\"argv\":[\"fail\"]},"
                         "\"retry\":{\"max_attempts\":2,\"base\":\"1h\"}}");
    struct job *job = NULL;
    int r;

    do { /* its first attempt is about to end */
        job_free(job);
        job = NULL;
        r = engine_retry(engine, id, &job);
    } while (r == ENGINE_CONFLICT);
    ck_assert_int_eq(r, ENGINE_OK);
    ck_assert_uint_eq(job->id, id);
    job_free(job);
    ends_as(id, JOB_FAILED, REASON_EXIT_NONZERO);
}

/* ----- idempotency ----- */

STORY(a_key_that_comes_again_gets_the_same_answer)
{
    struct submit_options keyed = {.key = "order-7", .fingerprint = 1};
    struct spec *one = spec(OK);
    uint64_t first = 0, second = 0;
    bool replayed = true;

    ck_assert_int_eq(engine_submit(engine, &one, 1, &keyed, &first, &replayed), ENGINE_OK);
    ck_assert(!replayed);
    one = spec(OK);
    ck_assert_int_eq(engine_submit(engine, &one, 1, &keyed, &second, &replayed), ENGINE_OK);
    ck_assert(replayed);
    ck_assert_uint_eq(first, second);
    keyed.fingerprint = 2;
    one = spec(OK);
    ck_assert_int_eq(engine_submit(engine, &one, 1, &keyed, &second, &replayed),
                     ENGINE_KEY_REUSED);
}

static atomic_int replays;
static _Atomic uint64_t keyed_id;

static int submit_keyed(void *arg)
{
    struct submit_options keyed = {.key = arg, .fingerprint = 9};
    struct spec *one = spec(OK);
    uint64_t id = 0, none = 0;
    bool replayed = false;

    ck_assert_int_eq(engine_submit(engine, &one, 1, &keyed, &id, &replayed), ENGINE_OK);
    atomic_fetch_add(&replays, replayed);
    if (!atomic_compare_exchange_strong(&keyed_id, &none, id))
        ck_assert_uint_eq(none, id);
    return 0;
}

STORY(one_key_from_many_tasks_makes_one_job)
{
    struct group g;

    group_open(&g, "submitters");
    for (int i = 0; i < 40; i++)
        ck_assert_int_eq(group_go(&g, submit_keyed, "the key"), 0);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_int_eq(atomic_load(&replays), 39);
}

/* ----- waiting ----- */

static atomic_int woken;

static int wait_for_end(void *arg)
{
    struct job *job = NULL;
    int r = engine_wait(engine, *(uint64_t *)arg, 0, &job);

    if (r == ENGINE_OK && job->state == JOB_SUCCEEDED)
        atomic_fetch_add(&woken, 1);
    job_free(job);
    return r == -ECANCELED ? 0 : r;
}

#define WAITERS (1000 / SLOWDOWN)

STORY(a_thousand_waiters_are_woken_by_one_end)
{
    uint64_t id = submit(WAIT);
    struct group g;

    group_open(&g, "waiters");
    for (int i = 0; i < WAITERS; i++)
        ck_assert_int_eq(group_go(&g, wait_for_end, &id), 0);
    began_wait();
    let_others_run();
    semaphore_give(&gate, 1);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_int_eq(atomic_load(&woken), WAITERS);
}

STORY(a_wait_ends_at_its_deadline_with_the_job_as_it_is)
{
    uint64_t id = submit(WAIT);
    struct job *job = NULL;

    ck_assert_int_eq(engine_wait(engine, id, clock_mono_ns() + 10 * NS_PER_MS, &job),
                     ENGINE_TIMEOUT);
    ck_assert_int_eq(job->state, JOB_RUNNING);
    job_free(job);
    semaphore_give(&gate, 1);
    ends_as(id, JOB_SUCCEEDED, REASON_NONE);
}

STORY(a_cancelled_waiter_goes_and_the_others_stay)
{
    uint64_t id = submit(WAIT);
    struct group leaving, staying;

    group_open(&leaving, "leaving");
    group_open(&staying, "staying");
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(group_go(&leaving, wait_for_end, &id), 0);
        ck_assert_int_eq(group_go(&staying, wait_for_end, &id), 0);
    }
    began_wait();
    group_close(&leaving);
    ck_assert_int_eq(atomic_load(&woken), 0);
    semaphore_give(&gate, 1);
    ck_assert_int_eq(group_join(&staying), 0);
    ck_assert_int_eq(atomic_load(&woken), 20);
}

/* ----- lists ----- */

STORY(a_list_has_pages_and_filters)
{
    struct job_filter filter = {.limit = 20, .states = 1u << JOB_SUCCEEDED};
    struct job_page page;
    uint64_t first;

    submit_many(&first);
    for (uint64_t k = 0; k < 50; k++)
        ends_as(first + k, JOB_SUCCEEDED, REASON_NONE);
    ck_assert_int_eq(engine_list(engine, &filter, &page), ENGINE_OK);
    ck_assert_uint_eq(page.count, 20);
    ck_assert_uint_eq(page.jobs[0]->id, first + 49);
    ck_assert_str_eq(page.jobs[0]->queue, "default");
    filter.before_id = page.next;
    job_page_deinit(&page);
    ck_assert_int_eq(engine_list(engine, &filter, &page), ENGINE_OK);
    ck_assert_uint_eq(page.jobs[0]->id, first + 29);
    job_page_deinit(&page);
}

int main(void)
{
    return SUITE_MAIN(
        "jobs_engine", a_job_is_stored_run_and_its_end_told,
        a_failing_job_is_tried_again_and_then_fails, a_late_attempt_is_a_timeout,
        a_job_that_outlives_its_retry_for_is_a_timeout_of_all, a_delayed_job_waits_for_its_time,
        submissions_that_come_alone_are_committed_where_they_came,
        a_large_submission_is_committed_apart, many_tasks_submit_many_jobs_and_all_run,
        a_queue_keeps_to_its_concurrency, a_paused_queue_starts_nothing_until_it_goes_on,
        a_cancel_reaches_a_running_attempt, a_forced_cancel_leaves_no_grace,
        commands_on_what_is_not_there_are_not_found, a_held_job_runs_when_it_is_released,
        retry_of_an_ended_job_makes_a_new_one, retry_of_a_retrying_job_ends_its_wait,
        a_key_that_comes_again_gets_the_same_answer, one_key_from_many_tasks_makes_one_job,
        a_thousand_waiters_are_woken_by_one_end,
        a_wait_ends_at_its_deadline_with_the_job_as_it_is,
        a_cancelled_waiter_goes_and_the_others_stay, a_list_has_pages_and_filters);
}
