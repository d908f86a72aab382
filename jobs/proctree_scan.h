/* proctree_scan.h: a look at every process. Internal to proctree.c. */
#ifndef JOBS_PROCTREE_SCAN_H
#define JOBS_PROCTREE_SCAN_H

#include "jobs/proctree.h"

#include <stddef.h>

struct proctree_seen {
    pid_t pid, parent;
    bool member, zombie;
};

struct proctree_scan {
    /* By pid. Deep: every process; quick: members alone. */
    struct proctree_seen *seen;
    size_t count, cap;
};

/* The value of RLIMIT_LOCKS that says whose a process is. */
static inline uint64_t proctree_scan_mark(uint64_t state_id, uint32_t number)
{
    return UINT64_C(1) << 62 | (state_id & 0x3fffffff) << 32 | number;
}

/* Looks at every process but the caller; of recovery, those it descends from are no members.
 * With a NULL ident nobody is one. 0 or a negative errno. */
int proctree_scan(const struct proctree_ident *ident, enum proctree_depth depth,
                  struct proctree_scan *ret);
void proctree_scan_deinit(struct proctree_scan *scan);
/* Whether pid belongs to it at this moment, by itself and not by descent. */
bool proctree_scan_is_member(const struct proctree_ident *ident, pid_t pid,
                             enum proctree_depth depth);
bool proctree_scan_parent_is(pid_t pid, pid_t parent);
/* Whether the kernel lets marks be set and read. */
bool proctree_scan_has_marks(void);

#endif
