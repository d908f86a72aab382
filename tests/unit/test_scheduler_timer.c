/* Callbacks at a time: never early, in order, stopped for good, moved when started again. */
#include "scheduler/timer.h"

#include "scheduler/event.h"

#include "tests/lib/scheduled.h"

enum { TIMERS = 300 / SLOWDOWN, STEP_NS = 50 * NS_PER_US };

struct alarm {
    struct timer timer; /* first: the callback is given this */
    uint64_t fired_at_ns;
    unsigned place, times;
    struct row *row;
};

/* Everything a callback touches is of one processor, on which callbacks run one by one. */
struct row {
    struct alarm alarms[TIMERS];
    _Atomic unsigned fired;
    unsigned last; /* how many must have fired before all is set */
    struct event all;
};

static void ring(struct timer *t)
{
    struct alarm *a = (struct alarm *)t;

    a->fired_at_ns = clock_mono_ns();
    a->times++;
    a->place = atomic_fetch_add(&a->row->fired, 1);
    if (a->place + 1 == a->row->last)
        event_set(&a->row->all);
}

static struct row row;

static void row_init(unsigned last)
{
    row.last = last;
    event_init(&row.all);
    for (unsigned i = 0; i < TIMERS; i++) {
        row.alarms[i].row = &row;
        timer_init(&row.alarms[i].timer, ring);
    }
}

/* A walk over all i that is not in order. */
static unsigned shuffled(unsigned i)
{
    return i * 7 % TIMERS;
}

static int fire_in_order(void *arg)
{
    uint64_t start = clock_mono_ns() + NS_PER_MS;

    (void)arg;
    row_init(TIMERS);
    for (unsigned i = 0; i < TIMERS; i++) {
        unsigned k = shuffled(i);
        ck_assert_int_eq(timer_start(&row.alarms[k].timer, start + k * (uint64_t)STEP_NS), 0);
    }
    ck_assert_int_eq(event_wait(&row.all, 0), 0);
    for (unsigned k = 0; k < TIMERS; k++) {
        ck_assert_uint_eq(row.alarms[k].times, 1);
        ck_assert_uint_eq(row.alarms[k].place, k);
        ck_assert_uint_ge(row.alarms[k].fired_at_ns, start + k * (uint64_t)STEP_NS);
        ck_assert(!timer_stop(&row.alarms[k].timer));
    }
    return 0;
}

START_TEST(timers_fire_in_order_and_never_early)
{
    scheduled(1, fire_in_order, NULL);
}
END_TEST

static int fire_on_two(void *arg)
{
    uint64_t start = clock_mono_ns() + NS_PER_MS;

    (void)arg;
    row_init(TIMERS);
    for (unsigned k = 0; k < TIMERS; k++)
        ck_assert_int_eq(timer_start(&row.alarms[k].timer, start + k * (uint64_t)STEP_NS), 0);
    ck_assert_int_eq(event_wait(&row.all, 0), 0);
    for (unsigned k = 0; k < TIMERS; k++) {
        timer_stop(&row.alarms[k].timer); /* its callback may be at its last instruction */
        ck_assert_uint_eq(row.alarms[k].times, 1);
        ck_assert_uint_ge(row.alarms[k].fired_at_ns, start + k * (uint64_t)STEP_NS);
    }
    return 0;
}

START_TEST(on_two_processors_each_timer_fires_once_and_never_early)
{
    scheduled(2, fire_on_two, NULL);
}
END_TEST

/* Every second one is stopped before its time; the others fire. */
static int stop_half(void *arg)
{
    uint64_t start = clock_mono_ns() + 20 * NS_PER_MS;

    (void)arg;
    row_init(TIMERS / 2);
    for (unsigned i = 0; i < TIMERS; i++) {
        unsigned k = shuffled(i);
        ck_assert_int_eq(timer_start(&row.alarms[k].timer, start + k * (uint64_t)STEP_NS), 0);
    }
    /* On one processor none fires before the task that stops them parks. */
    for (unsigned k = 1; k < TIMERS; k += 2) {
        ck_assert(timer_stop(&row.alarms[k].timer));
        ck_assert(!timer_stop(&row.alarms[k].timer));
    }
    ck_assert_int_eq(task_sleep_until(start + (TIMERS + 20) * (uint64_t)STEP_NS), 0);
    ck_assert_int_eq(event_wait(&row.all, 0), 0);
    for (unsigned k = 0; k < TIMERS; k++)
        ck_assert_uint_eq(row.alarms[k].times, k % 2 == 0 ? 1 : 0);
    return 0;
}

START_TEST(a_stopped_timer_never_fires)
{
    scheduled(1, stop_half, NULL);
}
END_TEST

/* The first becomes the last, the last the first. */
static int move(void *arg)
{
    struct alarm *first = &row.alarms[0], *middle = &row.alarms[1], *last = &row.alarms[2];
    uint64_t now = clock_mono_ns();

    (void)arg;
    row_init(3);
    ck_assert_int_eq(timer_start(&first->timer, now + NS_PER_S), 0);
    ck_assert_int_eq(timer_start(&middle->timer, now + 2 * NS_PER_S), 0);
    ck_assert_int_eq(timer_start(&last->timer, now + 3600 * NS_PER_S), 0);
    now = clock_mono_ns();
    ck_assert_int_eq(timer_start(&first->timer, now + 3 * NS_PER_MS), 0);
    ck_assert_int_eq(timer_start(&middle->timer, now + 2 * NS_PER_MS), 0);
    ck_assert_int_eq(timer_start(&last->timer, now + 1 * NS_PER_MS), 0);
    ck_assert_int_eq(event_wait(&row.all, now + 30 * NS_PER_S), 0);
    ck_assert_uint_eq(last->place, 0);
    ck_assert_uint_eq(middle->place, 1);
    ck_assert_uint_eq(first->place, 2);
    ck_assert_uint_ge(first->fired_at_ns, now + 3 * NS_PER_MS);
    ck_assert_uint_ge(last->fired_at_ns, now + 1 * NS_PER_MS);
    ck_assert_uint_eq(first->times + middle->times + last->times, 3);
    return 0;
}

START_TEST(starting_a_timer_again_moves_it)
{
    scheduled(1, move, NULL);
}
END_TEST

static int again(void *arg)
{
    struct alarm *a = &row.alarms[0];

    (void)arg;
    row_init(1);
    for (unsigned turn = 1; turn <= 5; turn++) {
        row.last = turn;
        ck_assert_int_eq(timer_start(&a->timer, clock_mono_ns() + NS_PER_MS / 2), 0);
        ck_assert_int_eq(event_wait(&row.all, 0), 0);
        ck_assert(!timer_stop(&a->timer));
        ck_assert_uint_eq(a->times, turn);
    }
    return 0;
}

START_TEST(a_timer_that_fired_can_be_started_again)
{
    scheduled((unsigned)_i + 1, again, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_timer");
    TCase *tc = tcase_create("timer");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, timers_fire_in_order_and_never_early);
    tcase_add_test(tc, on_two_processors_each_timer_fires_once_and_never_early);
    tcase_add_test(tc, a_stopped_timer_never_fires);
    tcase_add_test(tc, starting_a_timer_again_moves_it);
    tcase_add_loop_test(tc, a_timer_that_fired_can_be_started_again, 0, 2);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
