/* The semaphore: never more inside than there are permits, and first come, first served. */
#include "scheduler/semaphore.h"

#include "tests/lib/scheduled.h"

enum { PERMITS = 3, CROWD = 12, ROUNDS = 5000 / SLOWDOWN };

struct shared {
    struct semaphore semaphore;
    _Atomic int inside, order;
};

static int inside_task(void *arg)
{
    struct shared *s = arg;

    for (int i = 0; i < ROUNDS; i++) {
        ck_assert_int_eq(semaphore_take(&s->semaphore, 0), 0);
        ck_assert_int_lt(atomic_fetch_add(&s->inside, 1), PERMITS);
        if (i % 8 == 0)
            ck_assert_int_eq(task_yield(), 0);
        atomic_fetch_sub(&s->inside, 1);
        semaphore_give(&s->semaphore, 1);
    }
    return 0;
}

static int crowding(void *arg)
{
    struct shared s = {.order = 0};
    struct group g;

    (void)arg;
    semaphore_init(&s.semaphore, PERMITS);
    group_open(&g, "crowd");
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(group_go(&g, inside_task, &s), 0);
    ck_assert_int_eq(group_join(&g), 0);
    for (int i = 0; i < PERMITS; i++)
        ck_assert(semaphore_try_take(&s.semaphore));
    ck_assert(!semaphore_try_take(&s.semaphore));
    return 0;
}

START_TEST(no_more_tasks_are_inside_than_there_are_permits)
{
    scheduled(_i == 0 ? 1 : 2, crowding, NULL);
}
END_TEST

struct client {
    struct shared *shared;
    _Atomic int place;
    int result;
};

static int take_task(void *arg)
{
    struct client *c = arg;

    c->result = semaphore_take(&c->shared->semaphore, 0);
    atomic_store(&c->place, 1 + atomic_fetch_add(&c->shared->order, 1));
    return 0;
}

static int queueing(void *arg)
{
    struct shared s = {.order = 0};
    struct client c[CROWD];
    struct group g, h;

    (void)arg;
    semaphore_init(&s.semaphore, 0);
    group_open(&g, "queue");
    group_open(&h, "cancelled");
    for (int i = 0; i < CROWD; i++) {
        c[i] = (struct client){.shared = &s};
        ck_assert_int_eq(group_go(i == 1 ? &h : &g, take_task, &c[i]), 0);
        let_others_run();
    }
    (void)group_close(&h);
    ck_assert_int_eq(c[1].result, -ECANCELED);
    semaphore_give(&s.semaphore, 1);
    semaphore_give(&s.semaphore, 0);
    ck_assert(!semaphore_try_take(&s.semaphore)); /* it is the first waiter's already */
    semaphore_give(&s.semaphore, CROWD);
    ck_assert_int_eq(group_join(&g), 0);
    for (int i = 2; i < CROWD; i++)
        ck_assert_int_eq(atomic_load(&c[i].place), i + 1);
    for (int i = 0; i < 2; i++) /* 13 were given and 11 taken */
        ck_assert(semaphore_try_take(&s.semaphore));
    ck_assert(!semaphore_try_take(&s.semaphore));
    return 0;
}

START_TEST(permits_go_to_the_longest_waiter_and_past_those_who_left)
{
    scheduled(1, queueing, NULL);
}
END_TEST

static int late(void *arg)
{
    struct semaphore s;

    (void)arg;
    semaphore_init(&s, 0);
    ck_assert_int_eq(semaphore_take(&s, SOON), -ETIMEDOUT);
    ck_assert_int_eq(semaphore_take(&s, 1), -ETIMEDOUT);
    semaphore_give(&s, 1);
    ck_assert_int_eq(semaphore_take(&s, 1), 0);
    return 0;
}

START_TEST(a_deadline_takes_no_permit)
{
    scheduled(1, late, NULL);
}
END_TEST

/* Takers that give up at random moments against givers: no permit is lost between them. */
static int hasty_task(void *arg)
{
    struct shared *s = arg;
    int taken = 0;

    for (int i = 0; i < ROUNDS; i++) {
        int r = semaphore_take(&s->semaphore, clock_mono_ns() + (uint64_t)(i % 64) * 1000);

        ck_assert(r == 0 || r == -ETIMEDOUT);
        if (r < 0)
            continue;
        taken++;
        ck_assert_int_eq(task_yield(), 0);
        semaphore_give(&s->semaphore, 1);
    }
    atomic_fetch_add(&s->order, taken);
    return 0;
}

static int hasty(void *arg)
{
    struct shared s = {.order = 0};
    struct group g;

    (void)arg;
    semaphore_init(&s.semaphore, PERMITS);
    group_open(&g, "hasty");
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(group_go(&g, hasty_task, &s), 0);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_int_gt(atomic_load(&s.order), 0);
    for (int i = 0; i < PERMITS; i++)
        ck_assert(semaphore_try_take(&s.semaphore));
    ck_assert(!semaphore_try_take(&s.semaphore));
    return 0;
}

START_TEST(deadlines_that_race_with_permits_lose_none)
{
    scheduled(_i == 0 ? 1 : 2, hasty, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_semaphore");
    TCase *tc = tcase_create("semaphore");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, no_more_tasks_are_inside_than_there_are_permits, 0, 2);
    tcase_add_test(tc, permits_go_to_the_longest_waiter_and_past_those_who_left);
    tcase_add_test(tc, a_deadline_takes_no_permit);
    tcase_add_loop_test(tc, deadlines_that_race_with_permits_lose_none, 0, 2);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
