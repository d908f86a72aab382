#include "jobs/core.h"

#include "base/buf.h"
#include "base/str.h"
#include "jobs/change.h"
#include "jobs/states.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define START_MS 1000000

/* A core that is played: each round's actions become sentences of a trace, so that a test shows
 * its story. Times in the trace count from START_MS. */
struct play {
    struct core *core;
    struct core_update *update;
    int64_t now_ms;
    struct buf trace;
    struct job rows[64];
    struct core_submission submissions[64];
    unsigned rows_len;
};

static struct play play;

static const struct core_limits wide = {
    .running_max = 100,
    .kind_max = {[KIND_EXEC] = 100, [KIND_HTTP] = 100, [KIND_FILE] = 100},
    .crashes_max = 3};
static const struct retry_spec thrice = {
    .max_attempts = 3, .base_ms = 1000, .factor = 2, .cap_ms = 60000};

static void play_begin(const struct core_limits *limits)
{
    memset(&play, 0, sizeof play);
    play.now_ms = START_MS;
    ck_assert_int_eq(core_new(limits, 1, 7, &play.core), 0);
    ck_assert_int_eq(core_update_new(&play.update), 0);
}

static void play_end(void)
{
    ck_assert_ptr_null(core_check(play.core));
    core_update_free(play.update);
    core_free(play.core);
    buf_deinit(&play.trace);
}

static void say(const struct core_action *a)
{
    static const char *const words[] = {
        "starts",   "is told to stop", "ended",         "waits to be retried",
        "returned", "is held",         "had a late end"};
    const char *reason = job_reason_name(a->reason);

    buf_putf(&play.trace, "[%lld] job %llu %s: %s%s%s, attempt %u, fence %u\n",
             (long long)(play.now_ms - START_MS), (unsigned long long)a->id, words[a->kind],
             job_state_name(a->state), reason ? " " : "", reason ? reason : "", a->attempt,
             a->fence);
}

/* What time and room allow, stored and kept. */
static void round_keep(void)
{
    size_t count;

    ck_assert_int_eq(core_tick(play.core, play.now_ms, play.update), 0);
    ck_assert_int_eq(core_start(play.core, play.now_ms, play.update), 0);
    ck_assert_int_eq(core_rows(play.core, play.update), 0);
    const struct core_action *actions = core_actions(play.update, &count);
    for (size_t i = 0; i < count; i++)
        say(&actions[i]);
    core_keep(play.core, play.update);
    ck_assert_msg(!core_check(play.core), "%s", core_check(play.core));
}

static int step(struct core_input in)
{
    return core_step(play.core, &in, play.now_ms, play.update);
}

static int step_keep(struct core_input in)
{
    int r = step(in);

    round_keep();
    return r;
}

static struct job *row(enum job_kind kind, const char *queue, const char *key)
{
    struct job *job = &play.rows[play.rows_len++ % 64];

    *job = (struct job){.kind = kind, .queue = (char *)queue, .key = (char *)key};
    return job;
}

/* Into the open update. */
static uint64_t submit(struct job *job, bool hold)
{
    struct core_submission *s = &play.submissions[job - play.rows];
    struct core_input in = {.kind = INPUT_SUBMIT, .submit = {s, 1, 0}};

    *s = (struct core_submission){.job = job, .hold = hold};

    ck_assert_int_eq(core_step(play.core, &in, play.now_ms, play.update), CORE_OK);
    return in.submit.ret_first_id;
}

static uint64_t submit_keep(struct job *job, bool hold)
{
    uint64_t id = submit(job, hold);

    round_keep();
    return id;
}

static struct core_input finished(uint64_t id, uint32_t fence, const struct outcome *o)
{
    return (struct core_input){
        .kind = INPUT_FINISHED,
        .finished = {.id = id, .fence = fence, .outcome = o, .retry = &thrice}};
}

static struct core_input plain(enum core_input_kind kind, uint64_t id)
{
    return (struct core_input){.kind = kind, .id = id};
}

static struct core_input cancel(uint64_t id)
{
    return (struct core_input){.kind = INPUT_CANCEL, .cancel = {id, -1}};
}

static const struct outcome good = {.kind = OUTCOME_SUCCEEDED};
static const struct outcome bad = {.kind = OUTCOME_FAILED, .reason = REASON_EXIT_NONZERO};
static const struct outcome useless = {.kind = OUTCOME_FAILED_FINAL,
                                       .reason = REASON_HTTP_STATUS};
static const struct outcome stopped = {.kind = OUTCOME_STOPPED,
                                       .reason = REASON_CANCELLED_BY_USER};

static void state_is(uint64_t id, enum job_state expected)
{
    enum job_state state = STATE_NEW;
    uint32_t fence;

    if (!core_job_state(play.core, id, &state, &fence))
        ck_assert_msg(job_state_is_final(expected), "job %d is not there", (int)id);
    else
        ck_assert_str_eq(job_state_name(state), job_state_name(expected));
}

static void story_is(const char *expected)
{
    ck_assert_str_eq(buf_str(&play.trace), expected);
}

static void story_skip(void)
{
    buf_clear(&play.trace);
}

/* ----- the state table ----- */

START_TEST(only_the_moves_of_the_table_are_allowed)
{
    static const struct {
        enum job_state from;
        const char *to; /* h b s q r R S + - c e k by state number, as below */
    } table[] = {{STATE_NEW, "hbsq"},      {JOB_HELD, "bsqr-ce"}, {JOB_BLOCKED, "hsq-cek"},
                 {JOB_SCHEDULED, "hq-ce"}, {JOB_QUEUED, "hR-ce"}, {JOB_RETRYING, "hq-c"},
                 {JOB_RUNNING, "hqrS+-"},  {JOB_STOPPING, "+c"},  {JOB_SUCCEEDED, ""},
                 {JOB_FAILED, ""},         {JOB_CANCELLED, ""},   {JOB_EXPIRED, ""},
                 {JOB_SKIPPED, ""}};
    static const char letters[] = "?hbsqrRS+-cek";

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        for (enum job_state to = STATE_NEW; to < JOB_STATE_COUNT; to++)
            ck_assert_msg(state_may(table[i].from, to) ==
                              (strchr(table[i].to, letters[to]) != NULL),
                          "from %d to %d", (int)table[i].from, (int)to);
    }
    ck_assert(!state_may(JOB_QUEUED, JOB_STATE_COUNT));
    ck_assert(!state_may(JOB_STATE_COUNT, JOB_QUEUED));
}
END_TEST

START_TEST(a_final_state_has_no_way_out)
{
    for (enum job_state from = JOB_SUCCEEDED; from < JOB_STATE_COUNT; from++) {
        for (enum job_state to = STATE_NEW; to < JOB_STATE_COUNT; to++)
            ck_assert(!state_may(from, to));
    }
}
END_TEST

/* ----- attempts ----- */

START_TEST(a_job_starts_in_the_round_that_submits_it)
{
    play_begin(&wide);
    uint64_t id = submit(row(KIND_EXEC, "default", NULL), false);
    round_keep();
    ck_assert_uint_eq(id, 1);
    /* one row: it is inserted running */
    ck_assert_int_eq(play.rows[0].state, JOB_RUNNING);
    ck_assert_uint_eq(play.rows[0].fence, 1);
    ck_assert_uint_eq(play.rows[0].epoch, 1);
    ck_assert_int_eq(step_keep(finished(id, 1, &good)), CORE_OK);
    story_is("[0] job 1 starts: running, attempt 1, fence 1\n"
             "[0] job 1 ended: succeeded, attempt 1, fence 1\n");
    ck_assert_uint_eq(core_counts(play.core)[JOB_SUCCEEDED], 1);
    play_end();
}
END_TEST

START_TEST(failures_are_retried_until_the_attempts_are_used_up)
{
    play_begin(&wide);
    submit_keep(row(KIND_EXEC, "default", NULL), false);
    step_keep(finished(1, 1, &bad));
    state_is(1, JOB_RETRYING);
    play.now_ms += 1000; /* the delay of the first failure is at most the base */
    round_keep();
    step_keep(finished(1, 2, &bad));
    play.now_ms += 2000;
    round_keep();
    step_keep(finished(1, 3, &bad));
    story_is("[0] job 1 starts: running, attempt 1, fence 1\n"
             "[0] job 1 waits to be retried: retrying exit_nonzero, attempt 1, fence 1\n"
             "[1000] job 1 starts: running, attempt 2, fence 2\n"
             "[1000] job 1 waits to be retried: retrying exit_nonzero, attempt 2, fence 2\n"
             "[3000] job 1 starts: running, attempt 3, fence 3\n"
             "[3000] job 1 ended: failed exit_nonzero, attempt 3, fence 3\n");
    play_end();
}
END_TEST

START_TEST(a_failure_that_cannot_heal_is_final_at_once)
{
    play_begin(&wide);
    submit_keep(row(KIND_HTTP, "default", NULL), false);
    story_skip();
    step_keep(finished(1, 1, &useless));
    story_is("[0] job 1 ended: failed http_status, attempt 1, fence 1\n");
    play_end();
}
END_TEST

START_TEST(a_timeout_of_the_attempt_is_a_failure_that_retries)
{
    struct outcome late = {.kind = OUTCOME_STOPPED, .reason = REASON_TIMEOUT_ATTEMPT};

    play_begin(&wide);
    submit_keep(row(KIND_EXEC, "default", NULL), false);
    story_skip();
    step_keep(finished(1, 1, &late));
    story_is("[0] job 1 waits to be retried: retrying timeout_attempt, attempt 1, fence 1\n");
    play_end();
}
END_TEST

START_TEST(an_attempt_that_asks_for_a_human_is_held)
{
    struct outcome hold = {.kind = OUTCOME_HOLD, .reason = REASON_EXIT_NONZERO};

    play_begin(&wide);
    submit_keep(row(KIND_EXEC, "default", NULL), false);
    story_skip();
    step_keep(finished(1, 1, &hold));
    state_is(1, JOB_HELD);
    ck_assert_int_eq(step_keep(plain(INPUT_RELEASE, 1)), CORE_OK);
    story_is("[0] job 1 is held: held exit_nonzero, attempt 1, fence 1\n"
             "[0] job 1 starts: running, attempt 2, fence 2\n");
    play_end();
}
END_TEST

START_TEST(a_shutdown_gives_the_attempt_back)
{
    struct outcome shutdown = {.kind = OUTCOME_STOPPED, .reason = REASON_SHUTDOWN};

    play_begin(&wide);
    submit_keep(row(KIND_EXEC, "default", NULL), false);
    story_skip();
    core_drain(play.core, true);
    step_keep(finished(1, 1, &shutdown));
    story_is("[0] job 1 returned: queued shutdown, attempt 0, fence 1\n");
    core_drain(play.core, false);
    story_skip();
    round_keep();
    story_is("[0] job 1 starts: running, attempt 1, fence 2\n");
    play_end();
}
END_TEST

START_TEST(the_third_crash_is_poison)
{
    play_begin(&wide);
    submit_keep(row(KIND_EXEC, "default", NULL), false);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(step_keep(plain(INPUT_LOST, 1)), CORE_OK);
    story_is("[0] job 1 starts: running, attempt 1, fence 1\n"
             "[0] job 1 returned: queued crashed, attempt 0, fence 1\n"
             "[0] job 1 starts: running, attempt 1, fence 2\n"
             "[0] job 1 returned: queued crashed, attempt 0, fence 2\n"
             "[0] job 1 starts: running, attempt 1, fence 3\n"
             "[0] job 1 ended: failed poison, attempt 0, fence 3\n");
    play_end();
}
END_TEST

START_TEST(the_end_of_an_older_attempt_changes_nothing)
{
    play_begin(&wide);
    submit_keep(row(KIND_EXEC, "default", NULL), false);
    step_keep(plain(INPUT_LOST, 1));
    story_skip();
    ck_assert_int_eq(step(finished(1, 1, &good)), CORE_STALE);
    ck_assert_int_eq(core_rows(play.core, play.update), 0);
    struct core_changes changes = core_changes(play.update);
    ck_assert_uint_eq(changes.count, 1);
    ck_assert_int_eq(changes.items[0].kind, CHANGE_ATTEMPT);
    ck_assert_int_eq(changes.items[0].attempt->reason, REASON_SUPERSEDED);
    ck_assert_uint_eq(changes.items[0].attempt->fence, 1);
    core_keep(play.core, play.update);
    state_is(1, JOB_RUNNING);
    ck_assert_int_eq(step_keep(finished(1, 2, &good)), CORE_OK);
    play_end();
}
END_TEST

START_TEST(an_attempt_ends_once)
{
    play_begin(&wide);
    submit_keep(row(KIND_EXEC, "default", NULL), false);
    story_skip();
    ck_assert_int_eq(step(finished(1, 1, &good)), CORE_OK);
    ck_assert_int_eq(step(finished(1, 1, &bad)), CORE_STALE);
    round_keep();
    story_is("[0] job 1 ended: succeeded, attempt 1, fence 1\n"
             "[0] job 1 had a late end: succeeded, attempt 1, fence 1\n");
    ck_assert_int_eq(step_keep(finished(1, 1, &good)), CORE_NOT_FOUND);
    play_end();
}
END_TEST

START_TEST(a_target_may_ask_for_a_longer_wait_but_not_for_years)
{
    struct outcome busy = {
        .kind = OUTCOME_FAILED, .reason = REASON_HTTP_STATUS, .retry_after_ms = 7 * 60 * 1000};

    play_begin(&wide);
    submit_keep(row(KIND_HTTP, "default", NULL), false);
    step_keep(finished(1, 1, &busy));
    ck_assert_int_eq(core_next_at_ms(play.core, play.now_ms) - play.now_ms, 7 * 60 * 1000);
    play.now_ms += 7 * 60 * 1000;
    round_keep();
    busy.retry_after_ms = INT64_MAX;
    step_keep(finished(1, 2, &busy));
    ck_assert_int_eq(core_next_at_ms(play.core, play.now_ms) - play.now_ms,
                     24 * 60 * 60 * 1000);
    play_end();
}
END_TEST

START_TEST(no_attempt_begins_after_retry_for)
{
    struct job *job;

    play_begin(&wide);
    job = row(KIND_EXEC, "default", NULL);
    job->retry_until_at_ms = play.now_ms + 400; /* the first delay is at least 500 */
    submit_keep(job, false);
    story_skip();
    step_keep(finished(1, 1, &bad));
    story_is("[0] job 1 ended: failed timeout_total, attempt 1, fence 1\n");
    play_end();
}
END_TEST

START_TEST(a_retrying_job_whose_time_passes_fails)
{
    struct job *job;

    play_begin(&wide);
    job = row(KIND_EXEC, "default", NULL);
    job->retry_until_at_ms = play.now_ms + 2000;
    submit_keep(job, false);
    step_keep(finished(1, 1, &bad));
    story_skip();
    play.now_ms += 2001; /* the daemon was busy elsewhere */
    round_keep();
    story_is("[2001] job 1 ended: failed timeout_total, attempt 1, fence 1\n");
    play_end();
}
END_TEST

START_TEST(a_job_that_comes_back_too_late_does_not_start_again)
{
    struct outcome shutdown = {.kind = OUTCOME_STOPPED, .reason = REASON_SHUTDOWN};
    struct job *job;

    play_begin(&wide);
    job = row(KIND_EXEC, "default", NULL);
    job->retry_until_at_ms = play.now_ms + 2000;
    submit_keep(job, false);
    story_skip();
    play.now_ms += 2001;
    step_keep(finished(1, 1, &shutdown));
    story_is("[2001] job 1 returned: queued shutdown, attempt 0, fence 1\n"
             "[2001] job 1 ended: failed timeout_total, attempt 0, fence 1\n");
    play_end();
}
END_TEST

/* ----- cancel, hold ----- */

START_TEST(a_waiting_job_is_cancelled_at_once)
{
    play_begin(&wide);
    submit_keep(row(KIND_EXEC, "default", NULL), true);
    ck_assert_int_eq(step_keep(cancel(1)), CORE_OK);
    story_is("[0] job 1 ended: cancelled cancelled_by_user, attempt 0, fence 0\n");
    ck_assert_int_eq(step_keep(cancel(1)), CORE_NOT_FOUND);
    play_end();
}
END_TEST

START_TEST(a_running_job_is_asked_to_stop_and_then_cancelled)
{
    play_begin(&wide);
    submit_keep(row(KIND_EXEC, "default", NULL), false);
    ck_assert_int_eq(step_keep(cancel(1)), CORE_STOPPING);
    ck_assert_int_eq(step_keep(cancel(1)), CORE_STOPPING);
    step_keep(finished(1, 1, &stopped));
    story_is("[0] job 1 starts: running, attempt 1, fence 1\n"
             "[0] job 1 is told to stop: stopping cancelled_by_user, attempt 1, fence 1\n"
             "[0] job 1 is told to stop: stopping cancelled_by_user, attempt 1, fence 1\n"
             "[0] job 1 ended: cancelled cancelled_by_user, attempt 1, fence 1\n");
    play_end();
}
END_TEST

START_TEST(a_success_after_a_cancel_is_a_success)
{
    play_begin(&wide);
    submit_keep(row(KIND_EXEC, "default", NULL), false);
    step_keep(cancel(1));
    ck_assert_int_eq(step(finished(1, 1, &good)), CORE_OK);
    ck_assert_int_eq(core_rows(play.core, play.update), 0);
    struct core_changes changes = core_changes(play.update);
    ck_assert_int_eq(changes.items[1].kind, CHANGE_JOB_UPDATE);
    ck_assert_int_eq(changes.items[1].job->state, JOB_SUCCEEDED);
    ck_assert(changes.items[1].job->cancel_requested);
    core_keep(play.core, play.update);
    play_end();
}
END_TEST

START_TEST(a_cancelled_job_does_not_come_back_after_a_crash)
{
    play_begin(&wide);
    submit_keep(row(KIND_EXEC, "default", NULL), false);
    step_keep(cancel(1));
    story_skip();
    step_keep(plain(INPUT_LOST, 1));
    story_is("[0] job 1 ended: cancelled cancelled_by_user, attempt 0, fence 1\n");
    play_end();
}
END_TEST

START_TEST(hold_and_release_may_be_asked_twice)
{
    struct core_limits none = wide;

    none.kind_max[KIND_EXEC] = 0;
    play_begin(&none);
    submit_keep(row(KIND_EXEC, "default", NULL), false);
    ck_assert_int_eq(step_keep(plain(INPUT_HOLD, 1)), CORE_OK);
    ck_assert_int_eq(step_keep(plain(INPUT_HOLD, 1)), CORE_OK);
    state_is(1, JOB_HELD);
    ck_assert_int_eq(step_keep(plain(INPUT_RELEASE, 1)), CORE_OK);
    ck_assert_int_eq(step_keep(plain(INPUT_RELEASE, 1)), CORE_OK);
    state_is(1, JOB_QUEUED);
    core_set_limits(play.core, &wide);
    round_keep();
    ck_assert_int_eq(step_keep(plain(INPUT_HOLD, 1)), CORE_CONFLICT);
    ck_assert_int_eq(step_keep(plain(INPUT_RELEASE, 1)), CORE_CONFLICT);
    play_end();
}
END_TEST

START_TEST(a_held_job_keeps_its_time)
{
    struct job *job;

    play_begin(&wide);
    job = row(KIND_EXEC, "default", NULL);
    job->run_at_ms = play.now_ms + 5000;
    submit_keep(job, true);
    step_keep(plain(INPUT_RELEASE, 1));
    state_is(1, JOB_SCHEDULED);
    play.now_ms += 4999;
    round_keep();
    story_is("");
    play.now_ms++;
    round_keep();
    story_is("[5000] job 1 starts: running, attempt 1, fence 1\n");
    play_end();
}
END_TEST

START_TEST(retry_now_ends_the_wait_of_a_retrying_job_only)
{
    play_begin(&wide);
    submit_keep(row(KIND_EXEC, "default", NULL), false);
    ck_assert_int_eq(step_keep(plain(INPUT_RETRY_NOW, 1)), CORE_CONFLICT);
    step_keep(finished(1, 1, &bad));
    story_skip();
    ck_assert_int_eq(step_keep(plain(INPUT_RETRY_NOW, 1)), CORE_OK);
    story_is("[0] job 1 starts: running, attempt 2, fence 2\n");
    ck_assert_int_eq(step_keep(plain(INPUT_RETRY_NOW, 99)), CORE_NOT_FOUND);
    play_end();
}
END_TEST

/* ----- time ----- */

START_TEST(a_job_that_does_not_start_in_time_expires)
{
    struct core_limits none = wide;
    struct job *job;

    none.running_max = 0;
    play_begin(&none);
    job = row(KIND_EXEC, "default", NULL);
    job->start_by_at_ms = play.now_ms + 100;
    submit_keep(job, false);
    ck_assert_int_eq(core_next_at_ms(play.core, play.now_ms), play.now_ms + 101);
    play.now_ms += 100;
    round_keep();
    state_is(1, JOB_QUEUED);
    play.now_ms++;
    round_keep();
    story_is("[101] job 1 ended: expired expired_in_queue, attempt 0, fence 0\n");
    play_end();
}
END_TEST

START_TEST(start_by_does_not_matter_once_it_has_started)
{
    struct job *job;

    play_begin(&wide);
    job = row(KIND_EXEC, "default", NULL);
    job->start_by_at_ms = play.now_ms + 100;
    submit_keep(job, false);
    step_keep(finished(1, 1, &bad));
    play.now_ms += 1000;
    story_skip();
    round_keep();
    story_is("[1000] job 1 starts: running, attempt 2, fence 2\n");
    play_end();
}
END_TEST

START_TEST(many_that_are_due_at_once_are_moved_in_bounded_rounds)
{
    struct core_limits none = wide;

    none.running_max = 0;
    play_begin(&none);
    for (unsigned i = 0; i < CORE_TICK_MAX + 10; i++) {
        struct job *job = row(KIND_EXEC, "default", NULL);

        job->run_at_ms = play.now_ms + 10;
        submit_keep(job, false);
    }
    play.now_ms += 10;
    round_keep();
    ck_assert_uint_eq(core_counts(play.core)[JOB_QUEUED], CORE_TICK_MAX);
    ck_assert_int_le(core_next_at_ms(play.core, play.now_ms), play.now_ms);
    round_keep();
    ck_assert_uint_eq(core_counts(play.core)[JOB_SCHEDULED], 0);
    play_end();
}
END_TEST

/* ----- order and limits ----- */

static struct core_limits one_at_a_time(void)
{
    struct core_limits limits = wide;

    limits.running_max = 1;
    return limits;
}

/* Lets everything run, one after the other, and says in which order. */
static const char *order_of_starts(void)
{
    static char order[256];
    enum job_state state;
    uint32_t pos, fence;

    order[0] = 0;
    round_keep();
    for (;;) {
        pos = 0;
        uint64_t id = core_live_next(play.core, &pos);

        if (!id)
            return order;
        ck_assert(core_job_state(play.core, id, &state, &fence));
        snprintf(order + strlen(order), sizeof order - strlen(order), "%llu ",
                 (unsigned long long)id);
        step_keep(finished(id, fence, &good));
    }
}

static void submit_as(enum job_kind kind, const char *queue, const char *key, int priority)
{
    struct job *job = row(kind, queue, key);

    job->priority = priority;
    submit(job, false);
}

START_TEST(priority_goes_first_then_the_older_one)
{
    struct core_limits limits = one_at_a_time();

    play_begin(&limits);
    submit_as(KIND_EXEC, "q", NULL, 0);
    submit_as(KIND_HTTP, "q", NULL, 5);
    submit_as(KIND_EXEC, "q", NULL, 5);
    submit_as(KIND_FILE, "q", NULL, -100);
    submit_as(KIND_EXEC, "q", NULL, 100);
    ck_assert_str_eq(order_of_starts(), "5 2 3 1 4 ");
    play_end();
}
END_TEST

START_TEST(queues_take_turns)
{
    struct core_limits limits = one_at_a_time();

    play_begin(&limits);
    for (int i = 0; i < 3; i++)
        submit_as(KIND_EXEC, "a", NULL, 50);
    submit_as(KIND_EXEC, "b", NULL, 0);
    submit_as(KIND_EXEC, "b", NULL, 0);
    ck_assert_str_eq(order_of_starts(), "1 4 2 5 3 ");
    play_end();
}
END_TEST

START_TEST(keys_of_a_queue_take_turns)
{
    struct core_limits limits = one_at_a_time();

    play_begin(&limits);
    for (int i = 0; i < 4; i++)
        submit_as(KIND_EXEC, "q", "big", 0);
    submit_as(KIND_EXEC, "q", "small", 0);
    submit_as(KIND_EXEC, "q", NULL, 0);
    ck_assert_str_eq(order_of_starts(), "1 5 6 2 3 4 ");
    play_end();
}
END_TEST

START_TEST(a_kind_at_its_limit_is_skipped_not_waited_on)
{
    struct core_limits limits = wide;

    limits.kind_max[KIND_HTTP] = 1;
    play_begin(&limits);
    submit_as(KIND_HTTP, "q", NULL, 9);
    submit_as(KIND_HTTP, "q", NULL, 9);
    submit_as(KIND_EXEC, "q", NULL, 0);
    round_keep();
    state_is(1, JOB_RUNNING);
    state_is(2, JOB_QUEUED);
    state_is(3, JOB_RUNNING);
    step_keep(finished(1, 1, &good));
    state_is(2, JOB_RUNNING);
    play_end();
}
END_TEST

static int queue_set(const char *name, int64_t concurrency, int paused)
{
    return step_keep(
        (struct core_input){.kind = INPUT_QUEUE_SET, .queue = {name, concurrency, paused}});
}

START_TEST(a_queue_at_its_limit_or_paused_is_skipped)
{
    play_begin(&wide);
    ck_assert_int_eq(queue_set("slow", 1, -1), CORE_OK);
    ck_assert_int_eq(queue_set("off", -1, 1), CORE_OK);
    submit_as(KIND_EXEC, "slow", NULL, 0);
    submit_as(KIND_EXEC, "slow", NULL, 0);
    submit_as(KIND_EXEC, "off", NULL, 0);
    submit_as(KIND_EXEC, "free", NULL, 0);
    round_keep();
    state_is(1, JOB_RUNNING);
    state_is(2, JOB_QUEUED);
    state_is(3, JOB_QUEUED);
    state_is(4, JOB_RUNNING);
    ck_assert_int_eq(queue_set("slow", 2, -1), CORE_OK);
    state_is(2, JOB_RUNNING);
    ck_assert_int_eq(queue_set("off", -1, 0), CORE_OK);
    state_is(3, JOB_RUNNING);
    play_end();
}
END_TEST

START_TEST(a_lower_limit_is_obeyed_from_the_next_start_on)
{
    struct core_limits limits = wide;

    play_begin(&limits);
    for (int i = 0; i < 3; i++)
        submit_as(KIND_EXEC, "q", NULL, 0);
    submit(row(KIND_EXEC, "q", NULL), false);
    round_keep();
    ck_assert_uint_eq(core_counts(play.core)[JOB_RUNNING], 4);
    limits.running_max = 2;
    core_set_limits(play.core, &limits);
    submit_as(KIND_EXEC, "q", NULL, 0);
    step_keep(finished(1, 1, &good));
    step_keep(finished(2, 1, &good));
    state_is(5, JOB_QUEUED);
    step_keep(finished(3, 1, &good));
    state_is(5, JOB_RUNNING);
    play_end();
}
END_TEST

START_TEST(the_backlog_is_bounded)
{
    struct core_limits limits = one_at_a_time();
    struct core_submission items[3];

    limits.jobs_waiting_max = 2;
    play_begin(&limits);
    for (int i = 0; i < 3; i++)
        items[i] = (struct core_submission){.job = row(KIND_EXEC, "q", NULL)};
    ck_assert_int_eq(
        step_keep((struct core_input){.kind = INPUT_SUBMIT, .submit = {items, 3, 0}}),
        CORE_FULL);
    ck_assert_uint_eq(core_waiting(play.core), 0);
    ck_assert_int_eq(
        step_keep((struct core_input){.kind = INPUT_SUBMIT, .submit = {items, 2, 0}}), CORE_OK);
    ck_assert_uint_eq(core_waiting(play.core), 1);
    play_end();
}
END_TEST

START_TEST(the_oldest_queued_job_is_known)
{
    struct core_limits limits = one_at_a_time();

    play_begin(&limits);
    limits.running_max = 0;
    core_set_limits(play.core, &limits);
    ck_assert_int_eq(core_oldest_at_ms(play.core), 0);
    submit_keep(row(KIND_EXEC, "q", NULL), false);
    play.now_ms += 50;
    submit_keep(row(KIND_EXEC, "r", NULL), false);
    ck_assert_int_eq(core_oldest_at_ms(play.core), START_MS);
    step_keep(cancel(1));
    ck_assert_int_eq(core_oldest_at_ms(play.core), START_MS + 50);
    play_end();
}
END_TEST

/* ----- undo ----- */

static char *printed(void)
{
    struct buf text = BUF_INIT;

    core_print(play.core, &text);
    return buf_take(&text);
}

/* Every kind of input and what time brings, in one update. */
static void everything(void)
{
    submit(row(KIND_EXEC, "new queue", "new key"), false);
    submit(row(KIND_HTTP, "q", NULL), true);
    step(finished(1, 1, &bad));
    step(finished(2, 1, &good));
    step(cancel(3));
    step(cancel(4));
    step(plain(INPUT_HOLD, 5));
    step(plain(INPUT_LOST, 6));
    step(finished(7, 9, &good));
    step(plain(INPUT_RELEASE, 8));
    step((struct core_input){.kind = INPUT_QUEUE_SET, .queue = {"q", 3, 1}});
    step((struct core_input){.kind = INPUT_QUEUE_SET, .queue = {"other", 3, 0}});
    ck_assert_int_eq(core_tick(play.core, play.now_ms, play.update), 0);
    ck_assert_int_eq(core_start(play.core, play.now_ms, play.update), 0);
    ck_assert_int_eq(core_rows(play.core, play.update), 0);
}

/* 1, 2, 3, 6, 7 run; 4, 5 wait; 8 is held; 9 is scheduled; 10 has a bound in time. */
static void populate(void)
{
    struct core_limits limits = wide;
    struct job *job;

    limits.running_max = 5;
    core_set_limits(play.core, &limits);
    for (int i = 0; i < 3; i++)
        submit_keep(row(KIND_EXEC, "q", i ? NULL : "k"), false);
    core_drain(play.core, true);
    submit_keep(row(KIND_EXEC, "q", NULL), false);
    submit_keep(row(KIND_EXEC, "q", NULL), false);
    core_drain(play.core, false);
    for (int i = 0; i < 2; i++) {
        job = row(KIND_EXEC, "q", NULL);
        job->priority = 9;
        submit_keep(job, false);
    }
    submit_keep(row(KIND_EXEC, "q", NULL), true);
    job = row(KIND_EXEC, "q", NULL);
    job->run_at_ms = play.now_ms + 100;
    submit_keep(job, false);
    job = row(KIND_EXEC, "q", NULL);
    job->start_by_at_ms = play.now_ms + 50;
    submit_keep(job, false);
    play.now_ms += 100;
}

START_TEST(an_undone_update_leaves_no_trace)
{
    char *before, *after;

    play_begin(&wide);
    populate();
    before = printed();
    everything();
    core_undo(play.core, play.update);
    ck_assert_msg(!core_check(play.core), "%s", core_check(play.core));
    after = printed();
    ck_assert_str_eq(before, after);
    everything();
    core_keep(play.core, play.update);
    ck_assert_msg(!core_check(play.core), "%s", core_check(play.core));
    free(before);
    free(after);
    play_end();
}
END_TEST

START_TEST(a_refused_submission_of_many_leaves_none)
{
    struct core_submission items[64];
    char *before, *after;

    play_begin(&wide);
    populate();
    for (int i = 0; i < QUEUES_MAX; i++) {
        char name[32];

        snprintf(name, sizeof name, "queue%d", i);
        step((struct core_input){.kind = INPUT_QUEUE_SET, .queue = {name, 1, 0}});
    }
    round_keep();
    before = printed();
    for (int i = 0; i < 64; i++)
        items[i] = (struct core_submission){
            .job = row(KIND_EXEC, i == 60 ? "one too many" : "queue7", NULL)};
    ck_assert_int_eq(step((struct core_input){.kind = INPUT_SUBMIT, .submit = {items, 64, 0}}),
                     CORE_FULL);
    core_undo(play.core, play.update);
    after = printed();
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
    play_end();
}
END_TEST

START_TEST(rows_that_cannot_be_are_refused_at_the_load)
{
    struct job job = {.id = 1, .kind = KIND_EXEC, .state = JOB_QUEUED, .queue = (char *)"q"};

    play_begin(&wide);
    job.state = JOB_SUCCEEDED;
    ck_assert_int_eq(core_load(play.core, &job), -EINVAL);
    job.state = JOB_QUEUED;
    job.kind = KIND_COUNT;
    ck_assert_int_eq(core_load(play.core, &job), -EINVAL);
    job.kind = KIND_EXEC;
    job.queue = NULL;
    ck_assert_int_eq(core_load(play.core, &job), -EINVAL);
    job.queue = (char *)"q";
    ck_assert_int_eq(core_load(play.core, &job), 0);
    ck_assert_int_eq(core_load(play.core, &job), -EINVAL);
    ck_assert_int_eq(core_load_end(play.core, 1), 0);
    play_end();
}
END_TEST

START_TEST(a_waiting_job_costs_less_than_80_bytes)
{
    struct core_limits none = wide;
    struct core_submission items[1000];
    struct job jobs[1000];

    none.running_max = 0;
    play_begin(&none);
    for (int n = 0; n < 300; n++) {
        for (int i = 0; i < 1000; i++) {
            jobs[i] = (struct job){.kind = KIND_EXEC, .queue = (char *)"q"};
            items[i] = (struct core_submission){.job = &jobs[i]};
        }
        struct core_input in = {.kind = INPUT_SUBMIT, .submit = {items, 1000, 0}};
        ck_assert_int_eq(core_step(play.core, &in, play.now_ms, play.update), CORE_OK);
        core_keep(play.core, play.update);
    }
    ck_assert_uint_le(core_bytes(play.core) / 300000, 80);
    play_end();
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "jobs_core", only_the_moves_of_the_table_are_allowed, a_final_state_has_no_way_out,
        a_job_starts_in_the_round_that_submits_it,
        failures_are_retried_until_the_attempts_are_used_up,
        a_failure_that_cannot_heal_is_final_at_once,
        a_timeout_of_the_attempt_is_a_failure_that_retries,
        an_attempt_that_asks_for_a_human_is_held, a_shutdown_gives_the_attempt_back,
        the_third_crash_is_poison, the_end_of_an_older_attempt_changes_nothing,
        an_attempt_ends_once, a_target_may_ask_for_a_longer_wait_but_not_for_years,
        no_attempt_begins_after_retry_for, a_retrying_job_whose_time_passes_fails,
        a_job_that_comes_back_too_late_does_not_start_again, a_waiting_job_is_cancelled_at_once,
        a_running_job_is_asked_to_stop_and_then_cancelled,
        a_success_after_a_cancel_is_a_success, a_cancelled_job_does_not_come_back_after_a_crash,
        hold_and_release_may_be_asked_twice, a_held_job_keeps_its_time,
        retry_now_ends_the_wait_of_a_retrying_job_only,
        a_job_that_does_not_start_in_time_expires, start_by_does_not_matter_once_it_has_started,
        many_that_are_due_at_once_are_moved_in_bounded_rounds,
        priority_goes_first_then_the_older_one, queues_take_turns, keys_of_a_queue_take_turns,
        a_kind_at_its_limit_is_skipped_not_waited_on, a_queue_at_its_limit_or_paused_is_skipped,
        a_lower_limit_is_obeyed_from_the_next_start_on, the_backlog_is_bounded,
        the_oldest_queued_job_is_known, an_undone_update_leaves_no_trace,
        a_refused_submission_of_many_leaves_none, rows_that_cannot_be_are_refused_at_the_load,
        a_waiting_job_costs_less_than_80_bytes);
}
