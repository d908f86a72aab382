#include "tests/lib/http_server.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/own.h"
#include "scheduler/group.h"
#include "scheduler/mutex.h"
#include "scheduler/net.h"
#include "scheduler/task.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define REQUEST_BYTES_MAX (1 << 20)

struct http_server {
    struct net *listener;
    unsigned short port;
    struct group group; /* of the listening task; its own group holds the connections */
    struct mutex mutex; /* guards the three below */
    struct cond changed;
    bool released;
    unsigned requests;
    _Atomic unsigned connections;
};

struct connection {
    struct http_server *server;
    struct net *net;
    struct buf in; /* what was read and not yet used */
};

struct request {
    char method[16], path[512];
    const char *query; /* behind '?', "" when there is none */
    size_t head_len, body_len;
    bool close;
};

/* ---- reading ----------------------------------------------------------------------------- */

/* false: the peer is gone, or we are to stop. */
static bool read_more(struct connection *c)
{
    char *to = buf_reserve(&c->in, 2048);
    ssize_t n =
        to != NULL && c->in.len < REQUEST_BYTES_MAX ? net_read(c->net, to, 2048, 0) : -1;

    if (n <= 0)
        return false;
    buf_commit(&c->in, (size_t)n);
    return true;
}

static const char *find_field(const char *head, const char *name)
{
    size_t len = strlen(name);

    for (const char *line = head; line != NULL; line = strstr(line, "\r\n")) {
        line += line == head ? 0 : 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':')
            return line + len + 1 + strspn(line + len + 1, " ");
    }
    return NULL;
}

static bool read_request(struct connection *c, struct request *ret)
{
    const char *end;

    /* What begins with no letter is TLS, whose client would wait for an answer to its hello. */
    while ((end = strstr(buf_str(&c->in), "\r\n\r\n")) == NULL)
        if (!read_more(c) || c->in.data[0] < 'A' || c->in.data[0] > 'Z')
            return false;
    *ret = (struct request){.head_len = (size_t)(end + 4 - c->in.data), .query = ""};
    if (sscanf(c->in.data, "%15s %511s", ret->method, ret->path) != 2)
        return false;

    char *question = strchr(ret->path, '?');
    if (question != NULL) {
        *question = 0;
        ret->query = question + 1;
    }
    c->in.data[ret->head_len - 1] = 0; /* the search for fields ends with the head */
    const char *length = find_field(c->in.data, "Content-Length");
    ret->body_len = length != NULL ? strtoul(length, NULL, 10) : 0;
    c->in.data[ret->head_len - 1] = '\n';
    while (c->in.len < ret->head_len + ret->body_len)
        if (!read_more(c))
            return false;
    return true;
}

static void forget_request(struct connection *c, const struct request *request)
{
    size_t used = request->head_len + request->body_len;

    memmove(c->in.data, c->in.data + used, c->in.len - used + 1);
    c->in.len -= used;
}

static long query_number(const struct request *request, const char *name, long otherwise)
{
    const char *at = strstr(request->query, name);

    return at != NULL ? strtol(at + strlen(name) + 1, NULL, 10) : otherwise;
}

/* ---- answering --------------------------------------------------------------------------- */

static void send_text(struct connection *c, const char *data, size_t len)
{
    /* A peer that is gone is what some tests are about. */
    (void)net_write(c->net, data, len, 0);
}

static void answer(struct connection *c, const struct request *request, int status,
                   const char *fields, const char *body, size_t len)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_putf(&b, "HTTP/1.1 %d Word\r\n%sContent-Length: %zu\r\n\r\n", status, fields, len);
    if (strcmp(request->method, "HEAD") != 0)
        buf_put(&b, body, len);
    send_text(c, buf_str(&b), b.len);
}

static void answer_ok(struct connection *c, struct request *request)
{
    answer(c, request, 200, "Content-Type: text/plain\r\n", "hello", 5);
}

static void answer_status(struct connection *c, struct request *request)
{
    const char *after = strstr(request->query, "retry_after=");
    char fields[128] = "";

    if (after != NULL)
        snprintf(fields, sizeof fields, "Retry-After: %s\r\n", after + 12);
    for (char *plus = fields; (plus = strchr(plus, '+')) != NULL;)
        *plus = ' ';
    answer(c, request, atoi(request->path + strlen("/status/")), fields, "why", 3);
}

static void answer_slow(struct connection *c, struct request *request)
{
    if (task_sleep_ns((uint64_t)query_number(request, "ms", 10) * NS_PER_MS) == 0)
        answer(c, request, 200, "", "slow", 4);
    else
        request->close = true;
}

static void answer_hold(struct connection *c, struct request *request)
{
    struct http_server *server = c->server;
    int r = mutex_lock(&server->mutex, 0);

    if (r == 0) {
        while (!server->released && r == 0)
            r = cond_wait(&server->changed, &server->mutex, 0);
        mutex_unlock(&server->mutex);
    }
    if (r == 0)
        answer(c, request, 200, "", "held", 4);
    else
        request->close = true;
}

static void send_many(struct connection *c, size_t bytes, bool chunked)
{
    char block[4096 + 16];

    while (bytes > 0 && task_cancelled() == 0) {
        size_t len = bytes < 4096 ? bytes : 4096;
        int head = chunked ? snprintf(block, sizeof block, "%zx\r\n", len) : 0;
        memset(block + head, 'a', len);
        if (chunked)
            memcpy(block + head + len, "\r\n", 2);
        if (net_write(c->net, block, (size_t)head + len + (chunked ? 2 : 0), 0) < 0)
            return;
        bytes -= len;
    }
}

static void answer_big(struct connection *c, struct request *request)
{
    bool chunked = strcmp(request->path, "/chunked") == 0;
    size_t bytes = (size_t)query_number(request, "bytes", 100000);
    char head[128];
    int len = chunked ? snprintf(head, sizeof head,
                                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                      : snprintf(head, sizeof head,
                                 "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", bytes);

    send_text(c, head, (size_t)len);
    send_many(c, bytes, chunked);
    if (chunked)
        send_text(c, "0\r\n\r\n", 5);
}

static void answer_utf8(struct connection *c, struct request *request)
{
    size_t bytes = (size_t)query_number(request, "bytes", 10);
    OWN_BUF struct buf b = BUF_INIT;

    while (b.len < bytes)
        buf_puts(&b, "\xc3\xa9");
    answer(c, request, 200, "", buf_str(&b), bytes);
}

static void answer_binary(struct connection *c, struct request *request)
{
    answer(c, request, 200, "", "\x00\xff\x01", 3);
}

static void answer_redirect(struct connection *c, struct request *request)
{
    const char *to = strstr(request->query, "to=");
    char fields[600];

    snprintf(fields, sizeof fields, "Location: %s\r\n", to != NULL ? to + 3 : "/ok");
    answer(c, request, (int)query_number(request, "code", 302), fields, "", 0);
}

static void answer_loop(struct connection *c, struct request *request)
{
    answer(c, request, 302, "Location: /loop\r\n", "", 0);
}

static void answer_echo(struct connection *c, struct request *request)
{
    answer(c, request, 200, "", c->in.data, request->head_len + request->body_len);
}

static void answer_headers(struct connection *c, struct request *request)
{
    answer(c, request, 200, "X-A: 1\r\nx-a:  2 \r\nSet-Cookie: secret=1\r\nX-Empty:\r\n", "",
           0);
}

static void answer_many_headers(struct connection *c, struct request *request)
{
    OWN_BUF struct buf b = BUF_INIT;

    for (int i = 0; i < 3000; i++)
        buf_putf(&b, "X-Header-%d: 0123456789012345678901234567890123456789\r\n", i);
    answer(c, request, 200, buf_str(&b), "", 0);
}

static void answer_close(struct connection *c, struct request *request)
{
    (void)c;
    request->close = true;
}

static void answer_reset(struct connection *c, struct request *request)
{
    const struct linger hard = {.l_onoff = 1};

    setsockopt(net_fd(c->net), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    request->close = true;
}

static void answer_short(struct connection *c, struct request *request)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart";

    send_text(c, text, strlen(text));
    request->close = true;
}

static void answer_garbage(struct connection *c, struct request *request)
{
    send_text(c, "SMTP ready\r\n\r\n", 14);
    request->close = true;
}

static void answer_not_found(struct connection *c, struct request *request)
{
    answer(c, request, 404, "", "nothing here", 12);
}

static const struct {
    const char *path;
    void (*answer)(struct connection *c, struct request *request);
} routes[] = {
    {"/ok", answer_ok},
    {"/status/", answer_status},
    {"/slow", answer_slow},
    {"/hold", answer_hold},
    {"/big", answer_big},
    {"/chunked", answer_big},
    {"/utf8", answer_utf8},
    {"/binary", answer_binary},
    {"/redirect", answer_redirect},
    {"/loop", answer_loop},
    {"/echo", answer_echo},
    {"/headers", answer_headers},
    {"/many-headers", answer_many_headers},
    {"/close", answer_close},
    {"/reset", answer_reset},
    {"/short", answer_short},
    {"/garbage", answer_garbage},
    {"/", answer_not_found},
};

/* ---- tasks ------------------------------------------------------------------------------- */

static void count_request(struct http_server *server)
{
    mutex_lock_shielded(&server->mutex);
    server->requests++;
    cond_broadcast(&server->changed);
    mutex_unlock(&server->mutex);
}

static int serve(void *arg)
{
    struct connection *c = arg;
    struct request request = {.close = false};

    while (!request.close && read_request(c, &request)) {
        size_t i = 0;
        count_request(c->server);
        while (strncmp(request.path, routes[i].path, strlen(routes[i].path)) != 0 &&
               i + 1 < sizeof routes / sizeof *routes)
            i++;
        routes[i].answer(c, &request);
        forget_request(c, &request);
    }
    net_close(c->net);
    buf_deinit(&c->in);
    free(c);
    return 0;
}

static int start_connection(struct http_server *server, struct group *group, int fd)
{
    struct connection *c = calloc(1, sizeof *c);

    ck_assert_ptr_nonnull(c);
    c->server = server;
    ck_assert_int_eq(net_open(fd, &c->net), 0);
    server->connections++;
    int r = group_go_stack(group, serve, c, STACK_NORMAL);
    if (r < 0) {
        net_close(c->net);
        free(c);
    }
    return r;
}

static int listen_on(void *arg)
{
    struct http_server *server = arg;
    struct group connections;
    int fd;

    group_open(&connections, "http connections");
    while ((fd = net_accept(server->listener, NULL, NULL, 0)) >= 0)
        if (start_connection(server, &connections, fd) < 0)
            break;
    group_close(&connections);
    return 0;
}

struct http_server *http_server_open(void)
{
    struct http_server *server = calloc(1, sizeof *server);
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_ptr_nonnull(server);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
    ck_assert_int_eq(listen(fd, 4096), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    server->port = ntohs(addr.sin_port);
    mutex_init(&server->mutex);
    cond_init(&server->changed);
    ck_assert_int_eq(net_open(fd, &server->listener), 0);
    group_open(&server->group, "http server");
    ck_assert_int_eq(group_go(&server->group, listen_on, server), 0);
    return server;
}

void http_server_close(struct http_server *server)
{
    group_close(&server->group);
    net_close(server->listener);
    free(server);
}

unsigned short http_server_port(const struct http_server *server)
{
    return server->port;
}

void http_server_release(struct http_server *server)
{
    mutex_lock_shielded(&server->mutex);
    server->released = true;
    cond_broadcast(&server->changed);
    mutex_unlock(&server->mutex);
}

void http_server_await(struct http_server *server, unsigned requests)
{
    mutex_lock_shielded(&server->mutex);
    while (server->requests < requests)
        cond_wait(&server->changed, &server->mutex, 0);
    mutex_unlock(&server->mutex);
}

unsigned http_server_requests(const struct http_server *server)
{
    return server->requests;
}

unsigned http_server_connections(const struct http_server *server)
{
    return server->connections;
}
