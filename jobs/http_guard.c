#include "jobs/http_guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* An address in one form: 4 or 16 bytes in network order. */
struct address {
    unsigned len; /* 4 or 16 */
    uint8_t bytes[16];
};

struct block {
    struct address base;
    unsigned bits;
};

/* From the registries of special-purpose addresses (RFC 6890 and its updates), those that do
 * not lead to a host of the public network. */
static const struct http_guard_range denied[] = {
    {"0.0.0.0/8", "this host"},
    {"10.0.0.0/8", "private"},
    {"100.64.0.0/10", "shared by a carrier's NAT"},
    {"127.0.0.0/8", "loopback"},
    {"169.254.0.0/16", "link-local"},
    {"172.16.0.0/12", "private"},
    {"192.0.0.0/24", "reserved for protocols"},
    {"192.0.2.0/24", "for documentation"},
    {"192.88.99.0/24", "a 6to4 relay"},
    {"192.168.0.0/16", "private"},
    {"198.18.0.0/15", "for benchmarks"},
    {"198.51.100.0/24", "for documentation"},
    {"203.0.113.0/24", "for documentation"},
    {"224.0.0.0/4", "multicast"},
    {"240.0.0.0/4", "reserved"},
    {"::1/128", "loopback"},
    {"::ffff:0:0/96", "IPv4-mapped"},
    {"::/96", "unspecified or IPv4-compatible"},
    {"64:ff9b:1::/48", "for local translation"},
    {"100::/64", "for discarding"},
    {"2001::/32", "Teredo"},
    {"2001:db8::/32", "for documentation"},
    {"fc00::/7", "unique local"},
    {"fe80::/10", "link-local"},
    {"fec0::/10", "site-local"},
    {"ff00::/8", "multicast"},
};

#define DENIED_COUNT (sizeof denied / sizeof *denied)

/* IPv6 forms that carry an IPv4 address, which is then what counts too. */
static const struct {
    const char *cidr;
    unsigned offset; /* of the four bytes */
} carriers[] = {{"::ffff:0:0/96", 12}, {"64:ff9b::/96", 12}, {"2002::/16", 2}};

#define CARRIERS_COUNT (sizeof carriers / sizeof *carriers)

struct http_guard {
    struct block denied[DENIED_COUNT], carriers[CARRIERS_COUNT];
    size_t allowed_count;
    struct block allowed[];
};

static bool parse_block(const char *text, struct block *ret)
{
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
    struct block block = {0};

    if (len >= sizeof host)
        return false;
    memcpy(host, text, len);
    host[len] = 0;
    if (inet_pton(AF_INET, host, block.base.bytes) == 1)
        block.base.len = 4;
    else if (inet_pton(AF_INET6, host, block.base.bytes) == 1)
        block.base.len = 16;
    else
        return false;

    block.bits = block.base.len * 8;
    if (slash != NULL) {
        char *end;
        unsigned long bits = strtoul(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end != 0 || bits > block.bits)
            return false;
        block.bits = (unsigned)bits;
    }
    *ret = block;
    return true;
}

static bool is_in(const struct address *a, const struct block *block)
{
    unsigned whole = block->bits / 8, rest = block->bits % 8;

    if (a->len != block->base.len || memcmp(a->bytes, block->base.bytes, whole) != 0)
        return false;
    return rest == 0 || ((a->bytes[whole] ^ block->base.bytes[whole]) >> (8 - rest)) == 0;
}

static bool is_allowed(const struct http_guard *guard, const struct address *a)
{
    for (size_t i = 0; i < guard->allowed_count; i++)
        if (is_in(a, &guard->allowed[i]))
            return true;
    return false;
}

static const struct http_guard_range *find_denied(const struct http_guard *guard,
                                                  const struct address *a)
{
    for (size_t i = 0; i < DENIED_COUNT; i++)
        if (is_in(a, &guard->denied[i]))
            return &denied[i];
    return NULL;
}

/* The IPv4 address that an IPv6 address carries. */
static bool carried(const struct http_guard *guard, const struct address *a,
                    struct address *ret)
{
    for (size_t i = 0; i < CARRIERS_COUNT; i++)
        if (is_in(a, &guard->carriers[i])) {
            ret->len = 4;
            memcpy(ret->bytes, a->bytes + carriers[i].offset, 4);
            return true;
        }
    return false;
}

static bool read_address(const struct sockaddr *addr, struct address *ret)
{
    const void *any = addr;

    if (addr->sa_family == AF_INET) {
        ret->len = 4;
        memcpy(ret->bytes, &((const struct sockaddr_in *)any)->sin_addr, 4);
        return true;
    }
    if (addr->sa_family == AF_INET6) {
        ret->len = 16;
        memcpy(ret->bytes, &((const struct sockaddr_in6 *)any)->sin6_addr, 16);
        return true;
    }
    return false;
}

static size_t count_of(char *const *allow)
{
    size_t count = 0;

    while (allow != NULL && allow[count] != NULL)
        count++;
    return count;
}

int http_guard_new(char *const *allow, struct http_guard **ret, const char **ret_bad)
{
    size_t count = count_of(allow);
    struct http_guard *guard = calloc(1, sizeof *guard + count * sizeof *guard->allowed);

    if (guard == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < DENIED_COUNT; i++)
        parse_block(denied[i].cidr, &guard->denied[i]);
    for (size_t i = 0; i < CARRIERS_COUNT; i++)
        parse_block(carriers[i].cidr, &guard->carriers[i]);
    for (; guard->allowed_count < count; guard->allowed_count++) {
        const char *text = allow[guard->allowed_count];
        if (parse_block(text, &guard->allowed[guard->allowed_count]))
            continue;
        if (ret_bad != NULL)
            *ret_bad = text;
        free(guard);
        return -EINVAL;
    }
    *ret = guard;
    return 0;
}

void http_guard_free(struct http_guard *guard)
{
    free(guard);
}

const struct http_guard_range *http_guard_check(const struct http_guard *guard,
                                                const struct sockaddr *addr)
{
    static const struct http_guard_range not_ip = {"-", "not an internet address"};
    struct address a = {0}, inner = {0};

    if (!read_address(addr, &a))
        return &not_ip;
    if (is_allowed(guard, &a))
        return NULL;

    const struct http_guard_range *range = find_denied(guard, &a);
    if (!carried(guard, &a, &inner))
        return range;
    if (is_allowed(guard, &inner))
        return NULL;

    const struct http_guard_range *inner_range = find_denied(guard, &inner);
    return inner_range != NULL ? inner_range : range;
}
