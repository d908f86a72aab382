#include "base/clock.h"

#include <time.h>

int64_t clock_wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

uint64_t clock_mono_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int64_t real_wall_ms(const struct clock *clock)
{
    (void)clock;
    return clock_wall_ms();
}

static uint64_t real_mono_ns(const struct clock *clock)
{
    (void)clock;
    return clock_mono_ns();
}

const struct clock clock_real = {.wall_ms = real_wall_ms, .mono_ns = real_mono_ns};

/* A test moves the clock from one thread while others read it, hence atomic accesses. */

static int64_t virtual_wall_ms(const struct clock *clock)
{
    const struct clock_virtual *v = (const struct clock_virtual *)(const void *)clock;

    return __atomic_load_n(&v->wall_ms, __ATOMIC_RELAXED);
}

static uint64_t virtual_mono_ns(const struct clock *clock)
{
    const struct clock_virtual *v = (const struct clock_virtual *)(const void *)clock;

    return __atomic_load_n(&v->mono_ns, __ATOMIC_RELAXED);
}

void clock_virtual_init(struct clock_virtual *v, int64_t wall_ms)
{
    *v = (struct clock_virtual){
        .clock = {.wall_ms = virtual_wall_ms, .mono_ns = virtual_mono_ns},
        .wall_ms = wall_ms,
        .mono_ns = NS_PER_S, /* not 0, which deadlines use for "never" */
    };
}

void clock_virtual_advance(struct clock_virtual *v, int64_t ms)
{
    __atomic_fetch_add(&v->wall_ms, ms, __ATOMIC_RELAXED);
    __atomic_fetch_add(&v->mono_ns, (uint64_t)ms * NS_PER_MS, __ATOMIC_RELAXED);
}

void clock_virtual_step(struct clock_virtual *v, int64_t ms)
{
    __atomic_fetch_add(&v->wall_ms, ms, __ATOMIC_RELAXED);
}
