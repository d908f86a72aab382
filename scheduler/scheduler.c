/* scheduler.c: start and end of everything.
 *
 * What it is. An M:N scheduler after Go's. A task is a function with a stack of its own, which
 * gives its processor away whenever it would wait. A processor is the right to run tasks; there
 * are as many as cores, each with a run queue, timers and caches of its own. A thread runs
 * tasks while it holds a processor; so at most that many do. Threads inside blocking calls hold
 * none, nor do those whose task has run for so long that the monitor took it (hog.c): these go
 * on, bounded in number, until they ask for anything. So two tasks may run at the same moment
 * even where there is one processor.
 *
 * How to read it. switch_*.S (leaving a stack), stack.c, task.c (descriptors), run.c
 * (from stack to stack), runq.c (where runnable tasks stand), wait.c (the word on which all
 * wakers compete), pick.c (who is next here), processor.c (find work elsewhere; go idle without
 * losing a wake-up: the heart), threads.c, poller.c and net.c, timer.c,
 * block.c (the hand-off), hog.c (the hand-off of who did not ask for it), monitor.c, group.c
 * (structure and cancellation), event.c, deadlock.c (then suspects.c, memory.c and partial.c),
 * dump.c, sleepers.c, observe.c and trace.c (seen from outside, through the probes of probe.h).
 * sanitizer.h is the only place that speaks with the tools.
 *
 * A task's way. group_spawn takes a descriptor and puts it into the slot `next` of its
 * processor; the thread's loop (threads.c) takes it out, binds a stack and switches to it. When
 * it parks, it switches back to the loop, or at once to the next task (run.c), with a commit
 * function, which runs after its registers are saved: only there may others learn that it
 * sleeps. A waker makes it runnable on the
 * waker's own processor; when its function returns, the loop takes its stack and descriptor
 * back and tells its group.
 *
 * What was rejected.
 *   - Stackless tasks: half the memory, but every caller of a blocking call must be split.
 *   - A stack at spawn: a backlog of a million tasks that have not started would touch a page
 *     each; a page fault costs 1 to 10 us here, a whole spawn and join 0.2 us.
 *   - A lock-free stack (Chase and Lev) per processor: the newest first starves the oldest
 *     request of a busy server. Nor a plain queue: a tree of tasks would be walked across, with
 *     a stack for each of its width. So the youngest goes first, but passes the oldest a
 * bounded number of times.
 *   - A pool hop for each file call: four to ten times the CPU of calling and taking the
 *     processor away only when it lasts.
 *   - Signals to interrupt tasks that compute: EINTR in every library, and in C no point at
 *     which an interrupted task is known to be whole. The monitor asks, brings help, and takes
 *     the processor, not the thread.
 *   - io_uring: switched off where such daemons run; epoll must be right in any case.
 *
 * Locks. group.lock > task.tree_lock > group.lock below > wait word (no lock) > idle_lock,
 * global.lock, timers.lock, stores (leaves). None is held over a switch but by wait_park, which
 * gives it back once the stack is left. Threads sleep on a futex each, one in epoll.
 *
 * S1  exactly one thread runs a task, and only between two of its switches. It holds a
 *     processor then, or is counted in sched.blocked.
 * S2  a task's stack is touched by nobody else once it runs, and by its waker only under the
 *     lock of the object it waits in.
 * S3  descriptors are type-stable until scheduler_run ends, which waits for foreign callers.
 * S4  when scheduler_run returns, no thread, descriptor or mapping of it is left. */
#include "scheduler/scheduler.h"

#include "base/clock.h"
#include "base/rand.h"
#include "scheduler/blocking.h"
#include "scheduler/core.h"
#include "scheduler/hog.h"
#include "scheduler/monitor.h"
#include "scheduler/overflow.h"
#include "scheduler/poller.h"
#include "scheduler/processor.h"
#include "scheduler/run.h"
#include "scheduler/threads.h"
#include "scheduler/trace.h"
#include "scheduler/wait.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>

struct scheduler sched;

/* Faults belong to the thread that makes them; everything else is for who asked for it by a
 * signalfd. SIGPIPE is no news: the write answers EPIPE. */
static void mask_signals(sigset_t *ret_before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t set;

    sigfillset(&set);
    for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&set, faults[i]);
    pthread_sigmask(SIG_SETMASK, &set, ret_before);
    signal(SIGPIPE, SIG_IGN);
}

static void reset(const struct scheduler_options *options)
{
    sched.options = options != NULL ? *options : (struct scheduler_options){0};
    if (sched.options.seed == 0)
        rand_secret(&sched.options.seed, sizeof sched.options.seed);
    atomic_store(&sched.spinning, 0);
    atomic_store(&sched.idle_count, 0);
    for (unsigned i = 0; i < PROCESSORS_MAX / 64; i++)
        sched.idle_set[i] = 0;
    list_init(&sched.spare);
    list_init(&sched.threads);
    sched.spare_count = 0;
    sched.global.head = sched.global.tail = NULL;
    atomic_store(&sched.global.len, 0);
    atomic_store(&sched.poller, NULL);
    atomic_store(&sched.poll_until_ns, 0);
    atomic_store(&sched.watched, 0);
    atomic_store(&sched.outside, 0);
    atomic_store(&sched.blocked, 0);
    atomic_store(&sched.taken, 0);
    atomic_store(&sched.outside_stray, 0);
    atomic_store(&sched.stopping, false);
    atomic_store(&sched.dead_told, false);
    sched.dead_cancelled = false;
    atomic_store(&sched.wakes, 0);
    atomic_store(&sched.coarse_ns, clock_mono_ns());
    sched.root = NULL;
    sched.root_result = 0;
}

static int root_start(task_fn fn, void *arg)
{
    static const struct task_options options = {
        .name = "root", .site = "scheduler_run", .stack = STACK_LARGE};
    struct processor *first = &sched.processors[0];
    struct thread *m = thread_self();

    set_relaxed(&m->processor, first);
    first->thread = m;
    sched.root = task_new(first, fn, arg, &options);
    if (sched.root == NULL)
        return -ENOMEM;
    group_root(&sched.root_group, sched.root);
    count_add(&first->counters.created, 1);
    runq_push(&first->runq, sched.root);
    return 0;
}

/* A thread for each other processor, asleep. */
static int threads_start(void)
{
    for (unsigned i = 1; i < sched.count; i++) {
        struct thread *m = thread_new();
        if (m == NULL)
            return -EAGAIN;
        processor_start_idle(&sched.processors[i], m);
    }
    return 0;
}

static int start(task_fn fn, void *arg)
{
    unsigned count = sched.options.processors;
    int r;

    if (count == 0)
        count = scheduler_usable_cpus();
    if (count > PROCESSORS_MAX)
        count = PROCESSORS_MAX;
    blocking_start(sched.options.blocking_max);
    hog_start(sched.options.blocking_max);
    if ((r = processors_start(count)) < 0 || (r = poller_open()) < 0 ||
        (r = thread_adopt()) < 0 || (r = threads_start()) < 0 || (r = root_start(fn, arg)) < 0)
        return r;
    return monitor_start();
}

/* A foreign thread may still be between waking the last task and leaving our code. */
static void wait_for_foreign(void)
{
    while (atomic_load(&sched.foreign) > 0)
        sched_yield();
}

static void end(void)
{
    if (!atomic_load(&sched.stopping))
        threads_stop();
    threads_join();
    atomic_store(&sched.running, false);
    wait_for_foreign();
    threads_free();
    poller_close();
    net_slabs_free();
    trace_free();
    if (sched.processors != NULL)
        processors_stop();
    task_slabs_free();
    stack_slabs_free();
}

int scheduler_run(const struct scheduler_options *options, task_fn fn, void *arg)
{
    sigset_t before;
    bool idle = false;

    if (thread_self() != NULL || !atomic_compare_exchange_strong(&sched.running, &idle, true))
        return -EBUSY;
    mask_signals(&before);
    reset(options);
    overflow_start();

    int r = start(fn, arg);
    if (r == 0) {
        run_loop(thread_self());
        monitor_stop();
        r = sched.dead_cancelled ? -EDEADLK : sched.root_result;
    }
    end();
    overflow_stop();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

void scheduler_outside_begin(void)
{
    atomic_fetch_add(&sched.outside, 1);
}

void scheduler_outside_end(void)
{
    atomic_fetch_add(&sched.foreign, 1);
    atomic_fetch_sub(&sched.outside, 1);
    /* Who was asleep before may be dead now: a processor looks again. */
    processor_wake();
    atomic_fetch_sub(&sched.foreign, 1);
}

unsigned scheduler_processors(void)
{
    return atomic_load(&sched.running) ? sched.count : 0;
}
