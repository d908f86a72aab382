#include "jobs/spec.h"

#include "base/buf.h"
#include "base/own.h"
#include "base/str.h"
#include "jobs/spec_parts.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

OWN_DEFINE(struct spec, spec_free);

/* The tables say these in words, as each field's fallback. */
const struct lease_terms spec_usual_terms = {
    .lease_ms = 30000,
    .timeout_ms = INT64_C(3600) * 1000,
    .retry = {
        .max_attempts = 10, .base_ms = 5000, .factor = 2, .cap_ms = INT64_C(3600) * 1000}};

static struct spec *new_spec(void)
{
    struct spec *spec = calloc(1, sizeof *spec);

    if (spec == NULL)
        return NULL;
    spec->timeout_ms = spec_usual_terms.timeout_ms;
    spec->retry = spec_usual_terms.retry;
    spec->worker.lease_ms = spec_usual_terms.lease_ms;
    spec->exec.stop_signal = SIGTERM;
    spec->exec.stop_grace_ms = 10000;
    spec->file.mode = 0644;
    return spec;
}

static void free_exec(struct exec_spec *exec)
{
    free(exec->argv);
    free(exec->env);
    free(exec->success_codes);
    free(exec->fail_codes);
    free(exec->hold_codes);
    free(exec->retry_codes);
}

static void free_http(struct http_spec *http)
{
    free(http->headers);
    free(http->json);
    free(http->expect);
    free(http->retry_status);
}

/* Everything but the document. */
static int read_fields(const struct jval *object, struct spec **ret, struct spec_fault *fault)
{
    if (!jval_is(object, JVAL_OBJECT))
        return spec_refuse(NULL, fault, "must be an object: {\"exec\": {\"argv\": [...]}}");

    OWN(spec_free) struct spec *spec = new_spec();
    if (spec == NULL)
        return -ENOMEM;

    int r = spec_read_table(&spec_table_job, object, spec, NULL, fault);
    if (r < 0)
        return r;
    if (spec->queue == NULL)
        spec->queue = "default";
    *ret = TAKE(spec);
    return 0;
}

/* ",web,img,": a tag is found by its name between commas. */
static char *join_tags(const struct spec *spec)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_putc(&b, ',');
    for (unsigned i = 0; i < spec->tags_count; i++) {
        buf_puts(&b, spec->tags[i]);
        buf_putc(&b, ',');
    }
    return buf_take(&b);
}

/* false: no memory for the copy of a string that is there. */
static bool copy_string(const char *from, char **to)
{
    *to = str_dup(from);
    return from == NULL || *to != NULL;
}

int spec_json(const char *text, size_t len, size_t bytes_max, struct jval **ret,
              struct spec_fault *fault)
{
    char error[JVAL_ERROR_BYTES];

    if (len > bytes_max)
        return spec_refuse(NULL, fault, "has %zu bytes, at most %zu are taken", len, bytes_max);

    int r = jval_read(text, len, ret, error);
    return r == -EINVAL ? spec_refuse(NULL, fault, "%s", error) : r;
}

int spec_from_json(const struct jval *object, struct spec **ret, struct spec_fault *fault)
{
    OWN(spec_free) struct spec *spec = NULL;

    int r = read_fields(object, &spec, fault);
    if (r < 0)
        return r;
    spec->document = jval_text(object, &spec->document_len);
    if (spec->document == NULL)
        return -ENOMEM;
    if (spec->document_len > SPEC_DOCUMENT_BYTES_MAX)
        return spec_refuse(NULL, fault, "has %zu bytes, at most %u are taken",
                           spec->document_len, SPEC_DOCUMENT_BYTES_MAX);
    *ret = TAKE(spec);
    return 0;
}

int spec_from_text(const char *text, size_t len, struct spec **ret, struct spec_fault *fault)
{
    OWN(free) struct jval *tree = NULL;

    int r = spec_json(text, len, SPEC_DOCUMENT_BYTES_MAX, &tree, fault);
    if (r == 0)
        r = spec_from_json(tree, ret, fault);
    if (r == 0)
        (*ret)->tree = TAKE(tree);
    return r;
}

void spec_free(struct spec *spec)
{
    if (spec == NULL)
        return;
    free(spec->tags);
    free_exec(&spec->exec);
    free_http(&spec->http);
    free(spec->document);
    free(spec->tree);
    free(spec);
}

void spec_terms(const struct spec *spec, struct lease_terms *ret)
{
    *ret = (struct lease_terms){spec->worker.lease_ms, spec->timeout_ms, spec->retry};
}

bool spec_terms_are_usual(const struct spec *spec)
{
    const struct lease_terms *usual = &spec_usual_terms;

    return spec->worker.lease_ms == usual->lease_ms && spec->timeout_ms == usual->timeout_ms &&
           spec->retry.max_attempts == usual->retry.max_attempts &&
           spec->retry.base_ms == usual->retry.base_ms &&
           spec->retry.factor <= usual->retry.factor &&
           spec->retry.factor >= usual->retry.factor &&
           spec->retry.cap_ms == usual->retry.cap_ms;
}

struct job *spec_job(struct spec *spec, int64_t now_ms)
{
    struct job *job = calloc(1, sizeof *job);

    if (job == NULL)
        return NULL;
    job->kind = spec->kind;
    job->priority = spec->priority;
    job->created_at_ms = now_ms;
    job->run_at_ms = spec->run_at_ms > 0 ? spec->run_at_ms : now_ms + spec->delay_ms;
    job->start_by_at_ms = spec->start_by_ms != 0 ? now_ms + spec->start_by_ms : 0;
    job->retry_until_at_ms = spec->retry_for_ms != 0 ? now_ms + spec->retry_for_ms : 0;
    if (!copy_string(spec->name, &job->name) || !copy_string(spec->queue, &job->queue) ||
        !copy_string(spec->key, &job->key) ||
        (spec->tags_count > 0 && (job->tags = join_tags(spec)) == NULL)) {
        job_free(job);
        return NULL;
    }
    job->spec = TAKE(spec->document);
    spec->document_len = 0;
    return job;
}
