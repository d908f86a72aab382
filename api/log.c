/* log.c: what a job printed, as bytes: the whole, a range, one stream of the two, or as it
 * comes. */
#include "api/api_parts.h"

#include "api/problem.h"
#include "base/clock.h"
#include "base/own.h"
#include "jobs/engine.h"
#include "scheduler/task.h"

#include <errno.h>
#include <string.h>

#define PIECE_BYTES 65536
#define LOG_TYPE "text/plain; charset=utf-8"
/* While nothing runs, the job is asked about again: soon at first, then less often. */
#define AGAIN_FIRST_MS 5
#define AGAIN_MAX_MS 1000

OWN_DEFINE(struct job, job_free);

struct follow {
    struct request *q;
    struct engine *engine;
    enum log_stream stream;
    bool one_attempt; /* not those that come after it */
    uint32_t fence;   /* of the attempt that is read; 0 = none has begun */
    uint64_t offset;  /* in the whole of its log */
};

/* ------------------------------------------------------------------------- parameters */

static bool read_stream(struct request *q, enum log_stream *ret)
{
    static const struct {
        const char *word;
        enum log_stream stream;
    } words[] = {{"both", STREAM_NONE}, {"stdout", STREAM_STDOUT}, {"stderr", STREAM_STDERR}};
    const char *value = query_get(&q->query, "stream");

    *ret = STREAM_NONE;
    if (value == NULL)
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(value, words[i].word) == 0) {
            *ret = words[i].stream;
            return true;
        }
    }
    problem(q, "bad-parameter", "stream must be stdout, stderr or both");
    return false;
}

/* The newest fence of attempt number n: a shutdown or a crash gives the number back, so there
 * may be several. 0 = none. false: the request is answered. */
static bool find_attempt(struct request *q, const struct job *job, uint64_t n, uint32_t *ret)
{
    struct attempt_list list = {.items = NULL};

    *ret = job->attempt == n ? job->fence : 0;
    int r = engine_attempts(api_of(q)->options.engine, q->id, &list);
    if (r != 0) {
        problem_engine(q, r, NULL);
        return false;
    }
    for (size_t i = 0; i < list.count; i++)
        if (list.items[i].attempt == n && list.items[i].fence > *ret)
            *ret = list.items[i].fence;
    attempt_list_deinit(&list);
    if (*ret != 0)
        return true;
    problem(q, "not-found", "the job has had no attempt %llu", (unsigned long long)n);
    return false;
}

/* Which attempt's log is asked for, by its number or, when several had one number, by its
 * fence; the last by default. false: the request is answered. */
static bool choose_fence(struct request *q, const struct job *job, uint32_t *ret)
{
    uint64_t attempt, fence;

    if (!params_u64(q, "attempt", 1, UINT32_MAX, 0, &attempt) ||
        !params_u64(q, "fence", 1, UINT32_MAX, 0, &fence))
        return false;
    if (attempt != 0 && fence != 0) {
        problem(q, "bad-parameter", "attempt or fence, not both");
        return false;
    }
    if (attempt != 0)
        return find_attempt(q, job, attempt, ret);
    if (fence > job->fence) {
        problem(q, "not-found", "the job has had no fence %llu", (unsigned long long)fence);
        return false;
    }
    *ret = fence != 0 ? (uint32_t)fence : job->fence;
    return true;
}

/* ------------------------------------------------------------------------- the stored log */

static void view_close(struct joblog_view *view)
{
    own_close(&view->fd);
    own_close(&view->index_fd);
}

static void answer_bytes(struct request *q, struct joblog_view *view)
{
    /* An If-Range never matches: a log has no validator, only more bytes. */
    const char *header = q->headers[HEADER_IF_RANGE] == NULL ? q->headers[HEADER_RANGE] : NULL;
    struct range range = {.first = 0, .length = view->bytes};
    enum range_answer r = range_parse(header, view->bytes, &range);

    if (r == RANGE_OUTSIDE) {
        reply_header(q, "Content-Range", "bytes */%llu", (unsigned long long)view->bytes);
        problem(q, "range-not-satisfiable", "the log has %llu bytes",
                (unsigned long long)view->bytes);
        return;
    }
    reply_header(q, "Accept-Ranges", "bytes");
    if (r == RANGE_PART)
        reply_header(q, "Content-Range", "bytes %llu-%llu/%llu",
                     (unsigned long long)range.first,
                     (unsigned long long)(range.first + range.length - 1),
                     (unsigned long long)view->bytes);
    if (range.length == 0) {
        struct buf none = BUF_INIT;
        reply_text(q, 200, LOG_TYPE, &none);
        return;
    }
    reply_file(q, r == RANGE_PART ? 206 : 200, LOG_TYPE, TAKE_FD(view->fd), range.first,
               range.length);
}

/* Sends what the view has behind *offset. 0 or a negative errno. */
static int send_view(struct request *q, const struct joblog_view *view, enum log_stream stream,
                     uint64_t *offset)
{
    while (*offset < view->bytes) {
        OWN_BUF struct buf piece = BUF_INIT;
        uint64_t left = view->bytes - *offset;
        uint64_t len = left < PIECE_BYTES ? left : PIECE_BYTES;

        int r = joblog_read_stream(view, stream, *offset, len, &piece);
        if (r == 0)
            r = reply_write(q, &piece);
        if (r == 0)
            r = task_checkpoint();
        if (r < 0)
            return r;
        *offset += len;
    }
    return 0;
}

static void answer_stored(struct request *q, uint32_t fence, enum log_stream stream)
{
    struct joblog_view view = {.fd = -1, .index_fd = -1};
    uint64_t offset = 0;

    int r = joblog_view(engine_logs(api_of(q)->options.engine), q->id, fence, &view);
    if (r < 0) {
        problem_errno(q, r);
        return;
    }
    if (stream == STREAM_NONE) {
        answer_bytes(q, &view);
    } else {
        /* How much of it is of this stream is not known before it is read. */
        r = reply_stream(q, 200, LOG_TYPE, UINT64_MAX);
        if (r == 0 && send_view(q, &view, stream, &offset) < 0)
            reply_break(q);
    }
    view_close(&view);
}

/* ------------------------------------------------------------------------- following */

/* Sends what there is and waits for more, until the attempt's log has ended. */
static int follow_attempt(struct follow *f)
{
    struct joblogs *logs = engine_logs(f->engine);
    bool live = true;

    while (live) {
        struct joblog_view view;

        int r = joblog_view(logs, f->q->id, f->fence, &view);
        if (r < 0)
            return r;
        r = send_view(f->q, &view, f->stream, &f->offset);
        live = view.live;
        view_close(&view);
        if (r == 0 && live)
            r = joblog_follow(logs, f->q->id, f->fence, f->offset, 0);
        if (r < 0)
            return r;
    }
    return 0;
}

/* One look at the job and at its log: 1 = look again, 0 = all was said. The order matters: only
 * a log that is read after the job was seen without this attempt is surely complete. */
static int follow_step(struct follow *f, uint64_t *again_ms)
{
    OWN(job_free) struct job *job = NULL;
    uint64_t deadline_ns = clock_mono_ns() + *again_ms * NS_PER_MS;

    int r = engine_wait(f->engine, f->q->id, deadline_ns, &job);
    if (r >= 0 && f->fence != 0)
        r = follow_attempt(f);
    if (r < 0)
        return r;
    if (job != NULL && job->fence > f->fence && !(f->one_attempt && f->fence != 0)) {
        /* One by one: a quick attempt may have come and gone while nobody looked. */
        f->fence++;
        f->offset = 0;
        *again_ms = 0;
        return 1;
    }
    /* Gone, ended, or past the one attempt that was asked for. */
    if (job == NULL || job->fence > f->fence || job_state_is_final(job->state) ||
        (f->one_attempt && !job_state_is_live(job->state)))
        return 0;
    *again_ms = *again_ms == 0 ? AGAIN_FIRST_MS : *again_ms * 2;
    if (*again_ms > AGAIN_MAX_MS)
        *again_ms = AGAIN_MAX_MS;
    return 1;
}

static int follow(void *arg)
{
    struct follow *f = arg;
    uint64_t again_ms = 0;
    int r = reply_stream(f->q, 200, LOG_TYPE, UINT64_MAX);

    if (r == 0)
        do
            r = follow_step(f, &again_ms);
        while (r > 0);
    if (r < 0)
        reply_break(f->q);
    return r;
}

static void answer_follow(struct request *q, uint32_t fence, enum log_stream stream,
                          uint64_t offset)
{
    struct follow f = {.q = q,
                       .engine = api_of(q)->options.engine,
                       .stream = stream,
                       .one_attempt = query_get(&q->query, "attempt") != NULL ||
                                      query_get(&q->query, "fence") != NULL,
                       .fence = fence,
                       .offset = offset};

    int r = request_wait(q, follow, &f);
    if (r < 0 && q->reply.status == 0)
        problem_errno(q, r);
}

/* ------------------------------------------------------------------------- the handler */

void log_get(struct request *q)
{
    static const char *const names[] = {"follow", "stream", "attempt", "fence", "offset", NULL};
    OWN(job_free) struct job *job = NULL;
    enum log_stream stream;
    uint64_t offset;
    uint32_t fence;
    bool follows;

    if (!params_known(q, names) || !params_bool(q, "follow", false, &follows) ||
        !read_stream(q, &stream) || !params_u64(q, "offset", 0, INT64_MAX, 0, &offset))
        return;
    if (!follows && query_get(&q->query, "offset") != NULL) {
        problem(q, "bad-parameter", "offset goes with follow; a Range header does it without");
        return;
    }
    int r = engine_get(api_of(q)->options.engine, q->id, &job);
    if (r != 0) {
        problem_engine(q, r, NULL);
        return;
    }
    if (!choose_fence(q, job, &fence))
        return;
    reply_header(q, "X-Content-Type-Options", "nosniff");
    if (follows)
        answer_follow(q, fence, stream, offset);
    else
        answer_stored(q, fence, stream);
}
