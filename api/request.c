/* request.c: what has come of a request so far, and whether it is let in. */
#include "api/server_parts.h"

#include "api/problem.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define REFUSALS_TOLD_A_SECOND 20

/* One allocation: the half that handlers see, and the server's. */
struct whole {
    struct request request;
    struct request_parts parts;
};

static const struct {
    const char *name;
    uint8_t len;
} header_names[HEADER_COUNT] = {
#define NAME(s)                                                                                \
    {                                                                                          \
        s, sizeof s - 1                                                                        \
    }
    [HEADER_ACCEPT] = NAME("Accept"),
    [HEADER_AUTHORIZATION] = NAME("Authorization"),
    [HEADER_CONTENT_LENGTH] = NAME("Content-Length"),
    [HEADER_CONTENT_TYPE] = NAME("Content-Type"),
    [HEADER_EXPECT] = NAME("Expect"),
    [HEADER_HOST] = NAME("Host"),
    [HEADER_IDEMPOTENCY_KEY] = NAME("Idempotency-Key"),
    [HEADER_IF_NONE_MATCH] = NAME("If-None-Match"),
    [HEADER_IF_RANGE] = NAME("If-Range"),
    [HEADER_ORIGIN] = NAME("Origin"),
    [HEADER_PREFER] = NAME("Prefer"),
    [HEADER_RANGE] = NAME("Range"),
    [HEADER_SEC_FETCH_SITE] = NAME("Sec-Fetch-Site"),
    [HEADER_TRANSFER_ENCODING] = NAME("Transfer-Encoding"),
#undef NAME
};

/* ------------------------------------------------------------------------- memory */

/* A copy that lives as long as the request; NULL without memory. The library's own strings die
 * earlier: while an answer streams, its connection may close under the task. */
static char *text_copy(struct request_parts *parts, const char *s, size_t len)
{
    char *copy;

    if (sizeof parts->text - parts->text_len > len) {
        copy = parts->text + parts->text_len;
        parts->text_len += len + 1;
    } else {
        struct text_block *block = malloc(sizeof *block + len + 1);

        if (block == NULL)
            return NULL;
        block->next = parts->blocks;
        parts->blocks = block;
        copy = block->text;
    }
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

static void parts_init(struct request_parts *parts, struct connection *c)
{
    struct server *server = c->pump->server;

    memset(parts, 0, offsetof(struct request_parts, text));
    atomic_init(&parts->refs, 1);
    parts->pump = c->pump;
    parts->connection = c;
    parts->server = server;
    parts->fd = c->fd;
    parts->tcp = c->peer.tcp;
    parts->route_index = server->options.routes_count;
    parts->started_at_ns = clock_mono_ns();
    event_init(&parts->stream.room);
}

/* How many bytes of the target stand before its path: "http://host" of a client that speaks as
 * to a proxy, which a server must take too (RFC 9112, 3.2.2). */
static size_t authority_end(const char *target, size_t *ret_start)
{
    size_t start = strncasecmp(target, "http://", 7) == 0    ? 7
                   : strncasecmp(target, "https://", 8) == 0 ? 8
                                                             : 0;
    size_t len = start > 0 ? strcspn(target + start, "/?") : 0;

    /* Whoever hides a host behind a name and an @ means no good. */
    if (len == 0 || memchr(target + start, '@', len) != NULL)
        return 0;
    *ret_start = start;
    return start + len;
}

struct request *request_new(struct connection *connection, const char *target)
{
    struct whole *whole = malloc(sizeof *whole);

    if (whole == NULL)
        return NULL;
    parts_init(&whole->parts, connection);

    struct request *q = &whole->request;
    struct server *server = whole->parts.server;
    *q = (struct request){.parts = &whole->parts, .app = server->options.app};
    q->reply.fd = -1;
    q->number = atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed) + 1;
    whole->parts.request = q;

    size_t start, end = authority_end(target, &start);
    if (end > 0)
        q->parts->authority = text_copy(q->parts, target + start, end - start);
    target += end;

    size_t len = strcspn(target, "?");
    q->path =
        len > 0 || end == 0 ? text_copy(q->parts, target, len) : text_copy(q->parts, "/", 1);
    target += len + (target[len] == '?');
    q->query_text = text_copy(q->parts, target, strlen(target));
    if (q->path != NULL && q->query_text != NULL && (end == 0 || q->parts->authority != NULL))
        return q;
    request_unref(q);
    return NULL;
}

static void reply_free(struct reply *reply)
{
    buf_deinit(&reply->body);
    for (unsigned i = 0; i < reply->headers_count; i++)
        free(reply->headers[i].value);
    if (reply->fd >= 0)
        close(reply->fd);
}

void request_unref(struct request *q)
{
    struct request_parts *parts = q->parts;

    if (atomic_fetch_sub_explicit(&parts->refs, 1, memory_order_acq_rel) > 1)
        return;
    reply_free(&q->reply);
    buf_deinit(&q->body);
    buf_deinit(&parts->stream.chunk);
    while (parts->blocks != NULL) {
        struct text_block *next = parts->blocks->next;

        free(parts->blocks);
        parts->blocks = next;
    }
    free(container_of(q, struct whole, request));
}

/* ------------------------------------------------------------------------- the header */

/* A proxy that takes the last of several where we take the first sees other requests. */
static bool decides_who_reads_what(enum header h)
{
    return h == HEADER_CONTENT_LENGTH || h == HEADER_TRANSFER_ENCODING || h == HEADER_HOST;
}

void request_set_header(struct request *q, const char *name, size_t name_len, const char *value,
                        size_t len)
{
    for (enum header h = 0; h < HEADER_COUNT; h++) {
        if (header_names[h].len != name_len ||
            strncasecmp(header_names[h].name, name, name_len))
            continue;
        /* Without memory a header counts as absent; of several the first counts. */
        if (q->headers[h] != NULL)
            q->parts->doubtful |= decides_who_reads_what(h);
        else
            q->headers[h] = text_copy(q->parts, value, len);
        return;
    }
}

bool request_has_body(const struct request *q)
{
    const char *length = q->headers[HEADER_CONTENT_LENGTH];

    return q->headers[HEADER_TRANSFER_ENCODING] != NULL ||
           (length != NULL && strcmp(length, "0") != 0);
}

static void put_allow(struct request *q, unsigned allow)
{
    OWN_BUF struct buf b = BUF_INIT;

    if (allow & 1u << METHOD_GET)
        allow |= 1u << METHOD_HEAD;
    allow |= 1u << METHOD_OPTIONS;
    for (enum method m = METHOD_GET; m < METHOD_COUNT; m++)
        if (allow & 1u << m)
            buf_putf(&b, "%s%s", b.len > 0 ? ", " : "", method_name(m));
    reply_header(q, "Allow", "%s", buf_str(&b));
}

/* A path that is there, with a method that is not, or with OPTIONS. */
static void answer_allow(struct request *q, const char *method, unsigned allow)
{
    put_allow(q, allow);
    if (q->method == METHOD_OPTIONS)
        reply_empty(q, 204);
    else
        problem(q, "method-not-allowed", "%s does not go with %s; see the Allow header", method,
                q->path);
}

static void find_route(struct request *q, const char *method)
{
    const struct server_options *o = &q->parts->server->options;
    struct route_match match;

    route_find(o->routes, o->routes_count, q->method, q->path, &match);
    /* The server as a whole (RFC 9110, 9.3.7): every method that has a route. */
    for (unsigned i = 0; strcmp(q->path, "*") == 0 && i < o->routes_count; i++)
        match.allow |= 1u << o->routes[i].method;
    if (match.route == NULL && match.allow != 0) {
        answer_allow(q, method, match.allow);
        return;
    }
    if (match.route == NULL) {
        problem(q, "no-such-route", "there is nothing at %s; /openapi.json lists what is",
                q->path);
        return;
    }

    q->route = match.route;
    q->id = match.id;
    q->parts->route_index = (unsigned)(match.route - o->routes);
    if (match.name == NULL)
        return;
    char *name = text_copy(q->parts, match.name, match.name_len);
    if (name == NULL || query_decode(name, false) < 0)
        problem(q, "bad-request", "the path has an escape that is not UTF-8");
    q->name = name;
}

/* Whether one more refusal of this second is to be told, and how many were not since the last.
 */
static bool may_tell(struct server *server, uint64_t *ret_left_out)
{
    uint64_t now_s = clock_mono_ns() / NS_PER_S;

    if (atomic_exchange(&server->refusals_second, now_s) != now_s)
        atomic_store(&server->refusals_told, 0);
    if (atomic_fetch_add(&server->refusals_told, 1) >= REFUSALS_TOLD_A_SECOND) {
        atomic_fetch_add(&server->refusals_left_out, 1);
        return false;
    }
    *ret_left_out = atomic_exchange(&server->refusals_left_out, 0);
    return true;
}

static void tell_refusal(const struct request *q, const char *rule)
{
    const struct request_parts *parts = q->parts;
    uint64_t left_out;

    if (!may_tell(parts->server, &left_out))
        return;
    log_warn("api.refused", LOG_STR("rule", rule), LOG_STR("method", method_name(q->method)),
             LOG_STR("path", q->path), LOG_STR("door", parts->tcp ? "tcp" : "unix"),
             LOG_I64("uid", parts->tcp ? -1 : (int64_t)parts->connection->peer.uid),
             LOG_U64("request", q->number), LOG_U64("not_told", left_out));
}

static void refuse(struct request *q, enum auth_answer answer)
{
    static const struct {
        const char *type, *text;
    } answers[] = {
        [AUTH_NO_TOKEN] = {"no-token", "send Authorization: Bearer with a token of the token "
                                       "file, or use the UNIX socket"},
        [AUTH_BAD_TOKEN] = {"bad-token", "the token is not one of the token file"},
        [AUTH_SCOPE] = {"forbidden", "the token does not reach as far as this needs"},
        [AUTH_UID] = {"forbidden", "this user is not let in at the socket"},
        [AUTH_CROSS_SITE] = {"cross-site", "the Origin or Sec-Fetch-Site header names a page "
                                           "that is not ours"},
        [AUTH_HOST] = {"misdirected", "the Host header is none of the daemon's names; add it "
                                      "to the configured hosts if it should be"},
    };

    if (answer == AUTH_NO_TOKEN)
        reply_header(q, "WWW-Authenticate", "Bearer realm=\"stint\"");
    if (answer == AUTH_BAD_TOKEN)
        reply_header(q, "WWW-Authenticate", "Bearer realm=\"stint\", error=\"invalid_token\"");
    problem(q, answers[answer].type, "%s", answers[answer].text);
    tell_refusal(q, answers[answer].type);
}

static bool is_let_in(struct request *q)
{
    const struct auth_request request = {
        .peer = &q->parts->connection->peer,
        .authorization = q->headers[HEADER_AUTHORIZATION],
        .host = q->headers[HEADER_HOST],
        .origin = q->headers[HEADER_ORIGIN],
        .fetch_site = q->headers[HEADER_SEC_FETCH_SITE],
        /* Whoever may not ask at all does not learn which paths there are. */
        .scope = q->route != NULL ? q->route->scope : SCOPE_READ,
    };
    enum auth_answer answer = auth_check(q->parts->server->options.auth, &request);

    if (answer == AUTH_OK)
        return true;
    /* What the search for a route has answered is not for this caller. */
    reply_free(&q->reply);
    q->reply = (struct reply){.fd = -1};
    refuse(q, answer);
    return false;
}

static void check_body(struct request *q)
{
    const char *length = q->headers[HEADER_CONTENT_LENGTH];
    uint32_t bytes_max = q->parts->server->options.body_bytes_max;
    uint64_t bytes;

    if (length == NULL || str_u64(length, strlen(length), &bytes) == -EINVAL)
        return;
    if (str_u64(length, strlen(length), &bytes) == -ERANGE || bytes > bytes_max) {
        problem(q, "body-too-large",
                "the body has %s bytes, the limit is %u; send large batches in parts", length,
                bytes_max);
        return;
    }
    if (bytes > 0 && buf_reserve(&q->body, bytes) == NULL)
        problem(q, "busy", "there is no memory for the body; try again");
}

/* What stands behind the body may be a request that nobody in between has looked at. */
static void check_doubt(struct request *q)
{
    if (!q->parts->doubtful && (q->headers[HEADER_CONTENT_LENGTH] == NULL ||
                                q->headers[HEADER_TRANSFER_ENCODING] == NULL))
        return;
    problem(q, "bad-request",
            "Host, Content-Length and Transfer-Encoding may stand once, and one "
            "of the latter two");
    q->reply.close = true;
}

static void parse_query(struct request *q)
{
    /* Decoded in place in a copy: the text as sent is needed for links. */
    char *copy = text_copy(q->parts, q->query_text, strlen(q->query_text));
    int r = copy == NULL ? -ENOMEM : query_parse(copy, &q->query);

    if (r == -E2BIG)
        problem(q, "bad-parameter", "there are more than %d query parameters",
                QUERY_PARAMS_MAX);
    else if (r < 0)
        problem(q, "bad-parameter", "the query has an escape that is not UTF-8");
}

void request_begin(struct request *q, const char *method)
{
    q->method = method_find(method);
    if (q->parts->authority != NULL) /* it counts instead of what Host says */
        q->headers[HEADER_HOST] = q->parts->authority;
    find_route(q, method);
    if (is_let_in(q) && q->reply.status == 0)
        check_doubt(q);
    if (q->reply.status == 0)
        check_body(q);
    if (q->reply.status == 0)
        parse_query(q);
    q->parts->refused = q->reply.status != 0;
}

void request_take(struct request *q, const void *data, size_t len)
{
    struct request_parts *parts = q->parts;

    if (parts->refused) {
        parts->dropped_bytes += len;
        return;
    }
    if (q->body.len + len > parts->server->options.body_bytes_max) {
        problem(q, "body-too-large", "the body is larger than the limit of %u bytes",
                parts->server->options.body_bytes_max);
        q->reply.close = true;
        parts->refused = true;
        return;
    }
    buf_put(&q->body, data, len);
    if (buf_failed(&q->body)) {
        problem(q, "busy", "there is no memory for the body; try again");
        parts->refused = true;
    }
}
