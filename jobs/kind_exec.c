/* kind_exec.c: a command as a job.
 *
 * One attempt is this task and two more that read its output. The life of it:
 *
 *     readers  pipes and the tasks that read them, before there is anything to be read
 *     start    one blocking section: scratch folder, cgroup, clone3 (spawn.h)
 *     wait     parked on the pidfd, until the main process ends or this task is cancelled
 *     stop     only when cancelled: stop_signal and SIGCONT, then up to the grace for the
 *              main process (STOP_MIXED) or for all of them (STOP_GROUP) to go
 *     finish   whatever lives is killed until nothing does, also after an ordinary end: a
 *              job is over when its processes are, not when the first of them is
 *     drain    the pipes are read to their end, which is near now that no writer lives; a
 *              descriptor passed to a stranger is waited for DRAIN_NS and no longer
 *     end      the zombie is reaped, the cgroup measured and given back, the child's own
 *              result read, the scratch folder removed, the verdict spoken (exec_result.h)
 *
 * The main process stays a zombie until finish is over: its number names the session in which
 * proctree.h looks for the rest, so it must not be given away before.
 *
 * The readers are shielded: what a process says while it stops is wanted most. They are not
 * closed under their feet but told (stop, net_kick), for a handle may not be used after its
 * net_close.
 *
 * E1  when run returns no process of the attempt lives, and of its cgroup and folder at most
 *     what is empty and as new is left, for another attempt.
 * E2  an attempt whose main process ended before we sent it a signal is judged by its exit
 * code, cancelled or not: what has happened is not called undone.
 *
 * What a crash leaves: processes (cgroup and environment name them) and scratch folders;
 * kinds_open ends and removes them. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "jobs/exec_env.h"
#include "jobs/exec_result.h"
#include "jobs/exec_tree.h"
#include "jobs/joblog.h"
#include "jobs/sys.h"
#include "scheduler/block.h"
#include "scheduler/group.h"
#include "scheduler/net.h"
#include "scheduler/task.h"
#include "scheduler/waitgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define READ_BYTES 16384         /* on the reader's stack */
#define DRAIN_NS (2 * NS_PER_S)  /* for output that no process of ours can write any more */
#define LOOK_NS (10 * NS_PER_MS) /* how often a stopping tree is looked at */
#define FOREVER_NS (UINT64_C(1) << 62) /* a shield wants a deadline; this one is 146 years */

struct stream {
    struct joblog *log;
    enum log_stream kind;
    struct net *net;
    struct waitgroup *reading;
    _Atomic bool stop;
};

struct run {
    const struct attempt *attempt;
    struct kinds *kinds;
    char name[40]; /* of the scratch folder */
    char *scratch; /* its absolute path */
    int scratch_fd;
    struct exec_env env;
    struct exec_tree tree;
    int ends[2]; /* of the pipes, for the child; -1 once it has them */
    struct net *main;
    struct stream streams[2];
    struct group readers;
    struct waitgroup reading;
    enum spawn_step step;
};

/* ------------------------------------------------------------------ output */

static int stream_read(void *arg)
{
    struct stream *s = arg;
    char data[READ_BYTES];

    task_shield_begin(FOREVER_NS);
    for (;;) {
        ssize_t n = read(net_fd(s->net), data, sizeof data);
        int r = n < 0 ? sys_error() : 0;

        if (n == 0 || (r < 0 && r != -EAGAIN && r != -EINTR))
            break;
        /* A log that cannot be written must not stop the job: it is read on and dropped. */
        if (n > 0)
            joblog_write(s->log, s->kind, data, (size_t)n);
        if (r == -EAGAIN && (s->stop || net_wait(s->net, NET_READ, 0) < 0))
            break;
        task_checkpoint();
    }
    task_shield_end();
    waitgroup_done(s->reading);
    return 0;
}

static int stream_open(struct run *run, int i)
{
    struct stream *s = &run->streams[i];
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return sys_error();
    run->ends[i] = ends[1];
    s->log = run->attempt->log;
    s->kind = i == 0 ? STREAM_STDOUT : STREAM_STDERR;
    s->reading = &run->reading;
    int r = net_open(ends[0], &s->net);
    if (r < 0) {
        close(ends[0]);
        return r;
    }
    waitgroup_add(&run->reading, 1);
    r = group_go(&run->readers, stream_read, s);
    if (r < 0)
        waitgroup_done(&run->reading);
    return r;
}

/* Our copies of the writing ends: only with them gone can the pipes end. */
static void streams_let_go(struct run *run)
{
    for (int i = 0; i < 2; i++) {
        if (run->ends[i] >= 0)
            close(run->ends[i]);
        run->ends[i] = -1;
    }
}

static void streams_finish(struct run *run)
{
    streams_let_go(run);
    task_shield_begin(FOREVER_NS);
    if (waitgroup_wait(&run->reading, task_now_ns() + DRAIN_NS) < 0) {
        for (int i = 0; i < 2; i++) {
            run->streams[i].stop = true;
            if (run->streams[i].net)
                net_kick(run->streams[i].net);
        }
    }
    group_join(&run->readers);
    for (int i = 0; i < 2; i++)
        net_close(run->streams[i].net);
    task_shield_end();
}

/* ------------------------------------------------------------------ start */

/* A file in memory: the child may seek in it, and nobody has to feed it. */
static int open_stdin(const char *text)
{
    OWN_FD int fd =
        text ? memfd_create("stdin", MFD_CLOEXEC) : open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return sys_error();
    int r = text ? io_write_all(fd, text, strlen(text)) : 0;
    if (r < 0)
        return r;
    if (text && lseek(fd, 0, SEEK_SET) < 0)
        return sys_error();
    return TAKE_FD(fd);
}

static int spawn_main(struct run *run)
{
    const struct exec_spec *spec = &run->attempt->spec->exec;

    OWN_FD int in = open_stdin(spec->stdin_text);
    if (in < 0)
        return in;
    struct spawn_request request = {
        .paths = run->env.paths.items,
        .argv = spec->argv,
        .envp = run->env.words.items,
        .cwd = spec->cwd ? spec->cwd : run->scratch,
        .stdio = {in, run->ends[0], run->ends[1]},
        .oom_reset = run->kinds->oom_score_adj < 0,
        .base = &run->kinds->base,
    };
    return exec_tree_spawn(&run->tree, &request, &run->step);
}

/* All that can block before the process runs, in one section: one hand-off of the processor. */
static int start(struct run *run)
{
    block_enter_long(BLOCK_EXEC);
    int r =
        scratch_make(&run->kinds->spares, run->kinds->scratch_fd, run->name, &run->scratch_fd);
    if (r == 0)
        r = exec_tree_open(&run->tree, run->attempt);
    if (r == 0)
        r = spawn_main(run);
    streams_let_go(run);
    block_leave();
    return r;
}

static bool is_final(int r)
{
    switch (r) {
    case -ENOENT:
    case -EACCES:
    case -EPERM:
    case -ENOTDIR:
    case -ENOEXEC:
    case -E2BIG:
    case -ELOOP:
    case -EISDIR:
    case -EINVAL:
    case -ENAMETOOLONG:
    case -EOPNOTSUPP:
        return true;
    default:
        return false;
    }
}

static void explain_start(const struct run *run, int r, struct outcome *ret)
{
    const struct exec_spec *spec = &run->attempt->spec->exec;
    enum outcome_kind kind = is_final(r) ? OUTCOME_FAILED_FINAL : OUTCOME_FAILED;

    if (run->step == SPAWN_EXEC)
        exec_result_not_run(r, ret);
    if (r == -EOPNOTSUPP)
        outcome_fail(ret, kind, REASON_SPAWN_FAILED,
                     "limits on memory, cpu or pids cannot be enforced here: %s",
                     run->kinds->why[0] ? run->kinds->why
                                        : "the cgroup2 controllers for them are not available");
    else if (run->step == SPAWN_EXEC && r == -ENOENT && !strchr(spec->argv[0], '/'))
        outcome_fail(ret, kind, REASON_SPAWN_FAILED,
                     "cannot run %.200s: no such command in PATH", spec->argv[0]);
    else if (run->step == SPAWN_EXEC)
        outcome_fail(ret, kind, REASON_SPAWN_FAILED, "cannot run %.200s: %s", spec->argv[0],
                     err_text(r));
    else if (run->step == SPAWN_CWD)
        outcome_fail(ret, kind, REASON_SPAWN_FAILED, "cannot enter folder %.200s: %s",
                     spec->cwd ? spec->cwd : run->scratch, err_text(r));
    else /* ours or the machine's lack: it may be better later */
        outcome_fail(ret, OUTCOME_FAILED, REASON_SPAWN_FAILED, "cannot start a process: %s",
                     err_text(r));
}

/* ------------------------------------------------------------------ wait and stop */

static bool main_ended(const struct run *run)
{
    siginfo_t si = {0};

    /* An error means that there is nothing left to wait for. */
    return waitid((idtype_t)P_PIDFD, (id_t)run->tree.pidfd, &si, WEXITED | WNOHANG | WNOWAIT) <
               0 ||
           si.si_pid != 0;
}

static int wait_main(struct run *run, uint64_t deadline_ns)
{
    while (!main_ended(run)) {
        int r = net_wait(run->main, NET_READ, deadline_ns);
        if (r < 0)
            return r;
    }
    return 0;
}

static int follow_main(struct run *run)
{
    int r = net_watch(run->tree.pidfd, &run->main);

    return r < 0 ? r : wait_main(run, 0);
}

static uint64_t grace_ns(const struct attempt *attempt)
{
    int64_t grace_ms = *attempt->stop_grace_ms;

    if (grace_ms < 0)
        grace_ms = attempt->spec->exec.stop_grace_ms;
    return (uint64_t)grace_ms * NS_PER_MS;
}

static void send_stop(struct run *run)
{
    const struct exec_spec *spec = &run->attempt->spec->exec;

    block_enter(BLOCK_EXEC);
    exec_tree_signal(&run->tree, spec->stop_signal, spec->kill_mode == STOP_MIXED);
    /* A stopped process cannot obey. */
    exec_tree_signal(&run->tree, SIGCONT, spec->kill_mode == STOP_MIXED);
    block_leave();
}

static bool stop_is_over(struct run *run)
{
    if (!main_ended(run))
        return false;
    if (run->attempt->spec->exec.kill_mode == STOP_MIXED)
        return true;
    block_enter(BLOCK_EXEC);
    bool empty = exec_tree_is_empty(&run->tree, true);

    block_leave();
    return empty;
}

/* Politely, for as long as the grace is; a harder cancel may shorten it meanwhile. */
static void stop(struct run *run)
{
    uint64_t start_ns = task_now_ns();

    if (grace_ns(run->attempt) == 0)
        return;
    task_shield_begin(FOREVER_NS);
    send_stop(run);
    while (!stop_is_over(run)) {
        uint64_t now_ns = task_now_ns(), end_ns = start_ns + grace_ns(run->attempt);
        uint64_t look_ns = main_ended(run) ? LOOK_NS : KIND_STOP_LOOK_MS * NS_PER_MS;

        if (now_ns >= end_ns)
            break;
        if (end_ns - now_ns < look_ns)
            look_ns = end_ns - now_ns;
        if (main_ended(run))
            task_sleep_ns(look_ns);
        else
            wait_main(run, now_ns + look_ns);
    }
    task_shield_end();
}

/* ------------------------------------------------------------------ end */

static void remove_scratch(struct run *run)
{
    int r =
        scratch_remove(&run->kinds->spares, run->kinds->scratch_fd, run->name, run->scratch_fd);

    if (run->scratch_fd >= 0)
        close(run->scratch_fd);
    run->scratch_fd = -1;
    if (r < 0)
        log_warn("exec.scratch_left", LOG_STR("folder", run->scratch), LOG_ERR(r));
}

/* The process ran. */
static void end(struct run *run, bool stopped, struct outcome *ret)
{
    OWN_BUF struct buf text = BUF_INIT;
    struct exec_end last;

    net_close(run->main);
    block_enter(BLOCK_EXEC);
    exec_tree_close(&run->tree, &last);
    int read = exec_result_read(run->scratch_fd, &text);

    remove_scratch(run);
    block_leave();
    if (stopped)
        ret->kind = OUTCOME_STOPPED;
    else
        exec_result_judge(&run->attempt->spec->exec, &last, ret);
    exec_result_write(&last, run->tree.limits_ignored, read, &text, ret);
}

/* It did not: what was made for it goes again. */
static void abandon(struct run *run)
{
    struct exec_end none;

    block_enter(BLOCK_EXEC);
    exec_tree_close(&run->tree, &none);
    remove_scratch(run);
    block_leave();
}

static void live(struct run *run, struct outcome *ret)
{
    int r = follow_main(run);
    /* E2 */
    bool cancelled = r == -ECANCELED || r == -ETIMEDOUT;
    bool stopped = cancelled && !main_ended(run);

    if (stopped)
        stop(run);
    exec_tree_finish(&run->tree, stopped);
    streams_finish(run);
    end(run, stopped, ret);
    if (r < 0 && !cancelled) {
        /* Its output could not be followed, so it was killed at once. */
        outcome_fail(ret, OUTCOME_FAILED, REASON_SPAWN_FAILED, "cannot follow the process: %s",
                     err_text(r));
    }
}

static int prepare(struct run *run, const struct attempt *attempt)
{
    *run = (struct run){
        .attempt = attempt,
        .kinds = attempt->kinds,
        .scratch_fd = -1,
        .ends = {-1, -1},
        .tree = {.kinds = attempt->kinds, .pidfd = -1},
    };
    snprintf(run->name, sizeof run->name, "%llu.%u", (unsigned long long)attempt->job->id,
             attempt->job->fence);
    if (asprintf(&run->scratch, "%s/tmp/%s", attempt->config->state_dir, run->name) < 0) {
        run->scratch = NULL;
        return -ENOMEM;
    }
    return exec_env_init(&run->env, attempt, run->scratch);
}

/* The readers come first: once a process runs, nothing that a cancellation could refuse is
 * between it and its end. */
static void perform(struct run *run, struct outcome *ret)
{
    int r = 0;

    group_open(&run->readers, "exec output");
    waitgroup_init(&run->reading);
    for (int i = 0; r == 0 && i < 2; i++)
        r = stream_open(run, i);
    if (r == 0)
        r = start(run);
    if (r == 0) {
        live(run, ret);
        return;
    }
    streams_finish(run);
    /* Cancelled before anything was made; a start that failed says so whatever came after. */
    if (r == -ECANCELED || (r == -ETIMEDOUT && task_cancelled() < 0))
        ret->kind = OUTCOME_STOPPED;
    else
        explain_start(run, r, ret);
    abandon(run);
}

static void exec_run(const struct attempt *attempt, struct outcome *ret)
{
    OWN(free) struct run *run = malloc(sizeof *run);
    int r = run ? prepare(run, attempt) : -ENOMEM;

    if (!run) {
        outcome_fail(ret, OUTCOME_FAILED, REASON_SPAWN_FAILED, "out of memory");
        return;
    }
    if (r < 0)
        explain_start(run, r, ret);
    else if (task_cancelled() < 0)
        ret->kind = OUTCOME_STOPPED;
    else
        perform(run, ret);
    /* Wherever it was stopped: the first reason counts, not the call that met it. */
    if (ret->kind == OUTCOME_STOPPED && task_cancelled() == -ETIMEDOUT)
        ret->reason = REASON_TIMEOUT_ATTEMPT;
    exec_env_deinit(&run->env);
    free(run->scratch);
}

const struct kind kind_exec = {"exec", exec_run};
