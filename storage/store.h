/* store.h: the seam to what is remembered. Two implementations pass one suite of tests: SQLite
 * on disk, and memory for tests and simulation. No SQL leaves this room; no task enters it:
 * every call blocks its thread.
 *
 * One writer: all changes go through store_commit from one thread, a whole batch in one
 * transaction and one sync. Any number of readers: each struct store_reader is used by one
 * thread at a time and sees the newest commit at each call.
 *
 * S1  store_commit returned 0: the batch survives kill -9 and power loss.
 * S2  it returned anything else: nothing of the batch is there, now or after a crash.
 *     (Exception: -EIO from the sync itself leaves it unknown; the store then refuses further
 *     commits until it is opened again, and the engine restarts from what is there.)
 * S3  counters of finished jobs change in the transaction that finishes them. */
#ifndef STORAGE_STORE_H
#define STORAGE_STORE_H

#include "storage/record.h"

struct store;
struct store_reader;

/* Answers of store_open_sqlite. */
enum store_answer {
    STORE_OK = 0,
    STORE_LOCKED, /* another daemon has this folder */
    STORE_NEWER,  /* written by a newer version: why says which */
    STORE_BROKEN, /* not a store, or its integrity check failed */
};

#define STORE_WHY_BYTES 256

/* Opens or makes DIR/stint.db, locks the folder, migrates. 0, a positive answer, or a negative
 * errno; why (STORE_WHY_BYTES) then has one sentence with what to do. */
int store_open_sqlite(const char *dir, struct store **ret, char *why);
int store_open_memory(struct store **ret);
void store_close(struct store *store); /* after its readers; NULL is harmless */

enum change_kind {
    CHANGE_JOB_INSERT,  /* job */
    CHANGE_JOB_UPDATE,  /* job: all but spec, name, queue, key, tags, created_at, kind, retry_of
                         */
    CHANGE_JOB_DELETE,  /* id: with its attempts */
    CHANGE_ATTEMPT,     /* attempt */
    CHANGE_QUEUE_PUT,   /* queue: settings and counts */
    CHANGE_REPLY_PUT,   /* reply: an answered Idempotency-Key */
    CHANGE_REPLY_PRUNE, /* before_ms: older replies go */
};

struct reply_record {
    char *key;
    uint64_t fingerprint; /* of method, path and body */
    int64_t created_at_ms;
    uint64_t first_id; /* ids of the answer: first_id … first_id + count - 1 */
    uint32_t count;
};

/* A change borrows what it points at until store_commit returns. */
struct change {
    enum change_kind kind;
    union {
        const struct job *job;
        uint64_t id;
        const struct attempt_record *attempt;
        const struct queue_record *queue;
        const struct reply_record *reply;
        int64_t before_ms;
    };
};

/* All or nothing. 0; -ENOSPC (disk full), -EROFS, -EIO, -ENOMEM. sync = false: survives a crash
 * of the process but not of the machine. */
int store_commit(struct store *store, const struct change *changes, size_t count, bool sync);
/* Checkpoints and frees space when there is reason to; called by the writer when it is idle. */
void store_tend(struct store *store);

/* Of the writer's thread: */
uint64_t store_max_id(struct store *store);               /* highest job id ever given out */
int store_next_epoch(struct store *store, uint64_t *ret); /* counts boots; durable */
int store_reply_find(struct store *store, const char *key,
                     struct reply_record *ret); /* 1 found, 0 not */
void reply_record_deinit(struct reply_record *r);
/* The writer's own view, for reading between commits; closed with the store. */
struct store_reader *store_writer_reader(struct store *store);

int store_reader_open(struct store *store, struct store_reader **ret);
void store_reader_close(struct store_reader *reader);

/* 1 found, 0 not there, negative errno. */
int store_job_get(struct store_reader *reader, uint64_t id, struct job **ret);

typedef int (*store_job_fn)(void *ctx, const struct job *job);
/* Every job that is not final, by id; spec, result and error are NULL. fn's non-zero ends it
 * and is the result. Memory does not grow with the count. */
int store_live_each(struct store_reader *reader, store_job_fn fn, void *ctx);

struct job_filter {
    uint32_t states;                      /* bit 1 << state; 0 = all */
    enum job_kind kind;                   /* KIND_NONE = all */
    const char *queue, *tag, *name, *key; /* NULL = all */
    int64_t since_ms;                     /* created at or after; 0 = all */
    uint64_t before_id;                   /* cursor: ids below it; 0 = from the newest */
    uint32_t limit;                       /* 1 … STORE_PAGE_MAX */
};

#define STORE_PAGE_MAX 1000

/* Newest first. A filter that finds little may end early at a bounded number of looked-at rows:
 * ret_next is then the cursor to go on from (0 = nothing more). */
int store_job_list(struct store_reader *reader, const struct job_filter *filter,
                   store_job_fn fn, void *ctx, uint64_t *ret_next);

typedef int (*store_attempt_fn)(void *ctx, const struct attempt_record *attempt);
int store_attempt_each(struct store_reader *reader, uint64_t job_id, store_attempt_fn fn,
                       void *ctx);

typedef int (*store_queue_fn)(void *ctx, const struct queue_record *queue);
int store_queue_each(struct store_reader *reader, store_queue_fn fn, void *ctx);

struct store_info {
    const char *engine; /* "sqlite 3.40.1", "memory" */
    unsigned schema;
    uint64_t file_bytes, wal_bytes;
    uint64_t commits, changes, syncs;
};
void store_info(struct store *store, struct store_info *ret); /* any thread */

#endif
