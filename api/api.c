#include "api/api.h"

#include "api/api_parts.h"
#include "api/auth.h"
#include "api/wire.h"
#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/rand.h"
#include "scheduler/block.h"
#include "scheduler/scheduler.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 1024

/* ------------------------------------------------------------------------- listening */

static int unix_address(const char *path, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof ret->sun_path)
        return -ENAMETOOLONG;
    memcpy(ret->sun_path, path, strlen(path) + 1);
    return 0;
}

/* A socket file that a crash left behind goes; one that somebody listens at stays. */
static int remove_stale(const char *path, const struct sockaddr_un *address)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    OWN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ||
        errno != ECONNREFUSED)
        return -EADDRINUSE;
    return unlink(path) < 0 ? -errno : 0;
}

int api_listen_unix(const char *path, unsigned mode)
{
    struct sockaddr_un address;

    int r = unix_address(path, &address);
    if (r == 0)
        r = remove_stale(path, &address);
    if (r < 0)
        return r;
    OWN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* Not listening yet: nobody gets in before the permissions are what they shall be. */
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        chmod(path, mode) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
        return -errno;
    return TAKE_FD(fd);
}

union tcp_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* The length of the address, or -EINVAL. */
static int tcp_address(const char *text, uint16_t port, union tcp_address *ret)
{
    char plain[INET6_ADDRSTRLEN];
    size_t len = strlen(text);
    bool brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';

    if (strcmp(text, "localhost") == 0)
        text = "127.0.0.1", len = 9;
    if (brackets)
        text++, len -= 2;
    if (len >= sizeof plain)
        return -EINVAL;
    memcpy(plain, text, len);
    plain[len] = '\0';
    *ret = (union tcp_address){.any.sa_family = AF_UNSPEC};
    if (inet_pton(AF_INET, plain, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(port);
        return sizeof ret->v4;
    }
    if (inet_pton(AF_INET6, plain, &ret->v6.sin6_addr) != 1)
        return -EINVAL;
    ret->v6.sin6_family = AF_INET6;
    ret->v6.sin6_port = htons(port);
    return sizeof ret->v6;
}

int api_listen_tcp(const char *addr, uint16_t port)
{
    union tcp_address address;
    int on = 1, len = tcp_address(addr, port, &address);

    if (len < 0)
        return len;
    OWN_FD int fd =
        socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, &address.any, (socklen_t)len) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
        return -errno;
    /* Accepted sockets inherit it: small answers leave at once. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return TAKE_FD(fd);
}

/* The literal address that fd is bound to, as a Host header writes it; "" when it is all. */
static void bound_name(int fd, char ret[INET6_ADDRSTRLEN + 2])
{
    union tcp_address address;
    socklen_t len = sizeof address;
    char text[INET6_ADDRSTRLEN] = "";

    ret[0] = '\0';
    if (fd < 0 || getsockname(fd, &address.any, &len) < 0)
        return;
    if (address.any.sa_family == AF_INET && address.v4.sin_addr.s_addr != INADDR_ANY) {
        inet_ntop(AF_INET, &address.v4.sin_addr, text, sizeof text);
        snprintf(ret, INET6_ADDRSTRLEN + 2, "%s", text);
    } else if (address.any.sa_family == AF_INET6 &&
               !IN6_IS_ADDR_UNSPECIFIED(&address.v6.sin6_addr)) {
        inet_ntop(AF_INET6, &address.v6.sin6_addr, text, sizeof text);
        snprintf(ret, INET6_ADDRSTRLEN + 2, "[%s]", text);
    }
}

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
    char bound[INET6_ADDRSTRLEN + 2];

    bound_name(api->options.tcp_fd, bound);
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

int api_token_file_make(const char *path)
{
    unsigned char secret[32];
    char text[2 * sizeof secret + 2];

    /* Whoever made it first, ourselves at an earlier start included, has the say. */
    if (access(path, F_OK) == 0)
        return 0;
    int r = rand_secret(secret, sizeof secret);
    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof secret; i++)
        snprintf(text + 2 * i, 3, "%02x", secret[i]);
    text[2 * sizeof secret] = '\n';
    /* Whole or not at all: an empty one of a crash would lock everybody out. */
    return io_file_replace(AT_FDCWD, path, text, 2 * sizeof secret + 1, 0600);
}
