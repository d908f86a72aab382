/* HTTP jobs against a server of our own: what each answer and each trouble means, what is sent,
 * what is kept, which addresses are refused, that a cancelled attempt lets go at once, and what
 * a thousand slow transfers cost. */
#include "base/own.h"
#include "base/str.h"
#include "jobs/http_pump.h"
#include "jobs/http_url.h"
#include "jobs/kinds_internal.h"
#include "jobs/spec.h"
#include "scheduler/event.h"
#include "tests/lib/folder.h"
#include "tests/lib/http_server.h"
#include "tests/lib/scheduled.h"
#include "tests/lib/suite.h"

#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

OWN_DEFINE(struct spec, spec_free);
OWN_DEFINE(json_t, json_decref);

/* What a test has: the pump, a server, and the loopback allowed unless it says otherwise. */
struct house {
    struct group group;
    struct kind_config config;
    struct kinds kinds;
    struct http_server *server;
    const char *allow[3];
    const char *roots[2];
};

static void open_house(struct house *house)
{
    group_open(&house->group, "house");
    house->config.http_allow = (char *const *)house->allow;
    house->config.file_roots = house->roots[0] != NULL ? (char *const *)house->roots : NULL;
    house->kinds.config = &house->config;
    ck_assert_int_eq(http_pump_open(&house->config, &house->group, &house->kinds.pump), 0);
    house->server = http_server_open();
}

static void close_house(struct house *house)
{
    http_pump_close(house->kinds.pump);
    http_server_close(house->server);
    ck_assert_int_eq(group_close(&house->group), 0);
}

#define HOUSE                                                                                  \
    {                                                                                          \
        .allow = { "127.0.0.0/8" }                                                             \
    }

/* One attempt, run as a task. */
struct
try {
    struct house *house;
    char *document;
    struct outcome outcome;
    struct job job;
    struct event ended;
};

static int run_try(void *arg)
{
    struct try *t = arg;
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

static void init_try(struct try *t, struct house *house, const char *fields)
{
    static char queue[] = "q";
    OWN_BUF struct buf b = BUF_INIT;

    *t = (struct try){.house = house,
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

static void deinit_try(struct try *t)
{
    outcome_deinit(&t->outcome);
    free(t->document);
}

/* Runs one attempt to its end. */
static void attempt(struct try *t, struct house *house, const char *fields)
{
    struct group group;

    init_try(t, house, fields);
    group_open(&group, "attempt");
    ck_assert_int_eq(group_go_stack(&group, run_try, t, STACK_LARGE), 0);
    ck_assert_int_eq(group_join(&group), 0);
}

/* For a path of the server. */
static void attempt_path(struct try *t, struct house *house, const char *path_and_more)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_puts(&b, "\"url\":\"http://127.0.0.1:PORT");
    buf_puts(&b, path_and_more);
    attempt(t, house, buf_str(&b));
}

static json_t *result_of(const struct try *t)
{
    json_error_t error;

    ck_assert_ptr_nonnull(t->outcome.result);
    json_t *json = json_loads(t->outcome.result, 0, &error);
    ck_assert_msg(json != NULL, "%s: %s", t->outcome.result, error.text);
    return json;
}

static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));

    return text != NULL ? text : "(none)";
}

static void run_in_house(task_fn fn)
{
    scheduled(2, fn, NULL);
}

#define HOUSE_TEST(name)                                                                       \
    static int name##_task(void *arg);                                                         \
    START_TEST(name)                                                                           \
    {                                                                                          \
        run_in_house(name##_task);                                                             \
    }                                                                                          \
    END_TEST                                                                                   \
    static int name##_task(__attribute__((unused)) void *arg)

/* ---- what an answer means ------------------------------------------------------------------
 */

struct row {
    const char *path;
    enum outcome_kind kind;
    enum job_reason reason;
    int64_t retry_after_ms;
    const char *words; /* in the error; NULL = none */
};

static void check_rows(struct house *house, const struct row *rows)
{
    for (; rows->path != NULL; rows++) {
        struct try t;

        attempt_path(&t, house, rows->path);
        if (t.outcome.kind != rows->kind || t.outcome.reason != rows->reason ||
            t.outcome.retry_after_ms != rows->retry_after_ms ||
            (rows->words == NULL) != (t.outcome.error == NULL) ||
            (rows->words != NULL && strstr(t.outcome.error, rows->words) == NULL))
            ck_abort_msg("%s: kind %d reason %d retry after %lld ms: %s", rows->path,
                         (int)t.outcome.kind, (int)t.outcome.reason,
                         (long long)t.outcome.retry_after_ms,
                         t.outcome.error != NULL ? t.outcome.error : "no error");
        deinit_try(&t);
    }
}

HOUSE_TEST(every_status_has_its_meaning)
{
    static const struct row rows[] = {
        {"/ok\"", OUTCOME_SUCCEEDED, REASON_NONE, 0, NULL},
        {"/status/204\"", OUTCOME_SUCCEEDED, REASON_NONE, 0, NULL},
        {"/status/299\"", OUTCOME_SUCCEEDED, REASON_NONE, 0, NULL},
        {"/status/304\"", OUTCOME_FAILED_FINAL, REASON_HTTP_STATUS, 0, "answered 304"},
        {"/status/400\"", OUTCOME_FAILED_FINAL, REASON_HTTP_STATUS, 0, "answered 400"},
        {"/status/401\"", OUTCOME_FAILED_FINAL, REASON_HTTP_STATUS, 0, "answered 401"},
        {"/status/404?secret\"", OUTCOME_FAILED_FINAL, REASON_HTTP_STATUS, 0,
         "/status/404 answered 404"},
        {"/status/408\"", OUTCOME_FAILED, REASON_HTTP_STATUS, 0, "answered 408"},
        {"/status/409\"", OUTCOME_FAILED_FINAL, REASON_HTTP_STATUS, 0, "answered 409"},
        {"/status/425\"", OUTCOME_FAILED, REASON_HTTP_STATUS, 0, "answered 425"},
        {"/status/429\"", OUTCOME_FAILED, REASON_HTTP_STATUS, 0, "answered 429"},
        {"/status/500\"", OUTCOME_FAILED, REASON_HTTP_STATUS, 0, "answered 500"},
        {"/status/501\"", OUTCOME_FAILED_FINAL, REASON_HTTP_STATUS, 0, "answered 501"},
        {"/status/502\"", OUTCOME_FAILED, REASON_HTTP_STATUS, 0, "answered 502"},
        {"/status/503\"", OUTCOME_FAILED, REASON_HTTP_STATUS, 0, "answered 503"},
        {"/status/504\"", OUTCOME_FAILED, REASON_HTTP_STATUS, 0, "answered 504"},
        {"/status/409\",\"retry_status\":[409]", OUTCOME_FAILED, REASON_HTTP_STATUS, 0, "409"},
        {"/status/404\",\"expect\":[404]", OUTCOME_SUCCEEDED, REASON_NONE, 0, NULL},
        {"/ok\",\"expect\":[404]", OUTCOME_FAILED_FINAL, REASON_HTTP_STATUS, 0, "answered 200"},
        {"/status/503?retry_after=7\"", OUTCOME_FAILED, REASON_HTTP_STATUS, 7000, "503"},
        {"/status/429?retry_after=Thu,+01+Jan+1970+00:00:00+GMT\"", OUTCOME_FAILED,
         REASON_HTTP_STATUS, 0, "429"},
        {"/status/404?retry_after=7\"", OUTCOME_FAILED_FINAL, REASON_HTTP_STATUS, 0, "404"},
        {"/redirect\"", OUTCOME_FAILED_FINAL, REASON_HTTP_STATUS, 0,
         "0 redirects are followed"},
        {NULL, 0, 0, 0, NULL},
    };
    struct house house = HOUSE;

    open_house(&house);
    check_rows(&house, rows);
    close_house(&house);
    return 0;
}

HOUSE_TEST(a_date_of_retry_after_is_a_span_from_now)
{
    struct house house = HOUSE;
    char path[160], date[64];
    struct try t;
    time_t then = (time_t)(clock_wall_ms() / 1000) + 100;
    struct tm tm;

    open_house(&house);
    strftime(date, sizeof date, "%a,+%d+%b+%Y+%H:%M:%S+GMT", gmtime_r(&then, &tm));
    snprintf(path, sizeof path, "/status/503?retry_after=%s\"", date);
    attempt_path(&t, &house, path);
    ck_assert_int_ge(t.outcome.retry_after_ms, 50000);
    ck_assert_int_le(t.outcome.retry_after_ms, 101000);
    deinit_try(&t);
    close_house(&house);
    return 0;
}

HOUSE_TEST(trouble_on_the_way_may_be_tried_again)
{
    static const struct row rows[] = {
        {"/close\"", OUTCOME_FAILED, REASON_HTTP_TRANSPORT, 0, "got no whole answer: Empty"},
        {"/reset\"", OUTCOME_FAILED, REASON_HTTP_TRANSPORT, 0, "got no whole answer"},
        {"/short\"", OUTCOME_FAILED, REASON_HTTP_TRANSPORT, 0, "96 bytes remaining"},
        {"/garbage\"", OUTCOME_FAILED, REASON_HTTP_TRANSPORT, 0, "HTTP/0.9"},
        {"/many-headers\"", OUTCOME_FAILED, REASON_HTTP_TRANSPORT, 0, "more than 65536 bytes"},
        {NULL, 0, 0, 0, NULL},
    };
    struct house house = HOUSE;
    struct try t;

    open_house(&house);
    check_rows(&house, rows);

    attempt(&t, &house, "\"url\":\"http://127.0.0.1:1/\"");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED);
    ck_assert_int_eq(t.outcome.reason, REASON_HTTP_TRANSPORT);
    ck_assert_ptr_nonnull(strstr(t.outcome.error, "Failed to connect to 127.0.0.1 port 1"));
    ck_assert_ptr_null(t.outcome.result);
    deinit_try(&t);

    attempt(&t, &house, "\"url\":\"https://127.0.0.1:PORT/ok\"");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED);
    ck_assert_int_eq(t.outcome.reason, REASON_HTTP_TRANSPORT);
    ck_assert_ptr_nonnull(strstr(t.outcome.error, "SSL"));
    deinit_try(&t);
    close_house(&house);
    return 0;
}

/* ---- what is kept ---------------------------------------------------------------------------
 */

HOUSE_TEST(the_result_tells_status_bytes_headers_and_body)
{
    struct house house = HOUSE;
    struct try t;

    open_house(&house);
    attempt_path(&t, &house, "/ok\"");
    OWN(json_decref) json_t *result = result_of(&t);
    ck_assert_int_eq(json_integer_value(json_object_get(result, "status")), 200);
    ck_assert_int_eq(json_integer_value(json_object_get(result, "bytes")), 5);
    ck_assert_str_eq(text_of(result, "body"), "hello");
    ck_assert_str_eq(text_of(json_object_get(result, "headers"), "content-type"), "text/plain");
    ck_assert_ptr_null(json_object_get(result, "truncated"));
    ck_assert_ptr_null(json_object_get(result, "url"));
    deinit_try(&t);

    attempt_path(&t, &house, "/headers\"");
    OWN(json_decref) json_t *headers = result_of(&t);
    const json_t *fields = json_object_get(headers, "headers");
    ck_assert_str_eq(text_of(fields, "x-a"), "1, 2");
    ck_assert_str_eq(text_of(fields, "set-cookie"), "(not kept)");
    ck_assert_str_eq(text_of(fields, "x-empty"), "");
    ck_assert_str_eq(text_of(headers, "body"), "");
    deinit_try(&t);

    attempt_path(&t, &house, "/status/404\"");
    OWN(json_decref) json_t *failed = result_of(&t);
    ck_assert_str_eq(text_of(failed, "body"), "why");
    deinit_try(&t);
    close_house(&house);
    return 0;
}

HOUSE_TEST(a_body_is_cut_at_its_bound_and_says_so)
{
    struct house house = HOUSE;
    struct try t;

    house.config.http_response_bytes_max = 1000;
    open_house(&house);
    attempt_path(&t, &house, "/big?bytes=300000\"");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    OWN(json_decref) json_t *big = result_of(&t);
    ck_assert_int_eq(json_integer_value(json_object_get(big, "bytes")), 300000);
    ck_assert_uint_eq(strlen(text_of(big, "body")), 1000);
    ck_assert(json_is_true(json_object_get(big, "truncated")));
    deinit_try(&t);

    attempt_path(&t, &house, "/chunked?bytes=9000\",\"response_bytes_max\":9000");
    OWN(json_decref) json_t *chunked = result_of(&t);
    ck_assert_uint_eq(strlen(text_of(chunked, "body")), 9000);
    ck_assert_ptr_null(json_object_get(chunked, "truncated"));
    deinit_try(&t);

    /* The bound falls within a character. */
    attempt_path(&t, &house, "/utf8?bytes=10\",\"response_bytes_max\":5");
    OWN(json_decref) json_t *utf8 = result_of(&t);
    ck_assert_str_eq(text_of(utf8, "body"), "\xc3\xa9\xc3\xa9");
    ck_assert(json_is_true(json_object_get(utf8, "truncated")));
    deinit_try(&t);
    close_house(&house);
    return 0;
}

HOUSE_TEST(an_endless_body_is_not_read_for_ever)
{
    struct house house = HOUSE;
    struct try t;

    open_house(&house);
    attempt_path(&t, &house, "/chunked?bytes=2000000000\",\"response_bytes_max\":10");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    OWN(json_decref) json_t *result = result_of(&t);
    ck_assert_int_ge(json_integer_value(json_object_get(result, "bytes")),
                     HTTP_DROPPED_BYTES_MAX);
    ck_assert_int_le(json_integer_value(json_object_get(result, "bytes")),
                     HTTP_DROPPED_BYTES_MAX + 100000);
    deinit_try(&t);
    close_house(&house);
    return 0;
}

HOUSE_TEST(a_body_that_is_no_text_is_told_in_base64)
{
    struct house house = HOUSE;
    struct try t;

    open_house(&house);
    attempt_path(&t, &house, "/binary\"");
    OWN(json_decref) json_t *result = result_of(&t);
    ck_assert_str_eq(text_of(result, "body_base64"), "AP8B");
    ck_assert_ptr_null(json_object_get(result, "body"));
    deinit_try(&t);
    close_house(&house);
    return 0;
}

/* ---- what is sent ---------------------------------------------------------------------------
 */

static void check_echo(struct house *house, const char *fields, const char *const *words,
                       const char *absent)
{
    struct try t;

    attempt_path(&t, house, fields);
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    OWN(json_decref) json_t *result = result_of(&t);
    const char *body = text_of(result, "body");
    for (; *words != NULL; words++)
        ck_assert_msg(strstr(body, *words) != NULL, "no \"%s\" in\n%s", *words, body);
    if (absent != NULL)
        ck_assert_msg(strstr(body, absent) == NULL, "\"%s\" in\n%s", absent, body);
    deinit_try(&t);
}

HOUSE_TEST(the_request_names_job_attempt_fence_and_queue)
{
    static const char *const named[] = {"GET /echo HTTP/1.1\r\n",
                                        "Idempotency-Key: \"7\"\r\n",
                                        "Stint-Job-Id: 7\r\n",
                                        "Stint-Attempt: 2\r\n",
                                        "Stint-Fence: 3\r\n",
                                        "Stint-Queue: q\r\n",
                                        "User-Agent: stint/" STINT_VERSION "\r\n",
                                        NULL};
    static const char *const own[] = {"Idempotency-Key: mine\r\n", "X-Empty:\r\n", NULL};
    struct house house = HOUSE;

    open_house(&house);
    check_echo(&house, "/echo\"", named, "Content-Length");
    check_echo(&house, "/echo\",\"headers\":{\"Idempotency-Key\":\"mine\",\"X-Empty\":\"\"}",
               own, "\"7\"");
    close_house(&house);
    return 0;
}

HOUSE_TEST(methods_and_bodies_go_out_as_written)
{
    static const char *const post[] = {"POST /echo", "Content-Length: 4\r\n", "\r\n\r\nbody",
                                       NULL};
    static const char *const json[] = {"POST /echo", "Content-Type: application/json\r\n",
                                       "\r\n\r\n{\"a\":1}", NULL};
    static const char *const put[] = {"PUT /echo", "Content-Length: 0\r\n", NULL};
    static const char *const patch[] = {"PATCH /echo", "\r\n\r\nx", NULL};
    static const char *const remove[] = {"DELETE /echo", NULL};
    static const char *const options[] = {"OPTIONS /echo", NULL};
    struct house house = HOUSE;
    struct try t;

    open_house(&house);
    check_echo(&house, "/echo\",\"body\":\"body\"", post, "Content-Type");
    check_echo(&house, "/echo\",\"json\":{\"a\":1}", json, "Expect");
    check_echo(&house, "/echo\",\"method\":\"PUT\"", put, NULL);
    check_echo(&house, "/echo\",\"method\":\"PATCH\",\"body\":\"x\"", patch, NULL);
    check_echo(&house, "/echo\",\"method\":\"DELETE\"", remove, NULL);
    check_echo(&house, "/echo\",\"method\":\"OPTIONS\"", options, NULL);

    attempt_path(&t, &house, "/ok\",\"method\":\"HEAD\"");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    OWN(json_decref) json_t *head = result_of(&t);
    ck_assert_int_eq(json_integer_value(json_object_get(head, "bytes")), 0);
    ck_assert_str_eq(text_of(json_object_get(head, "headers"), "content-length"), "5");
    deinit_try(&t);
    close_house(&house);
    return 0;
}

HOUSE_TEST(a_large_body_arrives_whole)
{
    struct house house = HOUSE;
    OWN_BUF struct buf b = BUF_INIT;
    struct try t;

    open_house(&house);
    buf_puts(
        &b, "\"url\":\"http://127.0.0.1:PORT/echo\",\"response_bytes_max\":\"1M\",\"body\":\"");
    for (int i = 0; i < 300000; i++)
        buf_putc(&b, (char)('a' + i % 26));
    buf_putc(&b, '"');
    attempt(&t, &house, buf_str(&b));
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    OWN(json_decref) json_t *result = result_of(&t);
    const char *body = strstr(text_of(result, "body"), "\r\n\r\n");
    ck_assert_ptr_nonnull(body);
    ck_assert_uint_eq(strlen(body + 4), 300000);
    const char *sent = strstr(t.document, "\"body\":\"") + strlen("\"body\":\"");
    ck_assert_int_eq(memcmp(body + 4, sent, 300000), 0);
    deinit_try(&t);
    close_house(&house);
    return 0;
}

HOUSE_TEST(a_connection_is_used_again)
{
    struct house house = HOUSE;

    open_house(&house);
    for (int i = 0; i < 5; i++) {
        struct try t;
        attempt_path(&t, &house, "/ok\"");
        ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
        deinit_try(&t);
    }
    ck_assert_uint_eq(http_server_requests(house.server), 5);
    ck_assert_uint_eq(http_server_connections(house.server), 1);
    close_house(&house);
    return 0;
}

/* ---- redirects
 * ------------------------------------------------------------------------------- */

HOUSE_TEST(redirects_are_followed_as_far_as_allowed)
{
    static const struct row rows[] = {
        {"/redirect\",\"follow\":1", OUTCOME_SUCCEEDED, REASON_NONE, 0, NULL},
        {"/redirect?to=/redirect\",\"follow\":1", OUTCOME_FAILED_FINAL, REASON_HTTP_STATUS, 0,
         "1 redirects are followed"},
        {"/redirect?to=/redirect\",\"follow\":2", OUTCOME_SUCCEEDED, REASON_NONE, 0, NULL},
        {"/loop\",\"follow\":20", OUTCOME_FAILED_FINAL, REASON_HTTP_STATUS, 0, "20 redirects"},
        {"/redirect?to=ftp://127.0.0.1/\",\"follow\":1", OUTCOME_FAILED_FINAL,
         REASON_HTTP_REFUSED, 0, "must begin with http://"},
        {"/redirect?to=file:///etc/passwd\",\"follow\":1", OUTCOME_FAILED_FINAL,
         REASON_HTTP_REFUSED, 0, "must begin with http://"},
        {"/redirect?to=http://u:p@127.0.0.1/\",\"follow\":1", OUTCOME_FAILED_FINAL,
         REASON_HTTP_REFUSED, 0, "user or password"},
        {"/redirect?to=http://10.1.2.3/\",\"follow\":1", OUTCOME_FAILED_FINAL,
         REASON_HTTP_REFUSED, 0, "refused to connect to 10.1.2.3 (private, in 10.0.0.0/8)"},
        {"/redirect?to=http://169.254.169.254/latest/meta-data\",\"follow\":5",
         OUTCOME_FAILED_FINAL, REASON_HTTP_REFUSED, 0, "169.254.169.254 (link-local"},
        {"/redirect?to=http://[::1]:1/\",\"follow\":5", OUTCOME_FAILED_FINAL,
         REASON_HTTP_REFUSED, 0, "::1 (loopback"},
        {NULL, 0, 0, 0, NULL},
    };
    struct house house = HOUSE;
    struct try t;

    open_house(&house);
    check_rows(&house, rows);

    attempt_path(&t, &house, "/redirect\",\"follow\":1");
    OWN(json_decref) json_t *result = result_of(&t);
    ck_assert_str_eq(text_of(result, "body"), "hello");
    ck_assert_ptr_nonnull(strstr(text_of(result, "url"), "/ok"));
    deinit_try(&t);
    close_house(&house);
    return 0;
}

HOUSE_TEST(a_redirect_changes_method_and_body_as_browsers_do)
{
    static const char *const get[] = {"GET /echo", NULL};
    static const char *const post[] = {"POST /echo", "\r\n\r\nbody", NULL};
    static const char *const put[] = {"PUT /echo", "\r\n\r\nbody", NULL};
    struct house house = HOUSE;

    open_house(&house);
    check_echo(&house, "/redirect?code=303&to=/echo\",\"follow\":1,\"json\":{}", get,
               "Content-Type");
    check_echo(&house, "/redirect?code=302&to=/echo\",\"follow\":1,\"body\":\"body\"", get,
               "body");
    check_echo(&house, "/redirect?code=307&to=/echo\",\"follow\":1,\"body\":\"body\"", post,
               NULL);
    check_echo(&house, "/redirect?code=308&to=/echo\",\"follow\":1,\"body\":\"body\"", post,
               NULL);
    check_echo(
        &house,
        "/redirect?code=302&to=/echo\",\"follow\":1,\"method\":\"PUT\",\"body\":\"body\"", put,
        NULL);
    close_house(&house);
    return 0;
}

HOUSE_TEST(another_origin_does_not_see_our_credentials)
{
    static const char *const same[] = {"Authorization: secret", "Cookie: c=1", "X-A: 1", NULL};
    static const char *const other[] = {"X-A: 1", NULL};
    /* localhost is another origin, and may be ::1 first. */
    struct house house = {.allow = {"127.0.0.0/8", "::1"}};
    char path[300];

    open_house(&house);
    check_echo(&house,
               "/redirect?to=/echo\",\"follow\":1,\"headers\":{\"Authorization\":\"secret\","
               "\"Cookie\":\"c=1\",\"X-A\":\"1\"}",
               same, NULL);
    snprintf(
        path, sizeof path,
        "/redirect?to=http://localhost:%u/echo\",\"follow\":1,\"headers\":{\"authorization\":"
        "\"secret\",\"Cookie\":\"c=1\",\"X-A\":\"1\"}",
        (unsigned)http_server_port(house.server));
    check_echo(&house, path, other, "secret");
    check_echo(&house, path, other, "c=1");
    close_house(&house);
    return 0;
}

/* ---- the guard
 * ------------------------------------------------------------------------------- */

HOUSE_TEST(addresses_that_lead_inside_are_refused_before_a_byte_is_sent)
{
    struct house house = {.allow = {NULL}};
    struct try t;

    open_house(&house);
    attempt_path(&t, &house, "/ok\"");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED_FINAL);
    ck_assert_int_eq(t.outcome.reason, REASON_HTTP_REFUSED);
    ck_assert_ptr_nonnull(strstr(t.outcome.error, "127.0.0.1 (loopback, in 127.0.0.0/8)"));
    ck_assert_ptr_nonnull(strstr(t.outcome.error, "allow in the section [http]"));
    deinit_try(&t);

    attempt(&t, &house, "\"url\":\"http://localhost:PORT/ok\"");
    ck_assert_int_eq(t.outcome.reason, REASON_HTTP_REFUSED);
    deinit_try(&t);
    attempt(&t, &house, "\"url\":\"http://0x7f000001:PORT/ok\"");
    ck_assert_int_eq(t.outcome.reason, REASON_HTTP_REFUSED);
    deinit_try(&t);
    attempt(&t, &house, "\"url\":\"http://[::ffff:127.0.0.1]:PORT/ok\"");
    ck_assert_int_eq(t.outcome.reason, REASON_HTTP_REFUSED);
    deinit_try(&t);
    ck_assert_uint_eq(http_server_connections(house.server), 0);
    close_house(&house);
    return 0;
}

/* ---- save_to
 * --------------------------------------------------------------------------------- */

static unsigned count_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    unsigned count = 0;

    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static off_t size_of(const char *folder, const char *name)
{
    char path[4096];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static void attempt_save(struct try *t, struct house *house, const char *path, const char *name,
                         const char *more)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_putf(&b, "%s\",\"save_to\":\"%s/%s\"%s", path, house->roots[0], name, more);
    attempt_path(t, house, buf_str(&b));
}

HOUSE_TEST(a_body_is_saved_whole_or_not_at_all)
{
    char *folder = folder_new();
    struct house house = {.allow = {"127.0.0.0/8"}, .roots = {folder}};
    struct try t;

    open_house(&house);
    attempt_save(&t, &house, "/big?bytes=3000000", "big", "");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    OWN(json_decref) json_t *result = result_of(&t);
    ck_assert_int_eq(json_integer_value(json_object_get(result, "bytes")), 3000000);
    ck_assert_ptr_nonnull(strstr(text_of(result, "saved_to"), "/big"));
    ck_assert_ptr_null(json_object_get(result, "body"));
    ck_assert_int_eq(size_of(folder, "big"), 3000000);
    deinit_try(&t);

    /* Replaced, also by nothing; not touched by an answer that is no success. */
    attempt_save(&t, &house, "/status/204", "big", "");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    deinit_try(&t);
    attempt_save(&t, &house, "/ok", "big", "");
    ck_assert_int_eq(size_of(folder, "big"), 5);
    deinit_try(&t);
    attempt_save(&t, &house, "/status/404", "big", "");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED_FINAL);
    ck_assert_ptr_nonnull(strstr(t.outcome.result, "\"body\":\"why\""));
    deinit_try(&t);
    attempt_save(&t, &house, "/short", "big", "");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED);
    deinit_try(&t);
    ck_assert_int_eq(size_of(folder, "big"), 5);
    ck_assert_uint_eq(count_entries(folder), 1);
    close_house(&house);
    folder_remove(folder);
    return 0;
}

HOUSE_TEST(what_cannot_be_saved_says_why)
{
    char *folder = folder_new();
    struct house house = {.allow = {"127.0.0.0/8"}, .roots = {folder}};
    struct try t;

    open_house(&house);
    attempt_save(&t, &house, "/big?bytes=100000", "big", ",\"response_bytes_max\":50000");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED_FINAL);
    ck_assert_int_eq(t.outcome.reason, REASON_FILE_ERROR);
    ck_assert_ptr_nonnull(strstr(t.outcome.error, "more than response_bytes_max, 50000 bytes"));
    deinit_try(&t);
    ck_assert_uint_eq(count_entries(folder), 0);

    attempt_path(&t, &house, "/ok\",\"save_to\":\"/etc/passwd\"");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED_FINAL);
    ck_assert_int_eq(t.outcome.reason, REASON_FILE_ERROR);
    ck_assert_ptr_nonnull(strstr(t.outcome.error, "not below a folder named by roots"));
    deinit_try(&t);

    attempt_save(&t, &house, "/ok", "no/such", "");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED_FINAL);
    ck_assert_int_eq(t.outcome.reason, REASON_FILE_ERROR);
    deinit_try(&t);
    /* None of the last two was sent. */
    ck_assert_uint_eq(http_server_requests(house.server), 1);
    close_house(&house);
    folder_remove(folder);
    return 0;
}

/* ---- stopping
 * -------------------------------------------------------------------------------- */

/* Cancels an attempt in the state that path puts it into. */
static void check_cancelled(struct house *house, const char *fields, unsigned requests)
{
    struct group group;
    struct try t;

    init_try(&t, house, fields);
    group_open(&group, "attempt");
    ck_assert_int_eq(group_go_stack(&group, run_try, &t, STACK_LARGE), 0);
    if (requests > 0)
        http_server_await(house->server, requests);
    else
        let_others_run();
    group_cancel(&group, -ECANCELED);
    group_close(&group);
    ck_assert(event_is_set(&t.ended));
    ck_assert_int_eq(t.outcome.kind, OUTCOME_STOPPED);
    deinit_try(&t);
}

#define FILLERS 4

/* A listener whose queue is full: connecting to it goes on for ever. fds are to be closed. */
static unsigned short listen_full(int fds[1 + FILLERS])
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;

    for (int i = 0; i < 1 + FILLERS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ck_assert_int_ge(fds[i], 0);
    }
    ck_assert_int_eq(bind(fds[0], (struct sockaddr *)&addr, len), 0);
    ck_assert_int_eq(listen(fds[0], 0), 0);
    ck_assert_int_eq(getsockname(fds[0], (struct sockaddr *)&addr, &len), 0);
    for (int i = 1; i < 1 + FILLERS; i++)
        (void)connect(fds[i], (struct sockaddr *)&addr, len);
    return ntohs(addr.sin_port);
}

HOUSE_TEST(a_cancelled_attempt_lets_go_at_once)
{
    char *folder = folder_new();
    struct house house = {.allow = {"127.0.0.0/8"}, .roots = {folder}};
    OWN_BUF struct buf b = BUF_INIT, connecting = BUF_INIT;
    int fds[1 + FILLERS];
    uint64_t from_ns;

    open_house(&house);
    from_ns = clock_mono_ns();
    /* While it waits for the answer, for the connection, within the body, while it saves. */
    check_cancelled(&house, "\"url\":\"http://127.0.0.1:PORT/hold\"", 1);
    buf_putf(&connecting, "\"url\":\"http://127.0.0.1:%u/\"", (unsigned)listen_full(fds));
    check_cancelled(&house, buf_str(&connecting), 0);
    check_cancelled(&house, "\"url\":\"http://127.0.0.1:PORT/chunked?bytes=9000000000\"", 2);
    buf_putf(&b,
             "\"url\":\"http://127.0.0.1:PORT/chunked?bytes=9000000000\",\"save_to\":\"%s/x\"",
             folder);
    check_cancelled(&house, buf_str(&b), 3);
    ck_assert_uint_lt(clock_mono_ns() - from_ns, 10 * NS_PER_S);
    ck_assert_uint_eq(count_entries(folder), 0);
    for (int i = 0; i < 1 + FILLERS; i++)
        close(fds[i]);
    close_house(&house);
    folder_remove(folder);
    return 0;
}

HOUSE_TEST(an_attempt_ends_at_its_deadline)
{
    struct house house = HOUSE;
    struct group group;
    struct try t;

    open_house(&house);
    init_try(&t, &house, "\"url\":\"http://127.0.0.1:PORT/hold\"");
    group_open(&group, "attempt");
    ck_assert_int_eq(group_deadline(&group, clock_mono_ns() + 20 * NS_PER_MS), 0);
    ck_assert_int_eq(group_go_stack(&group, run_try, &t, STACK_LARGE), 0);
    ck_assert_int_eq(group_join(&group), -ETIMEDOUT);
    ck_assert_int_eq(t.outcome.kind, OUTCOME_STOPPED);
    deinit_try(&t);
    close_house(&house);
    return 0;
}

/* ---- a crowd
 * --------------------------------------------------------------------------------- */

#define CROWD (1000 / (SLOWDOWN > 1 ? 5 : 1))

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0, resident = 0;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%lu %lu", &pages, &resident), 2);
    fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

HOUSE_TEST(a_thousand_slow_transfers_cost_little_memory_and_no_threads)
{
    static struct try tries[CROWD];
    struct house house = HOUSE;
    struct scheduler_stats stats;
    struct group group;

    open_house(&house);
    uint64_t before_bytes = resident_bytes();
    group_open(&group, "crowd");
    for (int i = 0; i < CROWD; i++) {
        init_try(&tries[i], &house, "\"url\":\"http://127.0.0.1:PORT/hold\"");
        ck_assert_int_eq(group_go_stack(&group, run_try, &tries[i], STACK_LARGE), 0);
    }
    http_server_await(house.server, CROWD);
    uint64_t cost_bytes = resident_bytes() - before_bytes;
    scheduler_stats(&stats);
    ck_assert_uint_eq(http_server_connections(house.server), CROWD);
    printf("http.crowd %d transfers with their server: %.1f MB, %llu threads\n", CROWD,
           (double)cost_bytes / 1e6, (unsigned long long)stats.threads);
    if (SLOWDOWN == 1)
        ck_assert_uint_lt(cost_bytes, 50000000);
    ck_assert_uint_lt(stats.threads, 12);

    http_server_release(house.server);
    ck_assert_int_eq(group_join(&group), 0);
    for (int i = 0; i < CROWD; i++) {
        ck_assert_int_eq(tries[i].outcome.kind, OUTCOME_SUCCEEDED);
        deinit_try(&tries[i]);
    }
    close_house(&house);
    return 0;
}

HOUSE_TEST(a_crowd_that_is_cancelled_goes_at_once)
{
    static struct try tries[CROWD];
    struct house house = HOUSE;
    struct group group;

    open_house(&house);
    group_open(&group, "crowd");
    for (int i = 0; i < CROWD; i++) {
        init_try(&tries[i], &house,
                 i % 3 == 0 ? "\"url\":\"http://127.0.0.1:PORT/chunked?bytes=100000\""
                            : "\"url\":\"http://127.0.0.1:PORT/hold\"");
        ck_assert_int_eq(group_go_stack(&group, run_try, &tries[i], STACK_LARGE), 0);
    }
    http_server_await(house.server, CROWD / 2);
    group_cancel(&group, -ECANCELED);
    group_close(&group);
    for (int i = 0; i < CROWD; i++)
        deinit_try(&tries[i]);

    struct try t; /* and the pump is well */
    attempt_path(&t, &house, "/ok\"");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    deinit_try(&t);
    close_house(&house);
    return 0;
}

int main(void)
{
    return SUITE_MAIN(
        "jobs/http", every_status_has_its_meaning, a_date_of_retry_after_is_a_span_from_now,
        trouble_on_the_way_may_be_tried_again, the_result_tells_status_bytes_headers_and_body,
        a_body_is_cut_at_its_bound_and_says_so, an_endless_body_is_not_read_for_ever,
        a_body_that_is_no_text_is_told_in_base64, the_request_names_job_attempt_fence_and_queue,
        methods_and_bodies_go_out_as_written, a_large_body_arrives_whole,
        a_connection_is_used_again, redirects_are_followed_as_far_as_allowed,
        a_redirect_changes_method_and_body_as_browsers_do,
        another_origin_does_not_see_our_credentials,
        addresses_that_lead_inside_are_refused_before_a_byte_is_sent,
        a_body_is_saved_whole_or_not_at_all, what_cannot_be_saved_says_why,
        a_cancelled_attempt_lets_go_at_once, an_attempt_ends_at_its_deadline,
        a_thousand_slow_transfers_cost_little_memory_and_no_threads,
        a_crowd_that_is_cancelled_goes_at_once);
}
