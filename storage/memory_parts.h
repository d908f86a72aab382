/* memory_parts.h: the tables of the store in memory, for store_memory.c and memory_commit.c. */
#ifndef STORAGE_MEMORY_PARTS_H
#define STORAGE_MEMORY_PARTS_H

#include "base/list.h"
#include "base/own.h"
#include "storage/store_internal.h"

#include <pthread.h>

struct memory_attempt {
    struct list node;
    struct attempt_record record;
};

struct memory_job {
    struct job *job;
    struct list attempts; /* by fence */
};

struct memory_queue {
    struct list node;
    struct queue_record record;
};

struct memory_reply {
    struct list node;
    struct reply_record record;
};

struct memory_reader {
    struct store_reader base;
    struct memory *memory;
};

struct memory {
    struct store base;
    struct memory_reader writer_view;
    pthread_rwlock_t lock; /* guards what follows */
    struct memory_job **jobs;
    size_t jobs_len, jobs_cap;
    struct list queues;  /* by name */
    struct list replies; /* oldest first */
    uint64_t max_id, epoch, commits, changes, syncs;
    bool refuses; /* after -EIO, until store_memory_reopen */
};

/* The first place in jobs whose id is not below id; jobs_len when there is none. */
size_t memory_place(const struct memory *m, uint64_t id);
struct memory_job *memory_find(const struct memory *m, uint64_t id); /* NULL = not there */
struct memory_reply *memory_reply_by_key(struct memory *m, const char *key);
/* All or nothing; under the lock. */
int memory_commit_locked(struct memory *m, const struct change *changes, size_t count,
                         bool sync);

void memory_job_free(struct memory_job *j);
void memory_attempt_free(struct memory_attempt *a);
void memory_queue_free(struct memory_queue *q);
void memory_reply_free(struct memory_reply *p);
OWN_DEFINE(struct memory_job, memory_job_free);
OWN_DEFINE(struct memory_attempt, memory_attempt_free);
OWN_DEFINE(struct memory_queue, memory_queue_free);
OWN_DEFINE(struct memory_reply, memory_reply_free);

#endif
