#include "storage/sqlite_parts.h"

#include "base/err.h"

#include <errno.h>
#include <stdlib.h>

/* A quota and a file size limit are full disks too, which SQLite tells from a broken one only
 * by the errno it keeps. */
static int ioerr_errno(sqlite3 *db)
{
    int e = db ? sqlite3_system_errno(db) : 0;

    if (e == EDQUOT || e == EFBIG || e == ENOSPC)
        return -ENOSPC;
    return e == EROFS ? -EROFS : -EIO;
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
        return extended == SQLITE_IOERR_FSYNC ? -EIO : ioerr_errno(db);
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
