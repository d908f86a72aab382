#include "base/jval.h"

#include "base/err.h"
#include "base/own.h"
#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_SHOWN_MAX 40
#define PAIRWISE_MAX 8 /* members of an object whose names are compared each with each */

struct reader {
    const char *text, *at, *end;
    struct jval *values;
    uint32_t count, cap;
    char *strings; /* where the next one goes */
    uint32_t open[JVAL_DEPTH_MAX];
    unsigned depth;
    char *error;
};

/* ----- refusing ----- */

/* Lines and columns count from 1, and columns are bytes. */
static void put_place(const struct reader *r, const char *at, char *to, size_t size)
{
    unsigned line = 1;
    const char *start = r->text;

    for (const char *c = r->text; c < at; c++) {
        if (*c == '\n') {
            line++;
            start = c + 1;
        }
    }
    snprintf(to, size, " (line %u, column %td)", line, at - start + 1);
}

__attribute__((format(printf, 3, 4))) static int refuse(struct reader *r, const char *at,
                                                        const char *fmt, ...)
{
    char place[64];
    va_list ap;

    put_place(r, at, place, sizeof place);
    va_start(ap, fmt);
    int len = vsnprintf(r->error, JVAL_ERROR_BYTES - sizeof place, fmt, ap);
    va_end(ap);
    if (len >= (int)(JVAL_ERROR_BYTES - sizeof place))
        len = (int)(JVAL_ERROR_BYTES - sizeof place) - 1;
    strcpy(r->error + len, place);
    return -EINVAL;
}

static int refuse_byte(struct reader *r, const char *expected)
{
    const char *at = r->at;

    if (at == r->end)
        return refuse(r, at, "is not JSON: it ends where %s is expected", expected);
    if (*at == '\0')
        return refuse(r, at, "is not JSON: byte %td is 0; write \\u0000 in a string",
                      at - r->text);
    if (*at < ' ' || *at > '~')
        return refuse(r, at, "is not JSON: a byte 0x%02x where %s is expected",
                      (unsigned char)*at, expected);
    return refuse(r, at, "is not JSON: '%c' where %s is expected", *at, expected);
}

static int refuse_utf8(struct reader *r, const char *at)
{
    for (size_t step; (step = str_utf8_len(at, (size_t)(r->end - at))) > 0;)
        at += step;
    return refuse(r, at, "is not valid UTF-8 at byte %td", at - r->text);
}

/* ----- strings ----- */

/* The value of four hex digits, or -1. */
static long read_hex4(const struct reader *r, const char *at)
{
    long value = 0;

    if (r->end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdefABCDEF", *digit = strchr(digits, at[i]);

        if (at[i] == '\0' || digit == NULL)
            return -1;
        value = value * 16 + (digit - digits < 16 ? digit - digits : digit - digits - 6);
    }
    return value;
}

static char *put_utf8(char *to, long c)
{
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *to++ = (char)(0xe0 | c >> 12);
        } else {
            *to++ = (char)(0xf0 | c >> 18);
            *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        }
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
    }
    *to++ = (char)(0x80 | (c & 0x3f));
    return to;
}

/* \uXXXX at `at`, with the other half of a pair behind it. Behind what was read, or NULL. */
static const char *read_unicode(struct reader *r, const char *at, char **to)
{
    long c = read_hex4(r, at + 2), low;

    if (c < 0) {
        refuse(r, at, "is not JSON: \\u is followed by four hex digits");
        return NULL;
    }
    at += 6;
    if (c >= 0xd800 && c < 0xe000) {
        bool pair = c < 0xdc00 && r->end - at >= 6 && at[0] == '\\' && at[1] == 'u';

        low = pair ? read_hex4(r, at + 2) : -1;
        if (low < 0xdc00 || low > 0xdfff) {
            refuse(r, at - 6, "is not JSON: half of a surrogate pair");
            return NULL;
        }
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
    }
    *to = put_utf8(*to, c);
    return at;
}

/* Behind the escape at `at`, or NULL. */
static const char *read_escape(struct reader *r, const char *at, char **to)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char letter = r->end - at > 1 ? at[1] : '\0';
    const char *known = letter != '\0' ? strchr(letters, letter) : NULL;

    if (letter == 'u')
        return read_unicode(r, at, to);
    if (known == NULL) {
        refuse(r, at, "is not JSON: an unknown escape");
        return NULL;
    }
    *(*to)++ = meanings[known - letters];
    return at + 2;
}

static bool is_plain(char c)
{
    return c != '"' && c != '\\' && (unsigned char)c >= ' ';
}

/* The string at r->at, a quote. */
static int read_string(struct reader *r, struct jval *v)
{
    const char *at = r->at + 1;
    char *to = r->strings;

    for (;;) {
        const char *from = at;

        while (at < r->end && is_plain(*at))
            *to++ = *at++;
        if (!str_is_utf8(from, (size_t)(at - from)))
            return refuse_utf8(r, from);
        if (at < r->end && *at == '"')
            break;
        r->at = at;
        if (at == r->end || *at != '\\')
            return refuse_byte(r, "the rest of a string");
        at = read_escape(r, at, &to);
        if (at == NULL)
            return -EINVAL;
    }
    *to = '\0';
    v->string = r->strings;
    v->count = (uint32_t)(to - r->strings);
    r->strings = to + 1;
    r->at = at + 1;
    return 0;
}

/* ----- numbers and words ----- */

static bool is_digit_at(const struct reader *r, const char *at)
{
    return at < r->end && *at >= '0' && *at <= '9';
}

static const char *skip_digits(const struct reader *r, const char *at)
{
    while (is_digit_at(r, at))
        at++;
    return at;
}

/* Behind the number at `at`, or where a digit is missing; *real: it has a fraction or power. */
static const char *skip_number(const struct reader *r, const char *at, bool *good, bool *real)
{
    at += *at == '-';
    *good = is_digit_at(r, at);
    at = *good && *at == '0' ? at + 1 : skip_digits(r, at);
    if (*good && at < r->end && *at == '.') {
        *real = true;
        *good = is_digit_at(r, at + 1);
        at = skip_digits(r, at + 1);
    }
    if (*good && at < r->end && (*at == 'e' || *at == 'E')) {
        *real = true;
        at++;
        at += at < r->end && (*at == '+' || *at == '-');
        *good = is_digit_at(r, at);
        at = skip_digits(r, at);
    }
    return at;
}

/* strtod wants a 0 behind the digits: they are put where the next string goes, which has room
 * for all that is not yet read. */
static bool read_real(struct reader *r, const char *end, struct jval *v)
{
    size_t len = (size_t)(end - r->at);

    memcpy(r->strings, r->at, len);
    r->strings[len] = '\0';
    v->type = JVAL_REAL;
    v->real = strtod(r->strings, NULL);
    return isfinite(v->real);
}

static int read_number(struct reader *r, struct jval *v)
{
    bool good, real = false;
    const char *end = skip_number(r, r->at, &good, &real);

    if (!good) {
        r->at = end;
        return refuse_byte(r, "a digit");
    }
    v->type = JVAL_INTEGER;
    if (real ? !read_real(r, end, v) : str_i64(r->at, (size_t)(end - r->at), &v->integer) < 0)
        return refuse(r, r->at, "is not JSON: a number too large");
    r->at = end;
    return 0;
}

static int read_word(struct reader *r, struct jval *v)
{
    static const struct {
        const char *word;
        enum jval_type type;
    } words[] = {{"null", JVAL_NULL}, {"true", JVAL_TRUE}, {"false", JVAL_FALSE}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t len = strlen(words[i].word);

        if ((size_t)(r->end - r->at) >= len && memcmp(r->at, words[i].word, len) == 0) {
            v->type = words[i].type;
            r->at += len;
            return 0;
        }
    }
    return refuse_byte(r, "a value");
}

/* ----- containers ----- */

static void skip_space(struct reader *r)
{
    while (r->at < r->end &&
           (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

static bool is_at(const struct reader *r, char c)
{
    return r->at < r->end && *r->at == c;
}

/* NULL, refused, when there are too many. */
static struct jval *value_add(struct reader *r, enum jval_type type)
{
    if (r->count == r->cap) {
        refuse(r, r->at, "holds more than %d values", JVAL_COUNT_MAX);
        return NULL;
    }

    struct jval *v = &r->values[r->count++];

    *v = (struct jval){.type = type, .span = 1, .source = r->at};
    return v;
}

static int read_scalar(struct reader *r)
{
    struct jval *v = value_add(r, JVAL_STRING);

    if (v == NULL)
        return -EINVAL;

    int e = is_at(r, '"')                            ? read_string(r, v)
            : is_at(r, '-') || is_digit_at(r, r->at) ? read_number(r, v)
                                                     : read_word(r, v);

    v->source_len = (uint32_t)(r->at - v->source);
    return e;
}

/* A name and its colon. */
static int read_name(struct reader *r)
{
    skip_space(r);
    if (!is_at(r, '"'))
        return refuse_byte(r, "a name in quotes");

    int e = read_scalar(r);
    const struct jval *name = &r->values[r->count - 1];

    if (e < 0)
        return e;
    if (memchr(name->string, '\0', name->count) != NULL)
        return refuse(r, name->source, "is not JSON: \\u0000 in a name");
    skip_space(r);
    if (!is_at(r, ':'))
        return refuse_byte(r, "':'");
    r->at++;
    return 0;
}

static int name_order(const void *a, const void *b)
{
    const struct jval *x = *(const struct jval *const *)a, *y = *(const struct jval *const *)b;

    if (x->count != y->count)
        return x->count < y->count ? -1 : 1;
    return memcmp(x->string, y->string, x->count);
}

static int refuse_twice(struct reader *r, const struct jval *a, const struct jval *b)
{
    const struct jval *second = a->source > b->source ? a : b;
    size_t len = 0;

    for (size_t step = 1; len < NAME_SHOWN_MAX && step > 0; len += step)
        step = str_utf8_len(second->string + len, second->count - len);
    return refuse(r, second->source, "names a field twice: %.*s", (int)len, second->string);
}

/* 0, -EINVAL, -ENOMEM. */
static int names_check(struct reader *r, const struct jval *object)
{
    const struct jval *few[PAIRWISE_MAX];
    OWN(free) const struct jval **many = NULL;
    const struct jval **names = few;
    uint32_t count = 0;

    if (object->count > PAIRWISE_MAX)
        names = many = malloc(object->count * sizeof *many);
    if (names == NULL)
        return -ENOMEM;
    jval_each_name(name, object)
    {
        for (uint32_t i = 0; !many && i < count; i++)
            if (name_order(&few[i], &name) == 0)
                return refuse_twice(r, few[i], name);
        names[count++] = name;
    }
    if (many)
        qsort(many, count, sizeof *many, name_order);
    for (uint32_t i = 1; many && i < count; i++)
        if (name_order(&many[i - 1], &many[i]) == 0)
            return refuse_twice(r, many[i - 1], many[i]);
    return 0;
}

/* The innermost container ends here. */
static int container_close(struct reader *r)
{
    struct jval *v = &r->values[r->open[--r->depth]];

    r->at++;
    v->span = (uint32_t)(&r->values[r->count] - v);
    v->source_len = (uint32_t)(r->at - v->source);
    return v->type == JVAL_OBJECT ? names_check(r, v) : 0;
}

static bool is_closing(const struct reader *r, const struct jval *v)
{
    return is_at(r, v->type == JVAL_OBJECT ? '}' : ']');
}

/* 1: a first value is to come; 0: it is empty, and closed. */
static int container_open(struct reader *r, enum jval_type type)
{
    if (r->depth == JVAL_DEPTH_MAX)
        return refuse(r, r->at, "is nested more than %d levels deep", JVAL_DEPTH_MAX);

    struct jval *v = value_add(r, type);

    if (v == NULL)
        return -EINVAL;
    r->open[r->depth++] = (uint32_t)(v - r->values);
    r->at++;
    skip_space(r);
    if (is_closing(r, v))
        return container_close(r);
    v->count = 1;
    if (type == JVAL_OBJECT) {
        int e = read_name(r);

        return e < 0 ? e : 1;
    }
    return 1;
}

/* Behind a value: 1: another one is to come; 0: the text has ended. */
static int read_on(struct reader *r)
{
    for (;;) {
        skip_space(r);
        if (r->depth == 0)
            return r->at == r->end ? 0 : refuse_byte(r, "the end");

        struct jval *v = &r->values[r->open[r->depth - 1]];
        int e;

        if (is_at(r, ',')) {
            r->at++;
            v->count++;
            e = v->type == JVAL_OBJECT ? read_name(r) : 0;
            return e < 0 ? e : 1;
        }
        if (!is_closing(r, v))
            return refuse_byte(r, v->type == JVAL_OBJECT ? "',' or '}'" : "',' or ']'");
        e = container_close(r);
        if (e < 0)
            return e;
    }
}

static int read_value(struct reader *r)
{
    skip_space(r);
    if (is_at(r, '{') || is_at(r, '['))
        return container_open(r, is_at(r, '{') ? JVAL_OBJECT : JVAL_ARRAY);
    if (r->depth == 0)
        return refuse_byte(r, "'{' or '['");
    return read_scalar(r);
}

/* ----- public ----- */

/* At least as many as there are values and names: each is the first or has one before it. */
static size_t count_marks(const char *text, size_t len)
{
    static const unsigned char marks[256] = {[','] = 1, [':'] = 1, ['['] = 1, ['{'] = 1};
    size_t count = 1;

    for (size_t i = 0; i < len; i++)
        count += marks[(unsigned char)text[i]];
    return count;
}

int jval_read(const char *text, size_t len, struct jval **ret, char error[JVAL_ERROR_BYTES])
{
    size_t marks = count_marks(text, len);
    uint32_t cap = marks <= JVAL_COUNT_MAX ? (uint32_t)marks : JVAL_COUNT_MAX + 1;
    int e = 1;

    assert_always(len < UINT32_MAX);

    OWN(free) struct jval *values = malloc(cap * sizeof *values + len + 1);

    if (values == NULL)
        return -ENOMEM;

    struct reader r = {.text = text,
                       .at = text,
                       .end = text + len,
                       .values = values,
                       .cap = cap,
                       .strings = (char *)&values[cap],
                       .error = error};

    while (e == 1) {
        e = read_value(&r);
        if (e == 0)
            e = read_on(&r);
    }
    if (e == 0)
        *ret = TAKE(values);
    return e;
}

const struct jval *jval_find(const struct jval *v, const char *name)
{
    if (!jval_is(v, JVAL_OBJECT))
        return NULL;
    jval_each_name(at, v)
    {
        if (strcmp(at->string, name) == 0)
            return jval_named(at);
    }
    return NULL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind the string at text[i], a quote. */
static size_t skip_string(const char *text, size_t len, size_t i)
{
    for (i++; i < len && text[i] != '"'; i++)
        i += text[i] == '\\';
    return i < len ? i + 1 : len;
}

static size_t compact(char *to, const char *text, size_t len)
{
    size_t out = 0;

    for (size_t i = 0; i < len;) {
        size_t from = i;

        if (text[i] == '"')
            i = skip_string(text, len, i);
        else
            while (i < len && text[i] != '"' && !is_space(text[i]))
                i++;
        memcpy(to + out, text + from, i - from);
        out += i - from;
        while (i < len && is_space(text[i]))
            i++;
    }
    return out;
}

char *jval_text(const struct jval *v, size_t *ret_len)
{
    char *text = malloc(v->source_len + 1);

    if (text == NULL)
        return NULL;
    *ret_len = compact(text, v->source, v->source_len);
    text[*ret_len] = '\0';
    return text;
}
