/* api.h: how the world speaks to us. HTTP/1.1 with JSON through two doors: a UNIX socket, where
 * the kernel says who calls, and TCP, where a bearer token does.
 *
 * How it works
 *
 *     acceptor task  ->  pump task (one of at most 4)  ->  request task  ->  engine
 *
 * A door has an acceptor: a task that accepts and hands the descriptor to the pump with the
 * fewest. A pump alone calls one instance of libmicrohttpd: it reads, parses and writes for its
 * connections and never parks in between. A request that is whole is suspended in the library
 * and becomes a task, which may park as long as it likes; its answer comes back to the pump
 * through a queue. A client that waits for a job is therefore a few KiB and no thread.
 *
 *     server.c pump.c       doors, connections, bounds, slow clients; the life of a request
 *     request.h             what a handler sees: the request, and how it answers
 *     routes.c              one table: method, path, scope, handler, help
 *     jobs*.c log.c queues.c health.c metrics.c openapi.c      handlers by noun
 *     query.c auth.c problem.c render.c wire.c       parsing, who may, errors, JSON, shared
 * words
 *
 * Shapes on the wire
 *     a job         an object, see render.c; absent means null; times are RFC 3339 in UTC
 *     a list        {"items": [...], "next": "cursor" or null}, with a Link header
 *     a batch       {"items": [{"id": 7} or {"error": {problem}}, ...]}, in the order given
 *     an error      application/problem+json; its type is "/problems/" and a word of wire.h
 *
 * Rejected: a thread a connection (10,000 waiting clients are normal here); resuming a
 * connection from the task that has the answer (libmicrohttpd 0.9.75 then sleeps on it for up
 * to 200 ms); a proxy in front for tokens and limits (a daemon on a laptop has none).
 *
 * Invariants
 *   A1  only a connection's pump calls the library for it, and nothing parks on that stack.
 *   A2  a suspended connection has exactly one owner that will resume it: its request task,
 *       or the pump when that task could not be started.
 *   A3  what a client makes us hold is bounded: connections, header bytes, body bytes, time to
 *       send its request, time to take its answer.
 *   A4  an answer of success to a change leaves only after the change is durable.
 *   A5  nothing is answered to a browser page of another origin, nor to an unknown Host.
 *
 * A crash leaves a socket file behind; api_listen_unix removes one that nobody answers.
 *
 * The process must ignore SIGPIPE. All functions: from the root task. */
#ifndef API_API_H
#define API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api;
struct engine;
struct group;

struct api_options {
    struct engine *engine; /* borrowed until api_close */
    int unix_fd, tcp_fd;   /* listening sockets, -1 = no such door; taken by api_open */

    const char *token_file; /* see auth.h; NULL: TCP lets nobody in */
    const uint32_t *uids;   /* let in at the UNIX socket besides root and our own uid */
    unsigned uids_count;    /* 0 = whomever the permissions of the socket file let connect */
    char *const *hosts; /* names we go by on TCP besides loopback; NULL-terminated or NULL */
    bool ready_open;    /* /readyz and /metrics on TCP without a token, as /healthz is */

    uint32_t connections_max;   /* 0 = API_CONNECTIONS */
    uint32_t pumps;             /* 0 = one a processor, at most API_PUMPS_MAX */
    uint32_t body_bytes_max;    /* 0 = WIRE_BODY_BYTES_MAX */
    int64_t receive_timeout_ms; /* for a request to be whole, or to begin; 0 = API_TIMEOUT_MS */
    int64_t send_timeout_ms;    /* without a byte taken by the client; 0 = API_TIMEOUT_MS */

    /* More reasons not to be ready than the engine knows: true, or false and *why is a
     * sentence of static storage. Any task. NULL = none. */
    bool (*ready)(void *ctx, const char **why);
    void *ready_ctx;

    const char *version;   /* borrowed */
    int64_t started_at_ms; /* wall clock */
};

#define API_CONNECTIONS 4096
#define API_PUMPS_MAX 4
#define API_TIMEOUT_MS 60000

#define API_WHY_BYTES 256

/* Listening descriptors, non-blocking and close-on-exec: the descriptor or a negative errno.
 * path: absolute; a socket there that nobody answers is replaced, one that is answered gives
 * -EADDRINUSE. mode: permissions of the socket file, 0660 for instance. addr: "127.0.0.1",
 * "::1", "[::1]" or "localhost"; port 0 lets the kernel choose. */
int api_listen_unix(const char *path, unsigned mode);
int api_listen_tcp(const char *addr, uint16_t port);
bool api_is_address(const char *addr); /* one that api_listen_tcp understands */

/* Opens the doors: acceptors and pumps are tasks of group. 0 or a negative errno, with why
 * (API_WHY_BYTES) one sentence; the descriptors are then closed. Both are closed by api_drain
 * or api_close; a socket file stays. */
int api_open(const struct api_options *options, struct group *group, struct api **ret,
             char *why);
/* Nobody is accepted any more, keep-alive ends with each answer, and those who wait for a job
 * or follow a log get the answer as it stands. Parks until no request is in work, or until
 * deadline_ns: 0 or -ETIMEDOUT. The daemon drains the engine first, while questions about it
 * are still answered. */
int api_drain(struct api *api, uint64_t deadline_ns);
/* Cancels requests that are left, closes every connection, ends the tasks. NULL is harmless. */
void api_close(struct api *api);
/* Reads the token file again. 0, or a negative errno with why; the tokens stay as they were. */
int api_reload(struct api *api, char *why);

/* Makes the token file with one random token of scope admin, mode 0600, unless it is there. 0
 * or a negative errno. Blocks its thread. */
int api_token_file_make(const char *path);

#endif
