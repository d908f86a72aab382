/* dead_scene.h: a scene beside a ticker and many healthy tasks, and what the scheduler told of
 * it meanwhile. */
#ifndef TESTS_LIB_DEAD_SCENE_H
#define TESTS_LIB_DEAD_SCENE_H

#include "scheduler/chan.h"
#include "scheduler/event.h"

#include "tests/lib/scheduled.h"

#include <string.h>

#define FOUND_WITHIN_NS (2 * NS_PER_S)
#define TICK_NS (10 * NS_PER_MS)
/* Long enough for several looks. */
#define LOOKS_NS (700 * NS_PER_MS)
#define LOOK_MS 100

enum { REPORT_BYTES = 32768, HEALTHY = 1000 / SLOWDOWN };

static struct {
    _Atomic unsigned told;
    _Atomic uint64_t told_at_ns, dead_at_ns; /* the latter: at the earliest */
    _Atomic bool stop;
    bool usual; /* settings, not those for impatient tests */
    char report[REPORT_BYTES];
} seen;

static inline void note(void *ctx, const char *report)
{
    (void)ctx;
    strncpy(seen.report, report, sizeof seen.report - 1);
    atomic_store(&seen.told_at_ns, clock_mono_ns());
    atomic_fetch_add(&seen.told, 1);
}

static inline int tick(void *arg)
{
    (void)arg;
    while (!atomic_load(&seen.stop))
        ck_assert_int_eq(task_sleep_ns(TICK_NS), 0);
    return 0;
}

static inline int sleep_long(void *arg)
{
    (void)arg;
    int r = task_sleep_ns(3600 * NS_PER_S);
    return r == -ECANCELED ? 0 : r;
}

/* A task of its own opens what is dead, so that the root's frame, which the ticker's group lies
 * in, has nothing to do with it. */
struct scene {
    task_fn fn;
    int result;
};

/* As an idle listener does: something outside may wake it. */
static inline int wait_for_the_world(void *arg)
{
    struct event event;

    (void)arg;
    event_init(&event);
    int r = event_wait(&event, 0);
    return r == -ECANCELED ? 0 : r;
}

static inline int beside_a_ticker(void *arg)
{
    struct scene *scene = arg;
    struct group ticker, part, healthy;

    group_open(&ticker, "ticker");
    group_open(&healthy, "healthy");
    group_open(&part, "part");
    ck_assert_int_eq(group_go(&ticker, tick, NULL), 0);
    ck_assert_int_eq(group_go(&healthy, wait_for_the_world, NULL), 0);
    for (int i = 0; i < HEALTHY; i++)
        ck_assert_int_eq(group_go(&healthy, sleep_long, NULL), 0);
    ck_assert_int_eq(group_go(&part, scene->fn, NULL), 0);
    scene->result = group_join(&part);
    atomic_store(&seen.stop, true);
    ck_assert_int_eq(group_close(&healthy), 0);
    return group_join(&ticker);
}

static inline int play(unsigned processors, task_fn fn)
{
    const struct scheduler_options options = {.processors = processors,
                                              .seed = SCHEDULED_SEED,
                                              .deadlock = note,
                                              .deadlock_ms = seen.usual ? 0 : LOOK_MS};
    struct scene scene = {.fn = fn};

    ck_assert_int_eq(scheduler_run(&options, beside_a_ticker, &scene), 0);
    return scene.result;
}

#define SAYS(text) ck_assert_msg(strstr(seen.report, text) != NULL, "%s", seen.report)

/* Under the tools all takes longer; and on a machine that is busy with other things the look at
 * everybody's memory, which is to hold up nobody, is put off again and again. */
static inline uint64_t found_within_ns(void)
{
    double load = 0;
    bool busy = getloadavg(&load, 1) == 1 && load > 2.0 * scheduler_usable_cpus();

    return FOUND_WITHIN_NS * (busy ? 25 : SLOWDOWN > 1 ? 4 : 1);
}

/* The part fails, and what was told names each of its tasks and where it was spawned. */
static inline void expect_dead(task_fn fn, unsigned processors)
{
    atomic_store(&seen.dead_at_ns, clock_mono_ns());
    ck_assert_int_eq(play(processors, fn), -EDEADLK);
    ck_assert_uint_eq(atomic_load(&seen.told), 1);
    ck_assert_uint_le(atomic_load(&seen.told_at_ns) - atomic_load(&seen.dead_at_ns),
                      found_within_ns());
    SAYS("deadlock: ");
    SAYS("test_scheduler_deadlock.c:");
    SAYS(" +0x"); /* a stack */
    ck_assert_ptr_null(strstr(seen.report, "\"tick\""));
    ck_assert_ptr_null(strstr(seen.report, "\"sleep_long\""));
}

static inline void expect_alive(task_fn fn, unsigned processors)
{
    ck_assert_int_eq(play(processors, fn), 0);
    ck_assert_msg(atomic_load(&seen.told) == 0, "%s", seen.report);
}

static inline int receive_one(void *arg)
{
    uint64_t x;

    return chan_recv(arg, &x, 0);
}

#endif
