/* HTTP jobs against a server of our own: what each answer and each trouble means, what is kept,
 * what is sent, where redirects lead, which addresses are refused. */
#include "base/own.h"
#include "jobs/http_pump.h"
#include "tests/lib/http_house.h"
#include "tests/lib/http_server.h"
#include "tests/lib/scheduled.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

OWN_DEFINE(json_t, json_decref);

/* ---- what an answer means ---- */

HTTP_HOUSE_TEST(every_status_has_its_meaning)
{
    static const struct http_row rows[] = {
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
    struct http_house house = HTTP_HOUSE;

    http_house_open(&house);
    http_house_check(&house, rows);
    http_house_close(&house);
    return 0;
}

HTTP_HOUSE_TEST(a_date_of_retry_after_is_a_span_from_now)
{
    struct http_house house = HTTP_HOUSE;
    char path[160], date[64];
    struct http_try t;
    time_t then = (time_t)(clock_wall_ms() / 1000) + 100;
    struct tm tm;

    http_house_open(&house);
    strftime(date, sizeof date, "%a,+%d+%b+%Y+%H:%M:%S+GMT", gmtime_r(&then, &tm));
    snprintf(path, sizeof path, "/status/503?retry_after=%s\"", date);
    http_house_try_path(&t, &house, path);
    ck_assert_int_ge(t.outcome.retry_after_ms, 50000);
    ck_assert_int_le(t.outcome.retry_after_ms, 101000);
    http_house_deinit_try(&t);
    http_house_close(&house);
    return 0;
}

HTTP_HOUSE_TEST(trouble_on_the_way_may_be_tried_again)
{
    static const struct http_row rows[] = {
        {"/close\"", OUTCOME_FAILED, REASON_HTTP_TRANSPORT, 0, "got no whole answer: Empty"},
        {"/reset\"", OUTCOME_FAILED, REASON_HTTP_TRANSPORT, 0, "got no whole answer"},
        {"/short\"", OUTCOME_FAILED, REASON_HTTP_TRANSPORT, 0, "96 bytes remaining"},
        {"/garbage\"", OUTCOME_FAILED, REASON_HTTP_TRANSPORT, 0, "HTTP/0.9"},
        {"/many-headers\"", OUTCOME_FAILED, REASON_HTTP_TRANSPORT, 0, "more than 65536 bytes"},
        {NULL, 0, 0, 0, NULL},
    };
    struct http_house house = HTTP_HOUSE;
    struct http_try t;

    http_house_open(&house);
    http_house_check(&house, rows);

    http_house_try(&t, &house, "\"url\":\"http://127.0.0.1:1/\"");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED);
    ck_assert_int_eq(t.outcome.reason, REASON_HTTP_TRANSPORT);
    ck_assert_ptr_nonnull(strstr(t.outcome.error, "Failed to connect to 127.0.0.1 port 1"));
    ck_assert_ptr_null(t.outcome.result);
    http_house_deinit_try(&t);

    http_house_try(&t, &house, "\"url\":\"https://127.0.0.1:PORT/ok\"");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED);
    ck_assert_int_eq(t.outcome.reason, REASON_HTTP_TRANSPORT);
    ck_assert_ptr_nonnull(strstr(t.outcome.error, "SSL"));
    http_house_deinit_try(&t);
    http_house_close(&house);
    return 0;
}

/* ---- what is kept ------------------------------------------------------------------------ */

HTTP_HOUSE_TEST(the_result_tells_status_bytes_headers_and_body)
{
    struct http_house house = HTTP_HOUSE;
    struct http_try t;

    http_house_open(&house);
    http_house_try_path(&t, &house, "/ok\"");
    OWN(json_decref) json_t *result = http_house_result(&t);
    ck_assert_int_eq(json_integer_value(json_object_get(result, "status")), 200);
    ck_assert_int_eq(json_integer_value(json_object_get(result, "bytes")), 5);
    ck_assert_str_eq(http_house_text(result, "body"), "hello");
    ck_assert_str_eq(http_house_text(json_object_get(result, "headers"), "content-type"),
                     "text/plain");
    ck_assert_ptr_null(json_object_get(result, "truncated"));
    ck_assert_ptr_null(json_object_get(result, "url"));
    http_house_deinit_try(&t);

    http_house_try_path(&t, &house, "/headers\"");
    OWN(json_decref) json_t *headers = http_house_result(&t);
    const json_t *fields = json_object_get(headers, "headers");
    ck_assert_str_eq(http_house_text(fields, "x-a"), "1, 2");
    ck_assert_str_eq(http_house_text(fields, "set-cookie"), "(not kept)");
    ck_assert_str_eq(http_house_text(fields, "x-empty"), "");
    ck_assert_str_eq(http_house_text(headers, "body"), "");
    http_house_deinit_try(&t);

    http_house_try_path(&t, &house, "/status/404\"");
    OWN(json_decref) json_t *failed = http_house_result(&t);
    ck_assert_str_eq(http_house_text(failed, "body"), "why");
    http_house_deinit_try(&t);
    http_house_close(&house);
    return 0;
}

HTTP_HOUSE_TEST(a_body_is_cut_at_its_bound_and_says_so)
{
    struct http_house house = HTTP_HOUSE;
    struct http_try t;

    house.config.http_response_bytes_max = 1000;
    http_house_open(&house);
    http_house_try_path(&t, &house, "/big?bytes=300000\"");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    OWN(json_decref) json_t *big = http_house_result(&t);
    ck_assert_int_eq(json_integer_value(json_object_get(big, "bytes")), 300000);
    ck_assert_uint_eq(strlen(http_house_text(big, "body")), 1000);
    ck_assert(json_is_true(json_object_get(big, "truncated")));
    http_house_deinit_try(&t);

    http_house_try_path(&t, &house, "/chunked?bytes=9000\",\"response_bytes_max\":9000");
    OWN(json_decref) json_t *chunked = http_house_result(&t);
    ck_assert_uint_eq(strlen(http_house_text(chunked, "body")), 9000);
    ck_assert_ptr_null(json_object_get(chunked, "truncated"));
    http_house_deinit_try(&t);

    /* The bound falls within a character. */
    http_house_try_path(&t, &house, "/utf8?bytes=10\",\"response_bytes_max\":5");
    OWN(json_decref) json_t *utf8 = http_house_result(&t);
    ck_assert_str_eq(http_house_text(utf8, "body"), "\xc3\xa9\xc3\xa9");
    ck_assert(json_is_true(json_object_get(utf8, "truncated")));
    http_house_deinit_try(&t);
    http_house_close(&house);
    return 0;
}

HTTP_HOUSE_TEST(an_endless_body_is_not_read_for_ever)
{
    struct http_house house = HTTP_HOUSE;
    struct http_try t;

    http_house_open(&house);
    http_house_try_path(&t, &house, "/chunked?bytes=2000000000\",\"response_bytes_max\":10");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    OWN(json_decref) json_t *result = http_house_result(&t);
    ck_assert_int_ge(json_integer_value(json_object_get(result, "bytes")),
                     HTTP_DROPPED_BYTES_MAX);
    ck_assert_int_le(json_integer_value(json_object_get(result, "bytes")),
                     HTTP_DROPPED_BYTES_MAX + 100000);
    http_house_deinit_try(&t);
    http_house_close(&house);
    return 0;
}

HTTP_HOUSE_TEST(a_body_that_is_no_text_is_told_in_base64)
{
    struct http_house house = HTTP_HOUSE;
    struct http_try t;

    http_house_open(&house);
    http_house_try_path(&t, &house, "/binary\"");
    OWN(json_decref) json_t *result = http_house_result(&t);
    ck_assert_str_eq(http_house_text(result, "body_base64"), "AP8B");
    ck_assert_ptr_null(json_object_get(result, "body"));
    http_house_deinit_try(&t);
    http_house_close(&house);
    return 0;
}

/* ---- what is sent ------------------------------------------------------------------------ */

static void check_echo(struct http_house *house, const char *fields, const char *const *words,
                       const char *absent)
{
    struct http_try t;

    http_house_try_path(&t, house, fields);
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    OWN(json_decref) json_t *result = http_house_result(&t);
    const char *body = http_house_text(result, "body");
    for (; *words != NULL; words++)
        ck_assert_msg(strstr(body, *words) != NULL, "no \"%s\" in\n%s", *words, body);
    if (absent != NULL)
        ck_assert_msg(strstr(body, absent) == NULL, "\"%s\" in\n%s", absent, body);
    http_house_deinit_try(&t);
}

HTTP_HOUSE_TEST(the_request_names_job_attempt_fence_and_queue)
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
    struct http_house house = HTTP_HOUSE;

    http_house_open(&house);
    check_echo(&house, "/echo\"", named, "Content-Length");
    check_echo(&house, "/echo\",\"headers\":{\"Idempotency-Key\":\"mine\",\"X-Empty\":\"\"}",
               own, "\"7\"");
    http_house_close(&house);
    return 0;
}

HTTP_HOUSE_TEST(methods_and_bodies_go_out_as_written)
{
    static const char *const post[] = {"POST /echo", "Content-Length: 4\r\n", "\r\n\r\nbody",
                                       NULL};
    static const char *const json[] = {"POST /echo", "Content-Type: application/json\r\n",
                                       "\r\n\r\n{\"a\":1}", NULL};
    static const char *const put[] = {"PUT /echo", "Content-Length: 0\r\n", NULL};
    static const char *const patch[] = {"PATCH /echo", "\r\n\r\nx", NULL};
    static const char *const remove[] = {"DELETE /echo", NULL};
    static const char *const options[] = {"OPTIONS /echo", NULL};
    struct http_house house = HTTP_HOUSE;
    struct http_try t;

    http_house_open(&house);
    check_echo(&house, "/echo\",\"body\":\"body\"", post, "Content-Type");
    check_echo(&house, "/echo\",\"json\":{\"a\":1}", json, "Expect");
    check_echo(&house, "/echo\",\"method\":\"PUT\"", put, NULL);
    check_echo(&house, "/echo\",\"method\":\"PATCH\",\"body\":\"x\"", patch, NULL);
    check_echo(&house, "/echo\",\"method\":\"DELETE\"", remove, NULL);
    check_echo(&house, "/echo\",\"method\":\"OPTIONS\"", options, NULL);

    http_house_try_path(&t, &house, "/ok\",\"method\":\"HEAD\"");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    OWN(json_decref) json_t *head = http_house_result(&t);
    ck_assert_int_eq(json_integer_value(json_object_get(head, "bytes")), 0);
    ck_assert_str_eq(http_house_text(json_object_get(head, "headers"), "content-length"), "5");
    http_house_deinit_try(&t);
    http_house_close(&house);
    return 0;
}

HTTP_HOUSE_TEST(a_large_body_arrives_whole)
{
    struct http_house house = HTTP_HOUSE;
    OWN_BUF struct buf b = BUF_INIT;
    struct http_try t;

    http_house_open(&house);
    buf_puts(
        &b, "\"url\":\"http://127.0.0.1:PORT/echo\",\"response_bytes_max\":\"1M\",\"body\":\"");
    for (int i = 0; i < 300000; i++)
        buf_putc(&b, (char)('a' + i % 26));
    buf_putc(&b, '"');
    http_house_try(&t, &house, buf_str(&b));
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    OWN(json_decref) json_t *result = http_house_result(&t);
    const char *body = strstr(http_house_text(result, "body"), "\r\n\r\n");
    ck_assert_ptr_nonnull(body);
    ck_assert_uint_eq(strlen(body + 4), 300000);
    const char *sent = strstr(t.document, "\"body\":\"") + strlen("\"body\":\"");
    ck_assert_int_eq(memcmp(body + 4, sent, 300000), 0);
    http_house_deinit_try(&t);
    http_house_close(&house);
    return 0;
}

HTTP_HOUSE_TEST(a_connection_is_used_again)
{
    struct http_house house = HTTP_HOUSE;

    http_house_open(&house);
    for (int i = 0; i < 5; i++) {
        struct http_try t;
        http_house_try_path(&t, &house, "/ok\"");
        ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
        http_house_deinit_try(&t);
    }
    ck_assert_uint_eq(http_server_requests(house.server), 5);
    ck_assert_uint_eq(http_server_connections(house.server), 1);
    http_house_close(&house);
    return 0;
}

/* ---- redirects --------------------------------------------------------------------------- */

HTTP_HOUSE_TEST(redirects_are_followed_as_far_as_allowed)
{
    static const struct http_row rows[] = {
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
         REASON_HTTP_REFUSED, 0, "was refused: 10.1.2.3 is private (10.0.0.0/8)"},
        {"/redirect?to=http://169.254.169.254/latest/meta-data\",\"follow\":5",
         OUTCOME_FAILED_FINAL, REASON_HTTP_REFUSED, 0, "169.254.169.254 is link-local"},
        {"/redirect?to=http://[::1]:1/\",\"follow\":5", OUTCOME_FAILED_FINAL,
         REASON_HTTP_REFUSED, 0, "::1 is loopback"},
        {NULL, 0, 0, 0, NULL},
    };
    struct http_house house = HTTP_HOUSE;
    struct http_try t;

    http_house_open(&house);
    http_house_check(&house, rows);

    http_house_try_path(&t, &house, "/redirect\",\"follow\":1");
    OWN(json_decref) json_t *result = http_house_result(&t);
    ck_assert_str_eq(http_house_text(result, "body"), "hello");
    ck_assert_ptr_nonnull(strstr(http_house_text(result, "url"), "/ok"));
    http_house_deinit_try(&t);
    http_house_close(&house);
    return 0;
}

HTTP_HOUSE_TEST(a_redirect_changes_method_and_body_as_browsers_do)
{
    static const char *const get[] = {"GET /echo", NULL};
    static const char *const post[] = {"POST /echo", "\r\n\r\nbody", NULL};
    static const char *const put[] = {"PUT /echo", "\r\n\r\nbody", NULL};
    struct http_house house = HTTP_HOUSE;

    http_house_open(&house);
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
    http_house_close(&house);
    return 0;
}

HTTP_HOUSE_TEST(another_origin_does_not_see_our_credentials)
{
    static const char *const same[] = {"Authorization: secret", "Cookie: c=1", "X-A: 1", NULL};
    static const char *const other[] = {"X-A: 1", NULL};
    /* localhost is another origin, and may be ::1 first. */
    struct http_house house = {.allow = {"127.0.0.0/8", "::1"}};
    char path[300];

    http_house_open(&house);
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
    http_house_close(&house);
    return 0;
}

/* ---- the guard --------------------------------------------------------------------------- */

HTTP_HOUSE_TEST(addresses_that_lead_inside_are_refused_before_a_byte_is_sent)
{
    struct http_house house = {.allow = {NULL}};
    struct http_try t;

    http_house_open(&house);
    http_house_try_path(&t, &house, "/ok\"");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED_FINAL);
    ck_assert_int_eq(t.outcome.reason, REASON_HTTP_REFUSED);
    ck_assert_ptr_nonnull(strstr(t.outcome.error, "127.0.0.1 is loopback (127.0.0.0/8)"));
    ck_assert_ptr_nonnull(strstr(t.outcome.error, "allow in the section [http]"));
    http_house_deinit_try(&t);

    http_house_try(&t, &house, "\"url\":\"http://localhost:PORT/ok\"");
    ck_assert_int_eq(t.outcome.reason, REASON_HTTP_REFUSED);
    http_house_deinit_try(&t);
    http_house_try(&t, &house, "\"url\":\"http://0x7f000001:PORT/ok\"");
    ck_assert_int_eq(t.outcome.reason, REASON_HTTP_REFUSED);
    http_house_deinit_try(&t);
    http_house_try(&t, &house, "\"url\":\"http://[::ffff:127.0.0.1]:PORT/ok\"");
    ck_assert_int_eq(t.outcome.reason, REASON_HTTP_REFUSED);
    http_house_deinit_try(&t);
    ck_assert_uint_eq(http_server_connections(house.server), 0);
    http_house_close(&house);
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
        addresses_that_lead_inside_are_refused_before_a_byte_is_sent);
}
