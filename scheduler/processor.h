/* processor.h: making tasks runnable, finding one to run, going idle. */
#ifndef SCHEDULER_PROCESSOR_H
#define SCHEDULER_PROCESSOR_H

#include "scheduler/core.h"

/* Room for count processors; 0 or -ENOMEM. */
int processors_start(unsigned count);
void processors_stop(void);

/* Makes a parked task runnable. From a task it goes first on this processor, and nobody is
 * woken for it unless it displaces another. Any thread. */
void processor_ready(struct task *t);
/* The same for many: behind what is runnable already, one wake-up, which passes on. */
void processor_ready_list(struct task_list *list);
/* A new task: as processor_ready, but an idle processor is told. */
void processor_spawn(struct task *t, bool tell);
/* Behind what is runnable on this processor. Between two tasks. */
void processor_requeue(struct processor *p, struct task *t);

/* One from the global queue, NULL when it is empty; a fair share of at most max, the others
 * behind what is runnable on this processor. On the scheduler's stack. */
struct task *processor_take_global(struct processor *p, unsigned max);

/* The next task for m; NULL when m has no processor any more or the scheduler stops. */
struct task *processor_find(struct thread *m);

/* Wakes one idle processor if there is one and nobody searches already. Any thread. */
void processor_wake(void);
/* After work was published: the fence, the test, the wake. */
void processor_submit(void);
/* Runnable tasks or timers due anywhere. */
bool processor_work_visible(void);

/* At the start: p is idle, and m, which sleeps, is its thread. */
void processor_start_idle(struct processor *p, struct thread *m);
/* Takes an idle processor away from the thread that sleeps with it; NULL when none is idle. */
struct processor *processor_take_idle(struct thread *m, struct processor *rather);
/* Gives p, which runs in no thread, to m, which sleeps; m runs. */
void processor_give(struct processor *p, struct thread *m);

#endif
