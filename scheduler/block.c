/* block.c: the hand-off. A task that is about to block keeps its stack and its thread and
 * leaves a mark on the processor. If it is back soon it takes the mark away, and nothing has
 * happened. If not, the monitor (or, for a call known to be long, the task itself) takes the
 * processor with its queue, and gives it to a spare thread; the task then has to find a
 * processor when it is back, or goes to the global queue while its thread joins the spares.
 *
 * B1  the mark names the thread, so the owner's and the monitor's exchange of it cannot mix up
 *     two calls on one processor: exactly one of them gets the processor.
 *     The mark is set and taken back inside (hog.h), so who was asked for the processor at the
 *     same moment has answered before.
 * B2  threads inside a lane's calls <= its limit; who waits for a place is parked, not blocked,
 *     and no thread is made for it. First come, first served. */
#include "scheduler/block.h"

#include "base/err.h"
#include "scheduler/blocking.h"
#include "scheduler/core.h"
#include "scheduler/hog.h"
#include "scheduler/monitor.h"
#include "scheduler/probe.h"
#include "scheduler/processor.h"
#include "scheduler/task.h"
#include "scheduler/threads.h"
#include "scheduler/wait.h"

#define BLOCKING_MAX_DEFAULT 64

struct lane {
    _Alignas(CACHE_LINE_BYTES) _Atomic int64_t free; /* places; negative: that many want one */
    _Atomic uint32_t lock;                           /* guards all below */
    struct list waiters;
    int64_t grants; /* places given to who wants one but does not wait in the list yet */
    int64_t limit;
    bool chosen; /* by block_limit */
};

static struct lane lanes[BLOCK_LANES] = {
    [BLOCK_FILE] = {.waiters = LIST_INIT(lanes[BLOCK_FILE].waiters)},
    [BLOCK_EXEC] = {.waiters = LIST_INIT(lanes[BLOCK_EXEC].waiters)},
    [BLOCK_DNS] = {.waiters = LIST_INIT(lanes[BLOCK_DNS].waiters)},
    [BLOCK_STORE] = {.waiters = LIST_INIT(lanes[BLOCK_STORE].waiters)},
};

static void lane_enter(struct lane *l)
{
    struct wait w;

    if (atomic_fetch_sub(&l->free, 1) > 0)
        return;
    wait_begin(&w);
    spin_lock(&l->lock);
    if (l->grants > 0) {
        l->grants--;
        spin_unlock(&l->lock);
        return;
    }
    list_push_back(&l->waiters, &w.link);
    wait_park_shielded(&w, &l->lock, "place in a blocking lane", l);
}

static void lane_grant(struct lane *l)
{
    spin_lock(&l->lock);
    struct list *link = list_pop_front(&l->waiters);
    if (link == NULL)
        l->grants++;
    spin_unlock(&l->lock);
    if (link == NULL)
        return;

    struct wait *w = container_of(link, struct wait, link);
    assert_always(wait_claim(w)); /* shielded: nobody else ends it */
    wait_ready(w, 0);
}

static void lane_leave(struct lane *l)
{
    if (atomic_fetch_add(&l->free, 1) < 0)
        lane_grant(l);
}

static void lane_set(struct lane *l, int64_t limit, bool chosen)
{
    spin_lock(&l->lock);
    int64_t more = limit - l->limit;
    l->limit = limit;
    l->chosen = chosen;
    spin_unlock(&l->lock);

    int64_t before = atomic_fetch_add(&l->free, more);
    for (; more > 0 && before < 0; more--, before++)
        lane_grant(l);
}

void block_limit(enum block_lane lane, unsigned threads)
{
    assert_always(lane < BLOCK_LANES && threads > 0);
    lane_set(&lanes[lane], threads, true);
}

void blocking_start(unsigned max)
{
    unsigned total = max > 0 ? max : BLOCKING_MAX_DEFAULT;
    unsigned small = total >= 8 ? total / 8 : 1;

    for (unsigned i = 0; i < BLOCK_LANES; i++)
        if (!lanes[i].chosen)
            lane_set(&lanes[i], i == BLOCK_FILE && total > 3 ? total - 2 * small : small,
                     false);
}

/* The task is where it must not be interrupted: it has a thread but no processor. */
static void lend(struct thread *m, struct task *t, struct processor *p, enum block_lane lane)
{
    t->lent = p;
    t->lane = (uint8_t)lane;
    set_relaxed(&t->state, TASK_BLOCKED);
    probe_block(t, lane);
    count_add(&p->counters.blocking_calls, 1);
    sanitizer_lend(&m->sanitizer);
    set_relaxed(&m->processor, NULL);
}

void block_enter(enum block_lane lane)
{
    struct task *t = task_self();

    lane_enter(&lanes[lane]);
    struct thread *m = inside_begin_surely();
    struct processor *p = get_relaxed(&m->processor);
    lend(m, t, p, lane);
    atomic_store_explicit(&p->blocked_by, (uintptr_t)m, memory_order_release);
    inside_end(m);
    monitor_notice();
}

/* Nobody would miss this processor: a wake-up saved. The monitor looks again. */
static bool is_idle_otherwise(struct processor *p)
{
    return runq_len(&p->runq) == 0 && atomic_load(&sched.global.len) == 0 &&
           atomic_load(&sched.poller) != NULL &&
           atomic_load(&p->timers.next_at_ns) == TIMERS_NONE;
}

static bool nothing_waits(struct processor *p)
{
    return runq_len(&p->runq) == 0 && atomic_load(&sched.global.len) == 0;
}

static bool never(struct processor *p)
{
    (void)p;
    return false;
}

/* Hands the processor over, unless keeps says otherwise. */
static void enter_unless(enum block_lane lane, bool (*keeps)(struct processor *p))
{
    struct task *t = task_self();

    lane_enter(&lanes[lane]);
    struct thread *m = inside_begin_surely();
    struct processor *p = get_relaxed(&m->processor);
    struct thread *next = keeps(p) ? NULL : thread_get_spare();

    lend(m, t, p, lane);
    if (next == NULL) {
        atomic_store_explicit(&p->blocked_by, (uintptr_t)m, memory_order_release);
        monitor_notice();
    } else {
        atomic_fetch_add(&sched.blocked, 1);
        count_add(&p->counters.handoffs, 1);
        probe_handoff(p, next);
        processor_give(p, next);
    }
    inside_end(m);
}

void block_enter_long(enum block_lane lane)
{
    enter_unless(lane, is_idle_otherwise);
}

void block_enter_alone(enum block_lane lane)
{
    enter_unless(lane, nothing_waits);
}

void block_enter_apart(enum block_lane lane)
{
    enter_unless(lane, never);
}

bool blocking_retake(struct processor *p, uintptr_t mark)
{
    struct thread *next = thread_get_spare();

    if (next == NULL)
        return false;
    atomic_fetch_add(&sched.blocked, 1);
    if (!atomic_compare_exchange_strong(&p->blocked_by, &mark, 0)) {
        atomic_fetch_sub(&sched.blocked, 1);
        thread_put_spare(next);
        return false;
    }
    count_add(&p->counters.handoffs, 1);
    probe_handoff(p, next);
    processor_give(p, next);
    return true;
}

/* On the scheduler's stack of a thread without a processor. */
static bool commit_back(struct thread *m, struct task *t, void *arg)
{
    (void)m, (void)arg;
    processor_ready(t);
    return false;
}

void blocking_come_back(struct thread *m, struct task *t, struct processor *rather)
{
    inside_begin(m);
    atomic_store(&m->asked, ASKED_NOTHING); /* before: it has nothing to lose yet */
    struct processor *p = processor_take_idle(m, rather);
    if (p != NULL) {
        count_add(&p->counters.runs, 1); /* a new slice */
        hog_is_back(m);
        monitor_notice();
    }
    inside_end(m);
    if (p != NULL)
        return;
    probe_stop(t, "a processor");
    task_leave(t, commit_back, NULL);
}

static void come_back(struct thread *m, struct task *t)
{
    m->away = true;
    blocking_come_back(m, t, t->lent);
}

/* true: with its processor as before. */
static bool take_mark(struct thread *m, struct task *t)
{
    uintptr_t mark = (uintptr_t)m;
    bool kept = atomic_compare_exchange_strong(&t->lent->blocked_by, &mark, 0);

    if (kept)
        set_relaxed(&m->processor, t->lent);
    return kept;
}

static void left(struct task *t)
{
    t->lent = NULL;
    set_relaxed(&t->state, TASK_RUNNING);
    lane_leave(&lanes[t->lane]);
}

void block_leave(void)
{
    struct thread *m = thread_self();
    struct task *t = get_relaxed(&m->task);

    probe_unblock(t);
    if (!take_mark(m, t))
        come_back(m, t);
    left(t);
}

bool block_leave_if_kept(void)
{
    struct thread *m = thread_self();
    struct task *t = get_relaxed(&m->task);

    if (!take_mark(m, t))
        return false;
    probe_unblock(t);
    left(t);
    return true;
}
