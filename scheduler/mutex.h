/* mutex.h: a lock that a task may hold over a yield, with a known owner, and its condition.
 * Normal mode lets a running task barge; a waiter older than 1 ms is handed the lock directly,
 * so that nobody starves (after Go's sync.Mutex). */
#ifndef SCHEDULER_MUTEX_H
#define SCHEDULER_MUTEX_H

#include "base/list.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct task;

struct mutex {
    _Atomic uint32_t word;       /* locked, has waiters, has woken one; see mutex.c */
    _Atomic uint32_t queue_lock; /* guards waiters */
    struct task *_Atomic owner;
    struct list waiters;
};

#define MUTEX_INIT(m)                                                                          \
    {                                                                                          \
        .waiters = LIST_INIT((m).waiters)                                                      \
    }

void mutex_init(struct mutex *m);
/* 0; -EDEADLK when the caller holds it already; the cancel reason (not locked then). */
int mutex_lock(struct mutex *m, uint64_t deadline_ns);
/* Locks whatever happens; for short sections of clean-up. */
void mutex_lock_shielded(struct mutex *m);
bool mutex_try_lock(struct mutex *m);
void mutex_unlock(struct mutex *m); /* only by its owner */

struct cond {
    _Atomic uint32_t queue_lock; /* guards waiters */
    struct list waiters;         /* first come, first woken */
};

void cond_init(struct cond *c);
/* Unlocks, parks, locks again (always). 0, -ETIMEDOUT, or the cancel reason. */
int cond_wait(struct cond *c, struct mutex *m, uint64_t deadline_ns);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

#endif
