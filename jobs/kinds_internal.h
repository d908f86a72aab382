/* kinds_internal.h: what the kinds share while the daemon runs; only for jobs/. attempt->kinds
 * points at it. Every part is opened in kinds_open (kinds.c) and closed in kinds_close. */
#ifndef JOBS_KINDS_INTERNAL_H
#define JOBS_KINDS_INTERNAL_H

#include "jobs/kind.h"
#include "jobs/scratch.h"
#include "jobs/spawn_base.h"

#include <pthread.h>

struct cgroup_root;
struct proctree;
struct http_pump;

/* How many file jobs that have done their work keep the note of it: far more than can be
 * waiting for the commit that makes their end durable. */
#define KINDS_DONE_MAX 4096

struct kinds {
    const struct kind_config *config; /* borrowed */
    uint64_t state_id; /* which state folder this is: in STINT_STATE and cgroup names */
    int scratch_fd;    /* DIR/tmp: a folder an attempt */
    struct scratch_spares spares;
    struct spawn_base base;      /* of exec's children */
    struct cgroup_root *cgroups; /* NULL: none to be had, proctree kills */
    struct proctree *tree;       /* finds and kills processes without cgroups */
    struct http_pump *pump;      /* the one caller of libcurl */
    pthread_mutex_t done_lock;   /* guards the two below; never held over a switch */
    uint64_t *done_ids;          /* a ring of KINDS_DONE_MAX jobs with a note; 0 = free */
    uint64_t done_count;
    char *home;        /* HOME of exec jobs */
    int oom_score_adj; /* the daemon's own, as it started */
    char why[160];     /* why there are no cgroups; "" = there are */
};

/* Of http_pump.c. Starts the pump's task in group; 0 or a negative errno. */
int http_pump_open(const struct kind_config *config, struct group *group,
                   struct http_pump **ret);
void http_pump_close(
    struct http_pump *pump); /* parks until the pump's task ended; NULL is fine */

#endif
