/* admin.c: what an operator asks for: a copy of the store, and whether it is sound. */
#include "api/api_parts.h"

#include "api/problem.h"
#include "base/err.h"
#include "base/own.h"
#include "jobs/engine_admin.h"

#include <errno.h>
#include <string.h>

#define PATH_BYTES_MAX 4000 /* leaves room for ".partial" */

OWN_DEFINE(json_t, json_decref);

static const char *const no_params[] = {NULL};

/* ----- copies ----- */

/* NULL when the request is answered. *ret_json holds the text. */
static const char *read_path(struct request *q, json_t **ret_json)
{
    struct spec_fault fault = {.pointer = ""};
    const char *path;
    int r =
        spec_json(buf_str(&q->body), q->body.len, SPEC_DOCUMENT_BYTES_MAX, ret_json, &fault);

    if (r == -EINVAL)
        problem_at(q, "invalid-json", fault.pointer, fault.what);
    else if (r < 0)
        problem_errno(q, r);
    if (r < 0)
        return NULL;
    path = json_string_value(json_object_get(*ret_json, "path"));
    if (path == NULL || json_object_size(*ret_json) != 1) {
        problem_at(q, "invalid-settings", "", "must be an object: {\"path\": \"/…/copy.db\"}");
        return NULL;
    }
    if (path[0] != '/' || strlen(path) > PATH_BYTES_MAX || path[strlen(path) - 1] == '/') {
        problem_at(q, "invalid-settings", "/path",
                   "must be the absolute path of a file that is not there yet");
        return NULL;
    }
    return path;
}

static void refuse_copy(struct request *q, int r, const char *path)
{
    switch (r) {
    case ENGINE_CONFLICT:
        problem(q, "conflict", "another copy is being made; one at a time");
        break;
    case -EEXIST:
        problem(q, "conflict",
                "%s or %s.partial is there already, and nothing is overwritten: choose another "
                "name, or remove it",
                path, path);
        break;
    case -EBUSY:
        problem(q, "conflict", "another daemon is at %s.partial", path);
        break;
    case -ENOSPC:
    case -EDQUOT:
        problem(q, "unwritable", "no room for the copy at %s: %s", path, err_text(r));
        break;
    case -ECANCELED:
    case -ENOMEM:
    case -EIO:
        problem_errno(q, r);
        break;
    default:
        problem(q, "invalid-settings", "%s cannot be written by the daemon: %s", path,
                err_text(r));
        break;
    }
}

void admin_backup(struct request *q)
{
    OWN(json_decref) json_t *json = NULL;
    OWN_BUF struct buf b = BUF_INIT;
    struct backup_result result = {0};
    const char *path;

    if (!params_known(q, no_params) || (path = read_path(q, &json)) == NULL)
        return;
    int r = engine_backup(api_of(q)->options.engine, path, &result);
    if (r != 0) {
        refuse_copy(q, r, path);
        return;
    }
    buf_puts(&b, "{\"path\":");
    buf_put_json(&b, path, strlen(path));
    buf_putf(&b, ",\"bytes\":%llu,\"seconds\":%.3f}", (unsigned long long)result.bytes,
             (double)result.took_ns / 1e9);
    reply_json(q, 201, &b);
}

/* ----- the doctor ----- */

static void put_sentences(struct buf *b, const char *key, char *const *list, size_t count)
{
    buf_putf(b, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        buf_puts(b, i > 0 ? "," : "");
        buf_put_json(b, list[i], strlen(list[i]));
    }
    buf_putc(b, ']');
}

void admin_doctor(struct request *q)
{
    OWN_BUF struct buf b = BUF_INIT;
    struct doctor_report report;

    if (!params_known(q, no_params))
        return;
    int r = engine_doctor(api_of(q)->options.engine, &report);
    if (r == ENGINE_CONFLICT) {
        problem(q, "conflict", "the store is being checked already; one check at a time");
        return;
    }
    if (r != 0) {
        problem_errno(q, r);
        return;
    }
    buf_putf(&b, "{\"healthy\":%s", report.findings_count == 0 ? "true" : "false");
    put_sentences(&b, "findings", report.findings, report.findings_count);
    put_sentences(&b, "skipped", report.skipped, report.skipped_count);
    buf_putf(&b, ",\"seconds\":%.3f}", (double)report.took_ns / 1e9);
    doctor_report_deinit(&report);
    reply_json(q, 200, &b);
}
