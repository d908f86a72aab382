/* queues.c: the queues and their settings. */
#include "api/api_parts.h"

#include "api/problem.h"
#include "api/render.h"
#include "base/own.h"
#include "base/str.h"
#include "jobs/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CONCURRENCY_MAX 1000000

OWN_DEFINE(json_t, json_decref);

static const char *const no_params[] = {NULL};

void queues_list(struct request *q)
{
    struct queue_list list = {.items = NULL};
    OWN_BUF struct buf b = BUF_INIT;

    if (!params_known(q, no_params))
        return;
    int r = engine_queues(api_of(q)->options.engine, &list);
    if (r != 0) {
        problem_engine(q, r, NULL);
        return;
    }
    buf_puts(&b, "{\"items\":[");
    for (size_t i = 0; i < list.count; i++) {
        if (i > 0)
            buf_putc(&b, ',');
        render_queue(&b, &list.items[i]);
    }
    buf_puts(&b, "],\"next\":null}");
    queue_list_deinit(&list);
    reply_json(q, 200, &b);
}

static const struct queue_view *find(const struct queue_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].record.name, name) == 0)
            return &list->items[i];
    return NULL;
}

static void answer_queue(struct request *q)
{
    struct queue_list list = {.items = NULL};
    OWN_BUF struct buf b = BUF_INIT;

    int r = engine_queues(api_of(q)->options.engine, &list);
    if (r != 0) {
        problem_engine(q, r, NULL);
        return;
    }
    const struct queue_view *queue = find(&list, q->name);
    if (queue != NULL) {
        render_queue(&b, queue);
        reply_json(q, 200, &b);
    } else {
        problem(q, "not-found",
                "there is no queue %s; a queue appears with its first job or setting", q->name);
    }
    queue_list_deinit(&list);
}

void queues_get(struct request *q)
{
    if (params_known(q, no_params))
        answer_queue(q);
}

/* ------------------------------------------------------------------------- settings */

static const char *read_limit(const json_t *value, int64_t *ret)
{
    if (json_is_null(value)) {
        *ret = 0;
        return NULL;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > CONCURRENCY_MAX)
        return "must be a whole number from 1 to 1000000, or 0 or null for no limit";
    *ret = json_integer_value(value);
    return NULL;
}

/* NULL, or what is wrong with the field. */
static const char *read_setting(const char *field, const json_t *value,
                                struct queue_settings *ret)
{
    if (strcmp(field, "concurrency") == 0)
        return read_limit(value, &ret->concurrency);
    if (strcmp(field, "key_concurrency") == 0)
        return read_limit(value, &ret->key_concurrency);
    if (strcmp(field, "paused") == 0) {
        if (!json_is_boolean(value))
            return "must be true or false";
        ret->paused = json_is_true(value);
        return NULL;
    }
    return "is not known here; known: concurrency, key_concurrency, paused";
}

static bool read_settings(struct request *q, struct queue_settings *ret)
{
    OWN(json_decref) json_t *json = NULL;
    struct spec_fault fault = {.pointer = ""};
    const char *field;
    json_t *value;

    int r = spec_json(buf_str(&q->body), q->body.len, SPEC_DOCUMENT_BYTES_MAX, &json, &fault);
    if (r < 0) {
        if (r == -EINVAL)
            problem_at(q, "invalid-json", fault.pointer, fault.what);
        else
            problem_errno(q, r);
        return false;
    }
    if (!json_is_object(json)) {
        problem_at(q, "invalid-settings", "", "must be an object: {\"concurrency\": 4}");
        return false;
    }
    json_object_foreach(json, field, value)
    {
        const char *what = read_setting(field, value, ret);

        if (what == NULL)
            continue;
        char pointer[80];
        snprintf(pointer, sizeof pointer, "/%.70s", field);
        problem_at(q, "invalid-settings", pointer, what);
        return false;
    }
    return true;
}

static void set(struct request *q, struct queue_settings settings)
{
    if (!params_known(q, no_params) || !read_settings(q, &settings))
        return;
    if (!str_is_name(q->name, strlen(q->name))) {
        problem(q, "invalid-settings",
                "a queue's name has 1 to 128 letters, digits and _ . : @ / -");
        return;
    }
    int r = engine_queue_set(api_of(q)->options.engine, q->name, &settings);
    if (r != 0)
        problem_engine(q, r, NULL);
    else
        answer_queue(q);
}

void queues_put(struct request *q)
{
    /* What a PUT leaves out has its default. */
    set(q, (struct queue_settings){.concurrency = 0, .key_concurrency = 0, .paused = 0});
}

void queues_patch(struct request *q)
{
    set(q, (struct queue_settings){.concurrency = -1, .key_concurrency = -1, .paused = -1});
}
