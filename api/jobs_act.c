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

/* ------------------------------------------------------------------------- cancel */

static int read_grace(const struct jval *value, int64_t *ret_ms)
{
    if (jval_is(value, JVAL_STRING))
        return str_duration_ms(jval_string(value), jval_count(value, JVAL_STRING), ret_ms);
    if (!jval_is_number(value) || jval_number(value) < 0 || jval_number(value) > 1e9)
        return -EINVAL;
    *ret_ms = (int64_t)(jval_number(value) * 1000);
    return 0;
}

/* NULL, or the field that is wrong; *ret_what says why. */
static const char *read_options(const struct jval *object, struct cancel_options *ret,
                                const char **ret_what)
{
    jval_each_name(name, object)
    {
        const struct jval *value = jval_named(name);
        const char *field = name->string;

        if (strcmp(field, "grace") == 0) {
            *ret_what = "must be a span such as \"10s\"";
            if (read_grace(value, &ret->grace_ms) < 0 || ret->grace_ms < 0)
                return field;
        } else if (strcmp(field, "force") == 0) {
            *ret_what = "must be true or false";
            if (!jval_is_flag(value))
                return field;
            ret->force = jval_is(value, JVAL_TRUE);
        } else {
            *ret_what = "is not known here; known: grace, force";
            return field;
        }
    }
    return NULL;
}

static bool read_cancel(struct request *q, struct cancel_options *ret)
{
    OWN(free) struct jval *json = NULL;
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
    if (!jval_is(json, JVAL_OBJECT)) {
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
