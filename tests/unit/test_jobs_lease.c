/* Leases in the core: who gets what, and how a lease ends. */
#include "jobs/core.h"

#include "tests/lib/play.h"
#include "tests/lib/suite.h"

#define LEASE_MS 10000
#define TIMEOUT_MS 60000

static const struct lease_terms terms = {
    .lease_ms = LEASE_MS,
    .timeout_ms = TIMEOUT_MS,
    .retry = {.max_attempts = 2, .base_ms = 1000, .factor = 2, .cap_ms = 60000}};
static struct core_lease last;

/* Leases one job of a queue into the open update; false when there is none. */
static bool take(const char *queue)
{
    bool usual;
    int r = CORE_NOT_FOUND;

    while (r == CORE_NOT_FOUND) {
        if (!core_lease_pick(play.core, queue, play.update, &last, &usual))
            return false;
        r = core_lease(play.core, &terms, play.now_ms, play.update, &last);
    }
    ck_assert_int_eq(r, CORE_OK);
    return true;
}

static bool take_keep(const char *queue)
{
    bool taken = take(queue);

    round_keep();
    return taken;
}

static uint64_t for_worker(const char *queue)
{
    return submit_keep(row(KIND_WORKER, queue, NULL), false);
}

static struct core_input renewal(uint64_t id, uint32_t fence)
{
    return (struct core_input){.kind = INPUT_RENEW, .renew = {.id = id, .fence = fence}};
}

/* As a worker's: the retry is the lease's own. */
static struct core_input worker_end(uint64_t id, uint32_t fence, const struct outcome *o)
{
    return (struct core_input){.kind = INPUT_FINISHED,
                               .finished = {.id = id, .fence = fence, .outcome = o}};
}

static void pass(int64_t ms)
{
    play.now_ms += ms;
    round_keep();
}

/* ----- giving ----- */

START_TEST(a_job_for_a_worker_waits_until_it_is_asked_for)
{
    play_begin(&wide);
    uint64_t id = for_worker("q");
    state_is(id, JOB_QUEUED);
    ck_assert(!take_keep("other"));
    ck_assert(take_keep("q"));
    ck_assert_uint_eq(last.id, id);
    ck_assert_uint_eq(last.fence, 1);
    ck_assert_int_eq(last.until_ms, START_MS + LEASE_MS);
    ck_assert_int_eq(last.deadline_ms, START_MS + TIMEOUT_MS);
    ck_assert(!take_keep("q"));
    ck_assert_int_eq(step_keep(worker_end(id, 1, &good)), CORE_OK);
    story_is("[0] job 1 is leased: running, attempt 1, fence 1\n"
             "[0] job 1 ended: succeeded, attempt 1, fence 1\n");
    play_end();
}
END_TEST

START_TEST(a_job_is_leased_in_the_round_that_submits_it)
{
    play_begin(&wide);
    submit(row(KIND_WORKER, "q", NULL), false);
    ck_assert(take("q"));
    ck_assert_ptr_eq(last.submission, &play.submissions[0]);
    round_keep();
    ck_assert_int_eq(play.rows[0].state, JOB_RUNNING);
    ck_assert_int_eq(play.rows[0].lease_until_ms, START_MS + LEASE_MS);
    play_end();
}
END_TEST

START_TEST(the_important_go_first)
{
    play_begin(&wide);
    for_worker("q");
    struct job *urgent = row(KIND_WORKER, "q", NULL);
    urgent->priority = 9;
    uint64_t id = submit_keep(urgent, false);
    ck_assert(take_keep("q"));
    ck_assert_uint_eq(last.id, id);
    play_end();
}
END_TEST

START_TEST(a_queue_at_its_limit_or_paused_gives_nothing)
{
    struct core_input limit = {.kind = INPUT_QUEUE_SET, .queue = {"q", 1, -1, -1}};
    struct core_input pause = {.kind = INPUT_QUEUE_SET, .queue = {"q", 0, -1, 1}};
    struct core_input go_on = {.kind = INPUT_QUEUE_SET, .queue = {"q", -1, -1, 0}};

    play_begin(&wide);
    for_worker("q");
    for_worker("q");
    step_keep(limit);
    ck_assert(take_keep("q"));
    ck_assert(!take_keep("q"));
    step_keep(worker_end(last.id, 1, &good));
    step_keep(pause);
    ck_assert(!take_keep("q"));
    step_keep(go_on);
    ck_assert(take_keep("q"));
    play_end();
}
END_TEST

START_TEST(leases_are_bounded_apart_from_what_the_daemon_runs)
{
    static const struct core_limits narrow = {
        .running_max = 1, .kind_max = {[KIND_EXEC] = 1, [KIND_WORKER] = 2}, .crashes_max = 3};

    play_begin(&narrow);
    uint64_t own = submit_keep(row(KIND_EXEC, "q", NULL), false);
    for (int i = 0; i < 3; i++)
        for_worker("q");
    ck_assert(take_keep("q") && take_keep("q"));
    ck_assert(!take_keep("q"));
    ck_assert_uint_eq(core_running(play.core), 1);
    state_is(own, JOB_RUNNING);
    step_keep(worker_end(last.id, 1, &good));
    ck_assert(take_keep("q"));
    play_end();
}
END_TEST

START_TEST(a_daemon_that_drains_gives_nothing_and_hears_everything)
{
    play_begin(&wide);
    for_worker("q");
    for_worker("q");
    ck_assert(take_keep("q"));
    core_drain(play.core, true);
    ck_assert(!take_keep("q"));
    ck_assert_int_eq(step_keep(renewal(last.id, 1)), CORE_OK);
    ck_assert_int_eq(step_keep(worker_end(last.id, 1, &good)), CORE_OK);
    play_end();
}
END_TEST

START_TEST(a_job_whose_time_to_start_has_passed_is_not_given_away)
{
    play_begin(&wide);
    struct job *late = row(KIND_WORKER, "q", NULL);
    late->start_by_at_ms = START_MS + 5;
    submit_keep(late, false);
    uint64_t id = for_worker("q");
    play.now_ms += 6;
    ck_assert(take_keep("q"));
    ck_assert_uint_eq(last.id, id);
    play_end();
}
END_TEST

/* ----- the lease ----- */

START_TEST(a_lease_that_is_not_renewed_is_a_crash_and_the_job_waits_again)
{
    play_begin(&wide);
    uint64_t id = for_worker("q");
    ck_assert(take_keep("q"));
    ck_assert_int_eq(core_next_at_ms(play.core, play.now_ms), START_MS + LEASE_MS + 1);
    pass(LEASE_MS);
    state_is(id, JOB_RUNNING);
    pass(1);
    state_is(id, JOB_QUEUED);
    ck_assert(take_keep("q"));
    story_is("[0] job 1 is leased: running, attempt 1, fence 1\n"
             "[10001] job 1 returned: queued lease_lost, attempt 0, fence 1\n"
             "[10001] job 1 is leased: running, attempt 1, fence 2\n");
    ck_assert_uint_eq(last.crashes, 1);
    play_end();
}
END_TEST

START_TEST(the_third_lost_lease_is_poison)
{
    play_begin(&wide);
    for_worker("q");
    for (int i = 0; i < 3; i++) {
        ck_assert(take_keep("q"));
        story_skip();
        pass(LEASE_MS + 1);
    }
    story_is("[30003] job 1 ended: failed poison, attempt 0, fence 3\n");
    play_end();
}
END_TEST

START_TEST(a_renewed_lease_lasts)
{
    play_begin(&wide);
    uint64_t id = for_worker("q");
    ck_assert(take_keep("q"));
    for (int i = 0; i < 5; i++) {
        struct core_input in = renewal(id, 1);

        pass(LEASE_MS - 1);
        ck_assert_int_eq(core_step(play.core, &in, play.now_ms, play.update), CORE_OK);
        ck_assert(!in.renew.ret_stop);
        ck_assert_int_eq(in.renew.ret_until_ms, play.now_ms + LEASE_MS);
        round_keep();
    }
    state_is(id, JOB_RUNNING);
    play_end();
}
END_TEST

START_TEST(another_fence_renews_nothing)
{
    play_begin(&wide);
    uint64_t id = for_worker("q");
    ck_assert(take_keep("q"));
    ck_assert_int_eq(step_keep(renewal(id, 2)), CORE_STALE);
    ck_assert_int_eq(step_keep(renewal(id + 1, 1)), CORE_NOT_FOUND);
    pass(LEASE_MS + 1);
    ck_assert_int_eq(step_keep(renewal(id, 1)), CORE_STALE);
    state_is(id, JOB_QUEUED);
    play_end();
}
END_TEST

START_TEST(who_comes_late_is_superseded_and_changes_nothing)
{
    play_begin(&wide);
    uint64_t id = for_worker("q");
    ck_assert(take_keep("q"));
    pass(LEASE_MS + 1);
    ck_assert_int_eq(step_keep(worker_end(id, 1, &good)), CORE_STALE); /* it waits again */
    state_is(id, JOB_QUEUED);
    ck_assert(take_keep("q"));
    ck_assert_int_eq(step_keep(worker_end(id, 1, &good)), CORE_STALE); /* another has it */
    state_is(id, JOB_RUNNING);
    ck_assert_int_eq(step_keep(worker_end(id, 2, &good)), CORE_OK);
    play_end();
}
END_TEST

/* ----- time ----- */

START_TEST(an_attempt_that_takes_too_long_is_a_failure_though_its_lease_is_renewed)
{
    play_begin(&wide);
    uint64_t id = for_worker("q");
    ck_assert(take_keep("q"));
    for (int64_t ms = 0; ms < TIMEOUT_MS; ms += LEASE_MS) {
        pass(LEASE_MS);
        ck_assert_int_eq(step_keep(renewal(id, 1)), CORE_OK);
    }
    story_skip();
    pass(1);
    story_is(
        "[60001] job 1 waits to be retried: retrying timeout_attempt, attempt 1, fence 1\n");
    pass(1000);
    ck_assert(take_keep("q"));
    story_skip();
    step_keep(worker_end(id, 2, &bad)); /* of two attempts */
    story_is("[61001] job 1 ended: failed exit_nonzero, attempt 2, fence 2\n");
    play_end();
}
END_TEST

START_TEST(the_whole_time_of_a_job_ends_its_lease_for_good)
{
    play_begin(&wide);
    struct job *job = row(KIND_WORKER, "q", NULL);
    job->retry_until_at_ms = START_MS + 5000;
    submit_keep(job, false);
    ck_assert(take_keep("q"));
    ck_assert_int_eq(last.deadline_ms, START_MS + 5000);
    story_skip();
    pass(5001);
    story_is("[5001] job 1 ended: failed timeout_total, attempt 1, fence 1\n");
    play_end();
}
END_TEST

/* ----- cancel ----- */

START_TEST(a_cancel_is_told_at_the_next_renewal_and_has_a_grace)
{
    play_begin(&wide);
    uint64_t id = for_worker("q");
    struct core_input in = renewal(id, 1);
    ck_assert(take_keep("q"));
    pass(2000);
    ck_assert_int_eq(step_keep(cancel(id)), CORE_STOPPING);
    pass(3000);
    ck_assert_int_eq(core_step(play.core, &in, play.now_ms, play.update), CORE_OK);
    ck_assert(in.renew.ret_stop);
    ck_assert_int_eq(in.renew.ret_until_ms, START_MS + 2000 + LEASE_MS); /* from the cancel */
    round_keep();
    story_skip();
    pass(LEASE_MS - 3000 + 1);
    story_is("[12001] job 1 ended: cancelled cancelled_by_user, attempt 1, fence 1\n");
    ck_assert_int_eq(step_keep(worker_end(id, 1, &good)), CORE_NOT_FOUND);
    play_end();
}
END_TEST

START_TEST(a_worker_that_stops_in_time_ends_a_cancelled_job)
{
    play_begin(&wide);
    uint64_t one = for_worker("q"), two = for_worker("q");
    ck_assert(take_keep("q") && take_keep("q"));
    step_keep(cancel(one));
    step_keep(cancel(two));
    story_skip();
    step_keep(worker_end(one, 1, &bad));
    step_keep(worker_end(two, 1, &good)); /* effects are not denied */
    story_is("[0] job 1 ended: cancelled cancelled_by_user, attempt 1, fence 1\n"
             "[0] job 2 ended: succeeded, attempt 1, fence 1\n");
    play_end();
}
END_TEST

START_TEST(a_forced_cancel_of_a_leased_job_waits_for_nobody)
{
    struct core_input force = {.kind = INPUT_CANCEL};

    play_begin(&wide);
    force.cancel.id = for_worker("q");
    ck_assert(take_keep("q"));
    story_skip();
    ck_assert_int_eq(step_keep(force), CORE_OK);
    story_is("[0] job 1 ended: cancelled cancelled_by_user, attempt 1, fence 1\n");
    play_end();
}
END_TEST

START_TEST(a_second_cancel_may_shorten_the_grace_but_not_prolong_it)
{
    struct core_input shorter = {.kind = INPUT_CANCEL};

    play_begin(&wide);
    uint64_t id = for_worker("q");
    shorter.cancel.id = id;
    shorter.cancel.grace_ms = 100;
    ck_assert(take_keep("q"));
    step_keep(cancel(id));
    ck_assert_int_eq(step_keep(shorter), CORE_STOPPING);
    ck_assert_int_eq(step_keep(cancel(id)), CORE_STOPPING);
    ck_assert_int_eq(core_next_at_ms(play.core, play.now_ms), START_MS + 101);
    pass(101);
    state_is(id, JOB_CANCELLED);
    play_end();
}
END_TEST

/* ----- snooze ----- */

START_TEST(a_snoozed_job_comes_back_at_its_time_and_counts_nothing)
{
    struct outcome later = {.kind = OUTCOME_SNOOZED, .snooze_until_ms = START_MS + 700};
    struct outcome now = {.kind = OUTCOME_SNOOZED};

    play_begin(&wide);
    uint64_t id = for_worker("q");
    ck_assert(take_keep("q"));
    story_skip();
    step_keep(worker_end(id, 1, &later));
    pass(700);
    ck_assert(take_keep("q"));
    step_keep(worker_end(id, 2, &now));
    ck_assert(take_keep("q"));
    story_is("[0] job 1 returned: scheduled snoozed, attempt 0, fence 1\n"
             "[700] job 1 is leased: running, attempt 1, fence 2\n"
             "[700] job 1 returned: queued snoozed, attempt 0, fence 2\n"
             "[700] job 1 is leased: running, attempt 1, fence 3\n");
    play_end();
}
END_TEST

START_TEST(a_job_that_is_to_stop_cannot_be_snoozed)
{
    struct outcome later = {.kind = OUTCOME_SNOOZED, .snooze_until_ms = START_MS + 700};

    play_begin(&wide);
    uint64_t id = for_worker("q");
    ck_assert(take_keep("q"));
    step_keep(cancel(id));
    step_keep(worker_end(id, 1, &later));
    state_is(id, JOB_CANCELLED);
    play_end();
}
END_TEST

/* ----- undo ----- */

static void printed(struct buf *ret)
{
    buf_clear(ret);
    core_print(play.core, ret);
}

/* What the update did is taken back; all is as before it (I7). */
static void undone_is(const struct buf *before)
{
    OWN_BUF struct buf now = BUF_INIT;

    core_undo(play.core, play.update);
    printed(&now);
    ck_assert_str_eq(buf_str(&now), buf_str(before));
    ck_assert_msg(!core_check(play.core), "%s", core_check(play.core));
}

START_TEST(what_the_store_refuses_of_a_lease_never_was)
{
    struct outcome later = {.kind = OUTCOME_SNOOZED, .snooze_until_ms = START_MS + 700};
    struct core_input force = {.kind = INPUT_CANCEL};
    OWN_BUF struct buf before = BUF_INIT;

    play_begin(&wide);
    uint64_t id = for_worker("q");
    force.cancel.id = id;
    printed(&before);
    ck_assert(take("q"));
    undone_is(&before);

    struct core_input steps[] = {renewal(id, 1),
                                 worker_end(id, 1, &good),
                                 worker_end(id, 1, &bad),
                                 worker_end(id, 1, &later),
                                 cancel(id),
                                 force};

    ck_assert(take_keep("q"));
    play.now_ms += 10;
    printed(&before);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        step(steps[i]);
        undone_is(&before);
    }
    play.now_ms += LEASE_MS;
    ck_assert_int_eq(core_tick(play.core, play.now_ms, play.update), 0);
    undone_is(&before);
    play_end();
}
END_TEST

/* ----- a new daemon ----- */

START_TEST(a_new_daemon_finds_leases_as_they_were)
{
    struct job row = {.id = 1,
                      .kind = KIND_WORKER,
                      .state = JOB_RUNNING,
                      .attempt = 1,
                      .fence = 4,
                      .queue = (char *)"q",
                      .started_at_ms = START_MS,
                      .lease_until_ms = START_MS + 500};
    uint32_t pos = 0;

    play_begin(&wide);
    ck_assert_int_eq(core_load(play.core, &row), 0);
    ck_assert_uint_eq(core_leased_next(play.core, &pos), 1);
    core_lease_restore(play.core, 1, &terms);
    ck_assert_int_eq(core_load_end(play.core, 1), 0);
    pos = 0;
    ck_assert_uint_eq(core_live_next(play.core, &pos), 0); /* not to be taken back */
    ck_assert_int_eq(step_keep(renewal(1, 4)), CORE_OK);
    pass(LEASE_MS);
    ck_assert_int_eq(step_keep(worker_end(1, 4, &good)), CORE_OK);
    play_end();
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "jobs_lease", a_job_for_a_worker_waits_until_it_is_asked_for,
        a_job_is_leased_in_the_round_that_submits_it, the_important_go_first,
        a_queue_at_its_limit_or_paused_gives_nothing,
        leases_are_bounded_apart_from_what_the_daemon_runs,
        a_daemon_that_drains_gives_nothing_and_hears_everything,
        a_job_whose_time_to_start_has_passed_is_not_given_away,
        a_lease_that_is_not_renewed_is_a_crash_and_the_job_waits_again,
        the_third_lost_lease_is_poison, a_renewed_lease_lasts, another_fence_renews_nothing,
        who_comes_late_is_superseded_and_changes_nothing,
        an_attempt_that_takes_too_long_is_a_failure_though_its_lease_is_renewed,
        the_whole_time_of_a_job_ends_its_lease_for_good,
        a_cancel_is_told_at_the_next_renewal_and_has_a_grace,
        a_worker_that_stops_in_time_ends_a_cancelled_job,
        a_forced_cancel_of_a_leased_job_waits_for_nobody,
        a_second_cancel_may_shorten_the_grace_but_not_prolong_it,
        a_snoozed_job_comes_back_at_its_time_and_counts_nothing,
        a_job_that_is_to_stop_cannot_be_snoozed, what_the_store_refuses_of_a_lease_never_was,
        a_new_daemon_finds_leases_as_they_were);
}
