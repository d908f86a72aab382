/* exchange.c: one request and its answer, as the library's call-backs tell of them. All of it
 * runs on the pump's stack, so nothing here parks. */
#include "api/pump_parts.h"

#include "api/problem.h"
#include "api/wire.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------- answers */

static ssize_t stream_read(void *cls, uint64_t pos, char *data, size_t max)
{
    struct request *q = cls;
    struct stream *s = &q->parts->stream;

    (void)pos;
    switch (atomic_load_explicit(&s->state, memory_order_acquire)) {
    case CHUNK_ENDED:
        return MHD_CONTENT_READER_END_OF_STREAM;
    case CHUNK_BROKEN:
        return MHD_CONTENT_READER_END_WITH_ERROR;
    case CHUNK_EMPTY:
        s->starved = true;
        MHD_suspend_connection(q->parts->connection->mhd);
        return 0;
    default:
        break;
    }

    size_t len = s->chunk.len - s->taken;
    if (len > max)
        len = max;
    memcpy(data, s->chunk.data + s->taken, len);
    s->taken += len;
    if (s->taken == s->chunk.len) {
        atomic_store_explicit(&s->state, CHUNK_EMPTY, memory_order_release);
        event_set(&s->room);
    }
    return (ssize_t)len;
}

static void stream_free(void *cls)
{
    request_unref(cls);
}

static struct MHD_Response *response_stream(struct request *q)
{
    uint64_t length = q->parts->stream.length;

    atomic_fetch_add_explicit(&q->parts->refs, 1, memory_order_relaxed);
    struct MHD_Response *response = MHD_create_response_from_callback(
        length == UINT64_MAX ? MHD_SIZE_UNKNOWN : length, 16384, stream_read, q, stream_free);
    if (response == NULL)
        request_unref(q);
    return response;
}

static struct MHD_Response *response_of(struct request *q)
{
    struct reply *reply = &q->reply;
    struct MHD_Response *response;

    switch (reply->body_kind) {
    case REPLY_STREAM:
        return response_stream(q);
    case REPLY_FILE:
        response =
            MHD_create_response_from_fd_at_offset64(reply->length, reply->fd, reply->offset);
        if (response != NULL)
            reply->fd = -1;
        return response;
    case REPLY_BUF:
        if (reply->body.len > 0) {
            response = MHD_create_response_from_buffer_with_free_callback(
                reply->body.len, reply->body.data, free);
            if (response != NULL)
                reply->body = BUF_INIT;
            return response;
        }
        break;
    case REPLY_NONE:
        break;
    }
    return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
}

static void response_headers(struct request *q, struct MHD_Response *response)
{
    const struct reply *reply = &q->reply;

    if (reply->type != NULL)
        MHD_add_response_header(response, "Content-Type", reply->type);
    for (unsigned i = 0; i < reply->headers_count; i++)
        MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
    if (reply->close || atomic_load_explicit(&q->parts->server->draining, memory_order_relaxed))
        MHD_add_response_header(response, "Connection", "close");
}

/* Hands the answer to the library. false: it could not be, the connection has to end. */
static bool answer_queue(struct request *q)
{
    struct MHD_Response *response = response_of(q);

    q->parts->queued = true;
    if (response == NULL)
        return false;
    response_headers(q, response);

    enum MHD_Result r =
        MHD_queue_response(q->parts->connection->mhd, (unsigned)q->reply.status, response);
    MHD_destroy_response(response);
    return r == MHD_YES;
}

/* A task has an answer, or more of one. */
void exchange_answer(struct request *q)
{
    struct request_parts *parts = q->parts;

    atomic_store(&parts->posted, false);
    if (parts->connection != NULL) {
        struct MHD_Connection *mhd = parts->connection->mhd;

        if (!parts->queued) {
            /* When it cannot be queued, the library asks again and is told to close. */
            answer_queue(q);
            MHD_resume_connection(mhd);
        } else if (parts->stream.starved) {
            parts->stream.starved = false;
            MHD_resume_connection(mhd);
        }
    }
    request_unref(q);
}

/* ------------------------------------------------------------------------- requests */

static int run_request(void *arg)
{
    struct request *q = arg;

    q->route->handler(q);
    if (q->parts->streams)
        stream_finish(q);
    else if (q->reply.status == 0)
        problem(q, "internal", "the handler gave no answer; this is a fault of the daemon");
    pump_post(q->parts->pump, &q->parts->command, COMMAND_ANSWER);
    request_unref(q);
    return 0;
}

/* The request is whole: answers it, or starts the task that will. */
static enum MHD_Result dispatch(struct request *q)
{
    struct request_parts *parts = q->parts;

    pump_receiving_end(parts->connection);
    if (!parts->refused && q->route->inline_)
        q->route->handler(q);
    if (parts->refused || q->route->inline_)
        return answer_queue(q) ? MHD_YES : MHD_NO;
    if (parts->pump->stopping) {
        problem(q, "draining", "the daemon is about to stop; try again when it is back");
        return answer_queue(q) ? MHD_YES : MHD_NO;
    }

    const struct task_options options = {
        .name = q->route->pattern, .site = __FILE__, .stack = STACK_NORMAL, .quiet = true};
    atomic_fetch_add_explicit(&parts->refs, 1, memory_order_relaxed);
    int r = group_spawn(&parts->pump->requests, run_request, q, &options);
    if (r < 0) {
        request_unref(q);
        problem(q, "busy", "no task could be started (%s); try again", err_name(r));
        return answer_queue(q) ? MHD_YES : MHD_NO;
    }
    MHD_suspend_connection(parts->connection->mhd);
    return MHD_YES;
}

static enum MHD_Result each_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   size_t name_len, const char *value, size_t len)
{
    (void)kind;
    if (value != NULL)
        request_set_header(cls, name, name_len, value, len);
    return MHD_YES;
}

static enum MHD_Result begin(struct request *q, struct MHD_Connection *mhd, const char *method)
{
    struct request_parts *parts = q->parts;

    parts->begun = true;
    MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, each_header, q);
    request_begin(q, method);
    if (!parts->refused || !request_has_body(q))
        return MHD_YES;

    /* Refused, and more is to come: a little is read and dropped, much is not waited for. */
    const char *length = q->headers[HEADER_CONTENT_LENGTH];
    if (q->headers[HEADER_EXPECT] == NULL && length != NULL &&
        strtoull(length, NULL, 10) <= SERVER_DROPPED_BYTES_MAX)
        return MHD_YES;
    pump_receiving_end(parts->connection);
    linger_start(parts->pump, parts->fd);
    return answer_queue(q) ? MHD_YES : MHD_NO;
}

/* The library's one call-back for all of a request: its header, each piece of its body, its
 * end. */
enum MHD_Result exchange_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *data_len, void **req_cls)
{
    struct request *q = *req_cls;

    (void)cls;
    (void)url;
    (void)version;
    if (q == NULL || q->parts->queued)
        return MHD_NO;
    if (!q->parts->begun)
        return begin(q, mhd, method);
    if (*data_len > 0) {
        request_take(q, data, *data_len);
        *data_len = 0;
        /* A body without a length that does not end cannot be answered: it is cut off. */
        return q->parts->dropped_bytes > 4 * (uint64_t)WIRE_BODY_BYTES_MAX ? MHD_NO : MHD_YES;
    }
    return dispatch(q);
}

/* The request line has come: the library has not yet decoded it. */
void *exchange_line(void *cls, const char *target, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct connection *c = info->socket_context;

    (void)cls;
    c->request = request_new(c, target != NULL ? target : "");
    if (c->request != NULL) {
        atomic_fetch_add(&c->pump->server->active, 1);
        pump_receiving_begin(c);
    }
    return c->request;
}

static unsigned status_slot(int status)
{
    for (unsigned i = 1; i < STATUS_SLOTS && server_statuses[i] != 0; i++)
        if (server_statuses[i] == status)
            return i;
    return 0;
}

static void request_count(const struct request *q)
{
    const struct request_parts *parts = q->parts;
    struct route_counters *counters = &parts->pump->counters[parts->route_index];
    uint64_t us = (clock_mono_ns() - parts->started_at_ns) / NS_PER_US;
    unsigned bucket = 0;

    while (bucket < SERVER_LATENCY_BUCKETS - 1 && us > server_latency_us[bucket])
        bucket++;
    atomic_fetch_add_explicit(&counters->statuses[status_slot(q->reply.status)], 1,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&counters->latency[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counters->latency_us_total, us, memory_order_relaxed);
    log_debug("api.request", LOG_STR("method", method_name(q->method)),
              LOG_STR("path", q->path), LOG_I64("status", q->reply.status), LOG_U64("us", us),
              LOG_U64("request", q->number));
}

/* A connection that ended in the middle of an answer is freed when the library goes through its
 * timeouts, but of those with the usual one it looks no further than at the first that is still
 * good: an older idle one keeps all closed ones behind it. With another timeout it is on the
 * list that is gone through to the end each time; closed it is a run later, for which nobody
 * asks. */
static void forget_soon(struct pump *p, struct MHD_Connection *mhd)
{
    unsigned usual_s = (unsigned)((p->server->options.send_timeout_ms + 999) / 1000);

    MHD_set_connection_option(mhd, MHD_CONNECTION_OPTION_TIMEOUT, usual_s + 1);
    p->again = true;
}

/* The library is done with a request: answered, or its client is gone. */
void exchange_completed(void *cls, struct MHD_Connection *mhd, void **req_cls,
                        enum MHD_RequestTerminationCode code)
{
    struct request *q = *req_cls;

    (void)cls;
    if (q == NULL)
        return;
    if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK)
        forget_soon(q->parts->pump, mhd);

    struct connection *c = q->parts->connection;
    struct server *server = q->parts->server;
    request_count(q);
    c->request = NULL;
    q->parts->connection = NULL;
    stream_gone(q);
    pump_receiving_begin(c);
    *req_cls = NULL;
    request_unref(q);
    if (atomic_fetch_sub(&server->active, 1) == 1 && atomic_load(&server->draining))
        event_set(&server->idle);
}
