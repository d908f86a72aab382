#include "base/buf.h"

#include "base/str.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 64
#define U64_DIGITS_MAX 20

void buf_deinit(struct buf *b)
{
    free(b->data);
    *b = BUF_INIT;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = 0;
}

bool buf_failed(const struct buf *b)
{
    return b->failed;
}

/* Grows to hold need bytes. Doubling keeps the sum of copies linear. */
static bool grow(struct buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap : CAP_FIRST;

    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;

    char *data = realloc(b->data, cap);

    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    b->data[b->len] = 0;
    return true;
}

char *buf_reserve(struct buf *b, size_t len)
{
    if (b->failed)
        return NULL;
    if (len >= PTRDIFF_MAX - b->len) {
        b->failed = true;
        return NULL;
    }
    if (b->len + len + 1 > b->cap && !grow(b, b->len + len + 1))
        return NULL;
    return b->data + b->len;
}

void buf_commit(struct buf *b, size_t len)
{
    b->len += len;
    b->data[b->len] = 0;
}

void buf_put(struct buf *b, const void *data, size_t len)
{
    char *to = buf_reserve(b, len);

    if (!to || len == 0)
        return;
    memcpy(to, data, len);
    buf_commit(b, len);
}

void buf_puts(struct buf *b, const char *s)
{
    buf_put(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    char digits[U64_DIGITS_MAX];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    buf_put(b, digits + at, sizeof digits - at);
}

void buf_put_i64(struct buf *b, int64_t v)
{
    if (v < 0)
        buf_putc(b, '-');
    buf_put_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void buf_putf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vputf(b, fmt, ap);
    va_end(ap);
}

void buf_vputf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);

    int len = vsnprintf(NULL, 0, fmt, ap);
    char *to = len < 0 ? NULL : buf_reserve(b, (size_t)len);

    if (to) {
        vsnprintf(to, (size_t)len + 1, fmt, again);
        b->len += (size_t)len;
    } else {
        b->failed = true;
    }
    va_end(again);
}

/* Whether one of the eight bytes needs an escape or a look at its UTF-8. The classic exact
 * tests on words: a byte is zero, a byte is below n (Anderson, "Bit Twiddling Hacks"). Bytes
 * above 0x7f are caught by the high bit first, which makes the others exact. */
static bool word_is_special(const char *s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    uint64_t w;

    memcpy(&w, s, sizeof w);
    uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');

    return ((w | (w - ones * 0x20) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) &
            highs) != 0;
}

static bool byte_is_special(char c)
{
    return (unsigned char)c < 0x20 || (unsigned char)c > 0x7f || c == '"' || c == '\\';
}

/* The bytes from s on that go out as they are. */
static size_t plain_run(const char *s, size_t len)
{
    size_t at = 0;

    while (at < len) {
        if (len - at >= sizeof(uint64_t) && !word_is_special(s + at)) {
            at += sizeof(uint64_t);
            continue;
        }
        if (!byte_is_special(s[at])) {
            at++;
            continue;
        }

        size_t seq = (unsigned char)s[at] > 0x7f ? str_utf8_len(s + at, len - at) : 0;

        if (seq == 0)
            break;
        at += seq;
    }
    return at;
}

static void put_json_escape(struct buf *b, unsigned char c)
{
    static const char letters[32] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't',
    };

    if (c > 0x7f)
        buf_puts(b, "\xef\xbf\xbd");
    else if (c >= 0x20)
        buf_put(b, (char[]){'\\', (char)c}, 2);
    else if (letters[c])
        buf_put(b, (char[]){'\\', letters[c]}, 2);
    else
        buf_putf(b, "\\u%04x", c);
}

void buf_put_json(struct buf *b, const char *s, size_t len)
{
    buf_putc(b, '"');
    while (len > 0) {
        size_t run = plain_run(s, len);

        buf_put(b, s, run);
        s += run;
        len -= run;
        if (len > 0) {
            put_json_escape(b, (unsigned char)*s++);
            len--;
        }
    }
    buf_putc(b, '"');
}

const char *buf_str(const struct buf *b)
{
    return b->data ? b->data : "";
}

char *buf_take(struct buf *b)
{
    char *data = NULL;

    if (!b->failed && buf_reserve(b, 0)) {
        data = b->data;
        b->data = NULL;
    }
    buf_deinit(b);
    return data;
}
