/* Who waits for descriptors and who computes: each side gets its share. */
#include "scheduler/net.h"

#include "tests/lib/measure.h"

#include <sys/eventfd.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
enum { SIDE = 400 }; /* a fiber of TSan's costs a megabyte and milliseconds */
#elif defined(__SANITIZE_ADDRESS__)
enum { SIDE = 2000 };
#else
enum { SIDE = 10000 };
#endif

enum { TURNS_EACH = 20, SHARE_PERCENT = 30, TRIES = 4 };

/* ---- descriptors that are always readable beside as many tasks that compute ---- */

struct sides {
    unsigned each;
    _Atomic uint64_t net_turns, cpu_turns;
    _Atomic bool over;
};

struct reader {
    struct sides *sides;
    struct net *net;
};

static void one_more(struct sides *s, _Atomic uint64_t *turns)
{
    uint64_t n = atomic_fetch_add(turns, 1) + 1;

    if (n + atomic_load(turns == &s->net_turns ? &s->cpu_turns : &s->net_turns) >=
        2ULL * s->each * TURNS_EACH)
        atomic_store(&s->over, true);
}

/* It makes itself readable again: at every turn it has to come through the poller. */
static int read_on(void *arg)
{
    struct reader *r = arg;
    uint64_t one = 1;

    while (!atomic_load(&r->sides->over)) {
        HOLDS(write(net_fd(r->net), &one, sizeof one) == sizeof one);
        HOLDS(net_wait(r->net, NET_READ, 0) == 0);
        HOLDS(net_read(r->net, &one, sizeof one, 0) == sizeof one);
        one = 1;
        one_more(r->sides, &r->sides->net_turns);
    }
    return 0;
}

static int compute_on(void *arg)
{
    struct sides *s = arg;

    while (!atomic_load(&s->over)) {
        for (volatile unsigned i = 0; i < 200; i++)
            ;
        one_more(s, &s->cpu_turns);
        HOLDS(task_yield() == 0);
    }
    return 0;
}

static int both_sides(void *arg)
{
    struct sides *sides = arg, s = {.each = sides->each};
    struct reader *readers = calloc(s.each, sizeof *readers);
    struct group g;

    group_open(&g, "sides");
    for (unsigned i = 0; i < s.each; i++) {
        readers[i].sides = &s;
        HOLDS(net_open(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), &readers[i].net) == 0);
        HOLDS(group_go(&g, read_on, &readers[i]) == 0);
        HOLDS(group_go(&g, compute_on, &s) == 0);
    }
    HOLDS(group_join(&g) == 0);
    for (unsigned i = 0; i < s.each; i++)
        net_close(readers[i].net);
    free(readers);

    sides->net_turns = atomic_load(&s.net_turns);
    sides->cpu_turns = atomic_load(&s.cpu_turns);
    return 0;
}

/* The share of the smaller side. */
static unsigned least_percent(const struct sides *s)
{
    uint64_t net = atomic_load(&s->net_turns), cpu = atomic_load(&s->cpu_turns);

    return (unsigned)(100 * (net < cpu ? net : cpu) / (net + cpu));
}

/* A thread that stands still with work in its hands spoils a try. */
START_TEST(neither_sockets_nor_those_who_compute_starve_the_others)
{
    struct sides sides = {.each = measure_files(SIDE + 100) - 100};
    unsigned best = 0;

    for (unsigned i = 0; i < TRIES && best < SHARE_PERCENT; i++) {
        scheduled((unsigned)_i + 1, both_sides, &sides);
        best = least_percent(&sides) > best ? least_percent(&sides) : best;
    }
    ck_assert_uint_ge(best, SHARE_PERCENT);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_share");
    TCase *tc = tcase_create("share");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, neither_sockets_nor_those_who_compute_starve_the_others, 0, 2);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
