/* What HTTP jobs are made of: the guard of addresses, the reader of URLs, names to addresses.
 */
#include "base/own.h"
#include "jobs/http_guard.h"
#include "jobs/http_pump.h"
#include "jobs/http_resolve.h"
#include "jobs/http_result.h"
#include "jobs/http_url.h"
#include "scheduler/event.h"
#include "tests/lib/scheduled.h"
#include "tests/lib/suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* ---- the guard --------------------------------------------------------------------------- */

static bool is_free(const struct http_guard *guard, const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return http_guard_check(guard, (const struct sockaddr *)&in) == NULL;
    ck_assert_int_eq(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return http_guard_check(guard, (const struct sockaddr *)&in6) == NULL;
}

static void check_addresses(const struct http_guard *guard, const char *const *texts,
                            bool wanted)
{
    for (; *texts != NULL; texts++)
        ck_assert_msg(is_free(guard, *texts) == wanted, "%s", *texts);
}

START_TEST(ranges_that_lead_inside_are_denied_from_end_to_end)
{
    static const char *const inside[] = {"0.0.0.0",
                                         "0.255.255.255",
                                         "10.0.0.0",
                                         "10.255.255.255",
                                         "100.64.0.0",
                                         "100.127.255.255",
                                         "127.0.0.1",
                                         "127.255.255.255",
                                         "169.254.169.254",
                                         "172.16.0.0",
                                         "172.31.255.255",
                                         "192.168.0.0",
                                         "192.168.255.255",
                                         "198.18.0.1",
                                         "198.19.255.255",
                                         "224.0.0.1",
                                         "239.255.255.255",
                                         "240.0.0.1",
                                         "255.255.255.255",
                                         "192.0.2.1",
                                         "198.51.100.7",
                                         "203.0.113.9",
                                         "::",
                                         "::1",
                                         "::7f00:1",
                                         "::ffff:127.0.0.1",
                                         "::ffff:8.8.8.8",
                                         "64:ff9b::7f00:1",
                                         "64:ff9b::10.0.0.1",
                                         "64:ff9b:1::1",
                                         "100::1",
                                         "2001::1",
                                         "2001:db8::1",
                                         "2002:7f00:1::",
                                         "2002:a00:1::1",
                                         "fc00::1",
                                         "fdff::1",
                                         "fe80::1",
                                         "febf::1",
                                         "fec0::1",
                                         "ff02::1",
                                         NULL};
    static const char *const outside[] = {
        "1.1.1.1",          "9.255.255.255",   "11.0.0.0",
        "100.63.255.255",   "100.128.0.0",     "126.255.255.255",
        "128.0.0.0",        "169.253.255.255", "169.255.0.0",
        "172.15.255.255",   "172.32.0.0",      "192.167.255.255",
        "192.169.0.0",      "198.17.255.255",  "198.20.0.0",
        "223.255.255.255",  "2606:4700::1111", "2001:4860:4860::8888",
        "64:ff9b::8.8.8.8", "2002:808:808::1", NULL};
    struct http_guard *guard = NULL;

    ck_assert_int_eq(http_guard_new(NULL, &guard, NULL), 0);
    check_addresses(guard, inside, false);
    check_addresses(guard, outside, true);
    http_guard_free(guard);
}
END_TEST

START_TEST(what_is_allowed_is_exactly_what_the_list_covers)
{
    static const char *const allow[] = {"127.0.0.0/8", "10.1.2.3", "192.168.4.0/22", "fd00::/9",
                                        NULL};
    static const char *const free_now[] = {
        "127.0.0.1", "10.1.2.3", "192.168.7.255", "::ffff:127.0.0.1", "64:ff9b::10.1.2.3",
        "fd7f::1",   NULL};
    static const char *const denied[] = {"10.1.2.4", "192.168.8.0", "192.168.3.255",   "::1",
                                         "fd80::1",  "fc00::1",     "::ffff:10.1.2.4", NULL};
    struct http_guard *guard = NULL;

    ck_assert_int_eq(http_guard_new((char *const *)allow, &guard, NULL), 0);
    check_addresses(guard, free_now, true);
    check_addresses(guard, denied, false);
    http_guard_free(guard);
}
END_TEST

START_TEST(a_list_with_a_bad_entry_names_it)
{
    static const char *const bad[] = {"",           "10",         "10.0.0.0/33", "10.0.0.0/",
                                      "10.0.0.0/a", "::/129",     "host",        "10.0.0.0/-1",
                                      "1.2.3.4/8 ", "10.0.0.0/+8"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const allow[] = {"127.0.0.1", bad[i], NULL};
        struct http_guard *guard = NULL;
        const char *named = NULL;

        ck_assert_int_eq(http_guard_new((char *const *)allow, &guard, &named), -EINVAL);
        ck_assert_ptr_eq(named, bad[i]);
        ck_assert_ptr_null(guard);
    }
}
END_TEST

START_TEST(what_is_no_internet_address_is_denied)
{
    const struct sockaddr local = {.sa_family = AF_UNIX};
    struct http_guard *guard = NULL;

    ck_assert_int_eq(http_guard_new(NULL, &guard, NULL), 0);
    ck_assert_str_eq(http_guard_check(guard, &local)->what, "not an internet address");
    http_guard_free(guard);
}
END_TEST

/* ---- URLs -------------------------------------------------------------------------------- */

START_TEST(a_url_is_read_as_it_will_be_connected)
{
    static const struct {
        const char *text, *scheme, *host;
        unsigned short port;
        bool numeric;
    } rows[] = {
        {"http://Example.org/a?b#c", "http", "Example.org", 80, false},
        {"HTTPS://example.org", "https", "example.org", 443, false},
        {"http://h:8080/", "http", "h", 8080, false},
        {"http://127.0.0.1/", "http", "127.0.0.1", 80, true},
        {"http://0x7f000001/", "http", "127.0.0.1", 80, true},
        {"http://2130706433/", "http", "127.0.0.1", 80, true},
        {"http://127.1/", "http", "127.0.0.1", 80, true},
        {"http://[::1]:81/", "http", "[::1]", 81, true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct http_url url;
        const char *wrong = http_url_parse(rows[i].text, &url);

        ck_assert_msg(wrong == NULL, "%s %s", rows[i].text, wrong);
        ck_assert_str_eq(url.scheme, rows[i].scheme);
        ck_assert_str_eq(url.host, rows[i].host);
        ck_assert_uint_eq(url.port, rows[i].port);
        ck_assert_int_eq(url.numeric, rows[i].numeric);
    }
}
END_TEST

START_TEST(origins_are_scheme_host_and_port)
{
    struct http_url a, b;

    ck_assert_ptr_null(http_url_parse("http://h/x", &a));
    ck_assert_ptr_null(http_url_parse("HTTP://H:80/y", &b));
    ck_assert(http_url_same_origin(&a, &b));
    ck_assert_ptr_null(http_url_parse("https://h/", &b));
    ck_assert(!http_url_same_origin(&a, &b));
    ck_assert_ptr_null(http_url_parse("http://h:81/", &b));
    ck_assert(!http_url_same_origin(&a, &b));
    ck_assert_ptr_null(http_url_parse("http://g/", &b));
    ck_assert(!http_url_same_origin(&a, &b));
}
END_TEST

/* ---- results ----------------------------------------------------------------------------- */

static void check_headers(const char *lines, size_t len, const char *wanted)
{
    const struct http_result_notes notes = {.saved_to = "/f"};
    struct http_response response = {.status = 200};
    OWN_BUF struct buf b = BUF_INIT, whole = BUF_INIT;

    buf_put(&response.headers, lines, len);
    http_result_put(&b, &response, &notes);
    buf_putf(&whole, "{\"status\":200,\"bytes\":0,\"headers\":%s,\"saved_to\":\"/f\"}", wanted);
    ck_assert_str_eq(buf_str(&b), buf_str(&whole));
    http_response_deinit(&response);
}

#define LINES(text) (text), sizeof(text) - 1

START_TEST(only_what_is_a_header_field_is_told_as_one)
{
    check_headers(LINES(""), "{}");
    check_headers(LINES("A: 1\r\nb:2\r\nA:\t3 \r\n"), "{\"a\":\"1, 3\",\"b\":\"2\"}");
    check_headers(LINES("A: 1\r\n folded: no\r\n: no\r\nno\r\nB b: no\r\n"), "{\"a\":\"1\"}");
    check_headers(LINES("Conten\0t: no\r\nA: n\0o\r\nB: 1\r\n"), "{\"b\":\"1\"}");
    check_headers(LINES("Set-Cookie: a\r\nset-cookie: b"), "{\"set-cookie\":\"(not kept)\"}");
    check_headers(LINES("A: \"\xff\n"), "{\"a\":\"\\\"\xef\xbf\xbd\"}");
}
END_TEST

/* ---- names ------------------------------------------------------------------------------- */

/* A resolver that answers when a byte can be read from the gate. */
static int gate[2];
static atomic_uint asked;

static struct addrinfo *add_address(struct addrinfo *next, const char *text)
{
    struct addrinfo *info = NULL;
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};

    ck_assert_int_eq(getaddrinfo(text, NULL, &hints, &info), 0);
    info->ai_next = next;
    return info;
}

static int look_up_gated(const char *name, const struct addrinfo *hints, struct addrinfo **ret)
{
    char byte;

    (void)hints;
    atomic_fetch_add(&asked, 1);
    if (strncmp(name, "slow", 4) == 0)
        ck_assert_int_eq((int)read(gate[0], &byte, 1), 1);
    if (strcmp(name, "none") == 0)
        return EAI_NONAME;
    *ret = add_address(add_address(NULL, "2001:db8::1"), "192.0.2.1");
    return 0;
}

static void open_gate(void)
{
    ck_assert_int_eq((int)write(gate[1], "g", 1), 1);
}

struct question {
    struct http_resolver *resolver;
    const char *name;
    int r;
    char addresses[HTTP_RESOLVE_TEXT_BYTES];
};

static int ask(void *arg)
{
    struct question *q = arg;
    const char *why = NULL;

    q->r = http_resolve(q->resolver, q->name, q->addresses, &why);
    return 0;
}

#define ASKERS 50

static int share_one_lookup(void *arg)
{
    static struct question questions[ASKERS];
    struct http_resolver *resolver = NULL;
    struct group lookups, askers;

    (void)arg;
    group_open(&lookups, "lookups");
    group_open(&askers, "askers");
    ck_assert_int_eq(http_resolver_open(&lookups, look_up_gated, &resolver), 0);
    for (int i = 0; i < ASKERS; i++) {
        questions[i] = (struct question){.resolver = resolver, .name = "slow"};
        ck_assert_int_eq(group_go(&askers, ask, &questions[i]), 0);
    }
    let_others_run();
    open_gate();
    ck_assert_int_eq(group_join(&askers), 0);
    for (int i = 0; i < ASKERS; i++) {
        ck_assert_int_eq(questions[i].r, 0);
        ck_assert_str_eq(questions[i].addresses, "192.0.2.1,[2001:db8::1]");
    }
    ck_assert_uint_eq(asked, 1);
    ck_assert_uint_eq(http_resolver_lookups(resolver), 1);
    http_resolver_close(resolver);
    return group_join(&lookups);
}

START_TEST(those_who_ask_for_one_name_share_a_lookup)
{
    ck_assert_int_eq(pipe(gate), 0);
    scheduled(2, share_one_lookup, NULL);
}
END_TEST

static int ask_for_none(void *arg)
{
    struct http_resolver *resolver = NULL;
    char addresses[HTTP_RESOLVE_TEXT_BYTES];
    const char *why = NULL;
    struct group lookups;

    (void)arg;
    group_open(&lookups, "lookups");
    ck_assert_int_eq(http_resolver_open(&lookups, look_up_gated, &resolver), 0);
    for (int i = 0; i < 3; i++) {
        why = NULL;
        ck_assert_int_eq(http_resolve(resolver, "none", addresses, &why), -EINVAL);
        ck_assert_str_eq(why, gai_strerror(EAI_NONAME));
    }
    ck_assert_uint_eq(asked, 1);
    ck_assert_int_eq(http_resolve(resolver, "other", addresses, &why), 0);
    ck_assert_uint_eq(asked, 2);
    http_resolver_close(resolver);
    return group_join(&lookups);
}

START_TEST(a_name_without_address_is_asked_for_once)
{
    scheduled(1, ask_for_none, NULL);
}
END_TEST

static int leave_early(void *arg)
{
    struct question question = {.name = "slow"};
    struct http_resolver *resolver = NULL;
    struct group lookups, askers;

    (void)arg;
    group_open(&lookups, "lookups");
    group_open(&askers, "askers");
    ck_assert_int_eq(http_resolver_open(&lookups, look_up_gated, &resolver), 0);
    question.resolver = resolver;
    ck_assert_int_eq(group_go(&askers, ask, &question), 0);
    let_others_run();
    group_cancel(&askers, -ECANCELED);
    group_close(&askers); /* while the lookup goes on */
    ck_assert_int_eq(question.r, -ECANCELED);
    open_gate();
    http_resolver_close(resolver); /* parks until it has ended */
    return group_join(&lookups);
}

START_TEST(whoever_is_cancelled_does_not_wait_for_the_lookup)
{
    ck_assert_int_eq(pipe(gate), 0);
    scheduled(2, leave_early, NULL);
}
END_TEST

static int ask_for_many(void *arg)
{
    struct http_resolver *resolver = NULL;
    char addresses[HTTP_RESOLVE_TEXT_BYTES], name[32];
    const char *why = NULL;
    struct group lookups;
    unsigned count = HTTP_RESOLVE_NAMES_MAX + 50;

    (void)arg;
    group_open(&lookups, "lookups");
    ck_assert_int_eq(http_resolver_open(&lookups, look_up_gated, &resolver), 0);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "host%u", i);
        ck_assert_int_eq(http_resolve(resolver, name, addresses, &why), 0);
    }
    /* The newest is kept, the oldest was forgotten. */
    ck_assert_int_eq(http_resolve(resolver, name, addresses, &why), 0);
    ck_assert_uint_eq(asked, count);
    ck_assert_int_eq(http_resolve(resolver, "host0", addresses, &why), 0);
    ck_assert_uint_eq(asked, count + 1);
    http_resolver_close(resolver);
    return group_join(&lookups);
}

START_TEST(the_oldest_name_makes_room_for_a_new_one)
{
    scheduled(1, ask_for_many, NULL);
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "jobs/http parts", ranges_that_lead_inside_are_denied_from_end_to_end,
        what_is_allowed_is_exactly_what_the_list_covers, a_list_with_a_bad_entry_names_it,
        what_is_no_internet_address_is_denied, a_url_is_read_as_it_will_be_connected,
        origins_are_scheme_host_and_port, only_what_is_a_header_field_is_told_as_one,
        those_who_ask_for_one_name_share_a_lookup, a_name_without_address_is_asked_for_once,
        whoever_is_cancelled_does_not_wait_for_the_lookup,
        the_oldest_name_makes_room_for_a_new_one);
}
