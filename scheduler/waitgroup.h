/* waitgroup.h: a count that tasks bring to zero and others wait for. Prefer a group (group.h),
 * which also owns its tasks. Adding 1 in a loop races with the wait: add all at once; debug
 * builds report a site that adds 1 more than WAITGROUP_ADD_ONES_MAX times in a row. */
#ifndef SCHEDULER_WAITGROUP_H
#define SCHEDULER_WAITGROUP_H

#include "base/list.h"

#include <stdatomic.h>
#include <stdint.h>

#define WAITGROUP_ADD_ONES_MAX 8

struct waitgroup {
    _Atomic uint32_t lock; /* guards all below */
    int64_t count;
    uint32_t add_ones;
    const void *add_site;
    struct list waiters;
};

void waitgroup_init(struct waitgroup *w);
void waitgroup_add(struct waitgroup *w, int64_t n); /* below zero is our own bug: aborts */
void waitgroup_done(struct waitgroup *w);           /* add(-1); any thread */
int waitgroup_wait(struct waitgroup *w, uint64_t deadline_ns);

#endif
