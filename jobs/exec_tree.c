#include "jobs/exec_tree.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "jobs/sys.h"
#include "scheduler/block.h"
#include "scheduler/task.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUSY_TRIES_MAX 8 /* of an executable that somebody holds open for writing */
#define BUSY_NS_MIN 1000000
#define LOOK_NS_MIN (100 * NS_PER_US)
#define LOOK_NS_MAX (100 * NS_PER_MS)
#define ALARM_NS                                                                               \
    (60 * NS_PER_S) /* in uninterruptible sleep for so long: somebody must look                \
                     */

static bool wants_limits(const struct exec_spec *spec)
{
    return spec->memory_bytes > 0 || spec->pids > 0 || spec->cpu > 0;
}

static int open_cgroup(struct exec_tree *tree, const struct attempt *attempt)
{
    const struct exec_spec *spec = &attempt->spec->exec;
    const struct cgroup_limits limits = {spec->memory_bytes, spec->pids, spec->cpu};
    const struct cgroup_limits none = {0};
    struct cgroup_root *root = tree->kinds->cgroups;

    int r = cgroup_new(root, attempt->job->id, attempt->job->fence, &limits, &tree->cgroup);
    if (r != -EOPNOTSUPP || !attempt->config->limits_optional)
        return r;
    tree->limits_ignored = true;
    return cgroup_new(root, attempt->job->id, attempt->job->fence, &none, &tree->cgroup);
}

int exec_tree_open(struct exec_tree *tree, const struct attempt *attempt)
{
    struct kinds *kinds = attempt->kinds;

    *tree = (struct exec_tree){.kinds = kinds, .pidfd = -1};
    tree->ident = (struct proctree_ident){
        .mark = proctree_mark(kinds->tree),
        .state_id = kinds->state_id,
        .job_id = attempt->job->id,
        .fence = attempt->job->fence,
    };
    if (kinds->cgroups)
        return open_cgroup(tree, attempt);
    if (!wants_limits(&attempt->spec->exec))
        return 0;
    tree->limits_ignored = attempt->config->limits_optional;
    return tree->limits_ignored ? 0 : -EOPNOTSUPP;
}

static int spawn_once(struct exec_tree *tree, const struct spawn_request *request,
                      enum spawn_step *ret_step)
{
    pid_t pid;

    proctree_spawn_begin(tree->kinds->tree);
    int r = spawn(request, &pid, &tree->pidfd, ret_step);

    if (r == 0) {
        proctree_add(tree->kinds->tree, &tree->main, pid);
        tree->ident.leader = pid;
    }
    proctree_spawn_end(tree->kinds->tree);
    return r;
}

int exec_tree_spawn(struct exec_tree *tree, struct spawn_request *request,
                    enum spawn_step *ret_step)
{
    struct timespec nap = {.tv_nsec = BUSY_NS_MIN};

    request->cgroup_fd = tree->cgroup ? cgroup_fd(tree->cgroup) : -1;
    request->mark = tree->ident.mark;
    for (unsigned tries = 1;; tries++) {
        int r = spawn_once(tree, request, ret_step);
        /* A writing descriptor of that file is in another child of ours, between its clone and
         * its exec: it closes in a moment. */
        if (r != -ETXTBSY || tries == BUSY_TRIES_MAX)
            return r;
        nanosleep(&nap, NULL); /* on a blocking thread */ /* on a blocking thread */
        nap.tv_nsec *= 2;
    }
}

static void signal_main(struct exec_tree *tree, int signal)
{
    if (tree->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, tree->pidfd, signal, NULL, 0);
}

void exec_tree_signal(struct exec_tree *tree, int signal, bool main_only)
{
    if (main_only) {
        signal_main(tree, signal);
        return;
    }
    if (tree->cgroup && cgroup_signal(tree->cgroup, signal) == 0)
        return;
    signal_main(tree, signal);
    if (!tree->cgroup)
        proctree_signal(tree->kinds->tree, &tree->ident, PROCTREE_DEEP, signal);
}

bool exec_tree_is_empty(struct exec_tree *tree, bool thorough)
{
    if (tree->pidfd < 0)
        return true;
    /* What cannot be looked at is not empty: the caller looks again. */
    if (tree->cgroup)
        return cgroup_populated(tree->cgroup) == 0;
    return proctree_signal(tree->kinds->tree, &tree->ident,
                           thorough ? PROCTREE_DEEP : PROCTREE_QUICK, 0) == 0;
}

static bool main_lives(const struct exec_tree *tree)
{
    siginfo_t si = {0};

    return tree->pidfd >= 0 &&
           waitid((idtype_t)P_PIDFD, (id_t)tree->pidfd, &si, WEXITED | WNOHANG | WNOWAIT) ==
               0 &&
           si.si_pid == 0;
}

/* true: nothing lives any more. */
static bool kill_once(struct exec_tree *tree, bool thorough)
{
    if (!main_lives(tree) && exec_tree_is_empty(tree, thorough))
        return true;
    if (tree->cgroup && cgroup_kill(tree->cgroup) == 0)
        return false;
    signal_main(tree, SIGKILL);
    if (!tree->cgroup)
        proctree_signal(tree->kinds->tree, &tree->ident, PROCTREE_DEEP, SIGKILL);
    return false;
}

void exec_tree_finish(struct exec_tree *tree, bool thorough)
{
    uint64_t alarm_at_ns = task_now_ns() + ALARM_NS;

    for (uint64_t look_ns = LOOK_NS_MIN;; look_ns *= look_ns < LOOK_NS_MAX ? 2 : 1) {
        block_enter(BLOCK_EXEC);
        bool gone = kill_once(tree, thorough);

        block_leave();
        if (gone)
            return;
        /* After one kill nothing may hide from us. */
        thorough = true;
        uint64_t now_ns = task_now_ns();
        if (now_ns >= alarm_at_ns) {
            log_error("exec.unkillable", LOG_U64("id", tree->ident.job_id),
                      LOG_I64("pid", tree->ident.leader));
            alarm_at_ns = now_ns + ALARM_NS;
        }
        task_shield_begin(now_ns + look_ns + NS_PER_S);
        task_sleep_ns(look_ns);
        task_shield_end();
    }
}

static double seconds(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

/* A process that executes out of our address space inherits our highest memory as its own
 * (exec_mmap in the kernel), so only what exceeds ours is the job's. */
static uint64_t own_peak(const struct rusage *job)
{
    struct rusage self;

    getrusage(RUSAGE_SELF, &self);
    return job->ru_maxrss > self.ru_maxrss ? (uint64_t)job->ru_maxrss * 1024 : 0;
}

static void reap(struct exec_tree *tree, struct exec_end *ret)
{
    siginfo_t si = {0};
    struct rusage usage = {0};

    while (syscall(SYS_waitid, P_PIDFD, tree->pidfd, &si, WEXITED, &usage) < 0 &&
           sys_error() == -EINTR)
        ;
    ret->signalled = si.si_code != CLD_EXITED;
    ret->dumped = si.si_code == CLD_DUMPED;
    ret->status = si.si_status;
    ret->cpu_seconds = seconds(&usage.ru_utime) + seconds(&usage.ru_stime);
    ret->max_rss_bytes = own_peak(&usage);
}

void exec_tree_close(struct exec_tree *tree, struct exec_end *ret)
{
    *ret = (struct exec_end){0};
    if (tree->pidfd >= 0) {
        reap(tree, ret);
        proctree_remove(tree->kinds->tree, &tree->main);
        close(tree->pidfd);
        tree->pidfd = -1;
    }
    if (tree->cgroup) {
        struct cgroup_usage usage;

        cgroup_usage(tree->cgroup, &usage);
        ret->oom = usage.oom_kills > 0;
        ret->cpu_seconds = (double)usage.cpu_us / 1e6;
        if (usage.memory_peak_bytes > 0)
            ret->max_rss_bytes = usage.memory_peak_bytes;
        int r = cgroup_free(tree->cgroup);
        if (r < 0)
            log_warn("exec.cgroup_left", LOG_U64("id", tree->ident.job_id), LOG_ERR(r));
        tree->cgroup = NULL;
    }
}
