#include "api/render.h"

#include "base/buf.h"
#include "base/own.h"
#include "base/str.h"
#include "jobs/document.h"
#include "jobs/engine.h"
#include "jobs/spec_parts.h"

#include <stdio.h>
#include <string.h>

OWN_DEFINE(json_t, json_decref);

/* What a document without a timeout means; the row "timeout" in jobs/spec_table.c. */
#define TIMEOUT_DEFAULT "\"1h\""

/* ------------------------------------------------------------------------- fields */

static void put_key(struct buf *b, const char *key)
{
    buf_puts(b, ",\"");
    buf_puts(b, key);
    buf_puts(b, "\":");
}

static void put_text(struct buf *b, const char *key, const char *value)
{
    put_key(b, key);
    if (value == NULL)
        buf_puts(b, "null");
    else
        buf_put_json(b, value, strlen(value));
}

static void put_u64(struct buf *b, const char *key, uint64_t value)
{
    put_key(b, key);
    buf_put_u64(b, value);
}

static void put_bool(struct buf *b, const char *key, bool value)
{
    put_key(b, key);
    buf_puts(b, value ? "true" : "false");
}

static void put_time(struct buf *b, const char *key, int64_t at_ms)
{
    char text[STR_TIME_BYTES];

    put_key(b, key);
    if (at_ms == 0) {
        buf_puts(b, "null");
        return;
    }
    str_time_text(text, at_ms);
    buf_putc(b, '"');
    buf_puts(b, text);
    buf_putc(b, '"');
}

/* What is JSON already: a result. */
static void put_raw(struct buf *b, const char *key, const char *json)
{
    put_key(b, key);
    buf_puts(b, json != NULL ? json : "null");
}

/* ",web,img," as an array. */
static void put_limit(struct buf *b, const char *key, uint32_t limit)
{
    if (limit > 0)
        put_u64(b, key, limit);
    else
        put_raw(b, key, NULL);
}

static void put_tags(struct buf *b, const char *tags)
{
    const char *comma = "";

    put_key(b, "tags");
    buf_putc(b, '[');
    for (const char *p = tags; p != NULL && *p != '\0';) {
        size_t len = strcspn(p, ",");

        if (len > 0) {
            buf_puts(b, comma);
            buf_put_json(b, p, len);
            comma = ",";
        }
        p += len + (p[len] == ',');
    }
    buf_putc(b, ']');
}

/* ------------------------------------------------------------------------- the document */

/* The members that render_job writes itself, from the row. */
static bool is_column(const struct document_member *member)
{
    static const char *const columns[] = {"name", "queue", "priority", "key", "tags"};

    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        if (document_key_is(member, columns[i]))
            return true;
    return false;
}

static void put_member(struct buf *b, const struct document_member *member)
{
    buf_puts(b, ",\"");
    buf_put(b, member->key, (size_t)(member->value - member->key) + member->value_len);
}

static void put_document(struct buf *b, const char *document)
{
    struct document_member member;
    bool timeout = false, durability = false;

    while (document != NULL && document_next(&document, &member)) {
        timeout = timeout || document_key_is(&member, "timeout");
        durability = durability || document_key_is(&member, "durability");
        if (!is_column(&member))
            put_member(b, &member);
    }
    if (!timeout)
        put_raw(b, "timeout", TIMEOUT_DEFAULT);
    if (!durability)
        put_raw(b, "durability", "\"full\"");
}

/* ------------------------------------------------------------------------- records */

void render_job(struct buf *b, const struct job *job)
{
    buf_puts(b, "{\"id\":");
    buf_put_u64(b, job->id);
    put_text(b, "kind", job_kind_name(job->kind));
    put_text(b, "name", job->name);
    put_text(b, "queue", job->queue);
    put_key(b, "priority");
    buf_put_i64(b, job->priority);
    put_text(b, "key", job->key);
    put_tags(b, job->tags);
    put_text(b, "state", job_state_name(job->state));
    put_text(b, "reason", job_reason_name(job->reason));
    put_u64(b, "attempt", job->attempt);
    put_u64(b, "crashes", job->crashes);
    put_u64(b, "fence", job->fence);
    put_time(b, "created_at", job->created_at_ms);
    put_time(b, "run_at", job->run_at_ms);
    put_time(b, "started_at", job->started_at_ms);
    put_time(b, "finished_at", job->finished_at_ms);
    put_time(b, "lease_until", job->lease_until_ms);
    put_raw(b, "result", job->result);
    put_text(b, "error", job->error);
    put_bool(b, "dead_letter", job->dead_letter);
    put_bool(b, "cancel_requested", job->cancel_requested);
    if (job->retry_of != 0)
        put_u64(b, "retry_of", job->retry_of);
    else
        put_raw(b, "retry_of", NULL);
    put_document(b, job->spec);
    buf_putc(b, '}');
}

void render_attempt(struct buf *b, const struct attempt_record *a)
{
    buf_puts(b, "{\"attempt\":");
    buf_put_u64(b, a->attempt);
    put_u64(b, "fence", a->fence);
    put_text(b, "state", job_state_name(a->state));
    put_text(b, "reason", job_reason_name(a->reason));
    put_time(b, "started_at", a->started_at_ms);
    put_time(b, "finished_at", a->finished_at_ms);
    put_raw(b, "result", a->result);
    put_text(b, "error", a->error);
    buf_putc(b, '}');
}

/* The long way, for a document whose keys are written with escapes. */
static void put_payload_parsed(struct buf *b, const char *document)
{
    OWN(json_decref) json_t *json = json_loads(document, JSON_ALLOW_NUL, NULL);
    json_t *payload = json_object_get(json_object_get(json, "worker"), "payload");

    put_key(b, "payload");
    if (payload == NULL)
        buf_puts(b, "null");
    else if (spec_json_put(b, payload) < 0)
        b->failed = true;
}

static void put_payload(struct buf *b, const char *document)
{
    struct document_member worker, payload;
    bool found = document_find(document, "worker", &worker);

    if (found && document_find(worker.value, "payload", &payload))
        put_member(b, &payload);
    else if (found && memchr(worker.value, '\\', worker.value_len) == NULL)
        put_raw(b, "payload", NULL);
    else
        put_payload_parsed(b, document);
}

void render_lease(struct buf *b, const struct lease *lease, int64_t now_ms)
{
    static const char *const names[] = {"name", "queue", "key", "tags"};
    struct document_member member;

    buf_puts(b, "{\"id\":");
    buf_put_u64(b, lease->id);
    put_u64(b, "fence", lease->fence);
    put_u64(b, "attempt", lease->attempt);
    put_u64(b, "crashes", lease->crashes);
    put_time(b, "lease_until", lease->until_ms);
    render_seconds(b, "lease_seconds", lease->until_ms - now_ms);
    put_time(b, "deadline", lease->deadline_ms);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (document_find(lease->spec, names[i], &member))
            put_member(b, &member);
    put_payload(b, lease->spec);
    buf_putc(b, '}');
}

void render_seconds(struct buf *b, const char *key, int64_t ms)
{
    put_key(b, key);
    ms = ms > 0 ? ms : 0;
    buf_put_i64(b, ms / 1000);
    buf_putf(b, ".%03d", (int)(ms % 1000));
}

void render_lease_told(struct buf *b, const struct lease_word *word, int64_t now_ms, bool drain)
{
    if (word->renew) {
        put_time(b, "lease_until", word->until_ms);
        render_seconds(b, "lease_seconds", word->until_ms - now_ms);
        put_bool(b, "stop", word->stop);
        put_bool(b, "drain", drain);
        return;
    }
    put_text(b, "state", job_state_name(word->state));
    if (word->run_at_ms != 0)
        put_time(b, "run_at", word->run_at_ms);
}

void render_queue(struct buf *b, const struct queue_view *queue)
{
    const struct queue_record *record = &queue->record;
    char comma = '{';

    buf_puts(b, "{\"name\":");
    buf_put_json(b, record->name, strlen(record->name));
    put_limit(b, "concurrency", record->concurrency);
    put_limit(b, "key_concurrency", record->key_concurrency);
    put_bool(b, "paused", record->paused);
    put_key(b, "counts");
    for (enum job_state s = JOB_HELD; s < JOB_STATE_COUNT; s++) {
        buf_putc(b, comma);
        buf_putf(b, "\"%s\":", job_state_name(s));
        buf_put_u64(b, queue->counts[s]);
        comma = ',';
    }
    buf_putc(b, '}');
    put_key(b, "oldest_seconds");
    if (queue->oldest_ms > 0)
        buf_putf(b, "%lld.%03lld}", (long long)(queue->oldest_ms / 1000),
                 (long long)(queue->oldest_ms % 1000));
    else
        buf_puts(b, "null}");
}

/* ------------------------------------------------------------------------- the tag */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash ^= value;
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

/* Everything of a row that can change after it was made; result and error change only when the
 * state or the fence does. */
void render_job_tag(const struct job *job, char ret[RENDER_TAG_BYTES])
{
    uint64_t hash = mix(UINT64_C(0x51a7), job->id);

    hash = mix(hash, (uint64_t)job->state << 32 | (uint64_t)job->reason);
    hash = mix(hash, (uint64_t)job->attempt << 32 | job->fence);
    hash = mix(hash, (uint64_t)job->crashes << 2 | (uint64_t)job->dead_letter << 1 |
                         (uint64_t)job->cancel_requested);
    hash = mix(hash, (uint64_t)job->run_at_ms);
    hash = mix(hash, (uint64_t)job->started_at_ms);
    hash = mix(hash, (uint64_t)job->finished_at_ms);
    hash = mix(hash, (uint64_t)job->lease_until_ms);
    hash = mix(hash, (uint64_t)(uint32_t)job->priority);
    snprintf(ret, RENDER_TAG_BYTES, "\"%016llx\"", (unsigned long long)hash);
}
