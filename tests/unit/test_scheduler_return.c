/* What many tasks took comes back when they end, tasks that wait for sockets are cheap, and
 * while nothing happens nothing is done. */
#include "scheduler/chan.h"
#include "scheduler/net.h"

#include "tests/lib/measure.h"

#include <sys/socket.h>

#if defined(__SANITIZE_THREAD__)
enum { CROWD = 1000, ON_SOCKETS = 500 }; /* a fiber of TSan's costs a megabyte */
#elif defined(__SANITIZE_ADDRESS__)
enum { CROWD = 5000, ON_SOCKETS = 5000 };
#else
enum { CROWD = 50000, ON_SOCKETS = 50000 };
#endif

#define MIB (UINT64_C(1) << 20)

/* Memory is the tools' own, and they map as they like. */
static bool is_bare(void)
{
    return SLOWDOWN == 1;
}

static unsigned rounds(unsigned n)
{
    return getenv("STINT_SOAK") != NULL ? 100 : n;
}

static struct scheduler_stats stats_now(void)
{
    struct scheduler_stats stats;

    scheduler_stats(&stats);
    return stats;
}

/* ---- made and ended again and again ---- */

static _Atomic unsigned arrived;

static int wait_for_the_end(void *arg)
{
    atomic_fetch_add(&arrived, 1);
    return chan_recv(arg, NULL, 0) == -EPIPE ? 0 : -EPROTO;
}

static void make_and_end(void)
{
    struct chan *gate = chan_new(0, 0);
    struct group g;

    atomic_store(&arrived, 0);
    group_open(&g, "crowd");
    for (unsigned i = 0; i < CROWD; i++)
        HOLDS(group_go(&g, wait_for_the_end, gate) == 0);
    while (atomic_load(&arrived) < CROWD)
        HOLDS(task_yield() == 0);
    chan_close(gate);
    HOLDS(group_join(&g) == 0);
    chan_free(gate);
    HOLDS(stats_now().tasks_live == 1);
}

static int make_many(void *arg)
{
    (void)arg;
    make_and_end();
    uint64_t resident = measure_resident_bytes();
    unsigned maps = measure_lines("/proc/self/maps");
    uint64_t threads = stats_now().threads;

    for (unsigned i = rounds(6); i > 1; i--)
        make_and_end();
    ck_assert_uint_lt(stats_now().stacks_live, 10);
    if (!is_bare())
        return 0;
    ck_assert_uint_le(measure_resident_bytes(), resident + resident / 20 + MIB);
    /* A thread that stands in for one that looked like a hog has stacks and an arena. */
    maps += 8 * (1 + (unsigned)(stats_now().threads - threads));
    ck_assert_uint_le(measure_lines("/proc/self/maps"), maps);
    return 0;
}

START_TEST(tasks_made_and_ended_again_and_again_take_no_more)
{
    scheduled((unsigned)_i + 1, make_many, NULL);
}
END_TEST

/* ---- parked on sockets ---- */

static _Atomic unsigned asked, answered;

/* Both ends of a pair have a task; a question is answered, an answer counted. */
static int talk_until_closed(void *arg)
{
    struct net *n = arg;
    char byte;

    atomic_fetch_add(&arrived, 1);
    while (net_read(n, &byte, 1, 0) == 1) {
        if (byte == '?')
            HOLDS(net_write(n, "!", 1, 0) == 1);
        atomic_fetch_add(byte == '?' ? &asked : &answered, 1);
    }
    return 0;
}

static void pair_open(struct net **ends, struct group *g)
{
    int fds[2];

    HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    for (unsigned i = 0; i < 2; i++) {
        HOLDS(net_open(fds[i], &ends[i]) == 0);
        HOLDS(group_go(g, talk_until_closed, ends[i]) == 0);
    }
}

static void wait_until(_Atomic unsigned *count, unsigned n)
{
    while (atomic_load(count) < n)
        HOLDS(task_sleep_ns(NS_PER_MS) == 0);
}

static void all_talk(struct net **nets, unsigned count)
{
    atomic_store(&asked, 0);
    atomic_store(&answered, 0);
    for (unsigned i = 0; i < count; i++)
        HOLDS(write(net_fd(nets[i]), "?", 1) == 1);
    wait_until(&asked, count);
    wait_until(&answered, count);
}

/* A second without traffic. The monitor gives memory back for a while after work ended: the
 * quietest of some seconds counts. */
static void be_idle(void)
{
    struct measure_use least = {UINT64_MAX, UINT64_MAX};
    unsigned seconds = getenv("STINT_SOAK") != NULL ? 60 : 1;

    for (unsigned try = 0;
         try < 20 && (least.switches > 5 * seconds || least.cpu_ns > seconds * NS_PER_MS);
         try++) {
        struct measure_use before = measure_use();

        HOLDS(task_sleep_ns(seconds * NS_PER_S) == 0);
        struct measure_use after = measure_use();
        uint64_t switches = after.switches - before.switches;
        uint64_t cpu_ns = after.cpu_ns - before.cpu_ns;
        least.switches = switches < least.switches ? switches : least.switches;
        least.cpu_ns = cpu_ns < least.cpu_ns ? cpu_ns : least.cpu_ns;
    }
    ck_assert_uint_le(least.switches, 5 * seconds);
    ck_assert_uint_le(least.cpu_ns, seconds * NS_PER_MS);
}

static int park_on_sockets(void *arg)
{
    unsigned count = (measure_files(ON_SOCKETS + 100) - 100) / 2 * 2;
    struct net **nets = calloc(count, sizeof(struct net *));
    uint64_t resident = measure_resident_bytes();
    struct group g;

    (void)arg;
    atomic_store(&arrived, 0);
    group_open(&g, "talks");
    for (unsigned i = 0; i < count; i += 2)
        pair_open(&nets[i], &g);
    wait_until(&arrived, count);
    all_talk(nets, count);
    HOLDS(stats_now().tasks_live == count + 1);
    if (is_bare()) {
        unsigned maps = measure_lines("/proc/self/maps");

        ck_assert_uint_le((measure_resident_bytes() - resident) / count, 12 * 1024);
        /* A kernel without light guards has a map a stack, and tells when they are used up. */
        ck_assert(maps < 1000 || maps >= count || stats_now().stacks_canary > 0);
        be_idle();
    }
    all_talk(nets, count);
    for (unsigned i = 0; i < count; i++)
        HOLDS(shutdown(net_fd(nets[i]), SHUT_RDWR) == 0);
    HOLDS(group_join(&g) == 0);
    for (unsigned i = 0; i < count; i++)
        net_close(nets[i]);
    free(nets);
    return 0;
}

START_TEST(tasks_on_sockets_are_cheap_and_cost_nothing_while_nothing_comes)
{
    scheduled(2, park_on_sockets, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_return");
    TCase *tc = tcase_create("return");

    tcase_set_timeout(tc, 1200);
    tcase_add_loop_test(tc, tasks_made_and_ended_again_and_again_take_no_more, 0, 2);
    tcase_add_test(tc, tasks_on_sockets_are_cheap_and_cost_nothing_while_nothing_comes);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
