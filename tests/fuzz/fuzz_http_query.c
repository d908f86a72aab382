/* Request lines and headers of strangers: query, path, Range, Prefer, entity tags, media types.
 * The first byte says which. Whatever comes in, what comes out keeps to its bounds. */
#include "api/query.h"
#include "base/err.h"
#include "base/str.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void try_query(char *text, size_t len)
{
    struct query query;

    if (query_parse(text, &query) < 0)
        return;
    assert_always(query.count <= QUERY_PARAMS_MAX);
    for (unsigned i = 0; i < query.count; i++) {
        const struct query_param *p = &query.params[i];
        bool b;

        assert_always(p->name >= text && p->name <= text + len);
        assert_always(p->value >= text && p->value <= text + len);
        assert_always(str_is_utf8(p->name, strlen(p->name)));
        assert_always(str_is_utf8(p->value, strlen(p->value)));
        assert_always(query_get(&query, p->name) != NULL);
        query_bool(p->value, &b);
    }
}

static void try_path(char *text, size_t len)
{
    int r = query_decode(text, false);

    assert_always(r == -EINVAL || ((size_t)r <= len && strlen(text) == (size_t)r));
}

static void try_range(char *text, size_t len)
{
    struct range range;

    for (uint64_t size = len; size <= UINT64_C(1) << 62; size = size * 1000 + 1) {
        if (range_parse(text, size, &range) != RANGE_PART)
            continue;
        assert_always(range.length > 0 && range.first < size);
        assert_always(range.length <= size - range.first);
    }
}

static void try_prefer(char *text, size_t len)
{
    int64_t ms;

    (void)len;
    if (prefer_wait(text, &ms) == 0)
        assert_always(strcasestr(text, "wait") != NULL);
    if (prefer_minimal(text))
        assert_always(strcasestr(text, "minimal") != NULL);
}

static void try_tags(char *text, size_t len)
{
    if (etag_listed(text, "\"0123456789abcdef\""))
        assert_always(strstr(text, "0123456789abcdef") != NULL || strchr(text, '*') != NULL);
    assert_always(media_type_len(text) <= len);
    if (media_type_is(text, "application/json"))
        assert_always(media_type_len(text) == strlen("application/json"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void (*const tries[])(char *text, size_t len) = {try_query, try_path, try_range,
                                                            try_prefer, try_tags};

    if (len == 0)
        return 0;
    /* As the library gives it: bytes with a 0 behind them. */
    char *text = strndup((const char *)data + 1, len - 1);
    assert_always(text != NULL);
    tries[data[0] % (sizeof tries / sizeof *tries)](text, strlen(text));
    free(text);
    return 0;
}
