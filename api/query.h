/* query.h: the small grammars of a request line and of its headers: percent-encoding, query
 * parameters, Range, Prefer, entity tags. Pure; any thread. All of it reads what strangers
 * send, so every count is bounded and nothing behind the 0 of a string is looked at. */
#ifndef API_QUERY_H
#define API_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUERY_PARAMS_MAX 32

struct query_param {
    const char *name, *value;
};

struct query {
    struct query_param params[QUERY_PARAMS_MAX];
    unsigned count;
};

/* Decodes %XX in place; plus = true reads + as a space. The length, or -EINVAL for a broken
 * escape, an escaped 0, or what is not UTF-8 after decoding. */
int query_decode(char *text, bool plus);
/* Splits "a=1&b=2" in place; the params point into text. 0; -EINVAL as above; -E2BIG for more
 * than QUERY_PARAMS_MAX. A name without = has the value "". */
int query_parse(char *text, struct query *ret);
/* The value of the first such name, or NULL. */
const char *query_get(const struct query *query, const char *name);
/* The first name that is not in the NULL-terminated list, or NULL when all are. */
const char *query_unknown(const struct query *query, const char *const *names);
/* "true" "1" "yes" "" -> true; "false" "0" "no" -> false; else -EINVAL. */
int query_bool(const char *value, bool *ret);

/* What a Range header asks of size bytes. */
enum range_answer {
    RANGE_NONE = 0, /* absent, several ranges, or not ours to read: send the whole */
    RANGE_PART,     /* ret holds first and length */
    RANGE_OUTSIDE,  /* 416 */
};
struct range {
    uint64_t first, length;
};
enum range_answer range_parse(const char *header, uint64_t size, struct range *ret);

/* The wait of "Prefer: respond-async, wait=10", in milliseconds; -ENOENT without one. */
int prefer_wait(const char *header, int64_t *ret_ms);
/* Whether "Prefer: return=minimal" is asked for. */
bool prefer_minimal(const char *header);

/* Whether an If-None-Match names tag (with its quotes), or is *. Weak comparison. */
bool etag_listed(const char *header, const char *tag);

/* The media type of a Content-Type, without parameters: its length. */
size_t media_type_len(const char *header);
bool media_type_is(const char *header, const char *type);

#endif
