#include "tests/lib/http_house.h"

#include "base/buf.h"
#include "base/own.h"
#include "jobs/spec.h"
#include "tests/lib/http_server.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

OWN_DEFINE(struct spec, spec_free);

void http_house_open(struct http_house *house)
{
    group_open(&house->group, "house");
    house->config.http_allow = (char *const *)house->allow;
    house->config.file_roots = house->roots[0] != NULL ? (char *const *)house->roots : NULL;
    house->kinds.config = &house->config;
    ck_assert_int_eq(http_pump_open(&house->config, &house->group, &house->kinds.pump), 0);
    house->server = http_server_open();
}

void http_house_close(struct http_house *house)
{
    http_pump_close(house->kinds.pump);
    http_server_close(house->server);
    ck_assert_int_eq(group_close(&house->group), 0);
}

int http_house_run_try(void *arg)
{
    struct http_try *t = arg;
    OWN(spec_free) struct spec *spec = NULL;
    struct spec_fault fault = {{0}, {0}};
    const _Atomic int64_t grace_ms = 0;

    int r = spec_from_text(t->document, strlen(t->document), &spec, &fault);
    ck_assert_msg(r == 0, "%s: %s %s", t->document, fault.pointer, fault.what);
    const struct attempt attempt = {.job = &t->job,
                                    .spec = spec,
                                    .config = &t->house->config,
                                    .stop_grace_ms = &grace_ms,
                                    .kinds = &t->house->kinds};
    kind_http.run(&attempt, &t->outcome);
    event_set(&t->ended);
    return 0;
}

void http_house_init_try(struct http_try *t, struct http_house *house, const char *fields)
{
    static char queue[] = "q";
    OWN_BUF struct buf b = BUF_INIT;

    *t = (struct http_try){.house = house,
                           .job = {.id = 7, .attempt = 2, .fence = 3, .queue = queue}};
    event_init(&t->ended);
    /* PORT in the text is the server's. */
    buf_puts(&b, "{\"http\":{");
    for (const char *at = fields; *at != 0;) {
        if (strncmp(at, "PORT", 4) == 0) {
            buf_put_u64(&b, http_server_port(house->server));
            at += 4;
        } else {
            buf_putc(&b, *at++);
        }
    }
    buf_puts(&b, "}}");
    t->document = buf_take(&b);
}

void http_house_deinit_try(struct http_try *t)
{
    outcome_deinit(&t->outcome);
    free(t->document);
}

void http_house_try(struct http_try *t, struct http_house *house, const char *fields)
{
    struct group group;

    http_house_init_try(t, house, fields);
    group_open(&group, "attempt");
    ck_assert_int_eq(group_go_stack(&group, http_house_run_try, t, STACK_LARGE), 0);
    ck_assert_int_eq(group_join(&group), 0);
}

void http_house_try_path(struct http_try *t, struct http_house *house,
                         const char *path_and_more)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_puts(&b, "\"url\":\"http://127.0.0.1:PORT");
    buf_puts(&b, path_and_more);
    http_house_try(t, house, buf_str(&b));
}

json_t *http_house_result(const struct http_try *t)
{
    json_error_t error;

    ck_assert_ptr_nonnull(t->outcome.result);
    json_t *json = json_loads(t->outcome.result, 0, &error);
    ck_assert_msg(json != NULL, "%s: %s", t->outcome.result, error.text);
    return json;
}

const char *http_house_text(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));

    return text != NULL ? text : "(none)";
}

void http_house_check(struct http_house *house, const struct http_row *rows)
{
    for (; rows->path != NULL; rows++) {
        struct http_try t;

        http_house_try_path(&t, house, rows->path);
        if (t.outcome.kind != rows->kind || t.outcome.reason != rows->reason ||
            t.outcome.retry_after_ms != rows->retry_after_ms ||
            (rows->words == NULL) != (t.outcome.error == NULL) ||
            (rows->words != NULL && strstr(t.outcome.error, rows->words) == NULL))
            ck_abort_msg("%s: kind %d reason %d retry after %lld ms: %s", rows->path,
                         (int)t.outcome.kind, (int)t.outcome.reason,
                         (long long)t.outcome.retry_after_ms,
                         t.outcome.error != NULL ? t.outcome.error : "no error");
        http_house_deinit_try(&t);
    }
}
