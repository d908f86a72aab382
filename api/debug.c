/* debug.c: how the daemon itself is doing: its tasks, and a trace of its scheduler. */
#include "api/api_parts.h"

#include "api/problem.h"
#include "base/clock.h"
#include "base/str.h"
#include "scheduler/observe.h"
#include "scheduler/scheduler.h"
#include "scheduler/task.h"

#include <errno.h>
#include <string.h>

#define TRACE_MS 1000
#define TRACE_MS_MAX 60000

void debug_tasks(struct request *q)
{
    OWN_BUF struct buf b = BUF_INIT;

    scheduler_dump(&b);
    reply_text(q, 200, "text/plain; charset=utf-8", &b);
}

static bool read_span(struct request *q, int64_t *ret_ms)
{
    const char *value = query_get(&q->query, "for");

    *ret_ms = TRACE_MS;
    if (value == NULL || (str_duration_ms(value, strlen(value), ret_ms) == 0 && *ret_ms >= 1 &&
                          *ret_ms <= TRACE_MS_MAX))
        return true;
    problem(q, "bad-parameter", "for must be a span from 1ms to %ds, such as 5s",
            TRACE_MS_MAX / 1000);
    return false;
}

static int rest(void *arg)
{
    return task_sleep_ns((uint64_t) * (int64_t *)arg * NS_PER_MS);
}

static int send(void *ctx, struct buf *piece)
{
    struct request *q = ctx;
    int r = 0;

    if (q->reply.status == 0)
        r = reply_stream(q, 200, "application/json", UINT64_MAX);
    return r < 0 ? r : reply_write(q, piece);
}

void debug_trace(struct request *q)
{
    static const char *const names[] = {"for", NULL};
    int64_t ms;

    if (!params_known(q, names) || !read_span(q, &ms))
        return;
    if (scheduler_trace_start() < 0) {
        problem(q, "conflict", "a trace is being taken already; try again when it has ended");
        return;
    }
    /* A daemon that is about to stop tells what it has. */
    if (request_wait(q, rest, &ms) == -EPIPE) {
        scheduler_trace_drop();
        return;
    }
    int r = scheduler_trace_stop(send, q);
    if (r < 0 && q->reply.status == 0)
        problem_errno(q, r);
    else if (r < 0)
        reply_break(q);
}
