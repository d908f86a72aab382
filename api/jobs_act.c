/* jobs_act.c: verbs on a job. Each may be sent again: a verb whose end is already reached
 * answers 200. */
#include "api/api_parts.h"

#include "api/problem.h"
#include "api/wire.h"
#include "base/own.h"
#include "base/str.h"
#include "jobs/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

OWN_DEFINE(struct job, job_free);
OWN_DEFINE(json_t, json_decref);

/* ------------------------------------------------------------------------- cancel */

static int read_grace(const json_t *value, int64_t *ret_ms)
{
    if (json_is_string(value))
        return str_duration_ms(json_string_value(value), json_string_length(value), ret_ms);
    if (!json_is_number(value) || json_number_value(value) < 0 ||
        json_number_value(value) > 1e9)
        return -EINVAL;
    *ret_ms = (int64_t)(json_number_value(value) * 1000);
    return 0;
}

/* NULL, or the field that is wrong; *ret_what says why. */
static const char *read_options(json_t *object, struct cancel_options *ret,
                                const char **ret_what)
{
    const char *field;
    json_t *value;

    json_object_foreach(object, field, value)
    {
        if (strcmp(field, "grace") == 0) {
            *ret_what = "must be a span such as \"10s\"";
            if (read_grace(value, &ret->grace_ms) < 0 || ret->grace_ms < 0)
                return field;
        } else if (strcmp(field, "force") == 0) {
            *ret_what = "must be true or false";
            if (!json_is_boolean(value))
                return field;
            ret->force = json_is_true(value);
        } else {
            *ret_what = "is not known here; known: grace, force";
            return field;
        }
    }
    return NULL;
}

static bool read_cancel(struct request *q, struct cancel_options *ret)
{
    OWN(json_decref) json_t *json = NULL;
    struct spec_fault fault = {.pointer = ""};
    const char *what = "";

    *ret = (struct cancel_options){.grace_ms = -1};
    if (q->body.len == 0)
        return true;
    int r = spec_json(buf_str(&q->body), q->body.len, SPEC_DOCUMENT_BYTES_MAX, &json, &fault);
    if (r < 0) {
        if (r == -EINVAL)
            problem_at(q, "invalid-json", fault.pointer, fault.what);
        else
            problem_errno(q, r);
        return false;
    }
    if (!json_is_object(json)) {
        problem_at(q, "invalid-settings", "", "must be an object: {\"grace\": \"10s\"}");
        return false;
    }

    const char *field = read_options(json, ret, &what);
    if (field == NULL)
        return true;
    char pointer[80];
    snprintf(pointer, sizeof pointer, "/%.70s", field);
    problem_at(q, "invalid-settings", pointer, what);
    return false;
}

void jobs_cancel(struct request *q)
{
    OWN(job_free) struct job *job = NULL;
    struct cancel_options options;
    static const char *const names[] = {NULL};

    if (!params_known(q, names) || !read_cancel(q, &options))
        return;
    int r = engine_cancel(api_of(q)->options.engine, q->id, &options, &job);
    if (r == ENGINE_OK && job != NULL)
        jobs_answer(q, 200, job);
    else if (r == ENGINE_STOPPING && job != NULL)
        jobs_answer(q, 202, job);
    else if (r == ENGINE_FINAL && job != NULL && job->state == JOB_CANCELLED)
        jobs_answer(q, 200, job);
    else
        problem_engine(q, r, job);
}

/* ------------------------------------------------------------------------- the others */

void jobs_retry(struct request *q)
{
    OWN(job_free) struct job *job = NULL;
    static const char *const names[] = {NULL};

    if (!params_known(q, names))
        return;
    int r = engine_retry(api_of(q)->options.engine, q->id, &job);
    if (r != ENGINE_OK || job == NULL) {
        problem_engine(q, r, job);
        return;
    }
    /* A final job stays what it is; a new one was made from it. */
    if (job->id != q->id)
        reply_header(q, "Location", WIRE_JOBS "/%llu", (unsigned long long)job->id);
    jobs_answer(q, job->id != q->id ? 201 : 200, job);
}

static void act(struct request *q,
                int (*verb)(struct engine *engine, uint64_t id, struct job **ret))
{
    OWN(job_free) struct job *job = NULL;
    static const char *const names[] = {NULL};

    if (!params_known(q, names))
        return;
    int r = verb(api_of(q)->options.engine, q->id, &job);
    if (r == ENGINE_OK && job != NULL)
        jobs_answer(q, 200, job);
    else
        problem_engine(q, r, job);
}

void jobs_hold(struct request *q)
{
    act(q, engine_hold);
}

void jobs_release(struct request *q)
{
    act(q, engine_release);
}
