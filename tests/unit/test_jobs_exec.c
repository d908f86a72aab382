/* What a command finds, says and means, on real processes. How it is ended is in
 * test_jobs_exec_kill.c. */
#include "jobs/cgroup.h"
#include "jobs/kinds_internal.h"
#include "jobs/spec.h"
#include "tests/lib/commands.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ------------------------------------------------------------------ exit codes */

static const struct {
    const char *exec;
    enum outcome_kind kind;
    enum job_reason reason;
} exits[] = {
    {"'shell':'exit 0'", OUTCOME_SUCCEEDED, REASON_NONE},
    {"'argv':['true']", OUTCOME_SUCCEEDED, REASON_NONE},
    {"'shell':'exit 1'", OUTCOME_FAILED, REASON_EXIT_NONZERO},
    {"'shell':'exit 63'", OUTCOME_FAILED, REASON_EXIT_NONZERO},
    {"'shell':'exit 64'", OUTCOME_FAILED_FINAL, REASON_EXIT_NONZERO},
    {"'shell':'exit 69'", OUTCOME_FAILED, REASON_EXIT_NONZERO},
    {"'shell':'exit 70'", OUTCOME_FAILED_FINAL, REASON_EXIT_NONZERO},
    {"'shell':'exit 71'", OUTCOME_FAILED, REASON_EXIT_NONZERO},
    {"'shell':'exit 75'", OUTCOME_FAILED, REASON_EXIT_NONZERO},
    {"'shell':'exit 78'", OUTCOME_FAILED_FINAL, REASON_EXIT_NONZERO},
    {"'shell':'exit 79'", OUTCOME_FAILED, REASON_EXIT_NONZERO},
    {"'shell':'exit 126'", OUTCOME_FAILED_FINAL, REASON_SPAWN_FAILED},
    {"'shell':'exit 127'", OUTCOME_FAILED_FINAL, REASON_SPAWN_FAILED},
    {"'shell':'exit 137'", OUTCOME_FAILED, REASON_EXIT_SIGNAL},
    {"'shell':'kill -9 $$'", OUTCOME_FAILED, REASON_EXIT_SIGNAL},
    {"'shell':'kill -SEGV $$'", OUTCOME_FAILED, REASON_EXIT_SIGNAL},
    {"'shell':'exit 250'", OUTCOME_FAILED, REASON_EXIT_NONZERO},
    {"'shell':'exit 3','success_codes':[3]", OUTCOME_SUCCEEDED, REASON_NONE},
    {"'shell':'exit 3','fail_codes':[3]", OUTCOME_FAILED_FINAL, REASON_EXIT_NONZERO},
    {"'shell':'exit 3','hold_codes':[3]", OUTCOME_HOLD, REASON_EXIT_NONZERO},
    {"'shell':'exit 64','retry_codes':[64]", OUTCOME_FAILED, REASON_EXIT_NONZERO},
    {"'shell':'kill -9 $$','fail_codes':[137]", OUTCOME_FAILED_FINAL, REASON_EXIT_SIGNAL},
    {"'shell':'exit 0','fail_codes':[0]", OUTCOME_FAILED_FINAL, REASON_EXIT_NONZERO},
};

static void run_exits(struct rig *rig)
{
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++) {
        struct shot shot;

        shot_fire(rig, &shot, commands_document(exits[i].exec));
        ck_assert_msg(shot.outcome.kind == exits[i].kind &&
                          shot.outcome.reason == exits[i].reason,
                      "%s: kind %d reason %d (%s)", exits[i].exec, shot.outcome.kind,
                      shot.outcome.reason, shot.outcome.error);
        ck_assert_msg((shot.outcome.kind == OUTCOME_SUCCEEDED) == (shot.outcome.error == NULL),
                      "%s: %s", exits[i].exec, shot.outcome.error);
        shot_end(&shot);
    }
    commands_check_nothing_left(rig);
}

START_TEST(an_exit_means_what_the_map_says)
{
    commands_both_ways(run_exits);
}
END_TEST

static void run_result(struct rig *rig)
{
    struct shot shot;

    shot_fire(rig, &shot, commands_document("'shell':'exit 7'"));
    ck_assert_int_eq(shot_int(&shot, "exit_code"), 7);
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"signal\":null"));
    ck_assert_str_eq(shot.outcome.error, "exited with code 7");
    shot_end(&shot);
    shot_fire(rig, &shot, commands_document("'shell':'kill -TERM $$'"));
    ck_assert_int_eq(shot_int(&shot, "signal"), SIGTERM);
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"exit_code\":null"));
    ck_assert_str_eq(shot.outcome.error, "killed by signal 15 (SIGTERM)");
    shot_end(&shot);
    /* A child's memory above our own is told, and so is its time. */
    shot_fire(
        rig, &shot,
        commands_document("'argv':['dd','if=/dev/zero','of=/dev/null','bs=128M','count=1']"));
    ck_assert_int_gt(shot_int(&shot, "max_rss_bytes"), 90000000);
    json_t *json = json_loads(shot.outcome.result, 0, NULL);
    ck_assert_double_gt(json_real_value(json_object_get(json, "cpu_seconds")), 0.01);
    json_decref(json);
    shot_end(&shot);
}

START_TEST(the_result_tells_code_signal_memory_and_time)
{
    commands_both_ways(run_result);
}
END_TEST

/* ------------------------------------------------------------------ surroundings */

static void check_output(struct rig *rig, const char *exec, enum log_stream stream,
                         const char *want)
{
    struct shot shot;

    shot_fire(rig, &shot, commands_document(exec));
    char *got = shot_output(&shot, stream);
    ck_assert_str_eq(got, want);
    free(got);
    shot_end(&shot);
}

static void run_streams(struct rig *rig)
{
    check_output(rig, "'shell':'echo out; echo err >&2'", STREAM_STDOUT, "out\n");
    check_output(rig, "'shell':'echo out; echo err >&2'", STREAM_STDERR, "err\n");
    check_output(rig, "'argv':['cat'],'stdin':'line 1\\nline 2\\n'", STREAM_STDOUT,
                 "line 1\nline 2\n");
    check_output(rig, "'argv':['wc','-c']", STREAM_STDOUT, "0\n");
    check_output(rig, "'argv':['printf','%s|','a b','','$HOME']", STREAM_STDOUT, "a b||$HOME|");
    commands_check_nothing_left(rig);
}

START_TEST(streams_arguments_and_input_arrive_as_given)
{
    commands_both_ways(run_streams);
}
END_TEST

static void run_environment(struct rig *rig)
{
    struct shot shot;

    setenv("SECRET_OF_THE_DAEMON", "1", 1);
    shot_start(
        rig, &shot,
        commands_document("'argv':['env'],'env':{'Q':'80','LANG':'de','STINT_FENCE':'99'}"), 5,
        3);
    shot_wait(&shot);
    char *got = shot_output(&shot, STREAM_STDOUT);
    ck_assert_ptr_null(strstr(got, "SECRET"));
    ck_assert_ptr_nonnull(strstr(got, "Q=80\n"));
    ck_assert_ptr_nonnull(strstr(got, "LANG=de\n"));
    ck_assert_ptr_nonnull(strstr(got, "PATH=/usr/local/sbin:"));
    ck_assert_ptr_nonnull(strstr(got, "HOME=/"));
    ck_assert_ptr_nonnull(strstr(got, "STINT_JOB_ID=5\n"));
    ck_assert_ptr_nonnull(strstr(got, "STINT_FENCE=3\n"));
    ck_assert_ptr_null(strstr(got, "STINT_FENCE=99"));
    ck_assert_ptr_nonnull(strstr(got, "STINT_QUEUE=default\n"));
    ck_assert_ptr_nonnull(strstr(got, "STINT_RESULT=/"));
    free(got);
    shot_end(&shot);
}

START_TEST(the_environment_is_clean_and_ours_is_not_overridden)
{
    commands_both_ways(run_environment);
}
END_TEST

static void run_process_state(struct rig *rig)
{
    /* A session of its own, no signal ignored or blocked, no descriptor but three. */
    check_output(rig, "'shell':'set -- $(cat /proc/$$/stat); test $6 = $$ && echo leads'",
                 STREAM_STDOUT, "leads\n");
    check_output(rig, "'shell':'grep -E \\'^Sig(Blk|Ign)\\' /proc/self/status | cut -f2'",
                 STREAM_STDOUT, "0000000000000000\n0000000000000000\n");
    check_output(rig, "'shell':'ls /proc/$$/fd'", STREAM_STDOUT, "0\n1\n2\n");
    check_output(rig, "'shell':'umask; ulimit -c; ulimit -Sn'", STREAM_STDOUT,
                 "0022\n0\n1024\n");
    check_output(rig, "'argv':['pwd'],'cwd':'/usr'", STREAM_STDOUT, "/usr\n");
}

/* Whoever starts the daemon may have it ignored; libc keeps it to itself. */
static void ignore_signal_of_libc(void)
{
    const unsigned long action[8] = {(unsigned long)SIG_IGN};

    ck_assert_int_eq(syscall(SYS_rt_sigaction, 32L, action, NULL, 8L), 0);
}

START_TEST(a_process_starts_from_a_known_state)
{
    signal(SIGPIPE, SIG_IGN);
    ignore_signal_of_libc();
    commands_both_ways(run_process_state);
}
END_TEST

static void run_scratch(struct rig *rig)
{
    struct shot shot;
    struct stat st;

    shot_fire(rig, &shot,
              commands_document("'shell':'pwd; mkdir -p a/b/c; echo x >a/b/c/d; chmod 0 a/b'"));
    char *folder = shot_output(&shot, STREAM_STDOUT);
    folder[strcspn(folder, "\n")] = 0;
    ck_assert_ptr_nonnull(strstr(folder, rig->dir));
    ck_assert_int_lt(stat(folder, &st), 0);
    free(folder);
    shot_end(&shot);
    commands_check_nothing_left(rig);
}

START_TEST(the_scratch_folder_is_where_it_runs_and_goes_with_it)
{
    commands_both_ways(run_scratch);
}
END_TEST

static void run_own_result(struct rig *rig)
{
    struct shot shot;

    shot_fire(rig, &shot,
              commands_document(
                  "'shell':'echo `{\\'result\\':{\\'n\\':[1,2]},\\'retry_in\\':\\'30s\\'}` "
                  ">$STINT_RESULT; exit 1'"));
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"result\":{\"n\":[1,2]}"));
    ck_assert_int_eq(shot.outcome.retry_after_ms, 30000);
    shot_end(&shot);
    shot_fire(rig, &shot, commands_document("'shell':'echo nonsense >$STINT_RESULT'"));
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"result_error\":"));
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_SUCCEEDED);
    shot_end(&shot);
    shot_fire(rig, &shot,
              commands_document("'shell':'head -c 70000 /dev/zero >$STINT_RESULT'"));
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"result_error\":"));
    shot_end(&shot);
    /* Neither a link out nor a FIFO is read. */
    shot_fire(rig, &shot, commands_document("'shell':'ln -s /etc/passwd $STINT_RESULT'"));
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"result_error\":"));
    shot_end(&shot);
    shot_fire(rig, &shot, commands_document("'shell':'mkfifo $STINT_RESULT'"));
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"result_error\":"));
    shot_end(&shot);
}

START_TEST(a_child_may_hand_in_its_own_result)
{
    commands_both_ways(run_own_result);
}
END_TEST

static void run_flood(struct rig *rig)
{
    struct shot shot;

    shot_fire(
        rig, &shot,
        commands_document("'shell':'head -c 3000000 /dev/zero | tr `\\\\0` x; echo end >&2'"));
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_SUCCEEDED);
    char *got = shot_output(&shot, STREAM_STDOUT);
    ck_assert_uint_eq(strlen(got), 100000);
    free(got);
    got = shot_output(&shot, STREAM_NONE);
    ck_assert_ptr_nonnull(strstr(got, "output beyond 100000 bytes was dropped"));
    free(got);
    shot_end(&shot);
}

START_TEST(a_flood_is_cut_and_the_job_goes_on)
{
    const struct kind_config small = {.cgroups = true, .log_bytes_max = 100000};

    rig_run(NULL, &small, run_flood);
}
END_TEST

/* ------------------------------------------------------------------ failures to start */

static void check_spawn_error(struct rig *rig, const char *exec, const char *names)
{
    struct shot shot;

    shot_fire(rig, &shot, commands_document(exec));
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_FAILED_FINAL);
    ck_assert_int_eq(shot.outcome.reason, REASON_SPAWN_FAILED);
    ck_assert_msg(strstr(shot.outcome.error, names) != NULL, "%s", shot.outcome.error);
    shot_end(&shot);
}

static void run_spawn_errors(struct rig *rig)
{
    check_spawn_error(rig, "'argv':['no-such-command']",
                      "no-such-command: no such command in PATH");
    check_spawn_error(rig, "'argv':['/no/such']", "cannot run /no/such: ");
    check_spawn_error(rig, "'argv':['/etc/passwd']", "/etc/passwd: Permission denied");
    check_spawn_error(rig, "'argv':['/usr']", "/usr: Permission denied");
    check_spawn_error(rig, "'argv':['true'],'cwd':'/no/such'", "folder /no/such: No such file");
    check_spawn_error(rig, "'argv':['true'],'cwd':'/etc/passwd'",
                      "/etc/passwd: Not a directory");
    check_spawn_error(rig, "'argv':['true'],'env':{'PATH':'/nowhere'}",
                      "true: no such command");
    commands_check_nothing_left(rig);
}

START_TEST(a_command_that_cannot_start_is_named)
{
    commands_both_ways(run_spawn_errors);
}
END_TEST

static void run_no_limits(struct rig *rig)
{
    struct shot shot;

    shot_fire(rig, &shot, commands_document("'argv':['true'],'limits':{'memory':'64M'}"));
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_FAILED_FINAL);
    ck_assert_int_eq(shot.outcome.reason, REASON_SPAWN_FAILED);
    ck_assert_msg(strstr(shot.outcome.error, "cannot be enforced") != NULL, "%s",
                  shot.outcome.error);
    shot_end(&shot);
    rig->config.limits_optional = true;
    shot_fire(rig, &shot, commands_document("'argv':['true'],'limits':{'memory':'64M'}"));
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_SUCCEEDED);
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"limits_enforced\":false"));
    shot_end(&shot);
    commands_check_nothing_left(rig);
}

START_TEST(limits_that_cannot_be_enforced_are_refused_or_owned_up)
{
    rig_run(NULL, &commands_without_cgroups, run_no_limits);
}
END_TEST

static void run_limits(struct rig *rig)
{
    struct shot shot;

    if (!rig->kinds->cgroups ||
        !(cgroup_root_controllers(rig->kinds->cgroups) & CGROUP_MEMORY)) {
        run_no_limits(rig);
        return;
    }
    shot_fire(rig, &shot,
              commands_document(
                  "'argv':['tail','-c','100000000','/dev/zero'],'limits':{'memory':'16M'}"));
    ck_assert_int_eq(shot.outcome.reason, REASON_OOM);
    shot_end(&shot);
}

START_TEST(a_memory_limit_ends_the_job_with_reason_oom)
{
    rig_run(NULL, &commands_with_cgroups, run_limits);
}
END_TEST

#define TIMEOUT_S 240 /* of a test; sanitizers and a loaded machine included */

int main(void)
{
    return SUITE_MAIN_WITHIN(TIMEOUT_S, "exec", an_exit_means_what_the_map_says,
                             the_result_tells_code_signal_memory_and_time,
                             streams_arguments_and_input_arrive_as_given,
                             the_environment_is_clean_and_ours_is_not_overridden,
                             a_process_starts_from_a_known_state,
                             the_scratch_folder_is_where_it_runs_and_goes_with_it,
                             a_child_may_hand_in_its_own_result,
                             a_flood_is_cut_and_the_job_goes_on,
                             a_command_that_cannot_start_is_named,
                             limits_that_cannot_be_enforced_are_refused_or_owned_up,
                             a_memory_limit_ends_the_job_with_reason_oom);
}
