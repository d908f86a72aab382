/* timer.h: a callback at a point in monotonic time. It runs on a scheduler stack, must not
 * park, and may only make tasks runnable: most code wants task_sleep_until or a deadline
 * instead. */
#ifndef SCHEDULER_TIMER_H
#define SCHEDULER_TIMER_H

#include "base/heap.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct processor;

struct timer {
    struct heap_node node; /* guarded by the processor's timer lock */
    uint64_t at_ns;
    void (*fn)(struct timer *t);
    struct processor *_Atomic home; /* whose heap holds it; NULL = not started */
    _Atomic uint32_t state;
    bool background; /* its ticking does not hide that all tasks sleep */
};

void timer_init(struct timer *t, void (*fn)(struct timer *t));
/* Starts it, or moves it when it is already started. Any task. 0 or -ENOMEM. */
int timer_start(struct timer *t, uint64_t at_ns);
/* true: it will not run (again); false: it had run already or was not started. When the
 * callback runs at this moment on another thread, waits for its end: after it t may be freed.
 */
bool timer_stop(struct timer *t);

#endif
