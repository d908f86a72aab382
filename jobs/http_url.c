#include "jobs/http_url.h"

#include "jobs/http_late.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void clean_url(CURLU **url)
{
    curl_url_cleanup(*url);
}

static void clean_part(char **part)
{
    curl_free(*part);
}

static bool has_part(CURLU *url, CURLUPart part)
{
    __attribute__((cleanup(clean_part))) char *text = NULL;

    return curl_url_get(url, part, &text, 0) == CURLUE_OK;
}

/* Copies a part that must be there and fit. */
static bool take_part(CURLU *url, CURLUPart part, unsigned flags, char *ret, size_t size)
{
    __attribute__((cleanup(clean_part))) char *text = NULL;

    if (curl_url_get(url, part, &text, flags) != CURLUE_OK || strlen(text) >= size ||
        text[0] == 0)
        return false;
    memcpy(ret, text, strlen(text) + 1);
    return true;
}

static bool is_numeric(const char *host)
{
    struct in_addr in;

    return host[0] == '[' || inet_pton(AF_INET, host, &in) == 1;
}

const char *http_url_parse(const char *text, struct http_url *ret)
{
    if (!http_late_load())
        return "cannot be read: this daemon's machine lacks libcurl";

    __attribute__((cleanup(clean_url))) CURLU *url = curl_url();
    struct http_url got = {0};
    char port[8];

    if (url == NULL)
        return "there was no memory to read it";
    /* Without a scheme curl would guess one, and of three slashes it would forgive one; a guess
     * is not what was asked for. */
    bool secure = strncasecmp(text, "https://", 8) == 0;
    if (!secure && strncasecmp(text, "http://", 7) != 0)
        return "must begin with http:// or https://";
    if (text[secure ? 8 : 7] == '/' || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
        return "is not a URL with a host";
    if (!take_part(url, CURLUPART_SCHEME, 0, got.scheme, sizeof got.scheme))
        return "must begin with http:// or https://";
    if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD))
        return "must not carry a user or password: use an Authorization header";
    if (!take_part(url, CURLUPART_HOST, 0, got.host, sizeof got.host))
        return "must name a host of at most 253 bytes";
    if (!take_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof port))
        return "has a port that is none";
    got.port = (unsigned short)strtoul(port, NULL, 10);
    got.numeric = is_numeric(got.host);
    *ret = got;
    return NULL;
}

bool http_url_same_origin(const struct http_url *a, const struct http_url *b)
{
    return strcasecmp(a->scheme, b->scheme) == 0 && strcasecmp(a->host, b->host) == 0 &&
           a->port == b->port;
}
