/* partial.c: a part of the tasks is dead while others live on. The essay is in deadlock.c.
 *
 * The monitor looks twice a second while something runs, and until nothing is in doubt. What
 * suspects.c cannot decide from owners alone is decided by reading memory (memory.c). That
 * counts only if all processors were idle from the picture of the tasks to its end, so that no
 * pointer moved. When the program is never idle for long enough, idle_lock is held meanwhile,
 * for a bounded time: nobody leaves the idle set then. A task in a blocking call has registers
 * that cannot be read: then only owners count.
 *
 * P1  a part is told only if every task in it slept, on what it was found to wait for, from
 *     before the first look to after the last.
 * P2  it is failed through a wait that was seized: its task stays parked, and so a member of
 *     its group, which therefore cannot end.
 * P3  looking takes at most a fiftieth of the time, unless it is cut short, and none when
 *     nothing ran since; there is a pause once a second at most, of PAUSE_MAX_NS. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "scheduler/futex.h"
#include "scheduler/monitor.h"
#include "scheduler/suspects.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define AGE_DEFAULT_MS 500
#define PERIOD_SHARE 50
#define CLEARED_FOR_NS (500 * NS_PER_MS)
#define LARGE_FOR_NS (10 * NS_PER_S)
#define PAUSE_EVERY_NS NS_PER_S
#define PAUSE_TASKS_MAX 16384 /* more take too long to look at */
#define DISTURBED_MAX 3
#define CUT_SHORT_MAX 5
#define PAUSE_MAX_NS (25 * NS_PER_MS)
#define QUIET_TRIES 50
#define QUIET_TRY_NS (100 * NS_PER_US)
#define TOLD_MAX 64

/* What a look gives back are whole pages. */
_Static_assert(offsetof(struct suspects, count) % 4096 == 0, "the arrays end with a page");

static struct {
    struct suspects *s;
    uint64_t next_at_ns, pause_until_ns;
    uint64_t cleared, cleared_until_ns, cleared_runs; /* whom a reading found to be alive */
    uint64_t paused_at_ns;
    uint64_t told; /* the last that were told */
    uint64_t runs;
    uintptr_t low;      /* of the monitor's stack */
    unsigned disturbed; /* readings in a row, */
    unsigned cut_short; /* of which in a pause */
    bool paused, wants;
} self;

/* ---- is it quiet? ---- */

static uint64_t runs_now(void)
{
    uint64_t runs = 0;

    for (unsigned i = 0; i < sched.count; i++)
        runs += get_relaxed(&sched.processors[i].counters.runs);
    return runs;
}

static bool all_idle(void)
{
    return atomic_load(&sched.idle_count) == sched.count && atomic_load(&sched.blocked) == 0 &&
           atomic_load(&sched.foreign) == 0 && atomic_load(&sched.outside) == 0;
}

static bool still_quiet(void *ctx)
{
    (void)ctx;
    if (self.paused && clock_mono_ns() > self.pause_until_ns)
        return false;
    return all_idle() && runs_now() == self.runs;
}

/* ---- what is found ---- */

/* Whose channels, or things in frames, decide. */
static bool needs_memory(const struct suspect *x)
{
    return x->dead && x->kind >= ON_CHAN;
}

/* Names a set of sleeping tasks; 0 = none. */
static uint64_t signature(const struct suspects *s, bool (*counts)(const struct suspect *x))
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < s->count; i++)
        if (counts(&s->tasks[i]))
            sum = (sum ^ s->tasks[i].id ^ s->tasks[i].epoch << 32) *
                      UINT64_C(0x9e3779b97f4a7c15) +
                  1;
    return sum;
}

static bool is_dead(const struct suspect *x)
{
    return x->dead;
}

static void settle(struct suspects *s)
{
    do {
        while (suspects_pass(s))
            continue;
    } while (suspects_excuse(s));
}

static void let_go(struct suspects *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (needs_memory(&s->tasks[i]))
            s->tasks[i].reached = true;
    settle(s);
}

/* Nobody ran since the same tasks were found alive, or it was a moment ago: then once more. */
static bool is_cleared(uint64_t doubted, uint64_t now_ns)
{
    if (doubted != self.cleared)
        return false;
    if (runs_now() == self.cleared_runs)
        return true;
    bool fresh = now_ns < self.cleared_until_ns;
    self.wants |= fresh;
    return fresh;
}

static void clear(uint64_t doubted, uint64_t until_ns)
{
    self.disturbed = self.cut_short = 0;
    self.cleared = doubted;
    self.cleared_until_ns = until_ns;
    self.cleared_runs = self.runs;
}

/* Decides about those who wait for channels and the like, or lets them go undecided. */
static void decide_by_memory(struct suspects *s)
{
    uint64_t doubted = signature(s, needs_memory);

    if (doubted == 0)
        return;
    if (is_cleared(doubted, s->now_ns)) {
        let_go(s);
        return;
    }
    if (atomic_load(&sched.blocked) > 0 || atomic_load(&sched.outside) > 0) {
        let_go(s); /* for as long as that lasts; whatever ends it wakes the monitor */
        return;
    }
    int r = s->quiet && still_quiet(NULL) ? suspects_read(s, still_quiet) : -EINTR;
    if (r == 0 && still_quiet(NULL)) {
        settle(s);
        if (signature(s, needs_memory) == 0)
            clear(doubted, s->now_ns + CLEARED_FOR_NS);
        self.disturbed = self.cut_short = 0;
        return;
    }
    let_go(s);
    self.disturbed++;
    self.cut_short += self.paused;
    if (self.cut_short < CUT_SHORT_MAX && (r == -EINTR || r == 0))
        self.wants = true;
    else /* too large, also for a pause */
        clear(doubted, s->now_ns + LARGE_FOR_NS);
}

static void analyse(struct suspects *s, uint64_t age_ns)
{
    suspects_collect(s, age_ns);
    self.wants = s->young > 0;
    if (s->suspected == 0)
        return;
    suspects_resolve(s);
    settle(s);
    decide_by_memory(s);
}

/* ---- telling ---- */

static void put_cause(struct buf *b, const struct suspects *s, const struct suspect *x)
{
    switch ((enum suspect_kind)x->kind) {
    case ON_MUTEX:
        buf_putf(b, "    held by task %llu\n", (unsigned long long)s->tasks[x->at].id);
        break;
    case ON_GROUP:
        buf_putf(b, "    %u of its members never end\n", s->groups[x->at].dead);
        break;
    case ON_PLACE:
        buf_puts(b, "    none of its members ends\n");
        break;
    case ON_CHAN:
    case ON_SELECT:
    case ON_OBJECT:
        buf_puts(b, "    nobody who can still run knows it\n");
        break;
    case NO_SUSPECT:
        break;
    }
}

static void tell(const struct suspects *s, unsigned dead)
{
    OWN_BUF struct buf report = BUF_INIT;
    unsigned named = 0;

    buf_putf(&report, "deadlock: %u tasks can only be woken by each other\n", dead);
    for (uint32_t i = 0; i < s->count && named < TOLD_MAX; i++) {
        const struct suspect *x = &s->tasks[i];
        if (!x->dead)
            continue;
        named++;
        dump_task(&report, x->task);
        put_cause(&report, s, x);
    }
    if (sched.options.deadlock != NULL)
        sched.options.deadlock(sched.options.deadlock_ctx, buf_str(&report));
    else
        io_write_all(STDERR_FILENO, report.data, report.len);
}

/* Who waits for its own members has them fail. */
static void fail(const struct suspects *s, bool joiners)
{
    bool any = false;

    for (uint32_t i = 0; i < s->count; i++) {
        const struct suspect *x = &s->tasks[i];
        if (!x->dead || (x->kind == ON_GROUP) != joiners || !wait_seize(x->task, x->epoch))
            continue;
        group_fail(x->group, -EDEADLK);
        wait_let_go(x->task, x->epoch, -EDEADLK);
        any = true;
    }
    if (!any && !joiners)
        fail(s, true);
}

/* ---- when ---- */

static bool begin(void)
{
    if (self.s != NULL)
        return true;
    self.s = mmap(NULL, sizeof *self.s, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (self.s == MAP_FAILED || reach_open(&self.s->reach) < 0) {
        if (self.s != MAP_FAILED)
            munmap(self.s, sizeof *self.s);
        self.s = NULL;
        return false;
    }
    return true;
}

void partial_end(void)
{
    if (self.s != NULL) {
        reach_close(&self.s->reach);
        munmap(self.s, sizeof *self.s);
    }
    memset(&self, 0, sizeof self);
}

/* Somebody always came in between: true, and from here on nobody leaves the idle set. */
static bool pause_all(void)
{
    uint64_t now = clock_mono_ns();

    if (self.disturbed < DISTURBED_MAX || now < self.paused_at_ns + PAUSE_EVERY_NS ||
        self.s->count > PAUSE_TASKS_MAX)
        return false;
    for (unsigned i = 0; i < QUIET_TRIES; i++) {
        spin_lock(&sched.idle_lock);
        if (all_idle()) {
            self.paused_at_ns = clock_mono_ns();
            self.pause_until_ns = self.paused_at_ns + PAUSE_MAX_NS;
            return true;
        }
        spin_unlock(&sched.idle_lock);
        futex_wait(&monitor_word, atomic_load(&monitor_word), QUIET_TRY_NS);
    }
    return false;
}

/* The dead that were found, 0 = none. */
static unsigned look(uint64_t age_ns)
{
    self.paused = pause_all();
    self.runs = runs_now();
    self.s->reader_low = self.low;
    analyse(self.s, age_ns);
    self.low = self.s->reader_low;
    if (self.paused)
        spin_unlock(&sched.idle_lock);
    unsigned dead = self.s->suspected > 0 ? suspects_dead(self.s) : 0;
    return dead > 0 && suspects_confirm(self.s) ? dead : 0;
}

/* At most a fiftieth of the time; one that was cut short is made up for soon, but not where no
 * pause would follow: with hundreds of thousands of tasks one look takes as long as the others
 * have from it to the next. */
static uint64_t next_look_ns(uint64_t took_ns, uint64_t age_ns)
{
    if (self.disturbed > 0 && self.s->count <= PAUSE_TASKS_MAX)
        return age_ns / 4;
    return took_ns * PERIOD_SHARE > age_ns ? took_ns * PERIOD_SHARE : age_ns;
}

bool partial_look(uint64_t now_ns)
{
    uint32_t ms = sched.options.deadlock_ms;
    uint64_t age_ns = (ms > 0 ? ms : AGE_DEFAULT_MS) * NS_PER_MS;

    if (now_ns < self.next_at_ns || ms == UINT32_MAX)
        return self.wants;
    if (atomic_load(&sched.dead_told)) /* all are asleep, and who was told knows better */
        return self.wants = false;
    if (!begin()) {
        self.next_at_ns = UINT64_MAX;
        return false;
    }
    unsigned dead = look(age_ns);
    self.next_at_ns = now_ns + next_look_ns(clock_mono_ns() - now_ns, age_ns);

    uint64_t news = dead > 0 ? signature(self.s, is_dead) : 0;
    if (news != 0 && news != self.told) {
        tell(self.s, dead);
        fail(self.s, false);
    }
    self.told = news;
    madvise(self.s, offsetof(struct suspects, count), MADV_DONTNEED);
    return self.wants;
}
