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
    const char *add_site;
    struct list waiters;
};

void waitgroup_init(struct waitgroup *w);
/* Any thread. Below zero is our own bug: aborts. site: "file.c:42", for the report. */
void waitgroup_add_at(struct waitgroup *w, int64_t n, const char *site);
#define WAITGROUP_STR2(x) #x
#define WAITGROUP_STR(x) WAITGROUP_STR2(x)
#define waitgroup_add(w, n) waitgroup_add_at((w), (n), __FILE__ ":" WAITGROUP_STR(__LINE__))
void waitgroup_done(struct waitgroup *w); /* add(-1); any thread */
/* Parks until the count is zero. 0, -ETIMEDOUT at deadline_ns (0 = none), or the cancel reason.
 */
int waitgroup_wait(struct waitgroup *w, uint64_t deadline_ns);

#endif
