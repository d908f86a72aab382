/* params.c: query parameters that several handlers know. */
#include "api/api_parts.h"

#include "api/problem.h"
#include "api/wire.h"
#include "base/str.h"

#include <string.h>

bool params_known(struct request *q, const char *const *names)
{
    const char *unknown = query_unknown(&q->query, names);

    if (unknown == NULL)
        return true;

    OWN_BUF struct buf list = BUF_INIT;
    for (const char *const *name = names; *name != NULL; name++)
        buf_putf(&list, "%s%s", list.len > 0 ? ", " : "", *name);
    problem(q, "bad-parameter", "unknown parameter %s; known here: %s", unknown,
            list.len > 0 ? buf_str(&list) : "none");
    return false;
}

bool params_bool(struct request *q, const char *name, bool fallback, bool *ret)
{
    const char *value = query_get(&q->query, name);

    *ret = fallback;
    if (value == NULL || query_bool(value, ret) == 0)
        return true;
    problem(q, "bad-parameter", "%s must be true or false", name);
    return false;
}

bool params_u64(struct request *q, const char *name, uint64_t min, uint64_t max,
                uint64_t fallback, uint64_t *ret)
{
    const char *value = query_get(&q->query, name);

    *ret = fallback;
    if (value == NULL ||
        (str_u64(value, strlen(value), ret) == 0 && *ret >= min && *ret <= max))
        return true;
    problem(q, "bad-parameter", "%s must be a whole number from %llu to %llu", name,
            (unsigned long long)min, (unsigned long long)max);
    return false;
}

bool params_wait(struct request *q, int64_t *ret_ms, bool *ret_preferred)
{
    const int64_t max_ms = INT64_C(1000) * WIRE_WAIT_S_MAX;
    const char *value = query_get(&q->query, "wait");

    *ret_ms = 0;
    *ret_preferred = false;
    if (value == NULL) {
        /* A preference is honoured as far as it can be: cut to the limit, never refused. */
        if (q->headers[HEADER_PREFER] != NULL &&
            prefer_wait(q->headers[HEADER_PREFER], ret_ms) == 0) {
            *ret_preferred = true;
            if (*ret_ms > max_ms)
                *ret_ms = max_ms;
        }
        return true;
    }
    if (str_duration_ms(value, strlen(value), ret_ms) == 0 && *ret_ms >= 0 && *ret_ms <= max_ms)
        return true;
    problem(q, "bad-parameter", "wait must be a span from 0 to %ds, such as 30s",
            WIRE_WAIT_S_MAX);
    return false;
}
