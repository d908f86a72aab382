/* cpus.h: how many processors a process may use, of what the system's files say. */
#ifndef SCHEDULER_CPUS_H
#define SCHEDULER_CPUS_H

/* The least of affinity (processors) and of what the quotas of this process's cgroups allow, by
 * the files below root: "" for the system's own, another folder for tests. At least 1. */
unsigned cpus_within(const char *root, unsigned affinity);

#endif
