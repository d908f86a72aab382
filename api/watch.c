/* watch.c: waiting for a job on behalf of a client that may hang up meanwhile.
 *
 * The library does not look at a suspended connection. So the waiting itself is done by a child
 * task, and the request's own task watches the socket: when the client hangs up or the server
 * drains, it ends the child by cancellation. Both are parked all the time: two small stacks, no
 * thread, no polling.
 *
 * What hanging up looks like: at a UNIX socket a full close. At TCP a half-closed connection
 * cannot be told from a closed one before something is sent, so a client that says it sends no
 * more counts as gone, during such waits only. */
#include "api/server_parts.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

static int watched(void *arg)
{
    struct watch *w = arg;

    w->fn(w->arg);
    atomic_store(&w->done, true);
    net_kick(w->net);
    return 0;
}

static bool peer_is_gone(int fd, bool tcp)
{
    static const struct timespec now = {0};
    struct pollfd p = {.fd = fd, .events = tcp ? POLLRDHUP : 0};

    return ppoll(&p, 1, &now, NULL) > 0;
}

/* Until the child is done, or there is a reason to end it. */
static int watch_socket(struct watch *w, const struct request_parts *parts)
{
    while (!atomic_load(&w->done)) {
        if (atomic_load(&parts->server->draining))
            return -ECANCELED;
        if (peer_is_gone(net_fd(w->net), parts->tcp))
            return -EPIPE;

        int r = net_wait(w->net, NET_READ, 0);
        if (r < 0)
            return r;
    }
    return 0;
}

static void list_watch(struct server *server, struct watch *w, bool add)
{
    mutex_lock_shielded(&server->watches_lock);
    if (add)
        list_push_back(&server->watches, &w->link);
    else
        list_remove(&w->link);
    mutex_unlock(&server->watches_lock);
}

static int watch_run(struct watch *w, const struct request_parts *parts)
{
    struct group g;

    group_open(&g, "waits for a client");
    int r = group_go(&g, watched, w);
    if (r == 0) {
        list_watch(parts->server, w, true);
        r = watch_socket(w, parts);
        list_watch(parts->server, w, false);
    }
    if (r < 0)
        group_cancel(&g, -ECANCELED);
    group_close(&g);
    /* It may have come to its end while it was being cancelled. */
    return r < 0 ? r : 0;
}

int request_wait(struct request *q, int (*fn)(void *arg), void *arg)
{
    const struct request_parts *parts = q->parts;
    struct watch w = {.fn = fn, .arg = arg};

    list_init(&w.link);
    /* A descriptor of our own: the library closes its one when it likes once we stream. */
    OWN_FD int fd = fcntl(parts->fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return -errno;
    int r = net_open(fd, &w.net);
    if (r < 0)
        return r;
    TAKE_FD(fd);
    r = watch_run(&w, parts);
    net_close(w.net);
    return r;
}

void watch_wake_all(struct server *server)
{
    mutex_lock_shielded(&server->watches_lock);
    list_each (node, &server->watches)
        net_kick(container_of(node, struct watch, link)->net);
    mutex_unlock(&server->watches_lock);
}
