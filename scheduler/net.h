/* net.h: descriptors that wait in the poller: sockets, pipes, pidfds, eventfds, signalfds, and
 * other epolls (libmicrohttpd's, libcurl's). Registered once, edge-triggered, both directions.
 *
 * A wake is a hint: callers loop until the call itself answers EAGAIN. At most one task waits
 * for each direction. Handles are counted: net_close makes waiters return -EBADF, and the
 * descriptor is closed only when the last call on it has left. */
#ifndef SCHEDULER_NET_H
#define SCHEDULER_NET_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct net;

enum net_direction { NET_READ, NET_WRITE };

/* Takes fd (made non-blocking, close-on-exec) on success. 0, -EPERM for files that cannot be
 * polled, -ENOMEM, -ENOSPC at the limit of watches; the descriptor stays the caller's then. Any
 * task. */
int net_open(int fd, struct net **ret);
/* As net_open, but the descriptor is only watched: net_close does not close it. */
int net_watch(int fd, struct net **ret);
/* NULL is harmless. Any task. The caller's handle is gone after. */
void net_close(struct net *n);
int net_fd(const struct net *n);

/* 0 = try now, -ETIMEDOUT at deadline_ns (0 = none), the cancel reason, -EBADF when closed. */
int net_wait(struct net *n, enum net_direction direction, uint64_t deadline_ns);
/* Lets the present or next net_wait for reading return 0, as if the descriptor had become
 * readable. No system call unless a thread must be woken. Any thread that knows the handle
 * open. */
void net_kick(struct net *n);

/* read(2), write(2), accept4(2), connect(2) that park. read and accept as the call itself;
 * write writes all. */
ssize_t net_read(struct net *n, void *data, size_t len, uint64_t deadline_ns);
ssize_t net_write(struct net *n, const void *data, size_t len, uint64_t deadline_ns);
int net_accept(struct net *n, struct sockaddr *ret_addr, socklen_t *ret_len,
               uint64_t deadline_ns); /* a descriptor, to be owned, or a negative errno */
int net_connect(struct net *n, const struct sockaddr *addr, socklen_t len,
                uint64_t deadline_ns);

#endif
