/* Select: one task waits on several channels, and exactly one operation takes place.
 *
 * Three passes, after Go's selectgo. First, with the locks of all channels held, look which
 * cases could go on, choose one at random, do it, done. If there is none, enter the queue of
 * every case with one wait each; all of them carry the task and the epoch of the first, so the
 * one claim of the task's word decides for all. Park; the locks are given back only after the
 * stack is left (W3). Whoever claims passes on which case it was. Then take the losers out, one
 * lock at a time.
 *
 * Locks are taken in the order of addresses, a channel named twice only once. That is the one
 * place in the family where two locks of the same kind are held, and the order makes it safe.
 *
 * The choice is uniform over the cases that can go on. A random start and "the first ready from
 * there" is not: of two ready neighbours among eight, one would be taken seven times out of
 * eight. A case can look ready because of waits in its queue that are over already; the
 * transfer itself finds out, and the choice goes on among the rest.
 *
 * Waits live in the frame: FEW of them for nearly every select, and a second frame layout with
 * CHAN_SELECT_MAX, so that the common case does not touch one page more of the stack.
 *
 * S1  Between the look and the park no lock of a case is given up: no case becomes ready
 * unseen. S2  Exactly one case takes effect when the answer is an index, none when it is
 * negative. S3  When select returns, none of its waits is in any queue. */
#include "scheduler/chan_parts.h"

#include "base/clock.h"
#include "scheduler/core.h"
#include "scheduler/reach.h"
#include "scheduler/task.h"

#define FEW 8

/* A random number for one choice (splitmix64, after Steele, Lea and Flood 2014). The state is
 * the thread's; a foreign thread, which chooses rarely, lets the clock throw. */
static uint64_t throw_dice(void)
{
    struct thread *m = thread_self();
    uint64_t x = m != NULL ? get_relaxed(&m->dice) : clock_mono_ns();

    if (x == 0)
        x = sched.options.seed ^ (uintptr_t)m;
    x += UINT64_C(0x9e3779b97f4a7c15);
    if (m != NULL)
        set_relaxed(&m->dice, x);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

struct selection {
    struct chan_case *cases;
    struct wait *waits; /* one for each of order */
    unsigned count;
    uint8_t order[CHAN_SELECT_MAX]; /* indices of the cases with a channel, by its address */
};

static struct chan *chan_at(const struct selection *s, unsigned i)
{
    return s->cases[s->order[i]].chan;
}

static void sort(struct selection *s, unsigned case_count)
{
    s->count = 0;
    for (unsigned i = 0; i < case_count; i++) {
        struct chan *c = s->cases[i].chan;
        unsigned at = s->count;

        if (c == NULL)
            continue;
        for (; at > 0 && (uintptr_t)chan_at(s, at - 1) > (uintptr_t)c; at--)
            s->order[at] = s->order[at - 1];
        s->order[at] = (uint8_t)i;
        s->count++;
    }
}

static void lock_all(struct selection *s)
{
    for (unsigned i = 0; i < s->count; i++)
        if (i == 0 || chan_at(s, i) != chan_at(s, i - 1))
            spin_lock(&chan_at(s, i)->lock);
}

/* Runs once the task has left its stack. As soon as one lock is free another
 * thread may claim and run our task, but it cannot end the frame that s lives in before it has
 * taken every other lock of the select to leave those queues. So s may be read until the last
 * lock is given back, and not after. */
static void unlock_all(void *arg)
{
    const struct selection *s = arg;

    for (unsigned i = s->count; i > 0; i--) {
        struct chan *c = chan_at(s, i - 1);

        if (i == 1 || chan_at(s, i - 2) != c)
            spin_unlock(&c->lock);
    }
}

static int transfer(struct chan_case *chosen, struct wait **ret_wake)
{
    if (chosen->op == CHAN_SEND)
        return chan_put(chosen->chan, chosen->element, ret_wake);
    return chan_take(chosen->chan, chosen->element, ret_wake);
}

/* Whether a transfer is worth trying. Under the lock. */
static bool looks_ready(const struct chan_case *k)
{
    const struct chan *c = k->chan;
    uint32_t len = atomic_load_explicit(&c->len, memory_order_relaxed);

    if (atomic_load_explicit(&c->closed, memory_order_relaxed))
        return true;
    if (k->op == CHAN_SEND)
        return len < c->cap || !list_is_empty(&c->receivers);
    return len > 0 || !list_is_empty(&c->senders);
}

/* Does one of the cases that can go on: its index, or -EAGAIN. All locks are held. */
static int choose(struct selection *s, struct wait **ret_wake)
{
    uint8_t ready[CHAN_SELECT_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < s->count; i++)
        if (looks_ready(&s->cases[s->order[i]]))
            ready[count++] = s->order[i];

    while (count > 0) {
        unsigned at = count == 1 ? 0 : (unsigned)(throw_dice() % count);
        struct chan_case *chosen = &s->cases[ready[at]];

        chosen->result = transfer(chosen, ret_wake);
        if (chosen->result != -EAGAIN)
            return ready[at];
        ready[at] = ready[--count];
    }
    return -EAGAIN;
}

/* Enters every queue. All locks are held. */
static void enter(struct selection *s)
{
    wait_begin(&s->waits[0]);
    for (unsigned i = 0; i < s->count; i++) {
        struct chan_case *k = &s->cases[s->order[i]];
        struct wait *w = &s->waits[i];

        if (i > 0)
            *w = s->waits[0];
        w->element = k->element;
        w->index = s->order[i];
        list_push_back(k->op == CHAN_SEND ? &k->chan->senders : &k->chan->receivers, &w->link);
    }
}

/* Leaves every queue but the winner's, which the waker has taken out. */
static void leave(struct selection *s, int winner)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->order[i] != winner)
            waiters_leave(&s->waits[i], &chan_at(s, i)->lock);
}

unsigned select_channels(const struct reach *r, const void *object, const struct chan **ret)
{
    struct selection s;
    struct chan_case k;

    if (!reach_peek(r, object, &s, sizeof s) || s.count > CHAN_SELECT_MAX)
        return 0;
    for (unsigned i = 0; i < s.count; i++) {
        if (!reach_peek(r, &s.cases[s.order[i]], &k, sizeof k))
            return 0;
        ret[i] = k.chan;
    }
    return s.count;
}

static int park(struct selection *s, uint64_t deadline_ns)
{
    enter(s);

    /* Without a channel no lock keeps the frame alive, so nothing of it may be used from there.
     */
    int r = wait_park_with(&s->waits[0], s->count > 0 ? unlock_all : NULL, s, "select", s,
                           deadline_ns);
    int winner = r < 0 ? r : r >> 1;

    leave(s, winner);
    if (winner >= 0)
        s->cases[winner].result = chan_result_error(r);
    return winner;
}

/* The first pass. -EAGAIN leaves all locks held, for the second. */
static int look(struct selection *s, struct chan_case *cases, unsigned count)
{
    struct wait *wake = NULL;

    s->cases = cases;
    sort(s, count);
    lock_all(s);

    int r = choose(s, &wake);
    if (r < 0)
        return r;
    unlock_all(s);
    if (wake != NULL)
        wait_ready(wake, chan_result(wake, false));
    return r;
}

static __attribute__((noinline)) int select_few(struct chan_case *cases, unsigned count,
                                                uint64_t deadline_ns)
{
    struct wait waits[FEW];
    struct selection s;

    s.waits = waits;

    int r = look(&s, cases, count);
    return r == -EAGAIN ? park(&s, deadline_ns) : r;
}

static __attribute__((noinline)) int select_many(struct chan_case *cases, unsigned count,
                                                 uint64_t deadline_ns)
{
    struct wait waits[CHAN_SELECT_MAX];
    struct selection s;

    s.waits = waits;

    int r = look(&s, cases, count);
    return r == -EAGAIN ? park(&s, deadline_ns) : r;
}

int chan_select(struct chan_case *cases, unsigned count, uint64_t deadline_ns)
{
    if (count > CHAN_SELECT_MAX)
        return -EINVAL;

    int r = task_checkpoint();
    if (r < 0)
        return r;
    return count <= FEW ? select_few(cases, count, deadline_ns)
                        : select_many(cases, count, deadline_ns);
}

int chan_try_select(struct chan_case *cases, unsigned count)
{
    struct selection s;

    if (count > CHAN_SELECT_MAX)
        return -EINVAL;

    int r = look(&s, cases, count);
    if (r == -EAGAIN)
        unlock_all(&s);
    return r;
}
