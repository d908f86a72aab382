/* health.c: is it alive, is it ready. */
#include "api/api_parts.h"

#include "api/problem.h"
#include "base/clock.h"
#include "jobs/engine.h"

#include <string.h>

void health_live(struct request *q)
{
    const struct api_options *options = &api_of(q)->options;
    OWN_BUF struct buf b = BUF_INIT;

    buf_puts(&b, "{\"status\":\"ok\",\"version\":");
    buf_put_json(&b, options->version, strlen(options->version));
    buf_putf(&b, ",\"uptime_seconds\":%lld}",
             (long long)((clock_wall_ms() - options->started_at_ms) / 1000));
    reply_json(q, 200, &b);
}

/* NULL, or why no work should be sent here. */
static const char *not_ready(const struct api_options *options, const char **ret_type)
{
    struct engine_stats stats;
    const char *why = NULL;

    engine_stats(options->engine, &stats);
    *ret_type = "draining";
    if (stats.draining)
        return "the daemon is about to stop";
    *ret_type = "unwritable";
    if (!stats.writable)
        return "the store cannot be written: disk full or read-only";
    *ret_type = "not-ready";
    if (options->ready != NULL && !options->ready(options->ready_ctx, &why))
        return why;
    return NULL;
}

void health_ready(struct request *q)
{
    OWN_BUF struct buf b = BUF_INIT;
    const char *type;
    const char *why = not_ready(&api_of(q)->options, &type);

    if (why != NULL) {
        problem(q, type, "%s", why);
        return;
    }
    buf_puts(&b, "{\"status\":\"ready\"}");
    reply_json(q, 200, &b);
}
