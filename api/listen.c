/* listen.c: the two sockets at which the world knocks. */
#include "api/listen.h"
#include "api/api.h"

#include "base/own.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 1024

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

bool api_is_address(const char *addr)
{
    union tcp_address address;
    return tcp_address(addr, 0, &address) > 0;
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

void listen_name(int fd, char ret[LISTEN_NAME_BYTES])
{
    union tcp_address address;
    socklen_t len = sizeof address;
    char text[INET6_ADDRSTRLEN] = "";

    ret[0] = '\0';
    if (fd < 0 || getsockname(fd, &address.any, &len) < 0)
        return;
    if (address.any.sa_family == AF_INET && address.v4.sin_addr.s_addr != INADDR_ANY) {
        inet_ntop(AF_INET, &address.v4.sin_addr, text, sizeof text);
        snprintf(ret, LISTEN_NAME_BYTES, "%s", text);
    } else if (address.any.sa_family == AF_INET6 &&
               !IN6_IS_ADDR_UNSPECIFIED(&address.v6.sin6_addr)) {
        inet_ntop(AF_INET6, &address.v6.sin6_addr, text, sizeof text);
        snprintf(ret, LISTEN_NAME_BYTES, "[%s]", text);
    }
}
