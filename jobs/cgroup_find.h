/* cgroup_find.h: where this process is in cgroup2. Internal to cgroup.c and its tests: both
 * parsers take the text, so that any machine's can be tried. */
#ifndef JOBS_CGROUP_FIND_H
#define JOBS_CGROUP_FIND_H

#include <stddef.h>

#define CGROUP_LEAF "stintd-main"

/* Writes the folder of the calling process's cgroup; our own leaf counts as its parent. 0, or
 * -ENOENT (no cgroup2 mounted or not in one), -ENAMETOOLONG. */
int cgroup_find_base(const char *mountinfo, const char *self_cgroup, char *ret,
                     size_t ret_bytes);
/* The same for this process from /proc. */
int cgroup_find_own(char *ret, size_t ret_bytes);

#endif
