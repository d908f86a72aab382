#include "storage/schema.h"

#include "base/err.h"
#include "base/fault.h"
#include "storage/sqlite_parts.h"

#include <errno.h>
#include <stdio.h>

/* Numbers of states in these texts are those of record.h, which never change: 4 is queued,
 * 8 is succeeded. A published step is never edited, only followed by another. */
static const struct migration {
    const char *what, *up, *down;
} migrations[] = {
    {
        .what = "jobs, attempts, queues and replies",
        .up =
            "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
            "INSERT INTO meta VALUES('max_id', 0), ('epoch', 0);"
            "CREATE TABLE doc(id INTEGER PRIMARY KEY, kind INTEGER, queue TEXT, name TEXT,"
            " key TEXT, tags TEXT, created_at INTEGER, retry_of INTEGER, spec TEXT);"
            "CREATE TABLE live(id INTEGER PRIMARY KEY, kind INTEGER, queue TEXT, name TEXT,"
            " key TEXT, tags TEXT, created_at INTEGER, retry_of INTEGER,"
            " state INTEGER, reason INTEGER, priority INTEGER, attempt INTEGER,"
            " crashes INTEGER, fence INTEGER, dead_letter INTEGER, cancel_requested INTEGER,"
            " run_at INTEGER, started_at INTEGER, finished_at INTEGER, start_by INTEGER,"
            " retry_until INTEGER, epoch INTEGER, result TEXT, error TEXT);"
            "CREATE TABLE done(id INTEGER PRIMARY KEY,"
            " state INTEGER, reason INTEGER, priority INTEGER, attempt INTEGER,"
            " crashes INTEGER, fence INTEGER, dead_letter INTEGER, cancel_requested INTEGER,"
            " run_at INTEGER, started_at INTEGER, finished_at INTEGER, start_by INTEGER,"
            " retry_until INTEGER, epoch INTEGER, result TEXT, error TEXT);"
            "CREATE TABLE attempt(job_id INTEGER NOT NULL, fence INTEGER NOT NULL,"
            " attempt INTEGER, started_at INTEGER, finished_at INTEGER, state INTEGER,"
            " reason INTEGER, result TEXT, error TEXT, PRIMARY KEY(job_id, fence))"
            " WITHOUT ROWID;"
            "CREATE TABLE queue(name TEXT PRIMARY KEY, concurrency INTEGER, paused INTEGER,"
            " configured INTEGER, succeeded INTEGER, failed INTEGER, cancelled INTEGER,"
            " expired INTEGER, skipped INTEGER) WITHOUT ROWID;"
            "CREATE TABLE reply(key TEXT PRIMARY KEY, fingerprint INTEGER, created_at INTEGER,"
            " first_id INTEGER, count INTEGER) WITHOUT ROWID;"
            "CREATE INDEX reply_age ON reply(created_at);"
            "CREATE VIEW job AS SELECT d.id, d.kind, d.queue, d.name, d.key, d.tags,"
            " COALESCE(l.state, f.state) AS state, COALESCE(l.reason, f.reason) AS reason,"
            " COALESCE(l.attempt, f.attempt) AS attempt, d.created_at,"
            " COALESCE(l.started_at, f.started_at) AS started_at, f.finished_at, f.result,"
            " COALESCE(l.error, f.error) AS error, d.spec"
            " FROM doc d LEFT JOIN live l ON l.id = d.id LEFT JOIN done f ON f.id = d.id;",
        .down = "DROP VIEW job; DROP TABLE reply; DROP TABLE queue; DROP TABLE attempt;"
                "DROP TABLE done; DROP TABLE live; DROP TABLE doc; DROP TABLE meta;",
    },
    {
        .what = "lists by queue, name, key and state without a search",
        .up = "CREATE INDEX doc_queue ON doc(queue);"
              "CREATE INDEX doc_name ON doc(name) WHERE name IS NOT NULL;"
              "CREATE INDEX doc_key ON doc(key) WHERE key IS NOT NULL;"
              "CREATE INDEX live_rare ON live(state) WHERE state <> 4;"
              "CREATE INDEX done_rare ON done(state) WHERE state <> 8;",
        .down = "DROP INDEX done_rare; DROP INDEX live_rare; DROP INDEX doc_key;"
                "DROP INDEX doc_name; DROP INDEX doc_queue;",
    },
    {
        /* An older daemon knows neither leases nor reason 21, snoozed: leased jobs look to it
         * like those of a daemon that died. */
        .what = "leases",
        .up = "ALTER TABLE live ADD COLUMN lease_until INTEGER;",
        .down = "UPDATE live SET reason=0 WHERE reason=21;"
                "UPDATE attempt SET reason=15 WHERE reason=21;"
                "ALTER TABLE live DROP COLUMN lease_until;",
    },
    {
        .what = "a limit for each key of a queue",
        .up = "ALTER TABLE queue ADD COLUMN key_concurrency INTEGER NOT NULL DEFAULT 0;",
        .down = "ALTER TABLE queue DROP COLUMN key_concurrency;",
    },
};

_Static_assert(sizeof migrations / sizeof *migrations == SCHEMA_VERSION,
               "the last migration makes the version of this build");

static int migrate_steps(sqlite3 *db, unsigned from, unsigned to)
{
    int r = 0;

    for (unsigned v = from; v < to && r == 0; v++)
        r = sqlite_run(db, migrations[v].up);
    for (unsigned v = from; v > to && r == 0; v--)
        r = sqlite_run(db, migrations[v - 1].down);
    return r;
}

static int version_write(sqlite3 *db, unsigned version)
{
    char sql[128];

    snprintf(sql, sizeof sql, "PRAGMA user_version = %u; PRAGMA application_id = %d;", version,
             SCHEMA_APPLICATION_ID);
    return sqlite_run(db, sql);
}

int schema_read(sqlite3 *db, unsigned *ret_version)
{
    int64_t version = 0, application = 0, tables = 0;
    int r = sqlite_ask(db, "PRAGMA user_version", &version);

    if (r == 0)
        r = sqlite_ask(db, "PRAGMA application_id", &application);
    if (r == 0)
        r = sqlite_ask(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (r < 0)
        return r;
    if (application != SCHEMA_APPLICATION_ID && (application || version || tables))
        return SCHEMA_FOREIGN;
    if (version < 0)
        return SCHEMA_FOREIGN;
    *ret_version = (unsigned)version;
    return SCHEMA_OK;
}

int schema_migrate(sqlite3 *db, unsigned version)
{
    unsigned from;
    int r = sqlite_run(db, "BEGIN IMMEDIATE");

    assert_always(version <= SCHEMA_VERSION);
    if (r < 0)
        return r;
    r = schema_read(db, &from);
    assert_always(r != SCHEMA_FOREIGN && (r < 0 || from <= SCHEMA_VERSION));
    if (r == 0)
        r = fault_at("store.migrate");
    if (r == 0)
        r = migrate_steps(db, from, version);
    if (r == 0)
        r = version_write(db, version);
    if (r == 0)
        r = sqlite_run(db, "COMMIT");
    if (!sqlite3_get_autocommit(db))
        (void)sqlite_run(db, "ROLLBACK");
    return r;
}
