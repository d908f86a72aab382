#include "api/query.h"

#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int query_decode(char *text, bool plus)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++, to++) {
        if (*from == '+' && plus) {
            *to = ' ';
            continue;
        }
        if (*from != '%') {
            *to = *from;
            continue;
        }

        int high = hex_digit(from[1]);
        int low = high < 0 ? -1 : hex_digit(from[2]);
        if (low < 0 || (high == 0 && low == 0))
            return -EINVAL;
        *to = (char)(high * 16 + low);
        from += 2;
    }
    *to = '\0';

    size_t len = (size_t)(to - text);
    if (len > INT_MAX || !str_is_utf8(text, len))
        return -EINVAL;
    return (int)len;
}

int query_parse(char *text, struct query *ret)
{
    struct query query = {.count = 0};
    char *rest = text, *pair;

    while ((pair = strsep(&rest, "&")) != NULL) {
        if (*pair == '\0')
            continue;
        if (query.count == QUERY_PARAMS_MAX)
            return -E2BIG;

        char *value = strchr(pair, '=');
        if (value != NULL)
            *value++ = '\0';
        else
            value = pair + strlen(pair);
        if (query_decode(pair, true) < 0 || query_decode(value, true) < 0)
            return -EINVAL;
        query.params[query.count++] = (struct query_param){.name = pair, .value = value};
    }
    *ret = query;
    return 0;
}

const char *query_get(const struct query *query, const char *name)
{
    for (unsigned i = 0; i < query->count; i++)
        if (strcmp(query->params[i].name, name) == 0)
            return query->params[i].value;
    return NULL;
}

const char *query_unknown(const struct query *query, const char *const *names)
{
    for (unsigned i = 0; i < query->count; i++) {
        const char *const *name = names;

        while (*name != NULL && strcmp(*name, query->params[i].name) != 0)
            name++;
        if (*name == NULL)
            return query->params[i].name;
    }
    return NULL;
}

int query_bool(const char *value, bool *ret)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"", true},       {"1", true},  {"true", true}, {"yes", true},
                 {"false", false}, {"0", false}, {"no", false}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(value, words[i].word) == 0) {
            *ret = words[i].value;
            return 0;
        }
    }
    return -EINVAL;
}

/* ------------------------------------------------------------------------- ranges */

static const char *skip_space(const char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    return s;
}

/* "-500": the last bytes. */
static enum range_answer range_suffix(const char *digits, size_t len, uint64_t size,
                                      struct range *ret)
{
    uint64_t count;
    int r = str_u64(digits, len, &count);

    if (r == -ERANGE)
        count = size;
    else if (r < 0)
        return RANGE_NONE;
    if (count == 0 || size == 0)
        return RANGE_OUTSIDE;
    if (count > size)
        count = size;
    *ret = (struct range){.first = size - count, .length = count};
    return RANGE_PART;
}

enum range_answer range_parse(const char *header, uint64_t size, struct range *ret)
{
    if (header == NULL || strncasecmp(header, "bytes=", 6) != 0)
        return RANGE_NONE;

    const char *spec = skip_space(header + 6);
    const char *dash = strchr(spec, '-');
    if (dash == NULL || strchr(spec, ',') != NULL)
        return RANGE_NONE;

    size_t first_len = (size_t)(dash - spec);
    size_t last_len = strlen(dash + 1);
    while (last_len > 0 && isspace((unsigned char)dash[last_len]))
        last_len--;
    if (first_len == 0)
        return range_suffix(dash + 1, last_len, size, ret);

    uint64_t first, last = UINT64_MAX;
    int r = str_u64(spec, first_len, &first);
    if (r == -EINVAL)
        return RANGE_NONE;
    if (last_len > 0) {
        int s = str_u64(dash + 1, last_len, &last);
        if (s == -EINVAL)
            return RANGE_NONE;
        if (s == -ERANGE)
            last = UINT64_MAX;
    }
    if (r == 0 && last < first)
        return RANGE_NONE;
    if (r == -ERANGE || first >= size)
        return RANGE_OUTSIDE;
    if (last >= size)
        last = size - 1;
    *ret = (struct range){.first = first, .length = last - first + 1};
    return RANGE_PART;
}

/* ------------------------------------------------------------------------- preferences */

/* Finds "name=value" among the comma-separated preferences; the length of the value, quotes
 * left out, or -ENOENT. */
static int prefer_find(const char *header, const char *name, const char **ret)
{
    size_t name_len = strlen(name);

    for (const char *p = header; p != NULL && *p != '\0';) {
        p += strspn(p, " \t,;");
        size_t len = strcspn(p, ",;");
        const char *next = p + len;

        if (len > name_len && strncasecmp(p, name, name_len) == 0) {
            const char *value = skip_space(p + name_len);

            if (value < next && *value == '=') {
                value = skip_space(value + 1);
                while (next > value && (next[-1] == ' ' || next[-1] == '\t'))
                    next--;
                if (next > value + 1 && *value == '"' && next[-1] == '"') {
                    value++;
                    next--;
                }
                *ret = value;
                return value > next ? -ENOENT : (int)(next - value);
            }
        }
        p += len;
    }
    return -ENOENT;
}

int prefer_wait(const char *header, int64_t *ret_ms)
{
    const char *value;
    int len = prefer_find(header, "wait", &value);

    if (len < 0)
        return len;
    /* A preference that makes no sense is one that is not honoured (RFC 7240, 2). */
    return str_duration_ms(value, (size_t)len, ret_ms) < 0 ? -ENOENT : 0;
}

bool prefer_minimal(const char *header)
{
    const char *value;
    int len = prefer_find(header, "return", &value);

    return len == 7 && strncasecmp(value, "minimal", 7) == 0;
}

/* ------------------------------------------------------------------------- tags and types */

bool etag_listed(const char *header, const char *tag)
{
    size_t tag_len = strlen(tag);

    for (const char *p = header; p != NULL && *p != '\0';) {
        p += strspn(p, " \t,");
        if (*p == '*')
            return true;
        if (strncmp(p, "W/", 2) == 0)
            p += 2;
        if (strncmp(p, tag, tag_len) == 0)
            return true;
        if (*p == '"') {
            const char *end = strchr(p + 1, '"');
            if (end == NULL)
                return false;
            p = end + 1;
        } else {
            p += strcspn(p, ",");
        }
    }
    return false;
}

size_t media_type_len(const char *header)
{
    size_t len = strcspn(header, ";");

    while (len > 0 && isspace((unsigned char)header[len - 1]))
        len--;
    return len;
}

bool media_type_is(const char *header, const char *type)
{
    size_t len = media_type_len(header);

    return len == strlen(type) && strncasecmp(header, type, len) == 0;
}
