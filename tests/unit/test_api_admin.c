/* Queues, health, counters, the description, and the doors. */
#include "tests/lib/api_daemon.h"

#include "api/api_parts.h"
#include "api/openapi.h"
#include "api/wire.h"
#include "base/clock.h"
#include "scheduler/observe.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

START_TEST(queues_are_shown_and_set)
{
    struct answer a;

    api_daemon_start();
    for (int i = 0; i < 3; i++)
        submit("{\"exec\":{\"argv\":[\"true\"]},\"queue\":\"images\",\"hold\":true}");
    a = expect(200, "GET", "/v1/queues/images", "", NULL);
    ck_assert_str_eq(text_at(&a, "name"), "images");
    ck_assert(json_is_null(json_object_get(a.json, "concurrency")));
    ck_assert(json_is_false(json_object_get(a.json, "paused")));
    ck_assert_int_eq(
        json_integer_value(json_object_get(json_object_get(a.json, "counts"), "held")), 3);
    answer_free(&a);

    a = expect(200, "PUT", "/v1/queues/images", "",
               "{\"concurrency\":4,\"key_concurrency\":2,\"paused\":true}");
    ck_assert_int_eq(number_at(&a, "concurrency"), 4);
    ck_assert(json_is_true(json_object_get(a.json, "paused")));
    answer_free(&a);
    a = expect(200, "PATCH", "/v1/queues/images", "", "{\"paused\":false}");
    ck_assert_int_eq(number_at(&a, "concurrency"), 4);
    ck_assert_int_eq(number_at(&a, "key_concurrency"), 2);
    ck_assert(json_is_false(json_object_get(a.json, "paused")));
    answer_free(&a);
    a = expect(200, "PATCH", "/v1/queues/images", "", "{\"key_concurrency\":1}");
    ck_assert_int_eq(number_at(&a, "concurrency"), 4);
    ck_assert_int_eq(number_at(&a, "key_concurrency"), 1);
    answer_free(&a);
    a = expect(200, "PUT", "/v1/queues/images", "", "{}");
    ck_assert(json_is_null(json_object_get(a.json, "key_concurrency")));
    ck_assert(json_is_null(json_object_get(a.json, "concurrency")));
    answer_free(&a);
    a = expect(200, "PATCH", "/v1/queues/team%2Fnew", "", "{\"concurrency\":null}");
    ck_assert_str_eq(text_at(&a, "name"), "team/new");
    answer_free(&a);
    a = expect(200, "GET", "/v1/queues", "", NULL);
    ck_assert_uint_ge(json_array_size(json_object_get(a.json, "items")), 2);
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

START_TEST(bad_settings_change_nothing)
{
    static const struct {
        const char *body, *type, *pointer;
        int status;
    } rows[] = {
        {"{\"concurrency\":-1}", "invalid-settings", "/concurrency", 422},
        {"{\"concurrency\":1.5}", "invalid-settings", "/concurrency", 422},
        {"{\"concurrency\":9999999}", "invalid-settings", "/concurrency", 422},
        {"{\"key_concurrency\":\"1\"}", "invalid-settings", "/key_concurrency", 422},
        {"{\"paused\":1}", "invalid-settings", "/paused", 422},
        {"{\"paused\":true,\"limit\":1}", "invalid-settings", "/limit", 422},
        {"[]", "invalid-settings", "", 422},
        {"", "invalid-json", "", 400},
        {"{", "invalid-json", "", 400},
    };

    api_daemon_start();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_problem(rows[i].status, rows[i].type, rows[i].pointer, "PATCH", "/v1/queues/q",
                       "", rows[i].body);
    expect_problem(422, "invalid-settings", "", "PATCH", "/v1/queues/a%20b", "", "{}");
    expect_problem(404, "not-found", "", "GET", "/v1/queues/q", "", NULL);
    api_daemon_stop();
}
END_TEST

START_TEST(health_says_alive_and_ready)
{
    struct answer a;

    api_daemon_start();
    a = expect(200, "GET", "/healthz", "", NULL);
    ck_assert_str_eq(text_at(&a, "status"), "ok");
    ck_assert_str_eq(text_at(&a, "version"), "1.2.3");
    answer_free(&a);
    a = expect(200, "GET", "/readyz", "", NULL);
    ck_assert_str_eq(text_at(&a, "status"), "ready");
    answer_free(&a);
    a = expect(200, "GET", "/v1/debug/tasks", "", NULL);
    ck_assert_ptr_nonnull(strstr(a.reply.body, "pump_run"));
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

START_TEST(a_trace_of_the_scheduler_is_for_the_asking)
{
    struct answer a;

    api_daemon_start();
    a = expect(200, "GET", "/v1/debug/trace?for=20ms", "", NULL);
    ck_assert_str_eq(http_header(&a.reply, "Content-Type"), "application/json");
    ck_assert_uint_gt(json_array_size(json_object_get(a.json, "traceEvents")), 1);
    ck_assert_ptr_nonnull(strstr(a.reply.body, "\"then\":\"sleep\""));
    answer_free(&a);
    expect_problem(400, "bad-parameter", "", "GET", "/v1/debug/trace?for=2m", "", NULL);
    expect_problem(400, "bad-parameter", "", "GET", "/v1/debug/trace?seconds=1", "", NULL);
    ck_assert_int_eq(scheduler_trace_start(), 0);
    expect_problem(409, "conflict", "", "GET", "/v1/debug/trace", "", NULL);
    ck_assert_int_eq(scheduler_trace_drop(), 0);
    api_daemon_stop();
}
END_TEST

/* The value behind a series of /metrics; the test fails without it. */
static double metric(const struct answer *a, const char *series)
{
    for (const char *line = a->reply.body; line != NULL && *line != '\0';
         line = strchr(line, '\n') != NULL ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, series, strlen(series)) == 0 && line[strlen(series)] == ' ')
            return atof(line + strlen(series) + 1);
    ck_abort_msg("no %s in %zu bytes", series, strlen(a->reply.body));
}

/* A request is counted when its answer has left, so who has read that may come before. */
static struct answer metrics_with(const char *series, const char *value)
{
    struct answer a;
    char line[256];

    snprintf(line, sizeof line, "%s %s\n", series, value);
    for (unsigned tries = 0;; tries++) {
        a = expect(200, "GET", "/metrics", "", NULL);
        if (strstr(a.reply.body, line) != NULL || tries == 200)
            return a;
        answer_free(&a);
        (void)nanosleep(&(struct timespec){.tv_nsec = 10 * NS_PER_MS}, NULL);
    }
}

START_TEST(counters_count)
{
    struct answer a;

    api_daemon_start();
    for (int i = 0; i < 3; i++) {
        a = expect(200, "POST", "/v1/jobs?wait=20s", "", "{\"exec\":{\"argv\":[\"true\"]}}");
        answer_free(&a);
    }
    submit("{\"exec\":{\"argv\":[\"true\"]},\"hold\":true,\"queue\":\"images\"}");
    expect_problem(404, "not-found", "", "GET", "/v1/jobs/4711", "", NULL);
    a = metrics_with(
        "stint_http_requests_total{method=\"POST\",route=\"/v1/jobs\",status=\"200\"}", "3");
    answer_free(&a);
    a = metrics_with("stint_http_requests_total{method=\"GET\",route=\"/v1/jobs/{id}\","
                     "status=\"404\"}",
                     "1");
    ck_assert_str_eq(http_header(&a.reply, "Content-Type"),
                     "text/plain; version=0.0.4; charset=utf-8");
    ck_assert_double_eq(metric(&a, "stint_jobs{state=\"held\"}"), 1);
    ck_assert_double_eq(metric(&a, "stint_jobs_ended_total{state=\"succeeded\"}"), 3);
    ck_assert_double_eq(metric(&a, "stint_jobs_submitted_total"), 4);
    ck_assert_double_gt(metric(&a, "stint_processor_runs_total{processor=\"0\"}") +
                            metric(&a, "stint_processor_runs_total{processor=\"1\"}"),
                        10);
    ck_assert_double_gt(metric(&a, "stint_task_latency_seconds_count"), 0);
    ck_assert_double_eq(metric(&a, "stint_task_latency_seconds_bucket{le=\"+Inf\"}"),
                        metric(&a, "stint_task_latency_seconds_count"));
    ck_assert_double_eq(metric(&a, "stint_attempts_started_total{kind=\"exec\"}"), 3);
    ck_assert_double_eq(metric(&a, "stint_queue_jobs{queue=\"images\",state=\"held\"}"), 1);
    ck_assert_double_eq(metric(&a,
                               "stint_http_requests_total{method=\"POST\",route=\"/v1/jobs\","
                               "status=\"200\"}"),
                        3);
    ck_assert_double_eq(metric(&a,
                               "stint_http_requests_total{method=\"POST\",route=\"/v1/jobs\","
                               "status=\"201\"}"),
                        1);
    ck_assert_double_eq(metric(&a, "stint_http_requests_total{method=\"GET\","
                                   "route=\"/v1/jobs/{id}\",status=\"404\"}"),
                        1);
    ck_assert_double_eq(
        metric(&a, "stint_http_request_seconds_count{method=\"POST\",route=\"/v1/jobs\"}"), 4);
    ck_assert_double_ge(metric(&a, "stint_commits_total"), 4);
    ck_assert_double_gt(metric(&a, "stint_process_resident_bytes"), 1e6);
    ck_assert_double_eq(metric(&a, "stint_jobs_removed_total"), 0);
    ck_assert_double_eq(metric(&a, "stint_writable"), 1);
    ck_assert_double_eq(metric(&a, "stint_build_info{version=\"1.2.3\"}"), 1);
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

START_TEST(a_sound_store_is_told_so_and_bad_paths_are_refused)
{
    static const struct {
        const char *body, *type, *pointer;
        int status;
    } rows[] = {
        {"", "invalid-json", "", 400},
        {"[]", "invalid-settings", "", 422},
        {"{}", "invalid-settings", "", 422},
        {"{\"path\":7}", "invalid-settings", "", 422},
        {"{\"path\":\"/tmp/a\",\"force\":true}", "invalid-settings", "", 422},
        {"{\"path\":\"copy.db\"}", "invalid-settings", "/path", 422},
        {"{\"path\":\"\"}", "invalid-settings", "/path", 422},
        {"{\"path\":\"/tmp/\"}", "invalid-settings", "/path", 422},
        /* A store in memory has no file to copy. */
        {"{\"path\":\"/tmp/copy.db\"}", "invalid-settings", "", 422},
    };
    struct answer a;

    api_daemon_start();
    submit("{\"exec\":{\"argv\":[\"true\"]}}");
    a = expect(200, "GET", "/v1/doctor", "", NULL);
    ck_assert(json_is_true(json_object_get(a.json, "healthy")));
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "findings")), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "skipped")), 0);
    answer_free(&a);
    expect_problem(400, "bad-parameter", "", "GET", "/v1/doctor?deep=1", "", NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_problem(rows[i].status, rows[i].type, rows[i].pointer, "POST", "/v1/backup", "",
                       rows[i].body);
    api_daemon_stop();
}
END_TEST

/* The name of a series without what a histogram adds to it. */
static void family_of(const char *line, char ret[128])
{
    static const char *const suffixes[] = {"_bucket", "_sum", "_count"};

    ck_assert_msg(sscanf(line, "stint_%127[a-z_]", ret) == 1, "%s", line);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t len = strlen(ret), suffix = strlen(suffixes[i]);

        bool histogram = strstr(ret, "http_request_seconds") == ret ||
                         strstr(ret, "task_latency_seconds") == ret;

        if (histogram && len > suffix && strcmp(ret + len - suffix, suffixes[i]) == 0)
            ret[len - suffix] = '\0';
    }
}

/* How often needle is the beginning of a line. */
static unsigned lines_with(const char *text, const char *needle)
{
    unsigned count = 0;

    for (const char *p = text; (p = strstr(p, needle)) != NULL; p++)
        count += p == text || p[-1] == '\n';
    return count;
}

START_TEST(each_series_has_a_type_and_comes_once)
{
    struct answer a;
    unsigned series = 0;

    api_daemon_start();
    a = expect(200, "GET", "/metrics", "", NULL);
    answer_free(&a);
    a = expect(200, "GET", "/metrics", "", NULL);
    for (char *rest = strdupa(a.reply.body), *line; (line = strsep(&rest, "\n")) != NULL;) {
        char family[128], head[160], *value = strrchr(line, ' ');

        if (line[0] == '#' || line[0] == '\0')
            continue;
        ck_assert_msg(sscanf(value, " %lf", &(double){0}) == 1, "%s", line);
        family_of(line, family);
        snprintf(head, sizeof head, "# TYPE stint_%s ", family);
        ck_assert_msg(lines_with(a.reply.body, head) == 1, "%s", head);
        value[1] = '\0';
        ck_assert_msg(lines_with(a.reply.body, line) == 1, "%s", line);
        series++;
    }
    ck_assert_uint_gt(series, 50);
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

/* ------------------------------------------------------------------------- the description */

START_TEST(the_description_and_the_table_are_one)
{
    size_t len, described = 0;
    const char *text = openapi_text(&len);
    json_error_t error;
    json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error), *path, *operation;
    const char *key;

    ck_assert_msg(doc != NULL, "line %d: %s", error.line, error.text);
    ck_assert_str_eq(json_string_value(json_object_get(doc, "openapi")), "3.1.0");
    json_t *paths = json_object_get(doc, "paths");
    for (unsigned i = 0; i < routes_count; i++) {
        char method[16];

        snprintf(method, sizeof method, "%s", method_name(routes_table[i].method));
        for (char *c = method; *c != '\0'; c++)
            *c |= 0x20;
        operation = json_object_get(json_object_get(paths, routes_table[i].pattern), method);
        ck_assert_msg(operation != NULL, "%s %s", method, routes_table[i].pattern);
        ck_assert(json_is_string(json_object_get(operation, "summary")));
        ck_assert_uint_gt(strlen(routes_table[i].help), 0);
    }
    json_object_foreach(paths, key, path)
    {
        const char *word;
        json_object_foreach(path, word, operation) described += strcmp(word, "parameters") != 0;
    }
    ck_assert_uint_eq(described, routes_count);
    json_decref(doc);
}
END_TEST

/* Every $ref of a document leads somewhere in it. */
static void check_references(json_t *doc, json_t *at)
{
    const char *key;
    json_t *value;
    size_t i;

    json_array_foreach(at, i, value) check_references(doc, value);
    json_object_foreach(at, key, value)
    {
        if (strcmp(key, "$ref") == 0) {
            json_t *to = doc;
            char *path = strdupa(json_string_value(value) + 2);

            for (char *part = strtok(path, "/"); part != NULL; part = strtok(NULL, "/"))
                to = json_object_get(to, part);
            ck_assert_msg(to != NULL, "%s", json_string_value(value));
        }
        check_references(doc, value);
    }
}

START_TEST(the_description_is_served_and_complete)
{
    struct answer a;
    size_t len;

    api_daemon_start();
    a = expect(200, "GET", "/openapi.json", "", NULL);
    ck_assert_str_eq(a.reply.body, openapi_text(&len));
    check_references(a.json, a.json);
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

START_TEST(every_problem_has_a_status_and_an_exit_status)
{
    static const char *const types[] = {"bad-request", "invalid-json",  "not-found",
                                        "busy",        "already-final", "timeout"};

    ck_assert_ptr_null(wire_problem_find("nonsense"));
    ck_assert_ptr_null(wire_problem_find(""));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct wire_problem *problem = wire_problem_find(types[i]);

        ck_assert_ptr_nonnull(problem);
        ck_assert_int_ge(problem->status, 400);
        ck_assert_int_gt(problem->exit_status, 0);
        ck_assert_uint_gt(strlen(problem->title), 0);
    }
}
END_TEST

/* ------------------------------------------------------------------------- the doors */

START_TEST(a_socket_file_is_taken_over_only_from_the_dead)
{
    char *folder = folder_new(), path[256];
    struct stat st;

    snprintf(path, sizeof path, "%s/s", folder);
    int fd = api_listen_unix(path, 0640);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0640);
    ck_assert_int_eq(api_listen_unix(path, 0640), -EADDRINUSE);
    close(fd);
    fd = api_listen_unix(path, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(api_listen_unix(path, 0600), -EEXIST);
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    ck_assert_int_eq(api_listen_unix(path, 0600), -ENAMETOOLONG);
    folder_remove(folder);
}
END_TEST

START_TEST(addresses_are_literal)
{
    static const char *const good[] = {"127.0.0.1", "localhost", "::1", "[::1]"};
    static const char *const bad[] = {"", "example.org", "127.0.0", "[127.0.0.1", "1.2.3.4.5"};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int fd = api_listen_tcp(good[i], 0);

        /* Not every machine has IPv6. */
        ck_assert_msg(fd >= 0 || fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT, "%s: %d", good[i],
                      fd);
        if (fd >= 0)
            close(fd);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(api_listen_tcp(bad[i], 0), -EINVAL);
}
END_TEST

START_TEST(a_wait_is_for_one_job)
{
    static const char batch[] = "[{\"exec\":{\"argv\":[\"true\"]}}]";
    struct answer a;

    api_daemon_start();
    expect_problem(400, "bad-parameter", "", "POST", "/v1/jobs?wait=20s", "", batch);
    expect_problem(404, "not-found", "", "GET", "/v1/jobs/1", "", NULL);
    a = expect(201, "POST", "/v1/jobs", "Prefer: wait=20\r\n", batch);
    answer_free(&a);
    api_daemon_stop();
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "api_admin", a_wait_is_for_one_job, queues_are_shown_and_set,
        bad_settings_change_nothing, health_says_alive_and_ready,
        a_trace_of_the_scheduler_is_for_the_asking, counters_count,
        a_sound_store_is_told_so_and_bad_paths_are_refused,
        each_series_has_a_type_and_comes_once, the_description_and_the_table_are_one,
        the_description_is_served_and_complete, every_problem_has_a_status_and_an_exit_status,
        a_socket_file_is_taken_over_only_from_the_dead, addresses_are_literal);
}
