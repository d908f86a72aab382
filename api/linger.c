/* linger.c: an answer that is given before the request was read, as to a body that is too
 * large, must not be lost. When a socket is closed with bytes unread, the kernel resets the
 * connection, and a client that is busy sending sees the reset and not the answer. So a task
 * holds on to the socket and reads what still comes to nowhere, until the client has seen the
 * answer and closes, or has had enough time. */
#include "api/server_parts.h"

#include "base/clock.h"
#include "base/own.h"

#include <fcntl.h>

#define LINGER_MS 2000
#define LINGER_BYTES_MAX (UINT64_C(64) << 20)

static int linger(void *arg)
{
    struct net *net = arg;
    char nowhere[8192];
    uint64_t bytes = 0, deadline_ns = clock_mono_ns() + LINGER_MS * NS_PER_MS;
    ssize_t n;

    do {
        n = net_read(net, nowhere, sizeof nowhere, deadline_ns);
        bytes += n > 0 ? (uint64_t)n : 0;
    } while (n > 0 && bytes < LINGER_BYTES_MAX);
    net_close(net);
    return 0;
}

void linger_start(struct pump *pump, int fd)
{
    struct net *net;
    OWN_FD int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    /* It is a courtesy: when it cannot be had, the client may see the reset. */
    if (copy < 0 || net_open(copy, &net) < 0)
        return;
    TAKE_FD(copy);
    if (group_go(&pump->requests, linger, net) < 0)
        net_close(net);
}
