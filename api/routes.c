/* routes.c: what can be asked, in one table. openapi.json tells the same to machines; a test
 * holds the two together. */
#include "api/api_parts.h"

#define GET METHOD_GET
#define POST METHOD_POST
#define PUT METHOD_PUT
#define PATCH METHOD_PATCH

const struct route routes_table[] = {
    {POST, "/v1/jobs", SCOPE_WRITE, false, jobs_submit,
     "submit one job (an object), or many at once (an array, or an object a line)"},
    {GET, "/v1/jobs", SCOPE_READ, false, jobs_list,
     "list jobs, newest first: state, queue, kind, tag, name, key, since, limit, cursor"},
    {GET, "/v1/jobs/{id}", SCOPE_READ, false, jobs_get,
     "one job; wait=30s answers when it has ended"},
    {GET, "/v1/jobs/{id}/log", SCOPE_READ, false, log_get,
     "what it printed: Range, stream=stdout|stderr, attempt=N, fence=N, follow=1"},
    {GET, "/v1/jobs/{id}/attempts", SCOPE_READ, false, jobs_attempts,
     "every try that has ended, and how"},
    {POST, "/v1/jobs/{id}/cancel", SCOPE_WRITE, false, jobs_cancel,
     "stop it, with every process it started: {\"grace\": \"10s\", \"force\": false}"},
    {POST, "/v1/jobs/{id}/retry", SCOPE_WRITE, false, jobs_retry,
     "an ended job: a new one like it; a retrying one: try now"},
    {POST, "/v1/jobs/{id}/hold", SCOPE_WRITE, false, jobs_hold,
     "keep a waiting job from starting"},
    {POST, "/v1/jobs/{id}/release", SCOPE_WRITE, false, jobs_release, "let a held job start"},
    {POST, "/v1/leases", SCOPE_WRITE, false, leases_take,
     "a worker takes jobs: {\"queues\": [\"default\"], \"max\": 10}; wait=30s for some to "
     "come"},
    {POST, "/v1/leases/{id}/renew", SCOPE_WRITE, false, leases_renew,
     "it still works on it: {\"fence\": 1}; the answer says whether to stop"},
    {POST, "/v1/leases/{id}/complete", SCOPE_WRITE, false, leases_complete,
     "it is done: {\"fence\": 1, \"result\": any JSON}"},
    {POST, "/v1/leases/{id}/fail", SCOPE_WRITE, false, leases_fail,
     "it failed: {\"fence\": 1, \"error\": \"why\", \"retry\": true}"},
    {POST, "/v1/leases/{id}/snooze", SCOPE_WRITE, false, leases_snooze,
     "not now, and not counted: {\"fence\": 1, \"for\": \"5m\"}"},
    {POST, "/v1/leases/renew", SCOPE_WRITE, false, leases_renew,
     "many at once: an array of such objects with their ids; an answer for each"},
    {POST, "/v1/leases/complete", SCOPE_WRITE, false, leases_complete, "the same"},
    {POST, "/v1/leases/fail", SCOPE_WRITE, false, leases_fail, "the same"},
    {POST, "/v1/leases/snooze", SCOPE_WRITE, false, leases_snooze, "the same"},
    {GET, "/v1/queues", SCOPE_READ, false, queues_list, "all queues with settings and counts"},
    {GET, "/v1/queues/{name}", SCOPE_READ, false, queues_get, "one queue"},
    {PUT, "/v1/queues/{name}", SCOPE_ADMIN, false, queues_put,
     "set all of a queue: {\"concurrency\": 4, \"key_concurrency\": 1, \"paused\": false}"},
    {PATCH, "/v1/queues/{name}", SCOPE_ADMIN, false, queues_patch, "set some of a queue"},
    {POST, "/v1/backup", SCOPE_ADMIN, false, admin_backup,
     "copy the store while it works: {\"path\": \"/absolute/file.db\"}"},
    {GET, "/v1/doctor", SCOPE_ADMIN, false, admin_doctor,
     "look through the whole store and say what is wrong"},
    {GET, "/v1/debug/tasks", SCOPE_ADMIN, false, debug_tasks,
     "the daemon's own tasks: what each waits for"},
    {GET, "/v1/debug/trace", SCOPE_ADMIN, false, debug_trace,
     "what its scheduler does for=5s, as a trace for ui.perfetto.dev"},
    {GET, "/healthz", SCOPE_OPEN, true, health_live, "the process answers"},
    {GET, "/readyz", SCOPE_MONITOR, true, health_ready,
     "work can be sent: writable, not draining"},
    {GET, "/metrics", SCOPE_MONITOR, false, metrics_get, "counters for Prometheus"},
    {GET, "/openapi.json", SCOPE_READ, true, openapi_get, "this table, for machines"},
};

const unsigned routes_count = sizeof routes_table / sizeof *routes_table;
