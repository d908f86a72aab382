/* run.c: from the scheduler's stack to a task's, and back. */
#include "scheduler/run.h"

#include "base/err.h"
#include "scheduler/hog.h"
#include "scheduler/overflow.h"
#include "scheduler/probe.h"
#include "scheduler/processor.h"
#include "scheduler/switch.h"
#include "scheduler/wait.h"

#include <errno.h>
#include <sched.h>

/* The switch off a task's stack: the only one, so that the jump at its end is predicted. */
void task_leave(struct task *t, task_commit_fn commit, void *arg)
{
    struct thread *m = get_relaxed(&t->thread);

    if (!stack_is_whole(get_relaxed(&t->stack)))
        overflow_end(t);
    t->budget = TASK_BUDGET;
    set_relaxed(&m->commit, commit);
    set_relaxed(&m->commit_arg, arg);
    void *sp = m->sp;
    sanitizer_to_thread(&t->sanitizer, &m->sanitizer, false);
    switch_context(&t->sp, sp);
    sanitizer_arrived(&t->sanitizer);
}

static bool commit_end(struct thread *m, struct task *t, void *arg)
{
    struct processor *p = get_relaxed(&m->processor);

    inside_end(m); /* it began on the stack that is put away now */
    if (!stack_is_whole(get_relaxed(&t->stack)))
        overflow_end(t);
    sanitizer_give(stack_base(get_relaxed(&t->stack)));
    stack_put(&p->stacks, t->stack_class, get_relaxed(&t->stack));
    set_relaxed(&t->stack, NULL);
    group_member_ended(p, t, (int)(intptr_t)arg);
    return false;
}

/* It never returns, so TSan must not note that it was called: its fiber is used again. */
SANITIZER_LOCAL static void task_entry(void *arg)
{
    struct task *t = arg;

    sanitizer_arrived(&t->sanitizer);
    sanitizer_take(t);
    sanitizer_take(stack_base(get_relaxed(&t->stack)));
    int result = t->fn(t->arg);
    assert_always(list_is_empty(&t->groups_open)); /* a frame ended with a group open */
    assert_always(t->shields == 0);

    struct thread *m = inside_begin_surely();
    probe_stop(t, "end");
    set_relaxed(&m->commit, commit_end);
    set_relaxed(&m->commit_arg, (void *)(intptr_t)result);
    void *sp = m->sp;
    sanitizer_to_thread(&t->sanitizer, &m->sanitizer, true);
    switch_context(&t->sp, sp);
    err_broken("an ended task ran again", __FILE__, __LINE__);
}

/* Before the first run: gives it a stack. -EAGAIN when none can be had. */
static int bind(struct processor *p, struct task *t)
{
    char *stack = stack_get(&p->stacks, t->stack_class);

    if (stack == NULL)
        return -EAGAIN;

    size_t size = stack_bytes(t->stack_class);
    sanitizer_stack(&t->sanitizer, stack_base(stack) + STACK_GUARD_BYTES,
                    size - STACK_GUARD_BYTES);
    set_relaxed(&t->stack, stack);
    t->sp = switch_prepare(stack_top(stack, t->stack_class), task_entry, t);
    return 0;
}

/* errno belongs to the thread and is carried for the task. TSan sees one variable that a thread
 * writes and a fiber reads with nothing between them; here it is not to look. */
static __attribute__((noinline, no_sanitize("thread"))) void errno_restore(int saved)
{
    errno = saved;
}

static __attribute__((noinline, no_sanitize("thread"))) int errno_saved(void)
{
    return errno;
}

/* The task is off the thread, and with it all that it was asked but one thing. */
static void answer(struct thread *m)
{
    hog_answer(m);
    atomic_store(&m->asked, ASKED_NOTHING);
}

/* One run of a task, from its stack's top to its next switch. */
static void run(struct thread *m, struct processor *p, struct task *t)
{
    count_add(&p->counters.runs, 1);
    if (t->outside) {
        t->outside = false;
        count_add(&p->counters.outside, -1);
    }
    if (get_relaxed(&sched.dead_told) && !t->background)
        set_relaxed(&sched.dead_told, false);
    set_relaxed(&t->thread, m);
    set_relaxed(&t->state, TASK_RUNNING);
    probe_run(p, t);
    atomic_store_explicit(&m->task, t, memory_order_release); /* H1: no use of p after it */

    void *sp = t->sp;
    errno_restore(t->saved_errno);
    sanitizer_to_task(&m->sanitizer, &t->sanitizer);
    switch_context(&m->sp, sp);
    sanitizer_arrived(&m->sanitizer);
    t->saved_errno = errno_saved();
    set_relaxed(&m->task, NULL);
    atomic_signal_fence(memory_order_seq_cst);
    if (get_relaxed(&m->asked) != ASKED_NOTHING)
        answer(m);
}

void run_execute(struct thread *m, struct task *t)
{
    bool again;

    do {
        struct processor *p = get_relaxed(&m->processor);
        if (get_relaxed(&t->stack) == NULL && bind(p, t) < 0) {
            /* It was promised to run. Others will end and leave their stacks. */
            processor_requeue(p, t);
            sched_yield();
            return;
        }
        run(m, p, t);
        again = get_relaxed(&m->commit)(m, t, get_relaxed(&m->commit_arg));
    } while (again && get_relaxed(&m->processor) != NULL);
    if (again)
        processor_ready(t);
}
