/* kind_http.c: one attempt of an HTTP job: the request with its redirects, and what its answer
 * means.
 *
 *     2xx, or a status of expect               succeeded
 *     408 425 429 500 502 503 504, retry_status,
 *     no whole answer                          failed, may be tried again; Retry-After is heard
 *     3xx not followed, other 4xx and 5xx,
 *     a refused address                        failed for good
 *
 * A target that keeps the Idempotency-Key, or looks at the fence, can make an attempt that is
 * repeated after a crash of ours have one effect.
 *
 * Redirects are followed here, a transfer each, so that every target is parsed, resolved and
 * guarded like the first. As browsers do, 303, and 301 and 302 of a POST, go on as GET without
 * the body; 307 and 308 repeat the request. What authenticates us to one origin is not shown to
 * another, and https does not lead to http. */
#include "base/buf.h"
#include "base/err.h"
#include "base/own.h"
#include "base/str.h"
#include "jobs/http_pump.h"
#include "jobs/http_resolve.h"
#include "jobs/http_result.h"
#include "jobs/http_save.h"
#include "jobs/http_url.h"
#include "jobs/kinds_internal.h"
#include "jobs/spec_parts.h"
#include "scheduler/task.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RESPONSE_BYTES_DEFAULT (64 << 10)
#define OWN_HEADERS 5 /* besides the job's: key, id, attempt, fence, queue */

struct exchange {
    const struct attempt *attempt;
    const struct http_spec *http;
    struct outcome *outcome;
    const char *method; /* of this hop */
    bool with_body;
    char *url; /* owned */
    struct http_url parsed;
    unsigned hops;
    char **lines; /* headers, owned, NULL-terminated */
    struct http_save save;
    struct http_response response;
};

/* ---- what is sent ------------------------------------------------------------------------ */

static bool is_name_of(const char *line, const char *name)
{
    size_t len = strlen(name);

    return strncasecmp(line, name, len) == 0 && (line[len] == ':' || line[len] == ';');
}

static const char *find_line(char *const *lines, const char *name)
{
    for (; *lines != NULL; lines++)
        if (is_name_of(*lines, name))
            return *lines;
    return NULL;
}

static char *make_line(const char *name, const char *value)
{
    OWN_BUF struct buf b = BUF_INIT;

    /* libcurl takes "Name:" as the wish to leave it out, and "Name;" for an empty value. */
    buf_putf(&b, value[0] != 0 ? "%s: %s" : "%s;", name, value);
    return buf_take(&b);
}

static char *make_number_line(const char *fmt, uint64_t number)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_puts(&b, fmt);
    buf_put_u64(&b, number);
    return buf_take(&b);
}

static char *make_key_line(uint64_t id)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_putf(&b, "Idempotency-Key: \"%" PRIu64 "\"", id);
    return buf_take(&b);
}

static void free_lines(char **lines)
{
    for (size_t i = 0; lines != NULL && lines[i] != NULL; i++)
        free(lines[i]);
    free(lines);
}

OWN_DEFINE(char *, free_lines);

/* NULL without memory. */
static char **make_lines(const struct exchange *x)
{
    const struct job *job = x->attempt->job;
    const struct http_spec *http = x->http;
    OWN(free_lines) char **lines = calloc(http->headers_count + OWN_HEADERS + 1, sizeof *lines);
    size_t n = 0;

    if (lines == NULL)
        return NULL;
    for (unsigned i = 0; i < http->headers_count; i++, n++) {
        lines[n] = make_line(http->headers[i].name, http->headers[i].value);
        if (lines[n] == NULL)
            return NULL;
    }
    if (find_line(lines, "Idempotency-Key") == NULL &&
        (lines[n++] = make_key_line(job->id)) == NULL)
        return NULL;
    if ((lines[n++] = make_number_line("Stint-Job-Id: ", job->id)) == NULL ||
        (lines[n++] = make_number_line("Stint-Attempt: ", job->attempt)) == NULL ||
        (lines[n++] = make_number_line("Stint-Fence: ", job->fence)) == NULL ||
        (lines[n++] = make_line("Stint-Queue", job->queue)) == NULL)
        return NULL;
    return TAKE(lines);
}

static void drop_lines(char **lines, const char *name)
{
    size_t to = 0;

    for (size_t i = 0; lines[i] != NULL; i++) {
        if (is_name_of(lines[i], name))
            free(lines[i]);
        else
            lines[to++] = lines[i];
    }
    lines[to] = NULL;
}

/* ---- what it means ----------------------------------------------------------------------- */

static bool is_among(const int *codes, unsigned count, int code)
{
    for (unsigned i = 0; i < count; i++)
        if (codes[i] == code)
            return true;
    return false;
}

static bool is_success(const struct http_spec *http, int status)
{
    if (http->expect_count > 0)
        return is_among(http->expect, http->expect_count, status);
    return status >= 200 && status <= 299;
}

static bool is_worth_another(const struct http_spec *http, int status)
{
    static const int usual[] = {408, 425, 429, 500, 502, 503, 504};

    return is_among(usual, sizeof usual / sizeof *usual, status) ||
           is_among(http->retry_status, http->retry_status_count, status);
}

/* For sentences: a query may carry secrets. */
static int shown_len(const char *url)
{
    return (int)strcspn(url, "?#");
}

#define FAIL(x, kind, reason, fmt, ...)                                                        \
    outcome_fail((x)->outcome, (kind), (reason), "%s %.*s " fmt, (x)->method,                  \
                 shown_len((x)->url), (x)->url, __VA_ARGS__)

static void judge_status(struct exchange *x)
{
    const struct http_response *response = &x->response;
    int status = response->status;

    if (is_success(x->http, status)) {
        x->outcome->kind = OUTCOME_SUCCEEDED;
    } else if (is_worth_another(x->http, status)) {
        FAIL(x, OUTCOME_FAILED, REASON_HTTP_STATUS, "answered %d", status);
        x->outcome->retry_after_ms = response->retry_after_ms;
    } else if (response->redirect != NULL) {
        FAIL(x, OUTCOME_FAILED_FINAL, REASON_HTTP_STATUS,
             "answered %d to %.*s: %u redirects are followed, as follow says", status,
             shown_len(response->redirect), response->redirect, x->http->follow);
    } else {
        FAIL(x, OUTCOME_FAILED_FINAL, REASON_HTTP_STATUS, "answered %d", status);
    }
}

static void put_result(struct exchange *x)
{
    OWN_BUF struct buf b = BUF_INIT;
    bool saved = x->outcome->kind == OUTCOME_SUCCEEDED && x->http->save_to != NULL;
    const struct http_result_notes notes = {.url = x->hops > 0 ? x->url : NULL,
                                            .saved_to = saved ? x->http->save_to : NULL};

    http_result_put(&b, &x->response, &notes);
    free(x->outcome->result);
    x->outcome->result = buf_take(&b);
}

/* Trouble of the file that will not go away by itself. */
static bool is_lasting(int error)
{
    return error == -EXDEV || error == -EFBIG || error == -ENOENT || error == -ENOTDIR ||
           error == -EISDIR || error == -EACCES || error == -EPERM || error == -EINVAL ||
           error == -EBUSY || error == -ENAMETOOLONG;
}

static void fail_save(struct exchange *x, int error)
{
    enum outcome_kind kind = is_lasting(error) ? OUTCOME_FAILED_FINAL : OUTCOME_FAILED;

    if (error == -EXDEV)
        outcome_fail(
            x->outcome, kind, REASON_FILE_ERROR,
            "cannot save to %s: it is not below a folder named by roots in the section "
            "[file] of the configuration",
            x->http->save_to);
    else if (error == -EFBIG)
        outcome_fail(x->outcome, kind, REASON_FILE_ERROR,
                     "cannot save to %s: the answer has more than response_bytes_max, %" PRIu64
                     " bytes",
                     x->http->save_to, x->save.bytes_max);
    else
        outcome_fail(x->outcome, kind, REASON_FILE_ERROR, "cannot save to %s: %s",
                     x->http->save_to, err_text(error));
}

static void conclude(struct exchange *x)
{
    const struct http_response *response = &x->response;

    if (response->sink_error < 0)
        return fail_save(x, response->sink_error);
    switch (response->end) {
    case HTTP_REFUSED:
        return FAIL(x, OUTCOME_FAILED_FINAL, REASON_HTTP_REFUSED, "was refused: %s",
                    response->error);
    case HTTP_UNUSABLE:
        return FAIL(x, OUTCOME_FAILED_FINAL, REASON_HTTP_TRANSPORT, "cannot be sent: %s",
                    response->error);
    case HTTP_TRANSPORT:
        return FAIL(x, OUTCOME_FAILED, REASON_HTTP_TRANSPORT, "got no whole answer: %s",
                    response->error);
    case HTTP_ANSWERED:
        break;
    }
    judge_status(x);
    if (x->outcome->kind == OUTCOME_SUCCEEDED && x->http->save_to != NULL) {
        int r = http_save_commit(&x->save);
        if (r < 0)
            return fail_save(x, r);
    }
    put_result(x);
}

/* ---- one transfer ------------------------------------------------------------------------ */

static int save_chunk(void *ctx, const void *data, size_t len)
{
    struct exchange *x = ctx;

    return http_save_write(&x->save, data, len);
}

static bool is_wanted(void *ctx, int status)
{
    const struct exchange *x = ctx;

    return is_success(x->http, status);
}

/* A call of the pump ended with a negative errno: we are to stop, or have no memory. */
static void give_up(struct exchange *x, int error)
{
    if (task_cancelled() < 0)
        x->outcome->kind = OUTCOME_STOPPED;
    else
        FAIL(x, OUTCOME_FAILED, REASON_HTTP_TRANSPORT, "was not sent: %s", err_text(error));
}

static struct http_pump *pump_of(const struct exchange *x)
{
    return ((const struct kinds *)x->attempt->kinds)->pump;
}

/* false: there is an outcome. */
static bool resolve(struct exchange *x, char ret[HTTP_RESOLVE_TEXT_BYTES])
{
    const char *why = NULL;

    ret[0] = 0;
    if (x->parsed.numeric)
        return true;
    int r = http_pump_resolve(pump_of(x), x->parsed.host, ret, &why);
    if (r == 0)
        return true;
    if (r == -EINVAL)
        FAIL(x, OUTCOME_FAILED, REASON_HTTP_TRANSPORT, "cannot be sent: %s: %s", x->parsed.host,
             why);
    else
        give_up(x, r);
    return false;
}

static uint64_t keep_bytes_max(const struct exchange *x)
{
    uint64_t configured = x->attempt->config->http_response_bytes_max;

    if (x->http->response_bytes_max != 0 && x->http->save_to == NULL)
        return x->http->response_bytes_max;
    return configured != 0 ? configured : RESPONSE_BYTES_DEFAULT;
}

/* false: there is an outcome. */
static bool transfer(struct exchange *x)
{
    char addresses[HTTP_RESOLVE_TEXT_BYTES];
    bool saves = x->http->save_to != NULL;

    http_response_deinit(&x->response);
    if (!resolve(x, addresses))
        return false;

    const struct http_request request = {
        .method = x->method,
        .url = x->url,
        .headers = (const char *const *)x->lines,
        .body = x->with_body ? x->http->body : NULL,
        .body_len = x->with_body ? x->http->body_len : 0,
        .host = x->parsed.host,
        .port = x->parsed.port,
        .addresses = addresses[0] != 0 ? addresses : NULL,
        .keep_bytes_max = keep_bytes_max(x),
        .sink = saves ? save_chunk : NULL,
        .wanted = saves ? is_wanted : NULL,
        .ctx = x,
    };
    int r = http_pump_run(pump_of(x), &request, &x->response);
    if (r < 0)
        give_up(x, r);
    return r == 0;
}

/* ---- redirects --------------------------------------------------------------------------- */

static bool is_redirect(const struct exchange *x)
{
    int status = x->response.status;

    return x->response.end == HTTP_ANSWERED && x->response.redirect != NULL &&
           x->response.sink_error == 0 && !is_success(x->http, status) &&
           x->hops < x->http->follow;
}

static void change_method(struct exchange *x)
{
    int status = x->response.status;
    bool to_get = status == 303
                      ? strcmp(x->method, "HEAD") != 0
                      : (status == 301 || status == 302) && strcmp(x->method, "POST") == 0;

    if (!to_get)
        return;
    x->method = "GET";
    x->with_body = false;
    drop_lines(x->lines, "Content-Type");
}

/* false: there is an outcome. */
static bool go_on(struct exchange *x)
{
    struct http_url next;
    const char *wrong = http_url_parse(x->response.redirect, &next);

    if (wrong == NULL && strcmp(x->parsed.scheme, "https") == 0 &&
        strcmp(next.scheme, "https") != 0)
        wrong = "would leave https";
    if (wrong != NULL) {
        FAIL(x, OUTCOME_FAILED_FINAL, REASON_HTTP_REFUSED,
             "answered %d to %.*s, which is not followed: it %s", x->response.status,
             shown_len(x->response.redirect), x->response.redirect, wrong);
        return false;
    }
    change_method(x);
    if (!http_url_same_origin(&x->parsed, &next)) {
        drop_lines(x->lines, "Authorization");
        drop_lines(x->lines, "Cookie");
        drop_lines(x->lines, "Host");
    }
    free(x->url);
    x->url = TAKE(x->response.redirect);
    x->parsed = next;
    x->hops++;
    return true;
}

/* ---- the attempt ------------------------------------------------------------------------- */

/* false: there is an outcome. */
static bool prepare(struct exchange *x)
{
    const char *wrong = http_url_parse(x->url, &x->parsed);
    uint64_t saved_max = x->http->response_bytes_max;

    if (wrong != NULL) {
        FAIL(x, OUTCOME_FAILED_FINAL, REASON_HTTP_TRANSPORT, "cannot be sent: the URL %s",
             wrong);
        return false;
    }
    x->lines = make_lines(x);
    if (x->lines == NULL) {
        give_up(x, -ENOMEM);
        return false;
    }
    if (x->http->save_to == NULL)
        return true;
    /* Before the request, which may have effects, rather than after. */
    int r =
        http_save_init(&x->save, x->attempt->config->file_roots, x->http->save_to,
                       x->attempt->job->id, saved_max != 0 ? saved_max : SPEC_SAVED_BYTES_MAX);
    if (r < 0)
        fail_save(x, r);
    return r == 0;
}

static void run_exchange(struct exchange *x)
{
    if (!prepare(x))
        return;
    while (transfer(x)) {
        if (!is_redirect(x))
            return conclude(x);
        if (!go_on(x))
            return;
    }
}

static void run(const struct attempt *attempt, struct outcome *ret)
{
    const struct http_spec *http = &attempt->spec->http;
    struct exchange x = {
        .attempt = attempt,
        .http = http,
        .outcome = ret,
        .method = http->method,
        .with_body = true,
        .url = str_dup(http->url),
        .save = {.place.dir_fd = -1, .fd = -1},
    };

    if (x.url != NULL)
        run_exchange(&x);
    else
        outcome_fail(ret, OUTCOME_FAILED, REASON_HTTP_TRANSPORT, "there was no memory");
    http_save_deinit(&x.save);
    http_response_deinit(&x.response);
    free_lines(x.lines);
    free(x.url);
}

const struct kind kind_http = {.name = "http", .run = run};
