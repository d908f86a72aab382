/* Real commands, with cgroups where this system has them and without. What a test starts it
 * also sees gone: K1 and E1. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/own.h"
#include "jobs/cgroup.h"
#include "jobs/kinds_internal.h"
#include "jobs/proctree.h"
#include "jobs/spec.h"
#include "scheduler/task.h"
#include "tests/lib/folder.h"
#include "tests/lib/rig.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define RUNS 40
#else
#define RUNS 200
#endif

static const struct kind_config with_cgroups = {.cgroups = true};
static const struct kind_config without_cgroups = {.cgroups = false};

/* Each test of this kind runs both ways. */
static void both_ways(void (*body)(struct rig *rig))
{
    rig_run(NULL, &with_cgroups, body);
    rig_run(NULL, &without_cgroups, body);
}

static unsigned count_entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned count = 0;

    if (!dir)
        return 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* Processes that have word in their environment. */
static unsigned count_marked(const char *word)
{
    DIR *dir = opendir("/proc");
    unsigned count = 0;

    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        OWN_BUF struct buf b = BUF_INIT;
        char path[300];

        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "/proc/%s/environ", entry->d_name);
        if (io_file_read(AT_FDCWD, path, 1 << 20, &b) == 0)
            count += memmem(b.data, b.len, word, strlen(word)) != NULL;
    }
    closedir(dir);
    return count;
}

static void check_nothing_left(struct rig *rig)
{
    char word[64], path[600];

    snprintf(word, sizeof word, "STINT_STATE=%016llx",
             (unsigned long long)rig->kinds->state_id);
    ck_assert_uint_eq(count_marked(word), 0);
    snprintf(path, sizeof path, "%s/tmp", rig->dir);
    ck_assert_uint_eq(count_entries(path), 2);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
    if (!rig->kinds->cgroups)
        return;
    DIR *dir = opendir(cgroup_root_path(rig->kinds->cgroups));
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        ck_assert_msg(entry->d_type != DT_DIR || entry->d_name[0] == '.', "cgroup %s is left",
                      entry->d_name);
    closedir(dir);
}

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

/* Single quotes are double ones, so that documents can be read in C. */
static const char *doc(const char *exec)
{
    static char text[4096];
    char *out = text + sprintf(text, "{\"exec\":{");

    for (; *exec; exec++)
        *out++ = *exec == '\'' ? '"' : *exec == '`' ? '\'' : *exec;
    strcpy(out, "}}");
    return text;
}

static void run_exits(struct rig *rig)
{
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++) {
        struct shot shot;

        shot_fire(rig, &shot, doc(exits[i].exec));
        ck_assert_msg(shot.outcome.kind == exits[i].kind &&
                          shot.outcome.reason == exits[i].reason,
                      "%s: kind %d reason %d (%s)", exits[i].exec, shot.outcome.kind,
                      shot.outcome.reason, shot.outcome.error);
        ck_assert_msg((shot.outcome.kind == OUTCOME_SUCCEEDED) == (shot.outcome.error == NULL),
                      "%s: %s", exits[i].exec, shot.outcome.error);
        shot_end(&shot);
    }
    check_nothing_left(rig);
}

START_TEST(an_exit_means_what_the_map_says)
{
    both_ways(run_exits);
}
END_TEST

static void run_result(struct rig *rig)
{
    struct shot shot;

    shot_fire(rig, &shot, doc("'shell':'exit 7'"));
    ck_assert_int_eq(shot_int(&shot, "exit_code"), 7);
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"signal\":null"));
    ck_assert_str_eq(shot.outcome.error, "exited with code 7");
    shot_end(&shot);
    shot_fire(rig, &shot, doc("'shell':'kill -TERM $$'"));
    ck_assert_int_eq(shot_int(&shot, "signal"), SIGTERM);
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"exit_code\":null"));
    ck_assert_str_eq(shot.outcome.error, "killed by signal 15 (SIGTERM)");
    shot_end(&shot);
    /* A child's memory above our own is told, and so is its time. */
    shot_fire(rig, &shot,
              doc("'argv':['dd','if=/dev/zero','of=/dev/null','bs=128M','count=1']"));
    ck_assert_int_gt(shot_int(&shot, "max_rss_bytes"), 90000000);
    json_t *json = json_loads(shot.outcome.result, 0, NULL);
    ck_assert_double_gt(json_real_value(json_object_get(json, "cpu_seconds")), 0.01);
    json_decref(json);
    shot_end(&shot);
}

START_TEST(the_result_tells_code_signal_memory_and_time)
{
    both_ways(run_result);
}
END_TEST

/* ------------------------------------------------------------------ surroundings */

static void check_output(struct rig *rig, const char *exec, enum log_stream stream,
                         const char *want)
{
    struct shot shot;

    shot_fire(rig, &shot, doc(exec));
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
    check_nothing_left(rig);
}

START_TEST(streams_arguments_and_input_arrive_as_given)
{
    both_ways(run_streams);
}
END_TEST

static void run_environment(struct rig *rig)
{
    struct shot shot;

    setenv("SECRET_OF_THE_DAEMON", "1", 1);
    shot_start(rig, &shot,
               doc("'argv':['env'],'env':{'Q':'80','LANG':'de','STINT_FENCE':'99'}"), 5, 3);
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
    both_ways(run_environment);
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

START_TEST(a_process_starts_from_a_known_state)
{
    signal(SIGPIPE, SIG_IGN);
    both_ways(run_process_state);
}
END_TEST

static void run_scratch(struct rig *rig)
{
    struct shot shot;
    struct stat st;

    shot_fire(rig, &shot, doc("'shell':'pwd; mkdir -p a/b/c; echo x >a/b/c/d; chmod 0 a/b'"));
    char *folder = shot_output(&shot, STREAM_STDOUT);
    folder[strcspn(folder, "\n")] = 0;
    ck_assert_ptr_nonnull(strstr(folder, rig->dir));
    ck_assert_int_lt(stat(folder, &st), 0);
    free(folder);
    shot_end(&shot);
    check_nothing_left(rig);
}

START_TEST(the_scratch_folder_is_where_it_runs_and_goes_with_it)
{
    both_ways(run_scratch);
}
END_TEST

static void run_own_result(struct rig *rig)
{
    struct shot shot;

    shot_fire(rig, &shot,
              doc("'shell':'echo `{\\'result\\':{\\'n\\':[1,2]},\\'retry_in\\':\\'30s\\'}` "
                  ">$STINT_RESULT; exit 1'"));
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"result\":{\"n\":[1,2]}"));
    ck_assert_int_eq(shot.outcome.retry_after_ms, 30000);
    shot_end(&shot);
    shot_fire(rig, &shot, doc("'shell':'echo nonsense >$STINT_RESULT'"));
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"result_error\":"));
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_SUCCEEDED);
    shot_end(&shot);
    shot_fire(rig, &shot, doc("'shell':'head -c 70000 /dev/zero >$STINT_RESULT'"));
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"result_error\":"));
    shot_end(&shot);
    /* Neither a link out nor a FIFO is read. */
    shot_fire(rig, &shot, doc("'shell':'ln -s /etc/passwd $STINT_RESULT'"));
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"result_error\":"));
    shot_end(&shot);
    shot_fire(rig, &shot, doc("'shell':'mkfifo $STINT_RESULT'"));
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"result_error\":"));
    shot_end(&shot);
}

START_TEST(a_child_may_hand_in_its_own_result)
{
    both_ways(run_own_result);
}
END_TEST

static void run_flood(struct rig *rig)
{
    struct shot shot;

    shot_fire(rig, &shot,
              doc("'shell':'head -c 3000000 /dev/zero | tr `\\\\0` x; echo end >&2'"));
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

    shot_fire(rig, &shot, doc(exec));
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
    check_nothing_left(rig);
}

START_TEST(a_command_that_cannot_start_is_named)
{
    both_ways(run_spawn_errors);
}
END_TEST

static void run_no_limits(struct rig *rig)
{
    struct shot shot;

    shot_fire(rig, &shot, doc("'argv':['true'],'limits':{'memory':'64M'}"));
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_FAILED_FINAL);
    ck_assert_int_eq(shot.outcome.reason, REASON_SPAWN_FAILED);
    ck_assert_msg(strstr(shot.outcome.error, "cannot be enforced") != NULL, "%s",
                  shot.outcome.error);
    shot_end(&shot);
    rig->config.limits_optional = true;
    shot_fire(rig, &shot, doc("'argv':['true'],'limits':{'memory':'64M'}"));
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_SUCCEEDED);
    ck_assert_ptr_nonnull(strstr(shot.outcome.result, "\"limits_enforced\":false"));
    shot_end(&shot);
    check_nothing_left(rig);
}

START_TEST(limits_that_cannot_be_enforced_are_refused_or_owned_up)
{
    rig_run(NULL, &without_cgroups, run_no_limits);
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
              doc("'argv':['tail','-c','100000000','/dev/zero'],'limits':{'memory':'16M'}"));
    ck_assert_int_eq(shot.outcome.reason, REASON_OOM);
    shot_end(&shot);
}

START_TEST(a_memory_limit_ends_the_job_with_reason_oom)
{
    rig_run(NULL, &with_cgroups, run_limits);
}
END_TEST

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
    shot_start(rig, &shot, doc(exec), 11, 1);
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
    check_nothing_left(rig);
}

START_TEST(a_cancel_kills_children_that_ignore_it_and_hide)
{
    both_ways(run_stubborn);
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
    shot_start(rig, &shot, doc(exec), 12, 1);
    rig_await(path);
    shot_cancel(&shot, -ETIMEDOUT);
    shot_wait(&shot);
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_STOPPED);
    ck_assert_int_eq(shot.outcome.reason, REASON_TIMEOUT_ATTEMPT);
    char *got = shot_output(&shot, STREAM_STDOUT);
    ck_assert_msg(strstr(got, "main") && strstr(got, "child"), "%s", got);
    free(got);
    shot_end(&shot);
    check_nothing_left(rig);
}

START_TEST(the_whole_group_has_its_grace)
{
    both_ways(run_polite);
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
    shot_start(rig, &shot, doc(exec), 13, 1);
    rig_await(path);
    shot_cancel(&shot, -ECANCELED);
    shot_wait(&shot);
    ck_assert_int_eq(shot_int(&shot, "exit_code"), 0);
    char *got = shot_output(&shot, STREAM_STDOUT);
    ck_assert_str_eq(got, "");
    free(got);
    shot_end(&shot);
    check_nothing_left(rig);
}

START_TEST(in_mixed_mode_only_the_main_process_is_asked)
{
    both_ways(run_mixed);
}
END_TEST

static void run_harder(struct rig *rig)
{
    char exec[1024], path[600];
    struct shot shot;

    snprintf(exec, sizeof exec, STUBBORN, rig->dir, "1h");
    snprintf(path, sizeof path, "%s/ready", rig->dir);
    shot_start(rig, &shot, doc(exec), 14, 1);
    rig_await(path);
    shot_cancel(&shot, -ECANCELED);
    ck_assert_int_eq(event_wait(&shot.ended, clock_mono_ns() + 50 * NS_PER_MS), -ETIMEDOUT);
    uint64_t start_ns = clock_mono_ns();
    shot.grace_ms = 0;
    shot_wait(&shot);
    ck_assert_uint_lt((clock_mono_ns() - start_ns) / NS_PER_MS, 3000);
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_STOPPED);
    shot_end(&shot);
    check_nothing_left(rig);
}

START_TEST(a_harder_cancel_shortens_the_grace)
{
    both_ways(run_harder);
}
END_TEST

static void run_stopped_process(struct rig *rig)
{
    char exec[600], path[600];
    struct shot shot;

    snprintf(exec, sizeof exec,
             "'shell':'trap `exit 5` TERM; touch %s/ready; kill -STOP $$; :'", rig->dir);
    snprintf(path, sizeof path, "%s/ready", rig->dir);
    shot_start(rig, &shot, doc(exec), 15, 1);
    rig_await(path);
    shot_cancel(&shot, -ECANCELED);
    shot_wait(&shot);
    ck_assert_int_eq(shot_int(&shot, "exit_code"), 5);
    shot_end(&shot);
}

START_TEST(a_stopped_process_is_woken_to_obey)
{
    both_ways(run_stopped_process);
}
END_TEST

static void run_cancelled_before(struct rig *rig)
{
    struct shot shot;

    for (int i = 0; i < 50; i++) {
        shot_start(rig, &shot, doc("'argv':['sleep','1000'],'stop_grace':'1ms'"), 100, 1);
        for (int spin = 0; spin < i; spin++)
            task_yield();
        shot_cancel(&shot, -ECANCELED);
        shot_wait(&shot);
        ck_assert_int_eq(shot.outcome.kind, OUTCOME_STOPPED);
        shot_end(&shot);
    }
    check_nothing_left(rig);
}

START_TEST(a_cancel_at_any_moment_of_the_start_leaves_nothing)
{
    both_ways(run_cancelled_before);
}
END_TEST

/* ------------------------------------------------------------------ trees */

static void run_background(struct rig *rig)
{
    struct shot shot;
    uint64_t start_ns = clock_mono_ns();

    shot_fire(rig, &shot,
              doc("'shell':'sleep 1000 & setsid sleep 1000 & (env -i setsid sleep 1000 &); "
                  "echo done'"));
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_SUCCEEDED);
    ck_assert_uint_lt((clock_mono_ns() - start_ns) / NS_PER_MS, 1500);
    char *got = shot_output(&shot, STREAM_STDOUT);
    ck_assert_str_eq(got, "done\n");
    free(got);
    shot_end(&shot);
    check_nothing_left(rig);
}

START_TEST(a_background_grandchild_neither_hangs_the_job_nor_outlives_it)
{
    both_ways(run_background);
}
END_TEST

static void run_orphans(struct rig *rig)
{
    struct shot shot;

    /* 60 orphans that end while the job lives must not stay zombies of ours. */
    shot_fire(rig, &shot,
              doc("'shell':'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "
                  "(sleep 0.01 & setsid sleep 0.01 & ); done; sleep 1.5; "
                  "ps -o stat= --ppid $PPID | grep -c Z; true'"));
    ck_assert_int_eq(shot.outcome.kind, OUTCOME_SUCCEEDED);
    char *got = shot_output(&shot, STREAM_STDOUT);
    ck_assert_str_eq(got, "0\n");
    free(got);
    shot_end(&shot);
    check_nothing_left(rig);
}

START_TEST(adopted_orphans_do_not_stay_zombies)
{
    both_ways(run_orphans);
}
END_TEST

static unsigned count_fds(void)
{
    return count_entries("/proc/self/fd");
}

static void run_many(struct rig *rig)
{
    struct shot shot;
    unsigned fds = 0;

    for (int i = 0; i < RUNS; i++) {
        shot_fire(rig, &shot,
                  doc(i % 4 == 0   ? "'shell':'sleep 1000 & echo $!'"
                      : i % 4 == 1 ? "'argv':['true']"
                      : i % 4 == 2 ? "'argv':['no-such-command']"
                                   : "'shell':'echo err >&2; exit 1'"));
        shot_end(&shot);
        if (i == 20)
            fds = count_fds();
    }
    ck_assert_uint_le(count_fds(), fds);
    check_nothing_left(rig);
}

START_TEST(many_runs_leave_no_process_descriptor_or_cgroup)
{
    both_ways(run_many);
}
END_TEST

static void run_crowd(struct rig *rig)
{
    enum { CROWD = 40 };
    struct shot *shots = calloc(CROWD, sizeof *shots);

    for (unsigned i = 0; i < CROWD; i++)
        shot_start(rig, &shots[i],
                   doc("'shell':'echo $STINT_JOB_ID; (sleep 1000 &); sleep 0.05'"), 1000 + i,
                   1);
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
    check_nothing_left(rig);
}

START_TEST(a_crowd_at_once_kills_only_its_own)
{
    both_ways(run_crowd);
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
    shot_start(rig, &shot, doc(exec), 77, 1);
    rig_await(path);
    kill(getpid(), SIGKILL);
}

static void see_nothing(struct rig *rig)
{
    check_nothing_left(rig);
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
    crash_and_recover(&with_cgroups, &with_cgroups);
    crash_and_recover(&without_cgroups, &without_cgroups);
    crash_and_recover(&with_cgroups, &without_cgroups);
    crash_and_recover(&without_cgroups, &with_cgroups);
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
    shot_start(rig, &shot, doc(exec), 1, 1);
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
    both_ways(run_neighbour);
}
END_TEST

#define TIMEOUT_S 240 /* of a test; sanitizers and a loaded machine included */

int main(void)
{
    const TTest *const tests[] = {
        an_exit_means_what_the_map_says,
        the_result_tells_code_signal_memory_and_time,
        streams_arguments_and_input_arrive_as_given,
        the_environment_is_clean_and_ours_is_not_overridden,
        a_process_starts_from_a_known_state,
        the_scratch_folder_is_where_it_runs_and_goes_with_it,
        a_child_may_hand_in_its_own_result,
        a_flood_is_cut_and_the_job_goes_on,
        a_command_that_cannot_start_is_named,
        limits_that_cannot_be_enforced_are_refused_or_owned_up,
        a_memory_limit_ends_the_job_with_reason_oom,
        a_cancel_kills_children_that_ignore_it_and_hide,
        the_whole_group_has_its_grace,
        in_mixed_mode_only_the_main_process_is_asked,
        a_harder_cancel_shortens_the_grace,
        a_stopped_process_is_woken_to_obey,
        a_cancel_at_any_moment_of_the_start_leaves_nothing,
        a_background_grandchild_neither_hangs_the_job_nor_outlives_it,
        adopted_orphans_do_not_stay_zombies,
        many_runs_leave_no_process_descriptor_or_cgroup,
        a_crowd_at_once_kills_only_its_own,
        what_a_killed_daemon_left_is_ended_by_the_next,
        the_jobs_of_another_state_folder_are_left_alone,
    };
    Suite *suite = suite_create("exec");
    TCase *tcase = tcase_create("exec");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, TIMEOUT_S);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
