/* spawn.h: one new process, from a program with many threads, a large address space and no
 * time.
 *
 * fork() copies page tables (4.5 ms with 50,000 touched stacks); posix_spawn cannot enter a
 * cgroup and gives no pidfd with this C library. So: clone3 with CLONE_VM | CLONE_VFORK, the
 * child on a small stack of its own inside the caller's frame, every signal blocked around it.
 * Until it executes the child runs in our memory: it makes system calls and nothing else, and
 * tells what failed by writing into the request. No libc state is touched, no lock is taken.
 * It shares our table of descriptors for as long as it takes to leave it (spawn_base.h), so
 * that a start costs the same however many attempts run. Where a sandbox forbids clone3, clone
 * does the same, and the child moves into its cgroup itself before anything else.
 *
 * The calling thread sleeps until the child executes, which can be long on a network file
 * system: bracket it with block_enter_long(BLOCK_EXEC). */
#ifndef JOBS_SPAWN_H
#define JOBS_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What the child was doing when it failed. */
enum spawn_step {
    SPAWN_CLONE,   /* the process could not be made: too many, no memory, no such cgroup */
    SPAWN_SESSION, /* setsid, standard streams, limits */
    SPAWN_CWD,
    SPAWN_EXEC,
};

struct spawn_base;

struct spawn_request {
    char *const *paths; /* tried in turn while they are not there; NULL-terminated, not empty */
    char *const *argv;
    char *const *envp;
    const char *cwd;
    int stdio[3];
    int cgroup_fd;  /* -1 = the caller's cgroup */
    uint64_t mark;  /* proctree_mark(); 0 = none */
    bool oom_reset; /* write 0 to oom_score_adj: the daemon is protected, its jobs are not */
    struct spawn_base *base; /* NULL: the same child, dearer (spawn_base.h) */
};

/* The child leads a new session and group, has default signal actions and none blocked, no
 * descriptor but its three, umask 022, at most 1024 descriptors (soft) and no core file. 0 with
 * its pid (not reaped) and pidfd, or a negative errno with the step; nothing is left then. */
int spawn(const struct spawn_request *request, pid_t *ret_pid, int *ret_pidfd,
          enum spawn_step *ret_step);

#endif
