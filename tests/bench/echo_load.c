/* The other end of the echo works: CONNECTIONS loopback connections, each with one message of
 * 64 bytes in flight, for SECONDS; one thread and an epoll of its own, so that the server's
 * scheduler is not measured with itself.
 *
 *     echo_load ID PORT CONNECTIONS SECONDS       prints "ID<TAB>value<TAB>k/s"
 *     echo_load -serve                            the bare epoll loop that servers are held to
 */
#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_BYTES 64
#define EVENTS 512
#define CONNECTIONS_MAX 20000
#define WARM_NS (NS_PER_S / 2)

static void must(int ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

static void watch(int epoll, int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

    must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0, "epoll_ctl");
}

static int dial(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(fd >= 0, "socket");
    while (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        must(errno == EAGAIN || errno == EINTR, "connect");
    must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0, "TCP_NODELAY");
    must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "O_NONBLOCK");
    return fd;
}

/* Answers everything that has come back whole; how many messages that was. */
static unsigned answer(int fd, unsigned *got, const char *message)
{
    char data[4096];
    ssize_t n = read(fd, data, sizeof data);
    unsigned whole = 0;

    if (n < 0 && errno == EAGAIN)
        return 0;
    must(n > 0, "read");
    for (*got += (unsigned)n; *got >= MESSAGE_BYTES; *got -= MESSAGE_BYTES, whole++)
        must(write(fd, message, MESSAGE_BYTES) == MESSAGE_BYTES, "write");
    return whole;
}

static void load(const char *id, int port, int count, uint64_t seconds)
{
    static unsigned got[CONNECTIONS_MAX + 64];
    struct epoll_event events[EVENTS];
    char message[MESSAGE_BYTES];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t rounds = 0;

    memset(message, 'x', sizeof message);
    for (int i = 0; i < count; i++) {
        int fd = dial(port);

        must(fd < CONNECTIONS_MAX + 64, "too many descriptors");
        watch(epoll, fd);
        must(write(fd, message, sizeof message) == MESSAGE_BYTES, "write");
    }
    uint64_t start_ns = clock_mono_ns() + WARM_NS, end_ns = start_ns + seconds * NS_PER_S,
             now_ns;
    while ((now_ns = clock_mono_ns()) < end_ns) {
        int n = epoll_wait(epoll, events, EVENTS, 1000);

        must(n > 0, "the server is silent");
        for (int i = 0; i < n; i++) {
            unsigned whole = answer(events[i].data.fd, &got[events[i].data.fd], message);

            rounds += now_ns >= start_ns ? whole : 0;
        }
    }
    printf("%s\t%.3f\tk/s\n", id, (double)rounds * 1e6 / (double)(now_ns - start_ns));
}

static void serve(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), epoll = epoll_create1(0);
    struct epoll_event events[EVENTS];
    char data[256];

    must(bind(listener, (struct sockaddr *)&at, len) == 0 && listen(listener, 4096) == 0,
         "listen");
    must(getsockname(listener, (struct sockaddr *)&at, &len) == 0, "getsockname");
    watch(epoll, listener);
    watch(epoll, STDIN_FILENO);
    printf("READY %d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            ssize_t put, bytes;

            if (fd == STDIN_FILENO)
                return;
            if (fd == listener) {
                watch(epoll, accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
                continue;
            }
            bytes = read(fd, data, sizeof data);
            put = bytes > 0 ? write(fd, data, (size_t)bytes) : -1;
            if (put < 0)
                close(fd);
        }
    }
}

int main(int argc, char **argv)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (argc == 2 && strcmp(argv[1], "-serve") == 0) {
        serve();
        return 0;
    }
    if (argc != 5 || atoi(argv[3]) < 1 || atoi(argv[3]) > CONNECTIONS_MAX) {
        fprintf(stderr, "usage: echo_load ID PORT CONNECTIONS SECONDS | -serve\n");
        return 2;
    }
    load(argv[1], atoi(argv[2]), atoi(argv[3]), strtoull(argv[4], NULL, 10));
    return 0;
}
