/* How commands are ended: stops, trees of processes that hide, what a killed daemon left. What
 * a test starts it also sees gone: K1 and E1. */
#include "base/clock.h"
#include "jobs/kinds_internal.h"
#include "jobs/spec.h"
#include "scheduler/task.h"
#include "tests/lib/commands.h"
#include "tests/lib/folder.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define RUNS 40
#else
#define RUNS 200
#endif

/* ------------------------------------------------------------------ stopping */

/* Children that ignore SIGTERM, one in a session of its own, one twice forked without anything
 * of our environment. */
#define STUBBORN                                                                               \
    "'shell':'trap `` TERM INT HUP; (trap `` TERM; while :; do sleep 1000; done) & "           \
    "setsid sh -c `trap : TERM; (sleep 1000 & sleep 1000) & while :; do sleep 1000; done` & "  \
    "(env -i setsid sh -c `sleep 1000 & exec sleep 1000` &) ; "                                \
    "sleep 0.05; touch %s/ready; while :; do sleep 1000; done','stop_grace':'%s'"

static void run_stubborn(struct rig *rig)
{
    char exec[1024], path[600];
    struct shot shot;

    snprintf(exec, sizeof exec, STUBBORN, rig->dir, "100ms");
    snprintf(path, sizeof path, "%s/ready", rig->dir);
    shot_start(rig, &shot, commands_document(exec), 11, 1);
    rig_await(path);
    uint64_t start_ns = clock_mono_ns();
    shot_cancel(&shot, -ECANCELED);
    shot_wait(&shot);
    uint64_t took_ms = (clock_mono_ns() - start_ns) / NS_PER_MS;
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_STOPPED);
    ck_assert_int_eq(shot_int(&shot, "signal"), SIGKILL);
    ck_assert_uint_ge(took_ms, 100);
    ck_assert_uint_lt(took_ms, 5000);
    shot_end(&shot);
    commands_check_nothing_left(rig);
}

START_TEST(a_cancel_kills_children_that_ignore_it_and_hide)
{
    commands_both_ways(run_stubborn);
}
END_TEST

static void run_polite(struct rig *rig)
{
    char exec[600], path[600];
    struct shot shot;

    /* The children say goodbye within the grace although the main process goes at once. */
    snprintf(exec, sizeof exec,
             "'shell':'(trap `sleep 0.1; echo child; exit 0` TERM; touch %s/ready; "
             "while :; do sleep 0.01; done) & trap `echo main; exit 0` TERM; "
             "while :; do sleep 0.01; done'",
             rig->dir);
    snprintf(path, sizeof path, "%s/ready", rig->dir);
    shot_start(rig, &shot, commands_document(exec), 12, 1);
    rig_await(path);
    shot_cancel(&shot, -ETIMEDOUT);
    shot_wait(&shot);
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_STOPPED);
    ck_assert_int_eq(shot.outcome.reason, REASON_TIMEOUT_ATTEMPT);
    char *got = shot_output(&shot, STREAM_STDOUT);
    ck_assert_msg(strstr(got, "main") && strstr(got, "child"), "%s", got);
    free(got);
    shot_end(&shot);
    commands_check_nothing_left(rig);
}

START_TEST(the_whole_group_has_its_grace)
{
    commands_both_ways(run_polite);
}
END_TEST

static void run_mixed(struct rig *rig)
{
    char exec[600], path[600];
    struct shot shot;

    snprintf(exec, sizeof exec,
             "'shell':'(trap `echo child` TERM; touch %s/ready; "
             "while :; do sleep 0.01; done) & trap `sleep 0.1; exit 0` TERM; "
             "while :; do sleep 0.01; done','kill_mode':'mixed'",
             rig->dir);
    snprintf(path, sizeof path, "%s/ready", rig->dir);
    shot_start(rig, &shot, commands_document(exec), 13, 1);
    rig_await(path);
    shot_cancel(&shot, -ECANCELED);
    shot_wait(&shot);
    ck_assert_int_eq(shot_int(&shot, "exit_code"), 0);
    char *got = shot_output(&shot, STREAM_STDOUT);
    ck_assert_str_eq(got, "");
    free(got);
    shot_end(&shot);
    commands_check_nothing_left(rig);
}

START_TEST(in_mixed_mode_only_the_main_process_is_asked)
{
    commands_both_ways(run_mixed);
}
END_TEST

static void run_harder(struct rig *rig)
{
    char exec[1024], path[600];
    struct shot shot;

    snprintf(exec, sizeof exec, STUBBORN, rig->dir, "1h");
    snprintf(path, sizeof path, "%s/ready", rig->dir);
    shot_start(rig, &shot, commands_document(exec), 14, 1);
    rig_await(path);
    shot_cancel(&shot, -ECANCELED);
    ck_assert_int_eq(event_wait(&shot.ended, clock_mono_ns() + 50 * NS_PER_MS), -ETIMEDOUT);
    uint64_t start_ns = clock_mono_ns();
    shot.grace_ms = 0;
    shot_wait(&shot);
    ck_assert_uint_lt((clock_mono_ns() - start_ns) / NS_PER_MS, 3000);
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_STOPPED);
    shot_end(&shot);
    commands_check_nothing_left(rig);
}

START_TEST(a_harder_cancel_shortens_the_grace)
{
    commands_both_ways(run_harder);
}
END_TEST

static void run_stopped_process(struct rig *rig)
{
    char exec[600], path[600];
    struct shot shot;

    snprintf(exec, sizeof exec,
             "'shell':'trap `exit 5` TERM; touch %s/ready; kill -STOP $$; :'", rig->dir);
    snprintf(path, sizeof path, "%s/ready", rig->dir);
    shot_start(rig, &shot, commands_document(exec), 15, 1);
    rig_await(path);
    shot_cancel(&shot, -ECANCELED);
    shot_wait(&shot);
    ck_assert_int_eq(shot_int(&shot, "exit_code"), 5);
    shot_end(&shot);
}

START_TEST(a_stopped_process_is_woken_to_obey)
{
    commands_both_ways(run_stopped_process);
}
END_TEST

static void run_cancelled_before(struct rig *rig)
{
    struct shot shot;

    for (int i = 0; i < 50; i++) {
        shot_start(rig, &shot, commands_document("'argv':['sleep','1000'],'stop_grace':'1ms'"),
                   100, 1);
        for (int spin = 0; spin < i; spin++)
            task_yield();
        shot_cancel(&shot, -ECANCELED);
        shot_wait(&shot);
        ck_assert_int_eq(shot.outcome.kind, OUTCOME_STOPPED);
        shot_end(&shot);
    }
    commands_check_nothing_left(rig);
}

START_TEST(a_cancel_at_any_moment_of_the_start_leaves_nothing)
{
    commands_both_ways(run_cancelled_before);
}
END_TEST

/* ------------------------------------------------------------------ trees */

static void run_background(struct rig *rig)
{
    struct shot shot;
    uint64_t start_ns = clock_mono_ns();

    shot_fire(rig, &shot,
              commands_document(
                  "'shell':'sleep 1000 & setsid sleep 1000 & (env -i setsid sleep 1000 &); "
                  "echo done'"));
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_SUCCEEDED);
    ck_assert_uint_lt((clock_mono_ns() - start_ns) / NS_PER_MS, 1500);
    char *got = shot_output(&shot, STREAM_STDOUT);
    ck_assert_str_eq(got, "done\n");
    free(got);
    shot_end(&shot);
    commands_check_nothing_left(rig);
}

START_TEST(a_background_grandchild_neither_hangs_the_job_nor_outlives_it)
{
    commands_both_ways(run_background);
}
END_TEST

static void run_orphans(struct rig *rig)
{
    struct shot shot;

    /* 60 orphans that end while the job lives must not stay zombies of ours. */
    shot_fire(rig, &shot,
              commands_document(
                  "'shell':'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "
                  "(sleep 0.01 & setsid sleep 0.01 & ); done; sleep 1.5; "
                  "ps -o stat= --ppid $PPID | grep -c Z; true'"));
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_SUCCEEDED);
    char *got = shot_output(&shot, STREAM_STDOUT);
    ck_assert_str_eq(got, "0\n");
    free(got);
    shot_end(&shot);
    commands_check_nothing_left(rig);
}

START_TEST(adopted_orphans_do_not_stay_zombies)
{
    commands_both_ways(run_orphans);
}
END_TEST

static unsigned count_fds(void)
{
    return folder_count("/proc/self/fd");
}

static void run_many(struct rig *rig)
{
    struct shot shot;
    unsigned fds = 0;

    for (int i = 0; i < RUNS; i++) {
        shot_fire(rig, &shot,
                  commands_document(i % 4 == 0   ? "'shell':'sleep 1000 & echo $!'"
                                    : i % 4 == 1 ? "'argv':['true']"
                                    : i % 4 == 2 ? "'argv':['no-such-command']"
                                                 : "'shell':'echo err >&2; exit 1'"));
        shot_end(&shot);
        if (i == 23) /* whose cgroup is kept, as that of the last one */
            fds = count_fds();
    }
    /* The reaper's look at /proc holds one for a moment. */
    for (int tries = 0; count_fds() > fds && tries < 100; tries++)
        task_sleep_ns(10 * NS_PER_MS);
    ck_assert_uint_le(count_fds(), fds);
    commands_check_nothing_left(rig);
}

START_TEST(many_runs_leave_no_process_descriptor_or_cgroup)
{
    commands_both_ways(run_many);
}
END_TEST

static void run_crowd(struct rig *rig)
{
    enum { CROWD = 40 };
    struct shot *shots = calloc(CROWD, sizeof *shots);

    for (unsigned i = 0; i < CROWD; i++)
        shot_start(
            rig, &shots[i],
            commands_document("'shell':'echo $STINT_JOB_ID; (sleep 1000 &); sleep 0.05'"),
            1000 + i, 1);
    for (unsigned i = 0; i < CROWD; i++) {
        char want[16];
        shot_wait(&shots[i]);
        ck_assert_msg(shots[i].outcome.kind == OUTCOME_SUCCEEDED, "%s", shots[i].outcome.error);
        char *got = shot_output(&shots[i], STREAM_STDOUT);
        snprintf(want, sizeof want, "%u\n", 1000 + i);
        ck_assert_str_eq(got, want);
        free(got);
        shot_end(&shots[i]);
    }
    free(shots);
    commands_check_nothing_left(rig);
}

START_TEST(a_crowd_at_once_kills_only_its_own)
{
    commands_both_ways(run_crowd);
}
END_TEST

/* One leaves a process that forks without end, the other must not notice when that is killed:
 * neither may find the other in its cgroup. */
static void run_stragglers(struct rig *rig)
{
    for (unsigned i = 0; i < 30; i++) {
        struct shot wild, calm;

        shot_start(rig, &wild,
                   commands_document("'shell':'(while :; do (exec true); done) & exit 0'"),
                   2000 + i, 1);
        shot_start(rig, &calm,
                   commands_document("'shell':'sleep 0.01; (exec true); echo calm'"), 3000 + i,
                   1);
        shot_wait(&wild);
        shot_wait(&calm);
        ck_assert_msg(wild.outcome.kind == OUTCOME_SUCCEEDED, "%s", wild.outcome.error);
        ck_assert_msg(calm.outcome.kind == OUTCOME_SUCCEEDED, "%s", calm.outcome.error);
        shot_end(&wild);
        shot_end(&calm);
    }
    commands_check_nothing_left(rig);
}

START_TEST(a_straggler_that_forks_dies_alone)
{
    commands_both_ways(run_stragglers);
}
END_TEST

/* ------------------------------------------------------------------ recovery */

struct leftover {
    char *dir;
    bool cgroups;
};

static void leave_behind(struct rig *rig)
{
    char exec[1024], path[600];
    static struct shot shot;

    snprintf(exec, sizeof exec, STUBBORN, rig->dir, "1h");
    snprintf(path, sizeof path, "%s/ready", rig->dir);
    shot_start(rig, &shot, commands_document(exec), 77, 1);
    rig_await(path);
    kill(getpid(), SIGKILL);
}

static void see_nothing(struct rig *rig)
{
    commands_check_nothing_left(rig);
}

static void crash_and_recover(const struct kind_config *first, const struct kind_config *second)
{
    char *dir = folder_new();
    pid_t pid = fork();
    int status;

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        rig_run(dir, first, leave_behind);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    rig_run(dir, second, see_nothing);
    folder_remove(dir);
}

START_TEST(what_a_killed_daemon_left_is_ended_by_the_next)
{
    crash_and_recover(&commands_with_cgroups, &commands_with_cgroups);
    crash_and_recover(&commands_without_cgroups, &commands_without_cgroups);
    crash_and_recover(&commands_with_cgroups, &commands_without_cgroups);
    crash_and_recover(&commands_without_cgroups, &commands_with_cgroups);
}
END_TEST

static void run_neighbour(struct rig *rig)
{
    char exec[1024], path[600];
    struct shot shot;
    char *other = folder_new();

    /* Another store's daemon starts and recovers while our job runs. */
    snprintf(exec, sizeof exec, "'shell':'touch %s/ready; sleep 0.3; echo alive'", rig->dir);
    snprintf(path, sizeof path, "%s/ready", rig->dir);
    shot_start(rig, &shot, commands_document(exec), 1, 1);
    rig_await(path);
    struct kind_config config = rig->config;
    struct kinds *kinds;
    config.state_dir = other;
    ck_assert_int_eq(kinds_open(&config, &rig->group, &kinds), 0);
    kinds_close(kinds);
    shot_wait(&shot);
    char *got = shot_output(&shot, STREAM_STDOUT);
    ck_assert_str_eq(got, "alive\n");
    free(got);
    shot_end(&shot);
    folder_remove(other);
}

START_TEST(the_jobs_of_another_state_folder_are_left_alone)
{
    commands_both_ways(run_neighbour);
}
END_TEST

#define TIMEOUT_S 240 /* of a test; sanitizers and a loaded machine included */

int main(void)
{
    return SUITE_MAIN_WITHIN(
        TIMEOUT_S, "exec_kill", a_cancel_kills_children_that_ignore_it_and_hide,
        the_whole_group_has_its_grace, in_mixed_mode_only_the_main_process_is_asked,
        a_harder_cancel_shortens_the_grace, a_stopped_process_is_woken_to_obey,
        a_cancel_at_any_moment_of_the_start_leaves_nothing,
        a_background_grandchild_neither_hangs_the_job_nor_outlives_it,
        adopted_orphans_do_not_stay_zombies, many_runs_leave_no_process_descriptor_or_cgroup,
        a_straggler_that_forks_dies_alone, a_crowd_at_once_kills_only_its_own,
        what_a_killed_daemon_left_is_ended_by_the_next,
        the_jobs_of_another_state_folder_are_left_alone);
}
