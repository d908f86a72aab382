/* The mutex and its condition: exclusion, owners, order, the bound on waiting, and what
 * deadlines and cancellations leave behind. */
#include "scheduler/mutex.h"

#include "tests/lib/scheduled.h"
#include "tests/lib/suite.h"

enum { CROWD = 8, ROUNDS = 20000 / SLOWDOWN };

struct shared {
    struct mutex mutex;
    struct cond cond;
    uint64_t count; /* guarded by mutex, and by nothing else: the sanitizer watches */
    _Atomic unsigned arrived, left, order;
    _Atomic bool stop;
};

static struct shared *shared_new(void)
{
    struct shared *s = calloc(1, sizeof *s);

    mutex_init(&s->mutex);
    cond_init(&s->cond);
    return s;
}

static int add_task(void *arg)
{
    struct shared *s = arg;

    for (int i = 0; i < ROUNDS; i++) {
        ck_assert_int_eq(mutex_lock(&s->mutex, 0), 0);
        uint64_t count = s->count;
        if (i % 16 == 0)
            ck_assert_int_eq(task_yield(), 0); /* a lock may be held over a switch */
        s->count = count + 1;
        mutex_unlock(&s->mutex);
    }
    return 0;
}

static int adding(void *arg)
{
    struct shared *s = shared_new();
    struct group g;

    (void)arg;
    group_open(&g, "add");
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(group_go(&g, add_task, s), 0);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_uint_eq(s->count, (uint64_t)CROWD * ROUNDS);
    ck_assert(mutex_try_lock(&s->mutex));
    mutex_unlock(&s->mutex);
    free(s);
    return 0;
}

START_TEST(one_task_at_a_time_is_inside)
{
    scheduled(_i == 0 ? 1 : 2, adding, NULL);
}
END_TEST

static int try_task(void *arg)
{
    struct shared *s = arg;

    ck_assert(!mutex_try_lock(&s->mutex));
    ck_assert_int_eq(mutex_lock(&s->mutex, SOON), -ETIMEDOUT);
    ck_assert_int_eq(mutex_lock(&s->mutex, 1), -ETIMEDOUT);
    return 0;
}

static int owning(void *arg)
{
    struct shared *s = shared_new();
    struct group g;

    (void)arg;
    ck_assert(mutex_try_lock(&s->mutex));
    ck_assert(!mutex_try_lock(&s->mutex));
    ck_assert_int_eq(mutex_lock(&s->mutex, 0), -EDEADLK);
    group_open(&g, "others");
    ck_assert_int_eq(group_go(&g, try_task, s), 0);
    ck_assert_int_eq(group_join(&g), 0);
    mutex_unlock(&s->mutex);
    ck_assert_int_eq(mutex_lock(&s->mutex, 0), 0);
    mutex_unlock(&s->mutex);
    free(s);
    return 0;
}

START_TEST(locking_twice_is_an_error_and_not_a_hang)
{
    scheduled(1, owning, NULL);
}
END_TEST

static int steal_unlock(void *arg)
{
    struct shared *s = arg;

    mutex_unlock(&s->mutex);
    return 0;
}

static int unlocking(void *arg)
{
    struct shared *s = shared_new();
    struct group g;

    (void)arg;
    ck_assert_int_eq(mutex_lock(&s->mutex, 0), 0);
    group_open(&g, "thief");
    ck_assert_int_eq(group_go(&g, steal_unlock, s), 0);
    return group_join(&g);
}

START_TEST(unlocking_what_another_holds_aborts)
{
    scheduled(1, unlocking, NULL);
}
END_TEST

static int lock_task(void *arg)
{
    struct shared *s = arg;

    atomic_fetch_add(&s->arrived, 1);
    int r = mutex_lock(&s->mutex, 0);
    if (r < 0)
        return r;
    s->count++;
    mutex_unlock(&s->mutex);
    return 0;
}

static int cancelling(void *arg)
{
    struct shared *s = shared_new();
    struct group g, h;

    (void)arg;
    ck_assert_int_eq(mutex_lock(&s->mutex, 0), 0);
    group_open(&g, "cancelled");
    group_open(&h, "patient");
    ck_assert_int_eq(group_go(&g, lock_task, s), 0);
    ck_assert_int_eq(group_go(&h, lock_task, s), 0);
    ck_assert_int_eq(group_go(&g, lock_task, s), 0);
    while (atomic_load(&s->arrived) < 3)
        ck_assert_int_eq(task_yield(), 0);
    let_others_run();
    ck_assert_int_eq(group_close(&g), -ECANCELED);
    mutex_unlock(&s->mutex);
    ck_assert_int_eq(group_join(&h), 0);
    ck_assert_int_eq(mutex_lock(&s->mutex, 0), 0);
    ck_assert_uint_eq(s->count, 1);
    mutex_unlock(&s->mutex);
    free(s);
    return 0;
}

START_TEST(a_cancelled_waiter_does_not_get_the_lock_and_loses_nobodys_turn)
{
    scheduled(_i == 0 ? 1 : 2, cancelling, NULL);
}
END_TEST

/* ---- the bound on waiting ---- */

#define WAITS 200

struct greed {
    struct mutex mutex;
    _Atomic uint64_t wants_since_ns; /* 0: the modest task does not wait */
    _Atomic unsigned passed;         /* waits of the modest one that were passed when old */
    _Atomic bool stop;
};

static int greedy(void *arg)
{
    struct greed *g = arg;
    uint64_t counted_ns = 0;

    while (!atomic_load(&g->stop)) {
        ck_assert_int_eq(mutex_lock(&g->mutex, 0), 0);
        ck_assert_int_eq(task_yield(), 0); /* let the other queue up */
        uint64_t since_ns = atomic_load(&g->wants_since_ns);
        bool old = since_ns != 0 && clock_mono_ns() > since_ns + 3 * NS_PER_MS;
        mutex_unlock(&g->mutex);
        ck_assert_int_eq(mutex_lock(&g->mutex, 0), 0);
        if (old && since_ns != counted_ns && atomic_load(&g->wants_since_ns) == since_ns) {
            counted_ns = since_ns;
            atomic_fetch_add(&g->passed, 1);
        }
        mutex_unlock(&g->mutex);
    }
    return 0;
}

static int by_length(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* arg: whether there is but one processor. */
static int starving(void *arg)
{
    struct greed x = {.wants_since_ns = 0};
    struct group g;
    uint64_t waits_ns[WAITS];

    mutex_init(&x.mutex);
    group_open(&g, "greedy");
    ck_assert_int_eq(group_go(&g, greedy, &x), 0);
    for (int i = 0; i < WAITS; i++) {
        uint64_t since_ns = clock_mono_ns();

        atomic_store(&x.wants_since_ns, since_ns);
        ck_assert_int_eq(mutex_lock(&x.mutex, 0), 0);
        atomic_store(&x.wants_since_ns, 0);
        waits_ns[i] = clock_mono_ns() - since_ns;
        mutex_unlock(&x.mutex);
        ck_assert_int_eq(task_yield(), 0);
    }
    atomic_store(&x.stop, true);
    ck_assert_int_eq(group_join(&g), 0);
    qsort(waits_ns, WAITS, sizeof *waits_ns, by_length);
    ck_assert_uint_lt(waits_ns[WAITS / 2], 20 * NS_PER_MS);
    ck_assert_uint_lt(waits_ns[WAITS - 1], 500 * NS_PER_MS);
    /* The waiter queues a moment after it noted the time, and the system may put the thread off
     * in between: a wait counts once, and a few are such accidents. With two processors the
     * system may put off the one that a woken waiter stands on, for milliseconds. */
    if (arg != NULL)
        ck_assert_uint_le(atomic_load(&x.passed), 10);
    return 0;
}

START_TEST(nobody_passes_a_waiter_older_than_the_hand_off_time)
{
    bool one = _i == 0;

    scheduled(one ? 1 : 2, starving, one ? &one : NULL);
}
END_TEST

/* ---- conditions ---- */

struct waiter {
    struct shared *shared;
    _Atomic unsigned place;
    int result;
};

static int wait_task(void *arg)
{
    struct waiter *w = arg;
    struct shared *s = w->shared;

    ck_assert_int_eq(mutex_lock(&s->mutex, 0), 0);
    atomic_fetch_add(&s->arrived, 1);
    w->result = cond_wait(&s->cond, &s->mutex, 0);
    s->count++; /* the mutex is ours whatever the answer was */
    mutex_unlock(&s->mutex);
    atomic_store(&w->place, 1 + atomic_fetch_add(&s->order, 1));
    return 0;
}

/* Starts the waiters one after the other, each parked before the next comes. */
static void line_up(struct group *g, struct shared *s, struct waiter *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned before = atomic_load(&s->arrived);

        w[i] = (struct waiter){.shared = s};
        ck_assert_int_eq(group_go(g, wait_task, &w[i]), 0);
        while (atomic_load(&s->arrived) == before)
            ck_assert_int_eq(task_yield(), 0);
        /* It arrived with the mutex held, and gives it back only by waiting. */
        ck_assert_int_eq(mutex_lock(&s->mutex, 0), 0);
        mutex_unlock(&s->mutex);
    }
}

static int signalling(void *arg)
{
    struct shared *s = shared_new();
    struct waiter w[CROWD];
    struct group g;

    (void)arg;
    group_open(&g, "waiters");
    line_up(&g, s, w, CROWD);
    for (unsigned i = 0; i < CROWD; i++) {
        bool locked = i % 2 == 0; /* a signal is welcome with and without the mutex */

        if (locked)
            ck_assert_int_eq(mutex_lock(&s->mutex, 0), 0);
        cond_signal(&s->cond);
        if (locked)
            mutex_unlock(&s->mutex);
        while (atomic_load(&s->order) <= i)
            ck_assert_int_eq(task_yield(), 0);
        let_others_run();
        ck_assert_uint_eq(atomic_load(&s->order), i + 1);
        ck_assert_uint_eq(atomic_load(&w[i].place), i + 1);
    }
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_uint_eq(s->count, CROWD);
    cond_signal(&s->cond); /* nobody there */
    free(s);
    return 0;
}

START_TEST(each_signal_wakes_the_longest_waiter_and_only_it)
{
    scheduled(_i == 0 ? 1 : 2, signalling, NULL);
}
END_TEST

static int broadcasting(void *arg)
{
    static struct waiter w[200];
    struct shared *s = shared_new();
    struct group g;

    (void)arg;
    group_open(&g, "waiters");
    line_up(&g, s, w, 200);
    ck_assert_int_eq(mutex_lock(&s->mutex, 0), 0);
    cond_broadcast(&s->cond);
    let_others_run();
    ck_assert_uint_eq(atomic_load(&s->order), 0);
    mutex_unlock(&s->mutex);
    ck_assert_int_eq(group_join(&g), 0);
    for (unsigned i = 0; i < 200; i++)
        ck_assert_int_eq(w[i].result, 0);
    free(s);
    return 0;
}

START_TEST(a_broadcast_wakes_everybody_once_the_mutex_is_free)
{
    scheduled(_i == 0 ? 1 : 2, broadcasting, NULL);
}
END_TEST

static int giving_up(void *arg)
{
    struct shared *s = shared_new();
    struct waiter w[2];
    struct group g, h;

    (void)arg;
    ck_assert_int_eq(mutex_lock(&s->mutex, 0), 0);
    ck_assert_int_eq(cond_wait(&s->cond, &s->mutex, SOON), -ETIMEDOUT);
    ck_assert(!mutex_try_lock(&s->mutex)); /* locked again */
    mutex_unlock(&s->mutex);

    group_open(&g, "cancelled");
    group_open(&h, "patient");
    line_up(&g, s, &w[0], 1);
    line_up(&h, s, &w[1], 1);
    (void)group_close(&g);
    ck_assert_int_eq(w[0].result, -ECANCELED);
    cond_signal(&s->cond); /* for the one who still waits */
    ck_assert_int_eq(group_join(&h), 0);
    ck_assert_int_eq(w[1].result, 0);
    free(s);
    return 0;
}

START_TEST(who_gives_up_waiting_swallows_no_signal)
{
    scheduled(_i == 0 ? 1 : 2, giving_up, NULL);
}
END_TEST

/* A bounded buffer on one mutex and two conditions, with waits that time out at random moments:
 * what goes in comes out. */
struct buffer {
    struct mutex mutex;
    struct cond filled, freed;
    unsigned len, cap;
    uint64_t in, out, want;
};

static int fill_task(void *arg)
{
    struct buffer *b = arg;

    for (int i = 0; i < ROUNDS; i++) {
        ck_assert_int_eq(mutex_lock(&b->mutex, 0), 0);
        while (b->len == b->cap) {
            int r = cond_wait(&b->freed, &b->mutex, clock_mono_ns() + 20000);
            ck_assert(r == 0 || r == -ETIMEDOUT);
        }
        b->len++;
        b->in++;
        mutex_unlock(&b->mutex);
        cond_signal(&b->filled);
    }
    return 0;
}

static int drain_task(void *arg)
{
    struct buffer *b = arg;

    for (;;) {
        ck_assert_int_eq(mutex_lock(&b->mutex, 0), 0);
        while (b->len == 0 && b->out < b->want)
            ck_assert_int_eq(cond_wait(&b->filled, &b->mutex, 0), 0);
        bool done = b->out == b->want;
        if (!done) {
            b->len--;
            done = ++b->out == b->want;
        }
        if (done)
            cond_broadcast(&b->filled);
        cond_signal(&b->freed);
        mutex_unlock(&b->mutex);
        if (done)
            return 0;
    }
}

static int buffering(void *arg)
{
    struct buffer b = {.cap = 3, .want = 3 * ROUNDS};
    struct group g;

    (void)arg;
    mutex_init(&b.mutex);
    cond_init(&b.filled);
    cond_init(&b.freed);
    group_open(&g, "buffer");
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(group_go(&g, fill_task, &b), 0);
        ck_assert_int_eq(group_go(&g, drain_task, &b), 0);
    }
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_uint_eq(b.in, b.want);
    ck_assert_uint_eq(b.out, b.want);
    ck_assert_uint_eq(b.len, 0);
    return 0;
}

START_TEST(a_bounded_buffer_on_conditions_loses_nothing)
{
    scheduled(_i == 0 ? 1 : 2, buffering, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_mutex");
    TCase *tc = tcase_create("mutex");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, one_task_at_a_time_is_inside, 0, 2);
    tcase_add_test(tc, locking_twice_is_an_error_and_not_a_hang);
    tcase_add_test_raise_signal(tc, unlocking_what_another_holds_aborts, SIGABRT);
    tcase_add_loop_test(tc, a_cancelled_waiter_does_not_get_the_lock_and_loses_nobodys_turn, 0,
                        2);
    tcase_add_loop_test(tc, nobody_passes_a_waiter_older_than_the_hand_off_time, 0, 2);
    tcase_add_loop_test(tc, each_signal_wakes_the_longest_waiter_and_only_it, 0, 2);
    tcase_add_loop_test(tc, a_broadcast_wakes_everybody_once_the_mutex_is_free, 0, 2);
    tcase_add_loop_test(tc, who_gives_up_waiting_swallows_no_signal, 0, 2);
    tcase_add_loop_test(tc, a_bounded_buffer_on_conditions_loses_nothing, 0, 2);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
