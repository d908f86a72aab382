/* Nothing that can run waits for ever beside a processor that always has something else to do:
 * not the global queue, not timers, not the poller. How long it waits is counted in turns of
 * the others, which no slow machine changes. */
#include "scheduler/chan.h"
#include "scheduler/event.h"
#include "scheduler/net.h"

#include "tests/lib/measure.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { YIELDERS = 8, PAIRS = 2 };

static _Atomic bool over;

/* Those of the busy ones; and where they were when somebody's time came. */
static _Atomic uint64_t turns, due_ns, due_turns;

static void take_turn(void)
{
    uint64_t now = atomic_fetch_add(&turns, 1), at_ns = atomic_load(&due_ns);

    if (at_ns != 0 && clock_mono_ns() >= at_ns) {
        atomic_store(&due_turns, now);
        atomic_store(&due_ns, 0);
    }
}

/* ---- who keeps the processor busy ---- */

static int yield_on(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        take_turn();
        HOLDS(task_yield() == 0);
    }
    return 0;
}

struct pair {
    struct chan *there, *back;
};

static int pong_on(void *arg)
{
    struct pair *p = arg;
    char ball;

    while (chan_recv(p->there, &ball, 0) == 0) {
        take_turn();
        HOLDS(chan_send(p->back, &ball, 0) == 0);
    }
    return 0;
}

static int ping_on(void *arg)
{
    struct pair *p = arg;
    char ball = 0;

    while (!atomic_load(&over)) {
        take_turn();
        HOLDS(chan_send(p->there, &ball, 0) == 0);
        HOLDS(chan_recv(p->back, &ball, 0) == 0);
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

/* ---- and how many pass them ---- */

enum { WAITERS_ROUNDS = 100, PASSED_PERCENT = 90 };

struct visitor {
    struct event e;
    struct net *net;
    _Atomic bool waits;
    uint64_t passed;
};

static int visit_by_event(void *arg)
{
    struct visitor *v = arg;

    atomic_store(&v->waits, true);
    HOLDS(event_wait(&v->e, 0) == 0);
    v->passed = atomic_load(&turns) - atomic_load(&due_turns);
    return 0;
}

static int visit_by_net(void *arg)
{
    struct visitor *v = arg;

    atomic_store(&v->waits, true);
    HOLDS(net_wait(v->net, NET_READ, 0) == 0);
    v->passed = atomic_load(&turns) - atomic_load(&due_turns);
    return 0;
}

/* On one processor it waits as soon as another task sees that it is about to. */
static void start_visitor(struct group *g, task_fn fn, struct visitor *v)
{
    HOLDS(group_go(g, fn, v) == 0);
    while (!atomic_load(&v->waits))
        HOLDS(task_yield() == 0);
}

/* The thread ends before anybody has a turn. */
static uint64_t passed_by_foreign(struct group *g)
{
    struct visitor v = {.waits = false};
    pthread_t thread;

    event_init(&v.e);
    start_visitor(g, visit_by_event, &v);
    HOLDS(pthread_create(&thread, NULL, set_it, &v.e) == 0);
    HOLDS(pthread_join(thread, NULL) == 0);
    atomic_store(&due_turns, atomic_load(&turns));
    HOLDS(group_wait(g) == 0);
    return v.passed;
}

/* From the first turn that could have seen that it is time. */
static uint64_t passed_by_time(struct group *g)
{
    uint64_t at_ns = clock_mono_ns() + NS_PER_MS / 2;

    (void)g;
    atomic_store(&due_ns, at_ns);
    HOLDS(task_sleep_until(at_ns) == 0);
    uint64_t now = atomic_load(&turns);
    return atomic_exchange(&due_ns, 0) != 0 ? 0 : now - atomic_load(&due_turns);
}

static uint64_t passed_by_socket(struct group *g)
{
    struct visitor v = {.waits = false};
    int fds[2];

    HOLDS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    HOLDS(net_open(fds[0], &v.net) == 0);
    start_visitor(g, visit_by_net, &v);
    atomic_store(&due_turns, atomic_load(&turns));
    HOLDS(write(fds[1], "x", 1) == 1);
    HOLDS(group_wait(g) == 0);
    net_close(v.net);
    close(fds[1]);
    return v.passed;
}

/* The global queue and the poller are looked at every 61st pick, the clock at each; who is
 * found stands behind those that stand there. */
static const struct visit {
    uint64_t (*passed)(struct group *g);
    uint64_t most;
} visits[] = {
    {passed_by_foreign, 61 + 2 * YIELDERS},
    {passed_by_time, 4 * YIELDERS},
    {passed_by_socket, 61 + 3 * YIELDERS},
};
enum { VISITS = sizeof visits / sizeof *visits };

struct visited {
    start_fn *start;
    const struct visit *visit;
};

static int be_visited(void *arg)
{
    const struct visited *v = arg;
    uint64_t passed[WAITERS_ROUNDS];
    struct group others, g;

    atomic_store(&over, false);
    group_open(&others, "others");
    v->start(&others);
    group_open(&g, "visitors");
    for (unsigned i = 0; i < WAITERS_ROUNDS; i++)
        passed[i] = v->visit->passed(&g);
    atomic_store(&over, true);
    HOLDS(group_join(&g) == 0);
    ck_assert_uint_le(measure_percentile(passed, WAITERS_ROUNDS, PASSED_PERCENT),
                      v->visit->most);
    return group_join(&others);
}

START_TEST(who_comes_from_outside_is_passed_by_few)
{
    struct visited v = {busy[_i % BUSY], &visits[_i / BUSY]};

    scheduled(1, be_visited, &v);
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
    tcase_add_loop_test(tc, who_comes_from_outside_is_passed_by_few, 0, BUSY * VISITS);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
