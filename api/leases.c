/* leases.c: workers that take jobs. The first look parks nobody; only who is willing to wait
 * and found nothing gets a second task that waits while the first watches whether the worker is
 * still there. */
#include "api/api_parts.h"

#include "api/problem.h"
#include "api/render.h"
#include "api/wire.h"
#include "base/clock.h"
#include "base/own.h"
#include "base/str.h"
#include "jobs/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define QUEUES_MAX 64
#define LEASES_MAX 1000

OWN_DEFINE(json_t, json_decref);

/* What is asked for; strings borrowed from the document. */
struct taking {
    const char *queues[QUEUES_MAX];
    uint32_t queues_count, max;
    struct engine *engine;
    uint64_t wait_until_ns;
    struct lease_list list;
    int result;
};

/* ------------------------------------------------------------------------- reading */

static const char *read_queues(const json_t *value, struct taking *ret)
{
    size_t count = json_array_size(value);

    if (!json_is_array(value) || count == 0 || count > QUEUES_MAX)
        return "must be an array of 1 to 64 names of queues";
    for (size_t i = 0; i < count; i++) {
        const json_t *name = json_array_get(value, i);

        if (!json_is_string(name) ||
            !str_is_name(json_string_value(name), json_string_length(name)))
            return "must be an array of 1 to 64 names of queues";
        ret->queues[i] = json_string_value(name);
    }
    ret->queues_count = (uint32_t)count;
    return NULL;
}

static const char *read_max(const json_t *value, struct taking *ret)
{
    json_int_t max = json_integer_value(value);

    if (!json_is_integer(value) || max < 1 || max > LEASES_MAX)
        return "must be an integer from 1 to 1000";
    ret->max = (uint32_t)max;
    return NULL;
}

/* false: the request is answered. */
static bool read_fields(struct request *q, json_t *object, struct taking *ret)
{
    const char *field, *what;
    char pointer[80];
    json_t *value;

    json_object_foreach(object, field, value)
    {
        if (strcmp(field, "queues") == 0)
            what = read_queues(value, ret);
        else if (strcmp(field, "max") == 0)
            what = read_max(value, ret);
        else
            what = "is not known here; known: queues, max";
        if (what == NULL)
            continue;
        snprintf(pointer, sizeof pointer, "/%.70s", field);
        problem_at(q, "invalid-settings", pointer, what);
        return false;
    }
    return true;
}

/* *ret_json owns the names. */
static bool read_body(struct request *q, struct taking *ret, json_t **ret_json)
{
    struct spec_fault fault = {.pointer = ""};
    int r;

    *ret = (struct taking){.queues = {"default"}, .queues_count = 1, .max = 1};
    if (q->body.len == 0)
        return true;
    r = spec_json(buf_str(&q->body), q->body.len, SPEC_DOCUMENT_BYTES_MAX, ret_json, &fault);
    if (r == -EINVAL)
        problem_at(q, "invalid-json", fault.pointer, fault.what);
    else if (r < 0)
        problem_errno(q, r);
    else if (!json_is_object(*ret_json))
        problem_at(q, "invalid-settings", "",
                   "must be an object: {\"queues\": [\"default\"], \"max\": 10}");
    else
        return read_fields(q, *ret_json, ret);
    return false;
}

/* ------------------------------------------------------------------------- taking */

static int take(void *arg)
{
    struct taking *t = arg;

    lease_list_deinit(&t->list); /* of a first look that found nothing */
    t->result =
        engine_lease(t->engine, t->queues, t->queues_count, t->max, t->wait_until_ns, &t->list);
    return 0;
}

/* A worker that hung up meanwhile reads no answer: what was found for it goes back. */
static void take_waiting(struct request *q, struct taking *t, int64_t wait_ms)
{
    int r;

    t->wait_until_ns = clock_mono_ns() + (uint64_t)wait_ms * NS_PER_MS;
    t->result = -ECANCELED;
    r = request_wait(q, take, t);
    if (r == -EPIPE && t->result == ENGINE_OK) {
        engine_lease_return(t->engine, &t->list);
        lease_list_deinit(&t->list);
    }
    if (r < 0 && t->result != ENGINE_OK)
        t->result = r;
}

static void answer(struct request *q, const struct lease_list *list)
{
    OWN_BUF struct buf b = BUF_INIT;
    int64_t now_ms = clock_wall_ms();

    buf_reserve(&b, 256 * list->count + 16);
    buf_puts(&b, "{\"items\":[");
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            buf_putc(&b, ',');
        render_lease(&b, &list->items[i], now_ms);
    }
    buf_puts(&b, "]}");
    reply_json(q, 200, &b);
}

void leases_take(struct request *q)
{
    static const char *const names[] = {"wait", NULL};
    OWN(json_decref) json_t *json = NULL;
    struct taking t;
    int64_t wait_ms;
    bool preferred;

    if (!params_known(q, names) || !params_wait(q, &wait_ms, &preferred) ||
        !read_body(q, &t, &json))
        return;
    t.engine = api_of(q)->options.engine;
    take(&t);
    if (t.result == ENGINE_OK && t.list.count == 0 && wait_ms > 0)
        take_waiting(q, &t, wait_ms);
    if (t.result == ENGINE_OK)
        answer(q, &t.list);
    else
        problem_engine(q, t.result, NULL);
    lease_list_deinit(&t.list);
}
