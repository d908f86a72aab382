#include "base/log.h"

#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A line is built in one block on the stack, so a line about memory that ran out needs none.
 * The block is PIPE_BUF bytes: writes up to that size never mix in a pipe either. */
#define LINE_BYTES 4096
#define TAIL_BYTES 32 /* kept for what ends a line: …, a quote, "cut":true, a newline */

static atomic_int log_fd = STDERR_FILENO;
static _Atomic enum log_format log_format = LOG_TEXT;
static _Atomic enum log_level log_level = LOG_INFO;

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char level_priorities[] = {'3', '4', '6', '7'}; /* of syslog(3) */

struct line {
    char data[LINE_BYTES];
    size_t len;
    enum log_format format;
    bool cut; /* nothing more goes in before the end */
};

static bool put(struct line *l, const char *s, size_t len)
{
    if (l->cut || l->len + len > LINE_BYTES - TAIL_BYTES) {
        l->cut = true;
        return false;
    }
    memcpy(l->data + l->len, s, len);
    l->len += len;
    return true;
}

static bool puts_line(struct line *l, const char *s)
{
    return put(l, s, strlen(s));
}

__attribute__((format(printf, 2, 3))) static bool putf(struct line *l, const char *fmt, ...)
{
    char text[40];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return puts_line(l, text);
}

/* The room behind the limit: fits always, as TAIL_BYTES covers all that is put there. */
static void put_tail(struct line *l, const char *s)
{
    size_t len = strlen(s);

    memcpy(l->data + l->len, s, len);
    l->len += len;
}

/* Control characters, those of U+0080 to U+009F too: a terminal obeys them. */
static bool is_control(const char *s, size_t seq)
{
    unsigned char c = (unsigned char)s[0];

    return c < 0x20 || c == 0x7f || (seq == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0);
}

/* Writes one character, escaped as JSON has it, and returns its bytes in s. */
static size_t put_char(struct line *l, const char *s, size_t len)
{
    size_t seq = str_utf8_len(s, len);

    if (seq == 0) {
        puts_line(l, "\xef\xbf\xbd");
        return 1;
    }
    if (s[0] == '\n')
        puts_line(l, "\\n");
    else if (s[0] == '\t')
        puts_line(l, "\\t");
    else if (is_control(s, seq))
        putf(l, "\\u%04x", (unsigned char)s[seq - 1]);
    else if (s[0] == '"' || s[0] == '\\')
        put(l, (char[]){'\\', s[0]}, 2);
    else
        put(l, s, seq);
    return seq;
}

/* A long string is cut inside, the closing quote comes all the same. */
static void put_quoted(struct line *l, const char *s)
{
    if (!puts_line(l, "\""))
        return;
    for (size_t len = strlen(s); len > 0 && !l->cut;) {
        size_t seq = put_char(l, s, len);

        s += seq;
        len -= seq;
    }
    put_tail(l, l->cut ? "…\"" : "\"");
}

static bool is_plain(const char *s)
{
    if (!*s || (s[0] == '-' && !s[1]))
        return false;
    for (size_t len = strlen(s); len > 0;) {
        size_t seq = str_utf8_len(s, len);

        if (seq == 0 || is_control(s, seq) || strchr(" \"\\=", *s))
            return false;
        s += seq;
        len -= seq;
    }
    return true;
}

static void put_str(struct line *l, const char *s)
{
    if (!s)
        puts_line(l, l->format == LOG_JSON ? "null" : "-");
    else if (l->format == LOG_JSON || !is_plain(s) || strlen(s) > LINE_BYTES - l->len)
        put_quoted(l, s);
    else
        puts_line(l, s);
}

static void put_double(struct line *l, double d)
{
    if (isfinite(d) || l->format != LOG_JSON)
        putf(l, "%.9g", d);
    else
        puts_line(l, "null");
}

static void put_value(struct line *l, const struct log_field *f)
{
    switch (f->type) {
    case LOG_T_U64:
        putf(l, "%llu", (unsigned long long)f->u64);
        break;
    case LOG_T_I64:
        putf(l, "%lld", (long long)f->i64);
        break;
    case LOG_T_DOUBLE:
        put_double(l, f->d);
        break;
    case LOG_T_STR:
        put_str(l, f->str);
        break;
    case LOG_T_BOOL:
        puts_line(l, f->b ? "true" : "false");
        break;
    }
}

/* A field that does not even fit with its first byte goes out whole, with what follows. */
static void put_field(struct line *l, const struct log_field *f)
{
    size_t before = l->len;

    if (l->cut)
        return;
    if (l->format == LOG_JSON)
        puts_line(l, ",\"");
    else
        puts_line(l, " ");
    puts_line(l, f->key);
    puts_line(l, l->format == LOG_JSON ? "\":" : "=");

    size_t value = l->len;

    put_value(l, f);
    if (l->cut && (l->len == value || l->data[l->len - 1] != '"'))
        l->len = before;
}

static void put_head(struct line *l, enum log_level level, const char *event)
{
    char time[STR_TIME_BYTES];

    str_time_text(time, clock_wall_ms());
    switch (l->format) {
    case LOG_JOURNAL:
        put(l, (char[]){'<', level_priorities[level], '>'}, 3);
        break;
    case LOG_TEXT:
        puts_line(l, time);
        puts_line(l, " ");
        puts_line(l, level_names[level]);
        puts_line(l, " ");
        break;
    case LOG_JSON:
        puts_line(l, "{\"time\":\"");
        puts_line(l, time);
        puts_line(l, "\",\"level\":\"");
        puts_line(l, level_names[level]);
        puts_line(l, "\",\"event\":");
        break;
    }
    put_str(l, event);
}

static void put_end(struct line *l)
{
    if (l->cut)
        put_tail(l, l->format == LOG_JSON ? ",\"cut\":true" : " …");
    put_tail(l, l->format == LOG_JSON ? "}\n" : "\n");
}

void log_setup(int fd, enum log_format format, enum log_level level)
{
    atomic_store(&log_fd, fd);
    atomic_store(&log_format, format);
    atomic_store(&log_level, level);
}

void log_set_level(enum log_level level)
{
    atomic_store(&log_level, level);
}

bool log_enabled(enum log_level level)
{
    return level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

int log_level_parse(const char *s, enum log_level *ret)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (str_equal(s, level_names[i])) {
            *ret = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* Leaves errno as it was. errno belongs to the thread, and tasks that share one pass it on
 * without anything that TSan could see: it is not to look here. */
static __attribute__((noinline, no_sanitize("thread"))) void send_line(int fd,
                                                                       const struct line *l)
{
    int errno_before = errno;

    /* Nowhere to report a log that cannot be written. */
    while (write(fd, l->data, l->len) < 0 && errno == EINTR)
        continue;
    errno = errno_before;
}

void log_write(enum log_level level, const char *event, unsigned count,
               const struct log_field *fields)
{
    struct line l;

    l.len = 0;
    l.cut = false;
    l.format = atomic_load(&log_format);
    put_head(&l, level, event);
    for (unsigned i = 0; i < count; i++)
        put_field(&l, &fields[i]);
    put_end(&l);
    send_line(atomic_load(&log_fd), &l);
}
