/* request.h: one request, from its header to the last byte of its answer, as handlers see it.
 *
 * A handler is a function that reads the request and fills in the answer; it runs in a task of
 * its own and may park, unless its route says that it never does. It ends by one of
 *
 *     reply_json(q, 200, &buf)          a whole answer
 *     reply_file(q, 206, fd, …)         a part of a file, sent by the kernel
 *     reply_stream(q, 200, …) then reply_write(q, …) until nothing is left
 *     problem_…(q, …)                   an error, see problem.h
 *
 * and what it did not answer becomes a 500. Strings of the request live as long as it does. */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include "api/auth.h"
#include "api/query.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum method {
    METHOD_OTHER = 0,
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_COUNT
};

enum method method_find(const char *word);
const char *method_name(enum method method);

/* The headers that anything here looks at; others are dropped as they come. */
enum header {
    HEADER_ACCEPT,
    HEADER_AUTHORIZATION,
    HEADER_CONTENT_LENGTH,
    HEADER_CONTENT_TYPE,
    HEADER_EXPECT,
    HEADER_HOST,
    HEADER_IDEMPOTENCY_KEY,
    HEADER_IF_NONE_MATCH,
    HEADER_IF_RANGE,
    HEADER_ORIGIN,
    HEADER_PREFER,
    HEADER_RANGE,
    HEADER_SEC_FETCH_SITE,
    HEADER_TRANSFER_ENCODING,
    HEADER_COUNT
};

struct request;
struct request_parts;

/* One row a method and path. Pattern parts in braces match one segment: {id} a number, {name} a
 * name. */
struct route {
    enum method method;
    const char *pattern;
    enum scope scope;
    bool inline_; /* never parks: answered by the pump itself, without a task */
    void (*handler)(struct request *q);
    const char *help;
};

#define REPLY_HEADERS_MAX 8

struct reply_header {
    const char *name; /* of static storage */
    char *value;      /* owned */
};

enum reply_body { REPLY_NONE, REPLY_BUF, REPLY_FILE, REPLY_STREAM };

struct reply {
    int status; /* 0 = not answered yet */
    enum reply_body body_kind;
    const char *type; /* Content-Type, of static storage; NULL = none */
    struct buf body;
    int fd; /* owned until the library has it */
    uint64_t offset, length;
    struct reply_header headers[REPLY_HEADERS_MAX];
    unsigned headers_count;
    bool close; /* the connection ends with this answer */
};

struct request {
    enum method method;
    const char *path;                  /* as sent, without the query */
    const char *query_text;            /* as sent, or "" */
    struct query query;                /* decoded */
    const char *headers[HEADER_COUNT]; /* NULL = absent */
    const struct route *route;         /* NULL = none matched */
    uint64_t id;                       /* {id} */
    const char *name;                  /* {name}, decoded */
    struct buf body;
    uint64_t number; /* counts requests; shown as the request id of problems */
    void *app;       /* what the routes belong to: struct api */
    struct reply reply;
    struct request_parts *parts; /* of the server */
};

/* The answer is b's content, which is taken (b is empty after). */
void reply_json(struct request *q, int status, struct buf *b);
void reply_text(struct request *q, int status, const char *type, struct buf *b);
/* Without a body. */
void reply_empty(struct request *q, int status);
/* length bytes of fd from offset; fd is taken. */
void reply_file(struct request *q, int status, const char *type, int fd, uint64_t offset,
                uint64_t length);
/* The value is formatted; what does not fit in memory is left out. */
void reply_header(struct request *q, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Sends the header now; bytes follow by reply_write, until the handler returns. length:
 * UINT64_MAX when it is not known. Tasks only. 0 or -ENOMEM. */
int reply_stream(struct request *q, int status, const char *type, uint64_t length);
/* Takes b's content and parks until the client's socket has room for more. 0; -EPIPE when the
 * client is gone; the cancel reason. */
int reply_write(struct request *q, struct buf *b);
/* The stream ends as a failure: the client sees that something is missing. */
void reply_break(struct request *q);

/* Runs fn(arg) in a task of its own and ends it by cancellation when the client hangs up or the
 * server drains, which the caller's own blocking calls would not notice. 0 when fn came to its
 * end by itself; -EPIPE when the client is gone; -ECANCELED when the server drains or stops;
 * another negative errno when it could not be started. Tasks only. */
int request_wait(struct request *q, int (*fn)(void *arg), void *arg);

#endif
