/* overflow.h: a stack overflow is named. Each thread has an alternate signal stack; a fault in
 * the guard of the running task's stack is reported with the task's name and spawn site, and
 * then goes its ordinary way, so that a core is made. Other faults go to whoever handled them
 * before. */
#ifndef SCHEDULER_OVERFLOW_H
#define SCHEDULER_OVERFLOW_H

struct thread;

void overflow_start(void);
void overflow_stop(void);
void overflow_thread_begin(struct thread *m);
void overflow_thread_end(struct thread *m);

struct task;
/* The canary below the stack of t is gone: says whose it was, and ends the process. */
void overflow_end(const struct task *t) __attribute__((noreturn));

#endif
