/* runq.h: where runnable tasks stand.
 *
 * A processor's queue is a ring of RUNQ_SLOTS (FIFO: a server wants fairness, not the locality
 * of a stack) and one slot before it, `next`, for the task that was woken last. Only the owner
 * pushes; anyone may take from the front, the owner from the back as well, where a tree of
 * tasks has its youngest leaves. The global queue takes what does not fit, and what threads
 * without a processor make runnable.
 *
 * head is {version, index}, 32 bits each: the index moves when the front is taken, the version
 * when the back is.
 *
 * Q1  head <= tail <= head + RUNQ_SLOTS as 32-bit numbers that may wrap; but while the owner
 *     takes the last one, tail may be one behind head, which reads as empty.
 * Q2  slot i is written only by the owner, and only while it is not in [head, tail).
 * Q3  a thief copies first and moves head after: if the copy was stale the move fails, as a
 *     slot is written again only after the index has passed it or the version was raised.
 * Q4  the owner lowers tail first and raises the version after. A thief that moved head in
 *     between is seen by the owner, who looks whether the last one is still there; a thief that
 *     has not moved it yet fails; one that comes later sees the lower tail.
 * Q5  the queue of the only processor has no thieves: its owner takes with plain stores, where
 *     elsewhere a locked instruction a task is a quarter of what a switch costs. */
#ifndef SCHEDULER_RUNQ_H
#define SCHEDULER_RUNQ_H

#include "scheduler/sanitizer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef RUNQ_SLOTS /* the controlled schedules use few */
#define RUNQ_SLOTS 1024
#define RUNQ_BATCH 128 /* so many at most are stolen, spilled or taken in at once */
#endif

struct task;
struct task_list;

struct runq {
    _Alignas(128) _Atomic uint64_t head;
    _Alignas(128) _Atomic uint64_t tail;
    struct task *_Atomic next;
    bool alone; /* see Q5 */
    struct task *_Atomic slots[RUNQ_SLOTS];
};

/* alone: no other processor takes from it. */
void runq_init(struct runq *q, bool alone);

#define RUNQ_VERSION (UINT64_C(1) << 32)

/* head with n taken from the front. */
static inline uint64_t runq_after(uint64_t head, uint64_t n)
{
    return (head & ~(RUNQ_VERSION - 1)) | (uint32_t)(head + n);
}

static inline uint32_t runq_between(uint64_t head, uint64_t tail)
{
    uint32_t len = (uint32_t)tail - (uint32_t)head;

    return len != UINT32_MAX ? len : 0;
}

/* Owner only. false when full. */
static inline bool runq_push(struct runq *q, struct task *t)
{
    uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

    if (runq_between(head, tail) >= RUNQ_SLOTS)
        return false;
    atomic_store_explicit(&q->slots[tail % RUNQ_SLOTS], t, memory_order_relaxed);
    sanitizer_publish(&q->tail, tail + 1);
    return true;
}

/* Owner only. false when a thief was faster, *head is the present one then. */
static inline bool runq_move_head(struct runq *q, uint64_t *head, uint64_t to)
{
    if (q->alone) {
        atomic_store_explicit(&q->head, to, memory_order_release);
        return true;
    }
    return atomic_compare_exchange_weak_explicit(&q->head, head, to, memory_order_acq_rel,
                                                 memory_order_acquire);
}

/* Owner only. NULL when empty. */
static inline struct task *runq_pop(struct runq *q)
{
    uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

    while (runq_between(head, tail) > 0) {
        struct task *t =
            atomic_load_explicit(&q->slots[head % RUNQ_SLOTS], memory_order_relaxed);
        if (runq_move_head(q, &head, runq_after(head, 1)))
            return t;
    }
    return NULL;
}

/* Owner only: who stands at the front and at the back, NULL when empty. Thieves may take them
 * meanwhile, and they may end. */
static inline struct task *runq_first(const struct runq *q)
{
    uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

    if (runq_between(head, tail) == 0)
        return NULL;
    return atomic_load_explicit(&q->slots[head % RUNQ_SLOTS], memory_order_relaxed);
}

static inline struct task *runq_last(const struct runq *q)
{
    uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

    if (runq_between(head, tail) == 0)
        return NULL;
    return atomic_load_explicit(&q->slots[(tail - 1) % RUNQ_SLOTS], memory_order_relaxed);
}

/* Owner only: takes it from the back. NULL when empty. */
struct task *runq_pop_last(struct runq *q);

/* Owner only: t goes first; who stood there is the answer, or NULL. Only the owner fills the
 * slot, so one that is empty stays so: a plain store will do. */
static inline struct task *runq_push_next(struct runq *q, struct task *t)
{
    struct task *displaced = atomic_load_explicit(&q->next, memory_order_relaxed);

    if (displaced != NULL && !q->alone)
        return atomic_exchange_explicit(&q->next, t, memory_order_acq_rel);
    atomic_store_explicit(&q->next, t, memory_order_release);
    return displaced;
}

/* Any thread. */
static inline struct task *runq_pop_next(struct runq *q)
{
    struct task *t = atomic_load_explicit(&q->next, memory_order_relaxed);

    if (t != NULL && !q->alone)
        return atomic_exchange_explicit(&q->next, NULL, memory_order_acq_rel);
    if (t != NULL)
        atomic_store_explicit(&q->next, NULL, memory_order_relaxed);
    return t;
}

/* Owner only: half of a full ring, but at most RUNQ_BATCH from its front, goes into ret. */
void runq_spill(struct runq *q, struct task_list *ret);
/* Takes half of victim, at most RUNQ_BATCH: one is the answer, the others stand in own. NULL
 * when empty. */
struct task *runq_steal(struct runq *own, struct runq *victim);

/* Both are hints to other threads. head is read first: it never passes a tail read later, but
 * for Q1. */
static inline bool runq_ring_is_empty(const struct runq *q)
{
    uint64_t head = atomic_load(&q->head);

    return runq_between(head, atomic_load(&q->tail)) == 0;
}

/* Tasks in it, `next` too. */
static inline unsigned runq_len(const struct runq *q)
{
    uint64_t head = atomic_load(&q->head);
    uint64_t tail = atomic_load(&q->tail);

    return runq_between(head, tail) + (atomic_load(&q->next) != NULL);
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
