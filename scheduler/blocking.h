/* blocking.h: what the monitor and scheduler_run need of block.c. */
#ifndef SCHEDULER_BLOCKING_H
#define SCHEDULER_BLOCKING_H

#include "scheduler/core.h"

/* Shares max places among the lanes that nobody chose a limit for. */
void blocking_start(unsigned max);
/* Takes p from the call that left mark on it and gives it to a spare thread. false: the call
 * was over, or no thread could be had. The monitor. */
bool blocking_retake(struct processor *p, uintptr_t mark);
/* The task of a thread without a processor wants one: takes an idle one, rather that one, or
 * parks in the global queue until a thread picks it up. */
void blocking_come_back(struct thread *m, struct task *t, struct processor *rather);

#endif
