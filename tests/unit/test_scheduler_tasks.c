/* Tasks: each runs exactly once, and all processors help. */
#include "scheduler/block.h"
#include "scheduler/core.h"
#include "scheduler/event.h"
#include "scheduler/net.h"
#include "scheduler/spin.h"
#include "scheduler/timer.h"

#include "tests/lib/scheduled.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
enum { PARKED = 1000, MANY = 1000 }; /* a fiber of TSan's costs a megabyte and milliseconds */
#elif defined(__SANITIZE_ADDRESS__)
enum { PARKED = 20000, MANY = 40000 };
#else
enum { PARKED = 50000, MANY = 200000 };
#endif

enum { NURSERY = 500, CROWD = 4000, PARALLEL_ROUNDS = 300 / SLOWDOWN };

/* ---- exactly once ---- */

static int count_task(void *arg)
{
    atomic_fetch_add((_Atomic unsigned *)arg, 1);
    return 0;
}

static int nursery_task(void *arg)
{
    _Atomic unsigned *counts = arg;
    struct group g;

    group_open(&g, "nursery");
    for (int i = 0; i < NURSERY; i++)
        ck_assert_int_eq(group_go(&g, count_task, &counts[i]), 0);
    return group_join(&g);
}

static int once(void *arg)
{
    _Atomic unsigned *counts = calloc(MANY, sizeof *counts);
    struct group g;

    (void)arg;
    group_open(&g, "once");
    for (int i = 0; i < MANY; i += NURSERY)
        ck_assert_int_eq(group_go(&g, nursery_task, &counts[i]), 0);
    ck_assert_int_eq(group_join(&g), 0);
    for (int i = 0; i < MANY; i++)
        ck_assert_uint_eq(atomic_load(&counts[i]), 1);
    free(counts);
    return 0;
}

START_TEST(every_task_runs_exactly_once)
{
    scheduled((unsigned)_i + 1, once, NULL);
}
END_TEST

START_TEST(the_result_of_the_root_is_the_result_of_the_run)
{
    _Atomic unsigned n = 0;

    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(scheduler_run(NULL, count_task, (void *)&n), 0);
    ck_assert_uint_eq(atomic_load(&n), 20);
    ck_assert_uint_eq(scheduler_processors(), 0);
    ck_assert_ptr_null(task_self());
}
END_TEST

static unsigned threads_of_process(void)
{
    unsigned n = 0;
    FILE *f = fopen("/proc/self/status", "re");
    char line[128];

    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "Threads: %u", &n) == 1)
            break;
    fclose(f);
    return n;
}

START_TEST(no_thread_outlives_the_run)
{
    _Atomic unsigned n = 0;

    scheduled(4, count_task, (void *)&n); /* threads of the tools come with the first */
    unsigned before = threads_of_process();
    scheduled(4, count_task, (void *)&n);
    ck_assert_uint_eq(threads_of_process(), before);
}
END_TEST

static int run_within(void *arg)
{
    return scheduler_run(NULL, count_task, arg);
}

START_TEST(there_is_one_scheduler_in_a_process)
{
    ck_assert_int_eq(scheduler_run(NULL, run_within, NULL), -EBUSY);
}
END_TEST

/* ---- work conservation: as many tasks as processors that spin until all of them run ---- */

struct meeting {
    _Atomic unsigned arrived;
    unsigned expected;
    struct event gate[2];
    struct net *net[2];
    int fds[2];
};

static void meet(struct meeting *m)
{
    atomic_fetch_add(&m->arrived, 1);
    while (atomic_load(&m->arrived) < m->expected)
        ;
}

static int meet_task(void *arg)
{
    meet(arg);
    return 0;
}

static int meet_from_one_processor(void *arg)
{
    struct group g;

    (void)arg;
    for (int i = 0; i < PARALLEL_ROUNDS; i++) {
        struct meeting m = {.expected = scheduler_processors()};
        group_open(&g, "meeting");
        for (unsigned n = 0; n < m.expected; n++)
            ck_assert_int_eq(group_go(&g, meet_task, &m), 0);
        ck_assert_int_eq(group_join(&g), 0);
    }
    return 0;
}

START_TEST(tasks_spawned_by_one_run_on_all_processors)
{
    scheduled(2, meet_from_one_processor, NULL);
}
END_TEST

struct attendee {
    struct meeting *meeting;
    unsigned number;
};

static int meet_at_gate(void *arg)
{
    struct attendee *a = arg;

    ck_assert_int_eq(event_wait(&a->meeting->gate[a->number], 0), 0);
    meet(a->meeting);
    return 0;
}

static void *open_gates(void *arg)
{
    struct meeting *m = arg;
    struct event *gates[2] = {&m->gate[0], &m->gate[1]};

    event_set_all(gates, 2);
    return NULL;
}

static int meet_from_outside(void *arg)
{
    struct group g;

    (void)arg;
    for (int i = 0; i < PARALLEL_ROUNDS; i++) {
        struct meeting m = {.expected = 2};
        struct attendee a[2] = {{&m, 0}, {&m, 1}};
        pthread_t thread;
        group_open(&g, "meeting");
        for (unsigned n = 0; n < 2; n++) {
            event_init(&m.gate[n]);
            ck_assert_int_eq(group_go(&g, meet_at_gate, &a[n]), 0);
        }
        ck_assert_int_eq(pthread_create(&thread, NULL, open_gates, &m), 0);
        ck_assert_int_eq(group_join(&g), 0);
        pthread_join(thread, NULL);
    }
    return 0;
}

START_TEST(tasks_woken_by_a_foreign_thread_run_on_all_processors)
{
    scheduled(2, meet_from_outside, NULL);
}
END_TEST

static int meet_when_readable(void *arg)
{
    struct attendee *a = arg;

    ck_assert_int_eq(net_wait(a->meeting->net[a->number], NET_READ, 0), 0);
    meet(a->meeting);
    return 0;
}

static int meet_from_poller(void *arg)
{
    struct group g;

    (void)arg;
    for (int i = 0; i < PARALLEL_ROUNDS; i++) {
        struct meeting m = {.expected = 2};
        struct attendee a[2] = {{&m, 0}, {&m, 1}};
        group_open(&g, "meeting");
        for (unsigned n = 0; n < 2; n++) {
            m.fds[n] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
            ck_assert_int_eq(net_open(m.fds[n], &m.net[n]), 0);
            ck_assert_int_eq(group_go(&g, meet_when_readable, &a[n]), 0);
        }
        for (unsigned n = 0; n < 2; n++)
            ck_assert_int_eq(eventfd_write(m.fds[n], 1), 0);
        ck_assert_int_eq(group_join(&g), 0);
        net_close(m.net[0]);
        net_close(m.net[1]);
    }
    return 0;
}

START_TEST(tasks_woken_by_the_poller_run_on_all_processors)
{
    scheduled(2, meet_from_poller, NULL);
}
END_TEST

struct late {
    struct meeting *meeting;
    uint64_t at_ns;
};

static int meet_at_time(void *arg)
{
    struct late *l = arg;

    ck_assert_int_eq(task_sleep_until(l->at_ns), 0);
    meet(l->meeting);
    return 0;
}

static int meet_from_timer(void *arg)
{
    struct group g;

    (void)arg;
    for (int i = 0; i < PARALLEL_ROUNDS; i++) {
        struct meeting m = {.expected = 2};
        struct late l = {&m, clock_mono_ns() + NS_PER_MS};
        group_open(&g, "meeting");
        ck_assert_int_eq(group_go(&g, meet_at_time, &l), 0);
        ck_assert_int_eq(group_go(&g, meet_at_time, &l), 0);
        ck_assert_int_eq(group_join(&g), 0);
    }
    return 0;
}

START_TEST(tasks_woken_by_a_timer_run_on_all_processors)
{
    scheduled(2, meet_from_timer, NULL);
}
END_TEST

/* ---- many ---- */

struct crowd {
    _Atomic unsigned parked;
    struct event *gates;
};

struct member {
    struct crowd *crowd;
    unsigned number;
};

static int crowd_task(void *arg)
{
    struct member *m = arg;

    atomic_fetch_add(&m->crowd->parked, 1);
    return event_wait(&m->crowd->gates[m->number], 0);
}

static int park_a_crowd(void *arg)
{
    struct crowd c = {.gates = calloc(PARKED, sizeof *c.gates)};
    struct member *members = calloc(PARKED, sizeof *members);
    struct event **all = calloc(PARKED, sizeof *all);
    struct group g;
    struct scheduler_stats stats;

    (void)arg;
    group_open(&g, "crowd");
    for (unsigned i = 0; i < PARKED; i++) {
        members[i] = (struct member){&c, i};
        all[i] = &c.gates[i];
        event_init(all[i]);
        ck_assert_int_eq(group_go(&g, crowd_task, &members[i]), 0);
    }
    while (atomic_load(&c.parked) < PARKED)
        ck_assert_int_eq(task_yield(), 0);
    scheduler_stats(&stats);
    ck_assert_uint_eq(stats.tasks_live, PARKED + 1);
    event_set_all(all, PARKED);
    ck_assert_int_eq(group_join(&g), 0);
    scheduler_stats(&stats);
    ck_assert_uint_eq(stats.tasks_live, 1);
    free(all);
    free(members);
    free(c.gates);
    return 0;
}

START_TEST(fifty_thousand_tasks_park_and_are_woken)
{
    scheduled((unsigned)_i + 1, park_a_crowd, NULL);
}
END_TEST

/* ---- fairness ---- */

struct pair {
    struct event gates[2];
    _Atomic bool stop;
    _Atomic unsigned rounds;
};

static int ping_task(void *arg)
{
    struct pair *p = arg;

    while (!atomic_load(&p->stop)) {
        event_set(&p->gates[1]);
        ck_assert_int_eq(event_wait(&p->gates[0], 0), 0);
        atomic_fetch_add(&p->rounds, 1);
    }
    event_set(&p->gates[1]);
    return 0;
}

static int pong_task(void *arg)
{
    struct pair *p = arg;

    while (!atomic_load(&p->stop)) {
        ck_assert_int_eq(event_wait(&p->gates[1], 0), 0);
        event_set(&p->gates[0]);
    }
    return 0;
}

static int third_beside_a_pair(void *arg)
{
    struct pair p = {.rounds = 0};
    struct group g;

    (void)arg;
    event_init(&p.gates[0]);
    event_init(&p.gates[1]);
    group_open(&g, "pair");
    ck_assert_int_eq(group_go(&g, ping_task, &p), 0);
    ck_assert_int_eq(group_go(&g, pong_task, &p), 0);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(task_yield(), 0);
    /* A third task gets a fifth of all picks at least. */
    ck_assert_uint_le(atomic_load(&p.rounds), 4 * 1000);
    ck_assert_uint_gt(atomic_load(&p.rounds), 100);
    atomic_store(&p.stop, true);
    return group_join(&g);
}

START_TEST(a_pair_that_wakes_each_other_does_not_starve_a_third)
{
    scheduled(1, third_beside_a_pair, NULL);
}
END_TEST

static int crowd(void *arg)
{
    _Atomic unsigned started = 0;
    struct group g;

    (void)arg;
    group_open(&g, "crowd");
    for (unsigned i = 0; i < CROWD; i++)
        ck_assert_int_eq(group_go(&g, count_task, &started), 0);
    ck_assert_uint_ge(atomic_load(&started), CROWD * 9 / 10);
    return group_join(&g);
}

START_TEST(who_starts_many_lets_them_run_in_between)
{
    scheduled(1, crowd, NULL);
}
END_TEST

static int hog_task(void *arg)
{
    _Atomic bool *stop = arg;

    while (!atomic_load(stop))
        ck_assert_int_eq(task_checkpoint(), 0);
    return 0;
}

static int sleep_beside_hogs(void *arg)
{
    _Atomic bool stop = false;
    struct group g;

    (void)arg;
    group_open(&g, "hogs");
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(group_go(&g, hog_task, (void *)&stop), 0);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(task_sleep_ns(NS_PER_MS), 0); /* comes back at all */
    atomic_store(&stop, true);
    return group_join(&g);
}

START_TEST(hogs_that_call_checkpoint_let_a_sleeper_return)
{
    scheduled((unsigned)_i + 1, sleep_beside_hogs, NULL);
}
END_TEST

/* A task that computes without any call, and work behind it in its queue. */
static int mute_hog_task(void *arg)
{
    struct pair *p = arg;

    event_set(&p->gates[0]); /* readied behind the hog: another processor must take it */
    while (!atomic_load(&p->stop))
        ;
    return 0;
}

static int waits_behind_hog_task(void *arg)
{
    struct pair *p = arg;

    ck_assert_int_eq(event_wait(&p->gates[0], 0), 0);
    atomic_store(&p->stop, true);
    return 0;
}

static int rescue(void *arg)
{
    struct group g;

    (void)arg;
    for (int i = 0; i < 20; i++) {
        struct pair p = {.rounds = 0};
        event_init(&p.gates[0]);
        group_open(&g, "rescue");
        ck_assert_int_eq(group_go(&g, waits_behind_hog_task, &p), 0);
        ck_assert_int_eq(task_yield(), 0);
        ck_assert_int_eq(group_go(&g, mute_hog_task, &p), 0);
        ck_assert_int_eq(group_join(&g), 0);
    }
    return 0;
}

START_TEST(a_task_behind_a_mute_hog_is_taken_by_another_processor)
{
    scheduled(2, rescue, NULL);
}
END_TEST

/* ---- who ends tells later ---- */

enum { FOLLOWERS = 5 };

static int end_task(void *arg)
{
    (void)arg;
    return 0;
}

static unsigned live_now(struct group *g)
{
    spin_lock(&g->lock);
    unsigned live = g->live;
    spin_unlock(&g->lock);
    return live;
}

struct last {
    struct event gate;
    _Atomic bool begun;
    bool blocks; /* and so loses its processor */
};

static int last_task(void *arg)
{
    struct last *last = arg;

    if (last->blocks)
        block_enter_long(BLOCK_FILE);
    atomic_store(&last->begun, true);
    if (last->blocks)
        block_leave();
    return event_wait(&last->gate, 0);
}

/* The youngest come first: the last of the group follows all that end. */
static int end_before_one_that_parks(void *arg)
{
    struct last last = {.blocks = *(bool *)arg};
    struct group g;

    event_init(&last.gate);
    group_open(&g, "last");
    ck_assert_int_eq(group_go(&g, last_task, &last), 0);
    for (int i = 0; i < FOLLOWERS; i++)
        ck_assert_int_eq(group_go(&g, end_task, NULL), 0);
    while (!atomic_load(&last.begun) || live_now(&g) > 1)
        ck_assert_int_eq(task_yield(), 0);
    event_set(&last.gate);
    ck_assert_int_eq(group_join(&g), 0);
    return 0;
}

START_TEST(who_parks_tells_of_those_who_ended_before_on_its_thread)
{
    bool blocks = _i == 1;

    scheduled(1, end_before_one_that_parks, &blocks);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_tasks");
    TCase *tc = tcase_create("tasks");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, every_task_runs_exactly_once, 0, 2);
    tcase_add_test(tc, the_result_of_the_root_is_the_result_of_the_run);
    tcase_add_test(tc, no_thread_outlives_the_run);
    tcase_add_test(tc, there_is_one_scheduler_in_a_process);
    tcase_add_test(tc, tasks_spawned_by_one_run_on_all_processors);
    tcase_add_test(tc, tasks_woken_by_a_foreign_thread_run_on_all_processors);
    tcase_add_test(tc, tasks_woken_by_the_poller_run_on_all_processors);
    tcase_add_test(tc, tasks_woken_by_a_timer_run_on_all_processors);
    tcase_add_loop_test(tc, fifty_thousand_tasks_park_and_are_woken, 0, 2);
    tcase_add_test(tc, a_pair_that_wakes_each_other_does_not_starve_a_third);
    tcase_add_test(tc, who_starts_many_lets_them_run_in_between);
    tcase_add_loop_test(tc, hogs_that_call_checkpoint_let_a_sleeper_return, 0, 2);
    tcase_add_test(tc, a_task_behind_a_mute_hog_is_taken_by_another_processor);
    tcase_add_loop_test(tc, who_parks_tells_of_those_who_ended_before_on_its_thread, 0, 2);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
