#include "jobs/kind.h"

#include "base/buf.h"

#include <stdarg.h>
#include <stdlib.h>

void outcome_deinit(struct outcome *o)
{
    free(o->result);
    free(o->error);
    *o = (struct outcome){0};
}

void outcome_fail(struct outcome *o, enum outcome_kind kind, enum job_reason reason,
                  const char *fmt, ...)
{
    OWN_BUF struct buf text = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vputf(&text, fmt, ap);
    va_end(ap);
    o->kind = kind;
    o->reason = reason;
    free(o->error);
    /* Without memory the reason alone has to tell. */
    o->error = buf_take(&text);
}
