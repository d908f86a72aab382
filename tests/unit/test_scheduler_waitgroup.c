/* The wait group, and the two ways to misuse it that it notices. */
#include "scheduler/waitgroup.h"

#include "base/log.h"
#include "tests/lib/scheduled.h"

#include <stdio.h>
#include <string.h>

enum { CROWD = 200, ROUNDS = 200 / SLOWDOWN };

struct shared {
    struct waitgroup waitgroup;
    _Atomic unsigned done, passed;
};

static int work_task(void *arg)
{
    struct shared *s = arg;

    if (atomic_fetch_add(&s->done, 1) % 3 == 0)
        ck_assert_int_eq(task_yield(), 0);
    waitgroup_done(&s->waitgroup);
    return 0;
}

static int wait_task(void *arg)
{
    struct shared *s = arg;

    ck_assert_int_eq(waitgroup_wait(&s->waitgroup, 0), 0);
    ck_assert_uint_eq(atomic_load(&s->done) % CROWD, 0);
    atomic_fetch_add(&s->passed, 1);
    return 0;
}

static int rounds(void *arg)
{
    struct shared s = {.done = 0};
    struct group g;

    (void)arg;
    waitgroup_init(&s.waitgroup);
    ck_assert_int_eq(waitgroup_wait(&s.waitgroup, 0), 0); /* zero from the start */
    for (unsigned i = 0; i < ROUNDS; i++) {
        group_open(&g, "round");
        waitgroup_add(&s.waitgroup, CROWD);
        for (int k = 0; k < CROWD; k++) {
            ck_assert_int_eq(group_go(&g, work_task, &s), 0);
            if (k % 50 == 0)
                ck_assert_int_eq(group_go(&g, wait_task, &s), 0);
        }
        ck_assert_int_eq(waitgroup_wait(&s.waitgroup, 0), 0);
        ck_assert_uint_eq(atomic_load(&s.done), (i + 1) * CROWD);
        ck_assert_int_eq(group_join(&g), 0);
        ck_assert_uint_eq(atomic_load(&s.passed), (i + 1) * 4);
    }
    return 0;
}

START_TEST(waiting_ends_when_the_last_is_done_and_not_before)
{
    scheduled(_i == 0 ? 1 : 2, rounds, NULL);
}
END_TEST

static int many(void *arg)
{
    struct shared s = {.done = 0};
    struct group g;

    (void)arg;
    waitgroup_init(&s.waitgroup);
    waitgroup_add(&s.waitgroup, 2);
    group_open(&g, "many");
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(group_go(&g, wait_task, &s), 0);
    let_others_run();
    waitgroup_done(&s.waitgroup);
    let_others_run();
    ck_assert_uint_eq(atomic_load(&s.passed), 0);
    waitgroup_done(&s.waitgroup);
    waitgroup_add(&s.waitgroup, 1); /* of the next round: holds none of them back */
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_uint_eq(atomic_load(&s.passed), CROWD);
    ck_assert_int_eq(waitgroup_wait(&s.waitgroup, SOON), -ETIMEDOUT);
    waitgroup_done(&s.waitgroup);
    return 0;
}

START_TEST(zero_wakes_all_who_waited_for_it)
{
    scheduled(1, many, NULL); /* one processor: all have come to wait when asked */
}
END_TEST

static int patient_task(void *arg)
{
    struct shared *s = arg;

    int r = waitgroup_wait(&s->waitgroup, 0);
    atomic_fetch_add(&s->passed, 1);
    return r;
}

static int cancelling(void *arg)
{
    struct shared s = {.done = 0};
    struct group g;

    (void)arg;
    waitgroup_init(&s.waitgroup);
    waitgroup_add(&s.waitgroup, 1);
    group_open(&g, "cancelled");
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(group_go(&g, patient_task, &s), 0);
    let_others_run();
    ck_assert_int_eq(group_close(&g), -ECANCELED);
    ck_assert_uint_eq(atomic_load(&s.passed), 3);
    waitgroup_done(&s.waitgroup); /* touches no frame that is gone */
    return waitgroup_wait(&s.waitgroup, 0);
}

START_TEST(a_cancelled_waiter_leaves_the_queue)
{
    scheduled(_i == 0 ? 1 : 2, cancelling, NULL);
}
END_TEST

START_TEST(counting_below_zero_aborts)
{
    struct waitgroup w;

    waitgroup_init(&w);
    waitgroup_add(&w, 1);
    waitgroup_done(&w);
    waitgroup_done(&w);
}
END_TEST

/* How often a line of the log names the site. */
static unsigned count_reports(FILE *log, const char *site)
{
    char line[1024];
    unsigned count = 0;

    rewind(log);
    while (fgets(line, sizeof line, log) != NULL)
        count += strstr(line, "waitgroup_add_ones") != NULL && strstr(line, site) != NULL;
    return count;
}

START_TEST(adding_ones_in_a_loop_is_reported_once_a_site)
{
    struct waitgroup a, b;
    FILE *log = tmpfile();

    log_setup(fileno(log), LOG_TEXT, LOG_WARN);
    waitgroup_init(&a);
    waitgroup_init(&b);
    for (int i = 0; i < WAITGROUP_ADD_ONES_MAX; i++)
        waitgroup_add_at(&a, 1, "modest.c:1");
    waitgroup_add_at(&a, 2, "modest.c:1"); /* ends the row */
    for (int i = 0; i < WAITGROUP_ADD_ONES_MAX; i++)
        waitgroup_add_at(&a, 1, "modest.c:1");
    ck_assert_uint_eq(count_reports(log, "modest.c:1"), 0);

    for (int i = 0; i < 100; i++) {
        waitgroup_add_at(&a, 1, "loop.c:7");
        waitgroup_add_at(&b, 1, "loop.c:7");
        if (i % 2 == 0)
            waitgroup_done(&a);
    }
    ck_assert_uint_eq(count_reports(log, "loop.c:7"), 1);
    for (int i = 0; i < 100; i++)
        waitgroup_add(&a, 1);
    ck_assert_uint_eq(count_reports(log, "test_scheduler_waitgroup.c:"), 1);
    fclose(log);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_waitgroup");
    TCase *tc = tcase_create("waitgroup");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, waiting_ends_when_the_last_is_done_and_not_before, 0, 2);
    tcase_add_test(tc, zero_wakes_all_who_waited_for_it);
    tcase_add_loop_test(tc, a_cancelled_waiter_leaves_the_queue, 0, 2);
    tcase_add_test_raise_signal(tc, counting_below_zero_aborts, SIGABRT);
    tcase_add_test(tc, adding_ones_in_a_loop_is_reported_once_a_site);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
