/* run.c: from stack to stack.
 *
 * A thread has a stack of its own, the scheduler's, whose loop looks for work and switches to
 * tasks. A task that leaves its stack often need not go there: when who is next is plainly at
 * hand, it switches to that one's stack at once, which is one switch instead of two and none of
 * the loop. The loop's frame stays where it is until somebody finds nothing at hand.
 *
 *     task A                              task B, which left by task_leave before
 *         thread.task = NULL
 *         was it asked for something?     (then, or when nothing is at hand: to the loop)
 *         picks B; B.thread = thread
 *         thread.left = A
 *         saves its registers, switches
 *                                         commits A: only now may others learn that it sleeps
 *                                         thread.task = B
 *
 * R1  who left is committed after its stack was left and before anything else happens on that
 *     thread: by the successor, or by the loop.
 * R2  a successor is chosen only from what stands here, and never when something else is due:
 *     a tick of the global queue and the poller, a timer, an answer to the monitor, members
 *     that have yet to leave their group (G4). So the loop is come by at least every PICK_TICK
 *     picks.
 * R3  between leaving and arriving thread.task is NULL, as in the loop: nothing is taken from
 *     who stands between two tasks (H1).
 * R4  only who has a stack is switched to directly, and only by who keeps its own.
 * R5  one that ends leaves its stack to who comes next, when that one has yet to begin, on a
 *     stack of that size, and nothing else is due (R2): it goes on there with no switch and no
 *     loop. Nobody else saw the stack meanwhile. It rounds as the loop does, where all others
 *     begin, and not as who was there before.
 *
 * (Play: tests/schedule; to commit before the switch lets two threads onto one stack there.
 * Model: tests/model/take.pml; to go on though asked lets two threads into one processor.)
 */
#include "scheduler/run.h"

#include "base/err.h"
#include "scheduler/hog.h"
#include "scheduler/overflow.h"
#include "scheduler/pick.h"
#include "scheduler/probe.h"
#include "scheduler/processor.h"
#include "scheduler/switch.h"
#include "scheduler/threads.h"
#include "scheduler/wait.h"

#include <errno.h>
#include <time.h>

#define UNBOUND_SLEEP_NS 1000000
#define ENDED_MAX 16 /* so many leave their group at once */

/* errno belongs to the thread and is carried for the task. TSan sees one variable that a thread
 * writes and a fiber reads with nothing between them; here it is not to look. */
SANITIZER_LOCAL static void errno_restore(const struct thread *m, const struct task *t)
{
    *m->error = t->saved_errno;
}

SANITIZER_LOCAL static void errno_save(const struct thread *m, struct task *t)
{
    t->saved_errno = *m->error;
}

/* t is about to run: from here to its next leaving. */
static void begin(struct thread *m, struct processor *p, struct task *t)
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
}

/* What is to be done with who left, R1. */
static void commit_left(struct thread *m)
{
    struct task *t = get_relaxed(&m->left);

    set_relaxed(&m->left, NULL);
    if (get_relaxed(&m->commit)(m, t, get_relaxed(&m->commit_arg)))
        processor_ready(t);
}

/* ---- from task to task ---- */

/* From here on nobody takes the processor, R3; false: the loop is to answer the monitor. */
static bool leaves_unasked(struct thread *m)
{
    set_relaxed(&m->task, NULL);
    atomic_signal_fence(memory_order_seq_cst);
    return get_relaxed(&m->asked) == ASKED_NOTHING && get_relaxed(&m->processor) != NULL;
}

/* Who runs next, NULL when the loop is to see to that. */
static struct task *successor(struct thread *m)
{
    if (!leaves_unasked(m) || m->ended != NULL)
        return NULL;

    struct processor *p = get_relaxed(&m->processor);
    struct task *t = pick_at_hand(m, p);
    set_relaxed(&m->chosen, t);
    if (t == NULL || get_relaxed(&t->stack) == NULL)
        return NULL;
    begin(m, p, t);
    return t;
}

/* t goes on, without the loop. */
static void start(struct thread *m, struct task *t)
{
    sanitizer_left();
    atomic_store_explicit(&m->task, t, memory_order_release); /* H1: no use of p after it */
    errno_restore(m, t);
}

/* On the stack of t, perhaps on another thread than the one it left. */
static void arrive(struct thread *m, struct task *t)
{
    if (get_relaxed(&m->left) == NULL) {
        errno_restore(m, t);
        return;
    }
    commit_left(m);
    set_relaxed(&m->chosen, NULL);
    start(m, t);
}

static void on_leaving(struct thread *m, struct task *t, task_commit_fn commit, void *arg)
{
    set_relaxed(&m->left, t);
    set_relaxed(&m->commit, commit);
    set_relaxed(&m->commit_arg, arg);
}

void task_leave(struct task *t, task_commit_fn commit, void *arg)
{
    struct thread *m = get_relaxed(&t->thread);

    if (!stack_is_whole(get_relaxed(&t->stack)))
        overflow_end(t);
    t->budget = TASK_BUDGET;
    sanitizer_leave(&m->sanitizer);
    errno_save(m, t);
    on_leaving(m, t, commit, arg);
    struct task *next = successor(m);
    sanitizer_jump(&t->sanitizer, next != NULL ? &next->sanitizer : &m->sanitizer, false);
    if (next != NULL)
        switch_alike(&t->sp, next->sp);
    else
        switch_context(&t->sp, m->sp);
    sanitizer_arrived(&t->sanitizer);
    m = get_relaxed(&t->thread);
    arrive(m, t);
    sanitizer_enter(&m->sanitizer, &t->sanitizer);
}

/* ---- its beginning and its end ---- */

/* It is to leave its group, and to give back its stack, which may still be stood on. */
static void end(struct thread *m, struct task *t)
{
    inside_end(m); /* it began in task_entry */
    if (!stack_is_whole(get_relaxed(&t->stack)))
        overflow_end(t);
    count_add(&get_relaxed(&m->processor)->counters.ended, 1);
    set_relaxed(&t->state, TASK_FREE);
    set_relaxed(&t->next, m->ended);
    m->ended = t;
    m->ended_len++;
}

/* Those who ended here leave their group. The descriptor of `but` is still needed. */
static void leave_group(struct thread *m, const struct task *but, int result)
{
    struct task *t = m->ended;

    if (t == NULL)
        return;
    m->ended = NULL;
    m->ended_len = 0;
    group_members_ended(t, result);
    for (struct task *next; t != NULL; t = next) {
        next = get_relaxed(&t->next);
        if (t != but)
            task_free(get_relaxed(&m->processor), t);
    }
}

static char *disown(struct task *t)
{
    char *stack = get_relaxed(&t->stack);

    sanitizer_give(stack_base(stack));
    set_relaxed(&t->stack, NULL);
    return stack;
}

static void own(struct task *t, char *stack)
{
    size_t size = stack_bytes(t->stack_class);

    sanitizer_stack(&t->sanitizer, stack_base(stack) + STACK_GUARD_BYTES,
                    size - STACK_GUARD_BYTES);
    set_relaxed(&t->stack, stack);
}

static bool commit_stack(struct thread *m, struct task *t, void *arg)
{
    struct processor *p = get_relaxed(&m->processor);

    (void)arg;
    stack_put(&p->stacks, t->stack_class, disown(t));
    task_free(p, t);
    return false;
}

static bool commit_end(struct thread *m, struct task *t, void *arg)
{
    bool root = t == sched.root;

    end(m, t);
    leave_group(m, t, (int)(intptr_t)arg);
    commit_stack(m, t, NULL);
    if (root)
        threads_stop();
    return false;
}

/* On the stack of t, and with it still in its group. */
static bool may_follow(const struct task *next, const struct task *t)
{
    return next != NULL && get_relaxed(&next->stack) == NULL &&
           get_relaxed(&next->group) == get_relaxed(&t->group);
}

static bool may_begin(const struct thread *m, const struct task *next, const struct task *t)
{
    return next != NULL && get_relaxed(&next->stack) == NULL &&
           next->stack_class == t->stack_class && (m->ended == NULL || may_follow(next, t));
}

/* Who begins on the stack of t, which is over, R5; NULL when the loop is to see to both. */
static struct task *heir(struct thread *m, struct task *t, int result)
{
    on_leaving(m, t, commit_end, (void *)(intptr_t)result);
    if (!leaves_unasked(m) || t == sched.root)
        return NULL;

    struct processor *p = get_relaxed(&m->processor);
    bool lingers = m->ended_len + 1 < ENDED_MAX && group_lets_linger(t, result) &&
                   may_follow(pick_foreseen(m, p), t);
    end(m, t);
    on_leaving(m, t, commit_stack, NULL);
    if (!lingers)
        leave_group(m, t, result);
    struct task *next = pick_at_hand(m, p);
    if (!may_begin(m, next, t)) {
        leave_group(m, t, result);
        set_relaxed(&m->chosen, next);
        return NULL;
    }
    set_relaxed(&m->left, NULL);
    own(next, disown(t));
    if (m->ended == NULL)
        task_free(p, t);
    begin(m, p, next);
    switch_control(m->sp);
    return next;
}

/* It never returns, so TSan must not note that it was called: its fiber is used again. */
SANITIZER_LOCAL static void task_entry(void *arg)
{
    struct task *t = arg;

    sanitizer_arrived(&t->sanitizer);
    struct thread *m = get_relaxed(&t->thread);
    for (struct task *next = t; next != NULL;) {
        t = next;
        sanitizer_enter(&m->sanitizer, &t->sanitizer);
        sanitizer_take(t);
        sanitizer_take(stack_base(get_relaxed(&t->stack)));
        int result = t->fn(t->arg);
        assert_always(list_is_empty(&t->groups_open)); /* a frame ended with a group open */
        assert_always(t->shields == 0);

        m = inside_begin_surely();
        probe_stop(t, "end");
        sanitizer_leave(&m->sanitizer);
        next = heir(m, t, result);
        if (next != NULL)
            start(m, next);
    }
    sanitizer_jump(&t->sanitizer, &m->sanitizer, true);
    switch_context(&t->sp, m->sp);
    err_broken("an ended task ran again", __FILE__, __LINE__);
}

/* Before the first run: gives it a stack. -EAGAIN when none can be had. */
static int bind(struct processor *p, struct task *t)
{
    char *stack = stack_get(&p->stacks, t->stack_class);

    if (stack == NULL)
        return -EAGAIN;
    own(t, stack);
    t->sp = switch_prepare(stack_top(stack, t->stack_class), task_entry, t);
    return 0;
}

/* ---- from the loop ---- */

/* The task is off the thread, and with it all that it was asked but one thing. */
static void answer(struct thread *m)
{
    hog_answer(m);
    atomic_store(&m->asked, ASKED_NOTHING);
}

/* Until somebody comes back, who need not be t. */
static void run(struct thread *m, struct processor *p, struct task *t)
{
    begin(m, p, t);
    atomic_store_explicit(&m->task, t, memory_order_release); /* H1: no use of p after it */
    errno_restore(m, t);
    sanitizer_jump(&m->sanitizer, &t->sanitizer, false);
    switch_context(&m->sp, t->sp);
    sanitizer_arrived(&m->sanitizer);
    sanitizer_left();
    set_relaxed(&m->task, NULL);
    atomic_signal_fence(memory_order_seq_cst);
    if (get_relaxed(&m->asked) != ASKED_NOTHING)
        answer(m);
}

/* t was promised to run. Others will end and leave their stacks; while nobody has run since
 * this thread asked for all who wait, it sleeps. */
static void wait_for_stack(struct thread *m, struct processor *p, struct task *t)
{
    uint64_t runs = get_relaxed(&p->counters.runs);

    if (m->unbound_runs != runs) {
        m->unbound_runs = runs;
        m->unbound = 0;
    }
    processor_requeue(p, t);
    if (m->unbound++ < runq_len(&p->runq) + atomic_load(&sched.global.len))
        return;
    m->unbound = 0;
    (void)nanosleep(&(struct timespec){.tv_nsec = UNBOUND_SLEEP_NS}, NULL);
}

static void execute(struct thread *m, struct task *t)
{
    struct processor *p = get_relaxed(&m->processor);

    if (get_relaxed(&t->stack) == NULL && bind(p, t) < 0) {
        wait_for_stack(m, p, t);
        return;
    }
    run(m, p, t);
    commit_left(m);
    leave_group(m, NULL, 0);
}

void run_loop(struct thread *m)
{
    while (!m->ending && !atomic_load(&sched.stopping)) {
        if (get_relaxed(&m->processor) == NULL) {
            thread_rest(m);
            continue;
        }
        struct task *t = processor_find(m);
        if (t != NULL)
            execute(m, t);
    }
}
