/* Events: one wake-up, from any thread, never lost and never doubled. */
#include "scheduler/event.h"

#include "tests/lib/scheduled.h"
#include "tests/lib/suite.h"

#include <pthread.h>

enum { ROUNDS = 100000 / SLOWDOWN };

struct bell {
    struct event *_Atomic ring; /* in the frame of the waiter */
    _Atomic bool stop;
};

/* Sets each event it is shown, once. */
static void *ringer(void *arg)
{
    struct bell *b = arg;

    while (!atomic_load(&b->stop)) {
        struct event *e = atomic_exchange(&b->ring, NULL);
        if (e != NULL)
            event_set(e);
    }
    return NULL;
}

static int wait_for_ringer(void *arg)
{
    struct bell b = {.stop = false};
    pthread_t thread;

    (void)arg;
    ck_assert_int_eq(pthread_create(&thread, NULL, ringer, &b), 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct event e;
        event_init(&e);
        atomic_store(&b.ring, &e);
        if (i % 3 == 0)
            ck_assert_int_eq(task_yield(), 0); /* set before, while, or after it waits */
        ck_assert_int_eq(event_wait(&e, 0), 0);
    }
    atomic_store(&b.stop, true);
    pthread_join(thread, NULL);
    return 0;
}

START_TEST(a_hundred_thousand_events_set_by_a_foreign_thread_all_arrive)
{
    scheduled((unsigned)_i + 1, wait_for_ringer, NULL);
}
END_TEST

static int race_deadline(void *arg)
{
    struct bell b = {.stop = false};
    pthread_t thread;
    unsigned late = 0;

    (void)arg;
    ck_assert_int_eq(pthread_create(&thread, NULL, ringer, &b), 0);
    for (int i = 0; i < ROUNDS / 10; i++) {
        struct event e;
        event_init(&e);
        atomic_store(&b.ring, &e);
        int r = event_wait(&e, clock_mono_ns() + (uint64_t)(i % 50) * NS_PER_US);
        ck_assert(r == 0 || r == -ETIMEDOUT);
        if (r == 0)
            continue;
        /* The frame must outlive the setter: take the event back or wait for it. */
        late++;
        if (atomic_exchange(&b.ring, NULL) == NULL)
            event_wait_shielded(&e);
    }
    atomic_store(&b.stop, true);
    pthread_join(thread, NULL);
    (void)late;
    return 0;
}

START_TEST(an_event_that_races_with_a_deadline_is_still_there_after)
{
    scheduled((unsigned)_i + 1, race_deadline, NULL);
}
END_TEST

static int once(void *arg)
{
    struct event e;

    (void)arg;
    event_init(&e);
    ck_assert(!event_is_set(&e));
    event_set(&e);
    event_set(&e);
    ck_assert(event_is_set(&e));
    ck_assert_int_eq(event_wait(&e, 0), 0);
    ck_assert(!event_is_set(&e));
    ck_assert_int_eq(event_wait(&e, clock_mono_ns() + NS_PER_MS), -ETIMEDOUT);
    event_set(&e);
    event_wait_shielded(&e);
    return 0;
}

START_TEST(setting_twice_is_setting_once)
{
    scheduled(1, once, NULL);
}
END_TEST

struct answer {
    struct event done, waiting;
    int result;
};

static int client_task(void *arg)
{
    struct answer *a = arg;

    event_set(&a->waiting);
    event_wait_shielded(&a->done);
    ck_assert_int_eq(task_cancelled(), -ECANCELED);
    return a->result;
}

static int shielded(void *arg)
{
    struct answer a = {.result = 0};
    struct group g;

    (void)arg;
    event_init(&a.done);
    event_init(&a.waiting);
    group_open(&g, "client");
    ck_assert_int_eq(group_go(&g, client_task, &a), 0);
    ck_assert_int_eq(event_wait(&a.waiting, 0), 0);
    group_cancel(&g, -ECANCELED);
    let_others_run();
    a.result = 5;
    event_set(&a.done);
    ck_assert_int_eq(group_join(&g), 0);
    return 0;
}

START_TEST(a_shielded_wait_outlasts_cancellation)
{
    scheduled((unsigned)_i + 1, shielded, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_event");
    TCase *tc = tcase_create("event");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_hundred_thousand_events_set_by_a_foreign_thread_all_arrive, 0, 2);
    tcase_add_loop_test(tc, an_event_that_races_with_a_deadline_is_still_there_after, 0, 2);
    tcase_add_test(tc, setting_twice_is_setting_once);
    tcase_add_loop_test(tc, a_shielded_wait_outlasts_cancellation, 0, 2);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
