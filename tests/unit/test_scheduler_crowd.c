/* Crowds in blocking calls: the others do not notice, no more threads are made than their limit
 * allows, who came first is let in first, and the threads go when nobody needs them. */
#include "scheduler/event.h"
#include "scheduler/net.h"

#include "base/fault.h"
#include "tests/lib/folder.h"
#include "tests/lib/measure.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { CALLERS = 1000 / SLOWDOWN, LIMIT = 24, ASKS = 300, TRIES = 8, MONITOR = 1, BETWEEN = 3 };

/* ---- an echo, and how long its answers take ---- */

struct talk {
    struct net *ends[2];
};

static int answer(void *arg)
{
    struct talk *t = arg;
    char byte;

    while (net_read(t->ends[1], &byte, 1, 0) == 1)
        HOLDS(net_write(t->ends[1], &byte, 1, 0) == 1);
    return 0;
}

static void talk_begin(struct talk *t, struct group *g)
{
    int fds[2];

    HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    HOLDS(net_open(fds[0], &t->ends[0]) == 0 && net_open(fds[1], &t->ends[1]) == 0);
    group_open(g, "talk");
    HOLDS(group_go(g, answer, t) == 0);
}

static void talk_end(struct talk *t, struct group *g)
{
    net_close(t->ends[0]);
    HOLDS(group_join(g) == 0);
    net_close(t->ends[1]);
}

/* The least of some tries: what the machine does to one of them is not the scheduler's. */
static uint64_t answers_within_ns(struct talk *t)
{
    uint64_t least_ns = UINT64_MAX, ns[ASKS];

    for (unsigned try = 0; try < TRIES; try++) {
        for (unsigned i = 0; i < ASKS; i++) {
            uint64_t start_ns = clock_mono_ns();
            char byte = 'x';

            HOLDS(net_write(t->ends[0], &byte, 1, 0) == 1);
            HOLDS(net_read(t->ends[0], &byte, 1, 0) == 1);
            ns[i] = clock_mono_ns() - start_ns;
        }
        uint64_t p99_ns = measure_percentile(ns, ASKS, 99);
        least_ns = p99_ns < least_ns ? p99_ns : least_ns;
    }
    return least_ns;
}

/* ---- a thousand that open a FIFO which nobody writes, and that sync slowly ---- */

struct crowd {
    char *fifo;
    _Atomic unsigned inside, most, opened, synced;
    _Atomic bool over;
};

static void go_in(struct crowd *c)
{
    unsigned inside = atomic_fetch_add(&c->inside, 1) + 1, most = atomic_load(&c->most);

    while (inside > most && !atomic_compare_exchange_weak(&c->most, &most, inside))
        ;
}

static int open_fifo(void *arg)
{
    struct crowd *c = arg;

    block_enter(BLOCK_FILE);
    go_in(c);
    int fd = open(c->fifo, O_RDONLY | O_CLOEXEC);
    atomic_fetch_sub(&c->inside, 1);
    block_leave();
    HOLDS(fd >= 0);
    close(fd);
    atomic_fetch_add(&c->opened, 1);
    return 0;
}

static int sync_slowly(void *arg)
{
    struct crowd *c = arg;

    while (!atomic_load(&c->over)) {
        block_enter_long(BLOCK_EXEC);
        go_in(c);
        (void)nanosleep(&(struct timespec){.tv_nsec = 2 * (long)NS_PER_MS}, NULL);
        atomic_fetch_sub(&c->inside, 1);
        block_leave();
        atomic_fetch_add(&c->synced, 1);
    }
    return 0;
}

/* Whoever waits for a writer, or comes to, is let through. */
static int let_all_through(void *arg)
{
    struct crowd *c = arg;

    while (atomic_load(&c->opened) < CALLERS) {
        int fd = open(c->fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

        HOLDS(task_sleep_ns(NS_PER_MS / 5) == 0);
        if (fd >= 0)
            close(fd);
    }
    return 0;
}

static int block_beside_a_talk(void *arg)
{
    char *dir = folder_new();
    struct crowd c = {.inside = 0};
    struct scheduler_stats stats;
    struct group callers, talking;
    struct talk talk;
    unsigned cap = LIMIT + 4;

    (void)arg;
    HOLDS(asprintf(&c.fifo, "%s/fifo", dir) > 0 && mkfifo(c.fifo, 0600) == 0);
    block_limit(BLOCK_FILE, LIMIT);
    block_limit(BLOCK_EXEC, 4);
    talk_begin(&talk, &talking);
    uint64_t alone_ns = answers_within_ns(&talk);

    group_open(&callers, "callers");
    for (unsigned i = 0; i < CALLERS; i++)
        HOLDS(group_go(&callers, open_fifo, &c) == 0);
    for (unsigned i = 0; i < 8; i++)
        HOLDS(group_go(&callers, sync_slowly, &c) == 0);
    while (atomic_load(&c.inside) < LIMIT || atomic_load(&c.synced) < 8)
        HOLDS(task_sleep_ns(NS_PER_MS) == 0);
    uint64_t beside_ns = answers_within_ns(&talk);

    scheduler_stats(&stats);
    HOLDS(group_go(&talking, let_all_through, &c) == 0);
    while (atomic_load(&c.opened) < CALLERS)
        HOLDS(task_sleep_ns(NS_PER_MS) == 0);
    atomic_store(&c.over, true);
    HOLDS(group_join(&callers) == 0);
    talk_end(&talk, &talking);
    unlink(c.fifo);
    free(c.fifo);
    folder_remove(dir);

    ck_assert_uint_le(atomic_load(&c.most), cap);
    /* One more whenever a slow machine let a task look like a hog. */
    ck_assert_uint_le(stats.threads, scheduler_processors() + cap + BETWEEN + stats.takes);
    /* The threads that sync wake every now and then, on the same cores. */
    ck_assert_uint_lt(beside_ns, 3 * alone_ns + measure_bound_ns(100 * NS_PER_US));
    return 0;
}

START_TEST(a_thousand_blocking_calls_make_few_threads_and_stall_nobody)
{
    scheduled((unsigned)_i + 1, block_beside_a_talk, NULL);
}
END_TEST

/* ---- first come, first served ---- */

enum { QUEUE = 100 };

struct line {
    _Atomic unsigned tickets, served, overtaken;
    struct event begun;
    int gate[2];
};

static int hold_the_place(void *arg)
{
    struct line *l = arg;
    char byte;

    block_enter_long(BLOCK_DNS);
    event_set(&l->begun);
    HOLDS(read(l->gate[0], &byte, 1) == 1);
    block_leave();
    return 0;
}

static int stand_in_line(void *arg)
{
    struct line *l = arg;
    unsigned ticket = atomic_fetch_add(&l->tickets, 1);

    block_enter_long(BLOCK_DNS);
    if (atomic_fetch_add(&l->served, 1) != ticket)
        atomic_fetch_add(&l->overtaken, 1);
    block_leave();
    return 0;
}

static int queue_for_a_place(void *arg)
{
    struct line l = {.tickets = 0};
    struct group g;

    (void)arg;
    HOLDS(pipe(l.gate) == 0);
    event_init(&l.begun);
    block_limit(BLOCK_DNS, 1);
    group_open(&g, "line");
    HOLDS(group_go(&g, hold_the_place, &l) == 0);
    HOLDS(event_wait(&l.begun, 0) == 0);
    for (unsigned i = 0; i < QUEUE; i++)
        HOLDS(group_go(&g, stand_in_line, &l) == 0);
    while (atomic_load(&l.tickets) < QUEUE)
        HOLDS(task_sleep_ns(NS_PER_MS / 10) == 0);
    HOLDS(atomic_load(&l.served) == 0);
    HOLDS(write(l.gate[1], "x", 1) == 1);
    HOLDS(group_join(&g) == 0);
    /* Between its ticket and its place in the line a task may lose the processor to another, on
     * a machine that stands still. */
    ck_assert_uint_le(atomic_load(&l.overtaken), QUEUE / 10);
    close(l.gate[0]);
    close(l.gate[1]);
    return 0;
}

START_TEST(who_waits_for_a_place_in_a_lane_gets_it_by_turns)
{
    scheduled(1, queue_for_a_place, NULL);
}
END_TEST

/* ---- the threads go ---- */

enum { SPARE_KEPT = 2, MANY_SPARES = 16 };

struct meeting {
    _Atomic unsigned inside;
    int gate[2];
};

static int meet(void *arg)
{
    struct meeting *m = arg;
    char byte;

    block_enter_long(BLOCK_FILE);
    atomic_fetch_add(&m->inside, 1);
    HOLDS(read(m->gate[0], &byte, 1) == 0);
    block_leave();
    return 0;
}

/* Half of those nobody needs at each look of the monitor's. */
static int leave_spares(void *arg)
{
    struct meeting m = {.inside = 0};
    struct scheduler_stats stats;
    struct group g;

    (void)arg;
    HOLDS(pipe(m.gate) == 0);
    block_limit(BLOCK_FILE, MANY_SPARES);
    group_open(&g, "meeting");
    for (unsigned i = 0; i < MANY_SPARES; i++)
        HOLDS(group_go(&g, meet, &m) == 0);
    while (atomic_load(&m.inside) < MANY_SPARES)
        HOLDS(task_sleep_ns(NS_PER_MS / 10) == 0);
    close(m.gate[1]);
    HOLDS(group_join(&g) == 0);
    close(m.gate[0]);
    scheduler_stats(&stats);
    HOLDS(stats.threads_spare >= MANY_SPARES / 2);

    do {
        HOLDS(task_sleep_ns(10 * NS_PER_MS) == 0);
        scheduler_stats(&stats);
    } while (stats.threads > scheduler_processors() + SPARE_KEPT);
    return 0;
}

START_TEST(threads_that_nobody_needs_end_but_for_two)
{
    fault_arm("scheduler.trim", 1, -1, true); /* each look of the monitor's is a time for it */
    scheduled(2, leave_spares, NULL);
    fault_disarm_all();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_crowd");
    TCase *tc = tcase_create("crowd");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_thousand_blocking_calls_make_few_threads_and_stall_nobody, 0, 2);
    tcase_add_test(tc, who_waits_for_a_place_in_a_lane_gets_it_by_turns);
    tcase_add_test(tc, threads_that_nobody_needs_end_but_for_two);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
