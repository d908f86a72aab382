#include "api/api.h"

#include "api/api_parts.h"
#include "api/auth.h"
#include "api/listen.h"
#include "api/wire.h"
#include "base/err.h"
#include "base/log.h"
#include "base/own.h"
#include "scheduler/block.h"
#include "scheduler/scheduler.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------- life */

static void fill_defaults(struct api_options *o)
{
    unsigned processors = scheduler_processors();

    if (o->connections_max == 0)
        o->connections_max = API_CONNECTIONS;
    if (o->pumps == 0)
        o->pumps = processors;
    if (o->pumps > API_PUMPS_MAX)
        o->pumps = API_PUMPS_MAX;
    if (o->body_bytes_max == 0)
        o->body_bytes_max = WIRE_BODY_BYTES_MAX;
    if (o->receive_timeout_ms <= 0)
        o->receive_timeout_ms = API_TIMEOUT_MS;
    if (o->send_timeout_ms <= 0)
        o->send_timeout_ms = API_TIMEOUT_MS;
    if (o->version == NULL)
        o->version = STINT_VERSION;
}

static int open_auth(struct api *api, char *why)
{
    char bound[LISTEN_NAME_BYTES];

    listen_name(api->options.tcp_fd, bound);
    block_enter(BLOCK_FILE);
    int r = auth_open(&api->options, bound[0] != '\0' ? bound : NULL, &api->auth, why);
    block_leave();
    return r;
}

static int open_server(struct api *api, struct group *group)
{
    const struct api_options *o = &api->options;
    const struct server_options options = {
        .routes = routes_table,
        .routes_count = routes_count,
        .app = api,
        .auth = api->auth,
        .connections_max = o->connections_max,
        .pumps = o->pumps,
        .body_bytes_max = o->body_bytes_max,
        .receive_timeout_ms = o->receive_timeout_ms,
        .send_timeout_ms = o->send_timeout_ms,
    };
    return server_open(&options, group, &api->server);
}

static int open_doors(struct api *api)
{
    struct api_options *o = &api->options;
    int r = 0;

    if (o->unix_fd >= 0)
        r = server_listen(api->server, TAKE_FD(o->unix_fd), false);
    if (r == 0 && o->tcp_fd >= 0)
        r = server_listen(api->server, TAKE_FD(o->tcp_fd), true);
    return r;
}

int api_open(const struct api_options *options, struct group *group, struct api **ret,
             char *why)
{
    OWN_FD int unix_fd = options->unix_fd;
    OWN_FD int tcp_fd = options->tcp_fd;
    struct api *api = calloc(1, sizeof *api);

    why[0] = '\0';
    if (api == NULL)
        return -ENOMEM;
    api->options = *options;
    fill_defaults(&api->options);
    int r = open_auth(api, why);
    if (r == 0)
        r = open_server(api, group);
    if (r == 0) {
        /* From here on they are the server's, also when a door cannot be opened. */
        TAKE_FD(unix_fd);
        TAKE_FD(tcp_fd);
        r = open_doors(api);
        own_close(&api->options.unix_fd);
        own_close(&api->options.tcp_fd);
    }
    if (r < 0) {
        if (why[0] == '\0')
            snprintf(why, API_WHY_BYTES, "cannot open the doors: %s", err_text(r));
        api_close(api);
        return r;
    }
    *ret = api;
    return 0;
}

int api_drain(struct api *api, uint64_t deadline_ns)
{
    int r = server_drain(api->server, deadline_ns);

    if (r < 0) {
        struct server_stats stats;
        server_stats(api->server, &stats);
        log_warn("api.drain", LOG_U64("requests_left", stats.active), LOG_ERR(r));
    }
    return r;
}

void api_close(struct api *api)
{
    if (api == NULL)
        return;
    server_close(api->server);
    auth_close(api->auth);
    free(api);
}

int api_reload(struct api *api, char *why)
{
    block_enter(BLOCK_FILE);
    int r = auth_load(api->auth, why);
    block_leave();
    return r;
}
