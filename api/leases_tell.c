/* leases_tell.c: what workers say about their jobs. A word about one job has its id in the path
 * and is answered by a status; many words come as an array, and each has its own answer in the
 * place where it stood: one that is wrong, late or about nothing does not touch the others. */
#include "api/api_parts.h"

#include "api/problem.h"
#include "api/render.h"
#include "api/wire.h"
#include "base/clock.h"
#include "base/own.h"
#include "base/str.h"
#include "jobs/engine.h"
#include "jobs/spec_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESULT_BYTES_MAX (1u << 20)
#define ERROR_BYTES_MAX 4096
#define SNOOZE_MS_MAX SPEC_SPAN_MS_MAX

OWN_DEFINE(json_t, json_decref);

enum verb { VERB_RENEW = 1, VERB_COMPLETE = 2, VERB_FAIL = 4, VERB_SNOOZE = 8 };
#define VERB_ANY (VERB_RENEW | VERB_COMPLETE | VERB_FAIL | VERB_SNOOZE)

/* The words of one request. */
struct telling {
    struct lease_word *words;
    struct spec_fault **faults; /* by item; NULL = it is right */
    size_t count, wrong;
};

/* ------------------------------------------------------------------------- fields */

/* Each reads one field: NULL, or what is wrong with it. */
typedef const char *(*field_fn)(const json_t *value, struct lease_word *word);

static const char *read_id(const json_t *value, struct lease_word *word)
{
    if (!json_is_integer(value) || json_integer_value(value) < 1)
        return "must be the id of a job";
    word->id = (uint64_t)json_integer_value(value);
    return NULL;
}

static const char *read_fence(const json_t *value, struct lease_word *word)
{
    json_int_t fence = json_integer_value(value);

    if (!json_is_integer(value) || fence < 1 || fence > UINT32_MAX)
        return "must be the fence that came with the lease";
    word->fence = (uint32_t)fence;
    return NULL;
}

static const char *read_result(const json_t *value, struct lease_word *word)
{
    OWN_BUF struct buf text = BUF_INIT;

    if (spec_json_put(&text, value) < 0)
        return "cannot be taken: nested too deep, or no memory";
    if (text.len > RESULT_BYTES_MAX)
        return "must have at most 1 MiB";
    word->outcome.result = buf_take(&text);
    return word->outcome.result != NULL ? NULL : "cannot be taken: no memory";
}

static const char *read_error(const json_t *value, struct lease_word *word)
{
    size_t len = json_string_length(value);

    if (!json_is_string(value) || len > ERROR_BYTES_MAX ||
        memchr(json_string_value(value), 0, len) != NULL)
        return "must be a string of at most 4096 bytes";
    word->outcome.error = str_dup_len(json_string_value(value), len);
    return word->outcome.error != NULL ? NULL : "cannot be taken: no memory";
}

static const char *read_retry(const json_t *value, struct lease_word *word)
{
    if (!json_is_boolean(value))
        return "must be true or false";
    if (json_is_false(value))
        word->outcome.kind = OUTCOME_FAILED_FINAL;
    return NULL;
}

static bool read_span(const json_t *value, int64_t *ret_ms)
{
    if (json_is_string(value))
        return str_duration_ms(json_string_value(value), json_string_length(value), ret_ms) ==
                   0 &&
               *ret_ms >= 0 && *ret_ms <= SNOOZE_MS_MAX;
    if (!json_is_number(value) || json_number_value(value) < 0 ||
        json_number_value(value) * 1000 > (double)SNOOZE_MS_MAX)
        return false;
    *ret_ms = (int64_t)(json_number_value(value) * 1000);
    return true;
}

static const char *read_retry_after(const json_t *value, struct lease_word *word)
{
    return read_span(value, &word->outcome.retry_after_ms) ? NULL
                                                           : "must be a span such as \"10s\"";
}

static const char *read_for(const json_t *value, struct lease_word *word)
{
    int64_t span_ms;

    if (!read_span(value, &span_ms))
        return "must be a span such as \"10s\"";
    word->outcome.snooze_until_ms = clock_wall_ms() + span_ms;
    return NULL;
}

static const char *read_until(const json_t *value, struct lease_word *word)
{
    if (!json_is_string(value) ||
        str_time_ms(json_string_value(value), json_string_length(value),
                    &word->outcome.snooze_until_ms) < 0)
        return "must be a time with its zone, as \"2026-11-23T15:05:53Z\"";
    return NULL;
}

static const struct field {
    const char *name;
    unsigned verbs;
    field_fn read;
} fields[] = {
    {"id", VERB_ANY, read_id},
    {"fence", VERB_ANY, read_fence},
    {"result", VERB_COMPLETE | VERB_FAIL, read_result},
    {"error", VERB_FAIL, read_error},
    {"retry", VERB_FAIL, read_retry},
    {"retry_after", VERB_FAIL, read_retry_after},
    {"for", VERB_SNOOZE, read_for},
    {"until", VERB_SNOOZE, read_until},
};

/* ------------------------------------------------------------------------- one word */

static struct lease_word word_new(enum verb verb)
{
    static const enum outcome_kind kinds[] = {[VERB_RENEW] = OUTCOME_SUCCEEDED,
                                              [VERB_COMPLETE] = OUTCOME_SUCCEEDED,
                                              [VERB_FAIL] = OUTCOME_FAILED,
                                              [VERB_SNOOZE] = OUTCOME_SNOOZED};

    return (struct lease_word){
        .renew = verb == VERB_RENEW,
        .outcome = {.kind = kinds[verb],
                    .reason = verb == VERB_FAIL ? REASON_WORKER_FAILED : REASON_NONE}};
}

static int refuse(struct spec_fault *fault, const char *field, const char *what)
{
    snprintf(fault->pointer, sizeof fault->pointer, field[0] ? "/%.70s" : "%s", field);
    snprintf(fault->what, sizeof fault->what, "%s", what);
    return -EINVAL;
}

static const struct field *find_field(enum verb verb, const char *name)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if ((fields[i].verbs & verb) && strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

/* word->id is set already when the path says it. */
static int read_word(enum verb verb, json_t *object, struct lease_word *word,
                     struct spec_fault *fault)
{
    bool named = word->id != 0;
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return refuse(fault, "", "must be an object: {\"fence\": 1}");
    json_object_foreach(object, name, value)
    {
        const struct field *field = find_field(verb, name);
        const char *what = "is not known here";

        if (field != NULL && !(named && field->read == read_id))
            what = json_is_null(value) ? NULL : field->read(value, word);
        if (what != NULL)
            return refuse(fault, name, what);
    }
    if (word->id == 0)
        return refuse(fault, "id", "is missing");
    return word->fence == 0 ? refuse(fault, "fence", "is missing") : 0;
}

/* ------------------------------------------------------------------------- one */

static void answer_one(struct request *q, const struct lease_word *word, bool drain)
{
    OWN_BUF struct buf b = BUF_INIT;

    if (word->answer != ENGINE_OK) {
        problem_engine(q, word->answer, NULL);
        return;
    }
    buf_puts(&b, "{\"id\":");
    buf_put_u64(&b, word->id);
    buf_puts(&b, ",\"fence\":");
    buf_put_u64(&b, word->fence);
    render_lease_told(&b, word, clock_wall_ms(), drain);
    buf_putc(&b, '}');
    reply_json(q, 200, &b);
}

static void tell_one(struct request *q, enum verb verb, json_t *json)
{
    struct lease_word word = word_new(verb);
    struct spec_fault fault = {.pointer = ""};
    bool drain;

    word.id = q->id;
    if (read_word(verb, json, &word, &fault) < 0) {
        problem_at(q, "invalid-settings", fault.pointer, fault.what);
    } else {
        int r = engine_lease_tell(api_of(q)->options.engine, &word, 1, &drain);

        if (r == ENGINE_OK)
            answer_one(q, &word, drain);
        else
            problem_engine(q, r, NULL);
    }
    outcome_deinit(&word.outcome);
}

/* ------------------------------------------------------------------------- many */

static void telling_deinit(struct telling *t)
{
    for (size_t i = 0; i < t->count; i++) {
        outcome_deinit(&t->words[i].outcome);
        free(t->faults[i]);
    }
    free(t->words);
    free(t->faults);
}

static int read_words(enum verb verb, json_t *array, struct telling *t)
{
    size_t count = json_array_size(array);

    t->words = calloc(count, sizeof *t->words);
    t->faults = calloc(count, sizeof(struct spec_fault *));
    if (t->words == NULL || t->faults == NULL)
        return -ENOMEM;
    t->count = count;
    for (size_t i = 0; i < count; i++) {
        struct spec_fault fault = {.pointer = ""};

        t->words[i] = word_new(verb);
        if (read_word(verb, json_array_get(array, i), &t->words[i], &fault) == 0)
            continue;
        t->faults[i] = malloc(sizeof fault);
        if (t->faults[i] == NULL)
            return -ENOMEM;
        *t->faults[i] = fault;
        t->wrong++;
    }
    return 0;
}

/* Those that are right, side by side as the engine wants them, and back to their places. */
static int tell_right(struct request *q, struct telling *t, bool *ret_drain)
{
    OWN(free) struct lease_word *right = NULL;
    size_t n = 0;
    int r;

    if (t->wrong == 0)
        return engine_lease_tell(api_of(q)->options.engine, t->words, t->count, ret_drain);
    right = calloc(t->count, sizeof *right);
    if (right == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < t->count; i++)
        if (t->faults[i] == NULL)
            right[n++] = t->words[i];
    r = engine_lease_tell(api_of(q)->options.engine, right, n, ret_drain);
    n = 0;
    for (size_t i = 0; i < t->count; i++)
        if (t->faults[i] == NULL)
            t->words[i] = right[n++];
    return r;
}

static void put_error(struct buf *b, const struct telling *t, size_t i)
{
    const struct spec_fault *fault = t->faults[i];
    const struct problem_error error = {.pointer = fault != NULL ? fault->pointer : "",
                                        .detail = fault != NULL ? fault->what : ""};

    buf_puts(b, ",\"error\":");
    if (fault != NULL)
        problem_put_item(b, "invalid-settings", &error);
    else
        problem_put_engine(b, t->words[i].answer);
}

/* Of an item that did not say it: null. */
static void put_number(struct buf *b, uint64_t number)
{
    if (number != 0)
        buf_put_u64(b, number);
    else
        buf_puts(b, "null");
}

static void answer_many(struct request *q, const struct telling *t, bool drain)
{
    OWN_BUF struct buf b = BUF_INIT;
    int64_t now_ms = clock_wall_ms();

    buf_reserve(&b, 64 * t->count + 16);
    buf_puts(&b, "{\"items\":[");
    for (size_t i = 0; i < t->count; i++) {
        buf_puts(&b, i > 0 ? ",{\"id\":" : "{\"id\":");
        put_number(&b, t->words[i].id);
        buf_puts(&b, ",\"fence\":");
        put_number(&b, t->words[i].fence);
        if (t->faults[i] == NULL && t->words[i].answer == ENGINE_OK)
            render_lease_told(&b, &t->words[i], now_ms, drain);
        else
            put_error(&b, t, i);
        buf_putc(&b, '}');
    }
    buf_puts(&b, "]}");
    reply_json(q, 200, &b);
}

static void tell_many(struct request *q, enum verb verb, json_t *json)
{
    struct telling t = {.count = 0};
    bool drain = false;
    int r;

    if (!json_is_array(json) || json_array_size(json) == 0 ||
        json_array_size(json) > WIRE_BATCH_MAX) {
        problem_at(q, "invalid-settings", "", "must be an array of 1 to 10000 objects");
        return;
    }
    r = read_words(verb, json, &t);
    if (r == 0)
        r = tell_right(q, &t, &drain);
    if (r == ENGINE_OK)
        answer_many(q, &t, drain);
    else
        problem_engine(q, r, NULL);
    telling_deinit(&t);
}

/* ------------------------------------------------------------------------- handlers */

static void tell(struct request *q, enum verb verb)
{
    static const char *const names[] = {NULL};
    OWN(json_decref) json_t *json = NULL;
    struct spec_fault fault = {.pointer = ""};

    if (!params_known(q, names))
        return;
    int r = spec_json(buf_str(&q->body), q->body.len, WIRE_BODY_BYTES_MAX, &json, &fault);
    if (r == -EINVAL)
        problem_at(q, "invalid-json", fault.pointer, fault.what);
    else if (r < 0)
        problem_errno(q, r);
    else if (q->id != 0)
        tell_one(q, verb, json);
    else
        tell_many(q, verb, json);
}

void leases_renew(struct request *q)
{
    tell(q, VERB_RENEW);
}

void leases_complete(struct request *q)
{
    tell(q, VERB_COMPLETE);
}

void leases_fail(struct request *q)
{
    tell(q, VERB_FAIL);
}

void leases_snooze(struct request *q)
{
    tell(q, VERB_SNOOZE);
}
