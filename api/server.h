/* server.h: doors, connections and the life of a request. It has never heard of a job: routes
 * and what they work on are given. See api.h for how the parts play together. */
#ifndef API_SERVER_H
#define API_SERVER_H

#include "api/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;
struct group;

struct server_options {
    const struct route *routes; /* borrowed */
    unsigned routes_count;
    void *app;         /* given to handlers */
    struct auth *auth; /* borrowed */
    uint32_t connections_max, pumps, body_bytes_max;
    int64_t receive_timeout_ms, send_timeout_ms;
};

/* Of the library's memory for one connection: request line and headers must fit. */
#define SERVER_HEADER_BYTES_MAX (12u << 10)
/* What a refused request may still send before its connection is closed on it. */
#define SERVER_DROPPED_BYTES_MAX (64u << 10)

/* Starts the pumps as tasks of group. 0 or a negative errno. The root task. */
int server_open(const struct server_options *options, struct group *group, struct server **ret);
/* Opens a door: fd is taken, also on failure. 0 or a negative errno. The root task. */
int server_listen(struct server *server, int fd, bool tcp);
/* As api_drain and api_close. */
int server_drain(struct server *server, uint64_t deadline_ns);
void server_close(struct server *server);

/* Counters of all pumps. Any thread. */
#define SERVER_LATENCY_BUCKETS 14
extern const uint32_t server_latency_us[SERVER_LATENCY_BUCKETS]; /* upper bounds; last = none */

struct server_route_stats {
    const char *method, *pattern; /* "" = no route matched */
    uint64_t latency[SERVER_LATENCY_BUCKETS];
    uint64_t latency_us_total;
};
struct server_stats {
    uint64_t connections, connections_tcp, accepted, refused_full, timed_out, active;
};
void server_stats(struct server *server, struct server_stats *ret);
/* Calls for each route that was asked for. Any thread. */
void server_stats_routes(struct server *server,
                         void (*fn)(void *ctx, const struct server_route_stats *route),
                         void *ctx);
/* Calls for each pair of route and status that was answered. */
void server_stats_statuses(struct server *server,
                           void (*fn)(void *ctx, const char *method, const char *pattern,
                                      int status, uint64_t count),
                           void *ctx);

/* The route for a method and a path as sent, and what its braces match; id and name are for
 * request fields. NULL without one: *ret_allow then has a bit 1 << method for each method that
 * the path knows. Pure. */
struct route_match {
    const struct route *route;
    uint64_t id;
    const char *name; /* start of the segment in path, not decoded */
    size_t name_len;
    unsigned allow;
};
void route_find(const struct route *routes, unsigned count, enum method method,
                const char *path, struct route_match *ret);

#endif
