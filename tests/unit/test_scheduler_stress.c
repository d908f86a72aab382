/* The scheduler under everything at once: what is lost only once in a million shows here or
 * never. Each run has a seed, printed when it fails; STINT_SEED=n repeats one, STINT_SOAK=1
 * runs longer. Interleavings are the machine's, so a seed repeats the program and not its
 * schedule. */
#include "base/rand.h"
#include "scheduler/block.h"
#include "scheduler/chan.h"
#include "scheduler/event.h"
#include "scheduler/mutex.h"
#include "scheduler/net.h"
#include "tests/lib/scheduled.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Nothing here takes a second; what has not come after this time was lost. */
#define LOST_NS (30 * NS_PER_S)

static uint64_t seed;

/* Check's own assertions write a mark to a file each time: too slow here. */
#define HOLDS(x)                                                                               \
    do {                                                                                       \
        if (!(x))                                                                              \
            ck_abort_msg("STINT_SEED=%llu: %s", (unsigned long long)seed, #x);                 \
    } while (0)

static unsigned rounds(unsigned n)
{
    const char *text = getenv("STINT_SEED");

    seed = text != NULL ? strtoull(text, NULL, 10) : SCHEDULED_SEED;
    return getenv("STINT_SOAK") != NULL ? 100 * n : (n + SLOWDOWN - 1) / SLOWDOWN;
}

static void doze_us(long us)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

/* ---- work conservation: as many spinning tasks as processors must all run at once ---- */

enum { SPINNERS = 2 };

struct together {
    _Atomic unsigned running, gate_index;
    struct event gates[SPINNERS];
    struct net *nets[SPINNERS];
    uint64_t at_ns;
    int how;
};

static void spin_together(struct together *t)
{
    uint64_t lost_ns = clock_mono_ns() + LOST_NS;

    atomic_fetch_add(&t->running, 1);
    while (atomic_load(&t->running) < SPINNERS)
        HOLDS(clock_mono_ns() < lost_ns);
}

static int together_task(void *arg)
{
    struct together *t = arg;
    unsigned index = atomic_fetch_add(&t->gate_index, 1);
    uint64_t value;

    if (t->how == 1)
        HOLDS(event_wait(&t->gates[index], clock_mono_ns() + LOST_NS) == 0);
    if (t->how == 2)
        HOLDS(task_sleep_until(t->at_ns) == 0);
    if (t->how == 3)
        HOLDS(net_read(t->nets[index], &value, sizeof value, clock_mono_ns() + LOST_NS) > 0);
    spin_together(t);
    return 0;
}

static void *open_gates(void *arg)
{
    struct together *t = arg;
    struct event *gates[SPINNERS];
    uint64_t one = 1;

    for (unsigned i = 0; i < SPINNERS; i++)
        gates[i] = &t->gates[i];
    while (atomic_load(&t->gate_index) < SPINNERS)
        sched_yield();
    doze_us(100);
    if (t->how == 1)
        event_set_all(gates, SPINNERS);
    for (unsigned i = 0; t->how == 3 && i < SPINNERS; i++)
        ck_assert_int_eq(write(net_fd(t->nets[i]), &one, sizeof one), sizeof one);
    return NULL;
}

static int together(void *arg)
{
    struct together t = {.how = *(int *)arg, .at_ns = clock_mono_ns() + NS_PER_MS};
    pthread_t thread;
    struct group g;

    for (unsigned i = 0; i < SPINNERS; i++) {
        event_init(&t.gates[i]);
        HOLDS(net_open(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), &t.nets[i]) == 0);
    }
    group_open(&g, "together");
    for (unsigned i = 0; i < SPINNERS; i++)
        HOLDS(group_go(&g, together_task, &t) == 0);
    HOLDS(pthread_create(&thread, NULL, open_gates, &t) == 0);
    HOLDS(group_join(&g) == 0);
    block_enter_long(BLOCK_FILE);
    (void)pthread_join(thread, NULL);
    block_leave();
    for (unsigned i = 0; i < SPINNERS; i++)
        net_close(t.nets[i]);
    return 0;
}

START_TEST(no_processor_sleeps_beside_work_however_it_came)
{
    for (unsigned i = rounds(60); i > 0; i--)
        scheduled(SPINNERS, together, &(int){_i});
}
END_TEST

/* ---- every task once ---- */

enum { SOWN = 20000 / SLOWDOWN / 4 };

struct sown {
    _Atomic uint8_t ran[SOWN];
    _Atomic unsigned next;
};

static int sow(void *arg)
{
    struct sown *s = arg;
    struct group g;
    unsigned me = atomic_fetch_add(&s->next, 1);

    if (me >= SOWN)
        return 0;
    HOLDS(atomic_fetch_add(&s->ran[me], 1) == 0);
    group_open(&g, "sown");
    for (unsigned i = 0; i < 3 && atomic_load(&s->next) < SOWN; i++)
        HOLDS(group_go_stack(&g, sow, s, STACK_SMALL) == 0);
    if (me % 7 == 0)
        HOLDS(task_yield() == 0);
    return group_join(&g);
}

static int sowing(void *arg)
{
    struct sown *s = calloc(1, sizeof *s);
    struct scheduler_stats stats;

    (void)arg;
    HOLDS(sow(s) == 0);
    scheduler_stats(&stats);
    HOLDS(stats.tasks_live == 1);
    for (unsigned i = 0; i < SOWN; i++)
        HOLDS(atomic_load(&s->ran[i]) == 1);
    free(s);
    return 0;
}

START_TEST(each_of_many_tasks_runs_once)
{
    for (unsigned i = rounds(10); i > 0; i--)
        scheduled(1 + i % 4, sowing, NULL);
}
END_TEST

/* ---- the poller among blocking calls ---- */

enum { TALKERS = 4 };

struct talk {
    struct net *ends[2];
    _Atomic bool stop;
    uint64_t seed, rounds;
};

static int echo_end(void *arg)
{
    struct talk *t = arg;
    char byte;

    while (net_read(t->ends[1], &byte, 1, 0) == 1)
        HOLDS(net_write(t->ends[1], &byte, 1, clock_mono_ns() + LOST_NS) == 1);
    return 0;
}

/* Asks, and is idle for a moment: so that now and then all sleep, and somebody must be polling.
 */
static int ask_end(void *arg)
{
    struct talk *t = arg;
    struct rand rnd;
    char byte = 'x';

    rand_seed(&rnd, t->seed);
    for (uint64_t i = 0; i < t->rounds; i++) {
        HOLDS(net_write(t->ends[0], &byte, 1, clock_mono_ns() + LOST_NS) == 1);
        HOLDS(net_read(t->ends[0], &byte, 1, clock_mono_ns() + LOST_NS) == 1);
        if (rand_below(&rnd, 3) == 0)
            HOLDS(task_sleep_ns(rand_below(&rnd, 300 * NS_PER_US)) == 0);
    }
    net_close(t->ends[0]);
    return 0;
}

static int blocker(void *arg)
{
    struct talk *t = arg;
    struct rand rnd;

    rand_seed(&rnd, t->seed + 1);
    while (!atomic_load(&t->stop)) {
        if (rand_below(&rnd, 2) == 0)
            block_enter_long(BLOCK_FILE);
        else
            block_enter(BLOCK_FILE);
        doze_us((long)rand_below(&rnd, 300));
        block_leave();
        if (rand_below(&rnd, 2) == 0)
            HOLDS(task_sleep_ns(rand_below(&rnd, 200 * NS_PER_US)) == 0);
    }
    return 0;
}

static int talking(void *arg)
{
    struct talk t[TALKERS];
    struct group talkers, blockers;

    group_open(&talkers, "talkers");
    group_open(&blockers, "blockers");
    for (unsigned i = 0; i < TALKERS; i++) {
        int fds[2];

        t[i] = (struct talk){.seed = seed + i, .rounds = *(unsigned *)arg};
        HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        HOLDS(net_open(fds[0], &t[i].ends[0]) == 0 && net_open(fds[1], &t[i].ends[1]) == 0);
        HOLDS(group_go(&talkers, echo_end, &t[i]) == 0);
        HOLDS(group_go(&talkers, ask_end, &t[i]) == 0);
        HOLDS(group_go(&blockers, blocker, &t[i]) == 0);
    }
    HOLDS(group_join(&talkers) == 0);
    for (unsigned i = 0; i < TALKERS; i++) {
        atomic_store(&t[i].stop, true);
        net_close(t[i].ends[1]);
    }
    return group_join(&blockers);
}

START_TEST(somebody_always_polls_while_others_block)
{
    unsigned each = rounds(3000);

    scheduled(1 + (unsigned)_i, talking, &each);
}
END_TEST

/* ---- trees of groups, cancelled anywhere ---- */

struct tree {
    struct chan *chan;
    struct mutex mutex;
    _Atomic uint64_t seed, started, ended;
};

static int branch(void *arg);

/* One thing a task may be doing when the cancellation comes. */
static int do_something(struct tree *t, struct rand *rnd)
{
    uint64_t value = 0;
    int r;

    switch (rand_below(rnd, 6)) {
    case 0:
        return task_sleep_ns(rand_below(rnd, NS_PER_MS));
    case 1:
        r = chan_recv(t->chan, &value, task_now_ns() + rand_below(rnd, NS_PER_MS));
        return r == -ETIMEDOUT ? 0 : r;
    case 2:
        r = chan_send(t->chan, &value, task_now_ns() + rand_below(rnd, NS_PER_MS));
        return r == -ETIMEDOUT ? 0 : r;
    case 3:
        r = mutex_lock(&t->mutex, 0);
        if (r < 0)
            return r;
        r = task_yield();
        mutex_unlock(&t->mutex);
        return r;
    case 4:
        block_enter(BLOCK_FILE);
        doze_us(10);
        block_leave();
        return task_cancelled();
    default:
        return task_yield();
    }
}

static int grow(struct tree *t, struct rand *rnd)
{
    struct group g;
    int r = 0;

    group_open(&g, "branch");
    for (uint64_t i = rand_below(rnd, 3); i > 0 && r == 0; i--)
        if (atomic_load(&t->started) < 2000)
            r = group_go(&g, branch, t);
    for (uint64_t i = rand_below(rnd, 6); i > 0 && r == 0; i--)
        r = do_something(t, rnd);
    if (rand_below(rnd, 2) == 0)
        (void)group_close(&g);
    int joined = group_join(&g);
    return r != 0 ? r : joined;
}

static int branch(void *arg)
{
    struct tree *t = arg;
    struct rand rnd;

    atomic_fetch_add(&t->started, 1);
    rand_seed(&rnd, atomic_fetch_add(&t->seed, 1));
    int r = grow(t, &rnd);
    HOLDS(r <= 0);
    atomic_fetch_add(&t->ended, 1);
    return r == -ECANCELED ? 0 : r;
}

static int trees(void *arg)
{
    struct tree t = {.seed = seed * 1000 + *(unsigned *)arg};
    struct scheduler_stats stats;
    struct group g;

    t.chan = chan_new(sizeof(uint64_t), 1);
    mutex_init(&t.mutex);
    group_open(&g, "trees");
    for (int i = 0; i < 8; i++)
        HOLDS(group_go(&g, branch, &t) == 0);
    HOLDS(task_sleep_ns((t.seed % 20) * 100 * NS_PER_US) == 0);
    (void)group_close(&g);
    scheduler_stats(&stats);
    HOLDS(stats.tasks_live == 1);
    HOLDS(atomic_load(&t.started) == atomic_load(&t.ended));
    HOLDS(mutex_try_lock(&t.mutex));
    mutex_unlock(&t.mutex);
    chan_free(t.chan);
    return 0;
}

START_TEST(a_closed_tree_of_groups_leaves_nothing)
{
    for (unsigned i = rounds(100); i > 0; i--)
        scheduled(1 + i % 3, trees, &i);
}
END_TEST

/* ---- start and stop, with foreign threads still inside event_set ---- */

static void *set_last(void *arg)
{
    event_set(arg);
    return NULL;
}

static int wait_last(void *arg)
{
    struct event event;
    pthread_t *thread = arg;

    event_init(&event);
    HOLDS(pthread_create(thread, NULL, set_last, &event) == 0);
    HOLDS(event_wait(&event, clock_mono_ns() + LOST_NS) == 0);
    return 0; /* the setter may still be inside; the scheduler ends below it */
}

START_TEST(the_scheduler_may_end_while_its_last_waker_is_still_inside)
{
    for (unsigned i = rounds(300); i > 0; i--) {
        pthread_t thread;

        scheduled(1 + i % 3, wait_last, &thread);
        (void)pthread_join(thread, NULL);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_stress");
    TCase *tc = tcase_create("stress");

    tcase_set_timeout(tc, getenv("STINT_SOAK") != NULL ? 3600 : 120);
    tcase_add_loop_test(tc, no_processor_sleeps_beside_work_however_it_came, 0, 4);
    tcase_add_test(tc, each_of_many_tasks_runs_once);
    tcase_add_loop_test(tc, somebody_always_polls_while_others_block, 0, 3);
    tcase_add_test(tc, a_closed_tree_of_groups_leaves_nothing);
    tcase_add_test(tc, the_scheduler_may_end_while_its_last_waker_is_still_inside);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
