/* When the store refuses, when too much is asked, and how a daemon ends and begins. */
#include "jobs/engine.h"

#include "base/fault.h"
#include "tests/lib/fake_kind.h"
#include "tests/lib/suite.h"

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
        "jobs_engine_end", a_full_disk_loses_nothing,
        a_store_that_recovers_is_noticed_without_a_request, a_broken_disk_is_told_once,
        the_backlog_of_requests_is_bounded, too_many_jobs_at_once_are_refused,
        a_drain_gives_running_jobs_back_uncounted, a_drain_waits_for_what_ends_in_time,
        a_second_drain_hurries_the_first, a_new_daemon_takes_back_what_a_dead_one_ran);
}
