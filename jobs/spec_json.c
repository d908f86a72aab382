#include "jobs/spec_parts.h"

#include "base/buf.h"
#include "base/region.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* jansson recurses once a level and spends a hundred bytes and more on a value of two bytes, so
 * both are bounded by one cheap pass over the text before it is let in: a task's stack is
 * small, and a body of 10 MB must not cost 500 MB. */

#define TREE_BYTES_PER_BYTE 8 /* of jansson's, about */

struct scan {
    size_t depth_max; /* deepest nesting */
    size_t values;    /* about: one for each comma, colon, bracket and brace */
    bool spaced;      /* white space between tokens */
};

/* The first byte behind the string that begins after text[i - 1] == '"'; len when it is open.
 */
static size_t string_end(const char *text, size_t len, size_t i)
{
    while (i < len && text[i] != '"')
        i += text[i] == '\\' ? 2 : 1;
    return i < len ? i + 1 : len;
}

static struct scan scan_text(const char *text, size_t len)
{
    struct scan scan = {0};
    size_t depth = 0;

    for (size_t i = 0; i < len;) {
        switch (text[i++]) {
        case '"':
            i = string_end(text, len, i);
            break;
        case '[':
        case '{':
            scan.values++;
            if (++depth > scan.depth_max)
                scan.depth_max = depth;
            break;
        case ']':
        case '}':
            depth -= depth > 0;
            break;
        case ',':
        case ':':
            scan.values++;
            break;
        case ' ':
        case '\t':
        case '\r':
        case '\n':
            scan.spaced = true;
            break;
        default:
            break;
        }
    }
    return scan;
}

static int refuse_parse(const json_error_t *error, struct spec_fault *fault)
{
    switch (json_error_code(error)) {
    case json_error_out_of_memory:
        return -ENOMEM;
    case json_error_invalid_utf8:
        return spec_refuse(NULL, fault, "is not valid UTF-8 at byte %d", error->position);
    case json_error_duplicate_key:
        return spec_refuse(NULL, fault, "names a field twice: %s (line %d, column %d)",
                           error->text, error->line, error->column);
    default:
        return spec_refuse(NULL, fault, "is not JSON: %s (line %d, column %d)", error->text,
                           error->line, error->column);
    }
}

void spec_json_prepare(void)
{
    json_set_alloc_funcs(region_alloc, region_free);
}

int spec_json(const char *text, size_t len, size_t bytes_max, json_t **ret,
              struct spec_fault *fault)
{
    if (len > bytes_max)
        return spec_refuse(NULL, fault, "has %zu bytes, at most %zu are taken", len, bytes_max);

    /* Between tokens jansson passes over one, and whoever reads the text kept would end there.
     */
    const char *nul = memchr(text, 0, len);
    if (nul != NULL)
        return spec_refuse(NULL, fault, "is not JSON: byte %zu is 0; write \\u0000 in a string",
                           (size_t)(nul - text));

    struct scan scan = scan_text(text, len);
    if (scan.depth_max > SPEC_JSON_DEPTH_MAX)
        return spec_refuse(NULL, fault, "is nested %zu levels deep, at most %d are taken",
                           scan.depth_max, SPEC_JSON_DEPTH_MAX);
    if (scan.values > SPEC_JSON_VALUES_MAX)
        return spec_refuse(NULL, fault, "holds more than %d values", SPEC_JSON_VALUES_MAX);

    json_error_t error;
    region_begin(len * TREE_BYTES_PER_BYTE);
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!region_end()) {
        json_decref(json);
        return -ENOMEM;
    }
    if (json == NULL)
        return refuse_parse(&error, fault);
    *ret = json;
    return 0;
}

char *spec_text_compact(const char *text, size_t len, size_t *ret_len)
{
    char *copy = malloc(len + 1);
    size_t to = 0;

    if (copy == NULL)
        return NULL;
    for (size_t i = 0; i < len;) {
        size_t from = i;

        if (text[i] == '"')
            i = string_end(text, len, i + 1);
        else
            while (i < len && text[i] != '"' && text[i] != ' ' && text[i] != '\t' &&
                   text[i] != '\r' && text[i] != '\n')
                i++;
        memcpy(copy + to, text + from, i - from);
        to += i - from;
        while (i < len &&
               (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n'))
            i++;
    }
    copy[to] = 0;
    *ret_len = to;
    return copy;
}

static void put_real(struct buf *b, double value)
{
    char digits[32];

    snprintf(digits, sizeof digits, "%.17g", value);
    buf_puts(b, digits);
    /* It must come back as a real: 1e300 and 0.5 do, "3" would not. */
    if (strpbrk(digits, ".e") == NULL)
        buf_puts(b, ".0");
}

static int put_value(struct buf *b, const json_t *value, unsigned depth);

static int put_object(struct buf *b, const json_t *object, unsigned depth)
{
    json_t *unconst = (json_t *)(uintptr_t)object; /* iteration changes nothing */
    int r = 0;

    buf_putc(b, '{');
    for (void *i = json_object_iter(unconst); i != NULL && r == 0;) {
        buf_put_json(b, json_object_iter_key(i), json_object_iter_key_len(i));
        buf_putc(b, ':');
        r = put_value(b, json_object_iter_value(i), depth);
        i = json_object_iter_next(unconst, i);
        if (i != NULL)
            buf_putc(b, ',');
    }
    buf_putc(b, '}');
    return r;
}

static int put_array(struct buf *b, const json_t *array, unsigned depth)
{
    size_t count = json_array_size(array);
    int r = 0;

    buf_putc(b, '[');
    for (size_t i = 0; i < count && r == 0; i++) {
        if (i > 0)
            buf_putc(b, ',');
        r = put_value(b, json_array_get(array, i), depth);
    }
    buf_putc(b, ']');
    return r;
}

static int put_value(struct buf *b, const json_t *value, unsigned depth)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return depth == 0 ? -EINVAL : put_object(b, value, depth - 1);
    case JSON_ARRAY:
        return depth == 0 ? -EINVAL : put_array(b, value, depth - 1);
    case JSON_STRING:
        buf_put_json(b, json_string_value(value), json_string_length(value));
        return 0;
    case JSON_INTEGER:
        buf_put_i64(b, json_integer_value(value));
        return 0;
    case JSON_REAL:
        put_real(b, json_real_value(value));
        return 0;
    case JSON_TRUE:
        buf_puts(b, "true");
        return 0;
    case JSON_FALSE:
        buf_puts(b, "false");
        return 0;
    case JSON_NULL:
        break;
    }
    buf_puts(b, "null");
    return 0;
}

int spec_json_put(struct buf *b, const json_t *value)
{
    int r = put_value(b, value, SPEC_JSON_DEPTH_MAX);

    if (r < 0)
        return r;
    return buf_failed(b) ? -ENOMEM : 0;
}
