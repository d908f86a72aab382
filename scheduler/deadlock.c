/* deadlock.c: tasks that nothing will ever wake. Four levels, from the surest to the vaguest:
 *
 *   0  all asleep (here): looked at by the last processor that goes idle. No task runs or can
 *      run, none is in a blocking call, none waits for something outside (a descriptor, an
 *      event that a foreign thread may set), and no timer ticks but those in the background.
 *      Counters are raised before a task can be gone and lowered after it stands in a queue.
 *      Told, and everything is cancelled with -EDEADLK.
 *   1  a cycle of owners (suspects.c): mutexes have one, groups have members. Exact, and found
 *      whatever else runs.
 *   2  a part that only its own members could wake (suspects.c, memory.c): beside a ticker, a
 *      listener and any number of healthy tasks. A live task keeps alive what it can name, not
 *      what is merely in the same process.
 *   3  who has slept for long without a deadline (scheduler_sleepers): a table, no verdict.
 *
 * Levels 1 and 2 are the monitor's (partial.c); they tell, and fail the groups of those tasks
 * that do not just wait for their own members, so the error rises through the ordinary results
 * and everything around goes on.
 *
 * Alive without a question: who has a deadline, or a deadline above; who is in the background;
 * who waits for an event, a descriptor, a place in a blocking lane, or selects no channel at
 * all, which is how to wait for being cancelled. Between scheduler_outside_begin and _end
 * everything that owners do not decide is alive.
 *
 * What was rejected: capabilities that the program declares for each channel, as they are sound
 * in busy programs too, but a deadlock comes from what nobody thought of declaring; stopping
 * threads by signals (EINTR in every library); a copy of the process by fork (milliseconds for
 * page tables, and the registers of running tasks are lost as well). What this costs: tasks are
 * read only while all processors idle, or in a pause of at most 25 ms, so never while more than
 * 16,384 of them live and some always run. */
#include "base/buf.h"
#include "base/io.h"
#include "scheduler/monitor.h"
#include "scheduler/processor.h"
#include "scheduler/threads.h"
#include "scheduler/wait.h"

#include <errno.h>
#include <unistd.h>

/* Under idle_lock, in this order: a thread coming back from a blocking call is counted there
 * until its task stands in a queue or it has taken a processor out of the idle set. */
static bool all_asleep(void)
{
    int64_t outside = 0;

    if (atomic_load(&sched.blocked) > 0 || atomic_load(&sched.idle_count) != sched.count ||
        atomic_load(&sched.foreign) > 0 || atomic_load(&sched.outside) > 0 ||
        atomic_load(&sched.global.len) > 0)
        return false;
    for (unsigned i = 0; i < sched.count; i++) {
        const struct processor *p = &sched.processors[i];
        if (runq_len(&p->runq) > 0 || atomic_load(&p->timers.foreground) > 0)
            return false;
        outside += get_relaxed(&p->counters.outside);
    }
    return outside + atomic_load(&sched.outside_stray) == 0;
}

bool deadlock_found(void)
{
    if (atomic_load(&sched.dead_told) || atomic_load(&sched.idle_count) != sched.count)
        return false;
    spin_lock(&sched.idle_lock);
    bool dead = all_asleep();
    spin_unlock(&sched.idle_lock);
    return dead;
}

/* Nobody asked to be told: everything is cancelled, so that each task can still clean up. If
 * that was done before, only tasks in a shield are left: they are given up. */
static void end_all(const struct buf *report)
{
    io_write_all(STDERR_FILENO, report->data, report->len);
    if (!sched.dead_cancelled) {
        sched.dead_cancelled = true;
        group_cancel(&sched.root_group, -EDEADLK);
        return;
    }
    sched.root_result = -EDEADLK;
    threads_stop();
}

void deadlock_tell(void)
{
    OWN_BUF struct buf report = BUF_INIT;

    if (atomic_exchange(&sched.dead_told, true))
        return;
    buf_puts(&report, "deadlock: all tasks are asleep and nothing can wake them\n");
    scheduler_dump(&report);
    if (sched.options.deadlock != NULL)
        sched.options.deadlock(sched.options.deadlock_ctx, buf_str(&report));
    else
        end_all(&report);
}
