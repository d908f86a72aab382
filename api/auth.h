/* auth.h: who may. At the UNIX socket the kernel names the caller's user; at the TCP door a
 * bearer token does. Whoever calls, requests that a browser sends on behalf of a page that is
 * not ours are refused, and so are names in Host that we do not go by: without the second, a
 * page could make its own name resolve to 127.0.0.1 (DNS rebinding) and pass the first.
 *
 * The token file has one token a line, of at least AUTH_TOKEN_BYTES_MIN characters, and behind
 * a space what it may do: monitor, read, write or admin (the default); # begins a comment. All
 * tokens are compared, each in constant time, whichever matches first. */
#ifndef API_AUTH_H
#define API_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTH_TOKENS_MAX 256
#define AUTH_TOKEN_BYTES_MIN 16
#define AUTH_TOKEN_BYTES_MAX 256
#define AUTH_FILE_BYTES_MAX (64u << 10)

/* Each may do what those before it may. */
enum scope { SCOPE_OPEN, SCOPE_MONITOR, SCOPE_READ, SCOPE_WRITE, SCOPE_ADMIN, SCOPE_COUNT };

const char *scope_name(enum scope scope);

struct auth;
struct api_options;

/* Who is at the other end of a connection, as far as the connection itself tells. */
struct auth_peer {
    bool tcp;
    uint32_t uid; /* UNIX socket only */
    int32_t pid;
};

struct auth_request {
    const struct auth_peer *peer;
    const char *authorization, *host, *origin, *fetch_site; /* NULL = no such header */
    enum scope scope;                                       /* what the route asks for */
};

enum auth_answer {
    AUTH_OK = 0,
    AUTH_NO_TOKEN,
    AUTH_BAD_TOKEN,
    AUTH_SCOPE,      /* the token is good, but not for this */
    AUTH_UID,        /* this user is not let in */
    AUTH_CROSS_SITE, /* Origin or Sec-Fetch-Site: another site's page */
    AUTH_HOST,       /* Host is not one of our names */
};

/* Reads the token file, if the options name one. bound: the literal address of the TCP door,
 * or NULL. 0 or a negative errno with why (API_WHY_BYTES). Blocks its thread. */
int auth_open(const struct api_options *options, const char *bound, struct auth **ret,
              char *why);
void auth_close(struct auth *auth); /* NULL is harmless */
/* Reads the file again; the old tokens stay when it fails. Blocks its thread. */
int auth_load(struct auth *auth, char *why);
/* Any thread; never parks. */
enum auth_answer auth_check(struct auth *auth, const struct auth_request *request);

#endif
