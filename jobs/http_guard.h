/* http_guard.h: which addresses a job may connect to. A job is written by somebody who may not
 * be trusted with the network the daemon stands in, so addresses that lead inside are refused
 * unless the administrator's [http] allow names them.
 *
 * It looks at the address that is about to be connected, not at names, and is asked by the
 * function that makes the socket: a name that resolves differently the second time, a redirect,
 * 0x7f000001, an IPv6 form of an IPv4 address, all come to an address here. */
#ifndef JOBS_HTTP_GUARD_H
#define JOBS_HTTP_GUARD_H

#include <sys/socket.h>

struct http_guard;

/* allow: CIDRs ("10.1.0.0/16", "::1/128", an address alone), NULL-terminated; NULL = none.
 * 0; -ENOMEM; -EINVAL with *ret_bad (may be NULL) the one that is none. */
int http_guard_new(char *const *allow, struct http_guard **ret, const char **ret_bad);
void http_guard_free(struct http_guard *guard);

struct http_guard_range {
    const char *cidr; /* "127.0.0.0/8" */
    const char *what; /* "loopback" */
};

/* NULL: go ahead. Else the range that forbids it, of static storage. Any thread. */
const struct http_guard_range *http_guard_check(const struct http_guard *guard,
                                                const struct sockaddr *addr);

#endif
