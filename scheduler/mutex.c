/* A mutex that tasks may hold over a yield, and its condition.
 *
 * One word says whether the mutex is locked and whether anybody waits; the owner stands beside
 * it, for the error of locking twice, for the abort of unlocking what is not yours, and for the
 * wait-for graph. Uncontended, lock and unlock are one compare-and-swap each.
 *
 * Under contention the mutex lets whoever runs take it first ("barging"): handing it to a
 * sleeper at every unlock would make each critical section as long as a switch of tasks. So an
 * unlock frees the mutex and wakes the longest waiter, which competes again, and goes back to
 * the front of the queue when it loses. At most one woken waiter competes at a time (WOKEN), or
 * a short section under load would wake the whole queue in vain.
 *
 * Barging alone starves. A waiter that has waited MUTEX_HANDOFF_NS gets the mutex handed over
 * by the next unlock: it stays locked, with a new owner, and no third task can come between.
 * The age is counted from the first time the waiter queued, over all its lost competitions.
 *
 * A condition keeps its own queue. A signal does not wake its waiter only to make it queue for
 * the mutex that the signaller very likely holds; it moves the wait over to the mutex's queue.
 * The wait is claimed at that moment, so from then on neither deadline nor cancellation ends
 * it: the task has its answer and only waits to own the mutex again, as it must in any case.
 *
 * What was rejected: a global table of queues keyed by address (as futexes and parking lots
 * have) saves 24 bytes a mutex and costs a shared lock; a mode bit for hand-off (as in Go) is
 * needless when the age of the first waiter is at hand under the queue's lock; spinning before
 * the park wins nothing where a critical section may contain a park.
 *
 * M1  LOCKED is set exactly while owner is, or is about to be, some task; only the owner, and
 *     under a hand-off the unlocking owner on behalf of the next, changes it.
 * M2  WAITERS is set if and only if the queue is not empty; both change under the queue lock.
 * M3  If a live wait is queued, then the mutex is locked, or WOKEN is set and a woken waiter is
 * on its way to try. So no waiter is forgotten. M4  A waiter older than MUTEX_HANDOFF_NS is
 * passed by nobody at the next unlock. M5  cond_wait returns with the mutex locked by the
 * caller, whatever it answers.
 *
 * Locks: the queue lock of a condition may be held while that of a mutex is taken, never the
 * other way round. */
#include "scheduler/mutex.h"

#include "base/clock.h"
#include "base/err.h"
#include "scheduler/task.h"
#include "scheduler/waiters.h"

#include <errno.h>

#define MUTEX_HANDOFF_NS NS_PER_MS

enum { LOCKED = 1, WAITERS = 2, WOKEN = 4 };

/* What a waker tells a waiter: the mutex is yours; it was free, and you are the one that WOKEN
 * stands for; or (of a condition only) it was free. */
enum { HANDED = 0, COMPETE = 1, SIGNALLED = 2 };

struct waiter {
    struct wait wait;
    struct mutex *mutex;   /* of a condition's waiter: what it wants back */
    uint64_t queued_at_ns; /* when it first wanted the mutex; guarded by the queue lock */
    bool claimed; /* by a condition's signal, before it was moved here; so guarded too */
};

static struct waiter *waiter_of(struct list *node)
{
    return container_of(node, struct waiter, wait.link);
}

/* Takes the mutex if it is free, clearing the given bits of the word with it. */
static bool take(struct mutex *m, struct task *self, uint32_t clear)
{
    uint32_t word = atomic_load_explicit(&m->word, memory_order_relaxed);

    while ((word & LOCKED) == 0) {
        if (atomic_compare_exchange_weak_explicit(&m->word, &word, (word | LOCKED) & ~clear,
                                                  memory_order_acquire, memory_order_relaxed)) {
            atomic_store_explicit(&m->owner, self, memory_order_relaxed);
            return true;
        }
    }
    return false;
}

/* Marks the word so that the present holder's unlock comes to the queue; false when there is no
 * holder any more. Under the queue lock. */
static bool announce(struct mutex *m, uint32_t clear)
{
    uint32_t word = atomic_load_explicit(&m->word, memory_order_relaxed);

    while ((word & LOCKED) != 0) {
        if (atomic_compare_exchange_weak_explicit(&m->word, &word, (word | WAITERS) & ~clear,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
    return false;
}

/* Takes the mutex, or enters the queue: a loser of a competition at the front, a newcomer at
 * the back. Under the queue lock. */
static bool take_or_enter(struct mutex *m, struct list *link, struct task *self, bool woken)
{
    uint32_t clear = woken ? WOKEN : 0;

    for (;;) {
        if (take(m, self, clear))
            return true;
        if (announce(m, clear))
            break;
    }
    if (woken)
        list_push_front(&m->waiters, link);
    else
        list_push_back(&m->waiters, link);
    return false;
}

/* Under the queue lock. */
static void forget_if_empty(struct mutex *m)
{
    if (list_is_empty(&m->waiters))
        atomic_fetch_and_explicit(&m->word, ~(uint32_t)WAITERS, memory_order_relaxed);
}

static void leave(struct mutex *m, struct wait *w)
{
    spin_lock(&m->queue_lock);
    list_remove(&w->link);
    forget_if_empty(m);
    spin_unlock(&m->queue_lock);
}

/* Queues until the mutex is the caller's. A deadline of SHIELDED waits whatever happens. */
#define SHIELDED UINT64_MAX

static int lock_slowly(struct mutex *m, struct task *self, bool woken, uint64_t deadline_ns)
{
    struct waiter me = {.queued_at_ns = clock_mono_ns()};
    struct wait *w = &me.wait;

    for (;;) {
        wait_begin(w);
        spin_lock(&m->queue_lock);
        if (take_or_enter(m, &w->link, self, woken)) {
            spin_unlock(&m->queue_lock);
            return 0;
        }

        int r = deadline_ns == SHIELDED ? wait_park_shielded(w, &m->queue_lock, "mutex", m)
                                        : wait_park(w, &m->queue_lock, "mutex", m, deadline_ns);
        if (r < 0) {
            leave(m, w);
            return r;
        }
        if (r == HANDED)
            return 0;
        woken = true;
    }
}

static bool is_old(const struct waiter *x, uint64_t now_ns)
{
    return now_ns >= x->queued_at_ns + MUTEX_HANDOFF_NS;
}

/* The longest waiter that still waits, out of the queue and claimed. Under the queue lock. */
static struct waiter *pop(struct mutex *m)
{
    struct list *node;

    while ((node = list_pop_front(&m->waiters)) != NULL) {
        struct waiter *x = waiter_of(node);

        if (x->claimed || wait_claim(&x->wait))
            return x;
    }
    return NULL;
}

/* Under the queue lock, which it gives back: passes the mutex on to the longest waiter, or
 * frees it and wakes that waiter to compete, or just frees it. */
static void release(struct mutex *m)
{
    uint64_t now_ns = clock_mono_ns();
    bool woken = (atomic_load_explicit(&m->word, memory_order_relaxed) & WOKEN) != 0;
    struct waiter *x = NULL;

    /* With one competitor on its way, a second is woken only to be handed the mutex. */
    if (!list_is_empty(&m->waiters) && (!woken || is_old(waiter_of(m->waiters.next), now_ns)))
        x = pop(m);
    forget_if_empty(m);

    bool handed = x != NULL && (woken || is_old(x, now_ns));
    if (handed)
        atomic_store_explicit(&m->owner, x->wait.task, memory_order_relaxed);
    else if (x != NULL)
        atomic_fetch_or_explicit(&m->word, WOKEN, memory_order_relaxed);
    if (!handed)
        atomic_fetch_and_explicit(&m->word, ~(uint32_t)LOCKED, memory_order_release);
    spin_unlock(&m->queue_lock);
    if (x != NULL)
        wait_ready(&x->wait, handed ? HANDED : COMPETE);
}

/* Moves a claimed wait of a condition into the mutex's queue, or wakes it when the mutex is
 * free.
 */
static void requeue(struct waiter *x)
{
    struct mutex *m = x->mutex;

    spin_lock(&m->queue_lock);
    bool held = announce(m, 0);
    if (held) {
        x->claimed = true;
        x->queued_at_ns = task_now_ns();
        list_push_back(&m->waiters, &x->wait.link);
    }
    spin_unlock(&m->queue_lock);
    if (!held)
        wait_ready(&x->wait, SIGNALLED);
}

void mutex_init(struct mutex *m)
{
    atomic_init(&m->word, 0);
    atomic_init(&m->queue_lock, 0);
    atomic_init(&m->owner, NULL);
    list_init(&m->waiters);
}

int mutex_lock(struct mutex *m, uint64_t deadline_ns)
{
    struct task *self = task_self();

    if (atomic_load_explicit(&m->owner, memory_order_relaxed) == self)
        return -EDEADLK;

    int r = task_checkpoint();
    if (r < 0)
        return r;
    if (take(m, self, 0))
        return 0;
    return lock_slowly(m, self, false, deadline_ns);
}

void mutex_lock_shielded(struct mutex *m)
{
    struct task *self = task_self();

    assert_always(atomic_load_explicit(&m->owner, memory_order_relaxed) != self);
    if (!take(m, self, 0))
        (void)lock_slowly(m, self, false, SHIELDED);
}

bool mutex_try_lock(struct mutex *m)
{
    return take(m, task_self(), 0);
}

void mutex_unlock(struct mutex *m)
{
    uint32_t word = LOCKED;

    assert_always(atomic_load_explicit(&m->owner, memory_order_relaxed) == task_self());
    atomic_store_explicit(&m->owner, NULL, memory_order_relaxed);
    if (atomic_compare_exchange_strong_explicit(&m->word, &word, 0, memory_order_release,
                                                memory_order_relaxed))
        return;
    spin_lock(&m->queue_lock);
    release(m);
}

void cond_init(struct cond *c)
{
    atomic_init(&c->queue_lock, 0);
    list_init(&c->waiters);
}

int cond_wait(struct cond *c, struct mutex *m, uint64_t deadline_ns)
{
    struct task *self = task_self();
    struct waiter me = {.mutex = m};

    wait_begin(&me.wait);
    spin_lock(&c->queue_lock);
    list_push_back(&c->waiters, &me.wait.link);
    mutex_unlock(m);

    int r = wait_park(&me.wait, &c->queue_lock, "condition", c, deadline_ns);
    if (r == HANDED)
        return 0;
    if (r < 0)
        waiters_leave(&me.wait, &c->queue_lock);
    if (r == COMPETE || !take(m, self, 0))
        (void)lock_slowly(m, self, r == COMPETE, SHIELDED);
    return r < 0 ? r : 0;
}

void cond_signal(struct cond *c)
{
    spin_lock(&c->queue_lock);
    struct wait *w = waiters_pop(&c->waiters);
    spin_unlock(&c->queue_lock);

    if (w != NULL)
        requeue(container_of(w, struct waiter, wait));
}

void cond_broadcast(struct cond *c)
{
    struct wait *waits[WAITERS_BATCH];
    unsigned count;

    do {
        spin_lock(&c->queue_lock);
        count = waiters_pop_batch(&c->waiters, waits);
        spin_unlock(&c->queue_lock);
        for (unsigned i = 0; i < count; i++)
            requeue(container_of(waits[i], struct waiter, wait));
    } while (count == WAITERS_BATCH);
}
