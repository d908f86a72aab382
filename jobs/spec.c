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
OWN_DEFINE(json_t, json_decref);

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

static void free_strings(char **strings)
{
    for (size_t i = 0; strings != NULL && strings[i] != NULL; i++)
        free(strings[i]);
    free(strings);
}

static void free_pairs(struct spec_pair *pairs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        free(pairs[i].name);
        free(pairs[i].value);
    }
    free(pairs);
}

static void free_exec(struct exec_spec *exec)
{
    free_strings(exec->argv);
    free(exec->cwd);
    free_pairs(exec->env, exec->env_count);
    free(exec->stdin_text);
    free(exec->success_codes);
    free(exec->fail_codes);
    free(exec->hold_codes);
    free(exec->retry_codes);
}

static void free_http(struct http_spec *http)
{
    free(http->method);
    free(http->url);
    free_pairs(http->headers, http->headers_count);
    free(http->body);
    free(http->expect);
    free(http->retry_status);
    free(http->save_to);
}

static void free_file(struct file_spec *file)
{
    free(file->from);
    free(file->to);
    free(file->algorithm);
    free(file->expect);
    free(file->format);
    free(file->text);
}

/* Everything but the document. */
static int read_fields(const json_t *object, struct spec **ret, struct spec_fault *fault)
{
    if (!json_is_object(object))
        return spec_refuse(NULL, fault, "must be an object: {\"exec\": {\"argv\": [...]}}");

    OWN(spec_free) struct spec *spec = new_spec();
    if (spec == NULL)
        return -ENOMEM;

    int r = spec_read_table(&spec_table_job, object, spec, NULL, fault);
    if (r < 0)
        return r;
    if (spec->queue == NULL)
        spec->queue = str_dup("default");
    if (spec->queue == NULL)
        return -ENOMEM;
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

/* Takes the document. */
static int read_spec(const json_t *object, char *document, size_t len, struct spec **ret,
                     struct spec_fault *fault)
{
    OWN(free) char *kept = document;
    struct spec *spec = NULL;

    if (kept == NULL)
        return -ENOMEM;
    int r = read_fields(object, &spec, fault);
    if (r < 0)
        return r;
    spec->document = TAKE(kept);
    spec->document_len = len;
    *ret = spec;
    return 0;
}

int spec_from_json(const json_t *object, const char *text, size_t len, struct spec **ret,
                   struct spec_fault *fault)
{
    if (len > SPEC_DOCUMENT_BYTES_MAX)
        return spec_refuse(NULL, fault, "has %zu bytes, at most %u are taken", len,
                           SPEC_DOCUMENT_BYTES_MAX);
    return read_spec(object, str_dup_len(text, len), len, ret, fault);
}

int spec_from_text(const char *text, size_t len, struct spec **ret, struct spec_fault *fault)
{
    OWN(json_decref) json_t *json = NULL;
    size_t document_len = 0;

    int r = spec_json(text, len, SPEC_DOCUMENT_BYTES_MAX, &json, fault);
    if (r < 0)
        return r;
    char *document = spec_text_compact(text, len, &document_len);
    return read_spec(json, document, document_len, ret, fault);
}

void spec_free(struct spec *spec)
{
    if (spec == NULL)
        return;
    free(spec->name);
    free(spec->queue);
    free(spec->key);
    free_strings(spec->tags);
    free_exec(&spec->exec);
    free_http(&spec->http);
    free_file(&spec->file);
    free(spec->document);
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
