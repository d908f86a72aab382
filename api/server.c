/* server.c: doors and their acceptors, and the life of the whole. */
#include "api/server_parts.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/own.h"
#include "scheduler/scheduler.h"
#include "scheduler/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Between two tries when there are no descriptors left. */
#define ACCEPT_PAUSE_MS 100
#define ACCEPT_TOLD_EVERY_MS 60000
/* The administrator's door always has room: TCP may use all connections but an eighth. */
#define TCP_SHARE(max) ((max) - (max) / 8)

const uint32_t server_latency_us[SERVER_LATENCY_BUCKETS] = {
    100,   250,   500,    1000,   2500,    5000,     10000,
    25000, 50000, 100000, 500000, 2500000, 10000000, UINT32_MAX};

const int server_statuses[STATUS_SLOTS] = {-1,  200, 201, 202, 204, 206, 304, 400, 401, 403,
                                           404, 405, 409, 413, 415, 416, 421, 422, 500, 503};

/* ------------------------------------------------------------------------- doors */

static void peer_read(int fd, bool tcp, struct auth_peer *ret)
{
    struct ucred cred;
    socklen_t len = sizeof cred;

    /* A caller whom the kernel does not name is nobody. */
    *ret = (struct auth_peer){.tcp = tcp, .uid = UINT32_MAX, .pid = -1};
    if (tcp || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return;
    ret->uid = cred.uid;
    ret->pid = cred.pid;
}

static bool has_room(const struct server *server, bool tcp)
{
    uint32_t max = server->options.connections_max, all = 0, of_tcp = 0;

    for (unsigned i = 0; i < server->pumps_count; i++) {
        all += atomic_load_explicit(&server->pumps[i].connections, memory_order_relaxed);
        of_tcp += atomic_load_explicit(&server->pumps[i].connections_tcp, memory_order_relaxed);
    }
    return all < max && (!tcp || of_tcp < TCP_SHARE(max));
}

static struct pump *pump_choose(struct server *server)
{
    struct pump *best = &server->pumps[0];

    for (unsigned i = 1; i < server->pumps_count; i++)
        if (atomic_load_explicit(&server->pumps[i].connections, memory_order_relaxed) <
            atomic_load_explicit(&best->connections, memory_order_relaxed))
            best = &server->pumps[i];
    return best;
}

/* Written past the library, so its length is counted by hand. */
#define FULL_BODY                                                                              \
    "{\"type\":\"/problems/busy\",\"title\":\"Too much is waiting already\",\"st"              \
    "atus\":503,\"detail\":\"all connections are taken\",\"retryable\":true}\n"
_Static_assert(sizeof FULL_BODY - 1 == 131, "the Content-Length below");
static const char full_answer[] =
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
    "Content-Type: application/problem+json\r\nContent-Length: 131\r\n\r\n" FULL_BODY;

/* Says why and hangs up: a client that is only cut off would not know what to do. */
static void turn_away(struct server *server, int fd)
{
    ssize_t n = send(fd, full_answer, sizeof full_answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)n;
    shutdown(fd, SHUT_RDWR);
    if (atomic_fetch_add_explicit(&server->refused_full, 1, memory_order_relaxed) % 1000 == 0)
        log_warn("api.full", LOG_U64("limit", server->options.connections_max),
                 LOG_U64("refused", atomic_load(&server->refused_full)));
}

static void connection_start(struct door *door, int accepted)
{
    struct server *server = door->server;
    OWN_FD int fd = accepted;

    atomic_fetch_add_explicit(&server->accepted, 1, memory_order_relaxed);
    if (!has_room(server, door->tcp)) {
        turn_away(server, fd);
        return;
    }

    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL) {
        turn_away(server, fd);
        return;
    }
    c->pump = pump_choose(server);
    list_init(&c->due_link);
    peer_read(fd, door->tcp, &c->peer);
    c->fd = TAKE_FD(fd);
    atomic_fetch_add_explicit(&c->pump->connections, 1, memory_order_relaxed);
    if (door->tcp)
        atomic_fetch_add_explicit(&c->pump->connections_tcp, 1, memory_order_relaxed);
    pump_post(c->pump, &c->command, COMMAND_ADD);
}

/* Clients wait in the door's queue meanwhile. Told once a minute: it may last. */
static bool wait_for_room(struct door *door, int error)
{
    uint64_t now_ns = clock_mono_ns();

    if (now_ns >= door->tell_at_ns) {
        log_warn("api.accept", LOG_ERR(-error));
        door->tell_at_ns = now_ns + ACCEPT_TOLD_EVERY_MS * NS_PER_MS;
    }
    return task_sleep_ns(ACCEPT_PAUSE_MS * NS_PER_MS) == 0;
}

/* true: try again; false: the door is to be closed. */
static bool accept_failed(struct door *door, int error)
{
    if (error == EAGAIN)
        return net_wait(door->net, NET_READ, 0) == 0;
    if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM)
        return wait_for_room(door, error);
    if (error == EBADF || error == EINVAL || error == ENOTSOCK) {
        log_error("api.accept", LOG_ERR(-error));
        return false;
    }
    /* What a network gives for a client that is gone already. */
    return true;
}

/* A function of its own: the address of errno must not be kept over a call that parks. */
static __attribute__((noinline)) int accept_one(int fd)
{
    int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    return accepted < 0 ? -errno : accepted;
}

static int door_run(void *arg)
{
    struct door *door = arg;

    /* Not net_accept: that one waits until somebody comes, and a drain must wake us. */
    while (!atomic_load(&door->server->draining)) {
        int fd = accept_one(net_fd(door->net));

        if (fd >= 0)
            connection_start(door, fd);
        else if (!accept_failed(door, -fd))
            break;
        if (task_checkpoint() < 0)
            break;
    }
    event_set(&door->ended);
    return 0;
}

int server_listen(struct server *server, int listening, bool tcp)
{
    OWN_FD int fd = listening;

    if (server->doors_count == SERVER_DOORS_MAX)
        return -E2BIG;
    struct door *door = &server->doors[server->doors_count];
    *door = (struct door){.server = server, .tcp = tcp};
    event_init(&door->ended);

    int r = net_open(fd, &door->net);
    if (r < 0)
        return r;
    TAKE_FD(fd);
    r = group_go(server->group, door_run, door);
    if (r < 0) {
        net_close(TAKE(door->net));
        return r;
    }
    server->doors_count++;
    return 0;
}

static void doors_close(struct server *server)
{
    for (unsigned i = 0; i < server->doors_count; i++) {
        struct door *door = &server->doors[i];

        net_kick(door->net);
        event_wait_shielded(&door->ended);
        net_close(TAKE(door->net));
    }
    server->doors_count = 0;
}

/* ------------------------------------------------------------------------- life */

static int pumps_start(struct server *server, struct group *group)
{
    for (unsigned i = 0; i < server->options.pumps; i++) {
        struct pump *p = &server->pumps[i];

        int r = pump_open(server, p);
        if (r == 0)
            r = group_go_stack(group, pump_run, p, STACK_LARGE);
        if (r < 0) {
            pump_close(p);
            return r;
        }
        server->pumps_count++;
    }
    return 0;
}

int server_open(const struct server_options *options, struct group *group, struct server **ret)
{
    struct server *server = calloc(1, sizeof *server);

    if (server == NULL)
        return -ENOMEM;
    server->options = *options;
    server->group = group;
    event_init(&server->idle);
    mutex_init(&server->watches_lock);
    list_init(&server->watches);
    server->pumps = calloc(options->pumps, sizeof *server->pumps);
    int r = server->pumps == NULL ? -ENOMEM : pumps_start(server, group);
    if (r < 0) {
        server_close(server);
        return r;
    }
    *ret = server;
    return 0;
}

int server_drain(struct server *server, uint64_t deadline_ns)
{
    event_init(&server->idle);
    atomic_store(&server->draining, true);
    doors_close(server);
    watch_wake_all(server);
    while (atomic_load(&server->active) > 0) {
        int r = event_wait(&server->idle, deadline_ns);
        if (r < 0)
            return r;
        event_init(&server->idle);
    }
    return 0;
}

void server_close(struct server *server)
{
    if (server == NULL)
        return;
    atomic_store(&server->draining, true);
    doors_close(server);
    atomic_store(&server->stopping, true);
    for (unsigned i = 0; i < server->pumps_count; i++)
        pump_kick(&server->pumps[i]);
    for (unsigned i = 0; i < server->pumps_count; i++)
        event_wait_shielded(&server->pumps[i].ended);
    for (unsigned i = 0; i < server->pumps_count; i++)
        pump_close(&server->pumps[i]);
    free(server->pumps);
    free(server);
}

/* ------------------------------------------------------------------------- counters */

void server_stats(struct server *server, struct server_stats *ret)
{
    *ret = (struct server_stats){
        .accepted = atomic_load(&server->accepted),
        .refused_full = atomic_load(&server->refused_full),
        .timed_out = atomic_load(&server->timed_out),
        .active = atomic_load(&server->active),
    };
    for (unsigned i = 0; i < server->pumps_count; i++) {
        ret->connections += atomic_load(&server->pumps[i].connections);
        ret->connections_tcp += atomic_load(&server->pumps[i].connections_tcp);
    }
}

static const char *route_method(const struct server *server, unsigned index)
{
    return index == server->options.routes_count
               ? ""
               : method_name(server->options.routes[index].method);
}

static const char *route_pattern(const struct server *server, unsigned index)
{
    return index == server->options.routes_count ? "" : server->options.routes[index].pattern;
}

void server_stats_routes(struct server *server,
                         void (*fn)(void *ctx, const struct server_route_stats *route),
                         void *ctx)
{
    for (unsigned r = 0; r <= server->options.routes_count; r++) {
        struct server_route_stats stats = {.method = route_method(server, r),
                                           .pattern = route_pattern(server, r)};
        uint64_t count = 0;

        for (unsigned i = 0; i < server->pumps_count; i++) {
            struct route_counters *c = &server->pumps[i].counters[r];

            for (unsigned b = 0; b < SERVER_LATENCY_BUCKETS; b++) {
                uint64_t n = atomic_load_explicit(&c->latency[b], memory_order_relaxed);
                stats.latency[b] += n;
                count += n;
            }
            stats.latency_us_total +=
                atomic_load_explicit(&c->latency_us_total, memory_order_relaxed);
        }
        if (count > 0)
            fn(ctx, &stats);
    }
}

void server_stats_statuses(struct server *server,
                           void (*fn)(void *ctx, const char *method, const char *pattern,
                                      int status, uint64_t count),
                           void *ctx)
{
    for (unsigned r = 0; r <= server->options.routes_count; r++) {
        for (unsigned s = 0; s < STATUS_SLOTS; s++) {
            uint64_t count = 0;

            for (unsigned i = 0; i < server->pumps_count; i++)
                count += atomic_load_explicit(&server->pumps[i].counters[r].statuses[s],
                                              memory_order_relaxed);
            if (count > 0)
                fn(ctx, route_method(server, r), route_pattern(server, r), server_statuses[s],
                   count);
        }
    }
}
