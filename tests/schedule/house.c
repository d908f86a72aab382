/* house.c: the parts of the scheduler that are not under test here, as simple as can be: every
 * task has a processor of its own, and what runs on a scheduler's stack runs on a fiber beside
 * it. So a task that was made runnable may go on while its own commit is not over yet, as it
 * may in truth. */
#include "tests/schedule/control.h"

#include "scheduler/core.h"
#include "scheduler/hog.h"
#include "scheduler/poller.h"
#include "scheduler/processor.h"
#include "scheduler/task.h"
#include "scheduler/threads.h"
#include "scheduler/trace.h"
#include "scheduler/wait.h"

#include <string.h>

enum { TASKS_MAX = 24, COMMITS_MAX = 64 };

struct commit {
    task_commit_fn fn;
    void *arg;
    struct task *task;
};

struct clock_fiber {
    unsigned ticks;
    uint64_t ns;
};

static struct {
    _Alignas(TASK_BYTES) struct task tasks[TASKS_MAX];
    struct commit commits[COMMITS_MAX];
    unsigned tasks_len, commits_len;
    unsigned live; /* tasks */
    struct processor processor;
    struct thread thread;
    struct thread *threads; /* or that of the fiber, if it is one of these */
    unsigned threads_len;
    struct clock_fiber clock;
    uint64_t now_ns;
} house;

struct scheduler sched;
_Atomic bool trace_on;

void trace_add(enum trace_kind kind, uint64_t number, const char *text)
{
    (void)kind, (void)number, (void)text;
}

void house_begin(void)
{
    memset(&house, 0, sizeof house);
    timers_init(&house.processor.timers);
    house.thread.processor = &house.processor;
    house.thread.dice = 1; /* or it would be drawn from an address */
    house.now_ns = 1;
    sched.processors = &house.processor;
    sched.count = 1;
    sched.options.seed = 1;
}

uint64_t control_clock_ns(void)
{
    return house.now_ns;
}

/* ---- locks ---- */

/* Who finds it taken. Torn, it lets a second one in. */
void spin_lock_slow(_Atomic uint32_t *lock)
{
    if (control_tears(TEAR_LOCK))
        return;
    while (*lock != 0)
        control_yield();
    *lock = 1;
}

/* ---- tasks ---- */

/* A fiber's argument is its task, or one of the others below. */
struct task *task_self(void)
{
    struct task *t = control_self();

    return t >= house.tasks && t < house.tasks + TASKS_MAX ? t : NULL;
}

void house_threads(struct thread *threads, unsigned count)
{
    house.threads = threads;
    house.threads_len = count;
}

struct thread *thread_self(void)
{
    struct thread *m = control_self();

    return m >= house.threads && m < house.threads + house.threads_len ? m : &house.thread;
}

/* Nothing is ever taken here. */
struct thread *inside_begin_later(struct thread *m)
{
    return m;
}

void hog_answer(struct thread *m)
{
    (void)m;
}

void poller_kick(void)
{
}

static void run_commit(void *arg)
{
    struct commit *c = arg;

    if (c->fn(&house.thread, c->task, c->arg))
        processor_ready(c->task);
}

void task_leave(struct task *t, task_commit_fn commit, void *arg)
{
    control_check(house.commits_len < COMMITS_MAX, "room for a commit");
    struct commit *c = &house.commits[house.commits_len++];
    *c = (struct commit){commit, arg, t};
    control_start(run_commit, c);
    control_block(t);
}

void processor_ready(struct task *t)
{
    control_check(control_wake(t) == 1, "who is made runnable sleeps");
}

void processor_ready_list(struct task_list *list)
{
    for (struct task *t; (t = task_list_pop(list)) != NULL;)
        processor_ready(t);
}

int task_cancelled(void)
{
    struct task *t = task_self();

    return t->shields == 0 ? get_relaxed(&t->cancel) : 0;
}

int task_checkpoint(void)
{
    return task_cancelled();
}

void task_spend(void)
{
}

void task_let_run(void)
{
}

uint64_t task_now_ns(void)
{
    return house.now_ns;
}

struct task *task_new(struct processor *p, task_fn fn, void *arg,
                      const struct task_options *options)
{
    (void)p;
    control_check(house.tasks_len < TASKS_MAX, "room for a task");
    struct task *t = &house.tasks[house.tasks_len++];
    t->fn = fn;
    t->arg = arg;
    t->next = NULL;
    t->name = options->name;
    t->site = options->site;
    list_init(&t->member);
    list_init(&t->groups_open);
    return t;
}

void task_free(struct processor *p, struct task *t)
{
    (void)p;
    set_relaxed(&t->state, TASK_FREE);
}

static void run_task(void *arg)
{
    struct task *t = arg;
    int result = t->fn(t->arg);

    control_check(list_is_empty(&t->groups_open), "every group was closed");
    if (t->group != NULL)
        group_members_ended(t, result);
    task_free(&house.processor, t);
    house.live--;
}

void processor_spawn(struct task *t, bool tell)
{
    (void)tell;
    house.live++;
    control_start(run_task, t);
}

void threads_stop(void)
{
}

struct task *house_start(int (*fn)(void *arg), void *arg)
{
    static const struct task_options options = {.name = "of its own", .site = "house.c"};
    struct task *t = task_new(NULL, fn, arg, &options);

    processor_spawn(t, true);
    return t;
}

/* ---- the clock ---- */

static void run_clock(void *arg)
{
    struct clock_fiber *c = arg;
    struct task_list due = {0};

    for (unsigned i = 0; i < c->ticks || house.live > 0; i++) {
        if (i < c->ticks)
            control_point();
        else
            control_yield();
        house.now_ns += c->ns;
        timers_run(&house.processor.timers, house.now_ns, &due);
        processor_ready_list(&due);
    }
}

void house_clock(unsigned ticks, uint64_t ns)
{
    house.clock = (struct clock_fiber){ticks, ns};
    control_start(run_clock, &house.clock);
}
