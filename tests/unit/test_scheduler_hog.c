/* Tasks that compute on and on, or block without a word: the others go on, and whatever the
 * task does next works although another thread has its processor by then. */
#include "scheduler/block.h"
#include "scheduler/chan.h"
#include "scheduler/event.h"
#include "scheduler/mutex.h"

#include "base/fault.h"
#include "base/rand.h"
#include "tests/lib/measure.h"

#include <pthread.h>
#include <unistd.h>

enum {
    TICKS = 20,
    HOGS_EACH = 3,
    TAKEN_MAX = 3,
    ROUNDS = 200 / SLOWDOWN,
    SENDERS = 4,
    MESSAGES = 60 / SLOWDOWN,
    OFTEN = 2000 / SLOWDOWN
};

/* Nobody waits longer for its turn, beside hogs on every processor. */
#define LATE_NS (150 * NS_PER_MS)

/* Its passing shows that another task ran; a hog that sees it has lost its processor, if there
 * is but one. */
struct gate {
    _Atomic unsigned passed;
};

static void hog_until(struct gate *gate, unsigned passed)
{
    while (atomic_load(&gate->passed) < passed)
        continue;
}

/* ---- others go on ---- */

static int hog_beside(void *arg)
{
    hog_until(arg, TICKS);
    return 0;
}

static uint64_t most_late_ns;

static int tick(void *arg)
{
    struct gate *gate = arg;

    for (unsigned i = 0; i < TICKS; i++) {
        uint64_t at_ns = clock_mono_ns() + NS_PER_MS;
        ck_assert_int_eq(task_sleep_until(at_ns), 0);
        uint64_t late_ns = clock_mono_ns() - at_ns;
        most_late_ns = late_ns > most_late_ns ? late_ns : most_late_ns;
        atomic_fetch_add(&gate->passed, 1);
    }
    return 0;
}

static int hogs_and_ticker(void *arg)
{
    unsigned hogs = scheduler_processors() * (arg != NULL ? HOGS_EACH : 1);
    struct gate gate = {0};
    struct scheduler_stats stats;
    struct group g;

    group_open(&g, "hogs");
    ck_assert_int_eq(group_go(&g, tick, &gate), 0);
    for (unsigned i = 0; i < hogs; i++)
        ck_assert_int_eq(group_go(&g, hog_beside, &gate), 0);
    ck_assert_int_eq(group_join(&g), 0);
    scheduler_stats(&stats);
    ck_assert_uint_ge(stats.takes, 1);
    ck_assert_uint_eq(stats.tasks_live, 1);
    return 0;
}

/* A machine that stands still spoils one try, a monitor that waits all of them. */
START_TEST(a_ticker_ticks_beside_hogs_on_every_processor)
{
    uint64_t least_ns = UINT64_MAX;

    for (int i = 0; i < 4 && least_ns >= measure_bound_ns(LATE_NS); i++) {
        most_late_ns = 0;
        scheduled((unsigned)_i % 3 + 1, hogs_and_ticker, _i >= 3 ? "more than one each" : NULL);
        least_ns = most_late_ns < least_ns ? most_late_ns : least_ns;
    }
    ck_assert_uint_lt(least_ns, measure_bound_ns(LATE_NS));
}
END_TEST

struct pipes {
    int fds[2];
    struct event begun;
};

static int read_unannounced(void *arg)
{
    struct pipes *p = arg;
    char got = 0;

    event_set(&p->begun);
    ck_assert_int_eq(read(p->fds[0], &got, 1), 1);
    ck_assert_int_eq(got, 'x');
    return 0;
}

static int write_to_it(void *arg)
{
    struct pipes *p = arg;

    ck_assert_int_eq(event_wait(&p->begun, 0), 0);
    ck_assert_int_eq(write(p->fds[1], "x", 1), 1);
    return 0;
}

static int read_and_write(void *arg)
{
    unsigned count = scheduler_processors();
    struct pipes pipes[2];
    struct group g;

    (void)arg;
    group_open(&g, "pipes");
    for (unsigned i = 0; i < count; i++) {
        ck_assert_int_eq(pipe(pipes[i].fds), 0);
        event_init(&pipes[i].begun);
        ck_assert_int_eq(group_go(&g, read_unannounced, &pipes[i]), 0);
    }
    ck_assert_int_eq(task_yield(), 0);
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(group_go(&g, write_to_it, &pipes[i]), 0);
    ck_assert_int_eq(group_join(&g), 0);
    for (unsigned i = 0; i < count; i++) {
        close(pipes[i].fds[0]);
        close(pipes[i].fds[1]);
    }
    return 0;
}

START_TEST(a_read_that_nobody_announced_does_not_stop_the_one_that_writes)
{
    scheduled((unsigned)_i + 1, read_and_write, NULL);
}
END_TEST

static int pass(void *arg)
{
    struct gate *gate = arg;

    atomic_fetch_add(&gate->passed, 1);
    return 0;
}

static void *set_late(void *arg)
{
    event_set(arg);
    return NULL;
}

struct outside {
    struct gate gate;
    struct event event;
};

static int wait_for_foreign(void *arg)
{
    struct outside *o = arg;
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, set_late, &o->event), 0);
    ck_assert_int_eq(event_wait(&o->event, 0), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    return pass(&o->gate);
}

static int hog_beside_foreign(void *arg)
{
    struct outside o = {.gate = {0}};
    struct group g;

    (void)arg;
    event_init(&o.event);
    group_open(&g, "outside");
    ck_assert_int_eq(group_go(&g, wait_for_foreign, &o), 0);
    hog_until(&o.gate, 1);
    ck_assert_int_eq(group_join(&g), 0);
    return 0;
}

START_TEST(what_a_foreign_thread_wakes_runs_beside_a_hog)
{
    scheduled(1, hog_beside_foreign, NULL);
}
END_TEST

/* ---- what the hog does next ---- */

static void then_wakes(struct group *g, struct gate *gate);

static int wait_event(void *arg)
{
    return event_wait(arg, 0);
}

static void then_spawns(struct group *g, struct gate *gate)
{
    ck_assert_int_eq(group_go(g, pass, gate), 0);
}

static void then_spawns_until_full(struct group *g, struct gate *gate)
{
    for (int i = 0; i < 600; i++)
        ck_assert_int_eq(group_go(g, pass, gate), 0);
}

static void then_sleeps(struct group *g, struct gate *gate)
{
    (void)g, (void)gate;
    ck_assert_int_eq(task_sleep_ns(NS_PER_MS), 0);
}

static void then_yields(struct group *g, struct gate *gate)
{
    (void)g, (void)gate;
    ck_assert_int_eq(task_yield(), 0);
}

static void then_checks(struct group *g, struct gate *gate)
{
    (void)g, (void)gate;
    ck_assert_int_eq(task_checkpoint(), 0);
}

static void then_blocks(struct group *g, struct gate *gate)
{
    (void)g, (void)gate;
    block_enter(BLOCK_FILE);
    block_leave();
    block_enter_long(BLOCK_FILE);
    block_leave();
}

static void then_joins(struct group *g, struct gate *gate)
{
    (void)gate;
    ck_assert_int_eq(group_wait(g), 0);
}

static void then_cancels(struct group *g, struct gate *gate)
{
    (void)gate;
    group_cancel(g, -ECANCELED);
}

static void then_ends(struct group *g, struct gate *gate)
{
    (void)g, (void)gate;
}

static void then_locks(struct group *g, struct gate *gate)
{
    struct mutex m;

    (void)g, (void)gate;
    mutex_init(&m);
    ck_assert_int_eq(mutex_lock(&m, 0), 0);
    mutex_unlock(&m);
}

static void then_waits_in_vain(struct group *g, struct gate *gate)
{
    struct chan *c = chan_new(1, 1);
    char got;

    (void)g, (void)gate;
    ck_assert_ptr_nonnull(c);
    ck_assert_int_eq(chan_recv(c, &got, SOON), -ETIMEDOUT);
    chan_free(c);
}

typedef void then_fn(struct group *g, struct gate *gate);

static then_fn *const thens[] = {then_wakes,         then_spawns, then_spawns_until_full,
                                 then_sleeps,        then_yields, then_checks,
                                 then_blocks,        then_joins,  then_locks,
                                 then_waits_in_vain, then_ends,   then_cancels};
enum { THENS = sizeof thens / sizeof *thens };

/* Woken while the waker has no processor, it must run all the same. */
static void then_wakes(struct group *g, struct gate *gate)
{
    struct event e;

    (void)gate;
    event_init(&e);
    ck_assert_int_eq(group_go(g, wait_event, &e), 0);
    ck_assert_int_eq(task_yield(), 0);
    struct gate again = {0};
    ck_assert_int_eq(group_go(g, pass, &again), 0);
    hog_until(&again, 1);
    event_set(&e);
    ck_assert_int_eq(group_wait(g), 0);
}

static int hog_then(void *arg)
{
    then_fn *const *then = arg;
    struct gate gate = {0};
    struct group g;

    group_open(&g, "then");
    ck_assert_int_eq(group_go(&g, pass, &gate), 0);
    hog_until(&gate, 1);
    (*then)(&g, &gate);
    int r = group_close(&g);
    ck_assert(r == 0 || r == -ECANCELED);
    return 0;
}

/* Nobody else is left to keep the scheduler awake: neither hangs, nor is it called dead. */
START_TEST(a_hog_that_lost_its_processor_may_do_anything_next)
{
    scheduled(1, hog_then, (void *)&thens[_i]);
}
END_TEST

static int hog_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct group g;

        group_open(&g, "often");
        for (unsigned k = 0; k < 2; k++)
            ck_assert_int_eq(
                group_go(&g, hog_then, (void *)&thens[(unsigned)(i + (int)k) % THENS]), 0);
        ck_assert_int_eq(group_join(&g), 0);
    }
    return 0;
}

static void impatiently(unsigned processors, task_fn fn, void *arg)
{
    fault_arm("scheduler.patience", 1, -EAGAIN, true);
    scheduled(processors, fn, arg);
    fault_disarm_all();
}

START_TEST(processors_are_taken_and_given_back_without_end)
{
    impatiently((unsigned)_i + 1, hog_often, NULL);
}
END_TEST

static void compute(uint64_t ns)
{
    uint64_t end_ns = clock_mono_ns() + ns;

    while (clock_mono_ns() < end_ns)
        continue;
}

static int compute_briefly(void *arg)
{
    compute(*(uint64_t *)arg);
    return 0;
}

static int two_after_each_other(void *arg)
{
    struct group g;

    group_open(&g, "two");
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(group_go(&g, compute_briefly, arg), 0);
    return group_join(&g);
}

/* A thread made for the processor of a task that has ended meanwhile is told to stop, too. */
START_TEST(the_run_may_end_while_a_processor_is_being_taken)
{
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t ns = NS_PER_MS + i % 20 * NS_PER_MS / 10;
        impatiently(1, two_after_each_other, &ns);
    }
}
END_TEST

/* ---- among others ---- */

struct traffic {
    struct chan *chan;
    _Atomic unsigned sum;
};

static int send_between(void *arg)
{
    struct traffic *t = arg;
    struct rand rnd;

    rand_seed(&rnd, (uintptr_t)&rnd);
    for (unsigned i = 1; i <= MESSAGES; i++) {
        ck_assert_int_eq(chan_send(t->chan, &i, 0), 0);
        compute(rand_below(&rnd, 4) * NS_PER_MS);
    }
    return 0;
}

static int receive_all(void *arg)
{
    struct traffic *t = arg;
    struct rand rnd;

    rand_seed(&rnd, 1);
    for (unsigned left = SENDERS * MESSAGES; left > 0; left--) {
        unsigned got = 0;
        ck_assert_int_eq(chan_recv(t->chan, &got, 0), 0);
        atomic_fetch_add(&t->sum, got);
        if (left % 8 == 0)
            compute(rand_below(&rnd, 3) * NS_PER_MS);
    }
    return 0;
}

static int spawn_often(void *arg)
{
    struct gate gate = {0};
    struct group g;

    (void)arg;
    group_open(&g, "spawned");
    for (unsigned i = 0; i < OFTEN; i++)
        ck_assert_int_eq(group_go(&g, pass, &gate), 0);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_uint_eq(atomic_load(&gate.passed), OFTEN);
    return 0;
}

static int traffic(void *arg)
{
    struct traffic t = {.chan = chan_new(sizeof(unsigned), 2)};
    struct scheduler_stats stats;
    struct group g;

    (void)arg;
    ck_assert_ptr_nonnull(t.chan);
    group_open(&g, "traffic");
    for (unsigned i = 0; i < SENDERS; i++)
        ck_assert_int_eq(group_go(&g, send_between, &t), 0);
    ck_assert_int_eq(group_go(&g, receive_all, &t), 0);
    ck_assert_int_eq(group_go(&g, spawn_often, NULL), 0);
    ck_assert_int_eq(group_join(&g), 0);
    chan_free(t.chan);
    ck_assert_uint_eq(atomic_load(&t.sum), SENDERS * (MESSAGES * (MESSAGES + 1) / 2));
    scheduler_stats(&stats);
    ck_assert_uint_eq(stats.tasks_live, 1);
    return 0;
}

START_TEST(nothing_is_lost_or_doubled_while_processors_are_taken)
{
    impatiently((unsigned)_i + 1, traffic, NULL);
}
END_TEST

/* ---- how many ---- */

struct bound {
    _Atomic unsigned running;
    _Atomic uint64_t most;
};

static int compute_and_look(void *arg)
{
    struct bound *b = arg;
    struct scheduler_stats stats;

    for (int i = 0; i < 10; i++) {
        compute(5 * NS_PER_MS);
        scheduler_stats(&stats);
        uint64_t most = atomic_load(&b->most);
        while (stats.threads_taken > most &&
               !atomic_compare_exchange_weak(&b->most, &most, stats.threads_taken))
            continue;
    }
    return 0;
}

static int many_hogs(void *arg)
{
    struct bound *b = arg;
    struct scheduler_stats stats;
    struct group g;

    group_open(&g, "many");
    for (int i = 0; i < 4 * TAKEN_MAX; i++)
        ck_assert_int_eq(group_go(&g, compute_and_look, b), 0);
    ck_assert_int_eq(group_join(&g), 0);
    do {
        ck_assert_int_eq(task_sleep_ns(NS_PER_MS), 0);
        scheduler_stats(&stats);
    } while (stats.threads_blocked > 0 || stats.threads_taken > 0 ||
             stats.threads - stats.threads_spare > stats.processors);
    return 0;
}

START_TEST(no_more_processors_than_the_limit_are_gone_and_all_come_back)
{
    const struct scheduler_options options = {
        .processors = 2, .blocking_max = TAKEN_MAX, .seed = SCHEDULED_SEED};
    struct bound b = {0};

    fault_arm("scheduler.patience", 1, -EAGAIN, true);
    ck_assert_int_eq(scheduler_run(&options, many_hogs, &b), 0);
    fault_disarm_all();
    ck_assert_uint_eq(atomic_load(&b.most), TAKEN_MAX);
}
END_TEST

static TCase *add_case(Suite *s, const char *name)
{
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, 120);
    suite_add_tcase(s, tc);
    return tc;
}

int main(void)
{
    Suite *s = suite_create("scheduler_hog");
    TCase *tc = add_case(s, "beside");

    tcase_add_loop_test(tc, a_ticker_ticks_beside_hogs_on_every_processor, 0, 6);
    tcase_add_loop_test(tc, a_read_that_nobody_announced_does_not_stop_the_one_that_writes, 0,
                        2);
    tcase_add_test(tc, what_a_foreign_thread_wakes_runs_beside_a_hog);
    tc = add_case(s, "next");
    tcase_add_loop_test(tc, a_hog_that_lost_its_processor_may_do_anything_next, 0, THENS);
    tc = add_case(s, "often");
    tcase_add_loop_test(tc, processors_are_taken_and_given_back_without_end, 0, 3);
    tcase_add_test(tc, the_run_may_end_while_a_processor_is_being_taken);
    tcase_add_loop_test(tc, nothing_is_lost_or_doubled_while_processors_are_taken, 0, 2);
    tc = add_case(s, "many");
    tcase_add_test(tc, no_more_processors_than_the_limit_are_gone_and_all_come_back);
    return scheduled_main(s);
}
