#include "api/problem.h"

#include "api/render.h"
#include "api/request.h"
#include "api/wire.h"
#include "base/err.h"
#include "jobs/engine.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* Where it makes sense to send the same request again. */
static bool is_retryable(const struct wire_problem *problem)
{
    return problem->status == 503 || problem->status == 408;
}

static void put_head(struct buf *b, const struct wire_problem *problem)
{
    buf_putf(b, "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%d", problem->type,
             problem->title, problem->status);
}

static void put_errors(struct buf *b, const struct problem_error *errors, unsigned count)
{
    if (count == 0)
        return;
    buf_puts(b, ",\"errors\":[");
    for (unsigned i = 0; i < count; i++) {
        buf_puts(b, i > 0 ? ",{\"pointer\":" : "{\"pointer\":");
        buf_put_json(b, errors[i].pointer, strlen(errors[i].pointer));
        buf_puts(b, ",\"detail\":");
        buf_put_json(b, errors[i].detail, strlen(errors[i].detail));
        buf_putc(b, '}');
    }
    buf_putc(b, ']');
}

/* detail is the sentence; job is shown when it says what the conflict is about. */
static void answer(struct request *q, const char *type, const char *detail,
                   const struct problem_error *errors, unsigned count, const struct job *job)
{
    const struct wire_problem *problem = wire_problem_find(type);
    OWN_BUF struct buf b = BUF_INIT;

    assert_always(problem != NULL);
    put_head(&b, problem);
    buf_puts(&b, ",\"detail\":");
    buf_put_json(&b, detail, strlen(detail));
    buf_puts(&b, ",\"instance\":");
    buf_put_json(&b, q->path, strlen(q->path));
    put_errors(&b, errors, count);
    if (job != NULL) {
        buf_puts(&b, ",\"job\":");
        render_job(&b, job);
    }
    buf_putf(&b, ",\"retryable\":%s,\"request_id\":%llu}",
             is_retryable(problem) ? "true" : "false", (unsigned long long)q->number);
    if (problem->status == 503)
        reply_header(q, "Retry-After", "1");
    reply_json(q, problem->status, &b);
}

void problem(struct request *q, const char *type, const char *fmt, ...)
{
    OWN_BUF struct buf detail = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vputf(&detail, fmt, ap);
    va_end(ap);
    answer(q, type, buf_str(&detail), NULL, 0, NULL);
}

void problem_list(struct request *q, const char *type, const struct problem_error *errors,
                  unsigned count, const char *fmt, ...)
{
    OWN_BUF struct buf detail = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vputf(&detail, fmt, ap);
    va_end(ap);
    answer(q, type, buf_str(&detail), errors, count, NULL);
}

void problem_at(struct request *q, const char *type, const char *pointer, const char *what)
{
    const struct problem_error error = {.pointer = pointer, .detail = what};
    OWN_BUF struct buf detail = BUF_INIT;

    if (pointer[0] != '\0')
        buf_putf(&detail, "%s ", pointer);
    buf_puts(&detail, what);
    answer(q, type, buf_str(&detail), &error, 1, NULL);
}

void problem_put_item(struct buf *b, const char *type, const struct problem_error *error)
{
    put_head(b, wire_problem_find(type));
    buf_puts(b, ",\"detail\":");
    buf_put_json(b, error->detail, strlen(error->detail));
    put_errors(b, error, 1);
    buf_putc(b, '}');
}

void problem_errno(struct request *q, int r)
{
    switch (r) {
    case -ECANCELED:
        problem(q, "draining", "the daemon is about to stop; try again when it is back");
        break;
    case -ENOSPC:
    case -EDQUOT:
    case -EROFS:
        problem(q, "unwritable", "the store cannot be written: %s; nothing was changed",
                err_text(r));
        break;
    case -ENOMEM:
    case -EMFILE:
    case -ENFILE:
    case -EAGAIN:
        problem(q, "busy", "the daemon is short of something: %s; try again", err_text(r));
        break;
    default:
        problem(q, "internal", "%s (%s)", err_text(r), err_name(r));
        break;
    }
}

static const struct engine_problem {
    const char *type, *text;
} engine_problems[] = {
    [ENGINE_NOT_FOUND] = {"not-found", "there is no job with this id; it may have been "
                                       "removed since"},
    [ENGINE_FINAL] = {"already-final", "the job has ended and does not change any more"},
    [ENGINE_STOPPING] = {"conflict", "the job is being stopped"},
    [ENGINE_CONFLICT] = {"conflict", "this is not possible in the job's present state"},
    [ENGINE_FULL] = {"busy", "too many requests or jobs wait already; try again"},
    [ENGINE_UNWRITABLE] = {"unwritable", "the store cannot be written at the moment: disk "
                                         "full or read-only; nothing was changed"},
    [ENGINE_DRAINING] = {"draining", "the daemon is about to stop; try again when it is "
                                     "back"},
    [ENGINE_SUPERSEDED] = {"superseded", "the lease is over, or another worker has the job "
                                         "by now; nothing was changed"},
    [ENGINE_KEY_REUSED] = {"key-reused", "this Idempotency-Key came with another request; "
                                         "take a new one"},
};

/* NULL for what is none. */
static const struct engine_problem *find_engine_problem(int r)
{
    if (r < 0 || r >= (int)(sizeof engine_problems / sizeof *engine_problems) ||
        engine_problems[r].type == NULL)
        return NULL;
    return &engine_problems[r];
}

void problem_put_engine(struct buf *b, int r)
{
    const struct engine_problem *known = find_engine_problem(r);
    const char *text = known != NULL ? known->text : err_text(r < 0 ? r : -EPROTO);

    put_head(b, wire_problem_find(known != NULL ? known->type : "internal"));
    buf_puts(b, ",\"detail\":");
    buf_put_json(b, text, strlen(text));
    buf_putc(b, '}');
}

void problem_engine(struct request *q, int r, const struct job *job)
{
    const struct engine_problem *known = find_engine_problem(r);

    if (known == NULL)
        problem_errno(q, r < 0 ? r : -EPROTO);
    else
        answer(q, known->type, known->text, NULL, 0, job);
}
