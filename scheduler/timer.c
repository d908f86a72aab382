#include "scheduler/timer.h"

#include "base/clock.h"
#include "base/err.h"
#include "scheduler/core.h"
#include "scheduler/hog.h"
#include "scheduler/poller.h"
#include "scheduler/wait.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#define RUN_AT_ONCE 64
#define STATE_HEAPED 1U
/* A count: started again by its callback, or meanwhile, it may be due on another thread before
 * this one is at its end. */
#define STATE_RUNNING 2U

struct due {
    struct timer *callbacks[RUN_AT_ONCE];
    struct task *tasks[RUN_AT_ONCE];
    uint64_t epochs[RUN_AT_ONCE];
    unsigned callbacks_len, tasks_len;
};

static void slot_set(struct timers *h, uint32_t i, struct timer_slot slot)
{
    h->slots[i] = slot;
    slot.timer->node.index = i;
}

static void sift_up(struct timers *h, uint32_t i, struct timer_slot slot)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / 4;
        if (h->slots[parent].at_ns <= slot.at_ns)
            break;
        slot_set(h, i, h->slots[parent]);
        i = parent;
    }
    slot_set(h, i, slot);
}

static void sift_down(struct timers *h, uint32_t i, struct timer_slot slot)
{
    for (;;) {
        uint32_t first = i * 4 + 1;
        if (first >= h->len)
            break;
        uint32_t end = first + 4 < h->len ? first + 4 : h->len;
        uint32_t least = first;
        for (uint32_t c = first + 1; c < end; c++)
            if (h->slots[c].at_ns < h->slots[least].at_ns)
                least = c;
        if (h->slots[least].at_ns >= slot.at_ns)
            break;
        slot_set(h, i, h->slots[least]);
        i = least;
    }
    slot_set(h, i, slot);
}

static void place(struct timers *h, uint32_t i, struct timer_slot slot)
{
    if (i > 0 && slot.at_ns < h->slots[(i - 1) / 4].at_ns)
        sift_up(h, i, slot);
    else
        sift_down(h, i, slot);
}

static void publish(struct timers *h)
{
    /* Sequentially consistent: who goes idle reads poll_until after, the poller writes that
     * first and reads this after. */
    atomic_store(&h->next_at_ns, h->len > 0 ? h->slots[0].at_ns : TIMERS_NONE);
}

static int insert(struct timers *h, struct timer *t)
{
    if (h->len == h->cap) {
        uint32_t cap = h->cap == 0 ? 64 : h->cap * 2;
        struct timer_slot *slots = realloc(h->slots, cap * sizeof *slots);
        if (slots == NULL)
            return -ENOMEM;
        h->slots = slots;
        h->cap = cap;
    }
    h->len++;
    sift_up(h, h->len - 1, (struct timer_slot){t->at_ns, t});
    if (!t->background)
        count_add(&h->foreground, 1);
    if (t->node.index == 0)
        publish(h);
    return 0;
}

static void take_out(struct timers *h, struct timer *t)
{
    uint32_t i = t->node.index;
    struct timer_slot last = h->slots[--h->len];

    if (i < h->len)
        place(h, i, last);
    if (!t->background)
        count_add(&h->foreground, -1U);
    t->node.index = HEAP_NONE;
    /* Whoever sees that it stands nowhere may start it again, while its callback runs. */
    atomic_store_explicit(&t->home, NULL, memory_order_release);
    atomic_fetch_and(&t->state, ~STATE_HEAPED);
    if (i == 0)
        publish(h);
}

/* Locks the heap that holds t; NULL when none does. */
static struct timers *lock_home(struct timer *t)
{
    for (;;) {
        struct processor *p = atomic_load(&t->home);
        if (p == NULL)
            return NULL;
        spin_lock(&p->timers.lock);
        if (atomic_load(&t->home) == p)
            return &p->timers;
        spin_unlock(&p->timers.lock);
    }
}

static void collect(struct timers *h, uint64_t now_ns, struct due *due)
{
    unsigned n = 0;

    for (; n < RUN_AT_ONCE && h->len > 0 && h->slots[0].at_ns <= now_ns; n++) {
        struct timer *t = h->slots[0].timer;
        if (t->fn == NULL) {
            struct wait_timer *w = container_of(t, struct wait_timer, timer);
            due->tasks[due->tasks_len] = w->task;
            due->epochs[due->tasks_len++] = w->epoch;
        } else {
            atomic_fetch_add(&t->state, STATE_RUNNING);
            due->callbacks[due->callbacks_len++] = t;
        }
        take_out(h, t); /* a sleeper's timer may be gone from here on */
    }
}

void timers_init(struct timers *h)
{
    *h = (struct timers){0};
    atomic_init(&h->next_at_ns, TIMERS_NONE);
}

void timers_deinit(struct timers *h)
{
    free(h->slots);
    timers_init(h);
}

unsigned timers_run(struct timers *h, uint64_t now_ns, struct task_list *ret)
{
    unsigned count = 0;

    while (atomic_load(&h->next_at_ns) <= now_ns) {
        struct due due = {.callbacks_len = 0, .tasks_len = 0};
        spin_lock(&h->lock);
        collect(h, now_ns, &due);
        spin_unlock(&h->lock);
        for (unsigned i = 0; i < due.tasks_len; i++)
            if (wait_finish(due.tasks[i], due.epochs[i], -ETIMEDOUT))
                task_list_push(ret, due.tasks[i]);
        for (unsigned i = 0; i < due.callbacks_len; i++) {
            due.callbacks[i]->fn(due.callbacks[i]);
            atomic_fetch_sub(&due.callbacks[i]->state, STATE_RUNNING);
        }
        count += due.tasks_len + due.callbacks_len;
        if (due.tasks_len + due.callbacks_len < RUN_AT_ONCE)
            break;
    }
    return count;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
    *t = (struct timer){.fn = fn, .node.index = HEAP_NONE};
}

static int enter(struct timer *t, struct processor *p)
{
    spin_lock(&p->timers.lock);
    int r = insert(&p->timers, t);
    if (r == 0) {
        atomic_fetch_or(&t->state, STATE_HEAPED);
        atomic_store(&t->home, p);
    }
    spin_unlock(&p->timers.lock);
    return r;
}

/* The timer stands with a processor that may be another's, which may sleep: that one looked at
 * its timers before, but does not after. */
static void tell_poller(uint64_t at_ns)
{
    if (at_ns < atomic_load(&sched.poll_until_ns))
        poller_kick();
}

/* The own processor was taken. */
static int enter_elsewhere(struct timer *t)
{
    uint64_t at_ns = t->at_ns;
    int r = enter(t, &sched.processors[0]);

    if (r == 0)
        tell_poller(at_ns);
    return r;
}

int timer_start(struct timer *t, uint64_t at_ns)
{
    struct timers *h = lock_home(t);
    int r = 0;

    if (h != NULL) {
        uint32_t i = t->node.index;
        t->at_ns = at_ns;
        place(h, i, (struct timer_slot){at_ns, t});
        publish(h);
        spin_unlock(&h->lock);
        tell_poller(at_ns);
        return 0;
    }

    struct thread *m = thread_self();
    assert_always(m != NULL);
    inside_begin(m);
    struct processor *p = get_relaxed(&m->processor);
    t->at_ns = at_ns;
    r = p != NULL ? enter(t, p) : enter_elsewhere(t);
    inside_end(m);
    return r;
}

bool timer_stop(struct timer *t)
{
    bool stopped = false;

    /* Clearing the state is the last touch of whoever takes t out or runs it. */
    for (unsigned i = 1; atomic_load(&t->state) != 0; i++) {
        struct timers *h = lock_home(t);
        if (h != NULL) {
            take_out(h, t);
            spin_unlock(&h->lock);
            stopped = true;
        } else if (i % 64 == 0) {
            sched_yield();
        }
    }
    return stopped;
}
