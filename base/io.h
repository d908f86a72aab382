/* io.h: whole reads and writes on ordinary descriptors, close-on-exec always. These calls block
 * the thread; a task brackets them with block_enter() and block_leave(). */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;

/* All of len, or a negative errno; EINTR is retried. */
int io_write_all(int fd, const void *data, size_t len);
int io_pwrite_all(int fd, const void *data, size_t len, uint64_t offset);
/* Up to len bytes, fewer only at the end; the count or a negative errno. */
ssize_t io_read_full(int fd, void *data, size_t len);
/* The whole file, at most bytes_max; -EFBIG when there is more. */
int io_file_read(int dir_fd, const char *path, size_t bytes_max, struct buf *b);
/* Replaces path by a temporary file beside it, synced, renamed, and its folder synced: after a
 * crash the old or the new content is there, whole. */
int io_file_replace(int dir_fd, const char *path, const void *data, size_t len, unsigned mode);
/* mkdir -p below dir_fd; 0 or a negative errno. */
int io_mkdirs(int dir_fd, const char *path, unsigned mode);

#endif
