/* Groups: every task has an end, errors and cancellation travel as said, deadlines hold. */
#include "scheduler/event.h"

#include "base/log.h"
#include "tests/lib/scheduled.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MEMBERS = 20, TREES = 200 / SLOWDOWN, HEIGHT = 12 };

static int result_task(void *arg)
{
    return (int)(intptr_t)arg;
}

/* Parks until it is cancelled and gives the reason on. */
static int sleeper_task(void *arg)
{
    _Atomic int *ended = arg;
    int r = task_sleep_ns(3600 * NS_PER_S);

    atomic_fetch_add(ended, 1);
    return r;
}

static int fail_fast(void *arg)
{
    _Atomic int ended = 0;
    struct group g;

    (void)arg;
    group_open(&g, "fail fast");
    for (int i = 0; i < MEMBERS; i++)
        ck_assert_int_eq(group_go(&g, sleeper_task, (void *)&ended), 0);
    ck_assert_int_eq(group_go(&g, result_task, (void *)(intptr_t)-EIO), 0);
    ck_assert_int_eq(group_wait(&g), -EIO);
    ck_assert_int_eq(atomic_load(&ended), MEMBERS);
    ck_assert_int_eq(group_go(&g, result_task, NULL), -ECANCELED);
    ck_assert_int_eq(group_close(&g), -EIO);
    ck_assert_int_eq(group_close(&g), -EIO); /* harmless */
    return 0;
}

START_TEST(the_first_error_cancels_the_others_and_is_the_result)
{
    scheduled((unsigned)_i + 1, fail_fast, NULL);
}
END_TEST

static int collect(void *arg)
{
    struct event gate;
    struct group g;

    (void)arg;
    event_init(&gate);
    group_open(&g, "collect");
    group_policy(&g, GROUP_COLLECT);
    ck_assert_int_eq(group_go(&g, result_task, (void *)(intptr_t)-EIO), 0);
    ck_assert_int_eq(group_wait(&g), -EIO);
    ck_assert_int_eq(group_go(&g, result_task, (void *)(intptr_t)-EPERM), 0);
    ck_assert_int_eq(group_go(&g, result_task, (void *)(intptr_t)5), 0);
    ck_assert_int_eq(group_join(&g), -EIO);
    return 0;
}

START_TEST(a_collecting_group_goes_on_after_an_error)
{
    scheduled((unsigned)_i + 1, collect, NULL);
}
END_TEST

static int first_wins(void *arg)
{
    _Atomic int ended = 0;
    struct group g;

    (void)arg;
    group_open(&g, "race");
    group_policy(&g, GROUP_FIRST_WINS);
    for (int i = 0; i < MEMBERS; i++)
        ck_assert_int_eq(group_go(&g, sleeper_task, (void *)&ended), 0);
    ck_assert_int_eq(group_go(&g, result_task, (void *)(intptr_t)-EIO), 0);
    ck_assert_int_eq(group_go(&g, result_task, (void *)(intptr_t)0), 0);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_int_eq(atomic_load(&ended), MEMBERS);
    return 0;
}

START_TEST(the_first_success_ends_a_race)
{
    scheduled((unsigned)_i + 1, first_wins, NULL);
}
END_TEST

static int deadline(void *arg)
{
    _Atomic int ended = 0;
    struct group g;
    uint64_t at_ns;
    int started = 0;

    (void)arg;
    group_open(&g, "deadline");
    while (started < MEMBERS && group_go(&g, sleeper_task, (void *)&ended) == 0)
        started++;
    at_ns = clock_mono_ns() + 5 * NS_PER_MS;
    ck_assert_int_eq(group_deadline(&g, at_ns), 0);
    ck_assert_int_eq(group_join(&g), -ETIMEDOUT);
    ck_assert_uint_ge(clock_mono_ns(), at_ns);
    ck_assert_int_eq(started, MEMBERS);
    ck_assert_int_eq(atomic_load(&ended), MEMBERS);

    group_open(&g, "no deadline");
    ck_assert_int_eq(group_deadline(&g, clock_mono_ns() + 3600 * NS_PER_S), 0);
    ck_assert_int_eq(group_deadline(&g, 0), 0);
    ck_assert_int_eq(group_go(&g, result_task, NULL), 0);
    ck_assert_int_eq(group_join(&g), 0);
    return 0;
}

START_TEST(a_deadline_ends_the_group_and_is_its_result)
{
    scheduled((unsigned)_i + 1, deadline, NULL);
}
END_TEST

struct crowd {
    _Atomic int inside, most;
};

static int limited_task(void *arg)
{
    struct crowd *c = arg;
    int now = atomic_fetch_add(&c->inside, 1) + 1;
    int most = atomic_load(&c->most);

    while (now > most && !atomic_compare_exchange_weak(&c->most, &most, now))
        ;
    ck_assert_int_eq(task_yield(), 0);
    atomic_fetch_sub(&c->inside, 1);
    return 0;
}

static int limit(void *arg)
{
    struct crowd c = {.inside = 0};
    struct group g;

    (void)arg;
    group_open(&g, "limit");
    group_limit(&g, 3);
    for (int i = 0; i < 1000 / SLOWDOWN; i++)
        ck_assert_int_eq(group_go(&g, limited_task, &c), 0);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_int_le(atomic_load(&c.most), 3);
    return 0;
}

START_TEST(a_full_group_parks_who_spawns)
{
    scheduled((unsigned)_i + 1, limit, NULL);
}
END_TEST

static int spawn_into_full_task(void *arg)
{
    struct group *g = arg;

    return group_go(g, result_task, NULL);
}

static int cancelled_while_full(void *arg)
{
    _Atomic int ended = 0;
    struct group full, spawners;

    (void)arg;
    group_open(&full, "full");
    group_limit(&full, 1);
    ck_assert_int_eq(group_go(&full, sleeper_task, (void *)&ended), 0);
    group_open(&spawners, "spawners");
    ck_assert_int_eq(group_go(&spawners, spawn_into_full_task, &full), 0);
    let_others_run();
    group_cancel(&spawners, -ECANCELED);
    ck_assert_int_eq(group_join(&spawners), -ECANCELED);
    ck_assert_int_eq(group_close(&full), -ECANCELED);
    return 0;
}

START_TEST(who_is_cancelled_while_it_waits_to_spawn_spawns_nothing)
{
    scheduled((unsigned)_i + 1, cancelled_while_full, NULL);
}
END_TEST

/* ---- a tree ---- */

struct tree {
    unsigned depth, width;
    _Atomic int *leaves, *ended;
};

static int branch_task(void *arg)
{
    const struct tree *t = arg;
    struct tree below = {t->depth - 1, t->width, t->leaves, t->ended};
    struct group g;

    if (t->depth == 0) {
        atomic_fetch_add(t->leaves, 1);
        return sleeper_task((void *)t->ended);
    }
    group_open(&g, "branch");
    for (unsigned i = 0; i < t->width; i++) {
        int r = group_go(&g, branch_task, &below);
        ck_assert(r == 0 || r == -ECANCELED);
    }
    int r = group_join(&g);
    ck_assert(r == -ECANCELED || r == 0); /* 0: cancelled before it had anybody */
    return r;
}

static int cancel_tree(void *arg)
{
    (void)arg;
    for (unsigned round = 0; round < TREES; round++) {
        _Atomic int leaves = 0, ended = 0;
        struct tree top = {3, 3, &leaves, &ended};
        struct group g;
        struct scheduler_stats stats;
        group_open(&g, "tree");
        ck_assert_int_eq(group_go(&g, branch_task, &top), 0);
        /* Cancelled at different points of its growth; in the end with all leaves parked. */
        for (unsigned i = 0; i < round % 12; i++)
            ck_assert_int_eq(task_yield(), 0);
        while (round % 4 == 0 && atomic_load(&leaves) < 27)
            ck_assert_int_eq(task_yield(), 0);
        int r = group_close(&g);
        ck_assert(r == -ECANCELED || (r == 0 && atomic_load(&leaves) == 0));
        ck_assert_int_eq(atomic_load(&ended), atomic_load(&leaves));
        scheduler_stats(&stats);
        ck_assert_uint_eq(stats.tasks_live, 1);
    }
    return 0;
}

START_TEST(closing_a_group_ends_the_whole_tree_below_at_any_point)
{
    scheduled((unsigned)_i + 1, cancel_tree, NULL);
}
END_TEST

enum { CHAIN = 200 };

static int chain_task(void *arg)
{
    struct tree *t = arg;
    struct tree below = {t->depth - 1, 1, t->leaves, t->ended};
    struct group g;

    if (t->depth == 0) {
        atomic_fetch_add(t->leaves, 1);
        return sleeper_task((void *)t->ended);
    }
    group_open(&g, "chain");
    if (group_go(&g, chain_task, &below) < 0)
        return group_close(&g);
    return group_join(&g);
}

static int cancel_chain(void *arg)
{
    _Atomic int leaves = 0, ended = 0;
    struct tree top = {CHAIN, 1, &leaves, &ended};
    struct group g;

    (void)arg;
    group_open(&g, "top");
    ck_assert_int_eq(group_go(&g, chain_task, &top), 0);
    while (atomic_load(&leaves) == 0)
        ck_assert_int_eq(task_yield(), 0);
    ck_assert_int_eq(group_close(&g), -ECANCELED);
    ck_assert_int_eq(atomic_load(&ended), 1);
    return 0;
}

START_TEST(cancellation_reaches_the_end_of_a_long_chain)
{
    scheduled((unsigned)_i + 1, cancel_chain, NULL);
}
END_TEST

/* ---- level, and shields ---- */

static int level_task(void *arg)
{
    struct event never;
    struct group g;

    (void)arg;
    event_init(&never);
    ck_assert_int_eq(task_sleep_ns(3600 * NS_PER_S), -ECANCELED);
    /* Again and again, at each call that might park. */
    ck_assert_int_eq(task_cancelled(), -ECANCELED);
    ck_assert_int_eq(task_yield(), -ECANCELED);
    ck_assert_int_eq(task_checkpoint(), -ECANCELED);
    ck_assert_int_eq(task_sleep_ns(1), -ECANCELED);
    ck_assert_int_eq(event_wait(&never, 0), -ECANCELED);
    group_open(&g, "born cancelled");
    ck_assert_int_eq(group_go(&g, result_task, NULL), -ECANCELED);
    ck_assert_int_eq(group_close(&g), 0);
    return 7;
}

static int level(void *arg)
{
    struct group g;

    (void)arg;
    group_open(&g, "level");
    ck_assert_int_eq(group_go(&g, level_task, NULL), 0);
    let_others_run();
    group_cancel(&g, -ECANCELED);
    return group_join(&g);
}

START_TEST(a_cancelled_task_is_told_at_every_call)
{
    scheduled((unsigned)_i + 1, level, NULL);
}
END_TEST

struct shielded {
    struct event inside, gate;
};

static int shield_task(void *arg)
{
    struct shielded *s = arg;
    uint64_t now = clock_mono_ns();

    task_shield_begin(now + 3600 * NS_PER_S);
    event_set(&s->inside);
    ck_assert_int_eq(event_wait(&s->gate, 0), 0); /* cancelled meanwhile: not seen */
    ck_assert_int_eq(task_cancelled(), 0);
    ck_assert_int_eq(task_sleep_ns(NS_PER_MS), 0);
    task_shield_begin(clock_mono_ns() + NS_PER_MS); /* a shorter one within */
    ck_assert_int_eq(event_wait(&s->gate, 0), -ETIMEDOUT);
    task_shield_end();
    task_shield_end();
    ck_assert_int_eq(task_cancelled(), -ECANCELED);
    return 0;
}

static int shield(void *arg)
{
    struct shielded s;
    struct group g;

    (void)arg;
    event_init(&s.inside);
    event_init(&s.gate);
    group_open(&g, "shield");
    ck_assert_int_eq(group_go(&g, shield_task, &s), 0);
    ck_assert_int_eq(event_wait(&s.inside, 0), 0);
    group_cancel(&g, -ECANCELED);
    event_set(&s.gate);
    return group_join(&g);
}

START_TEST(a_shield_hides_cancellation_until_its_own_deadline)
{
    scheduled((unsigned)_i + 1, shield, NULL);
}
END_TEST

static void *cancel_from_outside(void *arg)
{
    group_cancel(arg, -ETIMEDOUT);
    return NULL;
}

static int foreign_cancel(void *arg)
{
    _Atomic int ended = 0;
    struct group g;
    pthread_t thread;

    (void)arg;
    group_open(&g, "foreign");
    for (int i = 0; i < MEMBERS; i++)
        ck_assert_int_eq(group_go(&g, sleeper_task, (void *)&ended), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_from_outside, &g), 0);
    ck_assert_int_eq(group_wait(&g), -ETIMEDOUT);
    pthread_join(thread, NULL);
    ck_assert_int_eq(group_close(&g), -ETIMEDOUT);
    ck_assert_int_eq(atomic_load(&ended), MEMBERS);
    return 0;
}

START_TEST(a_foreign_thread_may_cancel_a_group)
{
    scheduled((unsigned)_i + 1, foreign_cancel, NULL);
}
END_TEST

struct subtree {
    _Atomic unsigned *begun, *most; /* of the whole tree */
    unsigned height;
};

/* Counts from its beginning to its end, with a task for each of two subtrees in between. */
static int grow(void *arg)
{
    const struct subtree *me = arg;
    struct subtree below = {me->begun, me->most, me->height - 1};
    unsigned begun = atomic_fetch_add(me->begun, 1) + 1;
    struct group g;

    if (begun > atomic_load(me->most))
        atomic_store(me->most, begun);
    if (me->height > 0) {
        group_open(&g, "below");
        ck_assert_int_eq(group_go(&g, grow, &below), 0);
        ck_assert_int_eq(group_go(&g, grow, &below), 0);
        ck_assert_int_eq(group_join(&g), 0);
    }
    atomic_fetch_sub(me->begun, 1);
    return 0;
}

static int plant(void *arg)
{
    _Atomic unsigned begun = 0, most = 0;
    struct subtree whole = {&begun, &most, HEIGHT};

    (void)arg;
    ck_assert_int_eq(grow(&whole), 0);
    /* Across, half of all would have begun. Now and then the oldest has its turn. */
    ck_assert_uint_le(atomic_load(&most), (1U << HEIGHT) / 8);
    return 0;
}

START_TEST(a_tree_of_tasks_is_walked_down_before_it_is_walked_across)
{
    scheduled(1, plant, NULL);
}
END_TEST

static int note_run(void *arg)
{
    atomic_store((_Atomic bool *)arg, true);
    return 0;
}

/* _i > 0: its starter does not park, as it had said. */
static int start_quietly(void *arg)
{
    static const struct task_options options = {
        .name = "quiet", .site = __FILE__, .stack = STACK_NORMAL, .quiet = true};
    _Atomic bool ran = false;
    struct group g;

    group_open(&g, "quiet");
    ck_assert_int_eq(group_spawn(&g, note_run, (void *)&ran, &options), 0);
    while (arg != NULL && !atomic_load(&ran))
        ;
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert(atomic_load(&ran));
    return 0;
}

START_TEST(a_quiet_member_runs_when_its_starter_parks_and_when_it_does_not)
{
    static int computes;

    scheduled((unsigned)_i + 1, start_quietly, _i > 0 ? &computes : NULL);
}
END_TEST

/* ---- late, and the report of it cannot be written ---- */

enum { LATE = 64 };

static struct {
    struct event released[LATE];
    _Atomic unsigned ended;
    int log[2];
    unsigned ended_meanwhile;
} late;

static int be_late(void *released)
{
    task_shield_begin(clock_mono_ns() + 60 * NS_PER_S);
    ck_assert_int_eq(event_wait(released, 0), 0);
    task_shield_end();
    atomic_fetch_add(&late.ended, 1);
    return 0;
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)NS_PER_MS}, NULL);
}

/* Nobody reads the log until all have ended, or cannot. */
static void *read_late(void *arg)
{
    uint64_t until_ns = clock_mono_ns() + 10 * NS_PER_S;
    char line[4096];
    int filled = 0;

    (void)arg;
    while (filled < 3000 && clock_mono_ns() < until_ns) {
        nap();
        ck_assert_int_eq(ioctl(late.log[0], FIONREAD, &filled), 0);
    }
    for (int i = 0; i < LATE; i++)
        event_set(&late.released[i]);
    while (atomic_load(&late.ended) < LATE && clock_mono_ns() < until_ns)
        nap();
    late.ended_meanwhile = atomic_load(&late.ended);
    while (read(late.log[0], line, sizeof line) > 0)
        continue;
    return NULL;
}

static int close_late(void *arg)
{
    struct group g;

    (void)arg;
    group_open(&g, "late");
    group_grace(&g, NS_PER_MS);
    for (int i = 0; i < LATE; i++)
        ck_assert_int_eq(group_go(&g, be_late, &late.released[i]), 0);
    let_others_run();
    return group_close(&g);
}

START_TEST(members_end_although_the_report_that_they_are_late_cannot_be_written)
{
    pthread_t reader;

    for (int i = 0; i < LATE; i++)
        event_init(&late.released[i]);
    ck_assert_int_eq(pipe(late.log), 0);
    ck_assert_int_ge(fcntl(late.log[1], F_SETPIPE_SZ, 4096), 4096);
    log_setup(late.log[1], LOG_TEXT, LOG_WARN);
    ck_assert_int_eq(pthread_create(&reader, NULL, read_late, NULL), 0);
    scheduled(2, close_late, NULL);
    log_setup(2, LOG_TEXT, LOG_WARN);
    close(late.log[1]);
    ck_assert_int_eq(pthread_join(reader, NULL), 0);
    ck_assert_uint_eq(late.ended_meanwhile, LATE);
    close(late.log[0]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_group");
    TCase *tc = tcase_create("group");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, the_first_error_cancels_the_others_and_is_the_result, 0, 2);
    tcase_add_loop_test(tc, a_quiet_member_runs_when_its_starter_parks_and_when_it_does_not, 0,
                        2);
    tcase_add_loop_test(tc, a_collecting_group_goes_on_after_an_error, 0, 2);
    tcase_add_loop_test(tc, the_first_success_ends_a_race, 0, 2);
    tcase_add_loop_test(tc, a_deadline_ends_the_group_and_is_its_result, 0, 2);
    tcase_add_loop_test(tc, a_full_group_parks_who_spawns, 0, 2);
    tcase_add_loop_test(tc, who_is_cancelled_while_it_waits_to_spawn_spawns_nothing, 0, 2);
    tcase_add_loop_test(tc, closing_a_group_ends_the_whole_tree_below_at_any_point, 0, 2);
    tcase_add_loop_test(tc, cancellation_reaches_the_end_of_a_long_chain, 0, 2);
    tcase_add_loop_test(tc, a_cancelled_task_is_told_at_every_call, 0, 2);
    tcase_add_loop_test(tc, a_shield_hides_cancellation_until_its_own_deadline, 0, 2);
    tcase_add_loop_test(tc, a_foreign_thread_may_cancel_a_group, 0, 2);
    tcase_add_test(tc, members_end_although_the_report_that_they_are_late_cannot_be_written);
    tcase_add_test(tc, a_tree_of_tasks_is_walked_down_before_it_is_walked_across);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
