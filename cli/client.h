/* client.h: one connection to a daemon, through libcurl: a UNIX socket or HTTP with a token. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>

struct client;

struct client_options {
    const char *url;        /* unix:///path, http://host:port, NULL = the service's socket */
    const char *token_file; /* NULL = none */
};

/* 0, or an exit status after a line on standard error. */
int client_open(const struct client_options *options, struct client **ret);
void client_close(struct client *client);

struct reply {
    long status;
    struct buf body;
    json_t *json; /* NULL when the body is none */
};

void reply_deinit(struct reply *reply);

/* One request. 0 when the daemon answered 2xx; else an exit status, after the problem was told
 * on standard error (quiet statuses are only returned: the caller tells). body NULL = none. */
int client_call(struct client *client, const char *method, const char *path, const char *body,
                struct reply *ret);
/* As client_call, but a problem with this HTTP status is left to the caller: 0 then. */
int client_call_but(struct client *client, const char *method, const char *path,
                    const char *body, long status, struct reply *ret);

/* Whether a daemon was there before: one that then is not may be about to come back. */
bool client_has_met(const struct client *client);
/* quiet: from now on an unreachable daemon is only returned, not told. */
void client_hush(struct client *client, bool quiet);
/* Tells what was kept quiet last. */
void client_tell_unreachable(const struct client *client);

/* Streams GET path to a descriptor until the daemon ends it. */
struct client_stream {
    const char *path;
    int fd;
};
/* Several at once; 0 or an exit status. stop (may be NULL): ends early when it becomes true. */
int client_stream(struct client *client, const struct client_stream *streams, unsigned count,
                  const volatile bool *stop);

/* Appends s as a query or path part, percent-encoded. */
void client_put_escaped(struct buf *b, const char *s);

#endif
