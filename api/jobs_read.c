/* jobs_read.c: looking at jobs: one, many, and their attempts. */
#include "api/api_parts.h"

#include "api/problem.h"
#include "api/render.h"
#include "api/wire.h"
#include "base/clock.h"
#include "base/own.h"
#include "base/str.h"
#include "jobs/engine.h"

#include <errno.h>
#include <string.h>

#define LIMIT_DEFAULT 100

OWN_DEFINE(struct job, job_free);

/* ------------------------------------------------------------------------- one */

void jobs_answer(struct request *q, int status, const struct job *job)
{
    OWN_BUF struct buf b = BUF_INIT;
    char tag[RENDER_TAG_BYTES];

    render_job_tag(job, tag);
    reply_header(q, "ETag", "%s", tag);
    buf_reserve(&b, 1024);
    render_job(&b, job);
    reply_json(q, status, &b);
}

struct waiting {
    struct engine *engine;
    uint64_t id, deadline_ns;
    struct job *job;
    int result;
};

static int wait_final(void *arg)
{
    struct waiting *w = arg;

    w->result = engine_wait(w->engine, w->id, w->deadline_ns, &w->job);
    return 0;
}

/* Answers with the job as it stands: asked again when the wait was cut short. */
static void answer_waited(struct request *q, struct waiting *w, bool fresh)
{
    if (w->job == NULL && w->result != ENGINE_NOT_FOUND)
        w->result = engine_get(w->engine, w->id, &w->job);
    if (w->job == NULL) {
        problem_engine(q, w->result, NULL);
        return;
    }
    bool final = job_state_is_final(w->job->state);
    if (fresh)
        reply_header(q, "Location", WIRE_JOBS "/%llu", (unsigned long long)w->id);
    if (!final)
        reply_header(q, "Retry-After", "1");
    jobs_answer(q, final ? 200 : 202, w->job);
}

void jobs_answer_wait(struct request *q, uint64_t id, int64_t ms, bool fresh)
{
    struct waiting w = {.engine = api_of(q)->options.engine,
                        .id = id,
                        .deadline_ns = clock_mono_ns() + (uint64_t)ms * NS_PER_MS,
                        .result = ENGINE_TIMEOUT};

    int r = request_wait(q, wait_final, &w);
    if (q->headers[HEADER_PREFER] != NULL && query_get(&q->query, "wait") == NULL)
        reply_header(q, "Preference-Applied", "wait=%lld", (long long)(ms / 1000));
    /* A client that is gone reads no answer, whatever it is. Others get what there is. */
    if (r < 0 && r != -EPIPE && r != -ECANCELED)
        problem_errno(q, r);
    else
        answer_waited(q, &w, fresh);
    job_free(w.job);
}

static void answer_get(struct request *q)
{
    OWN(job_free) struct job *job = NULL;
    const char *known = q->headers[HEADER_IF_NONE_MATCH];
    char tag[RENDER_TAG_BYTES];

    int r = engine_get(api_of(q)->options.engine, q->id, &job);
    if (r != 0) {
        problem_engine(q, r, NULL);
        return;
    }
    render_job_tag(job, tag);
    if (known != NULL && etag_listed(known, tag)) {
        reply_header(q, "ETag", "%s", tag);
        reply_empty(q, 304);
        return;
    }
    jobs_answer(q, 200, job);
}

void jobs_get(struct request *q)
{
    static const char *const names[] = {"wait", NULL};
    int64_t wait_ms;
    bool preferred;

    if (!params_known(q, names) || !params_wait(q, &wait_ms, &preferred))
        return;
    if (wait_ms > 0)
        jobs_answer_wait(q, q->id, wait_ms, false);
    else
        answer_get(q);
}

/* ------------------------------------------------------------------------- many */

/* "queued,running", or several parameters of that name. */
static bool read_states(struct request *q, uint32_t *ret)
{
    uint32_t states = 0;

    for (unsigned i = 0; i < q->query.count; i++) {
        if (strcmp(q->query.params[i].name, "state") != 0)
            continue;
        for (const char *p = q->query.params[i].value; *p != '\0';) {
            size_t len = strcspn(p, ",");
            enum job_state state;

            if (!job_state_parse(p, len, &state)) {
                problem(q, "bad-parameter",
                        "state %.*s is none of held, blocked, scheduled, queued, retrying, "
                        "running, stopping, succeeded, failed, cancelled, expired, skipped",
                        (int)(len < 64 ? len : 64), p);
                return false;
            }
            states |= 1u << state;
            p += len + (p[len] == ',');
        }
    }
    *ret = states;
    return true;
}

static bool read_kind(struct request *q, enum job_kind *ret)
{
    const char *value = query_get(&q->query, "kind");

    *ret = KIND_NONE;
    if (value == NULL || job_kind_parse(value, strlen(value), ret))
        return true;
    problem(q, "bad-parameter", "kind must be one of exec, http, file, worker");
    return false;
}

/* A point in time, or how long ago. */
static bool read_since(struct request *q, int64_t *ret_ms)
{
    const char *value = query_get(&q->query, "since");
    int64_t span_ms;

    *ret_ms = 0;
    if (value == NULL || str_time_ms(value, strlen(value), ret_ms) == 0)
        return true;
    if (str_duration_ms(value, strlen(value), &span_ms) == 0 && span_ms >= 0) {
        *ret_ms = clock_wall_ms() - span_ms;
        return true;
    }
    problem(q, "bad-parameter",
            "since must be a time such as 2026-11-23T15:05:53Z, or a span such as 1h");
    return false;
}

static bool read_filter(struct request *q, struct job_filter *ret)
{
    uint64_t limit;
    struct job_filter filter = {
        .queue = query_get(&q->query, "queue"),
        .tag = query_get(&q->query, "tag"),
        .name = query_get(&q->query, "name"),
        .key = query_get(&q->query, "key"),
    };

    if (!read_states(q, &filter.states) || !read_kind(q, &filter.kind) ||
        !read_since(q, &filter.since_ms) ||
        !params_u64(q, "limit", 1, STORE_PAGE_MAX, LIMIT_DEFAULT, &limit) ||
        !params_u64(q, "cursor", 1, UINT64_MAX, 0, &filter.before_id))
        return false;
    filter.limit = (uint32_t)limit;
    *ret = filter;
    return true;
}

/* The same question with another cursor, as a Link (RFC 8288). */
static void link_next(struct request *q, uint64_t next)
{
    OWN_BUF struct buf b = BUF_INIT;

    for (const char *p = q->query_text; *p != '\0';) {
        size_t len = strcspn(p, "&");

        if (len > 0 && strncmp(p, "cursor=", 7) != 0) {
            buf_put(&b, p, len);
            buf_putc(&b, '&');
        }
        p += len + (p[len] == '&');
    }
    reply_header(q, "Link", "<" WIRE_JOBS "?%scursor=%llu>; rel=\"next\"", buf_str(&b),
                 (unsigned long long)next);
}

static void answer_page(struct request *q, const struct job_page *page)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_puts(&b, "{\"items\":[");
    for (size_t i = 0; i < page->count; i++) {
        if (i > 0)
            buf_putc(&b, ',');
        render_job(&b, page->jobs[i]);
    }
    /* A string: what is opaque today may be more than a number tomorrow. */
    if (page->next != 0)
        buf_putf(&b, "],\"next\":\"%llu\"}", (unsigned long long)page->next);
    else
        buf_puts(&b, "],\"next\":null}");
    if (page->next != 0)
        link_next(q, page->next);
    reply_json(q, 200, &b);
}

void jobs_list(struct request *q)
{
    static const char *const names[] = {"state", "queue", "kind",  "tag",    "name",
                                        "key",   "since", "limit", "cursor", NULL};
    struct job_filter filter;
    struct job_page page = {.jobs = NULL};

    if (!params_known(q, names) || !read_filter(q, &filter))
        return;
    int r = engine_list(api_of(q)->options.engine, &filter, &page);
    if (r != 0) {
        problem_engine(q, r, NULL);
        return;
    }
    answer_page(q, &page);
    job_page_deinit(&page);
}

/* ------------------------------------------------------------------------- attempts */

void jobs_attempts(struct request *q)
{
    static const char *const names[] = {NULL};
    struct attempt_list list = {.items = NULL};
    OWN_BUF struct buf b = BUF_INIT;

    if (!params_known(q, names))
        return;
    int r = engine_attempts(api_of(q)->options.engine, q->id, &list);
    if (r != 0) {
        problem_engine(q, r, NULL);
        return;
    }
    buf_puts(&b, "{\"items\":[");
    for (size_t i = 0; i < list.count; i++) {
        if (i > 0)
            buf_putc(&b, ',');
        render_attempt(&b, &list.items[i]);
    }
    buf_puts(&b, "],\"next\":null}");
    attempt_list_deinit(&list);
    reply_json(q, 200, &b);
}
