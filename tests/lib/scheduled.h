/* scheduled.h: what the tests of the scheduler share. */
#ifndef TESTS_LIB_SCHEDULED_H
#define TESTS_LIB_SCHEDULED_H

#include "base/clock.h"
#include "scheduler/group.h"
#include "scheduler/scheduler.h"
#include "scheduler/task.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define SCHEDULED_SEED 20261123
#define SOON (clock_mono_ns() + 5 * NS_PER_MS)

/* Counts of repetitions are divided by it. */
#if defined(SLOWDOWN)
#elif defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SLOWDOWN 10
#else
#define SLOWDOWN 1
#endif

/* Runs fn(arg) as the root task, which must end with 0. */
static inline void scheduled(unsigned processors, task_fn fn, void *arg)
{
    const struct scheduler_options options = {.processors = processors, .seed = SCHEDULED_SEED};

    ck_assert_int_eq(scheduler_run(&options, fn, arg), 0);
}

/* On one processor every other runnable task has had its turn after this. */
static inline void let_others_run(void)
{
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(task_yield(), 0);
}

static inline int scheduled_main(Suite *s)
{
    SRunner *sr = srunner_create(s);

    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}

#endif
