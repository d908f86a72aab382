/* run.h: from stack to stack. Internal to scheduler/. */
#ifndef SCHEDULER_RUN_H
#define SCHEDULER_RUN_H

#include "scheduler/core.h"

/* Runs t on m, which has a processor, until it leaves its stack, and sees to what is to be done
 * with it then. On the scheduler's stack. */
void run_execute(struct thread *m, struct task *t);

#endif
