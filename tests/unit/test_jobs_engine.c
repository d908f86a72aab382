#include "jobs/engine.h"

#include "base/buf.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "scheduler/semaphore.h"
#include "tests/lib/folder.h"
#include "tests/lib/scheduled.h"
#include "tests/lib/suite.h"

#include <string.h>

OWN_DEFINE(struct job, job_free);

/* ----- a kind that does what its first word says ----- */

static struct semaphore gate, began;
static atomic_int running, running_most;
static _Atomic int64_t grace_seen;

static void note_start(void)
{
    int now = atomic_fetch_add(&running, 1) + 1, most = atomic_load(&running_most);

    while (now > most && !atomic_compare_exchange_weak(&running_most, &most, now))
        ;
    semaphore_give(&began, 1);
}

/* Until the gate lets it through, or it is stopped. */
static void wait_at_gate(const struct attempt *attempt, struct outcome *ret)
{
    if (semaphore_take(&gate, 0) == 0)
        return;
    ret->kind = OUTCOME_STOPPED;
    atomic_store(&grace_seen, atomic_load(attempt->stop_grace_ms));
}

static void fake_run(const struct attempt *attempt, struct outcome *ret)
{
    const char *word = attempt->spec->exec.argv[0];

    note_start();
    joblog_write(attempt->log, STREAM_STDOUT, word, strlen(word));
    if (strcmp(word, "fail") == 0)
        outcome_fail(ret, OUTCOME_FAILED, REASON_EXIT_NONZERO, "it said no");
    else if (strcmp(word, "useless") == 0)
        outcome_fail(ret, OUTCOME_FAILED_FINAL, REASON_EXIT_NONZERO, "never");
    else if (strcmp(word, "wait") == 0)
        wait_at_gate(attempt, ret);
    if (ret->kind == OUTCOME_SUCCEEDED)
        ret->result = str_dup("{\"exit_code\":0}");
    atomic_fetch_sub(&running, 1);
}

static const struct kind fake = {"exec", fake_run};
static const struct kind *const fakes[KIND_COUNT] = {[KIND_EXEC] = &fake};

/* ----- a scheduler, a store, an engine ----- */

static char *folder;
static struct store *store;
static struct kind_config config;
static struct engine_options options;
static struct engine *engine;
static struct group attempts;

static void engine_begin(void)
{
    char why[STORE_WHY_BYTES];

    group_open(&attempts, "attempts");
    group_policy(&attempts, GROUP_COLLECT);
    int r = engine_open(&options, &attempts, &engine, why);
    ck_assert_msg(r == 0, "%s", why);
}

static void engine_end(void)
{
    ck_assert_int_eq(engine_drain(engine, 0), 0);
    engine_close(engine);
    group_close(&attempts);
}

struct story {
    void (*fn)(void);
};

static int tell(void *arg)
{
    struct story *story = arg;

    engine_begin();
    story->fn();
    engine_end();
    return 0;
}

static void story_run(unsigned processors, void (*fn)(void))
{
    struct story story = {fn};

    log_setup(2, LOG_TEXT, LOG_ERROR);
    folder = folder_new();
    ck_assert_int_eq(store_open_memory(&store), 0);
    config = (struct kind_config){.state_dir = folder, .log_bytes_max = 1 << 20};
    options.store = store;
    options.kinds = &config;
    options.kind_table = fakes;
    options.seed = 1;
    semaphore_init(&gate, 0);
    semaphore_init(&began, 0);
    scheduled(processors, tell, &story);
    store_close(store);
    folder_remove(folder);
}

#define STORY(name)                                                                            \
    static void name##_story(void);                                                            \
    START_TEST(name)                                                                           \
    {                                                                                          \
        story_run(2, name##_story);                                                            \
    }                                                                                          \
    END_TEST                                                                                   \
    static void name##_story(void)

static struct spec *spec(const char *text)
{
    struct spec_fault fault;
    struct spec *ret = NULL;
    int r = spec_from_text(text, strlen(text), &ret, &fault);

    ck_assert_msg(r == 0, "%s %s", fault.pointer, fault.what);
    return ret;
}

static int try_submit(const char *text, uint64_t *ret)
{
    struct spec *one = spec(text);
    bool replayed;

    return engine_submit(engine, &one, 1, NULL, ret, &replayed);
}

static uint64_t submit(const char *text)
{
    uint64_t id;

    ck_assert_int_eq(try_submit(text, &id), ENGINE_OK);
    return id;
}

#define OK "{\"exec\":{\"argv\":[\"ok\"]}}"
#define WAIT "{\"exec\":{\"argv\":[\"wait\"]}}"
#define FAIL_TWICE                                                                             \
    "{\"exec\":{\"argv\":[\"fail\"]},\"retry\":{\"max_attempts\":2,\"base\":\"1ms\"}}"
#define USELESS "{\"exec\":{\"argv\":[\"useless\"]}}"

#define LONG (clock_mono_ns() + 30 * NS_PER_S)

static void began_wait(void)
{
    ck_assert_int_eq(semaphore_take(&began, LONG), 0);
}

/* The job once it has ended. */
static struct job *ended(uint64_t id)
{
    struct job *job = NULL;

    ck_assert_int_eq(engine_wait(engine, id, LONG, &job), ENGINE_OK);
    return job;
}

static void ends_as(uint64_t id, enum job_state state, enum job_reason reason)
{
    OWN(job_free) struct job *job = ended(id);

    ck_assert_str_eq(job_state_name(job->state), job_state_name(state));
    ck_assert_int_eq(job->reason, reason);
}

static void is_now(uint64_t id, enum job_state state)
{
    OWN(job_free) struct job *job = NULL;

    ck_assert_int_eq(engine_get(engine, id, &job), ENGINE_OK);
    ck_assert_str_eq(job_state_name(job->state), job_state_name(state));
}

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
    struct queue_settings two = {.concurrency = 2, .paused = -1};
    uint64_t first;

    ck_assert_int_eq(engine_queue_set(engine, "default", &two), ENGINE_OK);
    submit_many(&first);
    for (uint64_t k = 0; k < 50; k++)
        ends_as(first + k, JOB_SUCCEEDED, REASON_NONE);
    ck_assert_int_le(atomic_load(&running_most), 2);
}

STORY(a_paused_queue_starts_nothing_until_it_goes_on)
{
    struct queue_settings pause = {.concurrency = -1, .paused = 1},
                          go_on = {.concurrency = -1, .paused = 0};
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

/* ----- the store refuses ----- */

STORY(a_full_disk_loses_nothing)
{
    uint64_t id = submit(WAIT), other;
    struct engine_stats stats;

    began_wait();
    fault_arm("store.commit", 1, -ENOSPC, true);
    ck_assert_int_eq(try_submit(OK, &other), ENGINE_UNWRITABLE);
    semaphore_give(&gate, 1); /* the attempt ends while nothing can be written */
    is_now(id, JOB_RUNNING);
    engine_stats(engine, &stats);
    ck_assert(!stats.writable);
    ck_assert_int_eq(try_submit(OK, &other), ENGINE_UNWRITABLE);
    fault_disarm_all();
    ends_as(id, JOB_SUCCEEDED, REASON_NONE);
    engine_stats(engine, &stats);
    ck_assert(stats.writable);
    ck_assert_uint_gt(stats.commit_failures, 0);
    ends_as(submit(OK), JOB_SUCCEEDED, REASON_NONE);
}

STORY(a_store_that_recovers_is_noticed_without_a_request)
{
    struct engine_stats stats;
    uint64_t id;

    submit(OK);
    fault_arm("store.commit", 1, -EROFS, true);
    ck_assert_int_eq(try_submit(OK, &id), ENGINE_UNWRITABLE);
    fault_disarm_all();
    do {
        task_sleep_ns(NS_PER_MS);
        engine_stats(engine, &stats);
    } while (!stats.writable);
}

static atomic_int failures;

static void note_failure(void *ctx, int error)
{
    ck_assert_ptr_eq(ctx, &failures);
    ck_assert_int_eq(error, -EIO);
    atomic_fetch_add(&failures, 1);
}

static void a_broken_disk_is_told_once_story(void)
{
    struct engine_stats stats;
    uint64_t id;

    fault_arm("store.sync", 1, -EIO, false);
    ck_assert_int_eq(try_submit(OK, &id), ENGINE_UNWRITABLE);
    ck_assert_int_eq(try_submit(OK, &id), ENGINE_UNWRITABLE);
    ck_assert_int_eq(atomic_load(&failures), 1);
    engine_stats(engine, &stats);
    ck_assert(stats.failed && !stats.writable);
}

START_TEST(a_broken_disk_is_told_once)
{
    options.failed = note_failure;
    options.failed_ctx = &failures;
    story_run(2, a_broken_disk_is_told_once_story);
}
END_TEST

/* ----- bounds ----- */

static atomic_int refused;

static int submit_one(void *arg)
{
    uint64_t id;
    int r = try_submit(OK, &id);

    (void)arg;
    if (r == ENGINE_FULL)
        atomic_fetch_add(&refused, 1);
    else
        ck_assert_int_eq(r, ENGINE_OK);
    return 0;
}

static void the_backlog_of_requests_is_bounded_story(void)
{
    struct engine_stats stats;
    struct group g;

    group_open(&g, "submitters");
    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(group_go(&g, submit_one, NULL), 0);
    ck_assert_int_eq(group_join(&g), 0);
    engine_stats(engine, &stats);
    ck_assert_uint_eq(stats.submitted, 200 - (uint64_t)atomic_load(&refused));
}

START_TEST(the_backlog_of_requests_is_bounded)
{
    options.backlog_max = 1;
    story_run(2, the_backlog_of_requests_is_bounded_story);
}
END_TEST

STORY(too_many_jobs_at_once_are_refused)
{
    OWN(free) struct spec **specs = calloc(ENGINE_SUBMIT_MAX + 1, sizeof *specs);
    uint64_t id;
    bool replayed;

    for (int i = 0; i <= ENGINE_SUBMIT_MAX; i++)
        specs[i] = spec("{\"exec\":{\"argv\":[\"ok\"]},\"hold\":true}");
    ck_assert_int_eq(engine_submit(engine, specs, ENGINE_SUBMIT_MAX + 1, NULL, &id, &replayed),
                     -EINVAL);
}

/* ----- the end of the daemon, and the next one ----- */

STORY(a_drain_gives_running_jobs_back_uncounted)
{
    uint64_t id = submit(WAIT), other;
    OWN(job_free) struct job *job = NULL;

    began_wait();
    ck_assert_int_eq(engine_drain(engine, clock_mono_ns() + 5 * NS_PER_MS), 0);
    ck_assert_int_eq(engine_get(engine, id, &job), ENGINE_OK);
    ck_assert_int_eq(job->state, JOB_QUEUED);
    ck_assert_int_eq(job->reason, REASON_SHUTDOWN);
    ck_assert_uint_eq(job->attempt, 0);
    ck_assert_uint_eq(job->crashes, 0);
    ck_assert_int_eq(try_submit(OK, &other), ENGINE_DRAINING);
    engine_end();
    engine_begin(); /* the next daemon on the same store */
    began_wait();
    semaphore_give(&gate, 1);
    job_free(TAKE(job));
    job = ended(id);
    ck_assert_int_eq(job->state, JOB_SUCCEEDED);
    ck_assert_uint_eq(job->attempt, 1);
    ck_assert_uint_eq(job->fence, 2);
}

STORY(a_drain_waits_for_what_ends_in_time)
{
    uint64_t id = submit(WAIT);

    began_wait();
    semaphore_give(&gate, 1);
    ck_assert_int_eq(engine_drain(engine, LONG), 0);
    is_now(id, JOB_SUCCEEDED);
}

static int drain_long(void *arg)
{
    (void)arg;
    return engine_drain(engine, LONG);
}

STORY(a_second_drain_hurries_the_first)
{
    uint64_t id = submit(WAIT);
    struct group g;

    began_wait();
    group_open(&g, "drain");
    ck_assert_int_eq(group_go(&g, drain_long, NULL), 0);
    let_others_run();
    ck_assert_int_eq(engine_drain(engine, 0), 0);
    ck_assert_int_eq(group_join(&g), 0);
    is_now(id, JOB_QUEUED);
    ck_assert_int_eq(atomic_load(&grace_seen), 0);
}

/* What a daemon that was killed leaves in the store. */
static void leave_behind(uint64_t id, enum job_state state, uint32_t crashes)
{
    struct job job = {.id = id,
                      .kind = KIND_EXEC,
                      .state = state,
                      .attempt = 1,
                      .fence = 4,
                      .crashes = crashes,
                      .epoch = 1,
                      .created_at_ms = 1,
                      .started_at_ms = 2,
                      .queue = (char *)"default",
                      .spec = (char *)OK};
    struct queue_record queue = {.name = (char *)"default"};
    struct change changes[] = {{.kind = CHANGE_QUEUE_PUT, .queue = &queue},
                               {.kind = CHANGE_JOB_INSERT, .job = &job}};

    ck_assert_int_eq(store_commit(store, changes, 2, true), 0);
}

static int recover(void *arg)
{
    struct engine_stats stats;

    (void)arg;
    leave_behind(11, JOB_RUNNING, 0);
    leave_behind(12, JOB_STOPPING, 0);
    leave_behind(13, JOB_RUNNING, 2);
    leave_behind(14, JOB_QUEUED, 0);
    engine_begin();
    OWN(job_free) struct job *job = ended(11);
    ck_assert_int_eq(job->state, JOB_SUCCEEDED);
    ck_assert_uint_eq(job->crashes, 1);
    ck_assert_uint_eq(job->attempt, 1);
    ck_assert_uint_eq(job->fence, 5);
    ends_as(12, JOB_CANCELLED, REASON_CANCELLED_BY_USER);
    ends_as(13, JOB_FAILED, REASON_POISON);
    ends_as(14, JOB_SUCCEEDED, REASON_NONE);
    ck_assert_uint_eq(submit(OK), 15);
    engine_stats(engine, &stats);
    ck_assert_uint_eq(stats.recovered, 1);
    ck_assert_uint_eq(stats.poisoned, 1);
    ck_assert_uint_eq(stats.epoch, 1);
    engine_end();
    return 0;
}

START_TEST(a_new_daemon_takes_back_what_a_dead_one_ran)
{
    log_setup(2, LOG_TEXT, LOG_ERROR);
    folder = folder_new();
    ck_assert_int_eq(store_open_memory(&store), 0);
    config = (struct kind_config){.state_dir = folder, .log_bytes_max = 1 << 20};
    options = (struct engine_options){
        .store = store, .kinds = &config, .kind_table = fakes, .seed = 1};
    semaphore_init(&began, 0);
    scheduled(2, recover, NULL);
    store_close(store);
    folder_remove(folder);
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "jobs_engine", a_job_is_stored_run_and_its_end_told,
        a_failing_job_is_tried_again_and_then_fails, a_late_attempt_is_a_timeout,
        a_job_that_outlives_its_retry_for_is_a_timeout_of_all, a_delayed_job_waits_for_its_time,
        many_tasks_submit_many_jobs_and_all_run, a_queue_keeps_to_its_concurrency,
        a_paused_queue_starts_nothing_until_it_goes_on, a_cancel_reaches_a_running_attempt,
        a_forced_cancel_leaves_no_grace, commands_on_what_is_not_there_are_not_found,
        a_held_job_runs_when_it_is_released, retry_of_an_ended_job_makes_a_new_one,
        retry_of_a_retrying_job_ends_its_wait, a_key_that_comes_again_gets_the_same_answer,
        one_key_from_many_tasks_makes_one_job, a_thousand_waiters_are_woken_by_one_end,
        a_wait_ends_at_its_deadline_with_the_job_as_it_is,
        a_cancelled_waiter_goes_and_the_others_stay, a_list_has_pages_and_filters,
        a_full_disk_loses_nothing, a_store_that_recovers_is_noticed_without_a_request,
        a_broken_disk_is_told_once, the_backlog_of_requests_is_bounded,
        too_many_jobs_at_once_are_refused, a_drain_gives_running_jobs_back_uncounted,
        a_drain_waits_for_what_ends_in_time, a_second_drain_hurries_the_first,
        a_new_daemon_takes_back_what_a_dead_one_ran);
}
