/* jobs_submit.c: POST /v1/jobs. One object makes one job; an array, or one object a line
 * (NDJSON), makes many in one transaction. The form that curl -d sends by itself is taken for
 * what it is, JSON with another name on it: nothing here reads forms, and requests from other
 * sites' pages were refused before. */
#include "api/api_parts.h"

#include "api/problem.h"
#include "api/wire.h"
#include "base/own.h"
#include "base/str.h"
#include "jobs/document.h"
#include "jobs/engine.h"
#include "scheduler/task.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

OWN_DEFINE(struct job, job_free);

/* Of a batch that is refused, so many places are named. */
#define ERRORS_SHOWN_MAX 20
#define KEY_BYTES_MAX 255

/* What a body came to. Items that are wrong have a fault and no spec. */
struct batch {
    struct spec **specs;
    struct spec_fault **faults;
    size_t count, cap, wrong;
    bool many;    /* an array or lines: the answer has items */
    bool relaxed; /* so all of them are to be: one that is not has the others synced as well */
};

static void batch_deinit(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        spec_free(batch->specs[i]);
        free(batch->faults[i]);
    }
    free(batch->specs);
    free(batch->faults);
}

static int batch_reserve(struct batch *batch, size_t cap)
{
    struct spec **specs = calloc(cap, sizeof *specs);
    struct spec_fault **faults = calloc(cap, sizeof *faults);

    batch->specs = specs;
    batch->faults = faults;
    batch->cap = cap;
    return specs == NULL || faults == NULL ? -ENOMEM : 0;
}

/* Files what reading one item came to: r as of spec_from_json. */
static int batch_add(struct batch *batch, int r, struct spec *spec,
                     const struct spec_fault *fault)
{
    if (r < 0 && r != -EINVAL)
        return r;
    if (r == -EINVAL) {
        struct spec_fault *copy = malloc(sizeof *copy);

        if (copy == NULL)
            return -ENOMEM;
        *copy = *fault;
        batch->faults[batch->count] = copy;
        batch->wrong++;
    } else {
        batch->specs[batch->count] = spec;
    }
    batch->count++;
    return 0;
}

/* ------------------------------------------------------------------------- reading */

static bool too_many(struct request *q, size_t count)
{
    if (count <= WIRE_BATCH_MAX)
        return false;
    problem(q, "invalid-job", "the batch has more than %d jobs; send it in parts",
            WIRE_BATCH_MAX);
    return true;
}

/* 0, or a negative errno; -EALREADY: the request is answered. text is the array's, compact. */
static int read_array(struct request *q, const json_t *array, const char *text,
                      struct batch *batch)
{
    size_t count = json_array_size(array);

    batch->many = true;
    if (count == 0) {
        problem_at(q, "invalid-job", "", "must hold at least one job");
        return -EALREADY;
    }
    if (too_many(q, count))
        return -EALREADY;

    int r = batch_reserve(batch, count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct spec *spec = NULL;
        struct spec_fault fault = {.pointer = ""};
        const char *item = NULL;
        size_t len = 0;

        (void)document_element(&text, &item, &len); /* it is well-formed, so there is one */
        r = spec_from_json(json_array_get(array, i), item, len, &spec, &fault);
        r = batch_add(batch, r, spec, &fault);
        if (r == 0)
            r = task_checkpoint();
    }
    return r;
}

static size_t count_lines(const char *text, size_t len)
{
    size_t lines = 1;

    for (const char *p = text; (p = memchr(p, '\n', len - (size_t)(p - text))) != NULL; p++)
        lines++;
    return lines;
}

static bool is_blank(const char *text, size_t len)
{
    return strspn(text, " \t\r\n") >= len;
}

static int read_lines(struct request *q, struct batch *batch)
{
    const char *text = buf_str(&q->body), *end = text + q->body.len;
    size_t lines = count_lines(text, q->body.len);
    size_t cap = lines < WIRE_BATCH_MAX ? lines : WIRE_BATCH_MAX;

    batch->many = true;
    int r = batch_reserve(batch, cap);
    while (r == 0 && text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t len = (size_t)((newline != NULL ? newline : end) - text);
        struct spec *spec = NULL;
        struct spec_fault fault = {.pointer = ""};

        if (!is_blank(text, len)) {
            if (batch->count == cap) {
                too_many(q, WIRE_BATCH_MAX + 1);
                return -EALREADY;
            }
            r = spec_from_text(text, len, &spec, &fault);
            r = batch_add(batch, r, spec, &fault);
        }
        text += len + (newline != NULL);
        if (r == 0)
            r = task_checkpoint();
    }
    if (r == 0 && batch->count == 0) {
        problem_at(q, "invalid-job", "", "must hold at least one job");
        return -EALREADY;
    }
    return r;
}

static int read_one(struct request *q, struct batch *batch)
{
    struct spec *spec = NULL;
    struct spec_fault fault = {.pointer = ""};

    int r = batch_reserve(batch, 1);
    if (r < 0)
        return r;
    r = spec_from_text(buf_str(&q->body), q->body.len, &spec, &fault);
    return batch_add(batch, r, spec, &fault);
}

static int read_many(struct request *q, struct batch *batch)
{
    json_t *json = NULL;
    struct spec_fault fault = {.pointer = ""};

    int r = spec_json(buf_str(&q->body), q->body.len, WIRE_BODY_BYTES_MAX, &json, &fault);
    if (r == -EINVAL) {
        problem_at(q, "invalid-json", fault.pointer, fault.what);
        return -EALREADY;
    }
    if (r == 0) {
        size_t len;
        OWN(free) char *text = spec_text_compact(buf_str(&q->body), q->body.len, &len);

        r = text != NULL ? read_array(q, json, text, batch) : -ENOMEM;
    }
    json_decref(json);
    return r;
}

/* One object a line: said so, or the first line is an object and another one follows. */
static bool is_lines(const struct request *q, const char *text)
{
    const char *type = q->headers[HEADER_CONTENT_TYPE];

    if (type != NULL &&
        (media_type_is(type, "application/x-ndjson") ||
         media_type_is(type, "application/ndjson") || media_type_is(type, "application/jsonl")))
        return true;
    size_t len = strcspn(text, "\n"), next = len + strspn(text + len, " \t\r\n");
    while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL)
        len--;
    return text[0] == '{' && len > 0 && text[len - 1] == '}' && text[next] == '{';
}

static bool type_is_read(struct request *q)
{
    static const char *const types[] = {
        "application/json",     "application/x-www-form-urlencoded",
        "application/x-ndjson", "application/ndjson",
        "application/jsonl",    "text/plain"};
    const char *type = q->headers[HEADER_CONTENT_TYPE];

    if (type == NULL)
        return true;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (media_type_is(type, types[i]))
            return true;
    problem(q, "unsupported-media-type",
            "%.*s is not read here; send application/json or application/x-ndjson",
            (int)media_type_len(type), type);
    return false;
}

/* true: the batch is filled; false: the request is answered. */
static bool read_body(struct request *q, struct batch *batch)
{
    if (!type_is_read(q))
        return false;

    const char *text = buf_str(&q->body);
    text += strspn(text, " \t\r\n");
    if (*text == '\0') {
        problem(q, "invalid-json",
                "the body is empty; send a job, such as "
                "{\"exec\":{\"argv\":[\"true\"]}}");
        return false;
    }

    int r = is_lines(q, text) ? read_lines(q, batch)
            : *text == '['    ? read_many(q, batch)
                              : read_one(q, batch);
    if (r < 0 && r != -EALREADY)
        problem_errno(q, r);
    return r == 0;
}

/* ------------------------------------------------------------------------- refusing */

/* A fault that is about bytes rather than about fields. */
static const char *fault_type(const struct spec_fault *fault)
{
    return fault->pointer[0] == '\0' && (strstr(fault->what, "is not JSON") != NULL ||
                                         strstr(fault->what, "is not valid UTF-8") != NULL)
               ? "invalid-json"
               : "invalid-job";
}

static void refuse_one(struct request *q, const struct spec_fault *fault)
{
    problem_at(q, fault_type(fault), fault->pointer, fault->what);
}

static void refuse_many(struct request *q, const struct batch *batch)
{
    struct problem_error errors[ERRORS_SHOWN_MAX];
    char pointers[ERRORS_SHOWN_MAX][sizeof batch->faults[0]->pointer + 24];
    unsigned shown = 0;

    for (size_t i = 0; i < batch->count && shown < ERRORS_SHOWN_MAX; i++) {
        const struct spec_fault *fault = batch->faults[i];

        if (fault == NULL)
            continue;
        snprintf(pointers[shown], sizeof pointers[shown], "/%zu%s", i, fault->pointer);
        errors[shown] =
            (struct problem_error){.pointer = pointers[shown], .detail = fault->what};
        shown++;
    }
    problem_list(q, "invalid-job", errors, shown,
                 "%zu of %zu jobs are not valid, so none was taken; with ?atomic=false the "
                 "others would be. First: %s %s",
                 batch->wrong, batch->count, errors[0].pointer, errors[0].detail);
}

/* ------------------------------------------------------------------------- submitting */

/* What a request is, for telling a repeated one from another one with the same key. */
static uint64_t fingerprint(const struct request *q)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    const struct {
        const char *data;
        size_t len;
    } parts[] = {{q->path, strlen(q->path) + 1},
                 {q->query_text, strlen(q->query_text) + 1},
                 {buf_str(&q->body), q->body.len}};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (size_t k = 0; k < parts[i].len; k++)
            hash = (hash ^ (unsigned char)parts[i].data[k]) * UINT64_C(0x100000001b3);
    return hash;
}

/* The Idempotency-Key without the quotes of a structured field; *ret NULL without one. false:
 * the request is answered. */
static bool read_key(struct request *q, char room[KEY_BYTES_MAX + 1], const char **ret)
{
    const char *header = q->headers[HEADER_IDEMPOTENCY_KEY];

    *ret = NULL;
    if (header == NULL)
        return true;

    size_t len = strlen(header);
    if (len >= 2 && header[0] == '"' && header[len - 1] == '"') {
        header++;
        len -= 2;
    }
    bool plain = len > 0 && len <= KEY_BYTES_MAX;
    for (size_t i = 0; plain && i < len; i++)
        plain = header[i] > ' ' && header[i] < 127;
    if (!plain) {
        problem(q, "bad-request",
                "Idempotency-Key must be 1 to %d visible ASCII characters without spaces",
                KEY_BYTES_MAX);
        return false;
    }
    memcpy(room, header, len);
    room[len] = '\0';
    *ret = room;
    return true;
}

/* What a submission got: nothing is told to be on the disk that need not be. */
static void put_durability(struct buf *b, bool relaxed)
{
    buf_puts(b, relaxed ? ",\"durability\":\"relaxed\"" : ",\"durability\":\"full\"");
}

static bool all_relaxed(const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->specs[i] != NULL && !batch->specs[i]->relaxed)
            return false;
    return true;
}

/* Moves the specs that are right to the front; the faults keep their places. */
static size_t gather(struct batch *batch, struct spec **ret)
{
    size_t count = 0;

    for (size_t i = 0; i < batch->count; i++)
        if (batch->specs[i] != NULL)
            ret[count++] = TAKE(batch->specs[i]);
    return count;
}

static void answer_items(struct request *q, const struct batch *batch, uint64_t first_id)
{
    OWN_BUF struct buf b = BUF_INIT;
    uint64_t id = first_id;

    buf_reserve(&b, 16 * batch->count + 16);
    buf_puts(&b, "{\"items\":[");
    for (size_t i = 0; i < batch->count; i++) {
        const struct spec_fault *fault = batch->faults[i];

        if (i > 0)
            buf_putc(&b, ',');
        if (fault == NULL) {
            buf_puts(&b, "{\"id\":");
            buf_put_u64(&b, id++);
            buf_putc(&b, '}');
            continue;
        }
        const struct problem_error error = {.pointer = fault->pointer, .detail = fault->what};
        buf_puts(&b, "{\"error\":");
        problem_put_item(&b, fault_type(fault), &error);
        buf_putc(&b, '}');
    }
    buf_putc(&b, ']');
    put_durability(&b, batch->relaxed);
    buf_putc(&b, '}');
    reply_json(q, batch->wrong > 0 ? 200 : 201, &b);
}

static void answer_minimal(struct request *q, uint64_t id, bool relaxed)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_puts(&b, "{\"id\":");
    buf_put_u64(&b, id);
    if (relaxed) /* the usual answer stays as short as it can be */
        put_durability(&b, relaxed);
    buf_putc(&b, '}');
    reply_header(q, "Preference-Applied", "return=minimal");
    reply_json(q, 201, &b);
}

static void answer_one(struct request *q, const struct job *job, bool relaxed, int64_t wait_ms)
{
    if (wait_ms > 0) {
        jobs_answer_wait(q, job->id, wait_ms, true);
        return;
    }
    reply_header(q, "Location", WIRE_JOBS "/%llu", (unsigned long long)job->id);
    if (q->headers[HEADER_PREFER] != NULL && prefer_minimal(q->headers[HEADER_PREFER]))
        answer_minimal(q, job->id, relaxed);
    else
        jobs_answer(q, 201, job);
}

static void tell_replayed(struct request *q, bool replayed)
{
    if (replayed)
        reply_header(q, "Idempotency-Replayed", "true");
}

static void submit_one(struct request *q, struct batch *batch,
                       const struct submit_options *options, int64_t wait_ms)
{
    OWN(job_free) struct job *job = NULL;
    bool replayed = false;

    int r = engine_submit_one(api_of(q)->options.engine, TAKE(batch->specs[0]), options, &job,
                              &replayed);
    if (r != 0) {
        problem_engine(q, r, NULL);
        return;
    }
    tell_replayed(q, replayed);
    answer_one(q, job, batch->relaxed, wait_ms);
}

static void submit_many(struct request *q, struct batch *batch,
                        const struct submit_options *options)
{
    uint64_t first_id = 0;
    bool replayed = false;

    OWN(free) struct spec **specs = calloc(batch->count, sizeof *specs);
    if (specs == NULL) {
        problem_errno(q, -ENOMEM);
        return;
    }
    size_t count = gather(batch, specs);
    if (count > 0) {
        int r = engine_submit(api_of(q)->options.engine, specs, count, options, &first_id,
                              &replayed);
        if (r != 0) {
            problem_engine(q, r, NULL);
            return;
        }
    }
    tell_replayed(q, replayed);
    answer_items(q, batch, first_id);
}

static void submit(struct request *q, struct batch *batch, int64_t wait_ms)
{
    char room[KEY_BYTES_MAX + 1];
    struct submit_options options = {.key = NULL};

    if (!read_key(q, room, &options.key))
        return;
    if (options.key != NULL)
        options.fingerprint = fingerprint(q);
    batch->relaxed = all_relaxed(batch);
    if (batch->many)
        submit_many(q, batch, &options);
    else
        submit_one(q, batch, &options, wait_ms);
}

/* What was asked for and is not done is said; a preference may be passed over. */
static bool waits_for_many(struct request *q, const struct batch *batch, int64_t wait_ms,
                           bool preferred)
{
    if (!batch->many || wait_ms == 0 || preferred)
        return false;
    problem(q, "bad-parameter",
            "wait is for one job; an array or lines are answered once they are durable");
    return true;
}

void jobs_submit(struct request *q)
{
    static const char *const names[] = {"wait", "atomic", NULL};
    struct batch batch = {.specs = NULL};
    int64_t wait_ms;
    bool atomic, preferred;

    if (!params_known(q, names) || !params_bool(q, "atomic", true, &atomic) ||
        !params_wait(q, &wait_ms, &preferred))
        return;
    if (read_body(q, &batch) && !waits_for_many(q, &batch, wait_ms, preferred)) {
        if (!batch.many && batch.wrong > 0)
            refuse_one(q, batch.faults[0]);
        else if (batch.wrong > 0 && (atomic || batch.wrong == batch.count))
            refuse_many(q, &batch);
        else
            submit(q, &batch, wait_ms);
    }
    batch_deinit(&batch);
}
