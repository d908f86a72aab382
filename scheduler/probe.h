/* probe.h: where the scheduler is watched from. Each place of interest in the family has one
 * line that calls one of these; three readers share it:
 *
 *     USDT       a nop, for perf and bpftrace: provider "stint" (where sys/sdt.h is installed)
 *     trace      one predicted branch while nobody traces (trace.c)
 *     latency    from runnable to running, of about one task in 512: the clock is asked only
 *                then, and the others cost one test of a number that is at hand anyway
 *
 * A probe never parks, and changes nothing that the scheduler reads. */
#ifndef SCHEDULER_PROBE_H
#define SCHEDULER_PROBE_H

#include "base/clock.h"
#include "scheduler/core.h"
#include "scheduler/trace.h"

#if defined(__has_include)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define PROBE_USDT 1
#endif
#endif

#if defined(PROBE_USDT)
#define PROBE(name, a, b) DTRACE_PROBE2(stint, name, a, b)
#else
#define PROBE(name, a, b) ((void)(a), (void)(b))
#endif

#define LATENCY_EVERY 512 /* a power of two */

/* A processor's runs are a number that changes with each task: a clock for sampling. */
static inline void latency_begin(const struct processor *p, struct task *t)
{
    if (p == NULL || get_relaxed(&p->counters.runs) % LATENCY_EVERY == 0)
        set_relaxed(&t->ready_at_ns, clock_mono_ns());
}

/* The bucket of a span: 0 is below 2^LATENCY_FIRST_BITS ns, each further one twice as wide. */
static inline unsigned latency_bucket(uint64_t ns)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(ns | 1);
    unsigned bucket = bits > LATENCY_FIRST_BITS ? bits - LATENCY_FIRST_BITS : 0;

    return bucket < SCHEDULER_LATENCY_BUCKETS ? bucket : SCHEDULER_LATENCY_BUCKETS - 1;
}

static inline void latency_end(struct processor *p, struct task *t)
{
    uint64_t since = get_relaxed(&t->ready_at_ns);

    if (__builtin_expect(since == 0, 1))
        return;
    uint64_t now = clock_mono_ns();
    uint64_t ns = now > since ? now - since : 0;
    set_relaxed(&t->ready_at_ns, 0);
    count_add(&p->latency.buckets[latency_bucket(ns)], 1);
    count_add(&p->latency.total_ns, ns);
}

/* ---- a task's way ---- */

static inline void probe_spawn(struct processor *p, struct task *t)
{
    latency_begin(p, t);
    PROBE(task__spawn, t, p);
    TRACE(TRACE_SPAWN, t->id, get_relaxed(&t->site));
}

static inline void probe_ready(struct processor *p, struct task *t)
{
    latency_begin(p, t);
    PROBE(task__ready, t, p);
    TRACE(TRACE_READY, t->id, get_relaxed(&t->name));
}

static inline void probe_run(struct processor *p, struct task *t)
{
    latency_end(p, t);
    PROBE(task__run, t, p);
    TRACE(TRACE_RUN, t->id, get_relaxed(&t->name));
}

/* It is about to leave its stack: why. */
static inline void probe_stop(const struct task *t, const char *reason)
{
    PROBE(task__stop, t, reason);
    TRACE(TRACE_STOP, t->id, reason);
}

/* ---- a processor's and a thread's ---- */

static inline void probe_steal(const struct processor *p, const struct processor *victim)
{
    PROBE(steal, p, victim);
    TRACE(TRACE_STEAL, victim->index, NULL);
}

static inline void probe_timers(const struct processor *p, unsigned fired)
{
    PROBE(timers, p, fired);
    TRACE(TRACE_TIMERS, fired, NULL);
}

static inline void probe_handoff(const struct processor *p, const struct thread *to)
{
    PROBE(handoff, p, to);
    TRACE(TRACE_HANDOFF, p->index, NULL);
}

static inline void probe_block(const struct task *t, unsigned lane)
{
    PROBE(block__enter, t, lane);
    TRACE(TRACE_BLOCK, lane, NULL);
}

static inline void probe_unblock(const struct task *t)
{
    PROBE(block__leave, t, 0);
    TRACE(TRACE_UNBLOCK, 0, NULL);
}

static inline void probe_poll(uint64_t until_ns)
{
    PROBE(poll__begin, until_ns, 0);
    TRACE(TRACE_POLL, 0, NULL);
}

static inline void probe_polled(int events)
{
    PROBE(poll__end, events, 0);
    TRACE(TRACE_POLLED, events > 0 ? (unsigned)events : 0, NULL);
}

static inline void probe_sleep(const struct thread *m)
{
    PROBE(thread__sleep, m, 0);
    TRACE(TRACE_SLEEP, 0, NULL);
}

static inline void probe_awake(const struct thread *m)
{
    PROBE(thread__awake, m, 0);
    TRACE(TRACE_AWAKE, 0, NULL);
}

#endif
