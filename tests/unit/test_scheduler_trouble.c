/* What goes wrong in task code is named: a stack that is used up, and all tasks asleep. */
#include "scheduler/chan.h"
#include "scheduler/sanitizer.h"

#include "tests/lib/scheduled.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* The sanitizers have handlers and stacks of their own for faults. */
#if defined(SANITIZER_ASAN) || defined(SANITIZER_TSAN)
#define FAULTS_ARE_OURS false
#else
#define FAULTS_ARE_OURS true
#endif

enum { FRAME_BYTES = 256, SAID_BYTES = 16384 };

/* How a process ended and what it wrote to standard error. */
struct ending {
    int status;
    char said[SAID_BYTES];
};

static void child_runs(int err, task_fn fn, void *arg)
{
    const struct scheduler_options options = {.processors = 2, .seed = SCHEDULED_SEED};

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    dup2(err, STDERR_FILENO);
    _exit(scheduler_run(&options, fn, arg) == -EDEADLK ? EDEADLK : 0);
}

/* A child runs fn(arg) as its root task; it exits with EDEADLK when that is the run's result,
 * else with 0. */
static void run_apart(task_fn fn, void *arg, struct ending *ret)
{
    int fds[2];
    size_t len = 0;
    ssize_t n;

    ck_assert_int_eq(pipe(fds), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        child_runs(fds[1], fn, arg);
    close(fds[1]);
    while ((n = read(fds[0], ret->said + len, SAID_BYTES - 1 - len)) > 0)
        len += (size_t)n;
    close(fds[0]);
    ret->said[len] = '\0';
    ck_assert_int_eq(waitpid(child, &ret->status, 0), child);
}

/* Ends only at a depth that no stack has room for. */
static __attribute__((noinline)) int dig(uint64_t depth)
{
    volatile char frame[FRAME_BYTES];

    frame[depth % FRAME_BYTES] = (char)depth;
    return depth == UINT64_MAX ? 0 : dig(depth + 1) + frame[depth % FRAME_BYTES];
}

static int dig_too_deep(void *arg)
{
    (void)arg;
    return dig(0);
}

static int spawn_digger(void *arg)
{
    const enum stack_class *class = arg;
    struct group g;

    group_open(&g, "diggers");
    ck_assert_int_eq(group_go_stack(&g, dig_too_deep, NULL, *class), 0);
    return group_join(&g);
}

START_TEST(a_stack_overflow_is_named_and_ends_the_process)
{
    enum stack_class class = (enum stack_class)_i;
    struct ending end;

    run_apart(spawn_digger, &class, &end);
    ck_assert(WIFSIGNALED(end.status));
    ck_assert(WTERMSIG(end.status) == SIGSEGV || WTERMSIG(end.status) == SIGBUS);
    ck_assert_ptr_nonnull(strstr(end.said, "stack overflow"));
    ck_assert_ptr_nonnull(strstr(end.said, "\"dig_too_deep\""));
    ck_assert_ptr_nonnull(strstr(end.said, "test_scheduler_trouble.c:"));
}
END_TEST

static int *volatile nowhere;

static int write_nowhere(void *arg)
{
    (void)arg;
    *nowhere = 1;
    return 0;
}

START_TEST(another_fault_ends_the_process_and_is_not_called_an_overflow)
{
    struct ending end;

    run_apart(write_nowhere, NULL, &end);
    ck_assert(WIFSIGNALED(end.status));
    ck_assert_int_eq(WTERMSIG(end.status), SIGSEGV);
    ck_assert_str_eq(end.said, "");
}
END_TEST

static int wait_for_nobody(void *arg)
{
    char got;

    return chan_recv(arg, &got, 0);
}

static int all_sleep(void *arg)
{
    struct chan *c = arg;
    struct group g;

    group_open(&g, "sleepers");
    ck_assert_int_eq(group_go(&g, wait_for_nobody, c), 0);
    return group_join(&g);
}

struct witness {
    struct chan *chan;
    _Atomic unsigned told;
    char report[SAID_BYTES];
};

/* Sends what they wait for: a program may know better. */
static void tell(void *ctx, const char *report)
{
    struct witness *w = ctx;

    atomic_fetch_add(&w->told, 1);
    strncpy(w->report, report, sizeof w->report - 1);
    ck_assert_int_eq(chan_try_send(w->chan, "x"), 0);
}

static void run_with_witness(unsigned processors, task_fn fn, struct witness *w)
{
    const struct scheduler_options options = {
        .processors = processors, .seed = SCHEDULED_SEED, .deadlock = tell, .deadlock_ctx = w};

    w->chan = chan_new(1, 1);
    ck_assert_ptr_nonnull(w->chan);
    ck_assert_int_eq(scheduler_run(&options, fn, w->chan), 0);
    chan_free(w->chan);
}

START_TEST(when_all_tasks_sleep_a_report_names_them)
{
    static struct witness w;

    run_with_witness((unsigned)_i + 1, all_sleep, &w);
    ck_assert_uint_eq(atomic_load(&w.told), 1);
    ck_assert_ptr_nonnull(strstr(w.report, "\"wait_for_nobody\" parked"));
    ck_assert_ptr_nonnull(strstr(w.report, "\"sleepers\""));
    ck_assert_ptr_nonnull(strstr(w.report, "test_scheduler_trouble.c:"));
}
END_TEST

START_TEST(without_a_listener_the_report_is_printed_and_the_run_ends)
{
    struct chan *c = chan_new(1, 1);
    struct ending end;

    ck_assert_ptr_nonnull(c);
    run_apart(all_sleep, c, &end);
    chan_free(c);
    ck_assert(WIFEXITED(end.status));
    ck_assert_int_eq(WEXITSTATUS(end.status), EDEADLK);
    ck_assert_ptr_nonnull(strstr(end.said, "deadlock"));
    ck_assert_ptr_nonnull(strstr(end.said, "\"wait_for_nobody\" parked"));
}
END_TEST

static int send_later(void *arg)
{
    ck_assert_int_eq(task_sleep_ns(5 * NS_PER_MS), 0);
    return chan_send(arg, "x", 0);
}

static int one_has_a_timer(void *arg)
{
    struct group g;

    group_open(&g, "awake");
    ck_assert_int_eq(group_go(&g, wait_for_nobody, arg), 0);
    ck_assert_int_eq(group_go(&g, send_later, arg), 0);
    return group_join(&g);
}

START_TEST(while_one_task_sleeps_for_a_time_nobody_is_dead)
{
    static struct witness w;

    run_with_witness((unsigned)_i + 1, one_has_a_timer, &w);
    ck_assert_uint_eq(atomic_load(&w.told), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_trouble");
    TCase *tc = tcase_create("trouble");

    tcase_set_timeout(tc, 120);
    if (FAULTS_ARE_OURS) {
        tcase_add_loop_test(tc, a_stack_overflow_is_named_and_ends_the_process, STACK_SMALL,
                            STACK_HUGE + 1);
        tcase_add_test(tc, another_fault_ends_the_process_and_is_not_called_an_overflow);
    }
    tcase_add_loop_test(tc, when_all_tasks_sleep_a_report_names_them, 0, 2);
    tcase_add_test(tc, without_a_listener_the_report_is_printed_and_the_run_ends);
    tcase_add_loop_test(tc, while_one_task_sleeps_for_a_time_nobody_is_dead, 0, 2);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
