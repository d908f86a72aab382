/* cgroup_spares.h: cgroups that are given to one attempt after the other. Internal to
 * cgroup*.c.
 *
 * Making and removing a cgroup is more than a tenth of the whole cost of a short command, most
 * of it in the kernel's own threads after the removal. So a cgroup without limits is kept when
 * its attempt is over, and its next one finds it as if it were new:
 *
 * R1  empty: its attempt has seen it without a process before it gave it back, and take looks
 *     again. Whoever is born is born into the cgroup of its parent, so an empty one stays so.
 *
 * R2  untouched: from its making on nobody has opened a file in it, made a cgroup below it, or
 *     changed its attributes. inotify tells: before a process leaves a cgroup its descriptors
 *     are closed, and the kernel queues the event while the call runs. That covers our own
 *     cgroup.kill and whatever a job, or its container tool, does to its own cgroup: each needs
 *     an open. A look from outside spoils one too, which costs a making and no more.
 *
 * R3  unmeasured: what remains of earlier attempts in its counters is taken off. Of memory that
 *     cannot be done (charges stay, the peak stays), so where the memory controller counts,
 *     each attempt has a fresh one.
 *
 * A cgroup that fails any of it is removed, as those with limits always are. Without inotify
 * none is kept. Spares are below the root like all others: recovery removes them. */
#ifndef JOBS_CGROUP_SPARES_H
#define JOBS_CGROUP_SPARES_H

#include "base/list.h"
#include "base/map.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define CGROUP_SPARES_MAX 32

struct cgroup_root;

struct cgroup {
    struct cgroup_root *root;
    int dir_fd;
    int events_fd, stat_fd; /* cgroup.events and cpu.stat, -1 = not open (yet) */
    uint64_t cpu_before_us; /* R3 */
    int watch;              /* of inotify; 0 = never kept */
    bool touched;           /* R2; guarded by the spares' lock, like link */
    struct list link;
    char name[40];
};

struct cgroup_spares {
    int inotify_fd; /* -1: none are kept */
    _Atomic uint64_t made;
    pthread_mutex_t lock; /* guards all below */
    struct map watched;   /* by watch */
    struct list idle;
    unsigned idle_count;
};

/* keeps: false where R3 cannot be held. */
void cgroup_spares_open(struct cgroup_spares *spares, bool keeps);
/* After all of them are taken and gone. */
void cgroup_spares_close(struct cgroup_spares *spares);
/* NULL: there is none. The caller removes it unless it is fit for an attempt. */
struct cgroup *cgroup_spares_take(struct cgroup_spares *spares, bool *ret_fit);
void cgroup_spares_name(struct cgroup_spares *spares, struct cgroup *cgroup);
/* Of a cgroup just made below root_path, whose files are open. Without memory or watches it
 * will not be kept, and nothing else happens. */
void cgroup_spares_watch(struct cgroup_spares *spares, struct cgroup *cgroup,
                         const char *root_path);
/* Takes a watched one that is empty; false: it is still the caller's, to be removed. */
bool cgroup_spares_put(struct cgroup_spares *spares, struct cgroup *cgroup);
/* Of a watched one that will be removed, which ends the kernel's part of the watch. */
void cgroup_spares_forget(struct cgroup_spares *spares, struct cgroup *cgroup);

#endif
