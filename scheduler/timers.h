/* timers.h: a processor's timers: a 4-ary heap whose keys lie in the array, so that a
 * comparison touches no timer. Four children are one cache line. */
#ifndef SCHEDULER_TIMERS_H
#define SCHEDULER_TIMERS_H

#include "scheduler/timer.h"

struct task_list;

#define TIMERS_NONE UINT64_MAX

struct timer_slot {
    uint64_t at_ns;
    struct timer *timer;
};

struct timers {
    _Atomic uint32_t lock;
    uint32_t len, cap;           /* guarded by lock */
    struct timer_slot *slots;    /* guarded by lock */
    _Atomic uint64_t next_at_ns; /* TIMERS_NONE when empty; written under lock */
    _Atomic uint32_t foreground; /* those whose ticking is life; written under lock */
};

void timers_init(struct timers *h);
void timers_deinit(struct timers *h);
/* Runs what is due: callbacks on this stack, sleepers into ret. The count. Any thread of ours
 * that runs no task. */
unsigned timers_run(struct timers *h, uint64_t now_ns, struct task_list *ret);

#endif
