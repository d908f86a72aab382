/* http_pump.h: the one caller of libcurl.
 *
 * What it is for
 *   A thousand transfers to slow servers must cost neither a thread each nor megabytes each,
 * and libcurl is not to be called by two threads at a time. So one task, the pump, owns a
 * libcurl multi handle and makes every call into it; whoever wants a transfer hands it a
 * request and parks. A transfer that waits is a parked task, a socket and a few KiB of
 * libcurl's.
 *
 * How it works
 *   libcurl says which sockets it waits for and until when (CURLMOPT_SOCKETFUNCTION and
 *   TIMERFUNCTION). The sockets go into an epoll of the pump's own, and that epoll's descriptor
 *   into the scheduler's poller: the pump parks in net_wait until a socket moves, the timer is
 *   due, or a command comes. Commands (add, remove, resume) are bits in the transfer, which is
 *   pushed on a lock-free stack and the pump kicked; a transfer stands in the stack at most
 * once.
 *
 *   The inner epoll is level-triggered, because libcurl does not promise to read until EAGAIN;
 *   the outer is edge-triggered, so the pump goes on until the inner answers nothing.
 *
 *   A response body is kept in memory up to a bound (the rest is counted and dropped), or
 * handed to the requesting task in chunks when it asked for them: the pump never touches a
 * file. When the task is slow the transfer is paused, so what waits in memory is bounded too.
 *
 * What was rejected
 *   A thread a transfer (memory, and the daemon's promise of few threads). libcurl's own
 *   resolver (a thread a lookup, joined on cancel: see http_resolve.h). libcurl's redirects:
 * the next host would be resolved by libcurl, so kind_http follows them itself, one transfer
 * each. HTTP/2: one paused stream can hold up its siblings, and a session costs more than the
 * few connections it saves. curl_multi_perform: it looks at every transfer on every turn.
 *
 * The sockets are ours
 *   libcurl may announce the end of a socket after it was closed, or never (curl #14976,
 *   #16026), so the pump makes and closes the sockets itself. Each opening of a descriptor
 *   number has a generation; events and removals of an older one are ignored. The function that
 *   makes a socket is where the guard is asked, with the very address that is connected next.
 *
 * Invariants
 *   P1  the multi handle and its transfers are touched only by the pump's task, and never from
 *       inside a callback of libcurl's. (Its URL parser has no state; http_url.c calls it.)
 *   P2  http_pump_run returns only after the pump has let go of the transfer: no callback can
 *       touch the request, the response or the sink after.
 *   P3  a connection exists only to an address that the guard let through.
 *   P4  no file, no lookup and no lock is waited for on the pump's task.
 *
 * Threads and locks
 *   No locks. Cancellation is the requester's: it posts remove and waits, in a shield, for the
 *   pump, which never waits for anybody. The pump itself is not cancelled with its group but
 *   ended by http_pump_close, since those who are cancelled need it.
 *
 * What a crash leaves behind
 *   Nothing: a request that was under way is an attempt that the engine counts as crashed. */
#ifndef JOBS_HTTP_PUMP_H
#define JOBS_HTTP_PUMP_H

#include "base/buf.h"
#include "jobs/http_guard.h"

#include <stdbool.h>
#include <stdint.h>

#define HTTP_CONNECT_MS_MAX 30000         /* a TCP or TLS handshake takes no longer */
#define HTTP_HEADERS_BYTES_MAX (64 << 10) /* of a response; more ends the transfer */
#define HTTP_DROPPED_BYTES_MAX (64 << 20) /* read and dropped beyond what is kept */
#define HTTP_CHUNK_BYTES (32 << 10)       /* handed to a sink at a time */
#define HTTP_WAITING_BYTES_MAX (64 << 10) /* held for a slow sink, then the transfer pauses */
#define HTTP_CONNECTIONS_MAX 4096         /* at once */
#define HTTP_HOST_CONNECTIONS_MAX 2048    /* at once to one host and port */
#define HTTP_IDLE_CONNECTIONS_MAX 64      /* kept open for the next request */

struct http_pump;
struct group;
struct kind_config;

/* All borrowed until http_pump_run returns. */
struct http_request {
    const char *method, *url;
    const char *const *headers; /* "Name: value", NULL-terminated */
    const char *body;           /* NULL = none */
    size_t body_len;
    const char *host, *addresses; /* to be connected for host; NULL: the URL has an address */
    unsigned short port;
    uint64_t keep_bytes_max; /* of the body, in the response */
    /* Where the body goes when wanted(status) is true; called in the task of http_pump_run,
     * may park. A negative errno ends the transfer. NULL: it is kept. */
    int (*sink)(void *ctx, const void *data, size_t len);
    bool (*wanted)(void *ctx, int status); /* called by the pump: no parking */
    void *ctx;                             /* of both */
};

enum http_end {
    HTTP_ANSWERED,  /* status and body are whole, or cut and marked so */
    HTTP_TRANSPORT, /* no whole answer: error says why */
    HTTP_REFUSED,   /* by the guard: error says which address */
    HTTP_UNUSABLE,  /* the request cannot be sent as it is: error says why */
};

struct http_response {
    enum http_end end;
    int status;     /* 0 = none came */
    uint64_t bytes; /* of the body as it came */
    bool truncated; /* more came than was kept */
    bool sunk;      /* the body went to the sink */
    int sink_error; /* negative errno of the sink */
    int64_t retry_after_ms;
    struct buf
        headers;     /* "name: value\r\n" lines of the last answer, without the status line */
    struct buf body; /* kept part */
    char *redirect;  /* absolute target of a 3xx; NULL = none */
    char error[320]; /* a sentence */
};

void http_response_deinit(struct http_response *response);

/* Parks until the transfer has ended. 0 and *ret filled (deinit it in any case), -ENOMEM, or
 * the reason of a cancellation; the pump has let go of everything then. */
int http_pump_run(struct http_pump *pump, const struct http_request *request,
                  struct http_response *ret);
/* The addresses of a name: as http_resolve(). Parks. */
int http_pump_resolve(struct http_pump *pump, const char *name, char *ret,
                      const char **ret_why);

/* http_pump_open and http_pump_close are declared in kinds_internal.h, whose kinds own it. */

#endif
