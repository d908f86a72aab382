#include "jobs/http_transfer.h"

#include "base/str.h"
#include "scheduler/chan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define RECEIVE_BYTES 4096L       /* libcurl's buffer of a transfer whose body is kept */
#define RECEIVE_SINK_BYTES 16384L /* and of one whose body goes to a sink */
#define MS_PER_S 1000
#define RETRY_AFTER_S_MAX (INT64_C(366) * 24 * 3600)

/* ---- what libcurl calls ------------------------------------------------------------------ */

static int status_of(const struct http_transfer *t)
{
    long status = 0;

    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

/* One line of the header. A status line begins a new answer: an interim one (100) or, after a
 * 401, the next. Only the last one's fields are kept, but the bytes of all are counted. */
static size_t take_header(char *data, size_t size, size_t count, void *ctx)
{
    struct http_transfer *t = ctx;
    size_t len = size * count;

    t->header_bytes += len;
    if (t->header_bytes > HTTP_HEADERS_BYTES_MAX)
        return 0;
    if (len >= 5 && strncasecmp(data, "HTTP/", 5) == 0)
        buf_clear(&t->response->headers);
    else if (len > 2)
        buf_put(&t->response->headers, data, len);
    return buf_failed(&t->response->headers) ? 0 : len;
}

static size_t take_for_sink(struct http_transfer *t, const char *data, size_t len)
{
    /* libcurl gives the same bytes again after the pause. */
    if (t->waiting.len > 0 && t->waiting.len + len > HTTP_WAITING_BYTES_MAX) {
        t->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    t->response->bytes += len;
    buf_put(&t->waiting, data, len);
    if (t->waiting.len >= HTTP_CHUNK_BYTES)
        http_transfer_flush(t);
    return buf_failed(&t->waiting) ? 0 : len;
}

static size_t take_kept(struct http_transfer *t, const char *data, size_t len)
{
    struct http_response *response = t->response;
    size_t room = (size_t)(t->request->keep_bytes_max - response->body.len);
    size_t kept = len < room ? len : room;

    buf_put(&response->body, data, kept);
    if (buf_failed(&response->body))
        return 0;
    response->bytes += len;
    if (kept == len)
        return len;
    response->truncated = true;
    /* The rest is read to its end, so that the server sees a reader and the connection can be
     * used again; but not for ever. */
    t->cut = response->bytes - response->body.len > HTTP_DROPPED_BYTES_MAX;
    return t->cut ? 0 : len;
}

static size_t take_body(char *data, size_t size, size_t count, void *ctx)
{
    struct http_transfer *t = ctx;

    if (t->chunks == NULL)
        return take_kept(t, data, size * count);
    if (!t->response->sunk && t->response->bytes == 0)
        t->response->sunk = t->request->wanted(t->request->ctx, status_of(t));
    return t->response->sunk ? take_for_sink(t, data, size * count)
                             : take_kept(t, data, size * count);
}

/* ---- before ------------------------------------------------------------------------------ */

static int add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);

    if (longer == NULL)
        return -ENOMEM;
    *list = longer;
    return 0;
}

static int build_headers(struct http_transfer *t)
{
    /* libcurl would wait for a "100 Continue", and guess a type for a body. */
    int r = add_line(&t->headers, "Expect:");
    bool typed = false;

    for (const char *const *line = t->request->headers; *line != NULL && r == 0; line++) {
        typed = typed || strncasecmp(*line, "content-type:", 13) == 0;
        r = add_line(&t->headers, *line);
    }
    return r == 0 && !typed ? add_line(&t->headers, "Content-Type:") : r;
}

/* "+" lets the entry grow old: libcurl keeps it for the next connection to that host. */
static int build_resolve(struct http_transfer *t)
{
    const struct http_request *request = t->request;
    OWN_BUF struct buf line = BUF_INIT;

    if (request->addresses == NULL)
        return 0;
    buf_putf(&line, "+%s:%u:%s", request->host, (unsigned)request->port, request->addresses);
    return buf_failed(&line) ? -ENOMEM : add_line(&t->resolve, buf_str(&line));
}

#define SET(option, value) ok = ok && curl_easy_setopt(t->easy, (option), (value)) == CURLE_OK

static bool set_request(struct http_transfer *t)
{
    const struct http_request *request = t->request;
    bool sends = strcmp(request->method, "POST") == 0 || strcmp(request->method, "PUT") == 0 ||
                 strcmp(request->method, "PATCH") == 0;
    bool ok = true;

    SET(CURLOPT_URL, request->url);
    if (request->body != NULL || sends) {
        SET(CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
    }
    if (strcmp(request->method, "HEAD") == 0)
        SET(CURLOPT_NOBODY, 1L);
    else
        SET(CURLOPT_CUSTOMREQUEST, request->method);
    SET(CURLOPT_HTTPHEADER, t->headers);
    if (t->resolve != NULL)
        SET(CURLOPT_RESOLVE, t->resolve);
    return ok;
}

/* What holds for every transfer: nothing from the environment, no other protocol, no thread, no
 * signal, one HTTP version. */
static bool set_rules(struct http_transfer *t)
{
    bool ok = true;

    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_MS_MAX);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_BUFFERSIZE, t->chunks != NULL ? RECEIVE_SINK_BYTES : RECEIVE_BYTES);
    SET(CURLOPT_USERAGENT, "stint/" STINT_VERSION);
    return ok;
}

static bool set_callbacks(struct http_transfer *t, const struct http_sockets *sockets)
{
    bool ok = true;

    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_ERRORBUFFER, t->error);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_OPENSOCKETFUNCTION, sockets->open);
    SET(CURLOPT_OPENSOCKETDATA, t);
    SET(CURLOPT_CLOSESOCKETFUNCTION, sockets->close);
    SET(CURLOPT_CLOSESOCKETDATA, sockets->close_ctx);
    return ok;
}

int http_transfer_prepare(struct http_transfer *t, const struct http_sockets *sockets)
{
    t->easy = curl_easy_init();
    if (t->easy == NULL || build_headers(t) < 0 || build_resolve(t) < 0)
        return -ENOMEM;
    return set_request(t) && set_rules(t) && set_callbacks(t, sockets) ? 0 : -ENOMEM;
}

/* ---- while it runs ----------------------------------------------------------------------- */

void http_transfer_flush(struct http_transfer *t)
{
    const struct http_chunk chunk = {t->waiting.data, t->waiting.len};

    if (t->chunks != NULL && chunk.len > 0 && chan_try_send(t->chunks, &chunk) == 0)
        t->waiting = BUF_INIT; /* the channel's now */
}

void http_transfer_resume(struct http_transfer *t)
{
    if (t->waiting.len >= HTTP_CHUNK_BYTES)
        http_transfer_flush(t);
    if (t->paused && t->waiting.len < HTTP_CHUNK_BYTES) {
        t->paused = false;
        curl_easy_pause(t->easy, CURLPAUSE_CONT);
    }
}

/* ---- after ------------------------------------------------------------------------------- */

static enum http_end end_of(const struct http_transfer *t, CURLcode code)
{
    if (code == CURLE_OK || (t->cut && code == CURLE_WRITE_ERROR))
        return HTTP_ANSWERED;
    if (t->refused[0] != 0 && code == CURLE_COULDNT_CONNECT)
        return HTTP_REFUSED;
    if (code == CURLE_URL_MALFORMAT)
        return HTTP_UNUSABLE;
    return HTTP_TRANSPORT;
}

static void take_infos(struct http_transfer *t)
{
    curl_off_t retry_after_s = 0;
    char *redirect = NULL;

    t->response->status = status_of(t);
    if (curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry_after_s) == CURLE_OK &&
        retry_after_s > 0)
        t->response->retry_after_ms =
            (retry_after_s < RETRY_AFTER_S_MAX ? retry_after_s : RETRY_AFTER_S_MAX) * MS_PER_S;
    if (curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &redirect) == CURLE_OK)
        t->response->redirect = str_dup(redirect);
}

void http_transfer_conclude(struct http_transfer *t, CURLcode code)
{
    struct http_response *response = t->response;

    response->end = end_of(t, code);
    take_infos(t);
    if (response->end == HTTP_REFUSED)
        snprintf(response->error, sizeof response->error, "%s", t->refused);
    else if (t->header_bytes > HTTP_HEADERS_BYTES_MAX)
        snprintf(response->error, sizeof response->error,
                 "the answer's header has more than %d bytes", HTTP_HEADERS_BYTES_MAX);
    else if (response->end != HTTP_ANSWERED)
        snprintf(response->error, sizeof response->error, "%s",
                 t->error[0] != 0 ? t->error : curl_easy_strerror(code));
}

void http_transfer_clean(struct http_transfer *t)
{
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    curl_slist_free_all(t->resolve);
    t->easy = NULL;
    t->headers = t->resolve = NULL;
}
