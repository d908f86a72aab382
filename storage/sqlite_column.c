#include "storage/sqlite_parts.h"

#include <string.h>

#define JOB(name, type, field)                                                                 \
    {                                                                                          \
        name, COLUMN_##type, offsetof(struct job, field)                                       \
    }
#define ATTEMPT(name, type, field)                                                             \
    {                                                                                          \
        name, COLUMN_##type, offsetof(struct attempt_record, field)                            \
    }

_Static_assert(sizeof(enum job_state) == 4, "enumerators are read and written as 32 bits");

const struct sqlite_column sqlite_job_columns[JOB_COLUMNS] = {
    [JOB_ID] = JOB("id", 64, id),
    [JOB_IDENTITY] = JOB("kind", U32, kind),
    JOB("queue", TEXT, queue),
    JOB("name", TEXT, name),
    JOB("key", TEXT, key),
    JOB("tags", TEXT, tags),
    JOB("created_at", 64, created_at_ms),
    JOB("retry_of", 64, retry_of),
    [JOB_SPEC] = JOB("spec", TEXT, spec),
    [JOB_MUTABLE] = JOB("state", U32, state),
    JOB("reason", U32, reason),
    JOB("priority", 32, priority),
    JOB("attempt", U32, attempt),
    JOB("crashes", U32, crashes),
    JOB("fence", U32, fence),
    JOB("dead_letter", BOOL, dead_letter),
    JOB("cancel_requested", BOOL, cancel_requested),
    JOB("run_at", 64, run_at_ms),
    JOB("started_at", 64, started_at_ms),
    JOB("finished_at", 64, finished_at_ms),
    JOB("start_by", 64, start_by_at_ms),
    JOB("retry_until", 64, retry_until_at_ms),
    JOB("epoch", 64, epoch),
    [JOB_LEASE] = JOB("lease_until", 64, lease_until_ms),
    [JOB_OUTCOME] = JOB("result", TEXT, result),
    JOB("error", TEXT, error),
};

const struct sqlite_column sqlite_attempt_columns[ATTEMPT_COLUMNS] = {
    ATTEMPT("job_id", 64, job_id),
    ATTEMPT("fence", U32, fence),
    ATTEMPT("attempt", U32, attempt),
    ATTEMPT("started_at", 64, started_at_ms),
    ATTEMPT("finished_at", 64, finished_at_ms),
    ATTEMPT("state", U32, state),
    ATTEMPT("reason", U32, reason),
    ATTEMPT("result", TEXT, result),
    ATTEMPT("error", TEXT, error),
};

/* memcpy, because fields of several types (and enumerations) are seen through one. */
static int64_t integer_of(const void *record, const struct sqlite_column *column)
{
    const char *at = (const char *)record + column->offset;
    int64_t i64;
    int32_t i32;
    uint32_t u32;

    switch (column->type) {
    case COLUMN_64:
        memcpy(&i64, at, sizeof i64);
        return i64;
    case COLUMN_32:
        memcpy(&i32, at, sizeof i32);
        return i32;
    case COLUMN_U32:
        memcpy(&u32, at, sizeof u32);
        return u32;
    default:
        return *(const bool *)at;
    }
}

static const char *text_of(const void *record, const struct sqlite_column *column)
{
    const char *text;

    memcpy(&text, (const char *)record + column->offset, sizeof text);
    return text;
}

static void integer_set(void *record, const struct sqlite_column *column, int64_t value)
{
    char *at = (char *)record + column->offset;
    uint32_t low = (uint32_t)value;

    if (column->type == COLUMN_64)
        memcpy(at, &value, sizeof value);
    else if (column->type == COLUMN_BOOL)
        *(bool *)at = value != 0;
    else
        memcpy(at, &low, sizeof low);
}

int sqlite_column_bind(sqlite3_stmt *stmt, int index, const void *record,
                       const struct sqlite_column *column)
{
    int rc = column->type == COLUMN_TEXT
                 ? sqlite3_bind_text(stmt, index, text_of(record, column), -1, SQLITE_STATIC)
                 : sqlite3_bind_int64(stmt, index, integer_of(record, column));

    return sqlite_errno(sqlite3_db_handle(stmt), rc);
}

void sqlite_column_result(sqlite3_context *ctx, const void *record,
                          const struct sqlite_column *column)
{
    if (column->type == COLUMN_TEXT)
        sqlite3_result_text(ctx, text_of(record, column), -1, SQLITE_STATIC);
    else
        sqlite3_result_int64(ctx, integer_of(record, column));
}

void sqlite_columns_read(sqlite3_stmt *stmt, int first, void *record,
                         const struct sqlite_column *columns, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int at = first + (int)i;

        if (columns[i].type == COLUMN_TEXT) {
            const unsigned char *text = sqlite3_column_text(stmt, at);

            memcpy((char *)record + columns[i].offset, &text, sizeof text);
        } else {
            integer_set(record, &columns[i], sqlite3_column_int64(stmt, at));
        }
    }
}
