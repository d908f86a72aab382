#include "scheduler/observe.h"

#include "base/buf.h"
#include "scheduler/core.h"
#include "scheduler/trace.h"

static void add_latency(struct scheduler_processor_stats *ret, const struct latency *latency)
{
    for (unsigned i = 0; i < SCHEDULER_LATENCY_BUCKETS; i++) {
        ret->latency[i] = get_relaxed(&latency->buckets[i]);
        ret->latency_count += ret->latency[i];
    }
    ret->latency_total_ns = get_relaxed(&latency->total_ns);
}

static void read_processor(const struct processor *p, struct scheduler_processor_stats *ret)
{
    const struct processor_counters *c = &p->counters;

    *ret = (struct scheduler_processor_stats){
        .runs = get_relaxed(&c->runs),
        .steals = get_relaxed(&c->steals),
        .steal_attempts = get_relaxed(&c->steal_attempts),
        .parks = get_relaxed(&c->parks),
        .yields = get_relaxed(&c->yields),
        .handoffs = get_relaxed(&c->handoffs),
        .overflows = get_relaxed(&c->overflows),
        .polls = get_relaxed(&c->polls),
        .timers_fired = get_relaxed(&c->timers_fired),
        .retakes = get_relaxed(&c->retakes),
        .blocking_calls = get_relaxed(&c->blocking_calls),
        .run_queue_len = runq_len(&p->runq),
    };
    add_latency(ret, &p->latency);
}

bool scheduler_processor_stats(unsigned i, struct scheduler_processor_stats *ret)
{
    if (!look_begin())
        return false;
    bool known = i < sched.count;
    if (known)
        read_processor(&sched.processors[i], ret);
    look_end();
    return known;
}

uint64_t scheduler_latency_bound_ns(unsigned bucket)
{
    return bucket + 1 < SCHEDULER_LATENCY_BUCKETS ? UINT64_C(1) << (LATENCY_FIRST_BITS + bucket)
                                                  : UINT64_MAX;
}

uint64_t scheduler_latency_quantile_ns(const uint64_t *buckets, double share)
{
    uint64_t count = 0, below = 0;

    for (unsigned i = 0; i < SCHEDULER_LATENCY_BUCKETS; i++)
        count += buckets[i];
    for (unsigned i = 0; i < SCHEDULER_LATENCY_BUCKETS; i++) {
        below += buckets[i];
        if (below > 0 && (double)below >= share * (double)count)
            return scheduler_latency_bound_ns(i);
    }
    return 0;
}

static void put_quantile(struct buf *b, const struct scheduler_processor_stats *s, double share)
{
    uint64_t ns = scheduler_latency_quantile_ns(s->latency, share);

    if (ns == UINT64_MAX)
        buf_puts(b, "the last bucket");
    else
        buf_putf(b, "%.1f us", (double)ns / 1e3);
}

void processors_dump(struct buf *b)
{
    struct scheduler_processor_stats s;

    for (unsigned i = 0; scheduler_processor_stats(i, &s); i++) {
        buf_putf(b,
                 "processor %u: %llu runs, %llu parks, %llu steals, %llu hand-offs, %llu in "
                 "queue; half of the tasks wait less than ",
                 i, (unsigned long long)s.runs, (unsigned long long)s.parks,
                 (unsigned long long)s.steals, (unsigned long long)s.handoffs,
                 (unsigned long long)s.run_queue_len);
        put_quantile(b, &s, 0.5);
        buf_puts(b, ", 99 % less than ");
        put_quantile(b, &s, 0.99);
        buf_puts(b, "\n");
    }
}
