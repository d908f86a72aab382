/* The notes from which the scheduler was made, the sentences about how tasks end: a test each.
 * See test_scheduler_notes.c. */
#include "base/log.h"
#include "scheduler/chan.h"
#include "scheduler/waitgroup.h"

#include "tests/lib/scheduled.h"

#include <string.h>
#include <unistd.h>

static _Atomic unsigned count;

/* ---- "adding 1 to a wait group over and over smells" ---- */

static int add_one_myself(void *arg)
{
    struct waitgroup *w = arg;

    waitgroup_add(w, 1); /* whoever waits may be gone already */
    ck_assert_int_eq(task_yield(), 0);
    waitgroup_done(w);
    return 0;
}

static int misuse(void *arg)
{
    bool by_tasks = *(bool *)arg;
    struct waitgroup w;
    struct group g;

    waitgroup_init(&w);
    group_open(&g, "adders");
    for (int i = 0; i <= WAITGROUP_ADD_ONES_MAX; i++)
        if (by_tasks)
            ck_assert_int_eq(group_go(&g, add_one_myself, &w), 0);
        else
            waitgroup_add(&w, 1);
    return group_join(&g);
}

/* What a run of it writes to the log, in static memory. */
static const char *log_of(bool by_tasks)
{
    static char said[4096];
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    log_setup(ends[1], LOG_TEXT, LOG_WARN);
    scheduled(1, misuse, &by_tasks);
    log_setup(2, LOG_TEXT, LOG_WARN);
    close(ends[1]);
    ssize_t n = read(ends[0], said, sizeof said - 1);
    ck_assert_int_ge(n, 0);
    said[n] = '\0';
    close(ends[0]);
    return said;
}

START_TEST(adding_one_over_and_over_is_reported)
{
    const char *said = log_of(_i == 1);

    ck_assert_ptr_nonnull(strstr(said, "scheduler.waitgroup_add_ones"));
    ck_assert_ptr_nonnull(strstr(said, __FILE__ ":"));
    ck_assert_str_eq(log_of(_i == 1), ""); /* once */
}
END_TEST

/* ---- "only start a task if you know when and how it ends" ---- */

static int sleep_for_ever(void *arg)
{
    (void)arg;
    int r = task_sleep_ns(UINT64_MAX);
    atomic_fetch_add(&count, 1);
    return r;
}

static uint64_t tasks_live(void)
{
    struct scheduler_stats stats;

    scheduler_stats(&stats);
    return stats.tasks_live;
}

static int end_them(void *arg)
{
    struct group g;

    (void)arg;
    atomic_store(&count, 0);
    group_open(&g, "closed");
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(group_go(&g, sleep_for_ever, NULL), 0);
    group_close(&g);
    ck_assert_uint_eq(atomic_load(&count), 10);
    group_open(&g, "timed");
    ck_assert_int_eq(group_deadline(&g, SOON), 0);
    ck_assert_int_eq(group_go(&g, sleep_for_ever, NULL), 0);
    ck_assert_int_eq(group_join(&g), -ETIMEDOUT);
    ck_assert_uint_eq(tasks_live(), 1);
    return 0;
}

/* Its tasks would have no end that anybody knows. */
static int leave_a_group_open(void *arg)
{
    static struct group g;

    (void)arg;
    group_open(&g, "forgotten");
    return group_go(&g, sleep_for_ever, NULL);
}

START_TEST(no_task_is_without_a_known_end)
{
    scheduled(2, end_them, NULL);
}
END_TEST

START_TEST(a_task_that_leaves_a_group_open_ends_the_process)
{
    close(STDERR_FILENO);
    scheduled(1, leave_a_group_open, NULL);
}
END_TEST

/* ---- "there is an error when all are asleep, which fails once one recurring timer exists"
 * ----
 */

struct sleepers {
    struct chan *chan;
    _Atomic unsigned told;
};

static int tick(void *arg)
{
    (void)arg;
    for (;;) {
        int r = task_sleep_ns(NS_PER_MS);
        if (r < 0)
            return r;
    }
}

static int wait_for_nobody(void *arg)
{
    return chan_recv(arg, NULL, 0);
}

static int sleep_beside_a_ticker(void *arg)
{
    const struct task_options options = {
        .name = "tick", .site = __FILE__, .stack = STACK_NORMAL, .background = true};
    struct sleepers *s = arg;
    struct group ticker, dead;

    group_open(&ticker, "ticker");
    group_open(&dead, "dead");
    ck_assert_int_eq(group_spawn(&ticker, tick, NULL, &options), 0);
    ck_assert_int_eq(group_go(&dead, wait_for_nobody, s->chan), 0);
    int r = group_join(&dead);
    group_close(&ticker);
    return r;
}

static void tell(void *ctx, const char *report)
{
    struct sleepers *s = ctx;

    ck_assert_ptr_nonnull(strstr(report, "\"wait_for_nobody\" parked"));
    atomic_fetch_add(&s->told, 1);
    ck_assert_int_eq(chan_try_send(s->chan, NULL), 0);
}

START_TEST(all_asleep_is_told_although_a_timer_recurs)
{
    struct sleepers s = {.chan = chan_new(0, 1)};
    const struct scheduler_options options = {.processors = (unsigned)_i,
                                              .seed = SCHEDULED_SEED,
                                              .deadlock = tell,
                                              .deadlock_ctx = &s};

    ck_assert_int_eq(scheduler_run(&options, sleep_beside_a_ticker, &s), 0);
    ck_assert_uint_eq(atomic_load(&s.told), 1);
    chan_free(s.chan);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_notes_ends");
    TCase *tc = tcase_create("notes");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, adding_one_over_and_over_is_reported, 0, 2);
    tcase_add_test(tc, no_task_is_without_a_known_end);
    tcase_add_test_raise_signal(tc, a_task_that_leaves_a_group_open_ends_the_process, SIGABRT);
    tcase_add_loop_test(tc, all_asleep_is_told_although_a_timer_recurs, 1, 3);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
