/* The server and clients that are slow, wrong, gone, or many. */
#include "api/server_parts.h"
#include "tests/lib/api_routes.h"

#include <dirent.h>

/* Under the sanitizers a task costs a hundred times as much. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define CROWD 100
#else
#define CROWD 1000
#endif

/* ------------------------------------------------------------------------- bad clients */

START_TEST(nonsense_gets_an_answer_or_the_door)
{
    static const char *const nonsense[] = {
        "\r\n\r\n\r\n",
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET /fast\r\n\r\n",
        "GET /fast HTTP/9.9\r\n\r\n",
        "GET /fast HTTP/1.1\r\n\r\n", /* no Host */
        "GET /fast HTTP/1.1\r\nHost\r\n\r\n",
        "GET /fast HTTP/1.1\r\n: x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: l\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", /* TLS */
    };

    /* An end that comes in one packet with half a request is seen only when it is due. */
    server.options.receive_timeout_ms = 300;
    start();
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        struct http h;
        struct http_reply reply = {.status = 0};

        http_open_unix(&h, server.socket);
        ck_assert(http_send(&h, nonsense[i], strlen(nonsense[i])));
        shutdown(h.fd, SHUT_WR);
        if (http_read(&h, false, &reply))
            ck_assert_msg(reply.status >= 400, "%zu: %d", i, reply.status);
        http_reply_free(&reply);
        http_close(&h);
    }
    expect("GET", "/fast", "", NULL, 200, "fast");
    api_server_stop(&server);
}
END_TEST

START_TEST(a_request_of_doubtful_length_ends_its_connection)
{
    static const char *const heads[] = {
        "Content-Length: 4\r\nContent-Length: 44\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 4\r\nHost: other\r\n",
    };

    start();
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct http h;
        struct http_reply reply;

        http_open_unix(&h, server.socket);
        ck_assert(http_sendf(&h,
                             "POST /echo HTTP/1.1\r\nHost: localhost\r\n%s\r\n4\r\nGET /fast "
                             "HTTP/1.1\r\nHost: localhost\r\n\r\n",
                             heads[i]));
        ck_assert(http_read(&h, false, &reply));
        ck_assert_msg(reply.status == 400, "%s: %d", heads[i], reply.status);
        http_reply_free(&reply);
        ck_assert(http_is_closed(&h));
        http_close(&h);
    }
    api_server_stop(&server);
}
END_TEST

START_TEST(headers_have_a_bound)
{
    struct http h;
    struct http_reply reply = {.status = 0};

    start();
    http_open_unix(&h, server.socket);
    ck_assert(http_sendf(&h, "GET /fast HTTP/1.1\r\nHost: localhost\r\n"));
    for (int i = 0; i < 10000 && http_sendf(&h, "X-%d: 0123456789\r\n", i); i++) {
    }
    if (http_read(&h, false, &reply))
        ck_assert_int_eq(reply.status, 431);
    http_reply_free(&reply);
    http_close(&h);
    expect("GET", "/fast", "", NULL, 200, "fast");
    api_server_stop(&server);
}
END_TEST

START_TEST(a_slow_client_is_hung_up_on_and_nobody_waits_for_it)
{
    struct http slow[3];
    struct http_reply reply;

    server.options.receive_timeout_ms = 300;
    start();
    for (int i = 0; i < 3; i++)
        http_open_unix(&slow[i], server.socket);
    /* Nothing; half a header; half a body. */
    ck_assert(http_sendf(&slow[1], "GET /fast HTTP/1.1\r\nHos"));
    ck_assert(http_sendf(&slow[2], "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                                   "Content-Length: 10\r\n\r\nhalf"));
    expect("GET", "/task", "", NULL, 200, "fast");
    ck_assert(http_is_closed(&slow[0]));
    for (int i = 1; i < 3; i++) {
        ck_assert(http_read(&slow[i], false, &reply));
        ck_assert_int_eq(reply.status, 408);
        ck_assert(reply.whole);
        ck_assert_ptr_nonnull(strstr(reply.body, "\"status\":408,"));
        http_reply_free(&reply);
        ck_assert(http_is_closed(&slow[i]));
    }
    for (int i = 0; i < 3; i++)
        http_close(&slow[i]);
    expect("GET", "/task", "", NULL, 200, "fast");
    api_server_stop(&server);
}
END_TEST

START_TEST(a_request_that_drips_in_is_not_patience_without_end)
{
    struct http h;
    struct http_reply reply;
    uint64_t began_ns = clock_mono_ns();

    server.options.receive_timeout_ms = 200;
    start();
    http_open_unix(&h, server.socket);
    ck_assert(http_sendf(&h, "GET /fast HTTP/1.1\r\nHost: localhost\r\nX: "));
    /* A byte a millisecond: never idle, never done. */
    while (http_send(&h, "x", 1) && clock_mono_ns() - began_ns < 10 * NS_PER_S)
        usleep(1000);
    ck_assert_uint_lt(clock_mono_ns() - began_ns, 10 * NS_PER_S);
    if (http_read(&h, false, &reply))
        http_reply_free(&reply);
    http_close(&h);
    api_server_stop(&server);
}
END_TEST

START_TEST(a_half_closed_client_gets_its_answer)
{
    struct http h;
    struct http_reply reply;

    start();
    for (int i = 0; i < 3; i++) {
        static const char *const targets[] = {"/fast", "/slow/1", "/brief"};

        http_open_unix(&h, server.socket);
        ck_assert(http_sendf(&h, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", targets[i]));
        ck_assert_int_eq(shutdown(h.fd, SHUT_WR), 0);
        ck_assert(http_read(&h, false, &reply));
        ck_assert_int_eq(reply.status, 200);
        ck_assert_str_ne(reply.body, "not done");
        http_reply_free(&reply);
        http_close(&h);
    }
    api_server_stop(&server);
}
END_TEST

START_TEST(connections_have_a_bound_and_the_unix_door_keeps_a_share)
{
    struct http many[16], h;
    struct http_reply reply;

    server.options.connections_max = 16;
    start();
    for (int i = 0; i < 14; i++) {
        http_open_tcp(&many[i], server.port);
        ck_assert(http_call(&many[i], "GET", "/open", "", NULL, &reply));
        ck_assert_int_eq(reply.status, 200);
        http_reply_free(&reply);
    }
    http_open_tcp(&h, server.port);
    ck_assert(http_read(&h, false, &reply));
    ck_assert_int_eq(reply.status, 503);
    ck_assert(reply.whole);
    ck_assert_ptr_nonnull(strstr(reply.body, "\"retryable\":true}"));
    http_reply_free(&reply);
    http_close(&h);
    expect("GET", "/task", "", NULL, 200, "fast");
    for (int i = 0; i < 14; i++)
        http_close(&many[i]);
    api_server_stop(&server);
}
END_TEST

/* ------------------------------------------------------------------------- files, streams */

START_TEST(files_are_sent_whole_and_in_part)
{
    struct http_reply reply;

    start();
    reply = ask("GET", "/file", "", NULL);
    ck_assert_uint_eq(reply.body_len, FILE_BYTES);
    ck_assert_str_eq(reply.body + FILE_BYTES - 10, "000029999\n");
    http_reply_free(&reply);
    reply = ask("GET", "/file", "Range: bytes=123450-123459\r\n", NULL);
    ck_assert_int_eq(reply.status, 206);
    ck_assert_str_eq(reply.body, "000012345\n");
    http_reply_free(&reply);
    api_server_stop(&server);
}
END_TEST

static void check_stream(const struct http_reply *reply, unsigned pieces)
{
    OWN_BUF struct buf b = BUF_INIT;

    for (unsigned i = 0; i < pieces; i++)
        fill(&b, i);
    ck_assert_uint_eq(reply->body_len, b.len);
    ck_assert(memcmp(reply->body, b.data, b.len) == 0);
}

START_TEST(a_stream_arrives_whole_and_a_broken_one_shows_it)
{
    struct http_reply reply;

    start();
    reply = ask("GET", "/stream/1", "", NULL);
    ck_assert(reply.whole);
    check_stream(&reply, STREAM_PIECES);
    http_reply_free(&reply);
    reply = ask("GET", "/stream/3", "", NULL);
    ck_assert(reply.whole);
    ck_assert_ptr_nonnull(http_header(&reply, "Content-Length"));
    check_stream(&reply, STREAM_PIECES);
    http_reply_free(&reply);
    reply = ask("GET", "/stream/2", "", NULL);
    ck_assert(!reply.whole);
    ck_assert_uint_ge(reply.body_len, STREAM_PIECES / 2 * PIECE_BYTES);
    http_reply_free(&reply);
    api_server_stop(&server);
}
END_TEST

START_TEST(a_client_that_leaves_ends_its_stream)
{
    struct http h;
    struct http_reply reply = {.status = 0};

    start();
    /* While there is more to send. */
    http_open_unix(&h, server.socket);
    ck_assert(http_sendf(&h, "GET /stream/1 HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    ck_assert(http_read_some(&h, 10, &reply));
    http_close(&h);
    http_reply_free(&reply);
    await_count(&streams_ended, 1);
    /* While there is not. */
    http_open_unix(&h, server.socket);
    ck_assert(http_sendf(&h, "GET /trickle HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    ck_assert(http_read_some(&h, 8, &reply));
    ck_assert_str_eq(reply.body, "0\n1\n2\n3\n");
    http_close(&h);
    http_reply_free(&reply);
    await_count(&streams_ended, 2);
    api_server_stop(&server);
}
END_TEST

START_TEST(a_broken_stream_frees_its_connection_beside_an_older_idle_one)
{
    struct http idle, h;
    struct http_reply reply = {.status = 0};

    server.options.pumps = 1;
    start();
    http_open_unix(&idle, server.socket);
    ck_assert(http_sendf(&idle, "GET /fast HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    ck_assert(http_read(&idle, false, &reply));
    http_reply_free(&reply);
    http_open_unix(&h, server.socket);
    ck_assert(http_sendf(&h, "GET /trickle HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    ck_assert(http_read_some(&h, 8, &reply));
    http_reply_free(&reply);
    http_close(&h);
    await_count(&server.server->pumps[0].connections, 1);
    http_close(&idle);
    await_count(&server.server->pumps[0].connections, 0);
    api_server_stop(&server);
}
END_TEST

START_TEST(a_client_that_does_not_read_is_left)
{
    struct http h;

    server.options.send_timeout_ms = 1000;
    start();
    http_open_unix(&h, server.socket);
    /* More than a socket takes while nobody reads. */
    for (int i = 0; i < 4; i++)
        ck_assert(http_sendf(&h, "GET /stream/3 HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    await_count(&streams_ended, 1);
    http_close(&h);
    api_server_stop(&server);
    ck_assert_int_eq(server.drained, 0);
}
END_TEST

START_TEST(a_drain_breaks_streams_that_would_not_end)
{
    struct http h;
    struct http_reply reply = {.status = 0};

    start();
    http_open_unix(&h, server.socket);
    ck_assert(http_sendf(&h, "GET /trickle HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    ck_assert(http_read_some(&h, 8, &reply));
    api_server_stop(&server);
    ck_assert_int_eq(server.drained, 0);
    ck_assert(!http_read_some(&h, 9, &reply));
    ck_assert(!reply.whole);
    http_reply_free(&reply);
    http_close(&h);
}
END_TEST

/* ------------------------------------------------------------------------- crowds */

static unsigned count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned count = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2;
}

START_TEST(a_thousand_waiting_clients_are_tasks)
{
    static struct http clients[CROWD];
    struct http_reply reply;

    start();
    for (int i = 0; i < CROWD; i++) {
        if (i % 2)
            http_open_unix(&clients[i], server.socket);
        else
            http_open_tcp(&clients[i], server.port);
        ck_assert(http_sendf(&clients[i], "GET /wait HTTP/1.1\r\nHost: localhost\r\n"
                                          "Authorization: Bearer " READ_TOKEN "\r\n\r\n"));
    }
    await_count(&waiting, CROWD);
    ck_assert_uint_lt(count_threads(), 20);
    expect("GET", "/task", "", NULL, 200, "fast");

    /* Half of them hang up: their tasks end at once. */
    for (int i = 0; i < CROWD / 2; i++)
        http_close(&clients[i]);
    await_count(&waiting, CROWD / 2);
    ck_assert_uint_eq(atomic_load(&hung_up), CROWD / 2);

    /* The drain wakes the others, and each gets an answer. */
    api_server_stop(&server);
    ck_assert_int_eq(server.drained, 0);
    ck_assert_uint_eq(atomic_load(&drained_waits), CROWD / 2);
    for (int i = CROWD / 2; i < CROWD; i++) {
        ck_assert(http_read(&clients[i], false, &reply));
        ck_assert_str_eq(reply.body, "woken");
        ck_assert_str_eq(http_header(&reply, "Connection"), "close");
        http_reply_free(&reply);
        http_close(&clients[i]);
    }
}
END_TEST

START_TEST(a_stop_without_patience_still_ends_everything)
{
    struct http h, body;

    server.drain_ms = 1;
    start();
    http_open_unix(&h, server.socket);
    ck_assert(http_sendf(&h, "GET /stream/1 HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    http_open_unix(&body, server.socket);
    ck_assert(http_sendf(&body, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                                "Content-Length: 10\r\n\r\n"));
    ck_assert_int_eq(recv(h.fd, (char[1]){0}, 1, MSG_PEEK), 1);
    /* Neither reads nor writes any more. */
    api_server_stop(&server);
    ck_assert_int_eq(server.drained, -ETIMEDOUT);
    http_close(&h);
    http_close(&body);
}
END_TEST

static void *hammer(void *arg)
{
    struct http h;
    struct http_reply reply;
    unsigned long n = (unsigned long)arg;

    for (int i = 0; i < 20; i++) {
        if (n % 2)
            http_open_unix(&h, server.socket);
        else
            http_open_tcp(&h, server.port);
        for (int k = 0; k < 20; k++) {
            char body[32];

            snprintf(body, sizeof body, "%lu.%d.%d", n, i, k);
            ck_assert(http_call(&h, k % 2 ? "POST" : "PUT", "/echo",
                                "Authorization: Bearer " ADMIN_TOKEN "\r\n", body, &reply));
            ck_assert_int_eq(reply.status, 200);
            ck_assert_str_eq(reply.body, body);
            http_reply_free(&reply);
        }
        http_close(&h);
    }
    return NULL;
}

START_TEST(many_clients_at_once_each_get_their_own)
{
    pthread_t threads[8];
    struct server_stats stats;

    start();
    for (unsigned long i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hammer, (void *)i), 0);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    server_stats(server.server, &stats);
    ck_assert_uint_eq(stats.accepted, 160);
    ck_assert_uint_eq(stats.refused_full, 0);
    api_server_stop(&server);
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "api_clients", nonsense_gets_an_answer_or_the_door,
        a_request_of_doubtful_length_ends_its_connection, headers_have_a_bound,
        a_slow_client_is_hung_up_on_and_nobody_waits_for_it,
        a_request_that_drips_in_is_not_patience_without_end,
        a_half_closed_client_gets_its_answer,
        connections_have_a_bound_and_the_unix_door_keeps_a_share,
        files_are_sent_whole_and_in_part, a_stream_arrives_whole_and_a_broken_one_shows_it,
        a_client_that_leaves_ends_its_stream,
        a_broken_stream_frees_its_connection_beside_an_older_idle_one,
        a_client_that_does_not_read_is_left, a_drain_breaks_streams_that_would_not_end,
        a_thousand_waiting_clients_are_tasks, a_stop_without_patience_still_ends_everything,
        many_clients_at_once_each_get_their_own);
}
