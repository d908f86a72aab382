/* runq.h: where runnable tasks stand.
 *
 * A processor's queue is a ring of RUNQ_SLOTS (FIFO: a server wants fairness, not the locality
 * of a stack) and one slot before it, `next`, for the task that was woken last. Only the owner
 * pushes; anyone may take. The global queue takes what does not fit, and what threads without
 * a processor make runnable.
 *
 * Q1  head <= tail <= head + RUNQ_SLOTS; 64-bit, so they never wrap.
 * Q2  slot i is written only by the owner, and only while it is not in [head, tail).
 * Q3  a thief copies first and moves head after: if the copy was stale the move fails, as a
 *     slot is written again only after head has passed it. */
#ifndef SCHEDULER_RUNQ_H
#define SCHEDULER_RUNQ_H

#include "scheduler/sanitizer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef RUNQ_SLOTS /* the controlled schedules use few */
#define RUNQ_SLOTS 256
#endif

struct task;
struct task_list;

struct runq {
    _Alignas(128) _Atomic uint64_t head;
    _Alignas(128) _Atomic uint64_t tail;
    struct task *_Atomic next;
    struct task *_Atomic slots[RUNQ_SLOTS];
};

void runq_init(struct runq *q);

/* Owner only. false when full. */
static inline bool runq_push(struct runq *q, struct task *t)
{
    uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

    if (tail - head >= RUNQ_SLOTS)
        return false;
    atomic_store_explicit(&q->slots[tail % RUNQ_SLOTS], t, memory_order_relaxed);
    sanitizer_publish(&q->tail, tail + 1);
    return true;
}

/* Owner only. NULL when empty. */
static inline struct task *runq_pop(struct runq *q)
{
    uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

    while (head != tail) {
        struct task *t =
            atomic_load_explicit(&q->slots[head % RUNQ_SLOTS], memory_order_relaxed);
        if (atomic_compare_exchange_weak_explicit(&q->head, &head, head + 1,
                                                  memory_order_acq_rel, memory_order_acquire))
            return t;
    }
    return NULL;
}

/* Owner only: t goes first; who stood there is the answer, or NULL. Only the owner fills the
 * slot, so one that is empty stays so: a plain store will do. */
static inline struct task *runq_push_next(struct runq *q, struct task *t)
{
    if (atomic_load_explicit(&q->next, memory_order_relaxed) != NULL)
        return atomic_exchange_explicit(&q->next, t, memory_order_acq_rel);
    atomic_store_explicit(&q->next, t, memory_order_release);
    return NULL;
}

/* Any thread. */
static inline struct task *runq_pop_next(struct runq *q)
{
    if (atomic_load_explicit(&q->next, memory_order_relaxed) == NULL)
        return NULL;
    return atomic_exchange_explicit(&q->next, NULL, memory_order_acq_rel);
}

/* Owner only: half of a full ring goes into ret. */
void runq_spill(struct runq *q, struct task_list *ret);
/* Takes half of victim: one is the answer, the others stand in own. NULL when empty. */
struct task *runq_steal(struct runq *own, struct runq *victim);

/* Both are hints to other threads. head is read first: it never passes a tail read later. */
static inline bool runq_ring_is_empty(const struct runq *q)
{
    uint64_t head = atomic_load(&q->head);

    return atomic_load(&q->tail) <= head;
}

/* Tasks in it, `next` too. */
static inline unsigned runq_len(const struct runq *q)
{
    uint64_t head = atomic_load(&q->head);
    uint64_t tail = atomic_load(&q->tail);

    return (unsigned)(tail - head) + (atomic_load(&q->next) != NULL);
}

struct global_queue {
    _Atomic uint32_t lock;
    struct task *head, *tail; /* guarded by lock */
    _Atomic uint64_t len;     /* written under lock */
};

/* Any thread. The list is empty after. */
void global_push(struct global_queue *g, struct task_list *list);
/* At most max from the front. */
void global_pop(struct global_queue *g, unsigned max, struct task_list *ret);

#endif
