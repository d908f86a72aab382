#include "base/str.h"

#include "base/buf.h"
#include "base/str_parts.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define DOUBLE_BYTES_MAX 128 /* of text; more digits than that mean nothing */

/* ----- characters ----- */

static bool is_cont(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The second byte holds the narrow ranges: Unicode 15, table 3-7. */
static bool second_fits(unsigned char first, unsigned char second)
{
    switch (first) {
    case 0xe0:
        return second >= 0xa0;
    case 0xed:
        return second < 0xa0;
    case 0xf0:
        return second >= 0x90;
    case 0xf4:
        return second < 0x90;
    default:
        return true;
    }
}

size_t str_utf8_len(const char *s, size_t len)
{
    if (len == 0)
        return 0;

    unsigned char first = (unsigned char)s[0];

    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;

    size_t need = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (len < need || !second_fits(first, (unsigned char)s[1]))
        return 0;
    for (size_t i = 1; i < need; i++) {
        if (!is_cont(s[i]))
            return 0;
    }
    return need;
}

bool str_is_utf8(const char *s, size_t len)
{
    while (len > 0) {
        uint64_t word = UINT64_MAX;

        if (len >= sizeof word)
            memcpy(&word, s, sizeof word);

        bool ascii = (word & UINT64_C(0x8080808080808080)) == 0;
        size_t step = ascii ? sizeof word : str_utf8_len(s, len);

        if (step == 0)
            return false;
        s += step;
        len -= step;
    }
    return true;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || str_is_digit(c) ||
           (c && strchr("_.:@/-", c));
}

bool str_is_name(const char *s, size_t len)
{
    if (len == 0 || len > STR_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_name_char(s[i]))
            return false;
    }
    return true;
}

/* ----- numbers ----- */

int str_take_u64(const char **s, const char *end, uint64_t *ret)
{
    const char *start = *s;
    bool fits = true;
    uint64_t v = 0;

    for (; *s < end && str_is_digit(**s); (*s)++) {
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(**s - '0'), &v))
            fits = false;
    }
    if (*s == start)
        return -EINVAL;
    *ret = v;
    return fits ? 0 : -ERANGE;
}

int str_u64(const char *s, size_t len, uint64_t *ret)
{
    const char *end = s + len;
    uint64_t v;
    int r = str_take_u64(&s, end, &v);

    if (s != end)
        return -EINVAL;
    if (r < 0)
        return r;
    *ret = v;
    return 0;
}

int str_i64(const char *s, size_t len, int64_t *ret)
{
    bool minus = len > 0 && s[0] == '-';
    uint64_t v;
    int r = str_u64(s + minus, len - minus, &v);

    if (r < 0)
        return r;
    if (v > (uint64_t)INT64_MAX + minus)
        return -ERANGE;
    *ret = minus ? (int64_t)(0 - v) : (int64_t)v;
    return 0;
}

/* -?digits[.digits][e[+-]digits]: what JSON has, with leading zeros besides; no names, no
 * hexadecimal. */
static bool is_double(const char *s, const char *end)
{
    s += s < end && *s == '-';

    const char *digits = s;

    s = str_skip_digits(s, end);
    if (s == digits)
        return false;
    if (s < end && *s == '.') {
        digits = ++s;
        s = str_skip_digits(s, end);
        if (s == digits)
            return false;
    }
    if (s < end && (*s == 'e' || *s == 'E')) {
        s++;
        s += s < end && (*s == '+' || *s == '-');
        digits = s;
        s = str_skip_digits(s, end);
        if (s == digits)
            return false;
    }
    return s == end;
}

int str_double(const char *s, size_t len, double *ret)
{
    char text[DOUBLE_BYTES_MAX + 1];

    if (!is_double(s, s + len))
        return -EINVAL;
    if (len > DOUBLE_BYTES_MAX)
        return -ERANGE;
    memcpy(text, s, len);
    text[len] = 0;

    /* The C locale is a constant of the library: no allocation, nothing to free. */
    double v = strtod_l(text, NULL, newlocale(LC_ALL_MASK, "C", NULL));

    if (v - v != 0)
        return -ERANGE;
    *ret = v;
    return 0;
}

/* ----- sizes ----- */

static const char size_names[] = "KMGT";

int str_size(const char *s, size_t len, uint64_t *ret_bytes)
{
    const char *name = len > 0 && s[len - 1] ? strchr(size_names, s[len - 1]) : NULL;
    unsigned shift = name ? 10 * (unsigned)(name - size_names + 1) : 0;
    uint64_t v;
    int r = str_u64(s, len - (name != NULL), &v);

    if (r < 0)
        return r;
    if (v > UINT64_MAX >> shift)
        return -ERANGE;
    *ret_bytes = v << shift;
    return 0;
}

void str_put_size(struct buf *b, uint64_t bytes)
{
    size_t unit = 0;

    while (unit < sizeof size_names - 1 && bytes && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    buf_put_u64(b, bytes);
    if (unit > 0)
        buf_putc(b, size_names[unit - 1]);
}

/* ----- whole strings ----- */

bool str_equal(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool str_equal_secret(const char *a, size_t a_len, const char *b, size_t b_len)
{
    /* volatile, or the compiler may leave the loop at the first difference. */
    volatile unsigned char differ = a_len != b_len;

    for (size_t i = 0; i < a_len && i < b_len; i++)
        differ = (unsigned char)(differ | (a[i] ^ b[i]));
    return differ == 0;
}

char *str_dup(const char *s)
{
    return s ? strdup(s) : NULL;
}

char *str_dup_len(const char *s, size_t len)
{
    char *copy = s && len < PTRDIFF_MAX ? malloc(len + 1) : NULL;

    if (!copy)
        return NULL;
    memcpy(copy, s, len);
    copy[len] = 0;
    return copy;
}
