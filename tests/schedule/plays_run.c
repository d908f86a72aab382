/* Tasks that leave their stacks for each other's (run.c), and tasks that end and leave theirs
 * to who begins: two threads steal them back and forth. */
#include "tests/schedule/controlled.h" /* the queues' operations are inline */

#include "tests/schedule/plays.h"

#include "scheduler/core.h"
#include "scheduler/pick.h"
#include "scheduler/processor.h"
#include "scheduler/run.h"
#include "scheduler/switch.h"
#include "scheduler/threads.h"

#include <string.h>

enum { THREADS = 2, TASKS = 4, ROUNDS = 4, STACK_BYTES = 20480 };

/* As run.c is built here. */
void played_leave(struct task *t, task_commit_fn commit, void *arg);
char *played_stack_get(struct stack_cache *cache, unsigned class);
void played_stack_put(struct stack_cache *cache, unsigned class, char *stack);
void played_members_ended(struct task *ended, int result);
bool played_lets_linger(const struct task *t, int result);
void played_switch(void **ret_sp, void *to_sp);
void played_switch_alike(void **ret_sp, void *to_sp);

static _Alignas(STACK_GUARD_BYTES) char stacks[TASKS][STACK_BYTES];

static struct {
    struct thread threads[THREADS];
    struct processor processors[THREADS];
    int errors[THREADS]; /* errno of each */
    _Alignas(TASK_BYTES) struct task tasks[TASKS];
    bool left[TASKS]; /* its registers are on its stack, and nobody else is */
    unsigned done[TASKS], ended;
    char *free[TASKS];
    char *under[THREADS]; /* who is leaving it */
    unsigned free_len;
} stage;

static struct task *taken(struct task *t)
{
    if (t != NULL)
        CONTROL_HOLDS(stage.left[t - stage.tasks]);
    return t;
}

/* ---- what run.c asks of others ---- */

struct task *pick_at_hand(struct thread *m, struct processor *p)
{
    (void)m;
    return taken(runq_pop(&p->runq));
}

const struct task *pick_foreseen(const struct thread *m, const struct processor *p)
{
    (void)m;
    return runq_first(&p->runq);
}

struct task *processor_find(struct thread *m)
{
    struct processor *own = m->processor, *other = &stage.processors[own == stage.processors];
    struct task *t = m->chosen;

    m->chosen = NULL;
    while (t == NULL && stage.ended < TASKS) {
        t = taken(runq_pop(&own->runq));
        if (t == NULL)
            t = taken(runq_steal(&own->runq, &other->runq));
        if (t == NULL)
            control_yield();
    }
    m->ending = t == NULL;
    return t;
}

void processor_requeue(struct processor *p, struct task *t)
{
    CONTROL_HOLDS(runq_push(&p->runq, t));
}

void thread_rest(struct thread *m)
{
    (void)m;
    control_check(false, "no thread loses its processor");
}

/* Last in, first out: who begins is on the stack of who ended just now. */
char *played_stack_get(struct stack_cache *cache, unsigned class)
{
    char *stack = stage.free[--stage.free_len];

    (void)cache, (void)class;
    for (unsigned i = 0; i < THREADS; i++)
        CONTROL_HOLDS(stage.under[i] != stack);
    return stack;
}

void played_stack_put(struct stack_cache *cache, unsigned class, char *stack)
{
    (void)cache, (void)class;
    stage.free[stage.free_len++] = stack;
}

void played_members_ended(struct task *ended, int result)
{
    CONTROL_HOLDS(result == 0);
    for (struct task *t = ended; t != NULL; t = t->next)
        stage.ended++;
}

bool played_lets_linger(const struct task *t, int result)
{
    (void)t, (void)result;
    return true;
}

static bool committed(struct thread *m, struct task *t, void *arg)
{
    (void)m, (void)t, (void)arg;
    return false;
}

/* The mutant publishes who leaves while it is still on its stack. */
static void switching(struct thread *m)
{
    struct task *t = m->left;

    if (t == NULL)
        return;
    if (control_tears(TEAR_SWITCH)) {
        stage.under[m - stage.threads] = t->stack;
        m->commit(m, t, m->commit_arg);
        m->commit = committed;
        control_point();
        stage.under[m - stage.threads] = NULL;
    }
    stage.left[t - stage.tasks] = true;
}

void played_switch(void **ret_sp, void *to_sp)
{
    switching(thread_self());
    switch_context(ret_sp, to_sp);
}

void played_switch_alike(void **ret_sp, void *to_sp)
{
    switching(thread_self());
    switch_alike(ret_sp, to_sp);
}

/* ---- the tasks ---- */

static bool commit_yield(struct thread *m, struct task *t, void *arg)
{
    (void)arg;
    CONTROL_HOLDS(m->task == NULL);
    processor_requeue(m->processor, t);
    return false;
}

static unsigned rounds(size_t i)
{
    return i % 2 == 0 ? 0 : ROUNDS;
}

static void round_of(struct task *t)
{
    size_t i = (size_t)(t - stage.tasks);

    for (size_t k = 0; k < TASKS; k++)
        CONTROL_HOLDS(k == i || stage.tasks[k].stack != t->stack);
    stage.left[i] = false;
    CONTROL_HOLDS(thread_self()->task == t && t->thread == thread_self());
    CONTROL_HOLDS(*thread_self()->error == (int)stage.done[i] * TASKS + (int)i);
    stage.done[i]++;
    *thread_self()->error += TASKS;
    control_point();
    CONTROL_HOLDS(!stage.left[i]);
}

static int play_task(void *arg)
{
    size_t me = (size_t)((struct task *)arg - stage.tasks);

    for (unsigned i = 0; i < rounds(me); i++) {
        round_of(arg);
        played_leave(arg, commit_yield, NULL);
    }
    round_of(arg);
    return 0;
}

static void run_thread(void *arg)
{
    run_loop(arg);
}

static void run_begin(void)
{
    memset(&stage, 0, sizeof stage);
    for (unsigned i = 0; i < THREADS; i++) {
        runq_init(&stage.processors[i].runq, false);
        stage.threads[i].processor = &stage.processors[i];
        stage.threads[i].error = &stage.errors[i];
        control_start(run_thread, &stage.threads[i]);
    }
    house_threads(stage.threads, THREADS);
    for (unsigned i = 0; i < TASKS; i++) {
        struct task *t = &stage.tasks[i];
        t->fn = play_task;
        t->arg = t;
        t->saved_errno = (int)i;
        list_init(&t->groups_open);
        stage.free[stage.free_len++] = stacks[i];
        stage.left[i] = true;
        CONTROL_HOLDS(runq_push(&stage.processors[0].runq, t));
    }
}

static void run_end(void)
{
    for (unsigned i = 0; i < TASKS; i++)
        CONTROL_HOLDS(stage.done[i] == rounds(i) + 1);
    CONTROL_HOLDS(stage.free_len == TASKS);
    for (unsigned i = 0; i < THREADS; i++)
        CONTROL_HOLDS(stage.threads[i].task == NULL && stage.threads[i].chosen == NULL);
}

const struct control_play play_run = {"run", run_begin, run_end, TEAR_SWITCH};
