/* Ends at any moment: descriptors closed under those who use them, signals that fall like rain,
 * and a whole load that is told to stop. Each run has a seed, printed when it fails;
 * STINT_SEED=n repeats one, STINT_SOAK=1 runs longer. */
#include "scheduler/chan.h"
#include "scheduler/core.h"
#include "scheduler/event.h"
#include "scheduler/mutex.h"
#include "scheduler/net.h"

#include "base/rand.h"
#include "tests/lib/folder.h"
#include "tests/lib/measure.h"

#include <string.h>
#include <sys/socket.h>

static uint64_t seed;

static unsigned rounds(unsigned n)
{
    const char *text = getenv("STINT_SEED");

    seed = text != NULL ? strtoull(text, NULL, 10) : SCHEDULED_SEED;
    return getenv("STINT_SOAK") != NULL ? 20 * n : (n + SLOWDOWN - 1) / SLOWDOWN;
}

static uint64_t at_random(struct rand *rnd, uint64_t below_us)
{
    return clock_mono_ns() + rand_below(rnd, below_us * NS_PER_US);
}

/* ---- closed under those who read, write and accept ---- */

enum { HOUSES = 6 };

enum use { USE_READ, USE_WRITE, USE_ACCEPT, USES };

/* One connection after another, with a call on each; the numbers go from house to house. Who
 * closes must know that nobody begins a call on the handle after: here that it is parked in it,
 * or has returned. */
struct house {
    enum use use;
    uint64_t mark; /* what flows on this connection and on no other */
    uint64_t deadline_ns;
    struct net *near;
    int far;
    struct task *_Atomic user;
    _Atomic bool returned;
    struct rand rnd;
    unsigned rounds;
    uint64_t done, closed, late;
};

static int use_it(void *arg)
{
    struct house *h = arg;
    uint64_t mark = h->mark;
    ssize_t r;

    atomic_store(&h->user, task_self());
    if (h->use == USE_READ)
        r = net_read(h->near, &mark, sizeof mark, h->deadline_ns);
    else if (h->use == USE_WRITE)
        r = net_write(h->near, &mark, sizeof mark, h->deadline_ns);
    else
        r = net_accept(h->near, NULL, NULL, h->deadline_ns);
    atomic_store(&h->returned, true);
    HOLDS(mark == h->mark);
    HOLDS(r == -EBADF || (r == -ETIMEDOUT && h->deadline_ns > 0) ||
          (r == sizeof mark && h->use != USE_ACCEPT));
    h->done += r > 0;
    h->closed += r == -EBADF;
    h->late += r == -ETIMEDOUT;
    return 0;
}

static void until_it_is_inside(struct house *h)
{
    for (;;) {
        struct task *t = atomic_load(&h->user);
        const char *reason = t != NULL ? get_relaxed(&t->wait_reason) : NULL;

        if (atomic_load(&h->returned) || (t != NULL && get_relaxed(&t->state) == TASK_PARKED &&
                                          reason != NULL && strncmp(reason, "net ", 4) == 0))
            return;
        HOLDS(task_yield() == 0);
    }
}

/* Packets: a mark comes whole or not at all. Who is to write finds the way full. */
static void house_open(struct house *h)
{
    struct sockaddr nameless = {.sa_family = AF_UNIX};
    int fds[2] = {-1, -1};

    if (h->use == USE_ACCEPT) {
        fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        HOLDS(bind(fds[0], &nameless, sizeof nameless.sa_family) == 0 &&
              listen(fds[0], 4) == 0);
    } else {
        HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    }
    if (h->use == USE_WRITE) {
        HOLDS(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)) == 0);
        while (send(fds[0], &h->mark, sizeof h->mark, MSG_DONTWAIT) > 0)
            ;
    }
    HOLDS(net_open(fds[0], &h->near) == 0);
    h->far = fds[1];
}

/* Now the call can go on: one mark, or room for one. */
static void let_go_on(struct house *h)
{
    uint64_t mark = h->mark;

    if (h->use == USE_READ)
        HOLDS(write(h->far, &mark, sizeof mark) == sizeof mark);
    if (h->use == USE_WRITE)
        HOLDS(read(h->far, &mark, sizeof mark) == sizeof mark);
    HOLDS(mark == h->mark);
}

static void house_close(struct house *h)
{
    uint64_t mark;

    while (h->use == USE_WRITE && read(h->far, &mark, sizeof mark) > 0)
        HOLDS(mark == h->mark);
    if (h->far >= 0)
        close(h->far);
}

static int open_and_close(void *arg)
{
    static _Atomic uint64_t marks;
    struct house *h = arg;
    struct group g;

    for (unsigned i = h->rounds; i > 0; i--) {
        h->mark = atomic_fetch_add(&marks, 1);
        h->use = (enum use)rand_below(&h->rnd, USES);
        h->deadline_ns = rand_below(&h->rnd, 2) == 0 ? 0 : at_random(&h->rnd, 60);
        atomic_store(&h->user, NULL);
        atomic_store(&h->returned, false);
        house_open(h);
        group_open(&g, "house");
        HOLDS(group_go(&g, use_it, h) == 0);
        until_it_is_inside(h);
        if (rand_below(&h->rnd, 2) == 0)
            HOLDS(task_sleep_until(at_random(&h->rnd, 60)) == 0);
        if (rand_below(&h->rnd, 2) == 0)
            let_go_on(h);
        if (rand_below(&h->rnd, 2) == 0)
            HOLDS(task_yield() == 0);
        net_close(h->near); /* the number may be another house's before the user is back */
        HOLDS(group_join(&g) == 0);
        house_close(h);
    }
    return 0;
}

static int close_everywhere(void *arg)
{
    struct house houses[HOUSES];
    uint64_t done = 0, closed = 0, late = 0;
    struct group g;

    group_open(&g, "houses");
    for (unsigned i = 0; i < HOUSES; i++) {
        houses[i] = (struct house){.rounds = *(unsigned *)arg};
        rand_seed(&houses[i].rnd, seed + i);
        HOLDS(group_go(&g, open_and_close, &houses[i]) == 0);
    }
    HOLDS(group_join(&g) == 0);
    for (unsigned i = 0; i < HOUSES; i++) {
        done += houses[i].done;
        closed += houses[i].closed;
        late += houses[i].late;
    }
    /* Under the tools a house is opened so slowly that a kind may not come up. */
    HOLDS(SLOWDOWN > 1 || (done > 0 && closed > 0 && late > 0));
    return 0;
}

START_TEST(a_descriptor_may_be_closed_under_all_and_its_number_is_another_ones_at_once)
{
    unsigned files = folder_count("/proc/self/fd"), each = rounds(400);

    scheduled((unsigned)_i, close_everywhere, &each);
    ck_assert_uint_eq(folder_count("/proc/self/fd"), files);
}
END_TEST

/* ---- a load of everything ---- */

struct load {
    struct chan *chan;
    struct mutex mutex;
    _Atomic uint64_t seeds, turns;
};

static int over_a_socket(struct rand *rnd)
{
    struct net *ends[2];
    int fds[2];
    char byte = 'x';

    HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    HOLDS(net_open(fds[0], &ends[0]) == 0 && net_open(fds[1], &ends[1]) == 0);
    ssize_t n = net_write(ends[0], &byte, 1, 0);
    if (n == 1)
        n = net_read(ends[1], &byte, 1, 0);
    HOLDS(n == 1 || n == -ECANCELED);
    if (n == 1)
        n = net_read(ends[1], &byte, 1, at_random(rnd, 100));
    net_close(ends[0]);
    net_close(ends[1]);
    return n == -ETIMEDOUT ? 0 : (int)n;
}

static int one_turn(struct load *l, struct rand *rnd)
{
    uint64_t value = 0;
    int r;

    switch (rand_below(rnd, 6)) {
    case 0:
        return over_a_socket(rnd);
    case 1:
        r = chan_recv(l->chan, &value, at_random(rnd, 200));
        return r == -ETIMEDOUT ? 0 : r;
    case 2:
        r = chan_send(l->chan, &value, at_random(rnd, 200));
        return r == -ETIMEDOUT ? 0 : r;
    case 3:
        if ((r = mutex_lock(&l->mutex, 0)) < 0)
            return r;
        r = task_yield();
        mutex_unlock(&l->mutex);
        return r;
    case 4:
        block_enter(BLOCK_FILE);
        (void)nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
        block_leave();
        return task_cancelled();
    default:
        return task_sleep_until(at_random(rnd, 100));
    }
}

static int bear(void *arg)
{
    struct load *l = arg;
    struct rand rnd;
    int r = 0;

    rand_seed(&rnd, atomic_fetch_add(&l->seeds, 1));
    while ((r = one_turn(l, &rnd)) == 0)
        atomic_fetch_add(&l->turns, 1);
    HOLDS(r == -ECANCELED);
    return 0;
}

static void load_begin(struct load *l, struct group *g)
{
    *l = (struct load){.chan = chan_new(sizeof(uint64_t), 2)};
    mutex_init(&l->mutex);
    atomic_store(&l->seeds, seed);
    group_open(g, "load");
    for (unsigned i = 0; i < 24; i++)
        HOLDS(group_go(g, bear, l) == 0);
}

static void load_end(struct load *l, struct group *g)
{
    struct scheduler_stats stats;

    (void)group_close(g);
    scheduler_stats(&stats);
    HOLDS(stats.tasks_live == 1);
    HOLDS(mutex_try_lock(&l->mutex));
    mutex_unlock(&l->mutex);
    chan_free(l->chan);
}

static int stop_at_random(void *arg)
{
    struct load l;
    struct group g;
    struct rand rnd;

    rand_seed(&rnd, seed + *(unsigned *)arg);
    load_begin(&l, &g);
    HOLDS(task_sleep_until(at_random(&rnd, 3000)) == 0);
    load_end(&l, &g);
    return 0;
}

START_TEST(a_load_may_be_stopped_at_any_moment)
{
    unsigned files = folder_count("/proc/self/fd");

    for (unsigned i = rounds(150); i > 0; i--) {
        scheduled(1 + i % 3, stop_at_random, &i);
        ck_assert_uint_eq(folder_count("/proc/self/fd"), files);
    }
}
END_TEST

/* ---- signals ---- */

static _Atomic unsigned caught;

static void catch (int number)
{
    (void)number;
    atomic_fetch_add(&caught, 1);
}

struct storm {
    pthread_t thread;
    _Atomic bool over;
    unsigned sent;
};

/* Children that end, pipes that break, and what an operator sends. This thread alone takes
 * them: the scheduler's do not want to know. */
static void *rain(void *arg)
{
    static const int signals[] = {SIGCHLD, SIGPIPE, SIGUSR1, SIGCHLD, SIGTERM};
    struct storm *s = arg;

    while (!atomic_load(&s->over)) {
        HOLDS(kill(getpid(), signals[s->sent++ % 5]) == 0);
        if (s->sent % 16 == 0)
            (void)nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    return NULL;
}

/* Before the scheduler masks them; without SA_RESTART, so that a call in a thread that gets one
 * ends with EINTR. */
static void storm_begin(struct storm *s)
{
    struct sigaction action = {.sa_handler = catch};

    for (unsigned i = 0; i < 2; i++)
        HOLDS(sigaction((int[]){SIGCHLD, SIGUSR1}[i], &action, NULL) == 0);
    HOLDS(sigaction(SIGTERM, &action, NULL) == 0 && sigaction(SIGPIPE, &action, NULL) == 0);
    *s = (struct storm){.sent = 0};
    HOLDS(pthread_create(&s->thread, NULL, rain, s) == 0);
}

static unsigned storm_end(struct storm *s)
{
    atomic_store(&s->over, true);
    HOLDS(pthread_join(s->thread, NULL) == 0);
    return s->sent;
}

/* A peer that is gone is an answer of the call and no signal. */
static void write_to_nobody(void)
{
    struct net *n;
    int fds[2];

    HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    HOLDS(net_open(fds[0], &n) == 0);
    close(fds[1]);
    HOLDS(net_write(n, "x", 1, 0) == -EPIPE);
    net_close(n);
}

static int bear_the_storm(void *arg)
{
    struct load l;
    struct group g;

    (void)arg;
    load_begin(&l, &g);
    for (unsigned i = 0; i < 50; i++) {
        write_to_nobody();
        HOLDS(task_sleep_ns(2 * NS_PER_MS) == 0);
    }
    HOLDS(atomic_load(&l.turns) > 0);
    load_end(&l, &g);
    return 0;
}

START_TEST(a_storm_of_signals_disturbs_nobody)
{
    struct storm storm;

    (void)rounds(1);
    storm_begin(&storm);
    scheduled((unsigned)_i, bear_the_storm, NULL);
    HOLDS(storm_end(&storm) > 100 && atomic_load(&caught) > 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_stop");
    TCase *tc = tcase_create("stop");

    tcase_set_timeout(tc, getenv("STINT_SOAK") != NULL ? 3600 : 120);
    tcase_add_loop_test(
        tc, a_descriptor_may_be_closed_under_all_and_its_number_is_another_ones_at_once, 1, 4);
    tcase_add_test(tc, a_load_may_be_stopped_at_any_moment);
    tcase_add_loop_test(tc, a_storm_of_signals_disturbs_nobody, 1, 3);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
