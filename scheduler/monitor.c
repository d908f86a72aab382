#include "scheduler/monitor.h"

#include "base/clock.h"
#include "base/fault.h"
#include "scheduler/blocking.h"
#include "scheduler/futex.h"
#include "scheduler/hog.h"
#include "scheduler/poller.h"
#include "scheduler/processor.h"
#include "scheduler/threads.h"
#include "scheduler/wait.h"

#define TICK_BUSY_NS NS_PER_MS
#define TICK_IDLE_NS (10 * NS_PER_MS)
#define TICK_TRIM_NS NS_PER_S
#define IDLE_TICKS_MAX 3 /* then the slow pace, until nothing is left to give back */
#define TRIM_TICKS_MAX 15
#define SLICE_NS (10 * NS_PER_MS)
#define POLL_NS (10 * NS_PER_MS)
#define TRIM_NS (5 * NS_PER_S)
/* Of the spares, half each time: 64 are gone in 14 s. */
#define TRIM_THREADS_NS (2 * NS_PER_S)

#define MONITOR_TICKS 0U
#define MONITOR_STOPS 2U

_Atomic uint32_t monitor_word;

static struct {
    pthread_t thread;
    uint64_t seen_polls, polled_at_ns, trimmed_at_ns, threads_trimmed_at_ns;
    unsigned idle_ticks, trim_ticks;
    bool spares_left;
} self;

void monitor_wake(void)
{
    uint32_t sleeps = MONITOR_SLEEPS;

    if (atomic_compare_exchange_strong(&monitor_word, &sleeps, MONITOR_TICKS))
        futex_wake(&monitor_word, 1);
}

static bool all_idle(void)
{
    return atomic_load(&sched.idle_count) == sched.count;
}

/* A short call costs the monitor nothing: only one that is seen twice is taken from. */
static void look_at_blocked(struct processor *p, uintptr_t mark, uint64_t now)
{
    uint64_t calls = get_relaxed(&p->counters.blocking_calls);

    p->seen_since_ns = now; /* back from it, the task has its slice */
    if (calls != p->seen_blocked) {
        p->seen_blocked = calls;
        return;
    }
    bool missed = runq_len(&p->runq) > 0 || atomic_load(&sched.global.len) > 0 ||
                  atomic_load(&sched.poller) == NULL ||
                  atomic_load(&p->timers.next_at_ns) < atomic_load(&sched.poll_until_ns);
    if (missed && blocking_retake(p, mark))
        count_add(&p->counters.retakes, 1);
}

static bool is_behind(struct processor *p, uint64_t now)
{
    return runq_len(&p->runq) > 0 || atomic_load(&p->timers.next_at_ns) <= now;
}

/* Stage 1 asks a hog to yield. Stage 2 brings an idle processor, which steals its queue, the
 * slot `next`, and its timers. true: the run is old, and work waits here or for everybody. */
static bool look_at_running(struct processor *p, uint64_t now)
{
    uint64_t runs = get_relaxed(&p->counters.runs);
    bool behind = is_behind(p, now);

    if (runs != p->seen_runs) {
        p->seen_runs = runs;
        p->seen_since_ns = now;
        set_relaxed(&p->stalled_since_ns, 0);
        return false;
    }
    if (now - p->seen_since_ns >= SLICE_NS)
        hog_ask(p);
    if (!behind)
        set_relaxed(&p->stalled_since_ns, 0);
    else if (get_relaxed(&p->stalled_since_ns) == 0)
        set_relaxed(&p->stalled_since_ns, p->seen_since_ns);
    if (behind && atomic_load(&sched.idle_count) > 0)
        processor_wake();
    return (behind || atomic_load(&sched.global.len) > 0) &&
           now - p->seen_since_ns >= hog_patience_ns();
}

/* Stage 3: nobody is idle. One at a time, the one that runs longest: what waits may need no
 * more. */
static void take(struct processor *p, uint64_t now)
{
    if (atomic_load(&sched.idle_count) > 0 || !hog_take(p))
        return;
    p->seen_since_ns = now;
    set_relaxed(&p->stalled_since_ns, 0);
}

static void look_at_processors(uint64_t now)
{
    struct processor *oldest = NULL;

    for (unsigned i = 0; i < sched.count; i++) {
        struct processor *p = &sched.processors[i];
        uintptr_t mark = atomic_load(&p->blocked_by);
        if (mark != 0)
            look_at_blocked(p, mark, now);
        else if (look_at_running(p, now) &&
                 (oldest == NULL || p->seen_since_ns < oldest->seen_since_ns))
            oldest = p;
    }
    if (atomic_load(&sched.global.len) > 0 && atomic_load(&sched.idle_count) > 0)
        processor_wake();
    if (oldest != NULL)
        take(oldest, now);
}

/* The last poller has left with work in its hands. An idle thread takes the role; if all are
 * busy, the monitor looks itself. */
static void look_at_poller(uint64_t now)
{
    uint64_t polls = get_relaxed(&sched.polls);
    struct task_list ready = {0};

    if (atomic_load(&sched.poller) != NULL || polls != self.seen_polls) {
        self.seen_polls = polls;
        self.polled_at_ns = now;
        return;
    }
    if (atomic_load(&sched.idle_count) > 0)
        processor_wake();
    else if (now - self.polled_at_ns >= POLL_NS && poller_try(&ready))
        processor_ready_list(&ready);
}

static uint64_t trim_threads_ns(void)
{
    return fault_at("scheduler.trim") < 0 ? 0 : TRIM_THREADS_NS;
}

/* true: there may be more to give back. */
static bool trim(uint64_t now)
{
    bool new_period = now - self.trimmed_at_ns >= TRIM_NS;

    if (new_period)
        self.trimmed_at_ns = now;
    if (now - self.threads_trimmed_at_ns >= trim_threads_ns()) {
        self.threads_trimmed_at_ns = now;
        self.spares_left = threads_trim();
    }
    return stack_trim(new_period) || self.spares_left || ++self.trim_ticks < TRIM_TICKS_MAX;
}

static void sleep_until_noticed(uint64_t ns)
{
    uint32_t ticks = MONITOR_TICKS;

    /* Against monitor_notice: it leaves the idle set first and reads the word after. */
    if (!atomic_compare_exchange_strong(&monitor_word, &ticks, MONITOR_SLEEPS))
        return;
    if (all_idle())
        futex_wait(&monitor_word, MONITOR_SLEEPS, ns);
    uint32_t sleeps = MONITOR_SLEEPS;
    atomic_compare_exchange_strong(&monitor_word, &sleeps, MONITOR_TICKS);
}

/* All sleep: is one of them in the poller, and no work to be seen? A wake-up too many costs
 * some microseconds, one too few the service, so this is looked at before the monitor sleeps as
 * well. */
static bool wake_a_sleeper(void)
{
    if (atomic_load(&sched.poller) != NULL && !processor_work_visible())
        return false;
    processor_wake();
    return true;
}

static void tick(void)
{
    uint64_t now = clock_mono_ns();
    bool more;

    set_relaxed(&sched.coarse_ns, now);
    bool doubt = partial_look(now);
    if (!all_idle()) {
        self.idle_ticks = self.trim_ticks = 0;
        look_at_processors(now);
        look_at_poller(now);
        trim(now);
        futex_wait(&monitor_word, MONITOR_TICKS, TICK_BUSY_NS);
    } else if (wake_a_sleeper() || doubt || ++self.idle_ticks < IDLE_TICKS_MAX) {
        futex_wait(&monitor_word, MONITOR_TICKS, TICK_IDLE_NS);
    } else {
        more = trim(now);
        sleep_until_noticed(more ? TICK_TRIM_NS : 0);
    }
}

static void *monitor_main(void *arg)
{
    (void)arg;
    while (atomic_load(&monitor_word) != MONITOR_STOPS)
        tick();
    return NULL;
}

int monitor_start(void)
{
    self.idle_ticks = self.trim_ticks = 0;
    self.spares_left = false;
    self.polled_at_ns = self.trimmed_at_ns = self.threads_trimmed_at_ns = clock_mono_ns();
    atomic_store(&monitor_word, MONITOR_TICKS);
    return -pthread_create(&self.thread, NULL, monitor_main, NULL);
}

void monitor_stop(void)
{
    atomic_store(&monitor_word, MONITOR_STOPS);
    futex_wake(&monitor_word, 1);
    pthread_join(self.thread, NULL);
    partial_end();
}
