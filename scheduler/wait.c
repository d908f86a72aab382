/* wait.c: the wait word, on which all who may end a wait compete.
 *
 *     bits 16..63  epoch: one more for each wait, never reset, also not when the task's
 *                  descriptor is used again (descriptors are type-stable)
 *     bits  4..15  result + 2048, set together with READY
 *     bit   3      CANCELLABLE: set with PARKED, so that nobody cancels a wait too early
 *     bit   2      READY: the winner is done
 *     bit   1      PARKED: the task has left its stack
 *     bit   0      WON: somebody claimed it
 *
 * A wait may be claimed as soon as it has begun. Parking and finishing meet in the word:
 * whichever of PARKED and READY is set second makes the task run. So nobody makes a running
 * task runnable, and no waker waits for a parker.
 *
 * Cancellation against parking is Dekker's: the canceller writes task.cancel and then reads the
 * word; the parker writes PARKED and then reads task.cancel. One of them sees the other. */
#include "scheduler/wait.h"

#include "base/clock.h"
#include "base/err.h"
#include "scheduler/core.h"
#include "scheduler/probe.h"
#include "scheduler/processor.h"
#include "scheduler/task.h"

#include <errno.h>

#define WON UINT64_C(1)
#define PARKED UINT64_C(2)
#define READY UINT64_C(4)
#define CANCELLABLE UINT64_C(8)
#define RESULT_SHIFT 4
#define RESULT_BIAS 2048
#define EPOCH_SHIFT 16
#define TAG_BITS 24

struct park {
    struct wait *wait;
    void (*unlock)(void *arg);
    void *arg;
    const char *reason;
    const void *object;
    uint64_t deadline_ns;
    bool shielded, outside;
};

static uint64_t epoch_of(uint64_t word)
{
    return word >> EPOCH_SHIFT;
}

static int result_of(uint64_t word)
{
    return (int)((word >> RESULT_SHIFT) & 0xfff) - RESULT_BIAS;
}

static bool claim(struct task *t, uint64_t epoch, uint64_t needed)
{
    uint64_t word = atomic_load(&t->wait);

    while (epoch_of(word) == epoch && (word & WON) == 0 && (word & needed) == needed)
        if (atomic_compare_exchange_weak(&t->wait, &word, word | WON))
            return true;
    return false;
}

/* By who has claimed it. true: the caller makes t runnable. false: it has not left its stack
 * yet and will see it. Once it is won and parked, nobody else writes the word until the task
 * runs again, so a plain store will do; that is the rule for an object whose lock the parking
 * task gives back only after PARKED. */
static bool finish(struct task *t, uint64_t epoch, int result)
{
    uint64_t word = atomic_load(&t->wait);
    uint64_t bits = ((uint64_t)(result + RESULT_BIAS) << RESULT_SHIFT) | READY;

    while (epoch_of(word) == epoch) {
        if ((word & PARKED) != 0) {
            atomic_store_explicit(&t->wait, word | bits, memory_order_release);
            return true;
        }
        if (atomic_compare_exchange_weak(&t->wait, &word, word | bits))
            return false;
    }
    return false; /* a wait that was begun and given up */
}

void wait_begin(struct wait *w)
{
    struct task *t = task_self();
    uint64_t epoch = epoch_of(get_relaxed(&t->wait)) + 1;

    w->task = t;
    w->epoch = epoch;
    w->result = 0;
    w->since_ns = get_relaxed(&sched.coarse_ns);
    list_init(&w->link);
    atomic_store_explicit(&t->wait, epoch << EPOCH_SHIFT, memory_order_release);
}

bool wait_finish(struct task *t, uint64_t epoch, int result)
{
    return claim(t, epoch, 0) && finish(t, epoch, result);
}

void wait_cancel(struct task *t, int reason)
{
    uint64_t epoch = epoch_of(atomic_load(&t->wait));

    if (claim(t, epoch, PARKED | CANCELLABLE) && finish(t, epoch, reason))
        processor_ready(t);
}

bool wait_sleeps(const struct task *t, uint64_t *ret_epoch)
{
    uint64_t word = atomic_load(&t->wait);

    *ret_epoch = epoch_of(word);
    return (word & (PARKED | WON | READY)) == PARKED;
}

bool wait_seize(struct task *t, uint64_t epoch)
{
    return claim(t, epoch, PARKED | CANCELLABLE);
}

void wait_let_go(struct task *t, uint64_t epoch, int result)
{
    if (finish(t, epoch, result))
        processor_ready(t);
}

uintptr_t wait_tag(const struct wait *w)
{
    uint64_t low = w->epoch & ((UINT64_C(1) << TAG_BITS) - 1);

    return (uintptr_t)w->task | (uintptr_t)(low & 0xff) | ((uintptr_t)(low >> 8) << 48);
}

bool wait_tag_finish(uintptr_t tag, int result, struct task **ret)
{
    struct task *t = (struct task *)(tag & UINT64_C(0x0000ffffffffff00));
    uint64_t low = (tag & 0xff) | ((uint64_t)(tag >> 48) << 8);
    uint64_t epoch = epoch_of(atomic_load(&t->wait));

    if ((epoch & ((UINT64_C(1) << TAG_BITS) - 1)) != low || !claim(t, epoch, 0))
        return false;
    *ret = t;
    return finish(t, epoch, result);
}

/* p == NULL: it was taken while the task ran. */
static void count_park(struct processor *p, bool outside)
{
    if (p == NULL) {
        atomic_fetch_add(&sched.outside_stray, outside ? 1 : 0);
        return;
    }
    count_add(&p->counters.parks, 1);
    if (outside)
        count_add(&p->counters.outside, 1);
}

/* With the stack left. From PARKED on the task may run elsewhere, even be gone, unless
 * the lock that is released last still holds it up; nothing of it is read after. */
static bool commit(struct thread *m, struct task *t, void *arg)
{
    const struct park *park = arg;
    void (*unlock)(void *) = park->unlock;
    void *unlock_arg = park->arg;
    uint64_t bits = PARKED | (park->shielded ? 0 : CANCELLABLE);
    uint64_t epoch = park->wait->epoch;

    t->outside = park->outside && !t->background;
    count_park(get_relaxed(&m->processor), t->outside);
    set_relaxed(&t->timed, park->deadline_ns > 0);
    set_relaxed(&t->state, TASK_PARKED);

    bool again = (atomic_fetch_or(&t->wait, bits) & READY) != 0;
    if (!again && (bits & CANCELLABLE) != 0) {
        int reason = atomic_load(&t->cancel);
        if (reason != 0 && claim(t, epoch, 0))
            again = finish(t, epoch, reason);
    }
    if (unlock != NULL)
        unlock(unlock_arg);
    return again;
}

static void unlock_one(void *arg)
{
    spin_unlock(arg);
}

static void describe(struct task *t, const struct park *park)
{
    set_relaxed(&t->wait_reason, park->reason);
    set_relaxed(&t->wait_object, park->object);
    set_relaxed(&t->wait_since_ns, park->wait->since_ns);
}

/* Whatever ended it has been told apart in the word. */
static int park_now(struct task *t, struct park *park)
{
    describe(t, park);
    lines_set(t, LINES_PARK);
    probe_stop(t, park->reason);
    task_leave(t, commit, park);
    return result_of(atomic_load_explicit(&t->wait, memory_order_acquire));
}

static int park_timed(struct task *t, struct park *park)
{
    struct wait_timer timer = {.task = t, .epoch = park->wait->epoch};

    timer_init(&timer.timer, NULL);
    timer.timer.background = t->background;
    int r = timer_start(&timer.timer, park->deadline_ns);
    if (r < 0 && claim(t, timer.epoch, 0)) {
        if (park->unlock != NULL)
            park->unlock(park->arg);
        return r;
    }
    r = park_now(t, park);
    timer_stop(&timer.timer);
    return r;
}

static int park(struct park *park)
{
    struct task *t = park->wait->task;

    if (t->shields > 0) {
        park->shielded = true;
        if (park->deadline_ns == 0 || park->deadline_ns > t->shield_until_ns)
            park->deadline_ns = t->shield_until_ns;
    }
    int reason = park->shielded ? 0 : atomic_load(&t->cancel);
    if (reason != 0 && claim(t, park->wait->epoch, 0)) {
        if (park->unlock != NULL)
            park->unlock(park->arg);
        return reason;
    }
    return park->deadline_ns > 0 ? park_timed(t, park) : park_now(t, park);
}

int wait_park(struct wait *w, _Atomic uint32_t *lock, const char *reason, const void *object,
              uint64_t deadline_ns)
{
    return park(&(struct park){.wait = w,
                               .unlock = lock != NULL ? unlock_one : NULL,
                               .arg = (void *)lock,
                               .reason = reason,
                               .object = object,
                               .deadline_ns = deadline_ns});
}

int wait_park_with(struct wait *w, void (*unlock)(void *arg), void *arg, const char *reason,
                   const void *object, uint64_t deadline_ns)
{
    return park(&(struct park){.wait = w,
                               .unlock = unlock,
                               .arg = arg,
                               .reason = reason,
                               .object = object,
                               .deadline_ns = deadline_ns});
}

int wait_park_shielded(struct wait *w, _Atomic uint32_t *lock, const char *reason,
                       const void *object)
{
    return park_now(w->task, &(struct park){.wait = w,
                                            .unlock = lock != NULL ? unlock_one : NULL,
                                            .arg = (void *)lock,
                                            .reason = reason,
                                            .object = object,
                                            .shielded = true});
}

int wait_park_until(struct wait *w, _Atomic uint32_t *lock, const char *reason,
                    const void *object, uint64_t deadline_ns)
{
    return park_timed(w->task, &(struct park){.wait = w,
                                              .unlock = lock != NULL ? unlock_one : NULL,
                                              .arg = (void *)lock,
                                              .reason = reason,
                                              .object = object,
                                              .deadline_ns = deadline_ns,
                                              .shielded = true});
}

int wait_park_outside(struct wait *w, const char *reason, const void *object,
                      uint64_t deadline_ns, bool shielded)
{
    struct park p = {.wait = w,
                     .reason = reason,
                     .object = object,
                     .deadline_ns = deadline_ns,
                     .shielded = shielded,
                     .outside = true};

    return shielded ? park_now(w->task, &p) : park(&p);
}

bool wait_claim(struct wait *w)
{
    return claim(w->task, w->epoch, 0);
}

void wait_ready(struct wait *w, int result)
{
    struct task *t = w->task;

    assert_always(result >= -RESULT_BIAS && result < RESULT_BIAS);
    if (finish(t, w->epoch, result))
        processor_ready(t);
}

void wait_ready_all(struct wait *const *waits, unsigned count, int result)
{
    struct task_list list = {0};

    for (unsigned i = 0; i < count; i++) {
        struct task *t = waits[i]->task;
        if (finish(t, waits[i]->epoch, result))
            task_list_push(&list, t);
    }
    processor_ready_list(&list);
}
