/* file_roots.h: where jobs may touch files. Every path of a job is resolved below one of the
 * configured roots by openat2(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS), so neither ".." nor a
 * link, also one that is swapped in at the last moment, leads out of it. The root itself is the
 * administrator's word and may be a link.
 *
 * These calls block: bracket them with block_enter(BLOCK_FILE). */
#ifndef JOBS_FILE_ROOTS_H
#define JOBS_FILE_ROOTS_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

struct kind_config;

/* A name in an open folder: what the *at() calls want. */
struct file_place {
    int dir_fd; /* O_PATH folder, -1 = none */
    char name[NAME_MAX + 1];
};

/* Opens path (flags and mode as open(2); links below the root are followed). A descriptor, or
 * -EXDEV: outside of the roots, or a link leads out; -ENOENT, -EACCES … as open. Device and
 * FIFO openings do not hang (O_NONBLOCK); the caller looks with fstat what it got. */
int file_roots_open(char *const *roots, const char *path, int flags, mode_t mode);
/* Opens the folder that holds path; its last part is not followed and need not exist. -EXDEV
 * as above; -EBUSY: path is a root itself; -EINVAL: it ends in "." or "..". */
int file_roots_place(char *const *roots, const char *path, struct file_place *ret);
/* openat2 below an open folder with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS and more RESOLVE_
 * bits: a descriptor or a negative errno. */
int file_roots_beneath(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve);
void file_place_deinit(struct file_place *place);

#endif
