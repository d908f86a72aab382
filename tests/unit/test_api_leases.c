/* Workers through the interface: taking jobs, and every word about them, good and bad. */
#include "tests/lib/api_daemon.h"

#include "base/buf.h"

#define JOB "{\"worker\":{\"payload\":{\"n\":7}},\"queue\":\"w\"}"
#define TAKE_ONE "{\"queues\":[\"w\"]}"

/* Leases at most max jobs of queue w; how many there were. The answer is the caller's. */
static struct answer take(int max, size_t *ret_count)
{
    char body[64];

    snprintf(body, sizeof body, "{\"queues\":[\"w\"],\"max\":%d}", max);

    struct answer a = expect(200, "POST", "/v1/leases", "", body);

    *ret_count = json_array_size(json_object_get(a.json, "items"));
    return a;
}

static json_t *item(const struct answer *a, size_t i)
{
    return json_array_get(json_object_get(a->json, "items"), i);
}

static long long item_number(const struct answer *a, size_t i, const char *key)
{
    return json_integer_value(json_object_get(item(a, i), key));
}

/* Submits and leases one job; its id. The fence of a first lease is 1. */
static long long leased(void)
{
    long long id = submit(JOB);
    size_t count;
    struct answer a = take(1, &count);

    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(item_number(&a, 0, "id"), id);
    ck_assert_int_eq(item_number(&a, 0, "fence"), 1);
    answer_free(&a);
    return id;
}

/* "/v1/leases/7/complete", in static memory. */
static const char *lease_path(long long id, const char *verb)
{
    static char path[64];

    snprintf(path, sizeof path, "/v1/leases/%lld/%s", id, verb);
    return path;
}

static void state_is(long long id, const char *state, const char *reason)
{
    struct answer a = expect(200, "GET", job_path(id, ""), "", NULL);

    ck_assert_str_eq(text_at(&a, "state"), state);
    ck_assert_str_eq(text_at(&a, "reason"), reason);
    answer_free(&a);
}

/* ------------------------------------------------------------------------- taking */

START_TEST(a_worker_is_given_what_it_needs)
{
    struct answer a;
    size_t count;
    int64_t at_ms;

    api_daemon_start();
    submit("{\"worker\":{\"payload\":[1,{\"a\":\"}\"}],\"lease\":\"90s\"},\"queue\":\"w\","
           "\"name\":\"thumb\",\"key\":\"k\",\"tags\":[\"x\"],\"timeout\":\"5m\"}");
    a = take(10, &count);
    ck_assert_uint_eq(count, 1);

    json_t *one = item(&a, 0);
    double seconds = json_number_value(json_object_get(one, "lease_seconds"));
    const char *until = json_string_value(json_object_get(one, "lease_until"));
    const char *deadline = json_string_value(json_object_get(one, "deadline"));
    json_t *payload = json_pack("[i,{s:s}]", 1, "a", "}");

    ck_assert(json_equal(json_object_get(one, "payload"), payload));
    ck_assert(seconds > 60 && seconds <= 90);
    ck_assert_int_eq(str_time_ms(until, strlen(until), &at_ms), 0);
    ck_assert_int_eq(str_time_ms(deadline, strlen(deadline), &at_ms), 0);
    ck_assert_str_eq(json_string_value(json_object_get(one, "name")), "thumb");
    ck_assert_str_eq(json_string_value(json_object_get(one, "queue")), "w");
    ck_assert_str_eq(json_string_value(json_object_get(one, "key")), "k");
    ck_assert_int_eq(item_number(&a, 0, "attempt"), 1);
    ck_assert_int_eq(item_number(&a, 0, "crashes"), 0);
    json_decref(payload);
    answer_free(&a);
    a = take(10, &count);
    ck_assert_uint_eq(count, 0);
    answer_free(&a);
    a = expect(200, "GET", "/v1/jobs?kind=worker&state=running", "", NULL);
    ck_assert(json_is_string(json_object_get(item(&a, 0), "lease_until")));
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

START_TEST(a_payload_is_found_however_its_key_is_written)
{
    static const char *const jobs[] = {
        "{\"worker\":{},\"queue\":\"w\"}", "{\"queue\":\"w\",\"worker\":{\"payload\":null}}",
        "{\"\\u0077orker\":{\"payload\":5},\"queue\":\"w\"}",
        "{\"worker\":{\"p\\u0061yload\":5},\"queue\":\"w\"}",
        "{\"worker\":{\"lease\":30,\"payload\":5},\"queue\":\"w\"}"};
    struct answer a;
    size_t count;

    api_daemon_start();
    for (size_t i = 0; i < 5; i++)
        submit(jobs[i]);
    a = take(10, &count);
    ck_assert_uint_eq(count, 5);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_ptr_nonnull(json_object_get(item(&a, i), "payload"));
        ck_assert_int_eq(item_number(&a, i, "payload"), i < 2 ? 0 : 5);
    }
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

static void *take_later(void *arg)
{
    struct answer *a = arg;

    *a = expect(200, "POST", "/v1/leases?wait=30s", "", TAKE_ONE);
    return NULL;
}

START_TEST(a_submission_wakes_a_worker_that_waits)
{
    struct answer a;
    pthread_t thread;

    api_daemon_start();
    ck_assert_int_eq(pthread_create(&thread, NULL, take_later, &a), 0);
    /* Another queue's job is not for it. */
    submit("{\"worker\":{},\"queue\":\"other\"}");
    long long id = submit(JOB);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(item_number(&a, 0, "id"), id);
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

START_TEST(a_wait_without_jobs_ends_with_none)
{
    struct answer a;

    api_daemon_start();
    a = expect(200, "POST", "/v1/leases?wait=20ms", "", "");
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "items")), 0);
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

/* Until it waits: hung up on before, its first look may take the job, for as long as a lease.
 */
static void await_worker(void)
{
    for (bool waits = false; !waits;) {
        struct answer a = expect(200, "GET", "/metrics", "", NULL);
        waits = strstr(a.reply.body, "\nstint_workers_waiting 1\n") != NULL;
        answer_free(&a);
    }
}

START_TEST(a_worker_that_hangs_up_while_it_waits_takes_nothing)
{
    struct answer a;
    struct http h;
    size_t count = 0;

    api_daemon_start();
    http_open_unix(&h, stintd.socket);
    ck_assert(http_sendf(&h,
                         "POST /v1/leases?wait=30s HTTP/1.1\r\nHost: localhost\r\n"
                         "Content-Length: %zu\r\n\r\n%s",
                         strlen(TAKE_ONE), TAKE_ONE));
    await_worker();
    http_close(&h);

    long long id = submit(JOB);

    /* Whatever it was given in the last moment comes back. */
    while (count == 0) {
        a = take(1, &count);
        if (count > 0)
            ck_assert_int_eq(item_number(&a, 0, "id"), id);
        if (count > 0)
            ck_assert_int_eq(item_number(&a, 0, "attempt"), 1);
        answer_free(&a);
    }
    api_daemon_stop();
}
END_TEST

START_TEST(what_asks_for_no_jobs_is_refused)
{
    static const struct {
        const char *target, *body, *type, *pointer;
        int status;
    } bad[] = {
        {"/v1/leases", "{", "invalid-json", "", 400},
        {"/v1/leases", "[]", "invalid-settings", "", 422},
        {"/v1/leases", "{\"queue\":\"w\"}", "invalid-settings", "/queue", 422},
        {"/v1/leases", "{\"queues\":\"w\"}", "invalid-settings", "/queues", 422},
        {"/v1/leases", "{\"queues\":[]}", "invalid-settings", "/queues", 422},
        {"/v1/leases", "{\"queues\":[5]}", "invalid-settings", "/queues", 422},
        {"/v1/leases", "{\"queues\":[\"a b\"]}", "invalid-settings", "/queues", 422},
        {"/v1/leases", "{\"max\":0}", "invalid-settings", "/max", 422},
        {"/v1/leases", "{\"max\":1001}", "invalid-settings", "/max", 422},
        {"/v1/leases", "{\"max\":\"1\"}", "invalid-settings", "/max", 422},
        {"/v1/leases?wait=2h", "{}", "bad-parameter", "", 400},
        {"/v1/leases?max=2", "{}", "bad-parameter", "", 400},
    };

    api_daemon_start();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_problem(bad[i].status, bad[i].type, bad[i].pointer, "POST", bad[i].target, "",
                       bad[i].body);
    expect_problem(405, "method-not-allowed", "", "GET", "/v1/leases", "", NULL);
    api_daemon_stop();
}
END_TEST

/* ------------------------------------------------------------------------- telling */

START_TEST(a_completed_job_has_the_workers_result)
{
    struct answer a;

    api_daemon_start();
    long long id = leased();
    a = expect(200, "POST", lease_path(id, "complete"), "",
               "{\"fence\":1,\"result\":{\"size\":[3, 4]}}");
    ck_assert_str_eq(text_at(&a, "state"), "succeeded");
    answer_free(&a);
    a = expect(200, "GET", job_path(id, ""), "", NULL);
    ck_assert_str_eq(text_at(&a, "state"), "succeeded");
    ck_assert_uint_eq(
        json_array_size(json_object_get(json_object_get(a.json, "result"), "size")), 2);
    ck_assert(json_is_null(json_object_get(a.json, "lease_until")));
    answer_free(&a);
    /* Said again, it is answered again; said otherwise, it comes too late. */
    a = expect(200, "POST", lease_path(id, "complete"), "", "{\"fence\":1}");
    answer_free(&a);
    expect_problem(409, "superseded", "", "POST", lease_path(id, "fail"), "", "{\"fence\":1}");
    api_daemon_stop();
}
END_TEST

START_TEST(a_failed_job_is_tried_again_unless_that_is_useless)
{
    struct answer a;

    api_daemon_start();
    long long id = leased();
    a = expect(200, "POST", lease_path(id, "fail"), "",
               "{\"fence\":1,\"error\":\"no such photo\",\"retry_after\":\"1h\"}");
    ck_assert_str_eq(text_at(&a, "state"), "retrying");
    ck_assert_str_ne(text_at(&a, "run_at"), "(none)");
    answer_free(&a);
    a = expect(200, "GET", job_path(id, ""), "", NULL);
    ck_assert_str_eq(text_at(&a, "reason"), "worker_failed");
    ck_assert_str_eq(text_at(&a, "error"), "no such photo");
    answer_free(&a);
    id = leased();
    a = expect(200, "POST", lease_path(id, "fail"), "", "{\"fence\":1,\"retry\":false}");
    ck_assert_str_eq(text_at(&a, "state"), "failed");
    answer_free(&a);
    state_is(id, "failed", "worker_failed");
    api_daemon_stop();
}
END_TEST

START_TEST(a_snoozed_job_comes_again)
{
    struct answer a;
    size_t count;

    api_daemon_start();
    long long id = leased();
    a = expect(200, "POST", lease_path(id, "snooze"), "", "{\"fence\":1,\"for\":\"1h\"}");
    ck_assert_str_eq(text_at(&a, "state"), "scheduled");
    answer_free(&a);
    state_is(id, "scheduled", "snoozed");
    id = leased();
    a = expect(200, "POST", lease_path(id, "snooze"), "",
               "{\"fence\":1,\"until\":\"2020-01-01T00:00:00Z\"}");
    ck_assert_str_eq(text_at(&a, "state"), "queued");
    answer_free(&a);
    a = take(1, &count);
    ck_assert_int_eq(item_number(&a, 0, "fence"), 2);
    ck_assert_int_eq(item_number(&a, 0, "attempt"), 1);
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

START_TEST(a_cancel_is_told_with_the_next_renewal)
{
    struct answer a;

    api_daemon_start();
    long long id = leased();
    a = expect(200, "POST", lease_path(id, "renew"), "", "{\"fence\":1}");
    ck_assert(json_is_false(json_object_get(a.json, "stop")));
    ck_assert(json_is_false(json_object_get(a.json, "drain")));
    ck_assert(json_number_value(json_object_get(a.json, "lease_seconds")) > 20);
    answer_free(&a);
    a = expect(202, "POST", job_path(id, "/cancel"), "", "{\"grace\":\"10s\"}");
    answer_free(&a);
    a = expect(200, "POST", lease_path(id, "renew"), "", "{\"fence\":1}");
    ck_assert(json_is_true(json_object_get(a.json, "stop")));
    ck_assert(json_number_value(json_object_get(a.json, "lease_seconds")) <= 10);
    answer_free(&a);
    a = expect(200, "POST", lease_path(id, "fail"), "", "{\"fence\":1}");
    ck_assert_str_eq(text_at(&a, "state"), "cancelled");
    answer_free(&a);
    id = leased();
    a = expect(200, "POST", job_path(id, "/cancel"), "", "{\"force\":true}");
    ck_assert_str_eq(text_at(&a, "state"), "cancelled");
    answer_free(&a);
    expect_problem(409, "superseded", "", "POST", lease_path(id, "complete"), "",
                   "{\"fence\":1}");
    api_daemon_stop();
}
END_TEST

START_TEST(another_fence_is_superseded_and_changes_nothing)
{
    static const char *const verbs[] = {"renew", "complete", "fail", "snooze"};

    api_daemon_start();
    long long id = leased();
    for (size_t i = 0; i < 4; i++) {
        expect_problem(409, "superseded", "", "POST", lease_path(id, verbs[i]), "",
                       "{\"fence\":2}");
        expect_problem(404, "not-found", "", "POST", lease_path(id + 1, verbs[i]), "",
                       "{\"fence\":1}");
    }
    state_is(id, "running", "(none)");
    api_daemon_stop();
}
END_TEST

START_TEST(words_that_say_nothing_are_refused)
{
    static const struct {
        const char *verb, *body, *type, *pointer;
        int status;
    } bad[] = {
        {"renew", "", "invalid-json", "", 400},
        {"renew", "[]", "invalid-settings", "", 422},
        {"renew", "{}", "invalid-settings", "/fence", 422},
        {"renew", "{\"fence\":0}", "invalid-settings", "/fence", 422},
        {"renew", "{\"fence\":\"1\"}", "invalid-settings", "/fence", 422},
        {"renew", "{\"fence\":4294967296}", "invalid-settings", "/fence", 422},
        {"renew", "{\"fence\":1,\"id\":1}", "invalid-settings", "/id", 422},
        {"renew", "{\"fence\":1,\"result\":1}", "invalid-settings", "/result", 422},
        {"complete", "{\"fence\":1,\"error\":\"x\"}", "invalid-settings", "/error", 422},
        {"fail", "{\"fence\":1,\"error\":5}", "invalid-settings", "/error", 422},
        {"fail", "{\"fence\":1,\"retry\":\"no\"}", "invalid-settings", "/retry", 422},
        {"fail", "{\"fence\":1,\"retry_after\":-1}", "invalid-settings", "/retry_after", 422},
        {"snooze", "{\"fence\":1,\"for\":\"soon\"}", "invalid-settings", "/for", 422},
        {"snooze", "{\"fence\":1,\"until\":\"today\"}", "invalid-settings", "/until", 422},
    };

    api_daemon_start();
    long long id = leased();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_problem(bad[i].status, bad[i].type, bad[i].pointer, "POST",
                       lease_path(id, bad[i].verb), "", bad[i].body);
    state_is(id, "running", "(none)");
    api_daemon_stop();
}
END_TEST

START_TEST(a_result_or_a_reason_too_long_is_refused_and_the_lease_goes_on)
{
    OWN_BUF struct buf b = BUF_INIT;

    api_daemon_start();
    long long id = leased();
    buf_puts(&b, "{\"fence\":1,\"result\":\"");
    for (int i = 0; i < 1 << 20; i++)
        buf_putc(&b, 'x');
    buf_puts(&b, "\"}");
    expect_problem(422, "invalid-settings", "/result", "POST", lease_path(id, "complete"), "",
                   buf_str(&b));
    buf_clear(&b);
    buf_puts(&b, "{\"fence\":1,\"error\":\"");
    for (int i = 0; i < 4097; i++)
        buf_putc(&b, 'x');
    buf_puts(&b, "\"}");
    expect_problem(422, "invalid-settings", "/error", "POST", lease_path(id, "fail"), "",
                   buf_str(&b));
    state_is(id, "running", "(none)");
    api_daemon_stop();
}
END_TEST

/* ------------------------------------------------------------------------- batches */

static const char *error_of(const struct answer *a, size_t i)
{
    const json_t *error = json_object_get(item(a, i), "error");
    const char *type = json_string_value(json_object_get(error, "type"));

    return type != NULL ? type + strlen("/problems/") : "(none)";
}

START_TEST(one_bad_item_does_not_touch_the_others)
{
    char body[512];
    struct answer a;

    api_daemon_start();
    long long one = leased(), two = leased();
    snprintf(body, sizeof body,
             "[{\"id\":%lld,\"fence\":1},{\"id\":%lld,\"fence\":9},{\"id\":99999,\"fence\":1},"
             "{\"id\":\"x\"},7,{\"id\":%lld,\"fence\":1,\"result\":\"fine\"},{\"fence\":1}]",
             one, one, two);
    a = expect(200, "POST", "/v1/leases/complete", "", body);
    ck_assert_str_eq(json_string_value(json_object_get(item(&a, 0), "state")), "succeeded");
    ck_assert_str_eq(error_of(&a, 1), "superseded");
    ck_assert_str_eq(error_of(&a, 2), "not-found");
    ck_assert_str_eq(error_of(&a, 3), "invalid-settings");
    ck_assert_str_eq(error_of(&a, 4), "invalid-settings");
    ck_assert_str_eq(json_string_value(json_object_get(item(&a, 5), "state")), "succeeded");
    ck_assert_str_eq(error_of(&a, 6), "invalid-settings");
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "items")), 7);
    answer_free(&a);
    state_is(one, "succeeded", "(none)");
    state_is(two, "succeeded", "(none)");
    expect_problem(422, "invalid-settings", "", "POST", "/v1/leases/complete", "", "[]");
    expect_problem(422, "invalid-settings", "", "POST", "/v1/leases/complete", "",
                   "{\"id\":1,\"fence\":1}");
    api_daemon_stop();
}
END_TEST

START_TEST(each_word_may_be_said_about_many)
{
    char body[256];
    struct answer a;

    api_daemon_start();
    long long one = leased(), two = leased();
    snprintf(body, sizeof body, "[{\"id\":%lld,\"fence\":1},{\"id\":%lld,\"fence\":1}]", one,
             two);
    a = expect(200, "POST", "/v1/leases/renew", "", body);
    ck_assert(json_is_false(json_object_get(item(&a, 0), "stop")));
    ck_assert(json_is_false(json_object_get(item(&a, 1), "drain")));
    answer_free(&a);
    a = expect(200, "POST", "/v1/leases/snooze", "", body);
    ck_assert_str_eq(json_string_value(json_object_get(item(&a, 1), "state")), "queued");
    answer_free(&a);
    size_t count;
    a = take(2, &count);
    ck_assert_uint_eq(count, 2);
    answer_free(&a);
    snprintf(body, sizeof body,
             "[{\"id\":%lld,\"fence\":2,\"retry\":false},{\"id\":%lld,\"fence\":2}]", one, two);
    a = expect(200, "POST", "/v1/leases/fail", "", body);
    ck_assert_str_eq(json_string_value(json_object_get(item(&a, 0), "state")), "failed");
    ck_assert_str_eq(json_string_value(json_object_get(item(&a, 1), "state")), "retrying");
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "api_leases", a_worker_is_given_what_it_needs,
        a_payload_is_found_however_its_key_is_written, a_submission_wakes_a_worker_that_waits,
        a_wait_without_jobs_ends_with_none, a_worker_that_hangs_up_while_it_waits_takes_nothing,
        what_asks_for_no_jobs_is_refused, a_completed_job_has_the_workers_result,
        a_failed_job_is_tried_again_unless_that_is_useless, a_snoozed_job_comes_again,
        a_cancel_is_told_with_the_next_renewal, another_fence_is_superseded_and_changes_nothing,
        words_that_say_nothing_are_refused,
        a_result_or_a_reason_too_long_is_refused_and_the_lease_goes_on,
        one_bad_item_does_not_touch_the_others, each_word_may_be_said_about_many);
}
