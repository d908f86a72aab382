/* http_client.h: HTTP as a test wants it: raw bytes out when it has to be wrong, whole answers
 * in. Blocks its thread; a read that takes longer than HTTP_PATIENCE_S fails. */
#ifndef TESTS_LIB_HTTP_CLIENT_H
#define TESTS_LIB_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_PATIENCE_S 20

struct http {
    int fd;
    char *data; /* read and not yet used */
    size_t len;
};

struct http_reply {
    int status;
    char *head; /* status line and headers, each ended by \r\n */
    char *body; /* with a 0 behind it */
    size_t body_len;
    bool whole; /* false: the connection ended before the answer did */
};

/* Connected, or the test process exits with a message. */
void http_open_unix(struct http *h, const char *path);
void http_open_tcp(struct http *h, uint16_t port);
void http_close(struct http *h);

/* All of it, or false when the other side has closed. */
bool http_send(struct http *h, const void *data, size_t len);
bool http_sendf(struct http *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The next answer; no_body after HEAD. false when the connection ends before a head came. */
bool http_read(struct http *h, bool no_body, struct http_reply *ret);
/* Reads on until there are at least bytes of body, from a streamed answer; the head is in ret
 * the first time. For follow tests: decodes chunks. The text is in ret->body. */
bool http_read_some(struct http *h, size_t bytes, struct http_reply *ret);
/* true: the other side has closed, and nothing unread was left. */
bool http_is_closed(struct http *h);
void http_reply_free(struct http_reply *reply);

/* One request with Host: localhost and the given header lines (each ended by \r\n, "" = none);
 * body NULL = none. */
bool http_call(struct http *h, const char *method, const char *target, const char *headers,
               const char *body, struct http_reply *ret);
/* The value of a header, in memory of the thread until its next call; NULL without it. */
const char *http_header(const struct http_reply *reply, const char *name);

#endif
