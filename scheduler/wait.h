/* wait.h: how a task parks and how it is woken, for the family's own objects (channel, mutex,
 * semaphore, net, group, event). Not for users.
 *
 * One wait may be ended by several wakers at once: the object, a deadline, a cancellation. They
 * compete for one word in the task, {epoch, won}: the CAS winner alone makes the task runnable,
 * a late waker of an older wait fails on the epoch. The pattern, with a spin lock of the
 * object:
 *
 *     struct wait w;
 *     wait_begin(&w);                             a new epoch
 *     lock; if the condition holds: unlock, done (wait_abandon(&w) is not needed)
 *     list_push_back(&o->waiters, &w.link);
 *     r = wait_park(&w, &o->lock, "chan receive", o, deadline_ns);
 *                                                 releases the lock after the stack is left,
 *                                                 so nobody can wake what has not parked
 *     if (r < 0) { lock; list_remove(&w.link); unlock; }     a loser takes itself out
 *
 *     waker, under the lock:
 *     if (wait_claim(w)) { list_remove; copy the element…; unlock; wait_ready(w, 0); }
 *     else the wait is already over (its task will take itself out): skip it
 *
 * After wait_ready the frame that held w may be gone.
 *
 * W1  a task is runnable at most once: only a successful wait_claim is followed by wait_ready.
 * W2  wait_park returns only after wait_ready of this epoch: no spurious wake-ups.
 * W3  the object's lock is held from the test of its condition until the task has left its
 * stack. */
#ifndef SCHEDULER_WAIT_H
#define SCHEDULER_WAIT_H

#include "base/list.h"
#include "scheduler/spin.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct task;

struct wait {
    struct list link; /* guarded by the object's lock */
    struct task *task;
    uint64_t epoch;
    void *element;     /* of a channel operation */
    uint32_t index;    /* of the case in a select */
    int result;        /* written by the winner between claim and ready */
    uint64_t since_ns; /* when it began, true to about a millisecond */
};

void wait_begin(struct wait *w);
/* Parks. lock (may be NULL) is released once this stack is left. reason: static text for dumps.
 * object: what is waited for, for dumps. Answers what the winner passed: 0, -ETIMEDOUT, or the
 * cancel reason; already cancelled (and not shielded): releases the lock and answers at once.
 */
int wait_park(struct wait *w, _Atomic uint32_t *lock, const char *reason, const void *object,
              uint64_t deadline_ns);
/* As wait_park, with several locks to release (select): unlock(arg) is called once this stack
 * is left. */
int wait_park_with(struct wait *w, void (*unlock)(void *arg), void *arg, const char *reason,
                   const void *object, uint64_t deadline_ns);
/* As wait_park, but neither cancellation nor a deadline ends it. */
int wait_park_shielded(struct wait *w, _Atomic uint32_t *lock, const char *reason,
                       const void *object);
/* true: this caller, and nobody else, must call wait_ready. Any thread. In a select all waits
 * of one task share task and epoch, so one claim decides for all. */
bool wait_claim(struct wait *w);
/* Makes the task of a claimed wait runnable; it may run before this returns. Any thread. */
void wait_ready(struct wait *w, int result);
/* The same for many at once: one pass over the queues, wake-ups in a chain. */
void wait_ready_all(struct wait *const *waits, unsigned count, int result);

#endif
