/* Jobs through the interface: submitting, bad input, looking, waiting, verbs. */
#include "tests/lib/api_daemon.h"

#include "base/buf.h"

/* ------------------------------------------------------------------------- submitting */

START_TEST(one_object_makes_one_job)
{
    struct answer a;

    api_daemon_start();
    a = expect(201, "POST", "/v1/jobs", "",
               "{\"exec\": {\"argv\": [\"true\"]}, \"name\": \"thumb\", \"queue\": \"images\", "
               "\"priority\": 5, \"key\": \"customer-17\", \"tags\": [\"web\", \"img\"], "
               "\"delay\": \"1h\", \"retry\": {\"max_attempts\": 3}}");
    ck_assert_str_eq(http_header(&a.reply, "Content-Type"), "application/json");
    ck_assert_ptr_nonnull(http_header(&a.reply, "ETag"));
    ck_assert_str_eq(http_header(&a.reply, "Location"), job_path(number_at(&a, "id"), ""));
    ck_assert_str_eq(text_at(&a, "kind"), "exec");
    ck_assert_str_eq(text_at(&a, "name"), "thumb");
    ck_assert_str_eq(text_at(&a, "queue"), "images");
    ck_assert_int_eq(number_at(&a, "priority"), 5);
    ck_assert_str_eq(text_at(&a, "key"), "customer-17");
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "tags")), 2);
    ck_assert_str_eq(text_at(&a, "state"), "scheduled");
    ck_assert_str_eq(text_at(&a, "timeout"), "1h");
    ck_assert_str_eq(text_at(&a, "delay"), "1h");
    ck_assert(json_is_object(json_object_get(a.json, "exec")));
    ck_assert(json_is_object(json_object_get(a.json, "retry")));
    static const char *const nulls[] = {"reason", "started_at", "finished_at",
                                        "result", "error",      "retry_of"};
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++)
        ck_assert_msg(json_is_null(json_object_get(a.json, nulls[i])), "%s", nulls[i]);
    static const char *const numbers[] = {"attempt", "crashes", "fence"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        ck_assert(json_is_integer(json_object_get(a.json, numbers[i])));
    ck_assert(json_is_false(json_object_get(a.json, "dead_letter")));
    ck_assert(json_is_false(json_object_get(a.json, "cancel_requested")));
    int64_t at_ms;
    ck_assert_int_eq(str_time_ms(text_at(&a, "created_at"), 24, &at_ms), 0);
    ck_assert_int_eq(str_time_ms(text_at(&a, "run_at"), 24, &at_ms), 0);
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

START_TEST(curl_without_a_header_is_understood)
{
    static const char *const types[] = {"Content-Type: application/x-www-form-urlencoded\r\n",
                                        "Content-Type: application/json\r\n",
                                        "Content-Type: application/json; charset=utf-8\r\n",
                                        ""};

    api_daemon_start();
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct answer a =
            expect(201, "POST", "/v1/jobs", types[i], "{\"exec\":{\"argv\":[\"true\"]}}");
        answer_free(&a);
    }
    expect_problem(415, "unsupported-media-type", "", "POST", "/v1/jobs",
                   "Content-Type: image/png\r\n", "{\"exec\":{\"argv\":[\"true\"]}}");
    api_daemon_stop();
}
END_TEST

static void expect_ids(struct answer *a, size_t count)
{
    const json_t *items = json_object_get(a->json, "items");
    long long first = json_integer_value(json_object_get(json_array_get(items, 0), "id"));

    ck_assert_uint_eq(json_array_size(items), count);
    ck_assert_int_gt(first, 0);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(items, i), "id")),
                         first + (long long)i);
    answer_free(a);
}

START_TEST(arrays_and_lines_make_many)
{
    struct answer a;

    api_daemon_start();
    a = expect(201, "POST", "/v1/jobs", "",
               " [{\"exec\":{\"argv\":[\"true\"]}}, {\"exec\":{\"shell\":\"true\"}}]");
    expect_ids(&a, 2);
    a = expect(201, "POST", "/v1/jobs", "Content-Type: application/x-ndjson\r\n",
               "{\"exec\":{\"argv\":[\"true\"]}}\r\n\n  {\"exec\":{\"argv\":[\"true\"]}}\n\n");
    expect_ids(&a, 2);
    a = expect(201, "POST", "/v1/jobs", "Content-Type: application/x-ndjson\r\n",
               "{\"exec\":{\"argv\":[\"true\"]}}");
    expect_ids(&a, 1);
    /* Lines are known by their look, too. */
    a = expect(201, "POST", "/v1/jobs", "Content-Type: application/json\r\n",
               "{\"exec\":{\"argv\":[\"true\"]}}\n{\"exec\":{\"argv\":[\"true\"]}}\n");
    expect_ids(&a, 2);
    /* An object over several lines is one job. */
    a = expect(201, "POST", "/v1/jobs", "", "{\n\"exec\":\n{\"argv\":[\"true\"]}\n}\n");
    ck_assert_int_gt(number_at(&a, "id"), 0);
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

START_TEST(ten_thousand_in_one_batch)
{
    struct buf b = BUF_INIT;
    struct answer a;

    api_daemon_start();
    buf_putc(&b, '[');
    for (int i = 0; i < 10000; i++)
        buf_putf(&b, "%s{\"exec\":{\"argv\":[\"true\",\"%d\"]},\"hold\":true}", i ? "," : "",
                 i);
    a = expect(422, "POST", "/v1/jobs", "", "[]");
    answer_free(&a);
    buf_puts(&b, "]");
    a = expect(201, "POST", "/v1/jobs", "", buf_str(&b));
    expect_ids(&a, 10000);
    b.len--;
    buf_puts(&b, ",{\"exec\":{\"argv\":[\"true\"]}}]");
    expect_problem(422, "invalid-job", "", "POST", "/v1/jobs", "", buf_str(&b));
    buf_deinit(&b);
    api_daemon_stop();
}
END_TEST

START_TEST(a_batch_is_all_or_none_unless_asked)
{
    static const char mixed[] = "[{\"exec\":{\"argv\":[\"true\"]}},{\"exec\":{\"argv\":[]}},"
                                "{\"exec\":{\"argv\":[\"true\"]},\"nmae\":1}]";
    struct answer a;

    api_daemon_start();
    a = expect(422, "POST", "/v1/jobs", "", mixed);
    const json_t *errors = json_object_get(a.json, "errors");
    ck_assert_uint_eq(json_array_size(errors), 2);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(errors, 0), "pointer")),
                     "/1/exec/argv");
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(errors, 1), "pointer")),
                     "/2/nmae");
    answer_free(&a);
    a = expect(200, "GET", "/v1/jobs", "", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "items")), 0);
    answer_free(&a);

    a = expect(200, "POST", "/v1/jobs?atomic=false", "", mixed);
    const json_t *items = json_object_get(a.json, "items");
    ck_assert_uint_eq(json_array_size(items), 3);
    ck_assert(json_is_integer(json_object_get(json_array_get(items, 0), "id")));
    const json_t *error = json_object_get(json_array_get(items, 1), "error");
    ck_assert_str_eq(json_string_value(json_object_get(error, "type")),
                     "/problems/invalid-job");
    ck_assert(json_is_object(json_object_get(json_array_get(items, 2), "error")));
    answer_free(&a);
    expect_problem(422, "invalid-job", "/0/exec/argv", "POST", "/v1/jobs?atomic=false", "",
                   "[{\"exec\":{\"argv\":[]}}]");
    api_daemon_stop();
}
END_TEST

START_TEST(a_repeated_key_gets_the_first_answer)
{
    static const char job[] = "{\"exec\":{\"argv\":[\"true\"]}}";
    struct answer a;

    api_daemon_start();
    a = expect(201, "POST", "/v1/jobs", "Idempotency-Key: \"abc-1\"\r\n", job);
    long long id = number_at(&a, "id");
    ck_assert_ptr_null(http_header(&a.reply, "Idempotency-Replayed"));
    answer_free(&a);
    a = expect(201, "POST", "/v1/jobs", "Idempotency-Key: abc-1\r\n", job);
    ck_assert_int_eq(number_at(&a, "id"), id);
    ck_assert_str_eq(http_header(&a.reply, "Idempotency-Replayed"), "true");
    answer_free(&a);
    expect_problem(422, "key-reused", "", "POST", "/v1/jobs", "Idempotency-Key: abc-1\r\n",
                   "{\"exec\":{\"argv\":[\"false\"]}}");
    expect_problem(400, "bad-request", "", "POST", "/v1/jobs", "Idempotency-Key: a b\r\n", job);
    expect_problem(400, "bad-request", "", "POST", "/v1/jobs", "Idempotency-Key: \"\"\r\n",
                   job);
    api_daemon_stop();
}
END_TEST

START_TEST(minimal_answers_are_for_those_who_ask)
{
    struct answer a;

    api_daemon_start();
    a = expect(201, "POST", "/v1/jobs", "Prefer: return=minimal\r\n",
               "{\"exec\":{\"argv\":[\"true\"]}}");
    ck_assert_uint_eq(json_object_size(a.json), 1);
    ck_assert_str_eq(http_header(&a.reply, "Preference-Applied"), "return=minimal");
    ck_assert_str_eq(http_header(&a.reply, "Location"), job_path(number_at(&a, "id"), ""));
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

#define TRUE_JOB "{\"exec\":{\"argv\":[\"true\"]}}"
#define RELAXED "{\"exec\":{\"argv\":[\"true\"]},\"durability\":\"relaxed\"}"

/* Of a batch: it is one transaction, so the sync of one is the sync of all. */
START_TEST(a_submission_is_told_how_durable_it_is)
{
    static const struct {
        const char *headers, *body, *durability;
    } rows[] = {
        {"", TRUE_JOB, "full"},
        {"", RELAXED, "relaxed"},
        {"Prefer: return=minimal\r\n", RELAXED, "relaxed"},
        {"", "[" RELAXED "]", "relaxed"},
        {"", "[" RELAXED "," TRUE_JOB "]", "full"},
    };

    api_daemon_start();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer a = expect(201, "POST", "/v1/jobs", rows[i].headers, rows[i].body);
        ck_assert_str_eq(text_at(&a, "durability"), rows[i].durability);
        answer_free(&a);
    }
    api_daemon_stop();
}
END_TEST

/* ------------------------------------------------------------------------- bad input */

START_TEST(bad_input_gets_a_clear_answer)
{
    static const struct {
        const char *body, *type, *pointer;
        int status;
    } rows[] = {
        {"{\"exec\":{\"argv\":[\"true\"]},\"nmae\":\"x\"}", "invalid-job", "/nmae", 422},
        {"{\"exec\":{\"argv\":[\"true\"],\"cdw\":\"/\"}}", "invalid-job", "/exec/cdw", 422},
        {"{\"exec\":{\"argv\":[\"true\"]},\"priority\":\"high\"}", "invalid-job", "/priority",
         422},
        {"{\"exec\":{\"argv\":[\"true\"]},\"priority\":1000}", "invalid-job", "/priority", 422},
        {"{\"exec\":{\"argv\":\"true\"}}", "invalid-job", "/exec/argv", 422},
        {"{\"exec\":{\"argv\":[1]}}", "invalid-job", "/exec/argv/0", 422},
        {"{\"exec\":{\"argv\":[]}}", "invalid-job", "/exec/argv", 422},
        {"{\"exec\":{}}", "invalid-job", "/exec", 422},
        {"{\"exec\":{\"argv\":[\"true\"]},\"timeout\":\"soon\"}", "invalid-job", "/timeout",
         422},
        {"{}", "invalid-job", "", 422},
        {"{\"name\":\"x\"}", "invalid-job", "", 422},
        {"[1]", "invalid-job", "/0", 422},
        {"[[]]", "invalid-job", "/0", 422},
        {"", "invalid-json", "", 400},
        {"  \n", "invalid-json", "", 400},
        {"{\"exec\":", "invalid-json", "", 400},
        {"{\"exec\":{\"argv\":[\"true\"]}} x", "invalid-json", "", 400},
        {"[{\"exec\":{\"argv\":[\"true\"]}}", "invalid-json", "", 400},
        {"hello", "invalid-json", "", 400},
        {"{\"exec\":{\"argv\":[\"\xff\xfe\"]}}", "invalid-json", "", 400},
    };

    api_daemon_start();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_problem(rows[i].status, rows[i].type, rows[i].pointer, "POST", "/v1/jobs", "",
                       rows[i].body);
    struct answer a =
        expect(422, "POST", "/v1/jobs", "",
               "{\"exec\":{\"argv\":[\"true\"]},\"http\":{\"url\":\"http://x\"}}");
    ck_assert_ptr_nonnull(strstr(text_at(&a, "detail"), "exec"));
    answer_free(&a);
    a = expect(200, "GET", "/v1/jobs", "", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "items")), 0);
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

START_TEST(ten_megabytes_are_too_many)
{
    static char body[10000001];

    api_daemon_start();
    memset(body, ' ', sizeof body - 1);
    expect_problem(413, "body-too-large", "", "POST", "/v1/jobs", "", body);
    /* At the bound it is read, and then it is not a job. */
    body[8 << 20] = '\0';
    expect_problem(400, "invalid-json", "", "POST", "/v1/jobs", "", body);
    api_daemon_stop();
}
END_TEST

START_TEST(what_is_not_there_is_said_so)
{
    api_daemon_start();
    expect_problem(404, "not-found", "", "GET", "/v1/jobs/4711", "", NULL);
    expect_problem(404, "not-found", "", "GET", "/v1/jobs/4711?wait=5s", "", NULL);
    expect_problem(404, "not-found", "", "GET", "/v1/jobs/18446744073709551615", "", NULL);
    expect_problem(404, "not-found", "", "GET", "/v1/jobs/4711/log", "", NULL);
    expect_problem(404, "not-found", "", "GET", "/v1/jobs/4711/attempts", "", NULL);
    expect_problem(404, "not-found", "", "POST", "/v1/jobs/4711/cancel", "", "");
    expect_problem(404, "not-found", "", "POST", "/v1/jobs/4711/retry", "", "");
    expect_problem(404, "not-found", "", "POST", "/v1/jobs/4711/hold", "", "");
    expect_problem(404, "not-found", "", "POST", "/v1/jobs/4711/release", "", "");
    expect_problem(404, "not-found", "", "GET", "/v1/queues/none", "", NULL);
    expect_problem(404, "no-such-route", "", "GET", "/v1/jobs/x", "", NULL);
    expect_problem(404, "no-such-route", "", "GET", "/v1/jobs/18446744073709551616", "", NULL);
    expect_problem(404, "no-such-route", "", "GET", "/v2/jobs", "", NULL);
    expect_problem(405, "method-not-allowed", "", "DELETE", "/v1/jobs/1", "", NULL);
    expect_problem(405, "method-not-allowed", "", "GET", "/v1/jobs/1/cancel", "", NULL);
    api_daemon_stop();
}
END_TEST

START_TEST(parameters_are_checked)
{
    static const char *const targets[] = {
        "/v1/jobs?stat=queued",
        "/v1/jobs?state=dreaming",
        "/v1/jobs?kind=dance",
        "/v1/jobs?limit=0",
        "/v1/jobs?limit=1001",
        "/v1/jobs?limit=x",
        "/v1/jobs?cursor=x",
        "/v1/jobs?cursor=0",
        "/v1/jobs?since=yesterday",
        "/v1/jobs/1?wait=forever",
        "/v1/jobs/1?wait=2h",
        "/v1/jobs/1?wait=-1",
        "/v1/jobs/1/log?follow=x",
        "/v1/jobs/1/log?stream=x",
        "/v1/jobs/1/log?attempt=0",
        "/v1/queues?x",
        "/metrics?x=1",
    };

    api_daemon_start();
    submit("{\"exec\":{\"argv\":[\"true\"]}}");
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        expect_problem(400, "bad-parameter", "", "GET", targets[i], "", NULL);
    expect_problem(400, "bad-parameter", "", "POST", "/v1/jobs?atomic=perhaps", "",
                   "{\"exec\":{\"argv\":[\"true\"]}}");
    api_daemon_stop();
}
END_TEST

START_TEST(tokens_are_asked_for_at_tcp)
{
    struct http h;
    struct http_reply reply;

    api_daemon_start();
    http_open_tcp(&h, stintd.port);
    ck_assert(http_call(&h, "GET", "/v1/jobs", "", NULL, &reply));
    ck_assert_int_eq(reply.status, 401);
    http_reply_free(&reply);
    ck_assert(http_call(&h, "POST", "/v1/jobs", "Authorization: Bearer nonsense\r\n",
                        "{\"exec\":{\"argv\":[\"true\"]}}", &reply));
    ck_assert_int_eq(reply.status, 401);
    http_reply_free(&reply);
    ck_assert(http_call(&h, "GET", "/healthz", "", NULL, &reply));
    ck_assert_int_eq(reply.status, 200);
    http_reply_free(&reply);

    char headers[160];
    snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", stintd.token);
    ck_assert(
        http_call(&h, "POST", "/v1/jobs", headers, "{\"exec\":{\"argv\":[\"true\"]}}", &reply));
    ck_assert_int_eq(reply.status, 201);
    http_reply_free(&reply);
    http_close(&h);
    api_daemon_stop();
}
END_TEST

/* ------------------------------------------------------------------------- waiting */

START_TEST(a_wait_ends_with_the_job)
{
    struct answer a;

    api_daemon_start();
    a = expect(200, "POST", "/v1/jobs?wait=20s", "", "{\"exec\":{\"argv\":[\"true\"]}}");
    ck_assert_str_eq(text_at(&a, "state"), "succeeded");
    ck_assert_int_eq(
        json_integer_value(json_object_get(json_object_get(a.json, "result"), "exit_code")), 0);
    ck_assert_str_eq(http_header(&a.reply, "Location"), job_path(number_at(&a, "id"), ""));
    answer_free(&a);
    a = expect(200, "POST", "/v1/jobs", "Prefer: wait=20\r\n",
               "{\"exec\":{\"argv\":[\"useless\"]}}");
    ck_assert_str_eq(text_at(&a, "state"), "failed");
    ck_assert_str_eq(text_at(&a, "reason"), "exit_nonzero");
    ck_assert_str_eq(text_at(&a, "error"), "it said never");
    ck_assert(json_is_true(json_object_get(a.json, "dead_letter")));
    ck_assert_str_eq(http_header(&a.reply, "Preference-Applied"), "wait=20");
    answer_free(&a);

    a = expect(202, "POST", "/v1/jobs?wait=10ms", "", "{\"exec\":{\"argv\":[\"wait\"]}}");
    long long id = number_at(&a, "id");
    ck_assert_ptr_nonnull(http_header(&a.reply, "Retry-After"));
    answer_free(&a);
    a = expect(202, "GET", job_path(id, "?wait=10ms"), "", NULL);
    ck_assert_str_eq(text_at(&a, "state"), "running");
    answer_free(&a);
    semaphore_give(&stintd.gate, 1);
    a = expect(200, "GET", job_path(id, "?wait=20s"), "", NULL);
    ck_assert_str_eq(text_at(&a, "state"), "succeeded");
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

START_TEST(a_stop_answers_those_who_wait)
{
    struct http h;
    struct http_reply reply;

    api_daemon_start();
    long long id = submit("{\"exec\":{\"argv\":[\"true\"]},\"hold\":true}");
    http_open_unix(&h, stintd.socket);
    ck_assert(
        http_sendf(&h, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", job_path(id, "?wait=1h")));
    /* It surely waits once a later request was answered in a task of its own. */
    for (int i = 0; i < 20; i++) {
        struct answer a = expect(200, "GET", job_path(id, ""), "", NULL);
        answer_free(&a);
    }
    api_daemon_stop();
    ck_assert(http_read(&h, false, &reply));
    ck_assert_int_eq(reply.status, 202);
    ck_assert_str_eq(http_header(&reply, "Connection"), "close");
    http_reply_free(&reply);
    http_close(&h);
}
END_TEST

/* ------------------------------------------------------------------------- looking */

START_TEST(an_unchanged_job_is_304)
{
    struct answer a;
    char header[128];

    api_daemon_start();
    long long id = submit("{\"exec\":{\"argv\":[\"true\"]},\"hold\":true}");
    a = expect(200, "GET", job_path(id, ""), "", NULL);
    snprintf(header, sizeof header, "If-None-Match: %s\r\n", http_header(&a.reply, "ETag"));
    answer_free(&a);
    a = expect(304, "GET", job_path(id, ""), header, NULL);
    ck_assert_ptr_nonnull(http_header(&a.reply, "ETag"));
    answer_free(&a);
    a = expect(200, "POST", job_path(id, "/release"), "", "");
    answer_free(&a);
    a = expect(200, "GET", job_path(id, "?wait=20s"), "", NULL);
    answer_free(&a);
    a = expect(200, "GET", job_path(id, ""), header, NULL);
    ck_assert_str_eq(text_at(&a, "state"), "succeeded");
    answer_free(&a);
    a = expect(200, "HEAD", job_path(id, ""), "", NULL);
    ck_assert_uint_eq(a.reply.body_len, 0);
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

START_TEST(lists_have_filters_and_pages)
{
    struct answer a;
    int pages = 0, seen = 0;
    char target[256] = "/v1/jobs?limit=7&queue=a&tag=odd";

    api_daemon_start();
    for (int i = 0; i < 40; i++) {
        char body[256];

        snprintf(body, sizeof body,
                 "{\"exec\":{\"argv\":[\"true\"]},\"hold\":true,\"queue\":\"%s\","
                 "\"tags\":[\"%s\"],\"name\":\"n%d\"}",
                 i < 30 ? "a" : "b", i % 2 ? "odd" : "even", i);
        submit(body);
    }
    while (target[0] != '\0') {
        a = expect(200, "GET", target, "", NULL);
        seen += (int)json_array_size(json_object_get(a.json, "items"));
        pages++;
        const char *next = json_string_value(json_object_get(a.json, "next"));
        const char *link = http_header(&a.reply, "Link");
        ck_assert((next == NULL) == (link == NULL));
        target[0] = '\0';
        if (link != NULL)
            ck_assert_int_eq(sscanf(link, "<%255[^>]>", target), 1);
        answer_free(&a);
    }
    ck_assert_int_eq(seen, 15);
    ck_assert_int_eq(pages, 3);

    static const struct {
        const char *target;
        size_t count;
    } rows[] = {
        {"/v1/jobs", 40},
        {"/v1/jobs?state=held", 40},
        {"/v1/jobs?state=queued,running", 0},
        {"/v1/jobs?state=queued&state=held", 40},
        {"/v1/jobs?kind=exec&queue=b", 10},
        {"/v1/jobs?kind=http", 0},
        {"/v1/jobs?name=n3", 1},
        {"/v1/jobs?since=1h", 40},
        {"/v1/jobs?since=2020-01-01T00:00:00Z&limit=1000", 40},
        {"/v1/jobs?since=2099-01-01T00:00:00Z", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        a = expect(200, "GET", rows[i].target, "", NULL);
        ck_assert_msg(json_array_size(json_object_get(a.json, "items")) == rows[i].count, "%s",
                      rows[i].target);
        answer_free(&a);
    }
    api_daemon_stop();
}
END_TEST

/* ------------------------------------------------------------------------- verbs */

START_TEST(verbs_may_be_said_twice)
{
    struct answer a;

    api_daemon_start();
    long long id = submit("{\"exec\":{\"argv\":[\"true\"]},\"delay\":\"1h\"}");
    for (int i = 0; i < 2; i++) {
        a = expect(200, "POST", job_path(id, "/hold"), "", NULL);
        ck_assert_str_eq(text_at(&a, "state"), "held");
        answer_free(&a);
    }
    for (int i = 0; i < 2; i++) {
        a = expect(200, "POST", job_path(id, "/cancel"), "", "{\"grace\":\"1s\"}");
        ck_assert_str_eq(text_at(&a, "state"), "cancelled");
        ck_assert_str_eq(text_at(&a, "reason"), "cancelled_by_user");
        answer_free(&a);
    }
    expect_problem(409, "already-final", "", "POST", job_path(id, "/hold"), "", NULL);
    a = expect(201, "POST", job_path(id, "/retry"), "", NULL);
    ck_assert_int_eq(number_at(&a, "retry_of"), id);
    ck_assert_str_eq(http_header(&a.reply, "Location"), job_path(number_at(&a, "id"), ""));
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

START_TEST(a_running_job_is_stopped)
{
    struct answer a;

    api_daemon_start();
    long long id = submit("{\"exec\":{\"argv\":[\"wait\"]}}");
    do {
        a = expect(202, "GET", job_path(id, "?wait=1ms"), "", NULL);
        bool running = strcmp(text_at(&a, "state"), "running") == 0;
        answer_free(&a);
        if (running)
            break;
    } while (true);
    a = call("POST", job_path(id, "/cancel"), "", "{\"force\":true}");
    ck_assert(a.reply.status == 202 || a.reply.status == 200);
    ck_assert(json_is_true(json_object_get(a.json, "cancel_requested")));
    answer_free(&a);
    a = expect(200, "GET", job_path(id, "?wait=20s"), "", NULL);
    ck_assert_str_eq(text_at(&a, "state"), "cancelled");
    answer_free(&a);
    a = expect(200, "GET", job_path(id, "/attempts"), "", NULL);
    const json_t *attempt = json_array_get(json_object_get(a.json, "items"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(attempt, "state")), "cancelled");
    ck_assert_int_eq(json_integer_value(json_object_get(attempt, "attempt")), 1);
    answer_free(&a);

    id = submit("{\"exec\":{\"argv\":[\"true\"]}}");
    a = expect(200, "GET", job_path(id, "?wait=20s"), "", NULL);
    answer_free(&a);
    a = expect(409, "POST", job_path(id, "/cancel"), "", NULL);
    ck_assert_str_eq(
        json_string_value(json_object_get(json_object_get(a.json, "job"), "state")),
        "succeeded");
    answer_free(&a);
    expect_problem(422, "invalid-settings", "/grace", "POST", job_path(id, "/cancel"), "",
                   "{\"grace\":\"x\"}");
    expect_problem(422, "invalid-settings", "/reason", "POST", job_path(id, "/cancel"), "",
                   "{\"reason\":\"x\"}");
    expect_problem(400, "invalid-json", "", "POST", job_path(id, "/cancel"), "", "{");
    api_daemon_stop();
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "api_jobs", one_object_makes_one_job, curl_without_a_header_is_understood,
        arrays_and_lines_make_many, ten_thousand_in_one_batch,
        a_batch_is_all_or_none_unless_asked, a_repeated_key_gets_the_first_answer,
        minimal_answers_are_for_those_who_ask, a_submission_is_told_how_durable_it_is,
        bad_input_gets_a_clear_answer, ten_megabytes_are_too_many, what_is_not_there_is_said_so,
        parameters_are_checked, tokens_are_asked_for_at_tcp, a_wait_ends_with_the_job,
        a_stop_answers_those_who_wait, an_unchanged_job_is_304, lists_have_filters_and_pages,
        verbs_may_be_said_twice, a_running_job_is_stopped);
}
