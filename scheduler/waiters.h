/* waiters.h: the queue of waits that every object of the family keeps, popped and woken the one
 * right way. Internal to scheduler/; callers hold the object's lock where it says so.
 *
 * A queue may hold waits that are over already: a deadline or a cancellation claimed them and
 * their task has not yet come back to take itself out. Whoever pops skips those, and the
 * owner's own list_remove is harmless then, because a popped node points at itself. */
#ifndef SCHEDULER_WAITERS_H
#define SCHEDULER_WAITERS_H

#include "scheduler/wait.h"

#include <stddef.h>

/* How many waits are woken in one go. Bounds the time for which a lock is held by a waker. */
#define WAITERS_BATCH 64

/* The first wait that is not over yet, claimed and out of the queue; NULL when there is none.
 * The caller must call wait_ready on it. Under the lock. */
static inline struct wait *waiters_pop(struct list *queue)
{
    struct list *node;

    while ((node = list_pop_front(queue)) != NULL) {
        struct wait *w = container_of(node, struct wait, link);

        if (wait_claim(w))
            return w;
    }
    return NULL;
}

/* All of one queue to the end of another. Under the lock, which then guards both: waiters leave
 * whatever queue they are in. */
static inline void waiters_move(struct list *from, struct list *to)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* Pops at most WAITERS_BATCH waits into ret and returns how many. Under the lock. */
unsigned waiters_pop_batch(struct list *queue, struct wait **ret);

/* Takes out a wait that a deadline or a cancellation ended. Takes and gives back the lock. */
void waiters_leave(struct wait *w, _Atomic uint32_t *lock);

#endif
