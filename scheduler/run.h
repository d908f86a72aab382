/* run.h: from stack to stack. Internal to scheduler/. */
#ifndef SCHEDULER_RUN_H
#define SCHEDULER_RUN_H

#include "scheduler/core.h"

/* The loop of m: runs tasks while it has a processor, until the scheduler stops. */
void run_loop(struct thread *m);

#endif
