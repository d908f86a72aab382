/* ready.c: making tasks runnable: where they are put, and who is told. */
#include "scheduler/hog.h"
#include "scheduler/probe.h"
#include "scheduler/processor.h"

/* A full ring gives of its oldest to everybody. Out of line: its frame is large. */
static __attribute__((noinline)) void push_when_full(struct processor *p, struct task *t)
{
    struct task_list spilled = {0};

    runq_spill(&p->runq, &spilled);
    count_add(&p->counters.overflows, 1);
    if (!runq_push(&p->runq, t))
        task_list_push(&spilled, t);
    global_push(&sched.global, &spilled);
    processor_submit();
}

/* Behind the others. */
static void push(struct processor *p, struct task *t)
{
    if (!runq_push(&p->runq, t))
        push_when_full(p, t);
}

/* A fair share of the global queue, at most max. */
static void take_share(struct task_list *ret, unsigned max)
{
    uint64_t share = atomic_load(&sched.global.len) / sched.count + 1;

    global_pop(&sched.global, share < max ? (unsigned)share : max, ret);
}

static void push_all(struct processor *p, struct task_list *list)
{
    for (struct task *t; (t = task_list_pop(list)) != NULL;) {
        set_relaxed(&t->young, false);
        push(p, t);
    }
}

/* Behind what stands here. */
static void refill(struct processor *p, unsigned max)
{
    struct task_list taken = {0};

    if (atomic_load(&sched.global.len) == 0)
        return;
    take_share(&taken, max);
    push_all(p, &taken);
}

/* The first is the answer, the others go behind what stands here. */
struct task *processor_take_global(struct processor *p, unsigned max)
{
    struct task_list taken = {0};

    if (atomic_load(&sched.global.len) == 0)
        return NULL;
    take_share(&taken, max);
    struct task *t = task_list_pop(&taken);
    if (taken.head == NULL)
        return t;
    /* Between the two queues nobody could see them, and may sleep now. */
    push_all(p, &taken);
    processor_submit();
    return t;
}

/* Threads without a processor: foreign ones, and ours inside a blocking call, announced or
 * not. */
static void ready_from_outside(struct task_list *list)
{
    atomic_fetch_add(&sched.foreign, 1);
    global_push(&sched.global, list);
    processor_submit();
    atomic_fetch_sub(&sched.foreign, 1);
}

static __attribute__((noinline)) void ready_one_from_outside(struct task *t)
{
    struct task_list one = {0};

    task_list_push(&one, t);
    ready_from_outside(&one);
}

/* The processor of the calling thread m, which is inside from here on; NULL when it has none,
 * as a foreign one (m == NULL), one in a blocking call, and one that has lost it. */
static inline struct processor *begin(struct thread *m)
{
    if (m == NULL)
        return NULL;
    inside_begin(m);
    return get_relaxed(&m->processor);
}

static inline void end(struct thread *m)
{
    if (m != NULL)
        inside_end(m);
}

static void put_next(struct processor *p, struct task *t, bool tell)
{
    struct task *displaced = runq_push_next(&p->runq, t);

    if (displaced != NULL) {
        set_relaxed(&displaced->young, true);
        push(p, displaced);
    }
    if (displaced != NULL || tell)
        processor_submit();
}

void processor_ready(struct task *t)
{
    struct thread *m = thread_self();
    struct processor *p = begin(m);

    set_relaxed(&t->state, TASK_READY);
    probe_ready(p, t);
    if (p == NULL)
        ready_one_from_outside(t);
    else
        put_next(p, t, false);
    end(m);
}

void processor_ready_list(struct task_list *list)
{
    struct thread *m = thread_self();

    if (list->head == NULL)
        return;
    struct processor *p = begin(m);
    for (struct task *t = list->head; t != NULL; t = get_relaxed(&t->next)) {
        set_relaxed(&t->state, TASK_READY);
        probe_ready(p, t);
    }
    if (p == NULL) {
        ready_from_outside(list);
    } else {
        bool many = list->len > 1 || get_relaxed(&m->task) != NULL;
        push_all(p, list);
        if (many)
            processor_submit();
    }
    end(m);
}

void processor_spawn(struct task *t, bool tell)
{
    struct thread *m = inside_begin_surely();
    struct processor *p = get_relaxed(&m->processor);

    count_add(&p->counters.created, 1);
    probe_spawn(p, t);
    put_next(p, t, tell);
    inside_end(m);
}

void processor_requeue(struct processor *p, struct task *t)
{
    latency_begin(p, t);
    /* Who yields lets others run, also those that found no place here. */
    if (runq_ring_is_empty(&p->runq))
        refill(p, RUNQ_BATCH);
    set_relaxed(&t->young, false);
    bool alone = runq_ring_is_empty(&p->runq) && get_relaxed(&p->runq.next) == NULL;
    push(p, t);
    if (!alone) /* this processor takes it next */
        processor_submit();
}
