/* http_url.h: reads a URL with the very parser that will connect to it, so that what was
 * checked is what is used. Any thread. */
#ifndef JOBS_HTTP_URL_H
#define JOBS_HTTP_URL_H

#include <stdbool.h>

#define HTTP_HOST_BYTES_MAX 253

struct http_url {
    char scheme[8];                     /* "http" or "https" */
    char host[HTTP_HOST_BYTES_MAX + 3]; /* in brackets when it is an IPv6 address */
    unsigned short port;
    bool numeric; /* the host is an address: there is nothing to resolve */
};

/* NULL and *ret filled, or a static sentence that says what is wrong. */
const char *http_url_parse(const char *text, struct http_url *ret);
bool http_url_same_origin(const struct http_url *a, const struct http_url *b);

#endif
