/* Who starts next, what is refused, and what is undone. */
#include "jobs/core.h"

#include "tests/lib/play.h"
#include "tests/lib/suite.h"

#include <errno.h>

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
        (struct core_input){.kind = INPUT_QUEUE_SET, .queue = {name, concurrency, -1, paused}});
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
    step((struct core_input){.kind = INPUT_QUEUE_SET, .queue = {"q", 3, 1, 1}});
    step((struct core_input){.kind = INPUT_QUEUE_SET, .queue = {"other", 3, 1, 0}});
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
        step((struct core_input){.kind = INPUT_QUEUE_SET, .queue = {name, 1, 0, 0}});
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
    return SUITE_MAIN("jobs_order", priority_goes_first_then_the_older_one, queues_take_turns,
                      keys_of_a_queue_take_turns, a_kind_at_its_limit_is_skipped_not_waited_on,
                      a_queue_at_its_limit_or_paused_is_skipped,
                      a_lower_limit_is_obeyed_from_the_next_start_on, the_backlog_is_bounded,
                      the_oldest_queued_job_is_known, an_undone_update_leaves_no_trace,
                      a_refused_submission_of_many_leaves_none,
                      rows_that_cannot_be_are_refused_at_the_load,
                      a_waiting_job_costs_less_than_80_bytes);
}
