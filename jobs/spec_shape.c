#include "jobs/spec_parts.h"

#include "base/buf.h"
#include "base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* ---- the place and the reason ------------------------------------------------------------ */

static void put_place(struct buf *b, const struct spec_place *place)
{
    if (place == NULL)
        return;

    put_place(b, place->up); /* at most SPEC_JSON_DEPTH_MAX: tables nest three deep */
    buf_putc(b, '/');
    if (place->key == NULL) {
        buf_put_u64(b, place->index);
        return;
    }
    for (const char *c = place->key; *c != 0; c++) {
        if (*c == '~' || *c == '/')
            buf_puts(b, *c == '~' ? "~0" : "~1");
        else
            buf_putc(b, *c);
    }
}

/* Copies what fits, never half a character. */
static void copy_text(char *to, size_t size, const char *from)
{
    size_t len = strlen(from);

    if (len >= size) {
        len = size - 1;
        while (len > 0 && ((unsigned char)from[len] & 0xC0) == 0x80)
            len--;
    }
    memcpy(to, from, len);
    to[len] = 0;
}

int spec_refuse(const struct spec_place *place, struct spec_fault *fault, const char *fmt, ...)
{
    OWN_BUF struct buf pointer = BUF_INIT, what = BUF_INIT;
    va_list ap;

    put_place(&pointer, place);
    va_start(ap, fmt);
    buf_vputf(&what, fmt, ap);
    va_end(ap);
    copy_text(fault->pointer, sizeof fault->pointer, buf_str(&pointer));
    copy_text(fault->what, sizeof fault->what, buf_str(&what));
    return -EINVAL;
}

static void put_words(struct buf *b, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (i > 0)
            buf_puts(b, words[i + 1] != NULL ? ", " : " or ");
        buf_puts(b, words[i]);
    }
}

static void put_span_shape(struct buf *b, const struct spec_field *field)
{
    buf_puts(b, "a duration from ");
    str_put_duration(b, field->min);
    buf_puts(b, " to ");
    str_put_duration(b, field->max);
    buf_puts(b, " (seconds, or \"90s\" \"5m\" \"2h\" \"1d\")");
}

static void put_size_shape(struct buf *b, const struct spec_field *field)
{
    buf_puts(b, "a size from ");
    str_put_size(b, (uint64_t)field->min);
    buf_puts(b, " to ");
    str_put_size(b, (uint64_t)field->max);
    buf_puts(b, " (bytes, or \"512K\" \"64M\" \"2G\")");
}

static const char *const shapes_fixed[SPEC_TYPES] = {
    [SPEC_NAME] = "a name of 1 to 128 of A-Z a-z 0-9 _ . : @ / -",
    [SPEC_PATH] = "an absolute path without .. in it",
    [SPEC_FLAG] = "true or false",
    [SPEC_TIME] = "a time with its zone, as \"2026-11-23T15:05:53Z\"",
    [SPEC_MODE] = "permissions in octal, as \"0644\"",
    [SPEC_OBJECT] = "an object",
};

void spec_put_shape(struct buf *b, const struct spec_field *field)
{
    long long min = field->min, max = field->max;

    switch (field->type) {
    case SPEC_TEXT:
    case SPEC_BYTES:
        return buf_putf(b, "a string of %lld to %lld bytes", min, max);
    case SPEC_I32:
    case SPEC_U32:
    case SPEC_U64:
        return buf_putf(b, "an integer from %lld to %lld", min, max);
    case SPEC_REAL:
        return buf_putf(b, "a number from %g to %g", (double)min / 100, (double)max / 100);
    case SPEC_SPAN:
        return put_span_shape(b, field);
    case SPEC_SIZE:
        return put_size_shape(b, field);
    case SPEC_NAMES:
        return buf_putf(b, "an array of up to %lld names", max);
    case SPEC_CODES:
        return buf_putf(b, "an integer from %lld to %lld, or an array of up to %d of them", min,
                        max, SPEC_CODES_MAX);
    case SPEC_PAIRS:
        return buf_putf(b, "an object of up to %lld strings", max);
    case SPEC_WORD:
    case SPEC_CHOICE:
        return put_words(b, field->more);
    default:
        return buf_puts(b, field->shape != NULL ? field->shape : shapes_fixed[field->type]);
    }
}

static void put_value_short(struct buf *b, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return buf_puts(b, json_object_size(value) == 0 ? "an empty object" : "an object");
    case JSON_ARRAY:
        return buf_putf(b, "an array of %zu", json_array_size(value));
    case JSON_STRING:
        if (json_string_length(value) == 0)
            return buf_puts(b, "an empty string");
        if (json_string_length(value) > 40)
            return buf_putf(b, "a string of %zu bytes", json_string_length(value));
        return buf_put_json(b, json_string_value(value), json_string_length(value));
    default:
        break;
    }
    if (spec_json_put(b, value) < 0)
        buf_puts(b, "this");
}

int spec_refuse_shape(const struct spec_field *field, const json_t *value,
                      const struct spec_place *place, struct spec_fault *fault)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_puts(&b, "must be ");
    spec_put_shape(&b, field);
    buf_puts(&b, ", not ");
    put_value_short(&b, value);
    return spec_refuse(place, fault, "%s", buf_str(&b));
}

/* ---- a field that no row names ----------------------------------------------------------- */

#define SUGGEST_BYTES_MAX 32
#define SUGGEST_DISTANCE_MAX 2

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Edits that make one of the other: insert, delete, replace, or swap of neighbours. Both at
 * most SUGGEST_BYTES_MAX long. */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned rows[3][SUGGEST_BYTES_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];

    for (unsigned j = 0; j <= b_len; j++)
        last[j] = j;
    memcpy(before, last, sizeof rows[0]);
    for (unsigned i = 1; i <= a_len; i++) {
        row[0] = i;
        for (unsigned j = 1; j <= b_len; j++) {
            bool same = a[i - 1] == b[j - 1];

            row[j] = min3(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        unsigned *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return last[b_len];
}

static const char *suggest(const struct spec_table *table, const char *key)
{
    size_t len = strlen(key);
    const char *best = NULL;
    unsigned best_distance = SUGGEST_DISTANCE_MAX + 1;

    if (len > SUGGEST_BYTES_MAX)
        return NULL;
    for (size_t i = 0; i < table->count; i++) {
        const char *name = table->fields[i].name;
        size_t name_len = strlen(name);
        unsigned d = distance(key, len, name, name_len);

        /* Two edits of a word of three letters make any other word. */
        if (d < best_distance && d * 2 <= name_len) {
            best = name;
            best_distance = d;
        }
    }
    return best;
}

int spec_refuse_unknown(const struct spec_table *table, const struct spec_place *place,
                        struct spec_fault *fault)
{
    const char *close = suggest(table, place->key);
    OWN_BUF struct buf known = BUF_INIT;
    char key[64];

    copy_text(key, sizeof key, place->key);
    if (close != NULL)
        return spec_refuse(place, fault, "unknown field \"%s\", did you mean \"%s\"?", key,
                           close);
    for (size_t i = 0; i < table->count; i++)
        buf_putf(&known, "%s%s", i > 0 ? ", " : "", table->fields[i].name);
    return spec_refuse(place, fault, "unknown field \"%s\"; known are %s", key,
                       buf_str(&known));
}
