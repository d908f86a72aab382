#include "base/err.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAMES_MAX 64

/* The _np functions read constant tables: no locale, no buffer, no thread-local state, so a
 * task that moves to another thread meanwhile keeps a good pointer. */

const char *err_name(int r)
{
    const char *name = r < 0 ? strerrorname_np(-r) : NULL;

    return name ? name : "E?";
}

const char *err_text(int r)
{
    const char *text = r < 0 ? strerrordesc_np(-r) : NULL;

    return text ? text : "Unknown error";
}

_Noreturn void err_broken(const char *what, const char *file, int line)
{
    void *frames[FRAMES_MAX];

    dprintf(STDERR_FILENO, "%s:%d: broken invariant: %s\n", file, line, what);
    backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDERR_FILENO);
    abort();
}
