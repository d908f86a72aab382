/* sqlite_parts.h: what the files of the SQLite store share: small tools over sqlite3, the
 * mapping between records and columns, and the store's own structs. */
#ifndef STORAGE_SQLITE_PARTS_H
#define STORAGE_SQLITE_PARTS_H

#include "storage/store_internal.h"

#include <sqlite3.h>
#include <stdatomic.h>

/* One process, any number of connections in it; see I2 in store_sqlite.c. */
#define SQLITE_VFS "unix-excl"

/* --- tools (sqlite_tools.c) --- */

/* The negative errno for a result of sqlite3; db may be NULL. */
int sqlite_errno(sqlite3 *db, int rc);
/* Runs statements without results. 0 or a negative errno. */
int sqlite_run(sqlite3 *db, const char *sql);
/* The integer in the first row; 0 or a negative errno, -ENODATA without a row. */
int sqlite_ask(sqlite3 *db, const char *sql, int64_t *ret);

/* Prepared statements of one connection by their number, prepared at first use. */
struct sqlite_cache {
    sqlite3 *db;
    const char *const *texts;
    sqlite3_stmt **stmts;
    unsigned count;
};
int sqlite_cache_init(struct sqlite_cache *c, sqlite3 *db, const char *const *texts,
                      unsigned count); /* 0 or -ENOMEM */
void sqlite_cache_deinit(struct sqlite_cache *c);
int sqlite_cache_get(struct sqlite_cache *c, unsigned index, sqlite3_stmt **ret);
/* Steps a statement that has no rows to its end and resets it. 0 or a negative errno. */
int sqlite_finish(sqlite3_stmt *stmt);
/* 1 a row, 0 the end, or a negative errno; both latter reset it. */
int sqlite_row(sqlite3_stmt *stmt);

/* --- columns (sqlite_column.c) --- */

enum sqlite_column_type { COLUMN_64, COLUMN_32, COLUMN_U32, COLUMN_BOOL, COLUMN_TEXT };

/* One field of a record and the name of its column. */
struct sqlite_column {
    const char *name;
    enum sqlite_column_type type;
    size_t offset;
};

/* The fields of struct job: id, then those of doc, then those of live and done. */
#define JOB_ID 0
#define JOB_IDENTITY 1 /* kind … retry_of: in doc and in live */
#define JOB_SPEC 8
#define JOB_MUTABLE 9  /* state … epoch */
#define JOB_LEASE 23   /* lease_until, in live alone */
#define JOB_OUTCOME 24 /* result, error */
#define JOB_COLUMNS 26
extern const struct sqlite_column sqlite_job_columns[JOB_COLUMNS];

#define ATTEMPT_COLUMNS 9
extern const struct sqlite_column sqlite_attempt_columns[ATTEMPT_COLUMNS];

#define IDENTITY_SQL "kind,queue,name,key,tags,created_at,retry_of"
#define MUTABLE_SQL                                                                            \
    "state,reason,priority,attempt,crashes,fence,dead_letter,cancel_requested,run_at,"         \
    "started_at,finished_at,start_by,retry_until,epoch"
#define LEASE_SQL "lease_until"
#define OUTCOME_SQL "result,error"

/* Strings are borrowed from record until the statement is done. */
int sqlite_column_bind(sqlite3_stmt *stmt, int index, const void *record,
                       const struct sqlite_column *column);
void sqlite_column_result(sqlite3_context *ctx, const void *record,
                          const struct sqlite_column *column);
/* Columns first … first + count - 1 of the row into record; strings are borrowed from the row.
 */
void sqlite_columns_read(sqlite3_stmt *stmt, int first, void *record,
                         const struct sqlite_column *columns, unsigned count);

/* --- feeds (sqlite_feed.c) --- */

/* An array of records as a table that SQL can select from: one statement then writes a whole
 * batch, without binding and stepping for each row. */
struct sqlite_feed {
    const struct sqlite_column *columns;
    unsigned columns_count;
    const void *const *rows;
    size_t count;
};
/* Adds the table name to the connection; feed must outlive it. */
int sqlite_feed_add(sqlite3 *db, const char *name, struct sqlite_feed *feed);

/* --- the store --- */

struct sqlite_reader {
    struct store_reader base;
    sqlite3 *db;
    bool owns_db; /* the writer's own view does not */
    struct sqlite_cache cache;
};

struct sqlite_store {
    struct store base;
    sqlite3 *db;      /* the only connection that writes and checkpoints */
    const char *path; /* of the database, as SQLite resolved it */
    int dir_fd, lock_fd;
    bool refuses;       /* a sync failed: what is on disk is not known before the next open */
    bool syncs_commits; /* how PRAGMA synchronous stands */
    bool log_is_long;   /* enough to be written over, or as it may be: sqlite_wal.c */
    struct sqlite_cache cache;
    struct sqlite_reader writer_view;
    struct sqlite_feed job_feed, attempt_feed;
    const void **rows; /* scratch for the feeds */
    size_t rows_cap;
    uint64_t max_id;
    uint64_t checkpoint_bytes; /* at this length of the log a commit checkpoints first */
    unsigned schema;
    char engine[32];
    /* For store_info, from any thread. */
    _Atomic uint64_t file_bytes, wal_bytes, commits, changes, syncs;
};

int sqlite_commit(struct store *store, const struct change *changes, size_t count, bool sync);
uint64_t sqlite_max_id(struct store *store);
int sqlite_next_epoch(struct store *store, uint64_t *ret);
int sqlite_reply_find(struct store *store, const char *key, struct reply_record *ret);
int sqlite_writer_init(struct sqlite_store *s); /* statements, feeds, the highest id */

/* The log (sqlite_wal.c). */
void sqlite_wal_init(struct sqlite_store *s);
void sqlite_wal_bound(struct sqlite_store *s); /* before a commit */
void sqlite_tend(struct store *store);
bool sqlite_tend_due(const struct store *store);
void sqlite_settle(struct store *store, uint64_t log_bytes);

/* Readers (sqlite_read.c, sqlite_list.c, sqlite_check.c). */
int sqlite_reader_init(struct sqlite_reader *r, const struct store_ops *ops, sqlite3 *db,
                       bool owns_db);
int sqlite_reader_open(struct store *store, struct store_reader **ret);
void sqlite_reader_deinit(struct sqlite_reader *r);
void sqlite_reader_close(struct store_reader *reader);
int sqlite_job_get(struct store_reader *reader, uint64_t id, struct job **ret);
int sqlite_spec_get(struct store_reader *reader, uint64_t id, char **ret);
int sqlite_live_each(struct store_reader *reader, store_job_fn fn, void *ctx);
int sqlite_job_list(struct store_reader *reader, const struct job_filter *filter,
                    store_job_fn fn, void *ctx, uint64_t *ret_next);
int sqlite_attempt_each(struct store_reader *reader, uint64_t job_id, store_attempt_fn fn,
                        void *ctx);
int sqlite_queue_each(struct store_reader *reader, store_queue_fn fn, void *ctx);
int sqlite_final_each(struct store_reader *reader, const struct final_filter *filter,
                      store_final_fn fn, void *ctx, uint64_t *ret_next);
int sqlite_check(struct store_reader *reader, store_finding_fn fn, void *ctx);

/* The whole job under the row, strings borrowed from statements that sqlite_job_release ends.
 * 1 found, 0 not there, negative errno. */
struct sqlite_job_row {
    struct job job;
    sqlite3_stmt *doc, *state;
};
int sqlite_job_load(struct sqlite_reader *r, uint64_t id, struct sqlite_job_row *ret);
void sqlite_job_release(struct sqlite_job_row *row);

enum sqlite_read_sql {
    READ_DOC,
    READ_SPEC,
    READ_LIVE,
    READ_DONE,
    READ_LIVE_EACH,
    READ_ATTEMPTS,
    READ_QUEUES,
    READ_FINAL,
    READ_PATH_ALL,
    READ_PATH_NAME,
    READ_PATH_KEY,
    READ_PATH_QUEUE,
    READ_PATH_LIVE,
    READ_PATH_LIVE_QUEUE,
    READ_PATH_DONE,
    READ_PATH_STATE, /* + state: one statement for each rare state, as several run at once */
    READ_SQL_COUNT = READ_PATH_STATE + JOB_STATE_COUNT
};

/* Backup (sqlite_backup.c). */
int sqlite_backup_open(struct store *store, const char *path, struct store_backup **ret);
int sqlite_backup_step(struct store_backup *backup, unsigned pages);
void sqlite_backup_close(struct store_backup *backup);

#endif
