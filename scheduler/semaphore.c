/* A semaphore is a count under a spin lock and a queue. It is strictly first come, first
 * served: a permit that is given while somebody waits goes to the longest waiter directly and
 * is never seen in the count, so no third task can come between. That costs a switch where
 * barging would not, and is what makes it fit to share out a scarce thing fairly.
 *
 * S1  permits > 0 only while no live wait is queued.
 * S2  A wait that ends with 0 has taken one permit, any other none: the claim decides. */
#include "scheduler/semaphore.h"

#include "scheduler/task.h"
#include "scheduler/waiters.h"

void semaphore_init(struct semaphore *s, int64_t permits)
{
    atomic_init(&s->lock, 0);
    s->permits = permits;
    list_init(&s->waiters);
}

int semaphore_take(struct semaphore *s, uint64_t deadline_ns)
{
    struct wait w;

    int r = task_checkpoint();
    if (r < 0)
        return r;

    spin_lock(&s->lock);
    if (s->permits > 0) {
        s->permits--;
        spin_unlock(&s->lock);
        return 0;
    }
    wait_begin(&w);
    list_push_back(&s->waiters, &w.link);
    r = wait_park(&w, &s->lock, "semaphore", s, deadline_ns);
    if (r < 0)
        waiters_leave(&w, &s->lock);
    return r;
}

bool semaphore_try_take(struct semaphore *s)
{
    spin_lock(&s->lock);
    bool taken = s->permits > 0;
    if (taken)
        s->permits--;
    spin_unlock(&s->lock);
    return taken;
}

void semaphore_give(struct semaphore *s, uint32_t permits)
{
    struct wait *waits[WAITERS_BATCH];
    bool more;

    /* The last touch of the semaphore is an unlock, so that a waiter may end it. */
    do {
        unsigned count = 0;

        spin_lock(&s->lock);
        s->permits += permits;
        permits = 0;
        while (s->permits > 0 && count < WAITERS_BATCH) {
            struct wait *w = waiters_pop(&s->waiters);

            if (w == NULL)
                break;
            s->permits--;
            waits[count++] = w;
        }
        more = s->permits > 0 && !list_is_empty(&s->waiters);
        spin_unlock(&s->lock);
        if (count > 0)
            wait_ready_all(waits, count, 0);
    } while (more);
}
