/* hog.h: where a running task uses its processor, and how the processor is taken from under one
 * that computes and computes, or sleeps in a call it did not announce. The essay is in hog.c.
 * Internal to scheduler/. */
#ifndef SCHEDULER_HOG_H
#define SCHEDULER_HOG_H

#include "scheduler/core.h"

/* What the monitor wants of a thread, in thread.asked. */
enum asked {
    ASKED_NOTHING,
    ASKED_YIELD,     /* its slice is used up; also: it has no processor, and is to queue */
    ASKED_PROCESSOR, /* it may lose its processor any moment */
    ASKED_AND_TAKEN, /* it has lost it, and has not noticed */
};

/* At start: at most max processors are gone at once (0: 64); none ever is where the system has
 * no membarrier. */
void hog_start(unsigned max);

/* The calling thread answers what it was asked; thread.processor is true after. */
void hog_answer(struct thread *m);

/* Around every use of the own processor on a task's stack. What lies between must not park.
 * After the beginning thread.processor is true until the end: a processor, or NULL. Not nested.
 * On the scheduler's stack it changes nothing: nothing is taken there. */
static inline void inside_begin(struct thread *m)
{
    set_relaxed(&m->inside, true);
    atomic_signal_fence(memory_order_seq_cst); /* the monitor's membarrier does the rest */
    if (get_relaxed(&m->asked) >= ASKED_PROCESSOR)
        hog_answer(m);
}
static inline void inside_end(struct thread *m)
{
    atomic_store_explicit(&m->inside, false, memory_order_release);
}
/* Ends it, and begins again when the task has a processor, perhaps on another thread. */
struct thread *inside_begin_later(struct thread *m);

/* The same for who cannot go on without a processor: parks until it has one. The answer is the
 * calling thread, inside. Only from a task that holds no lock. */
static inline struct thread *inside_begin_surely(void)
{
    struct thread *m = thread_self();

    inside_begin(m);
    return __builtin_expect(get_relaxed(&m->processor) != NULL, 1) ? m : inside_begin_later(m);
}

/* A thread that was counted as away has a processor again, or has left its task in a queue or
 * parked. false: it was not away. */
bool hog_is_back(struct thread *m);

/* The monitor: asks who runs on p to yield. */
void hog_ask(struct processor *p);
/* The monitor: gives p to another thread. false: it is not to be had now. */
bool hog_take(struct processor *p);
/* The age in nanoseconds at which a run may lose its processor. */
uint64_t hog_patience_ns(void);

#endif
