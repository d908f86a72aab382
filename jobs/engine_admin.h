/* engine_admin.h: what an operator asks of an engine besides jobs: how long the ended ones are
 * kept, a copy of the store while it works, and whether what it holds is sound.
 *
 * All three share the commit task with the submissions, which must not notice: each brings it
 * small pieces of work (a request that looks, see engine_internal.h), measures how long they
 * took, and makes the next one smaller or larger by that. */
#ifndef JOBS_ENGINE_ADMIN_H
#define JOBS_ENGINE_ADMIN_H

#include "jobs/engine.h"

/* How long jobs stay after their end, by state, in ms; 0 = for ever, as all do until this is
 * called. What is older goes with its attempts and logs, soon but not at once. Any task. */
struct keep_settings {
    int64_t keep_ms[JOB_STATE_COUNT]; /* of final states */
};
void engine_keep(struct engine *engine, const struct keep_settings *settings);
/* Jobs removed so since the start. Any thread, does not park. */
uint64_t engine_removed(struct engine *engine);
/* The longest that one batch of them kept the commit task from submissions. The same. */
uint64_t engine_removed_slowest_ns(struct engine *engine);

struct backup_result {
    uint64_t bytes, took_ns;
};
/* Copies the store to path, which must not be there yet: path.partial until it is whole and
 * synced. Everything acknowledged before the call is in it; submissions go on. Parks until it
 * stands. 0; ENGINE_CONFLICT while another one is made; -EEXIST when path or path.partial is
 * there; a negative errno of the file, or the cancel reason: then nothing is left. */
int engine_backup(struct engine *engine, const char *path, struct backup_result *ret);

/* What is wrong, in sentences; and what could not be looked at. */
struct doctor_report {
    char **findings, **skipped;
    size_t findings_count, skipped_count;
    uint64_t took_ns;
};
/* Looks through the whole store on a thread of its own, and through the core's invariants on
 * the commit task unless so many jobs wait that submissions would notice. Parks for as long
 * as it takes, which cannot be cut short. 0; ENGINE_CONFLICT while another one looks; a
 * negative errno when it could not be done. */
int engine_doctor(struct engine *engine, struct doctor_report *ret);
void doctor_report_deinit(struct doctor_report *report);
/* Adds a copy of the sentence. 0 or -ENOMEM. ctx is a struct doctor_report: fits store_check.
 */
int doctor_report_find(void *ctx, const char *sentence);

#endif
