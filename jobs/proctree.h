/* proctree.h: the processes of an attempt without cgroups, found among all of /proc. The second
 * implementation of what cgroup.h does for limits-free killing, and the only one for recovery
 * of what an earlier daemon left outside of cgroups.
 *
 * How a process is told to belong to an attempt, surest first:
 *
 *     mark       the soft limit of RLIMIT_LOCKS, which Linux has ignored since 2.4 and every
 *                child inherits through fork, exec, setsid and an emptied environment:
 *                1 | 30 bits of state id | 32 bits that number the attempt
 *     session    the one that the main process leads; it stays a zombie while we look, so its
 *                number cannot have been given away
 *     words      STINT_STATE, STINT_JOB_ID and STINT_FENCE in /proc/PID/environ
 *     descent    the parent belongs to it
 *
 * The daemon is the sub-reaper of its jobs then: an orphan becomes its child, not init's, and
 * can neither hide nor stay a zombie. A reaper task collects orphans that end while attempts
 * live; it peeks (WNOWAIT) and leaves main processes to the pidfd waits of their attempts.
 * Between clone3 and the registration of the main process a lock keeps the reaper out.
 *
 * Rejected: process groups alone (setsid leaves them), ptrace (a debugger in the job would not
 * work), descent alone (a double fork cuts it), reading the files of every process at each end
 * of a job (marks and sessions, one call a process, tell whether anything is left to look for).
 *
 * P1  a pid is signalled only through a pidfd taken before its membership was looked at again.
 * P2  waitid on P_ALL never consumes; what it shows is consumed by pid if it is
 *     no main process.
 *
 * Calls block the thread: bracket them with block_enter(BLOCK_EXEC). */
#ifndef JOBS_PROCTREE_H
#define JOBS_PROCTREE_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct group;
struct proctree;

struct proctree_ident {
    uint64_t mark; /* 0 = by words of the state folder alone: recovery */
    pid_t leader;  /* main process, not reaped; 0 = none */
    uint64_t state_id, job_id;
    uint32_t fence;
};

int proctree_open(uint64_t state_id, struct proctree **ret);
/* Become sub-reaper and start the reaper task in group. From a task. */
int proctree_adopt(struct proctree *tree, struct group *group);
void proctree_close(struct proctree *tree); /* parks until the reaper ended; NULL is harmless */

/* For one attempt; never 0, unique in this daemon. */
uint64_t proctree_mark(struct proctree *tree);
/* Round clone3 and proctree_add, in the blocking section: the reaper stays out. */
void proctree_spawn_begin(struct proctree *tree);
void proctree_spawn_end(struct proctree *tree);
/* pid is the main process of an attempt: only its attempt may reap it, until it was removed.
 * process is the caller's memory for that long. */
struct proctree_main {
    struct list link;
    pid_t pid;
};
void proctree_add(struct proctree *tree, struct proctree_main *process, pid_t pid);
void proctree_remove(struct proctree *tree, struct proctree_main *process);

enum proctree_depth {
    PROCTREE_QUICK, /* by mark and session: one system call a process */
    PROCTREE_DEEP,  /* by words and descent too: two files a process */
};

/* Sends signal (0 = only count) to the members but not to the leader's zombie, and reaps
 * members that were adopted and have ended. How many live, or a negative errno. */
int proctree_signal(struct proctree *tree, const struct proctree_ident *ident,
                    enum proctree_depth depth, int signal);

#endif
