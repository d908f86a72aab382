/* pick.h: who is next, of those that this processor has itself: of its queue, of its timers,
 * and now and then of the global queue and the poller. Internal to scheduler/. */
#ifndef SCHEDULER_PICK_H
#define SCHEDULER_PICK_H

#include "scheduler/core.h"

/* The next of p's own, NULL when it has none. On the scheduler's stack of m, which has p. */
struct task *pick_here(struct thread *m, struct processor *p);
/* The same where it is plainly at hand and nothing else is due, else NULL. On a task's stack.
 */
struct task *pick_at_hand(struct thread *m, struct processor *p);
/* Whom it would choose as things stand: to be looked at only, as thieves may take that one, and
 * it may end. NULL when the queue is empty. */
const struct task *pick_foreseen(const struct thread *m, const struct processor *p);
/* Runs the expired timers of any processor on p. false: there were none. */
bool pick_due_timers(struct processor *p, struct processor *of, uint64_t now_ns);

#endif
