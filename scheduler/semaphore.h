/* semaphore.h: a count of permits, first come first served. */
#ifndef SCHEDULER_SEMAPHORE_H
#define SCHEDULER_SEMAPHORE_H

#include "base/list.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct semaphore {
    _Atomic uint32_t lock; /* guards both */
    int64_t permits;
    struct list waiters;
};

void semaphore_init(struct semaphore *s, int64_t permits);
/* 0, -ETIMEDOUT at deadline_ns (0 = none), or the cancel reason: no permit taken then. */
int semaphore_take(struct semaphore *s, uint64_t deadline_ns);
bool semaphore_try_take(struct semaphore *s);
void semaphore_give(struct semaphore *s, uint32_t permits); /* any thread */

#endif
