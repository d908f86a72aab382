/* task.h: what a task may do with itself. All of it only from a task unless said otherwise. */
#ifndef SCHEDULER_TASK_H
#define SCHEDULER_TASK_H

#include "scheduler/scheduler.h"

struct task;

/* The calling task, NULL on a thread that runs none. Do not keep it over a switch of thread:
 * it is the same task, but ask again rather than caching thread state. */
struct task *task_self(void);
uint64_t task_id(const struct task *t);

/* Lets others run. 0 or the cancel reason. */
int task_yield(void);
/* Call it in loops that compute: yields when the slice (10 ms) is used up. 0 or the reason. A
 * loop that does not is left to a thread of its own, at the price of a thread. */
int task_checkpoint(void);
/* 0 when the time came, or the cancel reason (-ECANCELED, -ETIMEDOUT). */
int task_sleep_until(uint64_t at_ns);
int task_sleep_ns(uint64_t ns);
/* 0, or the reason the task was cancelled with. */
int task_cancelled(void);
/* Within a shield cancellation is not seen: for clean-up that itself must park. A deadline is
 * mandatory (at_ns > 0): from it on, blocking calls answer -ETIMEDOUT. Shields nest. */
void task_shield_begin(uint64_t at_ns);
void task_shield_end(void);
/* Monotonic time, cached once a pick: cheap, at most a slice old. Any thread: exact. */
uint64_t task_now_ns(void);

#endif
