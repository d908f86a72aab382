/* Random programs on channels do what a sequential model says (chan_play.h).
 *
 * STINT_SEED=n repeats one program; a failure names its seed and step. */
#include "tests/lib/chan_play.h"
#include "tests/lib/scheduled.h"

enum { PROGRAMS = 3000 / SLOWDOWN };

static int programs(void *arg)
{
    const char *seed = getenv("STINT_SEED");

    (void)arg;
    if (seed != NULL)
        chan_play_seed(strtoull(seed, NULL, 10));
    for (uint64_t i = 0; seed == NULL && i < PROGRAMS; i++)
        chan_play_seed(SCHEDULED_SEED + i);
    return 0;
}

START_TEST(random_programs_do_what_the_sequential_model_says)
{
    scheduled(1, programs, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_chan_model");
    TCase *tc = tcase_create("model");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, random_programs_do_what_the_sequential_model_says);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
