/* What must hold in a whole store, besides what SQLite itself looks after. Each rule is a query
 * that finds what breaks it. */
#include "storage/sqlite_parts.h"

#include "base/list.h"

#include <errno.h>
#include <stdio.h>

#define FINDING_BYTES 256

static const struct rule {
    unsigned since;       /* the schema that has the columns */
    const char *sentence; /* with %lld for the number that the query yields */
    const char *sql;
} rules[] = {
    {1, "job %lld has a document but no state",
     "SELECT id FROM doc WHERE id NOT IN (SELECT id FROM live)"
     " AND id NOT IN (SELECT id FROM done)"},
    {1, "job %lld is both live and ended",
     "SELECT live.id FROM live JOIN done ON done.id=live.id"},
    {1, "job %lld is live but has no document",
     "SELECT id FROM live WHERE id NOT IN (SELECT id FROM doc)"},
    {1, "job %lld has ended but has no document",
     "SELECT id FROM done WHERE id NOT IN (SELECT id FROM doc)"},
    {1, "job %lld has attempts but no document",
     "SELECT DISTINCT job_id FROM attempt WHERE job_id NOT IN (SELECT id FROM doc)"},
    {1, "job %lld is among the live with a state that is not",
     "SELECT id FROM live WHERE state NOT BETWEEN 1 AND 7"},
    {1, "job %lld is among the ended with a state that is not",
     "SELECT id FROM done WHERE state NOT BETWEEN 8 AND 12"},
    {1, "job %lld is of a kind that does not exist",
     "SELECT id FROM doc WHERE kind NOT BETWEEN 1 AND 4"},
    {3, "job %lld is leased, but not a running job for a worker",
     "SELECT id FROM live WHERE lease_until<>0 AND (kind<>4 OR state NOT IN (6, 7))"},
    {1, "live job %lld has other names than its document",
     "SELECT live.id FROM live JOIN doc ON doc.id=live.id WHERE live.queue IS NOT doc.queue"
     " OR live.name IS NOT doc.name OR live.key IS NOT doc.key OR live.kind IS NOT doc.kind"},
};

struct report {
    store_finding_fn fn;
    void *ctx;
    unsigned count;
};

static int report_finding(struct report *report, const char *sentence)
{
    if (report->count++ >= STORE_FINDINGS_MAX)
        return 0;
    return report->fn(report->ctx, sentence);
}

/* SQLite's own check: "ok", or a line for each trouble. */
static int check_pages(sqlite3 *db, struct report *report)
{
    sqlite3_stmt *stmt = NULL;
    int r = sqlite_errno(
        db, sqlite3_prepare_v2(db, "PRAGMA integrity_check(100)", -1, &stmt, NULL));

    while (r == 0 && (r = sqlite_row(stmt)) == 1) {
        const char *line = (const char *)sqlite3_column_text(stmt, 0);
        bool ok = line && sqlite3_stricmp(line, "ok") == 0;

        r = ok ? 0 : report_finding(report, line ? line : "no memory to say what");
    }
    sqlite3_finalize(stmt);
    return r;
}

static int check_rule(sqlite3 *db, const struct rule *rule, struct report *report)
{
    sqlite3_stmt *stmt = NULL;
    int r = sqlite_errno(db, sqlite3_prepare_v2(db, rule->sql, -1, &stmt, NULL));

    while (r == 0 && report->count < STORE_FINDINGS_MAX && (r = sqlite_row(stmt)) == 1) {
        char sentence[FINDING_BYTES];

        sqlite3_snprintf(sizeof sentence, sentence, rule->sentence,
                         sqlite3_column_int64(stmt, 0));
        r = report_finding(report, sentence);
    }
    sqlite3_finalize(stmt);
    return r;
}

/* A page that cannot be made sense of ends the check, and is what it was looking for. */
static int damage_report(sqlite3 *db, int r, struct report *report)
{
    char sentence[FINDING_BYTES];
    int code = sqlite3_errcode(db) & 0xff;

    if (r >= 0 || (code != SQLITE_CORRUPT && code != SQLITE_NOTADB))
        return r;
    sqlite3_snprintf(sizeof sentence, sentence, "the store is damaged: %s", sqlite3_errmsg(db));
    return report_finding(report, sentence);
}

int sqlite_check(struct store_reader *reader, store_finding_fn fn, void *ctx)
{
    sqlite3 *db = container_of(reader, struct sqlite_reader, base)->db;
    struct report report = {.fn = fn, .ctx = ctx};
    int r = damage_report(db, check_pages(db, &report), &report);
    bool torn = report.count > 0; /* then queries say nothing that could be relied on */
    int64_t schema = 0;

    if (r == 0 && !torn)
        r = damage_report(db, sqlite_ask(db, "PRAGMA user_version", &schema), &report);
    for (size_t i = 0; i < sizeof rules / sizeof *rules && r == 0 && !torn; i++) {
        if (rules[i].since <= schema)
            r = damage_report(db, check_rule(db, &rules[i], &report), &report);
    }
    return r;
}
