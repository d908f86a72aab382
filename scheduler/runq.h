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

#include <stdatomic.h>
#include <stdbool.h>
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
bool runq_push(struct runq *q, struct task *t);
/* Owner only: t goes first; who stood there is the answer, or NULL. */
struct task *runq_push_next(struct runq *q, struct task *t);
/* Owner only. NULL when empty. */
struct task *runq_pop(struct runq *q);
struct task *runq_pop_next(struct runq *q); /* any thread */
/* Owner only: half of a full ring goes into ret. */
void runq_spill(struct runq *q, struct task_list *ret);
/* Takes half of victim: one is the answer, the others stand in own. NULL when empty. */
struct task *runq_steal(struct runq *own, struct runq *victim);
/* Tasks in it, `next` too; a hint to other threads. */
unsigned runq_len(const struct runq *q);
bool runq_ring_is_empty(const struct runq *q);

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
