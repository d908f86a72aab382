#include "jobs/spawn.h"

#include "base/own.h"
#include "jobs/spawn_base.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child makes some hundred bytes of frames; the rest is for a libc that wants more. */
#define CHILD_STACK_BYTES 16384
#define CHILD_FILES_SOFT 1024 /* beyond it select() breaks; whoever wants more raises it */
#define SIGNAL_MAX 64
#define SIGNALS_ALL (~(UINT64_C(1) << (SIGKILL - 1) | UINT64_C(1) << (SIGSTOP - 1)))
#define SIGNAL_SET_BYTES 8 /* of the kernel's set, not of libc's */

/* The child shares memory with a parent that stands still: instrumented code would report to a
 * sanitizer in a thread that does not exist. */
#define CHILD __attribute__((noinline, no_sanitize("address", "thread", "undefined")))

long spawn_clone(struct clone_args *args, size_t size, int (*fn)(void *), void *arg);

struct child {
    const struct spawn_request *request;
    int stdio[3];     /* all above 2 */
    bool joins_group; /* was not born in its cgroup, so it moves there itself */
    int cut;          /* the table of descriptors is shared: from here on it leaves all; or 0 */
    uint64_t ignored; /* signals to reset */
    volatile enum spawn_step step;
    volatile int error; /* errno, 0 while all is well */
};

CHILD static int fail(struct child *c, enum spawn_step step)
{
    c->step = step;
    c->error = errno;
    return 127;
}

/* Before any other call that knows descriptors: until here they are the daemon's own. */
CHILD static int leave_table(unsigned cut)
{
    if (syscall(SYS_close_range, (long)cut, (long)~0U, (long)CLOSE_RANGE_UNSHARE) == 0)
        return 0;
    return syscall(SYS_unshare, (long)CLONE_FILES) < 0 ? -1 : 0;
}

CHILD static void reset_signals(uint64_t signals)
{
    /* Of any architecture: all zero is SIG_DFL without flags. Ignored signals are what
     * CLONE_CLEAR_SIGHAND leaves alone, and SIGPIPE is ignored in the daemon. */
    const unsigned long action[8] = {0};

    for (long s = 1; s <= SIGNAL_MAX; s++) {
        if (signals >> (s - 1) & 1)
            syscall(SYS_rt_sigaction, s, action, NULL, (long)SIGNAL_SET_BYTES);
    }
}

CHILD static void limit_soft(int resource, uint64_t soft)
{
    uint64_t limit[2]; /* soft, hard: struct rlimit64 */

    if (syscall(SYS_prlimit64, 0L, (long)resource, NULL, limit) < 0)
        return;
    limit[0] = soft < limit[1] ? soft : limit[1];
    syscall(SYS_prlimit64, 0L, (long)resource, limit, NULL);
}

CHILD static void reset_oom(void)
{
    long fd = syscall(SYS_openat, (long)AT_FDCWD, "/proc/self/oom_score_adj",
                      (long)(O_WRONLY | O_CLOEXEC), 0L);
    if (fd < 0)
        return;
    syscall(SYS_write, fd, "0", 1L);
    syscall(SYS_close, fd);
}

CHILD static int join_cgroup(int cgroup_fd)
{
    long fd =
        syscall(SYS_openat, (long)cgroup_fd, "cgroup.procs", (long)(O_WRONLY | O_CLOEXEC), 0L);
    if (fd < 0)
        return -1;
    long n = syscall(SYS_write, fd, "0", 1L);
    syscall(SYS_close, fd);
    return n == 1 ? 0 : -1;
}

CHILD static int set_up(struct child *c)
{
    if (c->cut > 0 && leave_table((unsigned)c->cut) < 0)
        return fail(c, SPAWN_SESSION);
    if (c->joins_group && join_cgroup(c->request->cgroup_fd) < 0)
        return fail(c, SPAWN_CLONE);
    if (syscall(SYS_setsid) < 0)
        return fail(c, SPAWN_SESSION);
    reset_signals(c->ignored);
    for (long i = 0; i < 3; i++) {
        if (syscall(SYS_dup3, (long)c->stdio[i], i, 0L) < 0)
            return fail(c, SPAWN_SESSION);
    }
    /* Ours are close-on-exec; this is for those of libraries. */
    syscall(SYS_close_range, 3L, (long)~0U, 0L);
    limit_soft(RLIMIT_NOFILE, CHILD_FILES_SOFT);
    limit_soft(RLIMIT_CORE, 0);
    if (c->request->mark != 0)
        limit_soft(RLIMIT_LOCKS, c->request->mark);
    if (c->request->oom_reset)
        reset_oom();
    syscall(SYS_umask, 022L);
    if (syscall(SYS_chdir, c->request->cwd) < 0)
        return fail(c, SPAWN_CWD);
    return 0;
}

CHILD static int execute(struct child *c)
{
    const unsigned long none = 0;
    int denied = 0;

    syscall(SYS_rt_sigprocmask, (long)SIG_SETMASK, &none, NULL, (long)SIGNAL_SET_BYTES);
    for (char *const *path = c->request->paths; *path; path++) {
        syscall(SYS_execve, *path, c->request->argv, c->request->envp);
        if (errno == EACCES)
            denied = EACCES; /* go on as a shell does, but remember that there was one */
        else if (errno != ENOENT && errno != ENOTDIR)
            break;
    }
    if (denied != 0 && (errno == ENOENT || errno == ENOTDIR))
        errno = denied;
    return fail(c, SPAWN_EXEC);
}

CHILD static int child_main(void *arg)
{
    struct child *c = arg;
    int r = set_up(c);

    return r != 0 ? r : execute(c);
}

/* Descriptors 0 to 2 would be overwritten by each other. */
static int lift(int fd, int *ret_fd, int *ret_owned)
{
    *ret_owned = -1;
    *ret_fd = fd;
    if (fd > 2)
        return 0;
    *ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (*ret_fd < 0)
        return -errno;
    *ret_owned = *ret_fd;
    return 0;
}

/* clone3 is not to be had in many sandboxes: a filter of system calls cannot look at flags that
 * lie in memory, so systemd's RestrictNamespaces= and container defaults answer ENOSYS. */
static _Atomic bool clone3_is_missing;

static long clone_new(struct child *c, char *stack, int *ret_pidfd)
{
    struct clone_args args = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        .pidfd = (uintptr_t)ret_pidfd,
        .exit_signal = SIGCHLD,
        .stack = (uintptr_t)stack,
        .stack_size = CHILD_STACK_BYTES,
    };

    if (c->cut > 0)
        args.flags |= CLONE_FILES;
    if (c->request->cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint32_t)c->request->cgroup_fd;
    }
    return spawn_clone(&args, sizeof args, child_main, c);
}

static long clone_old(struct child *c, char *stack, int *ret_pidfd)
{
    c->joins_group = c->request->cgroup_fd >= 0;
    c->cut = 0;
    c->ignored = SIGNALS_ALL; /* handlers too: the child must not run them */
    long pid = clone(child_main, stack + CHILD_STACK_BYTES,
                     CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, c, ret_pidfd);
    return pid < 0 ? -errno : pid;
}

static long clone_child(struct child *c, int *ret_pidfd)
{
    _Alignas(16) char stack[CHILD_STACK_BYTES];
    sigset_t all, before;
    long pid = -ENOSYS;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!atomic_load(&clone3_is_missing))
        pid = clone_new(c, stack, ret_pidfd);
    if (pid == -ENOSYS) {
        atomic_store(&clone3_is_missing, true);
        pid = clone_old(c, stack, ret_pidfd);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* The child that did not execute has ended already; its result is in c. */
static void reap(int pidfd)
{
    siginfo_t si;

    while (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &si, WEXITED | __WALL) < 0 && errno == EINTR)
        ;
}

/* In a seat, or where they are. owned: what the caller closes after. */
static int place_streams(struct child *c, const struct spawn_seat **ret_seat,
                         int *const owned[3])
{
    struct spawn_base *base = c->request->base;
    const struct spawn_seat *seat = base ? spawn_base_take(base, c->request->stdio) : NULL;

    c->ignored = base ? base->ignored : SIGNALS_ALL;
    *ret_seat = seat;
    for (int i = 0; i < 3; i++) {
        int r = 0;

        if (seat)
            c->stdio[i] = seat->fds[i];
        else
            r = lift(c->request->stdio[i], &c->stdio[i], owned[i]);
        if (r < 0)
            return r;
    }
    c->cut = seat ? base->cut : 0;
    return 0;
}

int spawn(const struct spawn_request *request, pid_t *ret_pid, int *ret_pidfd,
          enum spawn_step *ret_step)
{
    struct child c = {.request = request};
    OWN_FD int owned_in = -1;
    OWN_FD int owned_out = -1;
    OWN_FD int owned_err = -1;
    OWN_FD int pidfd = -1;
    int *const owned[3] = {&owned_in, &owned_out, &owned_err};
    const struct spawn_seat *seat;

    *ret_step = SPAWN_CLONE;
    int r = place_streams(&c, &seat, owned);
    if (r < 0)
        return r;
    long pid = clone_child(&c, &pidfd);
    if (seat)
        spawn_base_put(request->base, seat);
    if (pid < 0)
        return (int)pid;
    if (c.error != 0) {
        reap(pidfd);
        *ret_step = c.step;
        return -c.error;
    }
    *ret_pid = (pid_t)pid;
    *ret_pidfd = TAKE_FD(pidfd);
    return 0;
}
