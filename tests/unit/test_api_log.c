/* What jobs print, through the interface. */
#include "tests/lib/api_daemon.h"

#include "scheduler/task.h"

static const char printer[] =
    "{\"exec\":{\"argv\":[\"print\",\"one\\n\",\"TWO\\n\",\"three\\n\",\"FOUR\\n\"]}}";

/* Submits, waits for the end, and the id. */
static long long run(const char *body)
{
    long long id = submit(body);
    struct answer a = expect(200, "GET", job_path(id, "?wait=20s"), "", NULL);

    answer_free(&a);
    return id;
}

static void expect_log(long long id, const char *rest, const char *headers, int status,
                       const char *text)
{
    struct answer a = expect(status, "GET", job_path(id, rest), headers, NULL);

    ck_assert_str_eq(a.reply.body, text);
    ck_assert_str_eq(http_header(&a.reply, "Content-Type"), "text/plain; charset=utf-8");
    ck_assert_str_eq(http_header(&a.reply, "X-Content-Type-Options"), "nosniff");
    answer_free(&a);
}

START_TEST(a_log_comes_whole_in_part_and_by_stream)
{
    struct answer a;

    api_daemon_start();
    long long id = run(printer);
    expect_log(id, "/log", "", 200, "one\nTWO\nthree\nFOUR\n");
    expect_log(id, "/log?stream=both", "", 200, "one\nTWO\nthree\nFOUR\n");
    expect_log(id, "/log?stream=stdout", "", 200, "one\nthree\n");
    expect_log(id, "/log?stream=stderr", "", 200, "TWO\nFOUR\n");
    expect_log(id, "/log?attempt=1", "", 200, "one\nTWO\nthree\nFOUR\n");
    expect_log(id, "/log?follow=1", "", 200, "one\nTWO\nthree\nFOUR\n");
    expect_log(id, "/log?follow=1&offset=8&stream=stdout", "", 200, "three\n");

    a = expect(206, "GET", job_path(id, "/log"), "Range: bytes=4-7\r\n", NULL);
    ck_assert_str_eq(a.reply.body, "TWO\n");
    ck_assert_str_eq(http_header(&a.reply, "Content-Range"), "bytes 4-7/19");
    answer_free(&a);
    expect_log(id, "/log", "Range: bytes=-5\r\n", 206, "FOUR\n");
    expect_log(id, "/log", "Range: bytes=8-\r\n", 206, "three\nFOUR\n");
    expect_log(id, "/log", "Range: bytes=8-\r\nIf-Range: \"x\"\r\n", 200,
               "one\nTWO\nthree\nFOUR\n");
    expect_log(id, "/log", "Range: lines=1\r\n", 200, "one\nTWO\nthree\nFOUR\n");
    a = expect(416, "GET", job_path(id, "/log"), "Range: bytes=19-\r\n", NULL);
    ck_assert_str_eq(http_header(&a.reply, "Content-Range"), "bytes */19");
    answer_free(&a);
    expect_problem(404, "not-found", "", "GET", job_path(id, "/log?attempt=2"), "", NULL);
    expect_problem(400, "bad-parameter", "", "GET", job_path(id, "/log?offset=4"), "", NULL);
    a = expect(200, "HEAD", job_path(id, "/log"), "", NULL);
    ck_assert_str_eq(http_header(&a.reply, "Content-Length"), "19");
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

START_TEST(a_silent_job_has_an_empty_log)
{
    api_daemon_start();
    long long id = run("{\"exec\":{\"argv\":[\"true\"]}}");
    expect_log(id, "/log", "", 200, "");
    expect_log(id, "/log?stream=stderr", "", 200, "");
    expect_log(id, "/log?follow=1", "", 200, "");
    /* One that never began has none either, and does not keep a follower. */
    id = submit("{\"exec\":{\"argv\":[\"true\"]},\"hold\":true}");
    expect_log(id, "/log", "", 200, "");
    struct answer a = expect(200, "POST", job_path(id, "/cancel"), "", NULL);
    answer_free(&a);
    expect_log(id, "/log?follow=1", "", 200, "");
    api_daemon_stop();
}
END_TEST

static void follow(struct http *h, long long id, const char *rest)
{
    http_open_unix(h, stintd.socket);
    ck_assert(http_sendf(h, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", job_path(id, rest)));
}

START_TEST(a_follower_sees_each_word_when_it_is_said)
{
    struct http both, errors;
    struct http_reply reply = {.status = 0}, error_reply;

    api_daemon_start();
    /* From before it begins. */
    long long id = submit("{\"exec\":{\"argv\":[\"talk\",\"a\",\"B\",\"c\"]},\"hold\":true}");
    follow(&both, id, "/log?follow=1");
    follow(&errors, id, "/log?follow=true&stream=stderr");
    struct answer a = expect(200, "POST", job_path(id, "/release"), "", NULL);
    answer_free(&a);
    for (size_t i = 1; i <= 3; i++) {
        static const char text[] = "aBc";

        semaphore_give(&stintd.gate, 1);
        ck_assert(http_read_some(&both, i, &reply));
        ck_assert_uint_eq(reply.body_len, i);
        ck_assert(memcmp(reply.body, text, i) == 0);
    }
    ck_assert(!http_read_some(&both, 4, &reply));
    ck_assert(reply.whole);
    ck_assert(http_read(&errors, false, &error_reply));
    ck_assert_str_eq(error_reply.body, "B");
    http_reply_free(&reply);
    http_reply_free(&error_reply);
    /* The connections go on. */
    ck_assert(http_call(&both, "GET", "/healthz", "", NULL, &reply));
    ck_assert_int_eq(reply.status, 200);
    http_reply_free(&reply);
    http_close(&both);
    http_close(&errors);
    api_daemon_stop();
}
END_TEST

START_TEST(a_follower_goes_on_with_the_next_attempt)
{
    struct http h;
    struct http_reply reply;

    api_daemon_start();
    long long id = submit("{\"exec\":{\"argv\":[\"fail\",\"again \"]},\"hold\":true,"
                          "\"retry\":{\"max_attempts\":3,\"base\":\"10ms\"}}");
    follow(&h, id, "/log?follow=1");
    struct answer a = expect(200, "POST", job_path(id, "/release"), "", NULL);
    answer_free(&a);
    ck_assert(http_read(&h, false, &reply));
    ck_assert(reply.whole);
    ck_assert_str_eq(reply.body, "again again again ");
    http_reply_free(&reply);
    http_close(&h);
    expect_log(id, "/log?attempt=2", "", 200, "again ");
    expect_log(id, "/log?attempt=2&follow=1", "", 200, "again ");
    expect_log(id, "/log?fence=1", "", 200, "again ");
    expect_log(id, "/log?fence=2&follow=1", "", 200, "again ");
    expect_problem(404, "not-found", "", "GET", job_path(id, "/log?fence=4"), "", NULL);
    expect_problem(400, "bad-parameter", "", "GET", job_path(id, "/log?fence=0"), "", NULL);
    expect_problem(400, "bad-parameter", "", "GET", job_path(id, "/log?fence=1&attempt=1"), "",
                   NULL);
    expect_problem(404, "not-found", "", "GET", job_path(id, "/log?attempt=4"), "", NULL);
    api_daemon_stop();
}
END_TEST

START_TEST(many_followers_get_all_of_a_long_log)
{
    enum { FOLLOWERS = 20, WORDS = 500 };
    struct http h[FOLLOWERS];
    struct http_reply reply;
    char body[WORDS * 110 + 100], *p = body;

    api_daemon_start();
    p += sprintf(p, "{\"exec\":{\"argv\":[\"print\"");
    for (int i = 0; i < WORDS; i++)
        p += sprintf(p, ",\"%0100d\"", i);
    sprintf(p, "]},\"hold\":true}");
    long long id = submit(body);
    for (int i = 0; i < FOLLOWERS; i++)
        follow(&h[i], id, "/log?follow=1");
    struct answer a = expect(200, "POST", job_path(id, "/release"), "", NULL);
    answer_free(&a);
    for (int i = 0; i < FOLLOWERS; i++) {
        ck_assert(http_read(&h[i], false, &reply));
        ck_assert(reply.whole);
        ck_assert_uint_eq(reply.body_len, 100 * WORDS);
        ck_assert(memcmp(reply.body + 100 * WORDS - 3, "499", 3) == 0);
        http_reply_free(&reply);
        http_close(&h[i]);
    }
    api_daemon_stop();
}
END_TEST

START_TEST(a_stop_breaks_off_followers)
{
    struct http h;
    struct http_reply reply = {.status = 0};

    api_daemon_start();
    long long id = submit("{\"exec\":{\"argv\":[\"talk\",\"a\",\"b\"]}}");
    follow(&h, id, "/log?follow=1");
    semaphore_give(&stintd.gate, 1);
    ck_assert(http_read_some(&h, 1, &reply));
    api_daemon_stop();
    ck_assert(!http_read_some(&h, 2, &reply));
    ck_assert(!reply.whole);
    http_reply_free(&reply);
    http_close(&h);
}
END_TEST

int main(void)
{
    return SUITE_MAIN("api_log", a_log_comes_whole_in_part_and_by_stream,
                      a_silent_job_has_an_empty_log, a_follower_sees_each_word_when_it_is_said,
                      a_follower_goes_on_with_the_next_attempt,
                      many_followers_get_all_of_a_long_log, a_stop_breaks_off_followers);
}
