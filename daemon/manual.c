#include "daemon/manual.h"

#include "base/buf.h"
#include "jobs/spec.h"

#include <string.h>

/* spec_describe gives a line a field: name, type, default, help, with tabs between. */

static void put_sentence(struct buf *ret, const char *s, size_t len)
{
    if (len == 0)
        return;
    buf_putc(ret, s[0] >= 'a' && s[0] <= 'z' ? (char)(s[0] - 32) : s[0]);
    buf_put(ret, s + 1, len - 1);
    buf_puts(ret, ".\n");
}

static void put_field(struct buf *ret, const char *line)
{
    size_t name = strcspn(line, "\t");
    const char *type = line + name + 1;
    size_t type_len = strcspn(type, "\t");
    const char *fallback = type + type_len + 1;
    size_t fallback_len = strcspn(fallback, "\t");
    const char *help = fallback + fallback_len + 1;

    buf_puts(ret, ".It Cm ");
    buf_put(ret, line, name);
    buf_putc(ret, '\n');
    put_sentence(ret, help, strcspn(help, "\n"));
    /* Not as a sentence of its own: words to be written as they stand must keep their case. */
    buf_puts(ret, "Takes ");
    buf_put(ret, type, type_len);
    buf_puts(ret, ".\n");
    if (fallback_len > 0 && strncmp(fallback, "-", fallback_len) != 0) {
        buf_puts(ret, "Default: ");
        buf_put(ret, fallback, fallback_len);
        buf_puts(ret, ".\n");
    }
}

void manual_jobs(struct buf *ret)
{
    OWN_BUF struct buf fields = BUF_INIT;

    spec_describe(&fields);
    buf_puts(ret, ".Bl -tag -width Ds\n");
    for (const char *line = buf_str(&fields); *line != '\0';) {
        put_field(ret, line);
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    buf_puts(ret, ".El\n");
}
