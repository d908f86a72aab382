/* file_target.h: what a file job makes is there whole or not at all (K2), and once.
 *
 * It is made under a temporary name beside the target, .stint-<id>.<fence>.tmp, synced,
 * renamed, and the folder synced. Two notes in DIR/tmp, each a link whose text is the note
 * (one call to write, one to read, nothing to sync: the journal keeps the order of link and
 * rename on one file system; on two, only a crash of the machine within the same second can
 * lose it):
 *
 *     file.<id>.<fence> -> /path/.stint-<id>.<fence>.tmp     while the temporary is there: the
 *                                                            next daemon removes both
 *     done.<id> -> <device>:<inode>:<bytes>:<mtime>:<result>    from just before the rename
 *
 * An attempt after a crash looks whether the target is the very thing of the note: then the
 * earlier one had done its work, and its result is answered again instead of doing it twice.
 * The note outlives the attempt, since the end of a job is durable only some time after: it
 * goes when KINDS_DONE_MAX later ones have come, or when the daemon ends in order.
 *
 * All block. */
#ifndef JOBS_FILE_TARGET_H
#define JOBS_FILE_TARGET_H

#include "jobs/file_job.h"

struct file_target {
    struct file_place place;
    char temp[64];
    char note[64]; /* file.<id>.<fence> */
    int fd;        /* of the temporary, -1 = none */
    bool made;     /* the temporary name may exist */
};

/* Finds the folder of path and removes what earlier attempts left in it. */
int file_target_open(struct file_job *job, const char *path, struct file_target *ret);
/* Makes the temporary: target->fd is open for reading and writing (file) or listing (folder).
 */
int file_target_file(struct file_job *job, struct file_target *target, mode_t mode);
int file_target_folder(struct file_job *job, struct file_target *target);
/* Syncs and puts it in place; without overwrite only where nothing is (an empty folder counts
 * as nothing for a folder). */
int file_target_commit(struct file_job *job, struct file_target *target, bool overwrite);
/* Removes what was not put in place. */
void file_target_close(struct file_job *job, struct file_target *target);

/* --- for what renames without making --- */
/* The note that fd's inode will be the target's; before the rename. */
int file_target_note(struct file_job *job, int fd);
int file_target_sync_folder(struct file_job *job, int dir_fd);

/* Whether an earlier attempt's note names the inode at place; job->done is its result then. */
bool file_target_was_done(struct file_job *job, const struct file_place *place);
/* The attempt is over: its note goes now or, when it is true, later. */
void file_target_settle(struct file_job *job);
/* Of kinds_open: removes temporaries that notes in DIR/tmp name. */
void file_target_clear(struct kinds *kinds);
/* Of kinds_close: every end is durable, so all notes go. */
void file_target_forget(struct kinds *kinds);

#endif
