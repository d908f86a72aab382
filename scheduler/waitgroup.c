/* A wait group is a count under a spin lock and a queue of those who wait for zero.
 *
 * Its classic misuse is to add 1 for each task inside the loop that starts them: as soon as the
 * first task is done before the next add, the count touches zero and a waiter goes on too
 * early. The cure is to add all at once, before. So the group counts adds of 1 that follow each
 * other from one place in the source, and in debug builds (those without NDEBUG) the place is
 * logged, once. It is a hint and not an error: the program may be right.
 *
 * W1  count >= 0. Below zero some task was counted twice, and what waited has gone on while
 *     others still ran: the process stops.
 * W2  Waits are queued only while count > 0; the step to zero takes them all out, in batches
 * that later adds do not hold back. */
#include "scheduler/waitgroup.h"

#include "base/err.h"
#include "base/log.h"
#include "scheduler/task.h"
#include "scheduler/waiters.h"

#ifdef NDEBUG
#define REPORTS 0
#else
#define REPORTS 1
#endif

/* Places that have been reported. When all are taken, further ones stay silent. */
#define SITES_MAX 32

static _Atomic(const char *) reported[SITES_MAX];

/* True once for each place. */
static bool is_news(const char *site)
{
    for (unsigned i = 0; i < SITES_MAX; i++) {
        const char *seen = NULL;

        if (atomic_compare_exchange_strong(&reported[i], &seen, site))
            return true;
        if (seen == site)
            return false;
    }
    return false;
}

/* Counts adds of 1 in a row. True when this one is too many. Under the lock. */
static bool is_one_too_many(struct waitgroup *w, int64_t n, const char *site)
{
    if (n <= 0)
        return false;
    if (n > 1 || w->add_site != site)
        w->add_ones = 0;
    w->add_site = site;
    if (n > 1 || w->add_ones > WAITGROUP_ADD_ONES_MAX)
        return false;
    return ++w->add_ones > WAITGROUP_ADD_ONES_MAX;
}

/* Wakes those who wait at this moment, even if the count rises again meanwhile. The lock is
 * held on entry and given back; it guards the local queue too, since waiters take themselves
 * out. */
static void wake(struct waitgroup *w)
{
    struct wait *waits[WAITERS_BATCH];
    struct list zero;

    list_init(&zero);
    waiters_move(&w->waiters, &zero);
    for (;;) {
        unsigned count = waiters_pop_batch(&zero, waits);
        bool more = !list_is_empty(&zero);

        spin_unlock(&w->lock);
        if (count > 0)
            wait_ready_all(waits, count, 0);
        if (!more)
            return;
        spin_lock(&w->lock);
    }
}

void waitgroup_init(struct waitgroup *w)
{
    *w = (struct waitgroup){.count = 0};
    list_init(&w->waiters);
}

void waitgroup_add_at(struct waitgroup *w, int64_t n, const char *site)
{
    spin_lock(&w->lock);
    w->count += n;
    assert_always(w->count >= 0);
    bool report = REPORTS && is_one_too_many(w, n, site);
    if (w->count == 0 && n < 0)
        wake(w);
    else
        spin_unlock(&w->lock);
    if (report && is_news(site))
        log_warn("scheduler.waitgroup_add_ones", LOG_STR("site", site),
                 LOG_U64("in_a_row", WAITGROUP_ADD_ONES_MAX + 1),
                 LOG_STR("hint", "add all at once before the loop, or use a group"));
}

void waitgroup_done(struct waitgroup *w)
{
    waitgroup_add_at(w, -1, NULL);
}

int waitgroup_wait(struct waitgroup *w, uint64_t deadline_ns)
{
    struct wait x;

    int r = task_checkpoint();
    if (r < 0)
        return r;

    spin_lock(&w->lock);
    if (w->count == 0) {
        spin_unlock(&w->lock);
        return 0;
    }
    wait_begin(&x);
    list_push_back(&w->waiters, &x.link);
    r = wait_park(&x, &w->lock, "wait group", w, deadline_ns);
    if (r < 0)
        waiters_leave(&x, &w->lock);
    return r;
}
