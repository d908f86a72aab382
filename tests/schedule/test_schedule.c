/* The scheduler's units under schedules drawn from seeds; see control.h.
 *
 * STINT_SEED=n repeats one schedule of each play. STINT_SOAK=1 runs a hundred times as many. */
#include "tests/schedule/plays.h"

/* Check counts its own steps. */
#undef malloc
#undef free
#undef realloc

#include <check.h>
#include <signal.h>
#include <stdio.h>

#if defined(__SANITIZE_ADDRESS__)
#define SLOWDOWN 25
#else
#define SLOWDOWN 1
#endif

enum { SEEDS = 30000 / SLOWDOWN, SOAK_FACTOR = 100 };

static const struct control_play *const plays[] = {
    &play_runq,       &play_runq_next,      &play_event,  &play_chan,
    &play_rendezvous, &play_close,          &play_select, &play_select_deadline,
    &play_mutex,      &play_mutex_deadline, &play_cond,   &play_semaphore,
    &play_timer,      &play_timer_again,    &play_group,  &play_group_limit,
    &play_run,
};
enum { PLAYS = sizeof plays / sizeof *plays };

/* ASan is told of a switch just before it, and does not bear the mutant of the last in between.
 */
#if defined(__SANITIZE_ADDRESS__)
enum { TORN = PLAYS - 1 };
#else
enum { TORN = PLAYS };
#endif

/* The first seed that fails, in ret; false: none of them. */
static bool find(const struct control_play *play, bool torn, struct control_result *ret)
{
    const char *chosen = getenv("STINT_SEED");
    uint64_t seeds = SEEDS * (getenv("STINT_SOAK") != NULL ? UINT64_C(1) * SOAK_FACTOR : 1);
    uint64_t first = chosen != NULL ? strtoull(chosen, NULL, 10) : 1;

    for (uint64_t seed = first; seed < first + (chosen != NULL ? 1 : seeds); seed++) {
        control_run(play, seed, torn, ret);
        if (ret->failed)
            return true;
    }
    return false;
}

START_TEST(every_schedule_of_it_keeps_its_promises)
{
    const struct control_play *play = plays[_i];
    struct control_result r;

    ck_assert_msg(!find(play, false, &r), "%s: STINT_SEED=%llu: %s after %llu steps",
                  play->name, (unsigned long long)r.seed, r.why, (unsigned long long)r.steps);
}
END_TEST

START_TEST(a_torn_operation_in_it_is_found_out)
{
    const struct control_play *play = plays[_i];
    struct control_result r;

    ck_assert_msg(find(play, true, &r), "%s: nothing found", play->name);
}
END_TEST

START_TEST(a_seed_that_failed_fails_again_in_the_same_way)
{
    const struct control_play *play = plays[_i];
    struct control_result first, again;

    ck_assert(find(play, true, &first));
    control_run(play, first.seed, true, &again);
    ck_assert(again.failed);
    ck_assert_str_eq(again.why, first.why);
    ck_assert_uint_eq(again.steps, first.steps);
}
END_TEST

/* A torn operation may have spoilt what leads to memory: that is a finding, too. In no schedule
 * it is the end. */
static void on_fault(int number)
{
    control_check(false, "no access to memory that is not there");
    (void)signal(number, SIG_DFL);
}

int main(void)
{
    const struct sigaction fault = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};

    Suite *s = suite_create("schedule");
    TCase *tc = tcase_create("plays");

    (void)sigaction(SIGSEGV, &fault, NULL);
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, every_schedule_of_it_keeps_its_promises, 0, PLAYS);
    tcase_add_loop_test(tc, a_torn_operation_in_it_is_found_out, 0, TORN);
    tcase_add_loop_test(tc, a_seed_that_failed_fails_again_in_the_same_way, 0, TORN);
    suite_add_tcase(s, tc);

    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
