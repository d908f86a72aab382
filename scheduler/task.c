/* task.c: descriptors, and what a task may do with itself.
 *
 * A descriptor is 256 bytes from slabs that are kept until the scheduler stops, so that a late
 * waker may look at the wait word of a task that is long gone. It gets a stack when it runs for
 * the first time: a backlog of tasks that have not started costs 256 bytes each, and short
 * tasks run one after another on the same hot stack. */
#include "scheduler/task.h"

#include "base/clock.h"
#include "base/err.h"
#include "scheduler/core.h"
#include "scheduler/hog.h"
#include "scheduler/probe.h"
#include "scheduler/processor.h"
#include "scheduler/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SLAB_TASKS = 64 }; /* for gdb.py, too */
#define IDS_AT_ONCE 4096

struct task_slab {
    struct task_slab *next;
    char *tasks;
};

static struct {
    _Atomic uint32_t lock; /* guards all below */
    struct task_slab *slabs;
    struct task_list free;
} store;
static _Atomic uint64_t ids;

static struct task *slab_task(const struct task_slab *slab, unsigned i)
{
    return (struct task *)(void *)(slab->tasks + (size_t)i * TASK_BYTES);
}

/* Under the store's lock. */
static int slab_new(void)
{
    struct task_slab *slab = malloc(sizeof *slab);

    if (slab == NULL)
        return -ENOMEM;
    slab->tasks = aligned_alloc(TASK_BYTES, (size_t)SLAB_TASKS * TASK_BYTES);
    if (slab->tasks == NULL) {
        free(slab);
        return -ENOMEM;
    }
    memset(slab->tasks, 0, (size_t)SLAB_TASKS * TASK_BYTES);
    slab->next = store.slabs;
    store.slabs = slab;
    for (unsigned i = 0; i < SLAB_TASKS; i++)
        task_list_push(&store.free, slab_task(slab, i));
    return 0;
}

SANITIZER_LOCAL static struct task *cache_pop(struct processor *p)
{
    struct task *t = p->tasks_free;

    if (t != NULL) {
        p->tasks_free = get_relaxed(&t->next);
        p->tasks_free_len--;
    }
    return t;
}

SANITIZER_LOCAL static void cache_push(struct processor *p, struct task *t)
{
    set_relaxed(&t->next, p->tasks_free);
    p->tasks_free = t;
    p->tasks_free_len++;
}

SANITIZER_LOCAL static bool cache_is_full(struct processor *p)
{
    return p->tasks_free_len >= TASK_CACHE_MAX;
}

static struct task *refill(struct processor *p)
{
    spin_lock(&store.lock);
    if (store.free.len == 0)
        slab_new();
    for (unsigned i = 0; i < TASK_CACHE_MAX / 2 && store.free.len > 0; i++) {
        struct task *t = task_list_pop(&store.free);

        sanitizer_give(t);
        cache_push(p, t);
    }
    spin_unlock(&store.lock);
    return cache_pop(p);
}

SANITIZER_LOCAL static uint64_t id_next(struct processor *p)
{
    return p->id_next < p->id_end ? p->id_next++ : 0;
}

SANITIZER_LOCAL static void id_range(struct processor *p, uint64_t from)
{
    p->id_next = from;
    p->id_end = from + IDS_AT_ONCE;
}

static uint64_t id_new(struct processor *p)
{
    uint64_t id = id_next(p);

    if (id != 0)
        return id;
    id_range(p, atomic_fetch_add(&ids, IDS_AT_ONCE) + 1);
    return id_next(p);
}

struct task *task_new(struct processor *p, task_fn fn, void *arg,
                      const struct task_options *options)
{
    struct task *t = cache_pop(p);

    if (t == NULL && (t = refill(p)) == NULL)
        return NULL;
    sanitizer_take(t);
    t->fn = fn;
    t->arg = arg;
    t->id = id_new(p);
    set_relaxed(&t->stack, NULL);
    t->stack_class = (uint8_t)options->stack;
    t->background = options->background;
    t->outside = false;
    t->saved_errno = 0;
    t->shields = 0;
    t->budget = TASK_BUDGET;
    lines_set(t, 0);
    list_init(&t->member);
    list_init(&t->groups_open);
    set_relaxed(&t->cancel, 0);
    set_relaxed(&t->name, options->name != NULL ? options->name : "?");
    set_relaxed(&t->site, options->site != NULL ? options->site : "?");
    set_relaxed(&t->state, TASK_READY);
    set_relaxed(&t->wait_reason, NULL);
    return t;
}

void task_free(struct processor *p, struct task *t)
{
    sanitizer_give(t);
    set_relaxed(&t->state, TASK_FREE);
    if (p != NULL && !cache_is_full(p)) {
        cache_push(p, t);
        return;
    }
    spin_lock(&store.lock);
    task_list_push(&store.free, t);
    for (unsigned i = 0; p != NULL && i < TASK_CACHE_MAX / 2; i++)
        task_list_push(&store.free, cache_pop(p));
    spin_unlock(&store.lock);
}

void task_slabs_free(void)
{
    while (store.slabs != NULL) {
        struct task_slab *slab = store.slabs;
        store.slabs = slab->next;
        for (unsigned i = 0; i < SLAB_TASKS; i++)
            sanitizer_task_deinit(&slab_task(slab, i)->sanitizer);
        free(slab->tasks);
        free(slab);
    }
    store.free = (struct task_list){0};
}

/* Slabs go only when all is over, and their list grows only at its head. */
static const struct task_slab *slabs_now(void)
{
    spin_lock(&store.lock);
    const struct task_slab *slabs = store.slabs;
    spin_unlock(&store.lock);
    return slabs;
}

void task_each(void (*fn)(struct task *t, void *ctx), void *ctx)
{
    for (const struct task_slab *slab = slabs_now(); slab != NULL; slab = slab->next)
        for (unsigned i = 0; i < SLAB_TASKS; i++)
            fn(slab_task(slab, i), ctx);
}

void task_slabs_each(void (*fn)(void *ctx, const void *at, size_t bytes), void *ctx)
{
    for (const struct task_slab *slab = slabs_now(); slab != NULL; slab = slab->next)
        fn(ctx, slab->tasks, (size_t)SLAB_TASKS * TASK_BYTES);
}

struct task *task_self(void)
{
    struct thread *m = thread_self();

    return m != NULL ? get_relaxed(&m->task) : NULL;
}

uint64_t task_id(const struct task *t)
{
    return t->id;
}

static int cancel_reason(struct task *t)
{
    if (t->shields == 0)
        return get_relaxed(&t->cancel);
    return clock_mono_ns() >= t->shield_until_ns ? -ETIMEDOUT : 0;
}

static bool commit_yield(struct thread *m, struct task *t, void *arg)
{
    struct processor *p = get_relaxed(&m->processor);

    (void)arg;
    if (p == NULL) { /* it was taken while the task ran */
        processor_ready(t);
        return false;
    }
    count_add(&p->counters.yields, 1);
    set_relaxed(&t->state, TASK_READY);
    processor_requeue(p, t);
    return false;
}

static int yield_now(struct task *t)
{
    lines_set(t, LINES_YIELD);
    probe_stop(t, "yield");
    task_leave(t, commit_yield, NULL);
    return cancel_reason(t);
}

int task_yield(void)
{
    return yield_now(task_self());
}

static bool slice_is_over(const struct thread *m)
{
    return get_relaxed(&m->asked) != ASKED_NOTHING;
}

int task_checkpoint(void)
{
    struct thread *m = thread_self();
    struct task *t = get_relaxed(&m->task);

    return slice_is_over(m) ? yield_now(t) : cancel_reason(t);
}

void task_spend(void)
{
    struct thread *m = thread_self();
    struct task *t = m != NULL ? get_relaxed(&m->task) : NULL;

    if (t == NULL)
        return;
    if (--t->budget == 0 || slice_is_over(m))
        yield_now(t);
}

void task_let_run(void)
{
    struct task *t = task_self();

    if (t != NULL && t->lent == NULL)
        yield_now(t);
}

int task_sleep_until(uint64_t at_ns)
{
    struct wait w;

    if (at_ns == 0)
        return task_yield();
    wait_begin(&w);
    int r = wait_park(&w, NULL, "sleep", NULL, at_ns);
    if (r != -ETIMEDOUT)
        return r;
    r = cancel_reason(w.task);
    /* The end of a shield is not the time that was asked for. */
    return r == -ETIMEDOUT && w.task->shields > 0 && at_ns <= clock_mono_ns() ? 0 : r;
}

int task_sleep_ns(uint64_t ns)
{
    uint64_t now = clock_mono_ns();

    return task_sleep_until(ns < UINT64_MAX - now ? now + ns : UINT64_MAX - 1);
}

int task_cancelled(void)
{
    return cancel_reason(task_self());
}

void task_shield_begin(uint64_t at_ns)
{
    struct task *t = task_self();

    assert_always(at_ns > 0);
    if (t->shields++ == 0 || at_ns < t->shield_until_ns)
        t->shield_until_ns = at_ns;
}

void task_shield_end(void)
{
    struct task *t = task_self();

    assert_always(t->shields > 0);
    t->shields--;
}

uint64_t task_now_ns(void)
{
    return clock_mono_ns();
}
