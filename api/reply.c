/* reply.c: how handlers answer. */
#include "api/server_parts.h"

#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void reply_buf(struct request *q, int status, const char *type, struct buf *b)
{
    struct reply *reply = &q->reply;

    assert_always(reply->status == 0 && status >= 200);
    reply->status = status;
    if (buf_failed(b)) {
        /* Even a problem needs memory; the status alone does not. */
        reply->status = 503;
        return;
    }
    reply->type = type;
    reply->body_kind = REPLY_BUF;
    reply->body = *b;
    *b = BUF_INIT;
}

void reply_json(struct request *q, int status, struct buf *b)
{
    buf_putc(b, '\n');
    reply_buf(q, status, status >= 400 ? "application/problem+json" : "application/json", b);
}

void reply_text(struct request *q, int status, const char *type, struct buf *b)
{
    reply_buf(q, status, type, b);
}

void reply_empty(struct request *q, int status)
{
    assert_always(q->reply.status == 0);
    q->reply.status = status;
}

void reply_file(struct request *q, int status, const char *type, int fd, uint64_t offset,
                uint64_t length)
{
    struct reply *reply = &q->reply;

    assert_always(reply->status == 0);
    reply->status = status;
    reply->type = type;
    reply->body_kind = REPLY_FILE;
    reply->fd = fd;
    reply->offset = offset;
    reply->length = length;
}

void reply_header(struct request *q, const char *name, const char *fmt, ...)
{
    struct reply *reply = &q->reply;
    char *value;
    va_list ap;

    assert_always(reply->headers_count < REPLY_HEADERS_MAX);
    va_start(ap, fmt);
    if (vasprintf(&value, fmt, ap) >= 0)
        reply->headers[reply->headers_count++] =
            (struct reply_header){.name = name, .value = value};
    va_end(ap);
}

/* ------------------------------------------------------------------------- streams */

int reply_stream(struct request *q, int status, const char *type, uint64_t length)
{
    struct request_parts *parts = q->parts;

    assert_always(q->reply.status == 0);
    q->reply.status = status;
    q->reply.type = type;
    q->reply.body_kind = REPLY_STREAM;
    parts->stream.length = length;
    parts->streams = true;
    pump_post(parts->pump, &parts->command, COMMAND_ANSWER);
    return 0;
}

int reply_write(struct request *q, struct buf *b)
{
    struct request_parts *parts = q->parts;
    struct stream *s = &parts->stream;

    /* Nobody reads the body of an answer to HEAD. */
    if (q->method == METHOD_HEAD)
        return -EPIPE;
    if (buf_failed(b))
        return -ENOMEM;
    if (b->len == 0)
        return 0;

    buf_deinit(&s->chunk);
    s->chunk = *b;
    s->taken = 0;
    *b = BUF_INIT;
    /* In this order: a pump that says gone before the event is new is seen by the look at it,
     * one that says so after sets the new event. */
    event_init(&s->room);
    atomic_store(&s->state, CHUNK_FULL);
    pump_post(parts->pump, &parts->command, COMMAND_ANSWER);
    if (atomic_load(&parts->gone))
        return -EPIPE;

    int r = event_wait(&s->room, 0);
    if (r < 0) {
        /* The pump may be reading the chunk: it stays where it is until the request ends. */
        reply_break(q);
        return r;
    }
    return atomic_load(&parts->gone) ? -EPIPE : 0;
}

void reply_break(struct request *q)
{
    atomic_store(&q->parts->stream.state, CHUNK_BROKEN);
}

void stream_finish(struct request *q)
{
    int empty = CHUNK_EMPTY;

    atomic_compare_exchange_strong(&q->parts->stream.state, &empty, CHUNK_ENDED);
}

void stream_gone(struct request *q)
{
    atomic_store(&q->parts->gone, true);
    event_set(&q->parts->stream.room);
}
