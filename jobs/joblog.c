/* joblog.c: writing, and who follows what. Reading files back is joblog_read.c.
 *
 * Two tasks of an attempt write (one a stream), any number follow. A chunk is data first, index
 * entry second, the count of bytes last: a reader that trusts the count never sees a hole.
 *
 * J1  bytes below log->bytes are in the file and never change.
 * J2  index entries rise in offset; a chunk without one belongs to the entry before.
 * J3  a log is in logs->live from joblog_start to joblog_end, and freed with its last
 * reference.
 *
 * What a crash leaves: files that end anywhere; both are only ever read up to their size. No
 * sync: a job's output survives a crash of the daemon, of the machine only what the system had
 * written by then. */
#include "jobs/joblog.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/own.h"
#include "jobs/joblog_parts.h"
#include "jobs/sys.h"
#include "scheduler/block.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define JOBLOG_BYTES_MAX_DEFAULT (UINT64_C(16) << 20)
#define CUT_LINE "\n[stint: output beyond %llu bytes was dropped]\n"

void joblog_name(char ret[JOBLOG_NAME_BYTES], uint64_t job_id, uint32_t fence,
                 const char *suffix)
{
    snprintf(ret, JOBLOG_NAME_BYTES, "%llu.%u.%s", (unsigned long long)job_id, fence, suffix);
}

static void log_destroy(struct joblog *log)
{
    if (log->fd >= 0)
        close(log->fd);
    if (log->index_fd >= 0)
        close(log->index_fd);
    free(log);
}

struct joblog *joblog_find(struct joblogs *logs, uint64_t job_id, uint32_t fence)
{
    pthread_mutex_lock(&logs->lock);
    struct joblog *log = map_find(&logs->live, job_id);

    while (log && log->fence != fence)
        log = log->next;
    if (log)
        log->refs++;
    pthread_mutex_unlock(&logs->lock);
    return log;
}

void joblog_unref(struct joblog *log)
{
    pthread_mutex_lock(&log->logs->lock);
    bool last = --log->refs == 0;

    pthread_mutex_unlock(&log->logs->lock);
    if (last)
        log_destroy(log);
}

static int live_add(struct joblogs *logs, struct joblog *log)
{
    pthread_mutex_lock(&logs->lock);
    log->next = map_find(&logs->live, log->job_id);
    int r = map_put(&logs->live, log->job_id, log);

    pthread_mutex_unlock(&logs->lock);
    return r;
}

static void live_remove(struct joblogs *logs, struct joblog *log)
{
    pthread_mutex_lock(&logs->lock);
    struct joblog *head = map_find(&logs->live, log->job_id);

    if (head != log) {
        while (head->next != log)
            head = head->next;
        head->next = log->next;
    } else if (log->next) {
        /* Replacing an entry needs no memory. */
        int r = map_put(&logs->live, log->job_id, log->next);

        assert_always(r == 0);
    } else {
        map_remove(&logs->live, log->job_id);
    }
    pthread_mutex_unlock(&logs->lock);
}

static int open_files(struct joblog *log)
{
    char name[JOBLOG_NAME_BYTES];
    const int flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC;

    joblog_name(name, log->job_id, log->fence, "idx");
    OWN_FD int index_fd = openat(log->logs->dir_fd, name, flags, 0640);
    if (index_fd < 0)
        return sys_error();
    joblog_name(name, log->job_id, log->fence, "log");
    log->fd = openat(log->logs->dir_fd, name, flags, 0640);
    if (log->fd < 0)
        return sys_error();
    log->index_fd = TAKE_FD(index_fd);
    return 0;
}

static int put_chunk(struct joblog *log, enum log_stream stream, const void *data, size_t len)
{
    uint64_t bytes = log->bytes;
    const struct joblog_entry entry = {bytes << 2 | stream, clock_wall_ms()};
    int r = fault_at("joblog.write");

    if (r == 0 && log->fd < 0)
        r = open_files(log);
    if (r == 0)
        r = io_pwrite_all(log->fd, data, len, bytes);
    if (r == 0)
        r = io_pwrite_all(log->index_fd, &entry, sizeof entry, log->chunks * sizeof entry);
    if (r < 0)
        return r;
    log->chunks++;
    log->bytes = bytes + len;
    return 0;
}

/* Says once, in neither stream, that the rest is missing. */
static int put_cut(struct joblog *log)
{
    char line[96];
    int len = snprintf(line, sizeof line, CUT_LINE, (unsigned long long)log->logs->bytes_max);

    if (log->cut)
        return 0;
    log->cut = true;
    return put_chunk(log, STREAM_NONE, line, (size_t)len);
}

static int put(struct joblog *log, enum log_stream stream, const void *data, size_t len)
{
    uint64_t room = log->cut ? 0 : log->logs->bytes_max - log->bytes;
    int r = 0;

    if (len <= room)
        return put_chunk(log, stream, data, len);
    if (room > 0)
        r = put_chunk(log, stream, data, (size_t)room);
    return r < 0 ? r : put_cut(log);
}

int joblogs_open(const char *state_dir, uint64_t bytes_max, struct joblogs **ret)
{
    OWN(free) struct joblogs *logs = calloc(1, sizeof *logs);
    if (!logs)
        return -ENOMEM;

    OWN_FD int state_fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (state_fd < 0)
        return sys_error();
    if (mkdirat(state_fd, "log", 0750) < 0 && sys_error() != -EEXIST)
        return sys_error();
    logs->dir_fd = openat(state_fd, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (logs->dir_fd < 0)
        return sys_error();
    logs->bytes_max = bytes_max > 0 ? bytes_max : JOBLOG_BYTES_MAX_DEFAULT;
    pthread_mutex_init(&logs->lock, NULL);
    *ret = TAKE(logs);
    return 0;
}

void joblogs_close(struct joblogs *logs)
{
    if (!logs)
        return;
    assert_always(logs->live.len == 0);
    map_deinit(&logs->live);
    pthread_mutex_destroy(&logs->lock);
    close(logs->dir_fd);
    free(logs);
}

/* After a restored backup ids are given out again, and a job that prints nothing must not have
 * the log of the one that had its id. What cannot be removed cannot be written either: the
 * first word will say so. */
static void remove_former(const struct joblog *log)
{
    char name[JOBLOG_NAME_BYTES];

    joblog_name(name, log->job_id, log->fence, "log");
    block_enter(BLOCK_FILE);
    (void)unlinkat(log->logs->dir_fd, name, 0);
    block_leave();
}

int joblog_start(struct joblogs *logs, uint64_t job_id, uint32_t fence, struct joblog **ret)
{
    OWN(free) struct joblog *log = calloc(1, sizeof *log);
    if (!log)
        return -ENOMEM;

    log->logs = logs;
    log->job_id = job_id;
    log->fence = fence;
    log->refs = 1;
    log->fd = log->index_fd = -1;
    mutex_init(&log->mutex);
    cond_init(&log->more);
    remove_former(log);
    int r = live_add(logs, log);
    if (r < 0)
        return r;
    *ret = TAKE(log);
    return 0;
}

int joblog_write(struct joblog *log, enum log_stream stream, const void *data, size_t len)
{
    if (!log || len == 0)
        return 0;

    /* Not cancellable: what a stopped process says last is what people look for. */
    mutex_lock_shielded(&log->mutex);
    block_enter(BLOCK_FILE);
    int r = put(log, stream, data, len);

    block_leave();
    if (r < 0)
        log->lost_bytes += len;
    cond_broadcast(&log->more);
    mutex_unlock(&log->mutex);
    return r;
}

uint64_t joblog_bytes(const struct joblog *log)
{
    return log->bytes;
}

void joblog_end(struct joblog *log)
{
    if (!log)
        return;
    live_remove(log->logs, log);
    mutex_lock_shielded(&log->mutex);
    log->ended = true;
    cond_broadcast(&log->more);
    mutex_unlock(&log->mutex);
    joblog_unref(log);
}
