#include "daemon/doors.h"

#include "api/api.h"
#include "base/err.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

static int take_activated(struct doors *doors, char *why)
{
    int count = sd_listen_fds(1);

    for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + count; fd++) {
        int *door = sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0     ? &doors->unix_fd
                    : sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0 ? &doors->tcp_fd
                                                                      : NULL;
        if (door == NULL || *door >= 0) {
            snprintf(why, CONF_WHY_BYTES,
                     "socket %d from the service manager: takes one listening stream socket of "
                     "each family, UNIX and TCP",
                     fd);
            return -EINVAL;
        }
        fcntl(fd, F_SETFL, O_NONBLOCK);
        *door = fd;
    }
    return count < 0 ? count : 0;
}

static int open_unix(const struct conf *conf, struct doors *doors, char *why)
{
    int fd = api_listen_unix(conf->socket, (unsigned)strtoul(conf->socket_mode, NULL, 8));
    if (fd < 0) {
        snprintf(why, CONF_WHY_BYTES, "socket %.200s: %s", conf->socket,
                 fd == -EADDRINUSE     ? "another daemon answers there"
                 : fd == -ENAMETOOLONG ? "at most 107 characters; name a shorter one"
                 : fd == -EEXIST       ? "is there, and is no socket"
                                       : err_text(fd));
        return fd;
    }
    doors->unix_fd = fd;
    doors->unix_ours = true;
    return 0;
}

bool doors_address_parse(const char *text, struct doors_address *ret)
{
    const char *colon = strrchr(text, ':');
    uint64_t port = 0;

    if (colon == NULL || (size_t)(colon - text) >= sizeof ret->host ||
        str_u64(colon + 1, strlen(colon + 1), &port) < 0 || port > 65535)
        return false;
    memcpy(ret->host, text, (size_t)(colon - text));
    ret->host[colon - text] = '\0';
    ret->port = (uint16_t)port;
    return api_is_address(ret->host);
}

static int open_tcp(const struct conf *conf, struct doors *doors, char *why)
{
    struct doors_address address;
    int fd = doors_address_parse(conf->listen, &address)
                 ? api_listen_tcp(address.host, address.port)
                 : -EINVAL;

    if (fd < 0) {
        snprintf(why, CONF_WHY_BYTES, "listen = %.100s: %s", conf->listen, err_text(fd));
        return fd;
    }
    doors->tcp_fd = fd;
    return 0;
}

union address {
    struct sockaddr any;
    struct sockaddr_un local;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* The kernel knows: a socket may have been handed over, and a port have been left to it. */
static void learn_names(struct doors *doors)
{
    union address name = {0};
    socklen_t len = sizeof name;
    char host[INET6_ADDRSTRLEN] = "";

    if (doors->unix_fd >= 0 && getsockname(doors->unix_fd, &name.any, &len) == 0)
        snprintf(doors->unix_path, sizeof doors->unix_path, "%.108s", name.local.sun_path);
    name = (union address){0};
    len = sizeof name;
    if (doors->tcp_fd < 0 || getsockname(doors->tcp_fd, &name.any, &len) < 0)
        return;
    bool six = name.any.sa_family == AF_INET6;
    inet_ntop(name.any.sa_family, six ? (void *)&name.v6.sin6_addr : (void *)&name.v4.sin_addr,
              host, sizeof host);
    snprintf(doors->tcp_address, sizeof doors->tcp_address, six ? "[%s]:%u" : "%s:%u", host,
             ntohs(six ? name.v6.sin6_port : name.v4.sin_port));
}

int doors_open(const struct conf *conf, struct doors *ret, char *why)
{
    *ret = (struct doors){.unix_fd = -1, .tcp_fd = -1};

    int r = take_activated(ret, why);
    if (r == 0 && ret->unix_fd < 0 && conf->socket[0] != '\0')
        r = open_unix(conf, ret, why);
    if (r == 0 && ret->tcp_fd < 0 && conf->listen[0] != '\0')
        r = open_tcp(conf, ret, why);
    if (r == 0 && ret->unix_fd < 0 && ret->tcp_fd < 0) {
        snprintf(why, CONF_WHY_BYTES, "no door: set socket or listen");
        r = -EINVAL;
    }
    if (r < 0)
        doors_close(ret, conf);
    else
        learn_names(ret);
    return r;
}

void doors_close(struct doors *doors, const struct conf *conf)
{
    if (doors->unix_fd >= 0)
        close(doors->unix_fd);
    if (doors->tcp_fd >= 0)
        close(doors->tcp_fd);
    if (doors->unix_ours)
        unlink(conf->socket);
    *doors = (struct doors){.unix_fd = -1, .tcp_fd = -1};
}
