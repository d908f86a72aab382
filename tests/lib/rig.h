/* rig.h: kinds without an engine: a scratch state folder, the kinds opened on it, and attempts
 * that a test starts, cancels and judges. Everything runs in a scheduler of the test's own. */
#ifndef TESTS_LIB_RIG_H
#define TESTS_LIB_RIG_H

#include "jobs/joblog.h"
#include "jobs/kind.h"
#include "scheduler/event.h"
#include "scheduler/group.h"

struct rig {
    char *dir;                 /* state folder */
    struct kind_config config; /* what the test sets stays, the rest is filled in */
    struct kinds *kinds;
    struct joblogs *logs;
    struct group group; /* of what the kinds run in the background */
    void (*body)(struct rig *rig);
};

struct shot {
    struct rig *rig;
    struct spec *spec;
    struct job job;
    struct attempt attempt;
    struct outcome outcome;
    _Atomic int64_t grace_ms;
    _Atomic uint64_t progress_bytes;
    struct group group; /* the attempt's task alone */
    struct event ended;
    struct joblog *log;
};

/* Runs body as the root task. dir NULL: a new folder, removed after; else the caller's. */
void rig_run(const char *dir, const struct kind_config *config, void (*body)(struct rig *rig));

/* Starts an attempt of the job in document, fence as given. */
void shot_start(struct rig *rig, struct shot *shot, const char *document, uint64_t id,
                uint32_t fence);
void shot_cancel(struct shot *shot, int reason);
/* Parks until it ended; the outcome and the log can be read then. */
void shot_wait(struct shot *shot);
void shot_end(struct shot *shot);
/* Start, wait; the caller ends it. */
void shot_fire(struct rig *rig, struct shot *shot, const char *document);
/* What it printed on one stream (STREAM_NONE: all), to free(). */
char *shot_output(struct shot *shot, enum log_stream stream);
/* Parks until path exists; the test fails after ten seconds. */
void rig_await(const char *path);
/* An integer or string of the result document. */
int64_t shot_int(const struct shot *shot, const char *key);

#endif
