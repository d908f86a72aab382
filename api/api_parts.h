/* api_parts.h: what the handlers share. Internal to api/. */
#ifndef API_API_PARTS_H
#define API_API_PARTS_H

#include "api/api.h"
#include "api/request.h"
#include "api/server.h"

struct api {
    struct api_options options; /* with the defaults filled in */
    struct auth *auth;
    struct server *server;
};

/* The handlers, by noun. What each answers stands in the route table. */
void jobs_submit(struct request *q);
void jobs_list(struct request *q);
void jobs_get(struct request *q);
void jobs_attempts(struct request *q);
void jobs_cancel(struct request *q);
void jobs_retry(struct request *q);
void jobs_hold(struct request *q);
void jobs_release(struct request *q);
void leases_take(struct request *q);
void leases_renew(struct request *q);
void leases_complete(struct request *q);
void leases_fail(struct request *q);
void leases_snooze(struct request *q);
void log_get(struct request *q);
void queues_list(struct request *q);
void queues_get(struct request *q);
void queues_put(struct request *q);
void queues_patch(struct request *q);
void health_live(struct request *q);
void health_ready(struct request *q);
void debug_tasks(struct request *q);
void debug_trace(struct request *q);
void admin_backup(struct request *q);
void admin_doctor(struct request *q);
void metrics_get(struct request *q);
void openapi_get(struct request *q);

extern const struct route routes_table[];
extern const unsigned routes_count;

static inline struct api *api_of(struct request *q)
{
    return q->app;
}

/* true: every parameter is one of the NULL-terminated list; else the request is answered. */
bool params_known(struct request *q, const char *const *names);
/* A span of at most WIRE_WAIT_S_MAX from ?wait= or, without it, from Prefer: wait=. 0 = none.
 * false: the request is answered. *ret_preferred: it came from Prefer. */
bool params_wait(struct request *q, int64_t *ret_ms, bool *ret_preferred);
/* true or false for a parameter, fallback when it is absent. false: answered. */
bool params_bool(struct request *q, const char *name, bool fallback, bool *ret);
bool params_u64(struct request *q, const char *name, uint64_t min, uint64_t max,
                uint64_t fallback, uint64_t *ret);

struct job;
/* The whole answer: the job with its tag. */
void jobs_answer(struct request *q, int status, const struct job *job);
/* Waits until job id is final, at most ms, and answers 200 or 202 with it. fresh: it was made
 * by this request, which a Location header tells. */
void jobs_answer_wait(struct request *q, uint64_t id, int64_t ms, bool fresh);

#endif
