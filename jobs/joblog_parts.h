/* joblog_parts.h: what joblog.c and joblog_read.c share. Internal to both. */
#ifndef JOBS_JOBLOG_PARTS_H
#define JOBS_JOBLOG_PARTS_H

#include "jobs/joblog.h"

#include "base/map.h"
#include "scheduler/mutex.h"

#include <pthread.h>

#define JOBLOG_NAME_BYTES 48 /* of "<id>.<fence>.log" */

/* One entry of the index, as it is in the file. */
struct joblog_entry {
    uint64_t place; /* offset << 2 | stream */
    int64_t at_ms;
};

struct joblog {
    struct joblogs *logs;
    uint64_t job_id;
    uint32_t fence;
    unsigned refs;       /* the writer and each follower; guarded by logs->lock */
    struct joblog *next; /* of the same job (a forced cancel may leave two); guarded likewise */
    struct mutex mutex;  /* guards all below; held over the write, so a task lock */
    struct cond more;
    int fd, index_fd; /* -1 until the first byte */
    uint64_t chunks;
    uint64_t lost_bytes;
    bool cut;
    _Atomic bool ended;
    _Atomic uint64_t bytes; /* written whole; read without the lock */
};

struct joblogs {
    int dir_fd;
    uint64_t bytes_max;
    pthread_mutex_t lock; /* guards live, refs and next: never held over a switch */
    struct map live;      /* by job id, chained by next */
};

void joblog_name(char ret[JOBLOG_NAME_BYTES], uint64_t job_id, uint32_t fence,
                 const char *suffix);
/* The live log with a reference more, NULL when none is being written. */
struct joblog *joblog_find(struct joblogs *logs, uint64_t job_id, uint32_t fence);
void joblog_unref(struct joblog *log);

#endif
