/* joblog.h: what an attempt printed. Two files below DIR/log, named by job and fence:
 *
 *     <id>.<fence>.log   the bytes of both streams as they came
 *     <id>.<fence>.idx   16 bytes a chunk: u64 offset << 2 | stream, i64 wall time in ms
 *
 * so that a range of the whole is a range of a file, and stdout and stderr can be told apart.
 * They are made at the first byte: a silent job leaves none. A crash may leave a chunk without
 * its index entry; it then counts as part of the one before. */
#ifndef JOBS_JOBLOG_H
#define JOBS_JOBLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_stream { STREAM_NONE = 0, STREAM_STDOUT = 1, STREAM_STDERR = 2 };

struct joblog;
struct joblogs; /* all logs of the daemon: who follows what */

int joblogs_open(const char *state_dir, uint64_t bytes_max, struct joblogs **ret);
void joblogs_close(struct joblogs *logs);

/* The writer's side; tasks. A start takes away what there is of that id and fence. */
int joblog_start(struct joblogs *logs, uint64_t job_id, uint32_t fence, struct joblog **ret);
/* Beyond bytes_max the rest is dropped and one line says so. 0 or a negative errno (disk full:
 * dropped, counted). A NULL log drops everything. */
int joblog_write(struct joblog *log, enum log_stream stream, const void *data, size_t len);
uint64_t joblog_bytes(const struct joblog *log);
void joblog_end(struct joblog *log); /* wakes followers; NULL is harmless */

/* The reader's side; tasks. */
struct joblog_view {
    int fd;         /* of the .log, -1 when there is none (yet); to be closed by the caller */
    int index_fd;   /* of the .idx, likewise */
    uint64_t bytes; /* now */
    bool live;      /* more may come */
};
/* 0 (also when nothing was printed) or a negative errno. */
int joblog_view(struct joblogs *logs, uint64_t job_id, uint32_t fence, struct joblog_view *ret);
/* Parks until the log has more than bytes, or ended. 0, -ETIMEDOUT, or the cancel reason. */
int joblog_follow(struct joblogs *logs, uint64_t job_id, uint32_t fence, uint64_t bytes,
                  uint64_t deadline_ns);
/* Only one stream's bytes of [offset, offset+len) of the whole (STREAM_NONE: all of them);
 * appends to ret. */
struct buf;
int joblog_read_stream(const struct joblog_view *view, enum log_stream stream, uint64_t offset,
                       uint64_t len, struct buf *ret);
/* Removes the files of a job's attempts up to fence. */
void joblog_remove(struct joblogs *logs, uint64_t job_id, uint32_t fence);

#endif
