/* Readers: each has a connection of its own, read-only, and keeps its statements. A call is one
 * statement or a few within one, so it sees one commit, the newest; it ends before it returns,
 * so nothing holds up the log. */
#include "storage/sqlite_parts.h"

#include "base/list.h"
#include "base/own.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>

#define READER_SETUP_SQL                                                                       \
    "PRAGMA query_only=1; PRAGMA mmap_size=0; PRAGMA cache_size=-1024;"                        \
    "PRAGMA temp_store=MEMORY;"

static const char *const texts[READ_SQL_COUNT] = {
    [READ_DOC] = "SELECT id," IDENTITY_SQL ",spec FROM doc WHERE id=?1",
    [READ_SPEC] = "SELECT spec FROM doc WHERE id=?1",
    [READ_LIVE] = "SELECT " MUTABLE_SQL "," LEASE_SQL "," OUTCOME_SQL " FROM live WHERE id=?1",
    [READ_DONE] = "SELECT " MUTABLE_SQL ",NULL," OUTCOME_SQL " FROM done WHERE id=?1",
    [READ_LIVE_EACH] =
        "SELECT id," IDENTITY_SQL "," MUTABLE_SQL "," LEASE_SQL " FROM live ORDER BY id",
    [READ_ATTEMPTS] = "SELECT job_id,fence,attempt,started_at,finished_at,state,reason,result,"
                      "error FROM attempt WHERE job_id=?1 ORDER BY fence",
    [READ_QUEUES] = "SELECT name,concurrency,paused,configured,succeeded,failed,cancelled,"
                    "expired,skipped,key_concurrency FROM queue ORDER BY name",
    [READ_FINAL] = "SELECT id,state,finished_at,fence FROM done WHERE id>?1 ORDER BY id",
    [READ_PATH_ALL] = "SELECT id,0 FROM doc WHERE id<?1 ORDER BY id DESC",
    [READ_PATH_NAME] = "SELECT id,0 FROM doc INDEXED BY doc_name WHERE name=?2 AND id<?1 "
                       "ORDER BY id DESC",
    [READ_PATH_KEY] = "SELECT id,0 FROM doc INDEXED BY doc_key WHERE key=?2 AND id<?1 "
                      "ORDER BY id DESC",
    [READ_PATH_QUEUE] = "SELECT id,0 FROM doc INDEXED BY doc_queue WHERE queue=?2 AND id<?1 "
                        "ORDER BY id DESC",
    [READ_PATH_LIVE] = "SELECT id,state FROM live WHERE id<?1 ORDER BY id DESC",
    /* 13, no state, is that of the other queues' jobs */
    [READ_PATH_LIVE_QUEUE] = "SELECT id,iif(queue=?2,state,13) FROM live WHERE id<?1 "
                             "ORDER BY id DESC",
    [READ_PATH_DONE] = "SELECT id,state FROM done WHERE id<?1 ORDER BY id DESC",
#define LIVE_RARE                                                                              \
    "SELECT id,state FROM live INDEXED BY live_rare WHERE state=?2 AND state<>4 AND id<?1 "    \
    "ORDER BY id DESC"
#define DONE_RARE                                                                              \
    "SELECT id,state FROM done INDEXED BY done_rare WHERE state=?2 AND state<>8 AND id<?1 "    \
    "ORDER BY id DESC"
    [READ_PATH_STATE + JOB_HELD] = LIVE_RARE,
    [READ_PATH_STATE + JOB_BLOCKED] = LIVE_RARE,
    [READ_PATH_STATE + JOB_SCHEDULED] = LIVE_RARE,
    [READ_PATH_STATE + JOB_RETRYING] = LIVE_RARE,
    [READ_PATH_STATE + JOB_RUNNING] = LIVE_RARE,
    [READ_PATH_STATE + JOB_STOPPING] = LIVE_RARE,
    [READ_PATH_STATE + JOB_FAILED] = DONE_RARE,
    [READ_PATH_STATE + JOB_CANCELLED] = DONE_RARE,
    [READ_PATH_STATE + JOB_EXPIRED] = DONE_RARE,
    [READ_PATH_STATE + JOB_SKIPPED] = DONE_RARE,
};

static struct sqlite_reader *reader_of(struct store_reader *reader)
{
    return container_of(reader, struct sqlite_reader, base);
}

/* A statement, its first parameter bound. */
static int open_with(struct sqlite_reader *r, enum sqlite_read_sql sql, uint64_t value,
                     sqlite3_stmt **ret)
{
    int result = sqlite_cache_get(&r->cache, sql, ret);

    return result < 0 ? result
                      : sqlite_errno(r->db, sqlite3_bind_int64(*ret, 1, (sqlite3_int64)value));
}

/* Numbers of the file become enumerators that others index tables by: what is none of them is
 * a damaged file. */
static bool job_is_sane(const struct job *job)
{
    return job->kind > KIND_NONE && job->kind < KIND_COUNT && job->state >= JOB_HELD &&
           job->state < JOB_STATE_COUNT && job->reason < REASON_COUNT;
}

/* The state columns of a job, from the table that has it. */
static int state_load(struct sqlite_reader *r, enum sqlite_read_sql sql,
                      struct sqlite_job_row *row)
{
    int result = open_with(r, sql, row->job.id, &row->state);

    if (result == 0)
        result = sqlite_row(row->state);
    if (result == 1)
        sqlite_columns_read(row->state, 0, &row->job, sqlite_job_columns + JOB_MUTABLE,
                            JOB_COLUMNS - JOB_MUTABLE);
    return result;
}

int sqlite_job_load(struct sqlite_reader *r, uint64_t id, struct sqlite_job_row *ret)
{
    *ret = (struct sqlite_job_row){.job.id = id};

    int result = open_with(r, READ_DOC, id, &ret->doc);

    if (result == 0)
        result = sqlite_row(ret->doc);
    if (result <= 0)
        return result;
    sqlite_columns_read(ret->doc, 0, &ret->job, sqlite_job_columns, JOB_MUTABLE);
    result = state_load(r, READ_LIVE, ret);
    if (result == 0)
        result = state_load(r, READ_DONE, ret);
    if (result == 1 && job_is_sane(&ret->job))
        return 1;
    sqlite_job_release(ret);
    return result < 0 ? result : -EIO;
}

void sqlite_job_release(struct sqlite_job_row *row)
{
    sqlite3_reset(row->state);
    sqlite3_reset(row->doc);
}

int sqlite_reader_init(struct sqlite_reader *r, const struct store_ops *ops, sqlite3 *db,
                       bool owns_db)
{
    *r = (struct sqlite_reader){.base.ops = ops, .db = db, .owns_db = owns_db};
    return sqlite_cache_init(&r->cache, db, texts, READ_SQL_COUNT);
}

void sqlite_reader_deinit(struct sqlite_reader *r)
{
    sqlite_cache_deinit(&r->cache);
    if (r->owns_db)
        sqlite3_close(r->db);
    r->db = NULL;
}

int sqlite_reader_open(struct store *store, struct store_reader **ret)
{
    struct sqlite_store *s = container_of(store, struct sqlite_store, base);
    struct sqlite_reader *r = calloc(1, sizeof *r);
    sqlite3 *db = NULL;

    if (!r)
        return -ENOMEM;

    int rc =
        sqlite3_open_v2(s->path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, SQLITE_VFS);
    int result = sqlite_errno(db, rc);

    if (result == 0)
        result =
            sqlite_errno(db, sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL));
    if (result == 0)
        result = sqlite_run(db, READER_SETUP_SQL);
    if (result == 0)
        result = sqlite_reader_init(r, store->ops, db, true);
    if (result < 0) {
        sqlite3_close(db);
        free(r);
        return result;
    }
    *ret = &r->base;
    return 0;
}

void sqlite_reader_close(struct store_reader *reader)
{
    struct sqlite_reader *r = reader_of(reader);

    if (!r->owns_db)
        return;
    sqlite_reader_deinit(r);
    free(r);
}

int sqlite_job_get(struct store_reader *reader, uint64_t id, struct job **ret)
{
    struct sqlite_job_row row;
    int r = id > INT64_MAX ? 0 : sqlite_job_load(reader_of(reader), id, &row);

    if (r <= 0)
        return r;

    struct job *copy = job_dup(&row.job);

    sqlite_job_release(&row);
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 1;
}

int sqlite_spec_get(struct store_reader *reader, uint64_t id, char **ret)
{
    const char *text = NULL;
    sqlite3_stmt *stmt;
    int r = id > INT64_MAX ? 0 : open_with(reader_of(reader), READ_SPEC, id, &stmt);

    if (r < 0 || id > INT64_MAX)
        return r;
    r = sqlite_row(stmt);
    if (r <= 0)
        return r;
    text = (const char *)sqlite3_column_text(stmt, 0);

    char *copy = text ? str_dup(text) : NULL;

    sqlite3_reset(stmt);
    if (!copy)
        return text ? -ENOMEM : 0;
    *ret = copy;
    return 1;
}

int sqlite_live_each(struct store_reader *reader, store_job_fn fn, void *ctx)
{
    sqlite3_stmt *stmt;
    int r = sqlite_cache_get(&reader_of(reader)->cache, READ_LIVE_EACH, &stmt);

    if (r < 0)
        return r;
    while ((r = sqlite_row(stmt)) == 1) {
        struct job job = {.id = 0};

        sqlite_columns_read(stmt, 0, &job, sqlite_job_columns, JOB_SPEC);
        sqlite_columns_read(stmt, JOB_SPEC, &job, sqlite_job_columns + JOB_MUTABLE,
                            JOB_OUTCOME - JOB_MUTABLE);
        r = job_is_sane(&job) ? fn(ctx, &job) : -EIO;
        if (r)
            break;
    }
    sqlite3_reset(stmt);
    return r;
}

int sqlite_attempt_each(struct store_reader *reader, uint64_t job_id, store_attempt_fn fn,
                        void *ctx)
{
    sqlite3_stmt *stmt;
    int r = open_with(reader_of(reader), READ_ATTEMPTS, job_id, &stmt);

    if (r < 0)
        return r;
    while ((r = sqlite_row(stmt)) == 1) {
        struct attempt_record a = {.job_id = job_id};

        sqlite_columns_read(stmt, 0, &a, sqlite_attempt_columns, ATTEMPT_COLUMNS);
        r = a.state < JOB_STATE_COUNT && a.reason < REASON_COUNT ? fn(ctx, &a) : -EIO;
        if (r)
            break;
    }
    sqlite3_reset(stmt);
    return r;
}

int sqlite_queue_each(struct store_reader *reader, store_queue_fn fn, void *ctx)
{
    sqlite3_stmt *stmt;
    int r = sqlite_cache_get(&reader_of(reader)->cache, READ_QUEUES, &stmt);

    if (r < 0)
        return r;
    while ((r = sqlite_row(stmt)) == 1) {
        const unsigned char *name = sqlite3_column_text(stmt, 0);
        struct queue_record q = {
            .name = (char *)(uintptr_t)name,
            .concurrency = (uint32_t)sqlite3_column_int64(stmt, 1),
            .paused = sqlite3_column_int(stmt, 2),
            .configured = sqlite3_column_int(stmt, 3),
            .key_concurrency = (uint32_t)sqlite3_column_int64(stmt, 9),
        };

        for (int state = JOB_SUCCEEDED; state < JOB_STATE_COUNT; state++)
            q.finished[state] = (uint64_t)sqlite3_column_int64(stmt, 4 + state - JOB_SUCCEEDED);
        r = name ? fn(ctx, &q) : -ENOMEM;
        if (r)
            break;
    }
    sqlite3_reset(stmt);
    return r;
}

int sqlite_final_each(struct store_reader *reader, const struct final_filter *filter,
                      store_final_fn fn, void *ctx, uint64_t *ret_next)
{
    uint32_t found = 0, looked = 0;
    uint64_t last = 0;
    sqlite3_stmt *stmt;
    int r = open_with(reader_of(reader), READ_FINAL, filter->after_id, &stmt);

    if (r < 0)
        return r;
    while ((r = sqlite_row(stmt)) == 1) {
        uint64_t id = (uint64_t)sqlite3_column_int64(stmt, 0);
        enum job_state state = (enum job_state)sqlite3_column_int(stmt, 1);
        bool match = store_states_have(filter->states, state) &&
                     sqlite3_column_int64(stmt, 2) < filter->before_ms;

        if (found == filter->limit || looked++ == STORE_LOOK_MAX)
            break;
        last = id;
        found += match;
        r = match ? fn(ctx, id, state, (uint32_t)sqlite3_column_int64(stmt, 3)) : 0;
        if (r)
            break;
    }
    sqlite3_reset(stmt);
    if (r == 0 || r == 1)
        *ret_next = r == 1 ? last : 0;
    return r == 1 ? 0 : r;
}
