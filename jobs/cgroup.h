/* cgroup.h: a group of processes that nobody leaves: how a job is limited, measured and, above
 * all, killed whole (K1 of kind.h).
 *
 * Words. The base is the cgroup the daemon was started in (of cgroup2, found through
 * /proc/self/mountinfo and /proc/self/cgroup: the whole of a pure system, .../unified of a
 * hybrid one). The root is ours below it, stint-<state id>; each attempt has one child of the
 * root for itself:
 *
 *     BASE/stint-0123456789abcdef/7.2            attempt with fence 2 of job 7
 *     BASE/stint-0123456789abcdef/unlimited.3    an attempt without limits, and its next ones
 *     BASE/stintd-main                           the daemon itself, where limits need it
 * (below)
 *
 * A cgroup is spoilt by cgroup.kill: since Linux 6.18 whatever is cloned into one that was ever
 * killed dies at birth. One that nobody has touched is used again (cgroup_spares.h).
 *
 * Limits need controllers, and a cgroup with processes of its own may not pass controllers on
 * (the kernel's "no internal processes" rule; its true root is exempt). A systemd unit with
 * Delegate= starts the daemon in the base itself, so the daemon moves into a leaf first, and
 * only if it is alone there: in a shell's session others live in the base and are left alone.
 * Without controllers killing still works and limits do not; cgroup_root_controllers says so.
 *
 * Rejected: one cgroup for all and marks inside (nothing to kill as one), cgroup v1 (no kill,
 * no events), asking systemd for scopes over D-Bus (ms per job, and not everywhere).
 *
 * C1  nothing is ever cloned into a cgroup after cgroup.kill was written to it.
 * C2  a cgroup that is not ours by name below our root is never touched.
 *
 * What a crash leaves: children of the root with live processes. cgroup_root_clear ends them.
 * The root's path is remembered in the state folder (kinds.c), since the next daemon may be
 * started from another cgroup.
 *
 * All calls block the thread (the kernel takes cgroup_mutex) and none parks, unless it says so.
 */
#ifndef JOBS_CGROUP_H
#define JOBS_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CGROUP_MEMORY 1u
#define CGROUP_CPU 2u
#define CGROUP_PIDS 4u

struct cgroup_root;
struct cgroup;

struct cgroup_limits {
    uint64_t memory_bytes, pids; /* 0 = no limit */
    double cpu;                  /* cores; 0 = no limit */
};

struct cgroup_usage {
    uint64_t memory_peak_bytes; /* 0 = not known */
    uint64_t cpu_us;
    uint64_t oom_kills;
};

/* Where the root of this state folder would be, for this process. 0, or a negative errno with
 * one sentence in why. */
int cgroup_root_find(uint64_t state_id, char *ret_path, size_t path_bytes, char *why,
                     size_t why_bytes);
/* Makes the root at that path. Results as above. */
int cgroup_root_open(const char *path, struct cgroup_root **ret, char *why, size_t why_bytes);
/* Removes the spares, and the root when it is empty then. NULL is harmless. */
void cgroup_root_close(struct cgroup_root *root);
const char *cgroup_root_path(const struct cgroup_root *root);
/* Which limits can be enforced: CGROUP_… bits. */
unsigned cgroup_root_controllers(const struct cgroup_root *root);
/* Kills and removes all below path, a root of this state folder that this or an earlier daemon
 * made. From a task; parks until all is gone: 0, or -ETIMEDOUT at deadline_ns. Harmless when
 * there is no such root. */
int cgroup_root_clear(const char *path, uint64_t state_id, uint64_t deadline_ns);

/* -EOPNOTSUPP: limits were asked for that the controllers at hand do not give. */
int cgroup_new(struct cgroup_root *root, uint64_t job_id, uint32_t fence,
               const struct cgroup_limits *limits, struct cgroup **ret);
int cgroup_fd(const struct cgroup *cgroup); /* for CLONE_INTO_CGROUP */
/* To every process in it and below, as far as they stand still: 0 or a negative errno. */
int cgroup_signal(struct cgroup *cgroup, int signal);
/* SIGKILL to all at once; the cgroup takes no new process after (C1). */
int cgroup_kill(struct cgroup *cgroup);
/* 1 while a process lives in it or below, 0, or a negative errno. */
int cgroup_populated(const struct cgroup *cgroup);
void cgroup_usage(const struct cgroup *cgroup, struct cgroup_usage *ret);
/* Takes one back that is empty of processes: kept for another attempt, or removed with what a
 * job made below. NULL is harmless. */
int cgroup_free(struct cgroup *cgroup);

#endif
