/* The server with routes of its own: the life of a request, and who may send one. */
#include "tests/lib/api_routes.h"

/* ------------------------------------------------------------------------- requests */

START_TEST(requests_are_routed)
{
    start();
    expect("GET", "/fast", "", NULL, 200, "fast");
    expect("GET", "/task", "", NULL, 200, "fast");
    expect("GET", "/task?a=1", "", NULL, 200, "fast");
    expect("GET", "/name/a%2Fb%20c/x", "", NULL, 200, "a/b c");
    expect("POST", "/echo", "", "hello", 200, "hello");
    expect("PUT", "/echo", "", "hello", 200, "hello");
    expect("POST", "/echo", "", "", 200, "");
    expect("GET", "/brief", "", NULL, 200, "done");
    expect("GET", "/nothing", "", NULL, 500, "/problems/internal");
    expect("GET", "/", "", NULL, 404, "/problems/no-such-route");
    expect("GET", "/fast/", "", NULL, 404, "/problems/no-such-route");
    expect("GET", "/slow/x", "", NULL, 404, "/problems/no-such-route");
    expect("GET", "/slow/0", "", NULL, 404, "/problems/no-such-route");
    expect("GET", "/name/%ff/x", "", NULL, 400, "/problems/bad-request");
    expect("GET", "/fast?a=%zz", "", NULL, 400, "/problems/bad-parameter");
    api_server_stop(&server);
    ck_assert_int_eq(server.drained, 0);
}
END_TEST

START_TEST(methods_are_named_when_another_is_wanted)
{
    struct http_reply reply;

    start();
    reply = ask("DELETE", "/echo", "", NULL);
    ck_assert_int_eq(reply.status, 405);
    ck_assert_str_eq(http_header(&reply, "Allow"), "POST, PUT, OPTIONS");
    http_reply_free(&reply);
    reply = ask("BREW", "/fast", "", NULL);
    ck_assert_int_eq(reply.status, 405);
    ck_assert_str_eq(http_header(&reply, "Allow"), "GET, HEAD, OPTIONS");
    http_reply_free(&reply);
    reply = ask("OPTIONS", "/fast", "", NULL);
    ck_assert_int_eq(reply.status, 204);
    ck_assert_str_eq(http_header(&reply, "Allow"), "GET, HEAD, OPTIONS");
    http_reply_free(&reply);
    reply = ask("OPTIONS", "*", "", NULL);
    ck_assert_int_eq(reply.status, 204);
    ck_assert_str_eq(http_header(&reply, "Allow"), "GET, HEAD, POST, PUT, OPTIONS");
    http_reply_free(&reply);
    reply = ask("HEAD", "/fast", "", NULL);
    ck_assert_int_eq(reply.status, 200);
    ck_assert_str_eq(http_header(&reply, "Content-Length"), "4");
    ck_assert_uint_eq(reply.body_len, 0);
    http_reply_free(&reply);
    reply = ask("HEAD", "/stream/1", "", NULL);
    ck_assert_int_eq(reply.status, 200);
    http_reply_free(&reply);
    api_server_stop(&server);
    ck_assert_uint_eq(atomic_load(&streams_ended), 1);
}
END_TEST

START_TEST(a_connection_is_kept_alive)
{
    struct http h;
    struct http_reply reply;

    start();
    http_open_unix(&h, server.socket);
    for (int i = 0; i < 50; i++) {
        /* Problems keep it alive as well, also when a small body had to be dropped. */
        static const char *const targets[] = {"/fast", "/task", "/none", "/slow/9"};
        const char *target = targets[i % 4];

        ck_assert(http_call(&h, i % 8 == 6 ? "POST" : "GET", target, "",
                            i % 8 == 6 ? "some body" : NULL, &reply));
        ck_assert_int_eq(reply.status, i % 4 == 2 ? 404 : 200);
        http_reply_free(&reply);
    }
    ck_assert(http_call(&h, "GET", "/fast", "Connection: close\r\n", NULL, &reply));
    http_reply_free(&reply);
    ck_assert(http_is_closed(&h));
    http_close(&h);
    api_server_stop(&server);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
    struct http h;
    struct http_reply reply;

    start();
    http_open_unix(&h, server.socket);
    for (int i = 1; i < 10; i++)
        ck_assert(
            http_sendf(&h,
                       "GET /slow/%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
                       "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n"
                       "%03d",
                       i, i));
    for (int i = 1; i < 10; i++) {
        char text[24];

        snprintf(text, sizeof text, "slow %d", i);
        ck_assert(http_read(&h, false, &reply));
        ck_assert_str_eq(reply.body, text);
        http_reply_free(&reply);
        snprintf(text, sizeof text, "%03d", i);
        ck_assert(http_read(&h, false, &reply));
        ck_assert_str_eq(reply.body, text);
        http_reply_free(&reply);
    }
    http_close(&h);
    api_server_stop(&server);
}
END_TEST

/* ------------------------------------------------------------------------- bodies */

static void send_chunk(struct http *h, const char *data, size_t len)
{
    ck_assert(http_sendf(h, "%zx\r\n", len));
    ck_assert(http_send(h, data, len));
    ck_assert(http_sendf(h, "\r\n"));
}

START_TEST(a_body_may_come_in_chunks)
{
    static char block[10000];
    struct http h;
    struct http_reply reply;

    start();
    memset(block, 'x', sizeof block);
    http_open_unix(&h, server.socket);
    ck_assert(http_sendf(&h, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n"));
    for (size_t len = 1; len <= sizeof block; len *= 10)
        send_chunk(&h, block, len);
    ck_assert(http_sendf(&h, "0\r\n\r\n"));
    ck_assert(http_read(&h, false, &reply));
    ck_assert_int_eq(reply.status, 200);
    ck_assert_uint_eq(reply.body_len, 11111);
    http_reply_free(&reply);
    http_close(&h);
    api_server_stop(&server);
}
END_TEST

START_TEST(a_body_that_is_too_large_is_refused_before_it_is_read)
{
    struct http h;
    struct http_reply reply;

    start();
    for (int tcp = 0; tcp < 2; tcp++) {
        if (tcp)
            http_open_tcp(&h, server.port);
        else
            http_open_unix(&h, server.socket);
        ck_assert(http_sendf(&h, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                                 "Authorization: Bearer " ADMIN_TOKEN "\r\n"
                                 "Content-Length: 10000000\r\n\r\n"));
        ck_assert(http_read(&h, false, &reply));
        ck_assert_int_eq(reply.status, 413);
        ck_assert_ptr_nonnull(strstr(reply.body, "/problems/body-too-large"));
        ck_assert_str_eq(http_header(&reply, "Connection"), "close");
        http_reply_free(&reply);
        http_close(&h);
    }
    api_server_stop(&server);
}
END_TEST

START_TEST(who_sends_ten_megabytes_sees_the_answer)
{
    static char block[100000];
    struct http h;
    struct http_reply reply;

    start();
    for (int tcp = 0; tcp < 2; tcp++) {
        if (tcp)
            http_open_tcp(&h, server.port);
        else
            http_open_unix(&h, server.socket);
        ck_assert(http_sendf(&h, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                                 "Authorization: Bearer " ADMIN_TOKEN "\r\n"
                                 "Content-Length: 10000000\r\n\r\n"));
        for (int i = 0; i < 100; i++)
            ck_assert(http_send(&h, block, sizeof block));
        ck_assert(http_read(&h, false, &reply));
        ck_assert_int_eq(reply.status, 413);
        http_reply_free(&reply);
        http_close(&h);
    }
    api_server_stop(&server);
}
END_TEST

START_TEST(chunks_that_do_not_end_are_cut_off)
{
    static char block[1 << 20];
    struct http h;
    struct http_reply reply;
    int sent = 0;

    server.options.body_bytes_max = 1000;
    start();
    http_open_unix(&h, server.socket);
    ck_assert(http_sendf(&h, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n"));
    send_chunk(&h, block, 2000);
    ck_assert(http_sendf(&h, "0\r\n\r\n"));
    ck_assert(http_read(&h, false, &reply));
    ck_assert_int_eq(reply.status, 413);
    http_reply_free(&reply);
    http_close(&h);

    http_open_unix(&h, server.socket);
    ck_assert(http_sendf(&h, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n"));
    while (sent < 200 && http_sendf(&h, "%zx\r\n", sizeof block) &&
           http_send(&h, block, sizeof block) && http_sendf(&h, "\r\n"))
        sent++;
    ck_assert_int_lt(sent, 200);
    http_close(&h);
    api_server_stop(&server);
}
END_TEST

START_TEST(expect_100_is_answered_before_the_body)
{
    struct http h;
    struct http_reply reply;
    char line[64] = "";

    start();
    http_open_unix(&h, server.socket);
    ck_assert(http_sendf(&h, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                             "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
    ck_assert_int_eq(recv(h.fd, line, 25, MSG_WAITALL), 25);
    ck_assert_str_eq(line, "HTTP/1.1 100 Continue\r\n\r\n");
    ck_assert(http_send(&h, "ok", 2));
    ck_assert(http_read(&h, false, &reply));
    ck_assert_str_eq(reply.body, "ok");
    http_reply_free(&reply);
    http_close(&h);

    /* What is refused is refused at once. */
    http_open_tcp(&h, server.port);
    ck_assert(http_sendf(&h, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                             "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
    ck_assert(http_read(&h, false, &reply));
    ck_assert_int_eq(reply.status, 401);
    http_reply_free(&reply);
    http_close(&h);
    api_server_stop(&server);
}
END_TEST

/* ------------------------------------------------------------------------- who may */

static void expect_tcp(const char *target, const char *host, const char *headers, int status,
                       const char *text)
{
    struct http h;
    struct http_reply reply;

    http_open_tcp(&h, server.port);
    ck_assert(http_sendf(&h, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", target, host, headers));
    ck_assert(http_read(&h, false, &reply));
    ck_assert_msg(reply.status == status, "%s %s: %d", target, headers, reply.status);
    ck_assert_ptr_nonnull(strstr(reply.body, text));
    if (status == 401)
        ck_assert_ptr_nonnull(strstr(http_header(&reply, "WWW-Authenticate"), "Bearer"));
    http_reply_free(&reply);
    http_close(&h);
}

/* As a client speaks to a proxy. The host in the target counts, not the header. */
START_TEST(a_target_may_name_the_host)
{
    static const char admin[] = "Authorization: Bearer " ADMIN_TOKEN "\r\n";

    start();
    expect_tcp("http://localhost/fast", "localhost", admin, 200, "fast");
    expect_tcp("HTTP://127.0.0.1:7846/fast?", "evil.example", admin, 200, "fast");
    expect_tcp("https://localhost/none", "localhost", admin, 404, "\"instance\":\"/none\"");
    expect_tcp("http://localhost", "localhost", admin, 404, "\"instance\":\"/\"");
    expect_tcp("http://localhost?a=b", "localhost", admin, 404, "\"instance\":\"/\"");
    expect_tcp("http://evil.example/open", "localhost", "", 421, "/problems/misdirected");
    expect_tcp("http://localhost:x@evil.example/open", "localhost", "", 401, "");
    expect_tcp("http:///open", "localhost", admin, 404, "no-such-route");
    expect_tcp("ftp://localhost/open", "localhost", admin, 404, "no-such-route");
    api_server_stop(&server);
}
END_TEST

START_TEST(the_tcp_door_asks_for_a_token)
{
    start();
    expect_tcp("/fast", "localhost", "", 401, "/problems/no-token");
    expect_tcp("/none", "localhost", "", 401, "/problems/no-token");
    expect_tcp("/echo", "localhost", "", 401, "/problems/no-token");
    expect_tcp("/fast", "localhost", "Authorization: Bearer wrong\r\n", 401,
               "/problems/bad-token");
    expect_tcp("/fast", "localhost", "Authorization: Bearer " ADMIN_TOKEN "\r\n", 200, "fast");
    expect_tcp("/none", "localhost", "Authorization: Bearer " ADMIN_TOKEN "\r\n", 404,
               "/problems/no-such-route");
    expect_tcp("/fast", "localhost", "Authorization: Bearer " MONITOR_TOKEN "\r\n", 403,
               "/problems/forbidden");
    expect_tcp("/monitor", "localhost", "Authorization: Bearer " MONITOR_TOKEN "\r\n", 200,
               "fast");
    expect_tcp("/open", "localhost", "", 200, "fast");
    expect_tcp("/open", "evil.example", "", 421, "/problems/misdirected");
    expect_tcp("/open", "localhost", "Origin: http://evil.example\r\n", 403,
               "/problems/cross-site");
    expect_tcp("/open", "localhost", "Sec-Fetch-Site: cross-site\r\n", 403,
               "/problems/cross-site");
    expect("GET", "/fast", "Origin: http://evil.example\r\n", NULL, 403,
           "/problems/cross-site");
    api_server_stop(&server);
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "api_server", requests_are_routed, methods_are_named_when_another_is_wanted,
        a_connection_is_kept_alive, pipelined_requests_are_answered_in_order,
        a_body_may_come_in_chunks, a_body_that_is_too_large_is_refused_before_it_is_read,
        who_sends_ten_megabytes_sees_the_answer, chunks_that_do_not_end_are_cut_off,
        expect_100_is_answered_before_the_body, a_target_may_name_the_host,
        the_tcp_door_asks_for_a_token);
}
