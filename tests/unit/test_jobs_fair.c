/* Nobody starves: priority against age, keys against each other, limits of keys. */
#include "jobs/core.h"

#include "jobs/order.h"
#include "tests/lib/play.h"
#include "tests/lib/suite.h"

#include "base/rand.h"

#define MINUTE_MS ORDER_POINT_MS

static void begin(uint32_t running_max)
{
    struct core_limits limits = wide;

    limits.running_max = running_max;
    play_begin(&limits);
}

static uint64_t submit_as(enum job_kind kind, const char *key, int priority)
{
    struct job *job = row(kind, "q", key);

    job->priority = priority;
    return submit_keep(job, false);
}

static int limit_keys(int64_t key_concurrency)
{
    return step_keep(
        (struct core_input){.kind = INPUT_QUEUE_SET, .queue = {"q", -1, key_concurrency, -1}});
}

static uint64_t running(void)
{
    uint32_t pos = 0;

    return core_live_next(play.core, &pos);
}

/* Ends the one job that runs; the next one starts in the same round. */
static void end_running(void)
{
    enum job_state state;
    uint32_t fence;
    uint64_t id = running();

    ck_assert(core_job_state(play.core, id, &state, &fence));
    step_keep(finished(id, fence, &good));
}

/* Lets everything run, one after the other, and says in which order. */
static const char *order_of_starts(void)
{
    static char order[256];

    order[0] = 0;
    for (uint64_t id; (id = running()); end_running())
        snprintf(order + strlen(order), sizeof order - strlen(order), "%llu ",
                 (unsigned long long)id);
    return order;
}

/* ----- priority and age ----- */

START_TEST(a_point_of_priority_is_worth_a_minute_of_waiting)
{
    begin(1);
    submit_as(KIND_EXEC, NULL, 100); /* runs */
    submit_as(KIND_EXEC, NULL, 0);
    play.now_ms += 5 * MINUTE_MS - 1;
    submit_as(KIND_EXEC, NULL, 5); /* passes the second */
    play.now_ms += 1;
    submit_as(KIND_EXEC, NULL, 5); /* a moment too late to pass it */
    ck_assert_str_eq(order_of_starts(), "1 3 2 4 ");
    play_end();
}
END_TEST

/* The documented bound: 200 points, a minute each. */
START_TEST(the_lowest_priority_waits_200_minutes_behind_a_stream_of_the_highest)
{
    uint64_t lowest;
    int64_t since_ms;

    begin(1);
    submit_as(KIND_EXEC, NULL, 100);
    submit_as(KIND_EXEC, NULL, 100);
    lowest = submit_as(KIND_EXEC, NULL, -100);
    since_ms = play.now_ms;
    while (running() != lowest) {
        ck_assert_int_le(play.now_ms - since_ms, 202 * MINUTE_MS);
        play.now_ms += MINUTE_MS;
        submit_as(KIND_EXEC, NULL, 100);
        end_running();
    }
    ck_assert_int_ge(play.now_ms - since_ms, 199 * MINUTE_MS);
    play_end();
}
END_TEST

START_TEST(a_key_with_two_kinds_lets_the_older_one_start_in_the_end)
{
    uint64_t lowest;

    begin(1);
    submit_as(KIND_EXEC, "anna", 100);
    submit_as(KIND_EXEC, "anna", 100);
    lowest = submit_as(KIND_HTTP, "anna", -100);
    for (int minutes = 0; running() != lowest; minutes++) {
        ck_assert_int_le(minutes, 202);
        play.now_ms += MINUTE_MS;
        submit_as(KIND_EXEC, "anna", 100);
        end_running();
    }
    play_end();
}
END_TEST

START_TEST(what_a_crash_or_a_shutdown_interrupts_keeps_its_place)
{
    static const struct outcome shut = {.kind = OUTCOME_STOPPED, .reason = REASON_SHUTDOWN};
    struct core_limits none = wide, one = wide;

    begin(1);
    none.running_max = 0;
    one.running_max = 1;
    submit_as(KIND_EXEC, NULL, 0);
    play.now_ms += 1;
    submit_as(KIND_EXEC, NULL, 0);
    core_set_limits(play.core, &none);
    play.now_ms += MINUTE_MS;
    step_keep(finished(1, 1, &shut));
    core_set_limits(play.core, &one);
    round_keep();
    ck_assert_uint_eq(running(), 1);
    core_set_limits(play.core, &none);
    step_keep(plain(INPUT_LOST, 1));
    core_set_limits(play.core, &one);
    round_keep();
    ck_assert_uint_eq(running(), 1);
    play_end();
}
END_TEST

/* ----- keys ----- */

START_TEST(keys_take_turns_whatever_their_kinds_and_priorities)
{
    begin(1);
    submit_as(KIND_EXEC, NULL, 0); /* 1 runs meanwhile */
    for (int i = 0; i < 4; i++)
        submit_as(KIND_HTTP, "big", 50);
    submit_as(KIND_EXEC, "small", 0);
    submit_as(KIND_FILE, "tiny", -50);
    ck_assert_str_eq(order_of_starts(), "1 2 6 7 3 4 5 ");
    play_end();
}
END_TEST

START_TEST(a_key_with_more_kinds_has_no_more_turns)
{
    begin(1);
    submit_as(KIND_EXEC, NULL, 0); /* 1 runs meanwhile */
    for (int i = 0; i < 2; i++) {
        submit_as(KIND_EXEC, "anna", 0); /* 2 5 */
        submit_as(KIND_HTTP, "anna", 0); /* 3 6 */
        submit_as(KIND_EXEC, "bert", 0); /* 4 7 */
    }
    ck_assert_str_eq(order_of_starts(), "1 2 4 3 7 5 6 ");
    play_end();
}
END_TEST

START_TEST(a_key_keeps_its_turn_while_its_kind_is_at_its_limit)
{
    struct core_limits limits = wide;

    limits.running_max = 2;
    limits.kind_max[KIND_HTTP] = 1;
    play_begin(&limits);
    submit_as(KIND_HTTP, "anna", 0); /* 1 runs, and http is full */
    submit_as(KIND_EXEC, "bert", 0); /* 2 runs */
    submit_as(KIND_HTTP, "anna", 0); /* 3 */
    submit_as(KIND_EXEC, "bert", 0); /* 4 */
    submit_as(KIND_EXEC, "bert", 0); /* 5 */
    step_keep(finished(2, 1, &good));
    state_is(4, JOB_RUNNING);
    step_keep(finished(1, 1, &good));
    state_is(3, JOB_RUNNING);
    play_end();
}
END_TEST

START_TEST(a_key_at_its_limit_is_skipped_not_waited_on)
{
    begin(100);
    ck_assert_int_eq(limit_keys(1), CORE_OK);
    submit_as(KIND_EXEC, "anna", 0);
    submit_as(KIND_EXEC, "anna", 100);
    submit_as(KIND_EXEC, "bert", -100);
    submit_as(KIND_EXEC, NULL, 0);
    submit_as(KIND_EXEC, NULL, 0);
    state_is(1, JOB_RUNNING);
    state_is(2, JOB_QUEUED);
    state_is(3, JOB_RUNNING);
    state_is(4, JOB_RUNNING);
    state_is(5, JOB_RUNNING); /* no key, no limit of keys */
    step_keep(finished(1, 1, &good));
    state_is(2, JOB_RUNNING);
    play_end();
}
END_TEST

START_TEST(a_limit_of_keys_counts_all_kinds_and_each_queue_apart)
{
    begin(100);
    ck_assert_int_eq(limit_keys(2), CORE_OK);
    submit_as(KIND_EXEC, "anna", 0);
    submit_as(KIND_HTTP, "anna", 0);
    submit_as(KIND_FILE, "anna", 0);
    submit_keep(row(KIND_FILE, "other", "anna"), false);
    state_is(2, JOB_RUNNING);
    state_is(3, JOB_QUEUED);
    state_is(4, JOB_RUNNING);
    step_keep(finished(2, 1, &good));
    state_is(3, JOB_RUNNING);
    play_end();
}
END_TEST

START_TEST(a_new_limit_of_keys_is_obeyed_from_the_next_start_on)
{
    begin(100);
    submit_as(KIND_EXEC, "anna", 0);
    submit_as(KIND_EXEC, "anna", 0);
    ck_assert_int_eq(limit_keys(1), CORE_OK);
    submit_as(KIND_EXEC, "anna", 0);
    state_is(3, JOB_QUEUED);
    step_keep(finished(1, 1, &good));
    state_is(3, JOB_QUEUED);
    step_keep(finished(2, 1, &good));
    state_is(3, JOB_RUNNING);
    submit_as(KIND_EXEC, "anna", 0);
    state_is(4, JOB_QUEUED);
    ck_assert_int_eq(limit_keys(0), CORE_OK);
    state_is(4, JOB_RUNNING);
    play_end();
}
END_TEST

START_TEST(a_limit_of_keys_that_is_undone_binds_nobody)
{
    begin(100);
    submit_as(KIND_EXEC, "anna", 0);
    step((struct core_input){.kind = INPUT_QUEUE_SET, .queue = {"q", -1, 1, -1}});
    core_undo(play.core, play.update);
    ck_assert_ptr_null(core_check(play.core));
    submit_as(KIND_EXEC, "anna", 0);
    state_is(2, JOB_RUNNING);
    play_end();
}
END_TEST

/* Whatever comes, a key with something ready starts a job within as many starts as there are
 * keys: the bound of a round, on a thousand random ones. */
START_TEST(no_key_waits_longer_than_a_round)
{
    static const char *const keys[] = {"anna", "bert", "carl", "dora", "emil"};
    unsigned waited[5] = {0};
    static char of_job[4096]; /* the key of each job, by id */
    struct rand rand;

    rand_seed(&rand, 5);
    begin(1);
    submit_as(KIND_EXEC, keys[0], 0);
    for (int n = 0; n < 1000; n++) {
        uint64_t count = rand_below(&rand, 3);
        unsigned ready[5] = {0};

        for (; count > 0 && core_waiting(play.core) < 40; count--) {
            unsigned key = rand_below(&rand, 3) ? (unsigned)rand_below(&rand, 5) : 0;
            uint64_t id = submit_as((enum job_kind)(1 + rand_below(&rand, 3)), keys[key],
                                    (int)rand_below(&rand, 201) - 100);

            of_job[id] = (char)key;
        }
        for (uint32_t pos = 0, i;
             (i = entry_next(&play.core->queues.entries, &pos)) != ENTRY_NONE;) {
            const struct entry *e = core_entry(play.core, i);

            ready[(int)of_job[e->id]] += e->state == JOB_QUEUED;
        }
        if (!running())
            continue;
        end_running();
        for (unsigned key = 0; key < 5; key++)
            waited[key] = ready[key] ? waited[key] + 1 : 0;
        if (running())
            waited[(int)of_job[running()]] = 0;
        for (unsigned key = 0; key < 5; key++)
            ck_assert_uint_le(waited[key], 5);
        play.now_ms += (int64_t)rand_below(&rand, MINUTE_MS);
    }
    play_end();
}
END_TEST

int main(void)
{
    return SUITE_MAIN("jobs_fair", a_point_of_priority_is_worth_a_minute_of_waiting,
                      the_lowest_priority_waits_200_minutes_behind_a_stream_of_the_highest,
                      a_key_with_two_kinds_lets_the_older_one_start_in_the_end,
                      what_a_crash_or_a_shutdown_interrupts_keeps_its_place,
                      keys_take_turns_whatever_their_kinds_and_priorities,
                      a_key_with_more_kinds_has_no_more_turns,
                      a_key_keeps_its_turn_while_its_kind_is_at_its_limit,
                      a_key_at_its_limit_is_skipped_not_waited_on,
                      a_limit_of_keys_counts_all_kinds_and_each_queue_apart,
                      a_new_limit_of_keys_is_obeyed_from_the_next_start_on,
                      a_limit_of_keys_that_is_undone_binds_nobody,
                      no_key_waits_longer_than_a_round);
}
