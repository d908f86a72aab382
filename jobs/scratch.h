/* scratch.h: the folder an exec attempt works in, DIR/tmp/ID.FENCE. Most commands leave it as
 * empty as they found it. Such a folder is kept as a spare, renamed to 0.N (no job is number
 * 0), and is the next attempt's: making and removing a folder was a quarter of the daemon's own
 * work for a short command, since ext4 searches for an inode that was not just deleted.
 *
 * A spare is as good as a new one: empty, mode 0700, ours, no larger than a new folder, without
 * extended attributes. What is not, is removed with all that is in it. Nothing is shared that
 * was not before: every attempt runs as our own user and could reach any of these folders.
 *
 * A crash leaves folders of both names; kinds_open removes them. All calls block: bracket them
 * with block_enter. Any thread. */
#ifndef JOBS_SCRATCH_H
#define JOBS_SCRATCH_H

#include <stdatomic.h>
#include <stdint.h>

#define SCRATCH_SPARES 64

struct scratch_spares {
    _Atomic uint64_t taken; /* places somebody moves a folder in or out of, or that have one */
    _Atomic uint64_t full;  /* places with a folder in them */
};

/* An empty folder of that name in dir_fd (DIR/tmp); *ret_fd is the caller's. 0 or a negative
 * errno. */
int scratch_make(struct scratch_spares *spares, int dir_fd, const char *name, int *ret_fd);
/* The attempt is over and nobody works in it: the name is gone after. fd: of the folder, stays
 * the caller's; -1 = it may not be there. 0 or a negative errno of file_tree_remove. */
int scratch_remove(struct scratch_spares *spares, int dir_fd, const char *name, int fd);
/* Removes the spares; no other call may be under way. */
void scratch_clear(struct scratch_spares *spares, int dir_fd);

#endif
