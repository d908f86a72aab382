/* scheduler.h: who runs it. An M:N scheduler after Go's: one processor (P) per core, each with
 * a local run queue; threads (M) that run tasks while they hold a processor; tasks with stacks
 * of their own that cost a few KiB; work stealing; one poller for descriptors; a hand-off of
 * the processor when a call blocks. It has never heard of a job.
 *
 * There is one scheduler in a process. The family, in reading order:
 *
 *     scheduler.h   start and stop, counters, dump          (this file)
 *     group.h       tasks with one end: the only way to start one
 *     task.h        what a task may do: yield, sleep, ask whether it is cancelled
 *     event.h       one wake-up, also from threads that are not ours
 *     net.h         descriptors that wait in the poller
 *     block.h       calls that block a thread
 *     chan.h        channels and select
 *     mutex.h semaphore.h waitgroup.h     locks over a yield
 *     timer.h       callbacks at a time, for the family itself
 *     observe.h     figures of each processor, how long tasks wait for their turn, a trace
 *
 * Rules for task code, each with its reason:
 *   - results are 0, a count, or a negative errno; `errno` itself is not to be read after a
 * call that may have switched, since the task may be on another thread by then;
 *   - no __thread, no pthread mutex held over a call that may switch, for the same reason;
 *   - a stack is 64 KiB unless asked for otherwise: nothing large on it;
 *   - a deadline is a point in monotonic time in nanoseconds; 0 means none.
 *   - every call that may park answers -ECANCELED at once when the task is cancelled, and again
 *     at each later call (level, not edge), except in a shield (task.h).
 */
#ifndef SCHEDULER_SCHEDULER_H
#define SCHEDULER_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int (*task_fn)(void *arg);

struct scheduler_options {
    unsigned processors; /* 0 = what affinity and the cgroup's quota allow */
    /* Threads inside announced blocking calls at once, and as many again whose tasks compute
     * or block without a word while another thread has their processor; 0 = 64. */
    unsigned blocking_max;
    uint64_t seed; /* for victim order and select; 0 = from the kernel */
    /* Told when every task sleeps and nothing outside can wake one. NULL: dump to standard
     * error and scheduler_run returns -EDEADLK. */
    void (*deadlock)(void *ctx, const char *report);
    void *deadlock_ctx;
    /* A part of the tasks may be dead while others live: tasks that slept that long and that
     * nobody who may run can wake are told in the same way, and their groups fail with
     * -EDEADLK. 0 = 500; UINT32_MAX: it is not looked for. */
    uint32_t deadlock_ms;
};

/* Runs fn(arg) as the root task on the calling thread and as many more as there are processors;
 * returns its result when it and every group below it have ended and all threads are gone.
 * May be called again after. options may be NULL. -ENOMEM, -EAGAIN when it cannot start. */
int scheduler_run(const struct scheduler_options *options, task_fn fn, void *arg);

/* Between the two, something outside (a foreign thread, a handler of signals) may still make
 * tasks runnable through a channel, a semaphore or a wait group: all asleep is no deadlock
 * then, and of a part only what owners decide is. Tasks that wait for an event or a descriptor
 * need no such word. They nest. Any thread, while the scheduler runs. */
void scheduler_outside_begin(void);
void scheduler_outside_end(void);

/* How many processors run. Any thread. */
unsigned scheduler_processors(void);

struct scheduler_stats {
    uint64_t tasks_live, tasks_created;
    uint64_t runs, steals, steal_attempts, parks, yields, handoffs, overflows;
    uint64_t polls, wakes, timers_fired, retakes;
    uint64_t run_queue_len, global_queue_len;
    uint64_t takes; /* of processors from tasks that ran too long; threads_taken: still do */
    uint64_t threads, threads_spare, threads_blocked, threads_taken;
    uint64_t processors, processors_idle;
    uint64_t stacks_live, stacks_cached;
    uint64_t stacks_canary; /* without a guard page: vm.max_map_count is used up */
    uint64_t stall_ns; /* longest time for which a processor now has had work and picked none */
};

/* Counters, summed without stopping anything: each is true, their sum need not be of one
 * moment. Any thread. */
void scheduler_stats(struct scheduler_stats *ret);

struct buf;

/* A line a task: id, name, state, what it waits for and how long, group, spawn site, and the
 * backtrace of parked ones; then a line a processor. Any thread. */
void scheduler_dump(struct buf *ret);

/* Tasks that have slept for at least ns without a deadline, on something inside the program: a
 * line for each place where such tasks were spawned and what they wait for, with their number
 * and the longest time. Information: a worker may wait for work all day. Any thread. */
void scheduler_sleepers(struct buf *ret, uint64_t ns);

/* How many processors this process may use: its affinity, cut by the CPU quotas of its cgroup
 * and those above it, rounded up: 8 and a quota of 1.5 are 2. At least 1. Any thread. */
unsigned scheduler_usable_cpus(void);

#endif
