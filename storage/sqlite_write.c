/* A commit: the changes of a batch, kind by kind, in one transaction.
 *
 * Inserts, ends and attempts go through a feed, one statement for all rows of the batch; the
 * conflict clause is OR FAIL because the transaction is rolled back as a whole anyway, and so
 * SQLite keeps no journal of the single statement. Updates and deletes are a statement each. */
#include "storage/sqlite_parts.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/list.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>

enum write_sql {
    WRITE_BEGIN,
    WRITE_COMMIT,
    WRITE_ROLLBACK,
    WRITE_DOCS,
    WRITE_LIVES,
    WRITE_DONES,
    WRITE_LIVE,
    WRITE_LIVE_DROP,
    WRITE_DONE,
    WRITE_ATTEMPTS,
    WRITE_DELETE_DOC,
    WRITE_DELETE_DONE,
    WRITE_DELETE_ATTEMPTS,
    WRITE_QUEUE,
    WRITE_REPLY,
    WRITE_REPLY_PRUNE,
    WRITE_REPLY_FIND,
    WRITE_MAX_ID,
    WRITE_EPOCH,
    WRITE_SQL_COUNT
};

#define CHANGED_SQL                                                                            \
    " SET state=?2,reason=?3,priority=?4,attempt=?5,crashes=?6,fence=?7,dead_letter=?8,"       \
    "cancel_requested=?9,run_at=?10,started_at=?11,finished_at=?12,start_by=?13,"              \
    "retry_until=?14,epoch=?15,result=?17,error=?18"

static const char *const texts[WRITE_SQL_COUNT] = {
    [WRITE_BEGIN] = "BEGIN IMMEDIATE",
    [WRITE_COMMIT] = "COMMIT",
    [WRITE_ROLLBACK] = "ROLLBACK",
    [WRITE_DOCS] = "INSERT OR FAIL INTO doc(id," IDENTITY_SQL ",spec) "
                   "SELECT id," IDENTITY_SQL ",spec FROM feed_job",
    [WRITE_LIVES] = "INSERT OR FAIL INTO live(id," IDENTITY_SQL "," MUTABLE_SQL "," LEASE_SQL
                    "," OUTCOME_SQL ") SELECT id," IDENTITY_SQL "," MUTABLE_SQL "," LEASE_SQL
                    "," OUTCOME_SQL " FROM feed_job",
    [WRITE_DONES] = "INSERT OR FAIL INTO done(id," MUTABLE_SQL "," OUTCOME_SQL ") "
                    "SELECT id," MUTABLE_SQL "," OUTCOME_SQL " FROM feed_job",
    [WRITE_LIVE] = "UPDATE live" CHANGED_SQL ",lease_until=?16 WHERE id=?1",
    [WRITE_LIVE_DROP] = "DELETE FROM live WHERE id=?1",
    [WRITE_DONE] = "UPDATE done" CHANGED_SQL " WHERE id=?1",
    [WRITE_ATTEMPTS] =
        "INSERT OR FAIL INTO "
        "attempt(job_id,fence,attempt,started_at,finished_at,state,reason,result,"
        "error) SELECT job_id,fence,attempt,started_at,finished_at,state,reason,result,error "
        "FROM feed_attempt WHERE true ON CONFLICT DO UPDATE SET"
        " attempt=CASE excluded.attempt WHEN 0 THEN attempt ELSE excluded.attempt END,"
        "started_at=CASE excluded.started_at WHEN 0 THEN started_at ELSE excluded.started_at "
        "END,finished_at=excluded.finished_at,state=excluded.state,reason=excluded.reason,"
        "result=excluded.result,error=excluded.error",
    [WRITE_DELETE_DOC] = "DELETE FROM doc WHERE id=?1",
    [WRITE_DELETE_DONE] = "DELETE FROM done WHERE id=?1",
    [WRITE_DELETE_ATTEMPTS] = "DELETE FROM attempt WHERE job_id=?1",
    [WRITE_QUEUE] = "INSERT OR REPLACE INTO queue(name,concurrency,paused,configured,succeeded,"
                    "failed,cancelled,expired,skipped,key_concurrency) "
                    "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
    [WRITE_REPLY] = ("INSERT OR REPLACE INTO reply(key,fingerprint,created_at,first_id,count) "
                     "VALUES(?1,?2,?3,?4,?5)"),
    [WRITE_REPLY_PRUNE] = "DELETE FROM reply WHERE key IN (SELECT key FROM reply "
                          "INDEXED BY reply_age WHERE created_at<?1 LIMIT ?2)",
    [WRITE_REPLY_FIND] = "SELECT fingerprint,created_at,first_id,count FROM reply WHERE key=?1",
    [WRITE_MAX_ID] = "UPDATE meta SET value=?1 WHERE name='max_id' AND value<?1",
    [WRITE_EPOCH] = "UPDATE meta SET value=value+1 WHERE name='epoch' RETURNING value",
};

static int statement(struct sqlite_store *s, enum write_sql sql, sqlite3_stmt **ret)
{
    return sqlite_cache_get(&s->cache, sql, ret);
}

static int run(struct sqlite_store *s, enum write_sql sql)
{
    sqlite3_stmt *stmt;
    int r = statement(s, sql, &stmt);

    return r < 0 ? r : sqlite_finish(stmt);
}

/* A statement with one integer. */
static int run_with(struct sqlite_store *s, enum write_sql sql, int64_t value)
{
    sqlite3_stmt *stmt;
    int r = statement(s, sql, &stmt);

    if (r < 0)
        return r;
    sqlite3_bind_int64(stmt, 1, value);
    return sqlite_finish(stmt);
}

static int rows_reserve(struct sqlite_store *s, size_t count)
{
    if (s->rows_cap >= count)
        return 0;

    const void **rows = reallocarray(s->rows, count, sizeof *rows);

    if (!rows)
        return -ENOMEM;
    s->rows = rows;
    s->rows_cap = count;
    return 0;
}

/* Writes the rows of the scratch in one statement. */
static int feed_run(struct sqlite_store *s, struct sqlite_feed *feed, enum write_sql sql,
                    size_t count)
{
    feed->rows = s->rows;
    feed->count = count;

    int r = count ? run(s, sql) : 0;

    feed->count = 0;
    return r;
}

/* The jobs to insert whose state is final or not, into the scratch. */
static size_t inserts_gather(struct sqlite_store *s, const struct change *c, size_t count,
                             bool final)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++) {
        if (c[i].kind == CHANGE_JOB_INSERT && job_state_is_final(c[i].job->state) == final)
            s->rows[found++] = c[i].job;
    }
    return found;
}

static int inserts_apply(struct sqlite_store *s, const struct change *c, size_t count)
{
    size_t live = inserts_gather(s, c, count, false);
    int r = feed_run(s, &s->job_feed, WRITE_DOCS, live);

    if (r == 0)
        r = feed_run(s, &s->job_feed, WRITE_LIVES, live);
    if (r < 0)
        return r;

    size_t done = inserts_gather(s, c, count, true);

    r = feed_run(s, &s->job_feed, WRITE_DOCS, done);
    return r < 0 ? r : feed_run(s, &s->job_feed, WRITE_DONES, done);
}

static int row_update(struct sqlite_store *s, enum write_sql sql, const struct job *job)
{
    sqlite3_stmt *stmt;
    int r = statement(s, sql, &stmt);

    if (r == 0)
        r = sqlite_column_bind(stmt, 1, job, &sqlite_job_columns[JOB_ID]);
    for (int i = JOB_MUTABLE; i < JOB_COLUMNS && r == 0; i++)
        r = sqlite_column_bind(stmt, i - JOB_MUTABLE + 2, job, &sqlite_job_columns[i]);
    return r < 0 ? r : sqlite_finish(stmt);
}

/* A job that ends moves from live to the feed of done; *ended counts those in the scratch. One
 * that had ended before is changed in its place, after what waits in the scratch is written. */
static int job_end(struct sqlite_store *s, const struct job *job, size_t *ended)
{
    int r = run_with(s, WRITE_LIVE_DROP, (int64_t)job->id);

    if (r < 0)
        return r;
    if (sqlite3_changes(s->db) > 0) {
        s->rows[(*ended)++] = job;
        return 0;
    }
    r = feed_run(s, &s->job_feed, WRITE_DONES, *ended);
    *ended = 0;
    return r < 0 ? r : row_update(s, WRITE_DONE, job);
}

static int updates_apply(struct sqlite_store *s, const struct change *c, size_t count)
{
    size_t ended = 0;
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        if (c[i].kind != CHANGE_JOB_UPDATE)
            continue;
        if (job_state_is_final(c[i].job->state))
            r = job_end(s, c[i].job, &ended);
        else
            r = row_update(s, WRITE_LIVE, c[i].job);
    }
    return r < 0 ? r : feed_run(s, &s->job_feed, WRITE_DONES, ended);
}

static int attempts_apply(struct sqlite_store *s, const struct change *c, size_t count)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++) {
        if (c[i].kind == CHANGE_ATTEMPT)
            s->rows[found++] = c[i].attempt;
    }
    return feed_run(s, &s->attempt_feed, WRITE_ATTEMPTS, found);
}

static int job_delete(struct sqlite_store *s, uint64_t id)
{
    static const enum write_sql tables[] = {WRITE_DELETE_DOC, WRITE_DELETE_DONE,
                                            WRITE_LIVE_DROP, WRITE_DELETE_ATTEMPTS};
    int r = 0;

    for (size_t i = 0; i < sizeof tables / sizeof *tables && r == 0; i++)
        r = run_with(s, tables[i], (int64_t)id);
    return r;
}

/* The highest id must be remembered before its job can go: ids are never given out again. */
static int deletes_apply(struct sqlite_store *s, const struct change *c, size_t count)
{
    int r = run_with(s, WRITE_MAX_ID, (int64_t)s->max_id);

    for (size_t i = 0; i < count && r == 0; i++) {
        if (c[i].kind == CHANGE_JOB_DELETE)
            r = job_delete(s, c[i].id);
    }
    return r;
}

static int queue_put(struct sqlite_store *s, const struct queue_record *q)
{
    sqlite3_stmt *stmt;
    int r = statement(s, WRITE_QUEUE, &stmt);

    if (r < 0)
        return r;
    sqlite3_bind_text(stmt, 1, q->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, q->concurrency);
    sqlite3_bind_int(stmt, 3, q->paused);
    sqlite3_bind_int(stmt, 4, q->configured);
    for (int state = JOB_SUCCEEDED; state < JOB_STATE_COUNT; state++)
        sqlite3_bind_int64(stmt, 5 + state - JOB_SUCCEEDED, (int64_t)q->finished[state]);
    sqlite3_bind_int64(stmt, 10, q->key_concurrency);
    return sqlite_finish(stmt);
}

static int queues_apply(struct sqlite_store *s, const struct change *c, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        if (c[i].kind == CHANGE_QUEUE_PUT)
            r = queue_put(s, c[i].queue);
    }
    return r;
}

static int reply_put(struct sqlite_store *s, const struct reply_record *p)
{
    sqlite3_stmt *stmt;
    int r = statement(s, WRITE_REPLY, &stmt);

    if (r < 0)
        return r;
    sqlite3_bind_text(stmt, 1, p->key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, (int64_t)p->fingerprint);
    sqlite3_bind_int64(stmt, 3, p->created_at_ms);
    sqlite3_bind_int64(stmt, 4, (int64_t)p->first_id);
    sqlite3_bind_int64(stmt, 5, p->count);
    return sqlite_finish(stmt);
}

static int replies_apply(struct sqlite_store *s, const struct change *c, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        if (c[i].kind == CHANGE_REPLY_PUT)
            r = reply_put(s, c[i].reply);
    }
    return r;
}

static int reply_prune(struct sqlite_store *s, int64_t before_ms, uint32_t limit)
{
    sqlite3_stmt *stmt;
    int r = statement(s, WRITE_REPLY_PRUNE, &stmt);

    if (r < 0)
        return r;
    sqlite3_bind_int64(stmt, 1, before_ms);
    sqlite3_bind_int64(stmt, 2, limit);
    return sqlite_finish(stmt);
}

static int prunes_apply(struct sqlite_store *s, const struct change *c, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        if (c[i].kind == CHANGE_REPLY_PRUNE)
            r = reply_prune(s, c[i].prune.before_ms, c[i].prune.limit);
    }
    return r;
}

/* In the order in which store.h promises to apply the kinds of a batch. */
static const struct step {
    enum change_kind kind;
    int (*apply)(struct sqlite_store *s, const struct change *c, size_t count);
} steps[] = {
    {CHANGE_JOB_INSERT, inserts_apply}, {CHANGE_JOB_UPDATE, updates_apply},
    {CHANGE_ATTEMPT, attempts_apply},   {CHANGE_JOB_DELETE, deletes_apply},
    {CHANGE_QUEUE_PUT, queues_apply},   {CHANGE_REPLY_PUT, replies_apply},
    {CHANGE_REPLY_PRUNE, prunes_apply},
};

/* Which kinds are there (bit 1 << kind), and the highest id they bring. */
static int batch_look(const struct change *c, size_t count, unsigned *kinds, uint64_t *max_id)
{
    for (size_t i = 0; i < count; i++) {
        int r = fault_at("store.step");

        if (r < 0)
            return r;
        *kinds |= 1u << c[i].kind;
        if (c[i].kind == CHANGE_JOB_INSERT && c[i].job->id > *max_id)
            *max_id = c[i].job->id;
    }
    return 0;
}

static int batch_apply(struct sqlite_store *s, const struct change *c, size_t count)
{
    unsigned kinds = 0;
    int r = rows_reserve(s, count);

    if (r == 0)
        r = batch_look(c, count, &kinds, &s->max_id);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && r == 0; i++) {
        if (kinds >> steps[i].kind & 1)
            r = steps[i].apply(s, c, count);
    }
    return r;
}

/* NORMAL leaves the sync of the log to the next full commit or checkpoint. */
static int sync_choose(struct sqlite_store *s, bool sync)
{
    if (s->syncs_commits == sync)
        return 0;

    int r = sqlite_run(s->db, sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");

    if (r == 0)
        s->syncs_commits = sync;
    return r;
}

/* Whether a COMMIT that failed is surely not on disk: its frames were not all written, or not
 * begun. After anything else (a sync, the log's index) the last frame may be there and would
 * come back at the next open. */
static bool failure_is_known(sqlite3 *db, int r)
{
    int extended = sqlite3_extended_errcode(db), primary = extended & 0xff;

    return r == -EBUSY || primary == SQLITE_FULL || primary == SQLITE_READONLY ||
           extended == SQLITE_IOERR_WRITE;
}

static int transaction_begin(struct sqlite_store *s, bool sync)
{
    if (s->refuses)
        return -EIO;
    sqlite_wal_bound(s);

    int r = s->refuses ? -EIO : fault_at("store.begin");

    if (r == 0)
        r = sync_choose(s, sync);
    return r < 0 ? r : run(s, WRITE_BEGIN);
}

static void transaction_rollback(struct sqlite_store *s)
{
    if (!sqlite3_get_autocommit(s->db))
        (void)run(s, WRITE_ROLLBACK);
    if (!sqlite3_get_autocommit(s->db))
        s->refuses = true;
}

static int transaction_commit(struct sqlite_store *s)
{
    int r = fault_at("store.commit");

    if (r < 0) {
        s->refuses = r == -EIO;
        return r;
    }
    r = run(s, WRITE_COMMIT);
    if (r < 0 && !failure_is_known(s->db, r)) {
        s->refuses = true;
        r = -EIO;
    }
    return r;
}

/* Ends the transaction that has come to r. */
static int transaction_end(struct sqlite_store *s, int r, bool sync)
{
    if (r == 0)
        r = transaction_commit(s);
    if (r < 0) {
        transaction_rollback(s);
        return r;
    }
    atomic_fetch_add_explicit(&s->commits, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->syncs, sync, memory_order_relaxed);
    r = fault_at("store.sync");
    s->refuses = r == -EIO;
    return r;
}

int sqlite_commit(struct store *store, const struct change *changes, size_t count, bool sync)
{
    struct sqlite_store *s = container_of(store, struct sqlite_store, base);
    uint64_t max_id = s->max_id;
    int r = transaction_begin(s, sync);

    if (r < 0)
        return r;
    r = batch_apply(s, changes, count);
    r = transaction_end(s, r, sync);
    if (r == 0)
        atomic_fetch_add_explicit(&s->changes, count, memory_order_relaxed);
    else
        s->max_id = max_id;
    return r;
}

uint64_t sqlite_max_id(struct store *store)
{
    return container_of(store, struct sqlite_store, base)->max_id;
}

static int epoch_raise(struct sqlite_store *s, uint64_t *ret)
{
    sqlite3_stmt *stmt;
    int r = statement(s, WRITE_EPOCH, &stmt);

    if (r == 0)
        r = sqlite_row(stmt);
    if (r < 0)
        return r;
    if (r == 0)
        return -EIO;
    *ret = (uint64_t)sqlite3_column_int64(stmt, 0);
    return sqlite_finish(stmt);
}

int sqlite_next_epoch(struct store *store, uint64_t *ret)
{
    struct sqlite_store *s = container_of(store, struct sqlite_store, base);
    uint64_t epoch = 0;
    int r = transaction_begin(s, true);

    if (r < 0)
        return r;
    r = epoch_raise(s, &epoch);
    r = transaction_end(s, r, true);
    if (r == 0)
        *ret = epoch;
    return r;
}

int sqlite_reply_find(struct store *store, const char *key, struct reply_record *ret)
{
    struct sqlite_store *s = container_of(store, struct sqlite_store, base);
    sqlite3_stmt *stmt;
    int r = statement(s, WRITE_REPLY_FIND, &stmt);

    if (r < 0)
        return r;
    sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    r = sqlite_row(stmt);
    if (r <= 0)
        return r;

    struct reply_record found = {
        .key = str_dup(key),
        .fingerprint = (uint64_t)sqlite3_column_int64(stmt, 0),
        .created_at_ms = sqlite3_column_int64(stmt, 1),
        .first_id = (uint64_t)sqlite3_column_int64(stmt, 2),
        .count = (uint32_t)sqlite3_column_int64(stmt, 3),
    };

    sqlite3_reset(stmt);
    if (!found.key)
        return -ENOMEM;
    *ret = found;
    return 1;
}

int sqlite_writer_init(struct sqlite_store *s)
{
    int64_t max_id = 0;
    int r = sqlite_cache_init(&s->cache, s->db, texts, WRITE_SQL_COUNT);

    s->job_feed =
        (struct sqlite_feed){.columns = sqlite_job_columns, .columns_count = JOB_COLUMNS};
    s->attempt_feed = (struct sqlite_feed){.columns = sqlite_attempt_columns,
                                           .columns_count = ATTEMPT_COLUMNS};
    if (r == 0)
        r = sqlite_feed_add(s->db, "feed_job", &s->job_feed);
    if (r == 0)
        r = sqlite_feed_add(s->db, "feed_attempt", &s->attempt_feed);
    if (r == 0)
        r = sqlite_ask(s->db,
                       "SELECT max(COALESCE((SELECT max(id) FROM doc), 0),"
                       " (SELECT value FROM meta WHERE name='max_id'))",
                       &max_id);
    s->max_id = (uint64_t)max_id;
    return r;
}
