/* hog.c: a task computes for long, or sleeps in a call that it did not announce, and others
 * wait. It cannot be interrupted: in C no point is known at which it is whole. But its
 * processor can be taken. The task stays with its thread, as if in a blocking call, and a spare
 * thread runs the others. At its next call of the scheduler that may park, the task gets an
 * idle processor or stands in the global queue, and its thread joins the spares.
 *
 * What must not be is that both use the processor. Its queue, caches and counters belong to one
 * thread, and a task reaches them from its own stack. So every such use is bracketed:
 *
 *     the thread                         the monitor
 *         inside = true                      asked = PROCESSOR
 *         asked?  then answer                membarrier
 *         ... use the processor ...          inside, or no task runs?  withdraw
 *         inside = false                     asked: PROCESSOR -> TAKEN, or withdraw
 *
 * It is Dekker's: one of the two sees the other. The thread pays a store and a load and no
 * fence; the fence of both is the monitor's membarrier, 14 us and rare. A thread that sees the
 * question takes it back by compare-and-swap, and either keeps its processor or has lost it.
 * On the scheduler's stack, and on its way from one task to the next (run.c), a thread is
 * always inside: there thread.task is NULL, and the way off a task asks the same question
 * (run.c).
 *
 * H1  a processor is used by the thread that holds it, inside or on the scheduler's stack.
 * H2  asked goes to TAKEN only from PROCESSOR, only by the monitor, and only when after a
 *     membarrier the thread held that processor, ran a task, and was not inside.
 * H3  thread.processor is written by its own thread, or under idle_lock while that thread is
 *     on the scheduler's stack. So it may be stale between TAKEN and the answer, and is read
 *     inside only. (Reports may read it anywhere.)
 * H4  a thread whose processor was taken is counted in sched.blocked and sched.taken from
 *     before the taking until it has another, or its task stands in a queue or is parked.
 * H5  sched.taken <= options.blocking_max; the more there are, the longer a run may last before
 * the next is taken: a crowd of tasks that all compute gains nothing from a thread each.
 *
 * (Model: tests/model/take.pml; leaving out the barrier, the look, or its order lets two
 * threads into one processor there.)
 *
 * What was rejected. A signal that makes the thread stand still: EINTR in every library. An
 * atomic exchange at each entry instead of the membarrier: 8 ns on the way of every wake-up.
 * To tell sleepers from those who compute, by /proc or the thread's clock: both keep others
 * waiting, and both end the same way. */
#include "scheduler/hog.h"

#include "base/clock.h"
#include "base/fault.h"
#include "scheduler/blocking.h"
#include "scheduler/probe.h"
#include "scheduler/processor.h"
#include "scheduler/threads.h"
#include "scheduler/wait.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TAKEN_MAX_DEFAULT 64
/* A task that calls now and then has been asked to yield some milliseconds before. */
#define PATIENCE_NS (15 * NS_PER_MS)
/* So many a processor may be taken at that age; as many again at twice that, and so on. */
#define TAKEN_AT_EACH_PACE 4

static bool can_take;
static unsigned taken_max;

static bool membarrier_done(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

void hog_start(unsigned max)
{
    taken_max = max > 0 ? max : TAKEN_MAX_DEFAULT;
    can_take = membarrier_done(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}

void hog_answer(struct thread *m)
{
    uint32_t asked = atomic_load(&m->asked);

    while (asked == ASKED_PROCESSOR)
        if (atomic_compare_exchange_weak(&m->asked, &asked, ASKED_YIELD))
            return;
    if (asked != ASKED_AND_TAKEN)
        return;
    m->away = m->hog = true;
    set_relaxed(&m->processor, NULL);
    atomic_store(&m->asked, ASKED_YIELD);
}

struct thread *inside_begin_later(struct thread *m)
{
    struct task *t = get_relaxed(&m->task);

    do {
        inside_end(m);
        blocking_come_back(m, t, NULL);
        m = get_relaxed(&t->thread);
        inside_begin(m);
    } while (get_relaxed(&m->processor) == NULL);
    return m;
}

bool hog_is_back(struct thread *m)
{
    if (!m->away)
        return false;
    if (m->hog)
        atomic_fetch_sub(&sched.taken, 1);
    m->away = m->hog = false;
    atomic_fetch_sub(&sched.blocked, 1);
    return true;
}

/* Who holds p, unless it is idle. Threads are freed by the monitor itself, and after its end.
 */
static struct thread *holder(const struct processor *p)
{
    spin_lock(&sched.idle_lock);
    struct thread *m = p->thread;
    if (m != NULL && m->place != PLACE_RUNNING)
        m = NULL;
    spin_unlock(&sched.idle_lock);
    return m;
}

void hog_ask(struct processor *p)
{
    struct thread *m = holder(p);
    uint32_t nothing = ASKED_NOTHING;

    if (m != NULL && atomic_load(&m->task) != NULL)
        atomic_compare_exchange_strong(&m->asked, &nothing, ASKED_YIELD);
}

/* After the membarrier. The loads acquire what the thread did with p when it was inside last.
 * Another run than the one that was too long is left alone. */
static bool is_outside(struct thread *m, const struct processor *p)
{
    return atomic_load(&m->task) != NULL && !atomic_load(&m->inside) &&
           get_relaxed(&m->processor) == p && get_relaxed(&p->counters.runs) == p->seen_runs;
}

static bool ask_for_processor(struct thread *m)
{
    uint32_t asked = atomic_load(&m->asked);

    return asked < ASKED_PROCESSOR &&
           atomic_compare_exchange_strong(&m->asked, &asked, ASKED_PROCESSOR) &&
           membarrier_done(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

static bool take(struct thread *m, struct processor *p)
{
    uint32_t asked = ASKED_PROCESSOR;
    struct thread *next = is_outside(m, p) ? thread_get_spare() : NULL;

    if (next == NULL)
        return false;
    atomic_fetch_add(&sched.taken, 1);
    atomic_fetch_add(&sched.blocked, 1);
    if (!atomic_compare_exchange_strong(&m->asked, &asked, ASKED_AND_TAKEN)) {
        atomic_fetch_sub(&sched.blocked, 1);
        atomic_fetch_sub(&sched.taken, 1);
        thread_put_spare(next);
        return false;
    }
    count_add(&p->counters.takes, 1);
    probe_handoff(p, next);
    processor_give(p, next);
    return true;
}

bool hog_take(struct processor *p)
{
    struct thread *m = can_take && atomic_load(&sched.taken) < taken_max ? holder(p) : NULL;
    uint32_t asked = ASKED_PROCESSOR;

    if (m == NULL)
        return false;
    if (ask_for_processor(m) && take(m, p))
        return true;
    atomic_compare_exchange_strong(&m->asked, &asked, ASKED_YIELD);
    return false;
}

uint64_t hog_patience_ns(void)
{
    if (fault_at("scheduler.patience") < 0)
        return 0;
    return PATIENCE_NS *
           (1 + atomic_load(&sched.taken) / (TAKEN_AT_EACH_PACE * (uint64_t)sched.count));
}
