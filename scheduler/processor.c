/* processor.c: the find-work loop and the idle protocol.
 *
 * The question is always the same: work was published; is there somebody who will find it?
 *
 *     submit:  publish the task; fence; if nobody spins and somebody is idle: wake one
 *     worker:  become a spinner (counted, at most half of the busy ones); look everywhere
 *              found    stop spinning; if there is still work anywhere, wake ONE successor; run
 *              nothing  1 publish itself as idle
 *                       2 stop spinning
 *                       3 look everywhere once more, counted or not
 *                         found: take itself out of the idle set and search again
 *                                (if a waker took it out before: take the waker's token)
 *                         else:  sleep: in the poller if nobody is there, else on its futex
 *
 * The woken one starts as a spinner: the waker has counted it. Why it holds: a submitter that
 * saw a spinner S and kept quiet published before it looked, so its work was visible before S
 * took itself out of the count; S looks once more after that (step 3, or the look before it
 * wakes a successor). A submitter that saw no spinner wakes one, or there was no idle one; who
 * was not idle yet has step 3 still before it.
 *
 * I1  work is visible  =>  a spinner exists, or a worker has a look still before it, or all
 *     processors run. (Model: tests/model; leaving out the fence, step 3, the order of 1 and
 *     2, or the successor each ends in a deadlock there.)
 * I2  one submit wakes at most one thread.
 * I3  a processor in the idle set belongs to a thread that sleeps or is about to; who takes it
 *     out of the set (under idle_lock) decides what becomes of it. A waker leaves the token in
 *     the same hold of the lock: given later, it would ring at the poll of a thread that has
 *     left it and waits at its futex.
 * I4  the slot `next` is outside I1 when a running task, or the end of one, fills it by waking
 *     another: this processor reaches it soon. The monitor makes sure when it does not.
 * I5  a processor that is not idle and in no blocking call runs a task that is younger than a
 *     bound, or its thread is on the scheduler's stack, or nothing waits: the monitor takes it
 *     otherwise (hog.c; H5 names the bound). */
#include "scheduler/processor.h"

#include "base/clock.h"
#include "base/err.h"
#include "scheduler/futex.h"
#include "scheduler/monitor.h"
#include "scheduler/pick.h"
#include "scheduler/poller.h"
#include "scheduler/probe.h"
#include "scheduler/threads.h"
#include "scheduler/wait.h"

#include <errno.h>
#include <stdlib.h>

#define STEAL_PASSES 4
#define NEXT_AGE_NS (3 * NS_PER_US)
#define SPIN_NS (20 * NS_PER_US)

int processors_start(unsigned count)
{
    sched.processors = aligned_alloc(CACHE_LINE_BYTES, count * sizeof(struct processor));
    if (sched.processors == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        struct processor *p = &sched.processors[i];
        *p = (struct processor){.index = i};
        runq_init(&p->runq, count == 1);
        timers_init(&p->timers);
    }
    sched.count = count;
    return 0;
}

void processors_stop(void)
{
    for (unsigned i = 0; i < sched.count; i++)
        timers_deinit(&sched.processors[i].timers);
    free(sched.processors);
    sched.processors = NULL;
}

static bool timers_are_due(uint64_t now_ns)
{
    for (unsigned i = 0; i < sched.count; i++)
        if (atomic_load(&sched.processors[i].timers.next_at_ns) <= now_ns)
            return true;
    return false;
}

static bool tasks_visible(void)
{
    if (atomic_load(&sched.global.len) > 0)
        return true;
    for (unsigned i = 0; i < sched.count; i++)
        if (!runq_ring_is_empty(&sched.processors[i].runq))
            return true;
    return false;
}

/* The task in the slot `next` of p when it stays there for a while: the owner is busy with
 * something else then, and is not about to take it. */
static struct task *stuck_next(const struct processor *p)
{
    struct task *before = atomic_load(&p->runq.next);
    uint64_t runs = get_relaxed(&p->counters.runs);

    if (before == NULL)
        return NULL;
    for (uint64_t end = clock_mono_ns() + NEXT_AGE_NS; clock_mono_ns() < end;)
        cpu_relax();
    bool same = atomic_load(&p->runq.next) == before && get_relaxed(&p->counters.runs) == runs;
    return same ? before : NULL;
}

static bool nexts_are_stuck(void)
{
    for (unsigned i = 0; i < sched.count; i++)
        if (stuck_next(&sched.processors[i]) != NULL)
            return true;
    return false;
}

static bool nexts_visible(void)
{
    for (unsigned i = 0; i < sched.count; i++)
        if (atomic_load(&sched.processors[i].runq.next) != NULL)
            return true;
    return false;
}

bool processor_work_visible(void)
{
    return tasks_visible() || timers_are_due(clock_mono_ns()) || nexts_are_stuck();
}

/* Under idle_lock: rather one that sleeps on its futex, which is quicker to wake. */
static struct processor *idle_pick(struct processor *rather)
{
    struct processor *polling = NULL;

    if (rather != NULL && (sched.idle_set[rather->index / 64] >> (rather->index % 64) & 1) != 0)
        return rather;
    for (unsigned w = 0; w <= (sched.count - 1) / 64; w++)
        for (uint64_t set = sched.idle_set[w]; set != 0; set &= set - 1) {
            struct processor *p = &sched.processors[w * 64 + (unsigned)__builtin_ctzll(set)];
            if (p->thread->place != PLACE_POLLING)
                return p;
            polling = p;
        }
    return polling;
}

/* Under idle_lock. */
static void idle_add(struct processor *p)
{
    sched.idle_set[p->index / 64] |= UINT64_C(1) << (p->index % 64);
    atomic_fetch_add(&sched.idle_count, 1);
}

/* Under idle_lock. */
static void idle_remove(struct processor *p)
{
    sched.idle_set[p->index / 64] &= ~(UINT64_C(1) << (p->index % 64));
    atomic_fetch_sub(&sched.idle_count, 1);
}

void processor_wake(void)
{
    uint32_t none = 0;

    if (!atomic_compare_exchange_strong(&sched.spinning, &none, 1))
        return;
    spin_lock(&sched.idle_lock);
    struct processor *p = idle_pick(NULL);
    if (p == NULL) {
        spin_unlock(&sched.idle_lock);
        atomic_fetch_sub(&sched.spinning, 1);
        return;
    }
    idle_remove(p);
    struct thread *m = p->thread;
    enum thread_place place = m->place;
    m->place = PLACE_RUNNING;
    atomic_store(&m->token, TOKEN_SPINNING);
    spin_unlock(&sched.idle_lock);
    count_add(&sched.wakes, 1);
    thread_notify(m, place == PLACE_POLLING);
}

void processor_submit(void)
{
    const struct thread *m;

    if (sched.count == 1 && (m = thread_self()) != NULL && get_relaxed(&m->processor) != NULL)
        return;
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&sched.idle_count) > 0 && atomic_load(&sched.spinning) == 0)
        processor_wake();
}

static struct task *steal_from(struct processor *p, struct processor *victim, bool last)
{
    struct task *t = runq_steal(&p->runq, &victim->runq);

    if (t == NULL && last) {
        if (stuck_next(victim) != NULL)
            t = runq_pop_next(&victim->runq);
        if (t == NULL && pick_due_timers(p, victim, clock_mono_ns()) &&
            (t = runq_pop_next(&p->runq)) == NULL)
            t = runq_pop(&p->runq);
    }
    return t;
}

static struct task *steal(struct thread *m, struct processor *p)
{
    for (unsigned pass = 0; pass < STEAL_PASSES; pass++) {
        unsigned start = (unsigned)rand_below(&m->rand, sched.count);
        for (unsigned i = 0; i < sched.count; i++) {
            struct processor *victim = &sched.processors[(start + i) % sched.count];
            if (victim == p)
                continue;
            count_add(&p->counters.steal_attempts, 1);
            struct task *t = steal_from(p, victim, pass == STEAL_PASSES - 1);
            if (t == NULL)
                continue;
            count_add(&p->counters.steals, 1);
            probe_steal(p, victim);
            return t;
        }
    }
    return NULL;
}

static void become_spinner_surely(struct thread *m)
{
    if (m->spinning)
        return;
    atomic_fetch_add(&sched.spinning, 1);
    m->spinning = true;
}

static void become_spinner(struct thread *m)
{
    uint32_t busy = sched.count - atomic_load(&sched.idle_count);

    if (2 * atomic_load(&sched.spinning) < busy)
        become_spinner_surely(m);
}

static struct task *find_elsewhere(struct thread *m, struct processor *p)
{
    struct task *t = NULL;

    if (sched.count == 1)
        return NULL;
    become_spinner(m);
    t = steal(m, p);
    if (t != NULL || !m->spinning || atomic_load(&sched.poller) == NULL)
        return t;
    /* Cheaper than a sleep and a wake-up across cores, when work comes within its price. */
    for (uint64_t end = clock_mono_ns() + SPIN_NS; clock_mono_ns() < end;) {
        for (unsigned i = 0; i < 16; i++)
            cpu_relax();
        if (atomic_load(&sched.stopping))
            return NULL;
        if (!tasks_visible() && !nexts_visible())
            continue;
        if ((t = processor_take_global(p, RUNQ_BATCH)) != NULL || (t = steal(m, p)) != NULL)
            return t;
    }
    return NULL;
}

/* A spinner that found work: is there more, and nobody else to look for it? */
static struct task *found(struct thread *m, struct task *t)
{
    if (!m->spinning)
        return t;
    m->spinning = false;
    atomic_fetch_sub(&sched.spinning, 1);
    if (atomic_load(&sched.idle_count) > 0 && (tasks_visible() || nexts_visible()))
        processor_wake();
    return t;
}

/* Takes this thread's processor out of the idle set and answers true, unless somebody did
 * before: a waker, whose token is taken here, or a thread that needed a processor. */
static bool leave_idle(struct thread *m, struct processor *p)
{
    spin_lock(&sched.idle_lock);
    bool woken = m->place == PLACE_RUNNING;
    bool mine = !woken && get_relaxed(&m->processor) == p;
    if (mine)
        idle_remove(p);
    if (mine || m->place == PLACE_POLLING)
        m->place = PLACE_RUNNING;
    spin_unlock(&sched.idle_lock);
    if (woken)
        thread_wait_token(m);
    return mine;
}

static void enter_idle(struct thread *m, struct processor *p)
{
    spin_lock(&sched.idle_lock);
    m->place = PLACE_IDLE;
    idle_add(p);
    spin_unlock(&sched.idle_lock);
    if (m->spinning) {
        m->spinning = false;
        atomic_fetch_sub(&sched.spinning, 1);
    }
}

/* The role is taken: is the processor still ours to sleep with? */
static bool enter_polling(struct thread *m, struct processor *p)
{
    bool mine;

    spin_lock(&sched.idle_lock);
    mine = get_relaxed(&m->processor) == p && m->place == PLACE_IDLE;
    if (mine)
        m->place = PLACE_POLLING;
    spin_unlock(&sched.idle_lock);
    return mine;
}

static uint64_t next_timer_at(void)
{
    uint64_t at = TIMERS_NONE;

    for (unsigned i = 0; i < sched.count; i++) {
        uint64_t next = atomic_load(&sched.processors[i].timers.next_at_ns);
        if (next < at)
            at = next;
    }
    return at;
}

static void woke_up(void)
{
    set_relaxed(&sched.coarse_ns, clock_mono_ns());
    monitor_notice();
}

/* Until when the poller sleeps. Who has an earlier timer and could not read that yet is seen
 * here; who could kicks. So what is published last must be what is slept for: with a later one
 * somebody between the two would keep quiet. */
static uint64_t publish_poll_until(void)
{
    uint64_t until = next_timer_at(), next;

    atomic_store(&sched.poll_until_ns, until);
    while ((next = next_timer_at()) < until)
        atomic_store(&sched.poll_until_ns, until = next);
    return until;
}

/* With the role: sleeps in epoll. What became ready goes to this processor's queue, or to
 * everybody's when the processor was taken away meanwhile. */
static void poll_idle(struct thread *m, struct processor *p)
{
    struct task_list ready = {0};

    poller_wait(publish_poll_until(), &ready);
    atomic_store(&sched.poller, NULL);
    leave_idle(m, p);
    woke_up();
    /* Our processor was taken away while we slept: whoever has it may sleep by now, and saw the
     * role held. A timer that is due, or a kick, leaves nothing ready that would wake somebody.
     */
    if (get_relaxed(&m->processor) == NULL && ready.len == 0)
        processor_wake();
    if (get_relaxed(&m->processor) != NULL)
        count_add(&get_relaxed(&m->processor)->counters.polls, 1);
    processor_ready_list(&ready);
}

static void sleep_idle(struct thread *m, struct processor *p)
{
    /* The poller sleeps until the earliest timer it knew of. */
    if (atomic_load(&p->timers.next_at_ns) < atomic_load(&sched.poll_until_ns))
        poller_kick();
    thread_wait_token(m);
    woke_up();
}

/* Returns when there may be work, or the processor is gone, or all stops. */
static void go_idle(struct thread *m, struct processor *p)
{
    struct thread *nobody = NULL;

    set_relaxed(&sched.coarse_ns, clock_mono_ns());
    enter_idle(m, p);
    if (processor_work_visible() || atomic_load(&sched.stopping)) {
        /* Counted again: who published relies on us, and there may be more than we take. */
        if (leave_idle(m, p))
            become_spinner_surely(m);
        else if (get_relaxed(&m->processor) == NULL)
            processor_wake(); /* and we cannot take any of it */
        return;
    }
    if (deadlock_found()) {
        if (leave_idle(m, p))
            deadlock_tell();
        return;
    }
    if (atomic_compare_exchange_strong(&sched.poller, &nobody, m)) {
        if (enter_polling(m, p)) {
            poll_idle(m, p);
            return;
        }
        atomic_store(&sched.poller, NULL);
        /* Our processor is elsewhere, and whoever has it may sleep already, as the role was
         * held. */
        if (get_relaxed(&m->processor) == NULL)
            processor_wake();
    }
    sleep_idle(m, p);
}

struct task *processor_find(struct thread *m)
{
    struct processor *p;

    while ((p = get_relaxed(&m->processor)) != NULL && !atomic_load(&sched.stopping)) {
        struct task *t = pick_here(m, p);
        if (t == NULL && (t = find_elsewhere(m, p)) != NULL && !runq_ring_is_empty(&p->runq))
            processor_submit(); /* what came along was out of sight for a moment */
        if (t != NULL)
            return found(m, t);
        go_idle(m, p);
    }
    if (m->spinning) {
        m->spinning = false;
        atomic_fetch_sub(&sched.spinning, 1);
    }
    return NULL;
}

void processor_start_idle(struct processor *p, struct thread *m)
{
    spin_lock(&sched.idle_lock);
    p->thread = m;
    m->place = PLACE_IDLE;
    set_relaxed(&m->processor, p);
    idle_add(p);
    spin_unlock(&sched.idle_lock);
}

struct processor *processor_take_idle(struct thread *m, struct processor *rather)
{
    if (atomic_load(&sched.idle_count) == 0)
        return NULL;
    spin_lock(&sched.idle_lock);
    struct processor *p = idle_pick(rather);
    if (p != NULL) {
        struct thread *sleeper = p->thread;
        idle_remove(p);
        set_relaxed(&sleeper->processor, NULL);
        if (sleeper->place == PLACE_IDLE)
            thread_make_spare(sleeper);
        p->thread = m;
        set_relaxed(&m->processor, p);
    }
    spin_unlock(&sched.idle_lock);
    return p;
}

void processor_give(struct processor *p, struct thread *m)
{
    spin_lock(&sched.idle_lock);
    p->thread = m;
    m->place = PLACE_RUNNING;
    set_relaxed(&m->processor, p);
    atomic_store(&m->token, TOKEN_PLAIN);
    spin_unlock(&sched.idle_lock);
    thread_notify(m, false);
}
