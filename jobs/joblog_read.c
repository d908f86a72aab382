/* joblog_read.c: the reader's side of joblog.h. Files may come from a crash or from another
 * hand: whatever an index entry says is held against the sizes before it is used. */
#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "jobs/joblog.h"
#include "jobs/joblog_parts.h"
#include "jobs/sys.h"
#include "scheduler/block.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define ENTRIES_PER_READ 256

static int open_part(const struct joblogs *logs, uint64_t job_id, uint32_t fence,
                     const char *suffix, int *ret_fd)
{
    char name[JOBLOG_NAME_BYTES];

    joblog_name(name, job_id, fence, suffix);
    int fd = openat(logs->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && sys_error() != -ENOENT)
        return sys_error();
    *ret_fd = fd; /* -1: nothing was printed */
    return 0;
}

static int open_view(const struct joblogs *logs, uint64_t job_id, uint32_t fence,
                     struct joblog_view *ret)
{
    OWN_FD int fd = -1;
    OWN_FD int index_fd = -1;
    struct stat st = {0};

    int r = open_part(logs, job_id, fence, "log", &fd);
    if (r == 0)
        r = open_part(logs, job_id, fence, "idx", &index_fd);
    if (r < 0)
        return r;
    if (fd >= 0 && fstat(fd, &st) < 0)
        return sys_error();
    ret->bytes = (uint64_t)st.st_size;
    ret->fd = TAKE_FD(fd);
    ret->index_fd = TAKE_FD(index_fd);
    return 0;
}

int joblog_view(struct joblogs *logs, uint64_t job_id, uint32_t fence, struct joblog_view *ret)
{
    struct joblog_view view = {.fd = -1, .index_fd = -1};
    /* Looked up before the files are: a log that ends in between is then called live once too
     * often, and never ended while bytes are missing. */
    struct joblog *log = joblog_find(logs, job_id, fence);
    uint64_t live_bytes = log ? log->bytes : 0;

    block_enter(BLOCK_FILE);
    int r = open_view(logs, job_id, fence, &view);

    block_leave();
    if (r == 0 && log) {
        view.live = true;
        /* J1: behind the count a chunk may be half written. */
        if (view.bytes > live_bytes)
            view.bytes = live_bytes;
    }
    if (log)
        joblog_unref(log);
    if (r == 0)
        *ret = view;
    return r;
}

int joblog_follow(struct joblogs *logs, uint64_t job_id, uint32_t fence, uint64_t bytes,
                  uint64_t deadline_ns)
{
    struct joblog *log = joblog_find(logs, job_id, fence);
    int r;

    if (!log)
        return 0;
    r = mutex_lock(&log->mutex, deadline_ns);
    if (r == 0) {
        while (r == 0 && log->bytes <= bytes && !log->ended)
            r = cond_wait(&log->more, &log->mutex, deadline_ns);
        mutex_unlock(&log->mutex);
    }
    joblog_unref(log);
    return r;
}

struct index {
    const struct joblog_view *view;
    uint64_t count; /* entries in the file */
    uint64_t start; /* of the piece in memory */
    size_t piece_count;
    struct joblog_entry piece[ENTRIES_PER_READ];
};

static int index_open(const struct joblog_view *view, struct index *ret)
{
    struct stat st;

    if (fstat(view->index_fd, &st) < 0)
        return sys_error();
    ret->view = view;
    ret->count = (uint64_t)st.st_size / sizeof(struct joblog_entry);
    ret->piece_count = 0;
    return 0;
}

/* 1 with the entry, 0 behind the last. */
static int index_at(struct index *index, uint64_t i, struct joblog_entry *ret)
{
    if (i >= index->count)
        return 0;
    if (index->piece_count == 0 || i < index->start || i >= index->start + index->piece_count) {
        ssize_t n = pread(index->view->index_fd, index->piece, sizeof index->piece,
                          (off_t)(i * sizeof *ret));
        if (n < 0)
            return sys_error();
        index->start = i;
        index->piece_count = (size_t)n / sizeof *ret;
        if (index->piece_count == 0)
            return 0;
    }
    *ret = index->piece[i - index->start];
    return 1;
}

/* The last entry at or before offset, by halving; 0 when there is none. */
static int index_seek(struct index *index, uint64_t offset, uint64_t *ret)
{
    uint64_t low = 0, high = index->count;
    struct joblog_entry entry;

    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        int r = index_at(index, middle, &entry);

        if (r < 0)
            return r;
        if (r > 0 && entry.place >> 2 <= offset)
            low = middle;
        else
            high = middle;
    }
    *ret = low;
    return 0;
}

static int append_range(int fd, uint64_t from, uint64_t to, struct buf *ret)
{
    while (from < to) {
        size_t len = to - from < 65536 ? (size_t)(to - from) : 65536;
        char *room = buf_reserve(ret, len);
        if (!room)
            return -ENOMEM;
        ssize_t n = pread(fd, room, len, (off_t)from);
        if (n < 0 && sys_error() != -EINTR)
            return sys_error();
        if (n == 0)
            return 0;
        if (n > 0) {
            buf_commit(ret, (size_t)n);
            from += (uint64_t)n;
        }
    }
    return 0;
}

static int read_chunks(struct index *index, enum log_stream stream, uint64_t offset,
                       uint64_t end, struct buf *ret)
{
    struct joblog_entry entry, next;
    uint64_t i;
    int r = index_seek(index, offset, &i);

    for (; r == 0; i++) {
        int found = index_at(index, i, &entry);
        if (found <= 0)
            return found;

        uint64_t from = entry.place >> 2, to = end;
        if (from >= end)
            return 0;
        found = index_at(index, i + 1, &next);
        if (found < 0)
            return found;
        if (found > 0 && next.place >> 2 < to)
            to = next.place >> 2;
        if (from < offset)
            from = offset;
        if ((enum log_stream)(entry.place & 3) == stream)
            r = append_range(index->view->fd, from, to, ret);
    }
    return r;
}

int joblog_read_stream(const struct joblog_view *view, enum log_stream stream, uint64_t offset,
                       uint64_t len, struct buf *ret)
{
    if (view->fd < 0 || offset >= view->bytes)
        return 0;

    uint64_t end = len < view->bytes - offset ? offset + len : view->bytes;
    OWN(free) struct index *index = malloc(sizeof *index);
    if (!index)
        return -ENOMEM;

    block_enter(BLOCK_FILE);
    int r = 0;

    if (stream == STREAM_NONE || view->index_fd < 0) {
        r = append_range(view->fd, offset, end, ret);
    } else {
        r = index_open(view, index);
        if (r == 0)
            r = read_chunks(index, stream, offset, end, ret);
    }
    block_leave();
    return r;
}

void joblog_remove(struct joblogs *logs, uint64_t job_id, uint32_t fence)
{
    char name[JOBLOG_NAME_BYTES];

    block_enter(BLOCK_FILE);
    for (uint32_t f = fence; f > 0; f--) {
        joblog_name(name, job_id, f, "log");
        unlinkat(logs->dir_fd, name, 0);
        joblog_name(name, job_id, f, "idx");
        unlinkat(logs->dir_fd, name, 0);
    }
    block_leave();
}
