/* monitor.h: a thread that looks at the others: takes processors back from blocking calls that
 * last, asks hogs to yield, brings help to a queue whose processor is busy, takes the processor
 * where none is to be had, polls when nobody did. It ticks while something runs, and sleeps
 * without end when all is idle. */
#ifndef SCHEDULER_MONITOR_H
#define SCHEDULER_MONITOR_H

#include "scheduler/core.h"

int monitor_start(void); /* 0 or a negative errno */
void monitor_stop(void);
void monitor_wake(void);

extern _Atomic uint32_t monitor_word;
#define MONITOR_SLEEPS 1U

/* Something begins to run: the monitor must tick. One load when it does already. */
static inline void monitor_notice(void)
{
    if (atomic_load(&monitor_word) == MONITOR_SLEEPS)
        monitor_wake();
}

/* deadlock.c */
/* true: every task sleeps, nothing outside can wake one, and nobody was told. By a thread that
 * has just published itself as idle. */
bool deadlock_found(void);
void deadlock_tell(void);

/* partial.c; the monitor's */
/* Looks, when it is time to, for tasks that can only be woken by each other, tells of them and
 * fails their groups. true: it wants to look again soon, even if nothing runs. */
bool partial_look(uint64_t now_ns);
/* When the monitor has ended. */
void partial_end(void);

/* dump.c: the lines of one task. */
struct buf;
void dump_task(struct buf *ret, const struct task *t);

#endif
