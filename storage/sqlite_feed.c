#include "storage/sqlite_parts.h"

#include "base/buf.h"

#include <errno.h>
#include <string.h>

struct feed_table {
    sqlite3_vtab base;
    const struct sqlite_feed *feed;
};

struct feed_cursor {
    sqlite3_vtab_cursor base;
    const struct sqlite_feed *feed;
    size_t at;
};

static int feed_declare(sqlite3 *db, const struct sqlite_feed *feed)
{
    OWN_BUF struct buf sql = BUF_INIT;

    buf_puts(&sql, "CREATE TABLE feed(");
    for (unsigned i = 0; i < feed->columns_count; i++)
        buf_putf(&sql, "%s%s", i ? "," : "", feed->columns[i].name);
    buf_puts(&sql, ")");
    return buf_failed(&sql) ? SQLITE_NOMEM : sqlite3_declare_vtab(db, buf_str(&sql));
}

static int feed_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
                        sqlite3_vtab **ret, char **ret_error)
{
    int rc = feed_declare(db, aux);
    struct feed_table *t = rc == SQLITE_OK ? sqlite3_malloc(sizeof *t) : NULL;

    (void)argc;
    (void)argv;
    (void)ret_error;
    if (!t)
        return rc == SQLITE_OK ? SQLITE_NOMEM : rc;
    memset(t, 0, sizeof *t);
    t->feed = aux;
    *ret = &t->base;
    return SQLITE_OK;
}

static int feed_disconnect(sqlite3_vtab *table)
{
    sqlite3_free(table);
    return SQLITE_OK;
}

/* There is one way to read it: from the first row to the last. */
static int feed_best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
    (void)table;
    info->estimatedCost = 1;
    return SQLITE_OK;
}

static int feed_open(sqlite3_vtab *table, sqlite3_vtab_cursor **ret)
{
    struct feed_cursor *c = sqlite3_malloc(sizeof *c);

    if (!c)
        return SQLITE_NOMEM;
    memset(c, 0, sizeof *c);
    c->feed = ((struct feed_table *)table)->feed;
    *ret = &c->base;
    return SQLITE_OK;
}

static int feed_close(sqlite3_vtab_cursor *cursor)
{
    sqlite3_free(cursor);
    return SQLITE_OK;
}

static int feed_filter(sqlite3_vtab_cursor *cursor, int index, const char *index_text, int argc,
                       sqlite3_value **argv)
{
    (void)index;
    (void)index_text;
    (void)argc;
    (void)argv;
    ((struct feed_cursor *)cursor)->at = 0;
    return SQLITE_OK;
}

static int feed_next(sqlite3_vtab_cursor *cursor)
{
    ((struct feed_cursor *)cursor)->at++;
    return SQLITE_OK;
}

static int feed_eof(sqlite3_vtab_cursor *cursor)
{
    const struct feed_cursor *c = (struct feed_cursor *)cursor;

    return c->at >= c->feed->count;
}

static int feed_column(sqlite3_vtab_cursor *cursor, sqlite3_context *ctx, int column)
{
    const struct feed_cursor *c = (struct feed_cursor *)cursor;

    sqlite_column_result(ctx, c->feed->rows[c->at], &c->feed->columns[column]);
    return SQLITE_OK;
}

static int feed_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *ret)
{
    *ret = (sqlite3_int64)((struct feed_cursor *)cursor)->at;
    return SQLITE_OK;
}

/* Without xCreate it is eponymous: it exists by being added, and only on that connection. */
static const sqlite3_module feed_module = {
    .xConnect = feed_connect,
    .xBestIndex = feed_best_index,
    .xDisconnect = feed_disconnect,
    .xOpen = feed_open,
    .xClose = feed_close,
    .xFilter = feed_filter,
    .xNext = feed_next,
    .xEof = feed_eof,
    .xColumn = feed_column,
    .xRowid = feed_rowid,
};

int sqlite_feed_add(sqlite3 *db, const char *name, struct sqlite_feed *feed)
{
    return sqlite_errno(db, sqlite3_create_module(db, name, &feed_module, feed));
}
