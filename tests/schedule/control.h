/* control.h: schedules under control. Real races are found by luck; here the order in which
 * threads take their steps is drawn from a seed, so a seed that fails can be run again.
 *
 * What a thread is. Each is a fiber of the scheduler's own making (switch.h) in one real
 * thread. The sources under test are built a second time with a point before every atomic
 * operation (controlled.h), at which another fiber may go on; locks of the house block the
 * fiber. This needs no second implementation of what is tested, runs more than a
 * million schedules a minute, and a failure is exact. What it does not show is reordering by
 * weak memory: every step is sequentially consistent. TSan and the stress tests look for that.
 *
 * Which schedules. Half of the seeds draw each step at random. The other half use PCT
 * (Burckhardt, Kothari, Musuvathi, Nagarakatte, ASPLOS 2010): each thread has a random
 * priority, the highest that can run does, and at d - 1 points drawn beforehand the running one
 * falls below all others. A bug that needs d orderings is found by a schedule of n threads and
 * k steps with a chance of at least 1 / (n k^(d-1)), whatever else happens.
 *
 * Rejected: all interleavings (a dozen steps of three threads are the limit, and these units
 * take hundreds); real threads held back by semaphores (a thousand times slower). */
#ifndef TESTS_SCHEDULE_CONTROL_H
#define TESTS_SCHEDULE_CONTROL_H

#include "tests/schedule/controlled.h"

struct control_result {
    bool failed;
    uint64_t seed, steps;
    char why[160];
};

/* One schedule: begin starts the fibers, end looks at what they did. */
struct control_play {
    const char *name;
    void (*begin)(void);
    void (*end)(void);
    enum tear tear; /* which operation, torn, must be found out */
};

/* Runs it once; torn: the operation `tear` lets others come in between. */
void control_run(const struct control_play *play, uint64_t seed, bool torn,
                 struct control_result *ret);

/* From begin or a fiber. */
void control_start(void (*fn)(void *arg), void *arg);
/* From a fiber: the argument of its function; NULL from elsewhere. */
void *control_self(void);
/* Waits until somebody wakes those who wait on that address. */
void control_block(const void *on);
/* How many did. */
unsigned control_wake(const void *on);
/* Ends the schedule as failed unless x. From anywhere. */
void control_check(bool x, const char *what);
#define CONTROL_HOLDS(x) control_check((x), #x)

/* house.c: the rest of the scheduler, as the units under test see it. */
struct task;
struct thread;
void house_begin(void);
/* Fibers whose argument is one of these are threads of their own. */
void house_threads(struct thread *threads, unsigned count);
/* A task of its own, as if it had a processor to itself. */
struct task *house_start(int (*fn)(void *arg), void *arg);
/* A clock that ticks until all tasks have ended, that often without minding whether others go
 * on: due timers run on a fiber of their own. */
void house_clock(unsigned ticks, uint64_t ns);

#endif
