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
int store_open_memory(struct store **ret); /* 0 or -ENOMEM */
void store_close(struct store *store);     /* after its readers; NULL is harmless */

/* Opens the store in DIR, which no daemon has open, to look at it: nothing there changes, also
 * when it was not closed, is of an older schema (see store_info; store_check then is all that
 * can be done with it), or cannot be written. Only store_writer_reader gives a reader of it; a
 * commit fails. Answers as store_open_sqlite does. */
int store_look_sqlite(const char *dir, struct store **ret, char *why);

/* Brings the store in DIR, which no daemon has open, to a schema version this build knows, up
 * or down; answers as store_open_sqlite does. For going back to an older daemon. */
int store_migrate_sqlite(const char *dir, unsigned schema, char *why);
/* As if the process had died and opened its store again: a refusal after -EIO is forgotten,
 * what was committed is there. Only of a store from store_open_memory. */
void store_memory_reopen(struct store *store);

enum change_kind {
    CHANGE_JOB_INSERT,  /* job */
    CHANGE_JOB_UPDATE,  /* job: all but spec, name, queue, key, tags, created_at, kind, retry_of
                         */
    CHANGE_JOB_DELETE,  /* id: with its attempts */
    CHANGE_ATTEMPT,     /* attempt */
    CHANGE_QUEUE_PUT,   /* queue: settings and counts */
    CHANGE_REPLY_PUT,   /* reply: an answered Idempotency-Key */
    CHANGE_REPLY_PRUNE, /* prune: of the replies that are older so many go */
};

struct reply_record {
    char *key;
    uint64_t fingerprint; /* of method, path and body */
    int64_t created_at_ms;
    uint64_t first_id; /* ids of the answer: first_id … first_id + count - 1 */
    uint32_t count;
};

/* A change borrows what it points at until store_commit returns.
 *
 * In a batch, inserts come before updates, these before attempts, these before deletes,
 * whatever their places; changes of one kind keep their order. An update of a job that is not
 * there, and a second delete, change nothing; a final job is never updated to a state that is
 * not final. An attempt that is written again replaces itself, but keeps its number and its
 * start when the later record has none. */
struct change {
    enum change_kind kind;
    union {
        const struct job *job;
        uint64_t id;
        const struct attempt_record *attempt;
        const struct queue_record *queue;
        const struct reply_record *reply;
        struct {
            int64_t before_ms;
            uint32_t limit;
        } prune;
    };
};

/* All or nothing. 0; -ENOSPC (disk full), -EROFS, -EIO, -ENOMEM; -EEXIST when a job to insert
 * is there already, -EBUSY when a stranger has locked the file. sync = false: survives a crash
 * of the process but not of the machine.
 *
 * Fault points: store.begin, store.step (each change), store.commit (nothing is there yet),
 * store.sync (all is there, the answer is lost). -EIO at the last two makes the store refuse.
 */
int store_commit(struct store *store, const struct change *changes, size_t count, bool sync);
/* Checkpoints and frees memory when there is reason to; called by the writer when it is idle.
 */
void store_tend(struct store *store);
bool store_tend_due(const struct store *store); /* there is reason: costs nothing to ask */
/* Copies the log into the database file when it is longer than log_bytes: for a writer that
 * fills it while others wait, so that none of them meets a long copy. */
void store_settle(struct store *store, uint64_t log_bytes);

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

/* Its document alone, which the caller frees. 1 found, 0 not there, negative errno. */
int store_spec_get(struct store_reader *reader, uint64_t id, char **ret);

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
    bool dead_letter;                     /* only those; false = all */
};

#define STORE_PAGE_MAX 1000
/* Ids rise with time, so a list by since_ms ends at the first job that is older than that by
 * this much: only a clock that was set back further can hide a job from it. */
#define STORE_SINCE_SLACK_MS INT64_C(3600000)

/* Newest first; fn sees a borrowed job with all its fields, must not call the store, and ends
 * the list with a non-zero result, which is passed on. A filter that finds little may end early
 * at a bounded number of looked-at rows: ret_next is then the cursor to go on from (0 = nothing
 * more). */
int store_job_list(struct store_reader *reader, const struct job_filter *filter,
                   store_job_fn fn, void *ctx, uint64_t *ret_next);

typedef int (*store_attempt_fn)(void *ctx, const struct attempt_record *attempt);
int store_attempt_each(struct store_reader *reader, uint64_t job_id, store_attempt_fn fn,
                       void *ctx);

typedef int (*store_queue_fn)(void *ctx, const struct queue_record *queue);
int store_queue_each(struct store_reader *reader, store_queue_fn fn, void *ctx);

/* What retention looks for: jobs that ended before a time. */
struct final_filter {
    uint32_t states;   /* bit 1 << state; 0 = all final ones */
    int64_t before_ms; /* finished before it */
    uint64_t after_id; /* cursor: ids above it */
    uint32_t limit;    /* 1 … STORE_PAGE_MAX */
};

typedef int (*store_final_fn)(void *ctx, uint64_t id, enum job_state state, uint32_t fence);
/* Oldest first, at a bounded number of looked-at rows; ret_next as in store_job_list, but
 * upwards. The caller then commits CHANGE_JOB_DELETE in batches as small as it likes. */
int store_final_each(struct store_reader *reader, const struct final_filter *filter,
                     store_final_fn fn, void *ctx, uint64_t *ret_next);

typedef int (*store_finding_fn)(void *ctx, const char *sentence);
/* Looks through the whole store for what must not be; a sentence for each finding, at most
 * STORE_FINDINGS_MAX. 0 = checked, whatever was found. Reads everything: takes its time, on a
 * reader of its own. */
#define STORE_FINDINGS_MAX 100
int store_check(struct store_reader *reader, store_finding_fn fn, void *ctx);

/* A copy of the store as it is when the last step ends, made between commits by the writer's
 * thread, a few pages a step, so that nothing waits for it long. path must not be there yet;
 * until the copy is whole and synced it is called path.partial. One of that name that a dead
 * daemon left is taken away; -EBUSY when another daemon is at it, -EEXIST when it is something
 * else. -EOPNOTSUPP in memory. */
struct store_backup;
int store_backup_open(struct store *store, const char *path, struct store_backup **ret);
/* 1 = go on, 0 = the copy stands, negative errno = it failed. */
int store_backup_step(struct store_backup *backup, unsigned pages);
void store_backup_close(struct store_backup *backup); /* takes away what is not whole */

struct store_info {
    const char *engine;             /* "sqlite 3.40.1", "memory" */
    unsigned schema, schema_newest; /* what it has, and what this build would bring it to */
    uint64_t file_bytes, wal_bytes;
    uint64_t commits, changes, syncs;
};
void store_info(struct store *store, struct store_info *ret); /* any thread */

#endif
