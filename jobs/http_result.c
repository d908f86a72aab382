#include "jobs/http_result.h"

#include "base/buf.h"
#include "base/str.h"
#include "jobs/http_pump.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIELDS_MAX 128 /* of one answer; more are not told */
#define FIELD_NAME_BYTES_MAX 128

/* A header field within the response's lines. */
struct field {
    const char *name, *value;
    size_t name_len, value_len;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Printable and without blanks, so that the names of an object are told apart by their bytes.
 */
static bool is_name(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    return len > 0 && len <= FIELD_NAME_BYTES_MAX;
}

/* The field of a line, or none: the empty line, a folded one, what is no name. A value with a
 * NUL is left out, since many readers of JSON refuse one. */
static bool split_line(const char *line, size_t len, struct field *ret)
{
    const char *colon = memchr(line, ':', len);

    if (colon == NULL || !is_name(line, (size_t)(colon - line)) || memchr(line, 0, len) != NULL)
        return false;
    *ret = (struct field){.name = line, .name_len = (size_t)(colon - line)};
    const char *from = colon + 1, *to = line + len;
    while (from < to && is_blank(*from))
        from++;
    while (to > from && (is_blank(to[-1]) || to[-1] == '\r'))
        to--;
    ret->value = from;
    ret->value_len = (size_t)(to - from);
    return true;
}

static unsigned split_lines(const struct buf *headers, struct field ret[FIELDS_MAX])
{
    const char *at = buf_str(headers), *end = at + headers->len;
    unsigned count = 0;

    while (at < end && count < FIELDS_MAX) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL)
            stop = end;
        count += split_line(at, (size_t)(stop - at), &ret[count]);
        at = stop + 1;
    }
    return count;
}

static bool is_same_name(const struct field *a, const struct field *b)
{
    return a->name_len == b->name_len && strncasecmp(a->name, b->name, a->name_len) == 0;
}

static bool is_named_before(const struct field *fields, unsigned index)
{
    for (unsigned i = 0; i < index; i++)
        if (is_same_name(&fields[i], &fields[index]))
            return true;
    return false;
}

static void put_name(struct buf *b, const struct field *field)
{
    char name[FIELD_NAME_BYTES_MAX];
    size_t len = field->name_len;

    for (size_t i = 0; i < len; i++)
        name[i] = (char)(field->name[i] >= 'A' && field->name[i] <= 'Z' ? field->name[i] | 0x20
                                                                        : field->name[i]);
    buf_put_json(b, name, len);
}

static void put_values(struct buf *b, const struct field *fields, unsigned count,
                       unsigned index)
{
    OWN_BUF struct buf joined = BUF_INIT;

    for (unsigned i = index; i < count; i++) {
        if (!is_same_name(&fields[i], &fields[index]))
            continue;
        if (i > index)
            buf_puts(&joined, ", ");
        buf_put(&joined, fields[i].value, fields[i].value_len);
    }
    buf_put_json(b, buf_str(&joined), joined.len);
}

static bool is_secret(const struct field *field)
{
    return field->name_len == strlen("set-cookie") &&
           strncasecmp(field->name, "set-cookie", field->name_len) == 0;
}

static void put_headers(struct buf *b, const struct buf *headers)
{
    struct field *fields = calloc(FIELDS_MAX, sizeof *fields);
    unsigned count = fields != NULL ? split_lines(headers, fields) : 0;
    bool first = true;

    buf_putc(b, '{');
    for (unsigned i = 0; i < count; i++) {
        if (is_named_before(fields, i))
            continue;
        if (!first)
            buf_putc(b, ',');
        first = false;
        put_name(b, &fields[i]);
        buf_putc(b, ':');
        if (is_secret(&fields[i]))
            buf_puts(b, "\"(not kept)\"");
        else
            put_values(b, fields, count, i);
    }
    buf_putc(b, '}');
    free(fields);
}

/* A body that was cut may end within a character: as text it ends before that. */
static size_t text_len(const struct buf *body, bool cut)
{
    size_t len = body->len;

    for (unsigned back = 0; cut && back < 4 && len > 0; back++) {
        if (str_is_utf8(body->data, len))
            return len;
        len--;
    }
    return cut ? body->len : len;
}

static void put_base64(struct buf *b, const struct buf *body)
{
    size_t room = (body->len + 2) / 3 * 4;

    buf_puts(b, ",\"body_base64\":\"");
    char *to = buf_reserve(b, room + 1);
    if (to == NULL)
        return;
    EVP_EncodeBlock((unsigned char *)to, (const unsigned char *)body->data, (int)body->len);
    buf_commit(b, room);
    buf_putc(b, '"');
}

static void put_body(struct buf *b, const struct http_response *response)
{
    const struct buf *body = &response->body;
    size_t len = text_len(body, response->truncated);

    if (body->len == 0 ||
        (str_is_utf8(body->data, len) && memchr(body->data, 0, len) == NULL)) {
        buf_puts(b, ",\"body\":");
        buf_put_json(b, buf_str(body), len);
    } else {
        put_base64(b, body);
    }
    if (response->truncated)
        buf_puts(b, ",\"truncated\":true");
}

void http_result_put(struct buf *b, const struct http_response *response,
                     const struct http_result_notes *notes)
{
    buf_putf(b, "{\"status\":%d,\"bytes\":", response->status);
    buf_put_u64(b, response->bytes);
    buf_puts(b, ",\"headers\":");
    put_headers(b, &response->headers);
    if (notes->url != NULL) {
        buf_puts(b, ",\"url\":");
        buf_put_json(b, notes->url, strlen(notes->url));
    }
    if (notes->saved_to != NULL) {
        buf_puts(b, ",\"saved_to\":");
        buf_put_json(b, notes->saved_to, strlen(notes->saved_to));
    } else {
        put_body(b, response);
    }
    buf_putc(b, '}');
}
