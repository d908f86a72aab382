/* Nothing that can run waits for ever beside a processor that always has something else to do:
 * not the global queue, not timers, not the poller. */
#include "scheduler/chan.h"
#include "scheduler/event.h"
#include "scheduler/net.h"

#include "tests/lib/scheduled.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { YIELDERS = 8, PAIRS = 2 };

static _Atomic bool over;

/* ---- who keeps the processor busy ---- */

static int yield_on(void *arg)
{
    (void)arg;
    while (!atomic_load(&over))
        ck_assert_int_eq(task_yield(), 0);
    return 0;
}

struct pair {
    struct chan *there, *back;
};

static int pong_on(void *arg)
{
    struct pair *p = arg;
    char ball;

    while (chan_recv(p->there, &ball, 0) == 0)
        ck_assert_int_eq(chan_send(p->back, &ball, 0), 0);
    return 0;
}

static int ping_on(void *arg)
{
    struct pair *p = arg;
    char ball = 0;

    while (!atomic_load(&over)) {
        ck_assert_int_eq(chan_send(p->there, &ball, 0), 0);
        ck_assert_int_eq(chan_recv(p->back, &ball, 0), 0);
    }
    chan_close(p->there);
    return 0;
}

static void start_yielders(struct group *g)
{
    for (int i = 0; i < YIELDERS; i++)
        ck_assert_int_eq(group_go(g, yield_on, NULL), 0);
}

/* They hand the processor to each other by the slot before the queue. */
static void start_pairs(struct group *g)
{
    static struct pair pairs[PAIRS];

    for (int i = 0; i < PAIRS; i++) {
        pairs[i] = (struct pair){.there = chan_new(1, 0), .back = chan_new(1, 0)};
        ck_assert_ptr_nonnull(pairs[i].there);
        ck_assert_ptr_nonnull(pairs[i].back);
        ck_assert_int_eq(group_go(g, pong_on, &pairs[i]), 0);
        ck_assert_int_eq(group_go(g, ping_on, &pairs[i]), 0);
    }
}

/* ---- who wants to run as well ---- */

static void *set_it(void *event)
{
    event_set(event);
    return NULL;
}

static int wait_for_foreign(void *arg)
{
    struct event e;
    pthread_t thread;

    (void)arg;
    event_init(&e);
    ck_assert_int_eq(pthread_create(&thread, NULL, set_it, &e), 0);
    ck_assert_int_eq(event_wait(&e, 0), 0);
    return -pthread_join(thread, NULL);
}

static int wait_for_time(void *arg)
{
    (void)arg;
    return task_sleep_ns(NS_PER_MS);
}

static int wait_for_socket(void *arg)
{
    int fds[2];
    struct net *n;
    char got;

    (void)arg;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(net_open(fds[0], &n), 0);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    ck_assert_int_eq(net_wait(n, NET_READ, 0), 0);
    ck_assert_int_eq(net_read(n, &got, 1, 0), 1);
    net_close(n);
    close(fds[1]);
    return 0;
}

typedef void start_fn(struct group *g);

static start_fn *const busy[] = {start_yielders, start_pairs};
static const task_fn waits[] = {wait_for_foreign, wait_for_time, wait_for_socket};

enum { BUSY = sizeof busy / sizeof *busy, WAITS = sizeof waits / sizeof *waits };

struct scene {
    start_fn *start;
    task_fn wait;
};

static int wait_beside(void *arg)
{
    const struct scene *scene = arg;
    struct group others, g;

    atomic_store(&over, false);
    group_open(&others, "others");
    scene->start(&others);
    group_open(&g, "waits");
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(group_go(&g, scene->wait, NULL), 0);
        ck_assert_int_eq(group_wait(&g), 0);
    }
    atomic_store(&over, true);
    ck_assert_int_eq(group_join(&g), 0);
    return group_join(&others);
}

START_TEST(a_busy_queue_starves_neither_the_global_one_nor_timers_nor_the_poller)
{
    struct scene scene = {busy[_i % BUSY], waits[_i / BUSY % WAITS]};

    scheduled((unsigned)_i / (BUSY * WAITS) + 1, wait_beside, &scene);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_fair");
    TCase *tc = tcase_create("fair");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc,
                        a_busy_queue_starves_neither_the_global_one_nor_timers_nor_the_poller,
                        0, 2 * BUSY * WAITS);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
