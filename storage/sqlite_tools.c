#include "storage/sqlite_parts.h"

#include "base/err.h"

#include <errno.h>
#include <stdlib.h>

/* The last errno that SQLite met on the database (SQLITE_FCNTL_FILE_POINTER) or its log. */
static int file_errno(sqlite3 *db, int which)
{
    sqlite3_file *file = NULL;
    int e = 0;

    if (sqlite3_file_control(db, "main", which, &file) == SQLITE_OK && file && file->pMethods)
        file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &e);
    return e;
}

static bool is_full(int e)
{
    return e == ENOSPC || e == EDQUOT || e == EFBIG;
}

/* A quota and a limit of file size are full disks too; SQLite says so only of ENOSPC, and of
 * the others that a write failed. */
static int ioerr_errno(sqlite3 *db, int extended)
{
    if (extended == SQLITE_IOERR_SHMSIZE) /* the index of the log could not be lengthened */
        return -ENOSPC;
    if (!db || extended != SQLITE_IOERR_WRITE)
        return -EIO;

    int of_log = file_errno(db, SQLITE_FCNTL_JOURNAL_POINTER);
    int of_db = file_errno(db, SQLITE_FCNTL_FILE_POINTER);

    if (is_full(of_log) || is_full(of_db))
        return -ENOSPC;
    return of_log == EROFS || of_db == EROFS ? -EROFS : -EIO;
}

int sqlite_errno(sqlite3 *db, int rc)
{
    int extended = db ? sqlite3_extended_errcode(db) : rc;

    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_TOOBIG:
        return -E2BIG;
    case SQLITE_CANTOPEN:
        return db && sqlite3_system_errno(db) ? -sqlite3_system_errno(db) : -EIO;
    case SQLITE_IOERR:
        if ((rc | extended) == SQLITE_IOERR_NOMEM)
            return -ENOMEM;
        return ioerr_errno(db, extended);
    default:
        return -EIO;
    }
}

int sqlite_run(sqlite3 *db, const char *sql)
{
    return sqlite_errno(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int sqlite_ask(sqlite3 *db, const char *sql, int64_t *ret)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(stmt, 0);

    int r = rc == SQLITE_DONE ? -ENODATA : sqlite_errno(db, rc);

    sqlite3_finalize(stmt);
    return r;
}

int sqlite_cache_init(struct sqlite_cache *c, sqlite3 *db, const char *const *texts,
                      unsigned count)
{
    *c = (struct sqlite_cache){.db = db, .texts = texts, .count = count};
    c->stmts = calloc(count, sizeof *c->stmts);
    return c->stmts ? 0 : -ENOMEM;
}

void sqlite_cache_deinit(struct sqlite_cache *c)
{
    for (unsigned i = 0; c->stmts && i < c->count; i++)
        sqlite3_finalize(c->stmts[i]);
    free(c->stmts);
    c->stmts = NULL;
}

int sqlite_cache_get(struct sqlite_cache *c, unsigned index, sqlite3_stmt **ret)
{
    assert_always(index < c->count && c->texts[index]);
    if (!c->stmts[index]) {
        int rc = sqlite3_prepare_v3(c->db, c->texts[index], -1, SQLITE_PREPARE_PERSISTENT,
                                    &c->stmts[index], NULL);

        if (rc != SQLITE_OK)
            return sqlite_errno(c->db, rc);
    }
    *ret = c->stmts[index];
    return 0;
}

int sqlite_row(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW)
        return 1;

    int r = sqlite_errno(sqlite3_db_handle(stmt), rc);

    sqlite3_reset(stmt);
    return r;
}

int sqlite_finish(sqlite3_stmt *stmt)
{
    int r = sqlite_row(stmt);

    assert_always(r <= 0);
    return r;
}
