/* Calls that block a thread: the others go on, and the number of threads stays bounded. */
#include "scheduler/block.h"

#include "scheduler/event.h"
#include "scheduler/futex.h"

#include "tests/lib/scheduled.h"

#include <unistd.h>

enum { CALLERS = 12, LIMIT = 3, QUICK = 100, FEW_THREADS = 8 };

typedef void enter_fn(enum block_lane lane);

struct call {
    enter_fn *enter;
    int pipe[2];
    struct event begun;
    _Atomic bool inside;
};

static int read_pipe(void *arg)
{
    struct call *c = arg;
    char got = 0;

    event_set(&c->begun);
    c->enter(BLOCK_FILE);
    atomic_store(&c->inside, true);
    ssize_t n = read(c->pipe[0], &got, 1);
    atomic_store(&c->inside, false);
    block_leave();
    ck_assert_int_eq(n, 1);
    ck_assert_int_eq(got, 'x');
    return 0;
}

static int write_pipe(void *arg)
{
    struct call *c = arg;

    ck_assert_int_eq(event_wait(&c->begun, 0), 0);
    while (!atomic_load(&c->inside))
        ck_assert_int_eq(task_yield(), 0);
    ck_assert_int_eq(write(c->pipe[1], "x", 1), 1);
    return 0;
}

static int read_and_write(void *arg)
{
    struct call c = {.enter = arg};
    struct group g;

    ck_assert_int_eq(pipe(c.pipe), 0);
    event_init(&c.begun);
    group_open(&g, "pipe");
    ck_assert_int_eq(group_go(&g, write_pipe, &c), 0);
    ck_assert_int_eq(group_go(&g, read_pipe, &c), 0);
    ck_assert_int_eq(group_join(&g), 0);
    close(c.pipe[0]);
    close(c.pipe[1]);
    return 0;
}

START_TEST(a_task_in_a_blocking_read_does_not_stop_the_one_that_writes)
{
    static enter_fn *const enters[] = {block_enter, block_enter_long, block_enter_alone,
                                       block_enter_apart};

    scheduled(1, read_and_write, (void *)enters[_i]);
}
END_TEST

struct crowd {
    enter_fn *enter;
    int gate[2];
    _Atomic unsigned inside, most, ended;
};

static void note_most(struct crowd *c, unsigned inside)
{
    unsigned most = atomic_load(&c->most);

    while (inside > most && !atomic_compare_exchange_weak(&c->most, &most, inside))
        ;
}

static int pass_gate(void *arg)
{
    struct crowd *c = arg;
    char got;

    c->enter(BLOCK_EXEC);
    note_most(c, atomic_fetch_add(&c->inside, 1) + 1);
    ssize_t n = read(c->gate[0], &got, 1);
    atomic_fetch_sub(&c->inside, 1);
    block_leave();
    ck_assert_int_eq(n, 1);
    atomic_fetch_add(&c->ended, 1);
    return 0;
}

/* Lets one out whenever as many are inside as ever can be. */
static int open_gate(void *arg)
{
    struct crowd *c = arg;

    for (unsigned left = CALLERS; left > 0; left--) {
        struct scheduler_stats stats;
        while (atomic_load(&c->inside) != (left < LIMIT ? left : LIMIT))
            ck_assert_int_eq(task_sleep_ns(NS_PER_MS / 10), 0);
        scheduler_stats(&stats);
        ck_assert_uint_le(stats.threads, FEW_THREADS);
        ck_assert_int_eq(write(c->gate[1], "x", 1), 1);
    }
    return 0;
}

static int crowd_the_lane(void *arg)
{
    struct crowd c = {.enter = arg};
    struct group g;

    ck_assert_int_eq(pipe(c.gate), 0);
    block_limit(BLOCK_EXEC, LIMIT);
    group_open(&g, "crowd");
    for (int i = 0; i < CALLERS; i++)
        ck_assert_int_eq(group_go(&g, pass_gate, &c), 0);
    ck_assert_int_eq(group_go(&g, open_gate, &c), 0);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_uint_eq(atomic_load(&c.most), LIMIT);
    ck_assert_uint_eq(atomic_load(&c.ended), CALLERS);
    close(c.gate[0]);
    close(c.gate[1]);
    return 0;
}

START_TEST(no_more_tasks_than_its_limit_are_inside_a_lane)
{
    static enter_fn *const enters[] = {block_enter, block_enter_long, block_enter_alone,
                                       block_enter_apart};

    scheduled((unsigned)_i / 4 + 1, crowd_the_lane, (void *)enters[_i % 4]);
}
END_TEST

static int call_briefly(void *arg)
{
    _Atomic unsigned *calls = arg;

    block_enter(BLOCK_FILE);
    atomic_fetch_add(calls, 1);
    block_leave();
    return 0;
}

static int call_often(void *arg)
{
    _Atomic unsigned calls = 0;
    struct scheduler_stats stats;
    struct group g;

    (void)arg;
    group_open(&g, "quick");
    for (int i = 0; i < QUICK; i++)
        ck_assert_int_eq(group_go(&g, call_briefly, (void *)&calls), 0);
    ck_assert_int_eq(group_join(&g), 0);
    scheduler_stats(&stats);
    ck_assert_uint_eq(atomic_load(&calls), QUICK);
    ck_assert_uint_le(stats.threads, FEW_THREADS);
    ck_assert_uint_eq(stats.threads_blocked, 0);
    return 0;
}

START_TEST(a_hundred_quick_calls_make_few_threads)
{
    scheduled((unsigned)_i + 1, call_often, NULL);
}
END_TEST

static int count_up(void *arg)
{
    atomic_fetch_add((_Atomic unsigned *)arg, 1);
    return 0;
}

/* The monitor may take it from whom the kernel puts aside for long: one of many keeps it. */
static int keep_the_processor(void *arg)
{
    struct scheduler_stats stats;
    bool kept = false;

    (void)arg;
    for (int i = 0; i < QUICK && !kept; i++) {
        block_enter_alone(BLOCK_STORE);
        kept = block_leave_if_kept();
        if (!kept)
            block_leave();
    }
    ck_assert(kept);
    scheduler_stats(&stats);
    ck_assert_uint_eq(stats.threads_blocked, 0);
    return task_yield();
}

START_TEST(who_is_alone_keeps_the_processor_and_leaves_with_it)
{
    scheduled((unsigned)_i + 1, keep_the_processor, NULL);
}
END_TEST

/* true: it was, and whoever waited has run meanwhile. */
static bool hands_over(bool others)
{
    _Atomic unsigned ran = 0;
    struct group g;

    group_open(&g, "others");
    if (others)
        ck_assert_int_eq(group_go(&g, count_up, (void *)&ran), 0);
    if (others)
        block_enter_alone(BLOCK_STORE);
    else
        block_enter_apart(BLOCK_STORE);

    bool over = !block_leave_if_kept();

    while (over && others && atomic_load(&ran) == 0)
        cpu_relax();
    if (over)
        block_leave();
    ck_assert_int_eq(group_join(&g), 0);
    return over;
}

/* Who is put aside by the kernel before the call is alone by then. */
static int hand_over(void *arg)
{
    bool others = arg != NULL, over = false;

    for (int i = 0; i < QUICK && !over; i++)
        over = hands_over(others);
    ck_assert(over);
    return 0;
}

START_TEST(who_is_not_alone_or_wants_to_be_apart_hands_the_processor_over)
{
    static int others;

    scheduled(1, hand_over, _i > 0 ? &others : NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_block");
    TCase *tc = tcase_create("block");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_task_in_a_blocking_read_does_not_stop_the_one_that_writes, 0, 4);
    tcase_add_loop_test(tc, no_more_tasks_than_its_limit_are_inside_a_lane, 0, 8);
    tcase_add_loop_test(tc, a_hundred_quick_calls_make_few_threads, 0, 2);
    tcase_add_loop_test(tc, who_is_alone_keeps_the_processor_and_leaves_with_it, 0, 2);
    tcase_add_loop_test(tc, who_is_not_alone_or_wants_to_be_apart_hands_the_processor_over, 0,
                        2);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
