/* trace.h: what happened, thread by thread, in rings of bounded size. Internal; users see
 * scheduler_trace_start and _stop (observe.h).
 *
 * T1  a ring has one writer: the thread that has it. The exporter reads when tracing is off; a
 *     writer that saw it on may still be at its last event, so the oldest slot of a full ring
 *     is not read, and what is outside the traced time is passed over.
 * T2  rings live until the scheduler stops. A thread that ends leaves its ring to the next one:
 *     each event names its thread. */
#ifndef SCHEDULER_TRACE_H
#define SCHEDULER_TRACE_H

#include "scheduler/observe.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LATENCY_FIRST_BITS 8
#define TRACE_EVENTS 32768 /* a thread; the oldest give way */

enum trace_kind {
    TRACE_NONE,
    TRACE_SPAWN,
    TRACE_READY,
    TRACE_RUN,
    TRACE_STOP,
    TRACE_STEAL,
    TRACE_TIMERS,
    TRACE_HANDOFF,
    TRACE_BLOCK,
    TRACE_UNBLOCK,
    TRACE_POLL,
    TRACE_POLLED,
    TRACE_SLEEP,
    TRACE_AWAKE,
    TRACE_KINDS
};

/* Its words are read by another thread than the one that writes them. */
struct trace_event {
    _Atomic uint64_t at_ns;
    _Atomic uint64_t who; /* kind, processor + 1, thread */
    _Atomic uint64_t number;
    const char *_Atomic text; /* of static storage */
};

struct trace_ring {
    struct trace_ring *next; /* guarded by the list's lock, as is taken */
    bool taken;
    struct trace_event *events;
    _Atomic uint64_t count; /* ever written */
};

extern _Atomic bool trace_on;

#define TRACE(kind, number, text)                                                              \
    do {                                                                                       \
        if (__builtin_expect(atomic_load_explicit(&trace_on, memory_order_relaxed), 0))        \
            trace_add((kind), (number), (text));                                               \
    } while (0)

/* Writes down that it happened now, on this thread. Any thread. */
void trace_add(enum trace_kind kind, uint64_t number, const char *text);
/* The calling thread of the scheduler ends. */
void trace_thread_end(void);
/* Ends a trace that is under way, and frees all; no thread of the scheduler lives. */
void trace_free(void);

struct buf;

/* trace_json.c: one piece at a time of what the rings hold between two points in time. */
struct trace_sink {
    int (*put)(void *ctx, struct buf *piece);
    void *ctx;
};
/* 0 or the first negative result of put. */
int trace_write(const struct trace_ring *rings, uint64_t from_ns, uint64_t to_ns,
                const struct trace_sink *sink);

#endif
