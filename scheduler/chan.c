/* Channels: how tasks hand each other values.
 *
 * A channel is a spin lock, a ring of slots, and two queues of waits: tasks that want to send
 * and found it full, tasks that want to receive and found it empty. Whoever comes second does
 * the work for both. A sender that finds a receiver waiting copies its element straight into
 * the receiver's frame and makes it runnable; a receiver that frees a slot moves the element of
 * the longest waiting sender into it. A woken task therefore has nothing left to do and never
 * has to compete for what it was woken for: it returns.
 *
 * Stacks do not move here, so an element can be copied into the frame of a parked task. What
 * must be shown is that the frame still exists. It does: a wait leaves its queue either by the
 * hand of a waker that claimed it, whose wait_ready is the very thing that lets the frame end,
 * or by the hand of its own task under the channel's lock, when a deadline or a cancellation
 * was faster. A waker that fails to claim touches nothing of that wait.
 *
 * What was rejected. A lock-free ring for the buffered case: it saves little, since the lock is
 * held for some ten instructions, and select, close and the direct hand-off would each need a
 * protocol of their own. Waking a task and letting it look again (as with a condition): it
 * costs a second pass over the lock, and a fast third party can starve the woken one for ever.
 * Reading len or closed without the lock before a parking operation: only the non-blocking
 * forms may, for there "it would have parked" is an honest answer at the moment of the look.
 *
 * select.c waits on several channels at once with the same two transfers (chan_parts.h).
 *
 * C1  Senders wait only while the ring is full, receivers only while it is empty; so a live
 * wait in one queue means there is none in the other. C2  Elements leave in the order in which
 * their sends took effect under the lock. C3  A claimed wait is made runnable exactly once,
 * after the lock is given back. C4  Once closed, nothing enters ring or queues; what the ring
 * holds can still be received. C5  The last thing a waker does with a channel is to give its
 * lock back: a channel may be freed by the task that receives its last element.
 *
 * Locks: a channel's lock is a leaf but for the locks of other channels, which select takes in
 * the order of addresses. No lock of the scheduler is taken under it. */
#include "scheduler/chan_parts.h"

#include "base/err.h"
#include "scheduler/core.h"
#include "scheduler/task.h"

#include <stdlib.h>

#define CACHE_LINE 64
#define BATCHES_AT_ONCE 12 /* all of them stand in one run queue */

/* Enters one of the queues and parks. The lock is held on entry and given back. */
static int park(struct chan *c, struct list *queue, void *element, const char *reason,
                uint64_t deadline_ns)
{
    struct wait w;

    wait_begin(&w);
    w.element = element;
    w.index = 0;
    list_push_back(queue, &w.link);

    int r = wait_park(&w, &c->lock, reason, c, deadline_ns);
    if (r < 0) {
        waiters_leave(&w, &c->lock);
        return r;
    }
    return chan_result_error(r);
}

/* Wakes the other side of a transfer, if it waited. */
static void finish(struct chan *c, struct wait *wake)
{
    spin_unlock(&c->lock);
    if (wake != NULL)
        wait_ready(wake, chan_result(wake, false));
}

/* Wakes waits that found the channel closed. Those of a select differ in their results; all the
 * others go as one batch. */
static void wake_closed(struct wait **waits, unsigned count)
{
    unsigned plain = 0;

    for (unsigned i = 0; i < count; i++) {
        struct wait *w = waits[i];

        if (w->index == 0)
            waits[plain++] = w;
        else
            wait_ready(w, chan_result(w, true));
    }
    if (plain > 0)
        wait_ready_all(waits, plain, 1);
}

struct chan *chan_new(size_t element_bytes, size_t cap)
{
    assert_always(element_bytes <= CHAN_ELEMENT_BYTES_MAX);
    if (cap > CHAN_CAP_MAX)
        return NULL;

    size_t bytes = sizeof(struct chan) + element_bytes * cap;
    struct chan *c =
        aligned_alloc(CACHE_LINE, (bytes + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1));
    if (c == NULL)
        return NULL;

    atomic_init(&c->lock, 0);
    atomic_init(&c->closed, false);
    atomic_init(&c->len, 0);
    c->element_bytes = (uint16_t)element_bytes;
    c->cap = (uint32_t)cap;
    c->head = 0;
    list_init(&c->senders);
    list_init(&c->receivers);
    return c;
}

void chan_free(struct chan *c)
{
    free(c);
}

int chan_send(struct chan *c, const void *element, uint64_t deadline_ns)
{
    struct wait *wake = NULL;

    int r = task_checkpoint();
    if (r < 0)
        return r;

    spin_lock(&c->lock);
    r = chan_put(c, element, &wake);
    if (r == -EAGAIN) /* the element is only read: the waker copies from it */
        return park(c, &c->senders, (void *)(uintptr_t)element, "channel send", deadline_ns);
    finish(c, wake);
    return r;
}

int chan_recv(struct chan *c, void *ret_element, uint64_t deadline_ns)
{
    struct wait *wake = NULL;

    int r = task_checkpoint();
    if (r < 0)
        return r;

    spin_lock(&c->lock);
    r = chan_take(c, ret_element, &wake);
    if (r == -EAGAIN)
        return park(c, &c->receivers, ret_element, "channel receive", deadline_ns);
    finish(c, wake);
    return r;
}

int chan_try_send(struct chan *c, const void *element)
{
    struct wait *wake = NULL;

    /* A full ring has no receiver waiting (C1). Open is read before full: a closed channel
     * stays closed, so at the moment of the second look a send would have had to park or fail,
     * and at the moment of the first it could not have failed. */
    if (c->cap > 0 && !atomic_load_explicit(&c->closed, memory_order_acquire) &&
        atomic_load_explicit(&c->len, memory_order_relaxed) == c->cap)
        return -EAGAIN;

    spin_lock(&c->lock);
    int r = chan_put(c, element, &wake);
    finish(c, wake);
    return r;
}

int chan_try_recv(struct chan *c, void *ret_element)
{
    struct wait *wake = NULL;

    /* Empty is read before open: if it was empty and is open after, it was empty and open. */
    if (c->cap > 0 && atomic_load_explicit(&c->len, memory_order_acquire) == 0 &&
        !atomic_load_explicit(&c->closed, memory_order_acquire))
        return -EAGAIN;

    spin_lock(&c->lock);
    int r = chan_take(c, ret_element, &wake);
    finish(c, wake);
    return r;
}

void chan_close(struct chan *c)
{
    struct wait *waits[WAITERS_BATCH];
    unsigned batches = 0;
    bool more;

    /* In batches, so that a million waiters do not keep others out for as long; and they run in
     * between, while what waking them has touched is still in the caches. The flag keeps
     * newcomers out, so the queues only shrink. Receivers wait only while the ring is empty
     * (C1): closed is all the news there is for them. */
    do {
        spin_lock(&c->lock);
        atomic_store_explicit(&c->closed, true, memory_order_release);
        unsigned count = waiters_pop_batch(&c->receivers, waits);
        if (count == 0)
            count = waiters_pop_batch(&c->senders, waits);
        more = !list_is_empty(&c->receivers) || !list_is_empty(&c->senders);
        spin_unlock(&c->lock);
        wake_closed(waits, count);
        if (more && ++batches % BATCHES_AT_ONCE == 0)
            task_let_run();
    } while (more);
}

size_t chan_len(const struct chan *c)
{
    return atomic_load_explicit(&c->len, memory_order_relaxed);
}
