#include "jobs/core.h"

#include "tests/lib/play.h"
#include "tests/lib/suite.h"

/* ----- the state table ----- */

START_TEST(only_the_moves_of_the_table_are_allowed)
{
    static const struct {
        enum job_state from;
        const char *to; /* h b s q r R S + - c e k by state number, as below */
    } table[] = {{STATE_NEW, "hbsq"},       {JOB_HELD, "bsqr-ce"}, {JOB_BLOCKED, "hsq-cek"},
                 {JOB_SCHEDULED, "hq-ce"},  {JOB_QUEUED, "hR-ce"}, {JOB_RETRYING, "hq-c"},
                 {JOB_RUNNING, "hsqrS+-c"}, {JOB_STOPPING, "+c"},  {JOB_SUCCEEDED, ""},
                 {JOB_FAILED, ""},          {JOB_CANCELLED, ""},   {JOB_EXPIRED, ""},
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
    ck_assert_uint_eq(core_changes(play.update).count, 0);
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
        many_that_are_due_at_once_are_moved_in_bounded_rounds);
}
