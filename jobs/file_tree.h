/* file_tree.h: removes a folder with all that is in it, however deep, with a fixed number of
 * descriptors and no recursion: what lies deeper is renamed up into the top folder and taken
 * apart there. It follows no link and enters no other file system.
 *
 * Blocks: bracket it with block_enter_long(BLOCK_FILE). */
#ifndef JOBS_FILE_TREE_H
#define JOBS_FILE_TREE_H

#include <stdint.h>

/* Removes name in dir_fd, file or folder; absent is success. *files (may be NULL) grows by what
 * was removed. 0; -EBUSY: another file system is mounted in it; or a negative errno, and a part
 * of it is then left. */
int file_tree_remove(int dir_fd, const char *name, uint64_t *files);

#endif
