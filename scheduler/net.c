/* net.c: descriptors in the poller.
 *
 * Each direction has one word: 0, READY, or the tag of the parked task. An event writes READY
 * and wakes whom it displaced; a waiter takes READY away before the call is tried again, so an
 * edge that comes in between is seen by that call. Readiness may be claimed that is none
 * (callers loop on EAGAIN), but none is lost.
 *
 * N1  a handle's memory is type-stable until the scheduler stops. The poller's data is {index,
 *     generation}; an event of an older generation is dropped.
 * N2  a TCP socket whose last read was short has nothing left: what comes after is an edge, so
 *     the next read waits for that first, which saves a call that would have said EAGAIN. Not
 *     so once the peer is done writing or sent urgent data: the end may have come in one edge
 *     with the data, and a read stops short at the urgent byte. Other kinds of descriptors give
 *     less than there is for reasons of their own.
 *
 * N3  the descriptor is closed by who takes the last reference: no call is inside then, so its
 *     number cannot be reused under one. */
#include "scheduler/net.h"

#include "base/err.h"
#include "scheduler/core.h"
#include "scheduler/poller.h"
#include "scheduler/processor.h"
#include "scheduler/task.h"
#include "scheduler/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CHUNK_NETS 256
#define CHUNKS_MAX 4096
#define READY 1U
#define CLOSING 1U
#define REF 2U

struct net {
    _Atomic uintptr_t sides[2];
    _Atomic uint32_t refs; /* REF each, and CLOSING */
    _Atomic uint32_t generation;
    uint32_t index;
    int fd;
    bool owned;
    _Atomic bool drained;  /* N2; of who reads */
    _Atomic bool special;  /* N2 does not hold (any more) */
    struct net *next_free; /* guarded by nets.lock */
};

static struct {
    _Atomic uint32_t lock; /* guards all below */
    struct net *_Atomic chunks[CHUNKS_MAX];
    uint32_t chunks_len;
    struct net *free;
} nets;

/* Under the lock. */
static int chunk_new(void)
{
    struct net *chunk;

    if (nets.chunks_len == CHUNKS_MAX)
        return -ENOSPC;
    if ((chunk = calloc(CHUNK_NETS, sizeof *chunk)) == NULL)
        return -ENOMEM;
    for (uint32_t i = CHUNK_NETS; i-- > 0;) {
        chunk[i].index = nets.chunks_len * CHUNK_NETS + i;
        chunk[i].next_free = nets.free;
        nets.free = &chunk[i];
    }
    atomic_store(&nets.chunks[nets.chunks_len++], chunk);
    return 0;
}

static int net_alloc(struct net **ret)
{
    int r = 0;

    spin_lock(&nets.lock);
    if (nets.free == NULL)
        r = chunk_new();
    if (r == 0) {
        *ret = nets.free;
        nets.free = (*ret)->next_free;
    }
    spin_unlock(&nets.lock);
    return r;
}

static void net_free(struct net *n)
{
    atomic_fetch_add(&n->generation, 1);
    spin_lock(&nets.lock);
    n->next_free = nets.free;
    nets.free = n;
    spin_unlock(&nets.lock);
}

void net_slabs_free(void)
{
    for (uint32_t i = 0; i < nets.chunks_len; i++)
        free(nets.chunks[i]);
    nets.chunks_len = 0;
    nets.free = NULL;
}

static bool net_hold(struct net *n)
{
    uint32_t refs = atomic_load(&n->refs);

    do {
        if ((refs & CLOSING) != 0)
            return false;
    } while (!atomic_compare_exchange_weak(&n->refs, &refs, refs + REF));
    return true;
}

static void net_release(struct net *n)
{
    if (atomic_fetch_sub(&n->refs, REF) != (REF | CLOSING))
        return;
    if (n->owned)
        close(n->fd);
    net_free(n);
}

static void deliver(struct net *n, enum net_direction side, int result, struct task_list *ret)
{
    uintptr_t before = atomic_exchange(&n->sides[side], READY);
    struct task *t;

    if (before > READY && wait_tag_finish(before, result, &t))
        task_list_push(ret, t);
}

void net_event(uint64_t data, uint32_t events, struct task_list *ret)
{
    uint32_t index = (uint32_t)(data >> 32);
    struct net *n = &atomic_load(&nets.chunks[index / CHUNK_NETS])[index % CHUNK_NETS];

    if (atomic_load(&n->generation) != (uint32_t)data)
        return;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0)
        atomic_store(&n->special, true);
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        deliver(n, NET_READ, 0, ret);
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
        deliver(n, NET_WRITE, 0, ret);
}

static bool is_tcp(int fd)
{
    int protocol = 0;
    socklen_t len = sizeof protocol;

    return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 &&
           protocol == IPPROTO_TCP;
}

static int start(int fd, bool owned, struct net **ret)
{
    struct net *n = NULL;
    int r = net_alloc(&n);

    if (r < 0)
        return r;
    n->fd = fd;
    n->owned = owned;
    set_relaxed(&n->drained, false);
    set_relaxed(&n->special, !is_tcp(fd));
    atomic_store(&n->sides[NET_READ], 0);
    atomic_store(&n->sides[NET_WRITE], 0);
    atomic_store(&n->refs, REF);
    r = poller_add(fd, (uint64_t)n->index << 32 | atomic_load(&n->generation));
    if (r < 0) {
        net_free(n);
        return r;
    }
    atomic_fetch_add(&sched.watched, 1);
    *ret = n;
    return 0;
}

int net_watch(int fd, struct net **ret)
{
    return start(fd, false, ret);
}

int net_open(int fd, struct net **ret)
{
    int status = fcntl(fd, F_GETFL), flags = fcntl(fd, F_GETFD);

    if (status < 0 || flags < 0)
        return -errno_now();
    if ((status & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, status | O_NONBLOCK) < 0)
        return -errno_now();
    if ((flags & FD_CLOEXEC) == 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
        return -errno_now();
    return start(fd, true, ret);
}

void net_close(struct net *n)
{
    struct task_list woken = {0};

    if (n == NULL)
        return;
    assert_always((atomic_fetch_or(&n->refs, CLOSING) & CLOSING) == 0);
    deliver(n, NET_READ, -EBADF, &woken);
    deliver(n, NET_WRITE, -EBADF, &woken);
    poller_remove(n->fd);
    atomic_fetch_sub(&sched.watched, 1);
    net_release(n);
    processor_ready_list(&woken);
}

int net_fd(const struct net *n)
{
    return n->fd;
}

void net_kick(struct net *n)
{
    struct task_list woken = {0};

    deliver(n, NET_READ, 0, &woken);
    /* One task at most: like any other that is woken, it comes next here and tells nobody. */
    if (woken.head != NULL)
        processor_ready(woken.head);
}

static int park(struct net *n, enum net_direction side, struct wait *w, uint64_t deadline_ns)
{
    uintptr_t tag = wait_tag(w), ready = READY;

    /* A close that came before the tag could be seen has woken nobody. */
    if ((atomic_load(&n->refs) & CLOSING) != 0 && wait_claim(w))
        return -EBADF;
    int r = wait_park_outside(w, side == NET_READ ? "net read" : "net write", n, deadline_ns,
                              false);
    if (r < 0)
        atomic_compare_exchange_strong(&n->sides[side], &tag, 0);
    else
        atomic_compare_exchange_strong(&n->sides[side], &ready, 0);
    return r;
}

static int wait_held(struct net *n, enum net_direction side, uint64_t deadline_ns)
{
    for (;;) {
        uintptr_t word = atomic_load(&n->sides[side]);
        struct wait w;

        if ((atomic_load(&n->refs) & CLOSING) != 0)
            return -EBADF;
        if (word == READY) {
            if (atomic_compare_exchange_strong(&n->sides[side], &word, 0))
                return task_checkpoint();
            continue;
        }
        assert_always(word == 0); /* one waiter a direction */
        wait_begin(&w);
        if (atomic_compare_exchange_strong(&n->sides[side], &word, wait_tag(&w)))
            return park(n, side, &w, deadline_ns);
    }
}

int net_wait(struct net *n, enum net_direction direction, uint64_t deadline_ns)
{
    if (!net_hold(n))
        return -EBADF;
    /* The caller may read by itself, and not all of it. */
    if (direction == NET_READ)
        set_relaxed(&n->drained, false);
    int r = wait_held(n, direction, deadline_ns);
    net_release(n);
    return r;
}

/* N2. At the deadline the read itself tells whether there is something. */
static int wait_if_drained(struct net *n, uint64_t deadline_ns)
{
    if (!get_relaxed(&n->drained) || atomic_load(&n->special))
        return 0;
    set_relaxed(&n->drained, false);
    int r = wait_held(n, NET_READ, deadline_ns);
    return r == -ETIMEDOUT ? 0 : r;
}

static ssize_t read_some(struct net *n, void *data, size_t len, uint64_t deadline_ns)
{
    ssize_t got = 0;
    int r = wait_if_drained(n, deadline_ns);

    while (r == 0 && (got = read(n->fd, data, len)) < 0) {
        int error = errno_now();
        if (error == EAGAIN)
            r = wait_held(n, NET_READ, deadline_ns);
        else if (error != EINTR)
            r = -error;
    }
    if (r < 0)
        return r;
    set_relaxed(&n->drained, got > 0 && (size_t)got < len);
    return got;
}

ssize_t net_read(struct net *n, void *data, size_t len, uint64_t deadline_ns)
{
    int r = task_checkpoint();

    if (r < 0)
        return r;
    if (!net_hold(n))
        return -EBADF;
    ssize_t got = read_some(n, data, len, deadline_ns);
    net_release(n);
    task_spend();
    return got;
}

static ssize_t write_all(struct net *n, const char *data, size_t len, uint64_t deadline_ns)
{
    size_t done = 0;

    while (done < len) {
        ssize_t put = write(n->fd, data + done, len - done);
        int error = put < 0 ? errno_now() : 0, r = 0;
        if (put >= 0)
            done += (size_t)put;
        else if (error == EAGAIN)
            r = wait_held(n, NET_WRITE, deadline_ns);
        else if (error != EINTR)
            r = -error;
        if (r < 0)
            return r;
    }
    return (ssize_t)done;
}

ssize_t net_write(struct net *n, const void *data, size_t len, uint64_t deadline_ns)
{
    int r = task_checkpoint();

    if (r < 0)
        return r;
    if (!net_hold(n))
        return -EBADF;
    ssize_t put = write_all(n, data, len, deadline_ns);
    net_release(n);
    task_spend();
    return put;
}

int net_accept(struct net *n, struct sockaddr *ret_addr, socklen_t *ret_len,
               uint64_t deadline_ns)
{
    int r = task_checkpoint(), fd = -1;

    if (r < 0)
        return r;
    if (!net_hold(n))
        return -EBADF;
    while ((fd = accept4(n->fd, ret_addr, ret_len, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0) {
        int error = errno_now();
        if (error == EINTR || error == ECONNABORTED)
            continue;
        r = error == EAGAIN ? wait_held(n, NET_READ, deadline_ns) : -error;
        if (r < 0)
            break;
    }
    net_release(n);
    task_spend();
    return fd >= 0 ? fd : r;
}

/* Until the connection stands or failed. A socket that was never connected looks writable to
 * the poller, so a wake may be early: poll tells. */
static int wait_connected(struct net *n, uint64_t deadline_ns)
{
    int error = 0;
    socklen_t len = sizeof error;
    struct pollfd state = {.fd = n->fd, .events = POLLOUT};

    do {
        int r = wait_held(n, NET_WRITE, deadline_ns);
        if (r < 0)
            return r;
    } while (poll(&state, 1, 0) == 0);
    return getsockopt(n->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? -errno_now() : -error;
}

int net_connect(struct net *n, const struct sockaddr *addr, socklen_t len, uint64_t deadline_ns)
{
    int r = task_checkpoint();

    if (r < 0)
        return r;
    if (!net_hold(n))
        return -EBADF;
    if (connect(n->fd, addr, len) < 0)
        r = -errno_now();
    if (r == -EINPROGRESS || r == -EINTR)
        r = wait_connected(n, deadline_ns);
    net_release(n);
    return r;
}
