/* observe.h: the scheduler seen from outside: figures of each processor, and a trace. Sums over
 * all processors and the list of tasks are in scheduler.h.
 *
 *     scheduler_trace_start();
 *     … five seconds later …
 *     scheduler_trace_stop(put, ctx);       -> JSON, which ui.perfetto.dev opens
 *
 * There are two further ways to look that need no call: probes for perf and bpftrace (provider
 * "stint", listed in probe.h), and gdb (gdb.py), on a living process and on a core. */
#ifndef SCHEDULER_OBSERVE_H
#define SCHEDULER_OBSERVE_H

#include <stdbool.h>
#include <stdint.h>

/* How long tasks waited between runnable and running: a bucket holds those below its bound,
 * which is twice that of the one before; the last holds the rest. */
#define SCHEDULER_LATENCY_BUCKETS 24

struct scheduler_processor_stats {
    uint64_t runs, steals, steal_attempts, parks, yields, handoffs, overflows, polls,
        timers_fired, retakes, blocking_calls;
    uint64_t run_queue_len;
    /* Of about one task in 512, those made runnable by other threads all. */
    uint64_t latency[SCHEDULER_LATENCY_BUCKETS];
    uint64_t latency_total_ns, latency_count;
};

/* The figures of processor number i since the start; each is true, together they need not be of
 * one moment. false: there is none of that number (any more). Any thread. */
bool scheduler_processor_stats(unsigned i, struct scheduler_processor_stats *ret);
/* The bound of a bucket in nanoseconds; UINT64_MAX for the last. */
uint64_t scheduler_latency_bound_ns(unsigned bucket);
/* The bound below which that share (0 to 1) of the waits in buckets lies; 0 without any. */
uint64_t scheduler_latency_quantile_ns(const uint64_t *buckets, double share);

struct buf;

/* Begins to write down who runs where, why it stops, who wakes whom, steals, hand-offs, polls,
 * timers: the last 32,768 events of each thread, 1 MiB each. 0; -EBUSY when a trace is under
 * way; -ESRCH when no scheduler runs. Any thread. */
int scheduler_trace_start(void);
/* Ends it and tells it as Chrome trace JSON, piece by piece: put may take a piece's content,
 * may park when the caller is a task, and ends it all by a negative errno, which is the answer
 * then. 0; -ESRCH when there is no trace to end. Any thread. */
int scheduler_trace_stop(int (*put)(void *ctx, struct buf *piece), void *ctx);
/* Ends it and tells nobody. As scheduler_trace_stop. */
int scheduler_trace_drop(void);

#endif
