/* cgroup_files.h: the small text files of a cgroup's folder. Internal to cgroup*.c. */
#ifndef JOBS_CGROUP_FILES_H
#define JOBS_CGROUP_FILES_H

#include <stddef.h>
#include <stdint.h>

int cgroup_file_write(int dir_fd, const char *name, const char *text);
/* At most ret_bytes - 1 bytes, 0-terminated. */
int cgroup_file_read(int dir_fd, const char *name, char *ret, size_t ret_bytes);
/* The number after "key " in a file of such lines; with a NULL key the whole file is one. 0 or
 * -ENOENT … */
int cgroup_file_u64(int dir_fd, const char *name, const char *key, uint64_t *ret);
/* The same of an open one. */
int cgroup_fd_u64(int fd, const char *key, uint64_t *ret);
/* To every process of this very cgroup; a process that forks meanwhile may be missed. */
int cgroup_file_signal(int dir_fd, int signal);
/* fn for the folder and every cgroup below it, children first, to a bounded depth; the first
 * negative result ends it. */
typedef int (*cgroup_files_fn)(void *ctx, int parent_fd, const char *name, int dir_fd);
int cgroup_files_each(int parent_fd, const char *name, cgroup_files_fn fn, void *ctx);

#endif
