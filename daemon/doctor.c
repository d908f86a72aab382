#include "daemon/doctor.h"

#include "jobs/commit.h"
#include "jobs/engine_admin.h"
#include "storage/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* What the core makes of the store is a start's first step: rows that it refuses would be left
 * alone for ever. */
static int check_core(struct store *store, struct doctor_report *report)
{
    const struct commit_options options = {.store = store, .seed = 1};
    struct commit *commit = NULL;
    uint64_t refused = 0;
    char text[96];
    int r = commit_open(&options, &commit, &refused);

    if (r < 0)
        return r;

    const char *broken = core_check(commit_core(commit));

    if (refused > 0) {
        snprintf(text, sizeof text, "%" PRIu64 " jobs that have not ended cannot be loaded",
                 refused);
        r = doctor_report_find(report, text);
    }
    if (r == 0 && broken)
        r = doctor_report_find(report, broken);
    commit_close(commit);
    return r;
}

/* Jobs of an older schema cannot be loaded before a start has brought it to this version's. */
static int check_all(struct store *store, bool older, struct doctor_report *report)
{
    int r = store_check(store_writer_reader(store), doctor_report_find, report);

    return r == 0 && report->findings_count == 0 && !older ? check_core(store, report) : r;
}

static void print(const char *state_dir, const struct doctor_report *report,
                  const struct store_info *info)
{
    if (info->schema < info->schema_newest)
        printf("the store in %s is of schema %u: a start keeps a copy of it and brings it to "
               "%u; whether its jobs can be loaded shows then\n",
               state_dir, info->schema, info->schema_newest);
    for (size_t i = 0; i < report->findings_count; i++)
        printf("%s\n", report->findings[i]);
    if (report->findings_count == 0)
        printf("the store in %s is sound\n", state_dir);
    else
        printf("the store in %s is not sound: restore a backup, see stintd(8)\n", state_dir);
    fflush(stdout);
}

int doctor_check(const char *state_dir, char *why)
{
    struct doctor_report report = {.findings = NULL};
    struct store_info info;
    struct store *store = NULL;
    int r = store_look_sqlite(state_dir, &store, why);

    if (r == STORE_LOCKED)
        return DOCTOR_BUSY;
    if (r == STORE_BROKEN) {
        printf("%s\n", why);
        return DOCTOR_UNHEALTHY;
    }
    if (r != 0)
        return r < 0 ? r : -ENOTSUP;
    store_info(store, &info);
    r = check_all(store, info.schema < info.schema_newest, &report);
    if (r == 0) {
        print(state_dir, &report, &info);
        r = report.findings_count == 0 ? DOCTOR_HEALTHY : DOCTOR_UNHEALTHY;
    }
    doctor_report_deinit(&report);
    store_close(store);
    return r;
}
