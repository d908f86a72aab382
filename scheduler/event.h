/* event.h: one wake-up for one task, set by any thread, ours or not. It is how a thread of its
 * own, such as a store's writer, tells a task that its answer is there.
 *
 * The setter may still be inside event_set when the waiter goes on, but it no longer touches
 * the event then: an event may live in the waiter's frame. For the same reason a waiter that
 * was cancelled must make sure that nobody will set the event any more before its frame ends;
 * if it cannot, it waits with event_wait_shielded. */
#ifndef SCHEDULER_EVENT_H
#define SCHEDULER_EVENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct task;

struct event {
    _Atomic uintptr_t word; /* 0 = not set, 1 = set, else the parked task */
};

void event_init(struct event *e);
/* Wakes the waiter, or lets the next wait pass at once. Setting twice is setting once. */
void event_set(struct event *e);
/* Sets count events in one go: the woken tasks enter the run queues as one batch. */
void event_set_all(struct event *const *events, unsigned count);
bool event_is_set(const struct event *e);
/* One waiter at a time. 0, -ETIMEDOUT at deadline_ns (0 = none), or the cancel reason. */
int event_wait(struct event *e, uint64_t deadline_ns);
/* Waits whatever happens; for answers that surely come. */
void event_wait_shielded(struct event *e);

#endif
