/* pick.c: who is next, of those that this processor has itself. */
#include "scheduler/pick.h"

#include "base/clock.h"
#include "scheduler/poller.h"
#include "scheduler/probe.h"
#include "scheduler/processor.h"

#define PICK_TICK 61
#define STACK_LINE_BYTES 64
#define IN_ROW_MAX 3        /* so often are those passed that have begun, */
#define IN_ROW_MAX_NEW 1000 /* and those that have not */

bool pick_due_timers(struct processor *p, struct processor *of, uint64_t now_ns)
{
    struct task_list due = {0};
    unsigned n;

    if (atomic_load_explicit(&of->timers.next_at_ns, memory_order_acquire) > now_ns)
        return false;
    n = timers_run(&of->timers, now_ns, &due);
    count_add(&p->counters.timers_fired, n);
    probe_timers(p, n);
    processor_ready_list(&due);
    if (runq_len(&p->runq) > 1)
        processor_submit();
    return n > 0;
}

static void check_timers(struct processor *p)
{
    if (atomic_load_explicit(&p->timers.next_at_ns, memory_order_relaxed) == TIMERS_NONE)
        return;
    uint64_t now = clock_mono_ns();
    set_relaxed(&sched.coarse_ns, now);
    pick_due_timers(p, p, now);
}

static void poll_now(struct processor *p)
{
    struct task_list ready = {0};

    if (!poller_try(&ready))
        return;
    count_add(&p->counters.polls, 1);
    if (ready.len == 0)
        return;
    processor_ready_list(&ready);
    processor_submit();
}

/* Whether who stands at the front was passed often enough. */
static bool front_has_turn(const struct thread *m, const struct processor *p)
{
    const struct task *front = runq_first(&p->runq);

    if (front == NULL)
        return false;
    bool begun = get_relaxed(&front->stack) != NULL;
    return m->in_row >= (begun ? IN_ROW_MAX : IN_ROW_MAX_NEW);
}

/* Who stands at the back and need not stand behind the others. */
static const struct task *youngest_in(const struct runq *q)
{
    const struct task *last = runq_last(q);

    return last != NULL && get_relaxed(&last->young) ? last : NULL;
}

static bool youngest_have_turn(const struct thread *m, const struct processor *p)
{
    return m->in_row < IN_ROW_MAX || !front_has_turn(m, p);
}

/* The youngest come first: who was woken or started last, and then those whom it displaced, the
 * last one first. So a tree of tasks is walked down before it is walked across, and as many of
 * its tasks have a stack as it is high, not as it is wide. */
static struct task *take_youngest(struct thread *m, struct processor *p)
{
    struct task *t = NULL;

    if (youngest_have_turn(m, p)) {
        t = runq_pop_next(&p->runq);
        if (t == NULL && youngest_in(&p->runq) != NULL)
            t = runq_pop_last(&p->runq);
    }
    if (t == NULL)
        m->in_row = 0;
    else if (m->in_row < IN_ROW_MAX_NEW)
        m->in_row++;
    return t;
}

const struct task *pick_foreseen(const struct thread *m, const struct processor *p)
{
    const struct task *t = NULL;

    if (youngest_have_turn(m, p) && (t = get_relaxed(&p->runq.next)) == NULL)
        t = youngest_in(&p->runq);
    return t != NULL ? t : runq_first(&p->runq);
}

/* While one task runs, the stack of the next comes into the cache, as far as it is read on the
 * way out of where it waits, and the descriptor of the one after it. They may be stolen
 * meanwhile: descriptors stay, and nothing but time is lost. */
SANITIZER_LOCAL static void prefetch(const struct runq *q)
{
    uint64_t head = get_relaxed(&q->head);
    const struct task *next = get_relaxed(&q->slots[head % RUNQ_SLOTS]);

    if (next == NULL)
        return;
    __builtin_prefetch(get_relaxed(&q->slots[(head + 1) % RUNQ_SLOTS]));
    const char *sp = next->sp;
    for (unsigned i = lines_get(next); i > 0; i--, sp += STACK_LINE_BYTES)
        __builtin_prefetch(sp);
}

static struct task *pop(struct runq *q)
{
    struct task *t = runq_pop(q);

    if (t != NULL)
        prefetch(q);
    return t;
}

/* Of the queue alone. */
static struct task *take(struct thread *m, struct processor *p)
{
    struct task *t = take_youngest(m, p);

    if (t == NULL)
        t = pop(&p->runq);
    if (t == NULL)
        t = runq_pop_next(&p->runq);
    return t;
}

static bool timers_are_due(const struct processor *p)
{
    uint64_t next = get_relaxed(&p->timers.next_at_ns);

    if (next == TIMERS_NONE)
        return false;
    uint64_t now = clock_mono_ns();
    set_relaxed(&sched.coarse_ns, now);
    return next <= now;
}

struct task *pick_at_hand(struct thread *m, struct processor *p)
{
    uint32_t tick = get_relaxed(&p->tick) + 1;

    if (tick % PICK_TICK == 0 || timers_are_due(p))
        return NULL;
    set_relaxed(&p->tick, tick);
    return take(m, p);
}

struct task *pick_here(struct thread *m, struct processor *p)
{
    struct task *t = get_relaxed(&m->chosen);
    uint32_t tick = get_relaxed(&p->tick) + 1;

    if (t != NULL) {
        set_relaxed(&m->chosen, NULL);
        return t;
    }
    set_relaxed(&p->tick, tick);
    check_timers(p);
    if (tick % PICK_TICK == 0) {
        poll_now(p);
        t = processor_take_global(p, youngest_in(&p->runq) != NULL ? 1 : PICK_TICK);
    }
    if (t == NULL)
        t = take(m, p);
    if (t == NULL)
        t = processor_take_global(p, RUNQ_BATCH);
    return t;
}
