/* http_resolve.h: names to addresses, without a thread for each.
 *
 * libcurl as Debian builds it starts a thread for every lookup, and cancelling a transfer that
 * still resolves waits for that thread. So names are resolved here, before a transfer is given
 * to libcurl, and the addresses go along with it.
 *
 * A lookup is a task of its own, in the blocking lane for names, so that whoever asked can be
 * cancelled while the system's resolver is still trying. Those who ask for one name share one
 * lookup, and its answer is kept for a while: a good one HTTP_RESOLVE_TTL, a bad one
 * HTTP_RESOLVE_BAD_TTL, so that a thousand retries of a dead name are one question.
 *
 * R1  at most one lookup of a name is under way.
 * R2  an entry with refs is not freed; one that is pending is not forgotten.
 *
 * One mutex guards all; it is held for a search in a map and never over a lookup. */
#ifndef JOBS_HTTP_RESOLVE_H
#define JOBS_HTTP_RESOLVE_H

#include <netdb.h>
#include <stdint.h>

#define HTTP_RESOLVE_TTL_S 30
#define HTTP_RESOLVE_BAD_TTL_S 5
#define HTTP_RESOLVE_NAMES_MAX 1024 /* kept or asked for at one time */
#define HTTP_RESOLVE_ADDRESSES_MAX 8
#define HTTP_RESOLVE_TEXT_BYTES (HTTP_RESOLVE_ADDRESSES_MAX * 48)

struct group;
struct http_resolver;

/* getaddrinfo(3)'s shape for a name alone: 0 or EAI_*; the list is freed by freeaddrinfo. */
typedef int (*http_lookup_fn)(const char *name, const struct addrinfo *hints,
                              struct addrinfo **ret);

/* Lookups are tasks of group. lookup NULL = the system's. 0 or -ENOMEM. */
int http_resolver_open(struct group *group, http_lookup_fn lookup, struct http_resolver **ret);
/* Nobody may wait in it; parks until the last lookup has ended. NULL is harmless. */
void http_resolver_close(struct http_resolver *resolver);

/* Parks. 0 and *ret "192.0.2.1,[2001:db8::1]"; a positive EAI_* made -EINVAL with *ret_why a
 * static sentence; -EAGAIN: too many names at once; -ENOMEM; or the cancel reason. */
int http_resolve(struct http_resolver *resolver, const char *name,
                 char ret[HTTP_RESOLVE_TEXT_BYTES], const char **ret_why);
/* How many lookups were made; any task. */
uint64_t http_resolver_lookups(const struct http_resolver *resolver);

#endif
