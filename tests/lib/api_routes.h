/* api_routes.h: a server with routes of its own for the tests of the server: quick, slow,
 * endless and broken ones. */
#ifndef TESTS_LIB_API_ROUTES_H
#define TESTS_LIB_API_ROUTES_H

#include "tests/lib/api_server.h"

#include "api/problem.h"
#include "api/request.h"
#include "scheduler/task.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define FILE_BYTES 300000

static struct api_server server;
static _Atomic unsigned waiting, hung_up, drained_waits, streams_ended;

/* ------------------------------------------------------------------------- routes */

static void answer_text(struct request *q, const char *text)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_puts(&b, text);
    reply_text(q, 200, "text/plain", &b);
}

static void get_fast(struct request *q)
{
    answer_text(q, "fast");
}

/* Longer requests are answered sooner, so that pipelined ones finish in the wrong order. */
static void get_slow(struct request *q)
{
    char text[32];

    task_sleep_ns((10 - q->id) * NS_PER_MS);
    snprintf(text, sizeof text, "slow %d", (int)q->id);
    answer_text(q, text);
}

static void post_echo(struct request *q)
{
    reply_text(q, 200, "application/octet-stream", &q->body);
}

static void get_name(struct request *q)
{
    answer_text(q, q->name);
}

static void get_nothing(struct request *q)
{
    (void)q;
}

static int wait_for_ever(void *arg)
{
    (void)arg;
    return task_sleep_ns(NS_PER_S * 3600);
}

static void get_wait(struct request *q)
{
    atomic_fetch_add(&waiting, 1);
    int r = request_wait(q, wait_for_ever, NULL);
    if (r == -EPIPE)
        atomic_fetch_add(&hung_up, 1);
    if (r == -ECANCELED)
        atomic_fetch_add(&drained_waits, 1);
    atomic_fetch_sub(&waiting, 1);
    answer_text(q, "woken");
}

static int wait_briefly(void *arg)
{
    *(bool *)arg = true;
    return task_sleep_ns(2 * NS_PER_MS);
}

static void get_brief(struct request *q)
{
    bool ran = false;

    answer_text(q, request_wait(q, wait_briefly, &ran) == 0 && ran ? "done" : "not done");
}

static void get_file(struct request *q)
{
    struct range range = {.first = 0, .length = FILE_BYTES};
    int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    for (int i = 0; i < FILE_BYTES / 10; i++)
        ck_assert_int_eq(dprintf(fd, "%09d\n", i), 10);
    enum range_answer r = range_parse(q->headers[HEADER_RANGE], FILE_BYTES, &range);
    reply_file(q, r == RANGE_PART ? 206 : 200, "text/plain", fd, range.first, range.length);
}

static inline void fill(struct buf *b, unsigned piece)
{
    for (int i = 0; i < 100; i++)
        buf_putf(b, "%04u.%02d, ", piece, i);
}

#define STREAM_PIECES 400
#define PIECE_BYTES 900

/* id 1: to its end; 2: breaks off in the middle; 3: length known. */
static void get_stream(struct request *q)
{
    int r = reply_stream(q, 200, "text/plain",
                         q->id == 3 ? STREAM_PIECES * PIECE_BYTES : UINT64_MAX);

    for (unsigned i = 0; r == 0 && i < STREAM_PIECES; i++) {
        OWN_BUF struct buf piece = BUF_INIT;

        fill(&piece, i);
        r = reply_write(q, &piece);
        if (q->id == 2 && i == STREAM_PIECES / 2) {
            reply_break(q);
            break;
        }
    }
    atomic_fetch_add(&streams_ended, 1);
}

static int trickle(void *arg)
{
    struct request *q = arg;
    int r = reply_stream(q, 200, "text/plain", UINT64_MAX);

    for (unsigned i = 0; r == 0; i++) {
        OWN_BUF struct buf piece = BUF_INIT;

        buf_putf(&piece, "%u\n", i);
        r = reply_write(q, &piece);
        if (r == 0 && i >= 3)
            r = task_sleep_ns(3600 * NS_PER_S);
    }
    return r;
}

/* A few pieces, then silence until the client goes. */
static void get_trickle(struct request *q)
{
    if (request_wait(q, trickle, q) < 0)
        reply_break(q);
    atomic_fetch_add(&streams_ended, 1);
}

static const struct route table[] = {
    {METHOD_GET, "/fast", SCOPE_READ, true, get_fast, ""},
    {METHOD_GET, "/task", SCOPE_READ, false, get_fast, ""},
    {METHOD_GET, "/open", SCOPE_OPEN, true, get_fast, ""},
    {METHOD_GET, "/monitor", SCOPE_MONITOR, true, get_fast, ""},
    {METHOD_GET, "/slow/{id}", SCOPE_READ, false, get_slow, ""},
    {METHOD_GET, "/name/{name}/x", SCOPE_READ, false, get_name, ""},
    {METHOD_GET, "/nothing", SCOPE_READ, false, get_nothing, ""},
    {METHOD_GET, "/wait", SCOPE_READ, false, get_wait, ""},
    {METHOD_GET, "/brief", SCOPE_READ, false, get_brief, ""},
    {METHOD_GET, "/file", SCOPE_READ, false, get_file, ""},
    {METHOD_GET, "/stream/{id}", SCOPE_READ, false, get_stream, ""},
    {METHOD_GET, "/trickle", SCOPE_READ, false, get_trickle, ""},
    {METHOD_POST, "/echo", SCOPE_WRITE, false, post_echo, ""},
    {METHOD_PUT, "/echo", SCOPE_WRITE, true, post_echo, ""},
};

static inline void start(void)
{
    server.options.routes = table;
    server.options.routes_count = sizeof table / sizeof *table;
    api_server_start(&server);
}

/* One request on a connection of its own. */
static inline struct http_reply ask(const char *method, const char *target, const char *headers,
                                    const char *body)
{
    struct http h;
    struct http_reply reply;

    http_open_unix(&h, server.socket);
    ck_assert_msg(http_call(&h, method, target, headers, body, &reply), "%s %s", method,
                  target);
    http_close(&h);
    return reply;
}

static inline void expect(const char *method, const char *target, const char *headers,
                          const char *body, int status, const char *text)
{
    struct http_reply reply = ask(method, target, headers, body);

    ck_assert_msg(reply.status == status, "%s %s: %d", method, target, reply.status);
    ck_assert(reply.whole);
    ck_assert_ptr_nonnull(reply.body);
    ck_assert_msg(strstr(reply.body, text) != NULL, "%s %s: %s", method, target, reply.body);
    http_reply_free(&reply);
}

#endif
