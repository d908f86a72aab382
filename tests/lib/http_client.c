#include "tests/lib/http_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static _Noreturn void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static void http_connect(struct http *h, const struct sockaddr *address, socklen_t len)
{
    const struct timeval patience = {.tv_sec = HTTP_PATIENCE_S};

    *h = (struct http){.fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (h->fd < 0 || connect(h->fd, address, len) < 0)
        give_up("connect");
    setsockopt(h->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(h->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

void http_open_unix(struct http *h, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    http_connect(h, (const struct sockaddr *)&address, sizeof address);
}

void http_open_tcp(struct http *h, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    http_connect(h, (const struct sockaddr *)&address, sizeof address);
}

void http_close(struct http *h)
{
    close(h->fd);
    free(h->data);
    *h = (struct http){.fd = -1};
}

bool http_send(struct http *h, const void *data, size_t len)
{
    for (const char *p = data; len > 0;) {
        ssize_t n = send(h->fd, p, len, MSG_NOSIGNAL);

        if (n < 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

bool http_sendf(struct http *h, const char *fmt, ...)
{
    char *text;
    va_list ap;

    va_start(ap, fmt);
    int len = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (len < 0)
        give_up("vasprintf");
    bool sent = http_send(h, text, (size_t)len);
    free(text);
    return sent;
}

/* More bytes into h->data: their count, 0 at the end, -1 when it failed. */
static ssize_t read_more(struct http *h)
{
    char *data = realloc(h->data, h->len + 65536 + 1);

    if (data == NULL)
        give_up("realloc");
    h->data = data;
    ssize_t n = recv(h->fd, h->data + h->len, 65536, 0);
    if (n > 0)
        h->len += (size_t)n;
    h->data[h->len] = '\0';
    return n;
}

static void use(struct http *h, size_t len)
{
    memmove(h->data, h->data + len, h->len - len);
    h->len -= len;
    h->data[h->len] = '\0';
}

/* The first bytes of h->data, as a string of its own. */
static char *cut(struct http *h, size_t len)
{
    char *text = malloc(len + 1);

    if (text == NULL)
        give_up("malloc");
    memcpy(text, h->data, len);
    text[len] = '\0';
    use(h, len);
    return text;
}

static bool read_head(struct http *h, struct http_reply *ret)
{
    char *end;

    while (h->data == NULL || (end = strstr(h->data, "\r\n\r\n")) == NULL)
        if (read_more(h) <= 0)
            return false;
    ret->head = cut(h, (size_t)(end - h->data) + 4);
    ret->status = ret->head[0] == 'H' ? atoi(ret->head + 9) : 0;
    return true;
}

static bool read_sized(struct http *h, size_t len, struct http_reply *ret)
{
    while (h->len < len)
        if (read_more(h) <= 0)
            break;
    ret->whole = h->len >= len;
    ret->body_len = h->len < len ? h->len : len;
    ret->body = cut(h, ret->body_len);
    return true;
}

static void body_add(struct http_reply *ret, const char *data, size_t len)
{
    ret->body = realloc(ret->body, ret->body_len + len + 1);
    if (ret->body == NULL)
        give_up("realloc");
    memcpy(ret->body + ret->body_len, data, len);
    ret->body_len += len;
    ret->body[ret->body_len] = '\0';
}

/* One chunk: 1; 0 at the last one; -1 when the connection ended before. */
static int read_chunk(struct http *h, struct http_reply *ret)
{
    char *line;

    while (h->data == NULL || (line = strstr(h->data, "\r\n")) == NULL)
        if (read_more(h) <= 0)
            return -1;
    size_t len = strtoul(h->data, NULL, 16), start = (size_t)(line - h->data) + 2;
    while (h->len < start + len + 2)
        if (read_more(h) <= 0)
            return -1;
    body_add(ret, h->data + start, len);
    use(h, start + len + 2);
    return len > 0;
}

static bool read_to_end(struct http *h, struct http_reply *ret)
{
    ssize_t n;

    while ((n = read_more(h)) > 0) {
    }
    ret->whole = n == 0;
    ret->body_len = h->len;
    ret->body = cut(h, h->len);
    return true;
}

static bool is_chunked(const struct http_reply *reply)
{
    return http_header(reply, "Transfer-Encoding") != NULL;
}

bool http_read(struct http *h, bool no_body, struct http_reply *ret)
{
    *ret = (struct http_reply){.whole = true};
    do {
        free(ret->head);
        ret->head = NULL;
        if (!read_head(h, ret))
            return false;
    } while (ret->status == 100);

    const char *length = http_header(ret, "Content-Length");
    if (no_body || ret->status == 204 || ret->status == 304)
        return read_sized(h, 0, ret);
    if (is_chunked(ret)) {
        int r;

        body_add(ret, "", 0);
        while ((r = read_chunk(h, ret)) > 0) {
        }
        ret->whole = r == 0;
        return true;
    }
    return length != NULL ? read_sized(h, strtoul(length, NULL, 10), ret) : read_to_end(h, ret);
}

bool http_read_some(struct http *h, size_t bytes, struct http_reply *ret)
{
    if (ret->head == NULL && !read_head(h, ret))
        return false;
    ret->whole = false;
    while (ret->body_len < bytes) {
        int r = read_chunk(h, ret);

        if (r <= 0) {
            ret->whole = r == 0;
            return false;
        }
    }
    return true;
}

bool http_is_closed(struct http *h)
{
    return h->len == 0 && read_more(h) == 0;
}

void http_reply_free(struct http_reply *reply)
{
    free(reply->head);
    free(reply->body);
    *reply = (struct http_reply){.status = 0};
}

bool http_call(struct http *h, const char *method, const char *target, const char *headers,
               const char *body, struct http_reply *ret)
{
    bool sent;

    *ret = (struct http_reply){.status = 0};
    if (body != NULL)
        sent = http_sendf(
            h, "%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s", method,
            target, headers, strlen(body), body);
    else
        sent = http_sendf(h, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method, target,
                          headers);
    /* An answer may have come although not all of the request could be sent. */
    return http_read(h, strcmp(method, "HEAD") == 0, ret) && (sent || ret->status >= 400);
}

const char *http_header(const struct http_reply *reply, const char *name)
{
    static __thread char value[4096];
    size_t len = strlen(name);

    for (const char *line = strstr(reply->head, "\r\n"); line != NULL && line[2] != '\r';
         line = strstr(line + 2, "\r\n")) {
        const char *field = line + 2;

        if (strncasecmp(field, name, len) != 0 || field[len] != ':')
            continue;
        field += len + 1 + strspn(field + len + 1, " ");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(field, "\r"), field);
        return value;
    }
    return NULL;
}
