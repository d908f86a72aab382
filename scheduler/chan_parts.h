/* chan_parts.h: what chan.c and select.c share. Internal to both.
 *
 * The two transfers below are the whole of a channel's behaviour: they do an operation if it
 * can be done now, under the lock, and name the task on the other side that has to be woken
 * after the lock is given back. Sending, trying and selecting differ only in what they do when
 * a transfer answers -EAGAIN. */
#ifndef SCHEDULER_CHAN_PARTS_H
#define SCHEDULER_CHAN_PARTS_H

#include "scheduler/chan.h"
#include "scheduler/waiters.h"

#include <errno.h>
#include <string.h>

/* One cache line: a transfer touches this, the element, and nothing else. */
struct chan {
    _Atomic uint32_t lock; /* guards all below; len and closed are also read without it */
    uint16_t element_bytes;
    _Atomic bool closed;
    uint32_t cap;
    uint32_t head; /* the slot to be read next */
    _Atomic uint32_t len;
    struct list senders, receivers;
    char slots[];
};

/* A waiter's result: which case it was, and whether the channel closed. Never negative, so that
 * it cannot be mistaken for a deadline or a cancellation. */
static inline int chan_result(const struct wait *w, bool closed)
{
    return (int)(w->index << 1) | (closed ? 1 : 0);
}

static inline int chan_result_error(int result)
{
    return (result & 1) != 0 ? -EPIPE : 0;
}

static inline void chan_copy(const struct chan *c, void *to, const void *from)
{
    /* One word is by far the commonest element, and a call costs more than its copy. */
    if (c->element_bytes == sizeof(uint64_t))
        memcpy(to, from, sizeof(uint64_t));
    else if (c->element_bytes > 0)
        memcpy(to, from, c->element_bytes);
}

static inline char *chan_slot(struct chan *c, uint32_t offset)
{
    uint32_t slot = c->head + offset;

    if (slot >= c->cap)
        slot -= c->cap;
    return c->slots + (size_t)slot * c->element_bytes;
}

static inline void chan_push(struct chan *c, const void *element)
{
    uint32_t len = atomic_load_explicit(&c->len, memory_order_relaxed);

    chan_copy(c, chan_slot(c, len), element);
    atomic_store_explicit(&c->len, len + 1, memory_order_relaxed);
}

static inline void chan_pop(struct chan *c, void *ret_element)
{
    uint32_t len = atomic_load_explicit(&c->len, memory_order_relaxed);

    chan_copy(c, ret_element, chan_slot(c, 0));
    c->head = c->head + 1 == c->cap ? 0 : c->head + 1;
    atomic_store_explicit(&c->len, len - 1, memory_order_relaxed);
}

/* 0, -EPIPE, or -EAGAIN: no receiver waits and no slot is free. Under the lock. */
static inline int chan_put(struct chan *c, const void *element, struct wait **ret_wake)
{
    if (atomic_load_explicit(&c->closed, memory_order_relaxed))
        return -EPIPE;

    struct wait *w = waiters_pop(&c->receivers);
    if (w != NULL) {
        chan_copy(c, w->element, element);
        *ret_wake = w;
        return 0;
    }
    if (atomic_load_explicit(&c->len, memory_order_relaxed) == c->cap)
        return -EAGAIN;
    chan_push(c, element);
    return 0;
}

/* 0, -EPIPE when closed and empty, or -EAGAIN. Under the lock. Senders that still wait in a
 * closed channel belong to chan_close, which is about to answer them -EPIPE. */
static inline int chan_take(struct chan *c, void *ret_element, struct wait **ret_wake)
{
    bool closed = atomic_load_explicit(&c->closed, memory_order_relaxed);
    bool filled = atomic_load_explicit(&c->len, memory_order_relaxed) > 0;

    if (filled)
        chan_pop(c, ret_element);
    if (closed)
        return filled ? 0 : -EPIPE;

    struct wait *w = waiters_pop(&c->senders);
    if (w == NULL)
        return filled ? 0 : -EAGAIN;
    /* The freed slot belongs to the sender that waited longest, or order would be lost. */
    if (filled)
        chan_push(c, w->element);
    else
        chan_copy(c, ret_element, w->element);
    *ret_wake = w;
    return 0;
}

/* The channels of a parked select, from the object of its wait, into ret (CHAN_SELECT_MAX); 0
 * when it has none, or its frame cannot be read. */
struct reach;
unsigned select_channels(const struct reach *r, const void *object, const struct chan **ret);

#endif
