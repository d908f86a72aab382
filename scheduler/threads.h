/* threads.h: the OS threads. One that holds a processor runs tasks; one that does not sleeps
 * in the list of spares, the kept threads, until a processor has to be taken over because
 * another thread blocks. */
#ifndef SCHEDULER_THREADS_H
#define SCHEDULER_THREADS_H

#include "scheduler/core.h"

/* Makes the caller a thread of the scheduler. 0 or -ENOMEM. */
int thread_adopt(void);
/* Waits for all others, and ends the part of the caller. */
void threads_join(void);
/* Forgets them. A foreign thread that woke one must have left our code. */
void threads_free(void);
/* A new sleeping thread without a processor, in no list but the one of all. NULL: none can be
 * had. Any thread. */
struct thread *thread_new(void);
/* The youngest spare, out of the list; a new one if there is none; NULL if none can be had. */
struct thread *thread_get_spare(void);
/* Back into the list of spares. */
void thread_put_spare(struct thread *m);
/* The calling thread, without a processor, joins the spares and sleeps. */
void thread_rest(struct thread *m);
/* Under idle_lock: m sleeps or will, and has no processor. */
void thread_make_spare(struct thread *m);
/* Ends half of the spares beyond those that are kept. true: some are left. The monitor. */
bool threads_trim(void);
/* Wakes m, which was given a token: from the poller, or from its futex. */
void thread_notify(struct thread *m, bool polling);
/* Sleeps until a token is given, and takes it. */
void thread_wait_token(struct thread *m);
/* All wake and end. */
void threads_stop(void);

#endif
