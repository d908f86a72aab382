/* dump.c: what can be seen from outside while everything runs. Reads are relaxed: each word is
 * true, a line need not be of one moment. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "scheduler/core.h"
#include "scheduler/monitor.h"
#include "scheduler/wait.h"

#include <string.h>

#define FRAMES_MAX 24

static const char *const state_names[] = {
    [TASK_FREE] = "free",     [TASK_READY] = "ready",     [TASK_RUNNING] = "running",
    [TASK_PARKED] = "parked", [TASK_BLOCKED] = "blocked",
};

/* Code addresses are printed relative to this, for addr2line. */
extern const char __executable_start[] __attribute__((weak));

struct trace {
    uintptr_t pcs[FRAMES_MAX];
    unsigned len;
};

/* Follows the frame pointers of a stack that nobody runs on. It may begin to run meanwhile:
 * every address is checked against the stack's bounds, and the caller throws the result away
 * when the wait word has changed. */
SANITIZER_GLANCE static void walk(const struct task *t, char *stack, struct trace *ret)
{
    uintptr_t low = (uintptr_t)stack_base(stack) + STACK_GUARD_BYTES;
    uintptr_t high = (uintptr_t)stack_base(stack) + stack_bytes(t->stack_class);
    uintptr_t sp = (uintptr_t)t->sp;

    if (sp < low || sp > high - 64)
        return;
#if defined(__x86_64__)
    uintptr_t frame = ((const uintptr_t *)sp)[6];
    ret->pcs[ret->len++] = ((const uintptr_t *)sp)[7];
#else
    uintptr_t frame = ((const uintptr_t *)sp)[0];
    ret->pcs[ret->len++] = ((const uintptr_t *)sp)[1];
#endif
    while (ret->len < FRAMES_MAX && frame >= low && frame <= high - 16 && frame % 8 == 0) {
        const uintptr_t *words = (const uintptr_t *)frame;
        if (words[1] == 0)
            break;
        ret->pcs[ret->len++] = words[1];
        if (words[0] <= frame)
            break;
        frame = words[0];
    }
}

static void put_trace(struct buf *b, const struct task *t)
{
    struct trace trace = {.len = 0};
    uint64_t before = atomic_load(&t->wait);
    char *stack = get_relaxed(&t->stack);

    if (stack == NULL || get_relaxed(&t->state) != TASK_PARKED)
        return;
    walk(t, stack, &trace);
    if (atomic_load(&t->wait) != before || get_relaxed(&t->state) != TASK_PARKED)
        return;
    buf_puts(b, "   ");
    for (unsigned i = 0; i < trace.len; i++)
        buf_putf(b, " +0x%lx", (unsigned long)(trace.pcs[i] - (uintptr_t)__executable_start));
    buf_putc(b, '\n');
}

SANITIZER_GLANCE bool sleeps_outside(const struct task *t)
{
    return t->outside;
}

void dump_task(struct buf *b, const struct task *t)
{
    unsigned state = get_relaxed(&t->state);
    const char *reason = get_relaxed(&t->wait_reason);

    if (state == TASK_FREE || state >= sizeof state_names / sizeof *state_names)
        return;
    buf_putf(b, "task %llu \"%s\" %s", (unsigned long long)t->id, get_relaxed(&t->name),
             state_names[state]);
    if (state == TASK_PARKED && reason != NULL) {
        uint64_t now = clock_mono_ns(), since = get_relaxed(&t->wait_since_ns);
        buf_putf(b, " on %s %p for ", reason, get_relaxed(&t->wait_object));
        str_put_duration(b, now > since ? (int64_t)((now - since) / NS_PER_MS) : 0);
    }
    buf_putf(b, ", group \"%s\", spawned at %s%s\n", get_relaxed(&t->group_name),
             get_relaxed(&t->site), t->background ? ", background" : "");
    put_trace(b, t);
}

static void put_task(struct task *t, void *ctx)
{
    dump_task(ctx, t);
}

void scheduler_dump(struct buf *ret)
{
    if (!look_begin())
        return;
    task_each(put_task, ret);
    processors_dump(ret);
    look_end();
}

static void add_processor(struct scheduler_stats *s, const struct processor *p, uint64_t now)
{
    const struct processor_counters *c = &p->counters;
    uint64_t stalled = get_relaxed(&p->stalled_since_ns);

    s->tasks_created += get_relaxed(&c->created);
    s->tasks_live += get_relaxed(&c->created) - get_relaxed(&c->ended);
    s->runs += get_relaxed(&c->runs);
    s->steals += get_relaxed(&c->steals);
    s->steal_attempts += get_relaxed(&c->steal_attempts);
    s->parks += get_relaxed(&c->parks);
    s->yields += get_relaxed(&c->yields);
    s->handoffs += get_relaxed(&c->handoffs);
    s->overflows += get_relaxed(&c->overflows);
    s->polls += get_relaxed(&c->polls);
    s->timers_fired += get_relaxed(&c->timers_fired);
    s->retakes += get_relaxed(&c->retakes);
    s->takes += get_relaxed(&c->takes);
    s->run_queue_len += runq_len(&p->runq);
    for (unsigned i = 0; i < STACK_CLASSES; i++)
        s->stacks_cached += get_relaxed(&p->stacks.len[i]);
    if (stalled != 0 && now > stalled && now - stalled > s->stall_ns)
        s->stall_ns = now - stalled;
}

void scheduler_stats(struct scheduler_stats *ret)
{
    struct scheduler_stats s = {0};
    uint64_t made = 0, stored = 0, now = clock_mono_ns();

    *ret = s;
    if (!look_begin())
        return;
    for (unsigned i = 0; i < sched.count; i++)
        add_processor(&s, &sched.processors[i], now);
    stack_counts(&made, &stored);
    s.stacks_cached += stored;
    s.stacks_live = made > s.stacks_cached ? made - s.stacks_cached : 0;
    s.stacks_canary = stack_canaries();
    s.wakes = atomic_load(&sched.wakes);
    s.global_queue_len = atomic_load(&sched.global.len);
    s.threads = get_relaxed(&sched.threads_count);
    s.threads_blocked = atomic_load(&sched.blocked);
    s.threads_taken = atomic_load(&sched.taken);
    s.processors = sched.count;
    s.processors_idle = atomic_load(&sched.idle_count);
    spin_lock(&sched.idle_lock);
    s.threads_spare = sched.spare_count;
    spin_unlock(&sched.idle_lock);
    look_end();
    *ret = s;
}
