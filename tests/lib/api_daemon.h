/* api_daemon.h: the whole interface on a real engine, with a store in memory and commands that
 * only pretend: the first word of argv says what an attempt does.
 *
 *     true             succeeds
 *     fail             fails, and is tried again
 *     useless          fails for good
 *     wait             goes on when the test opens the gate, or is stopped
 *     print A B …      prints A to standard output, B to standard error, and so on in turn
 *     talk A B …       likewise, but waits at the gate before each */
#ifndef TESTS_LIB_API_DAEMON_H
#define TESTS_LIB_API_DAEMON_H

#include "api/api.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "jobs/engine.h"
#include "scheduler/event.h"
#include "scheduler/group.h"
#include "scheduler/scheduler.h"
#include "scheduler/semaphore.h"
#include "tests/lib/folder.h"
#include "tests/lib/http_client.h"
#include "tests/lib/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct api_daemon {
    char *folder;
    char socket[256], token_file[256], token[80];
    uint16_t port;
    struct kind_config config;
    struct engine *engine;
    struct api *api;
    struct event stop;
    struct semaphore gate; /* what waiting commands wait for; any thread may give */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool ready;
};

static struct api_daemon stintd;

/* ------------------------------------------------------------------------- commands */

static void fake_print(const struct attempt *attempt, const char *word, int i)
{
    enum log_stream stream = i % 2 ? STREAM_STDOUT : STREAM_STDERR;

    ck_assert_int_eq(joblog_write(attempt->log, stream, word, strlen(word)), 0);
}

static void fake_run(const struct attempt *attempt, struct outcome *ret)
{
    char **argv = attempt->spec->exec.argv;
    bool talks = strcmp(argv[0], "talk") == 0;

    if (strcmp(argv[0], "fail") == 0)
        outcome_fail(ret, OUTCOME_FAILED, REASON_EXIT_NONZERO, "it said no");
    if (strcmp(argv[0], "useless") == 0)
        outcome_fail(ret, OUTCOME_FAILED_FINAL, REASON_EXIT_NONZERO, "it said never");
    if (strcmp(argv[0], "wait") == 0 && semaphore_take(&stintd.gate, 0) < 0)
        ret->kind = OUTCOME_STOPPED;
    for (int i = 1; argv[i] != NULL; i++) {
        if (talks && semaphore_take(&stintd.gate, 0) < 0) {
            ret->kind = OUTCOME_STOPPED;
            break;
        }
        fake_print(attempt, argv[i], i);
    }
    if (ret->kind == OUTCOME_SUCCEEDED)
        ret->result = str_dup("{\"exit_code\":0}");
}

static const struct kind fake_kind = {"exec", fake_run};
static const struct kind *const fake_kinds[KIND_COUNT] = {[KIND_EXEC] = &fake_kind};

/* ------------------------------------------------------------------------- the daemon */

static void api_daemon_ready(void)
{
    pthread_mutex_lock(&stintd.lock);
    stintd.ready = true;
    pthread_cond_signal(&stintd.opened);
    pthread_mutex_unlock(&stintd.lock);
}

static void api_daemon_open(struct group *g, struct store *store)
{
    const struct engine_options engine_options = {
        .store = store, .kinds = &stintd.config, .kind_table = fake_kinds, .seed = 1};
    struct api_options options = {.unix_fd = api_listen_unix(stintd.socket, 0600),
                                  .tcp_fd = api_listen_tcp("127.0.0.1", 0),
                                  .token_file = stintd.token_file,
                                  .version = "1.2.3",
                                  .started_at_ms = clock_wall_ms()};
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    char why[STORE_WHY_BYTES];

    ck_assert_int_ge(options.unix_fd, 0);
    ck_assert_int_eq(getsockname(options.tcp_fd, (struct sockaddr *)&address, &len), 0);
    stintd.port = ntohs(address.sin_port);
    ck_assert_int_eq(engine_open(&engine_options, g, &stintd.engine, why), 0);
    options.engine = stintd.engine;
    ck_assert_int_eq(api_open(&options, g, &stintd.api, why), 0);
}

static int api_daemon_root(void *arg)
{
    struct store *store = arg;
    struct group g;

    group_open(&g, "daemon");
    group_policy(&g, GROUP_COLLECT);
    api_daemon_open(&g, store);
    api_daemon_ready();
    event_wait_shielded(&stintd.stop);
    /* The one who set it has left the scheduler. */
    pthread_mutex_lock(&stintd.lock);
    pthread_mutex_unlock(&stintd.lock);
    ck_assert_int_eq(engine_drain(stintd.engine, clock_mono_ns()), 0);
    ck_assert_int_eq(api_drain(stintd.api, clock_mono_ns() + 10 * NS_PER_S), 0);
    api_close(stintd.api);
    engine_close(stintd.engine);
    return group_close(&g);
}

static void *api_daemon_thread(void *arg)
{
    const struct scheduler_options options = {.processors = 2, .seed = 20261123};
    struct store *store;

    (void)arg;
    ck_assert_int_eq(store_open_memory(&store), 0);
    ck_assert_int_eq(scheduler_run(&options, api_daemon_root, store), 0);
    store_close(store);
    return NULL;
}

static inline void api_daemon_start(void)
{
    signal(SIGPIPE, SIG_IGN);
    log_setup(2, LOG_TEXT, LOG_ERROR);
    stintd.folder = folder_new();
    stintd.config = (struct kind_config){.state_dir = stintd.folder, .log_bytes_max = 1 << 20};
    snprintf(stintd.socket, sizeof stintd.socket, "%s/stint.sock", stintd.folder);
    snprintf(stintd.token_file, sizeof stintd.token_file, "%s/token", stintd.folder);
    ck_assert_int_eq(api_token_file_make(stintd.token_file), 0);
    FILE *f = fopen(stintd.token_file, "r");
    ck_assert_ptr_nonnull(fgets(stintd.token, sizeof stintd.token, f));
    stintd.token[strcspn(stintd.token, "\n")] = '\0';
    fclose(f);
    event_init(&stintd.stop);
    semaphore_init(&stintd.gate, 0);
    pthread_mutex_init(&stintd.lock, NULL);
    pthread_cond_init(&stintd.opened, NULL);
    ck_assert_int_eq(pthread_create(&stintd.thread, NULL, api_daemon_thread, NULL), 0);
    pthread_mutex_lock(&stintd.lock);
    while (!stintd.ready)
        pthread_cond_wait(&stintd.opened, &stintd.lock);
    pthread_mutex_unlock(&stintd.lock);
}

static inline void api_daemon_stop(void)
{
    pthread_mutex_lock(&stintd.lock);
    event_set(&stintd.stop);
    pthread_mutex_unlock(&stintd.lock);
    ck_assert_int_eq(pthread_join(stintd.thread, NULL), 0);
    folder_remove(stintd.folder);
}

/* ------------------------------------------------------------------------- asking */

/* One request at the UNIX door. json: the body of the answer, NULL when it is none. */
struct answer {
    struct http_reply reply;
    json_t *json;
};

static inline struct answer call(const char *method, const char *target, const char *headers,
                                 const char *body)
{
    struct answer a = {.json = NULL};
    struct http h;

    http_open_unix(&h, stintd.socket);
    ck_assert_msg(http_call(&h, method, target, headers, body, &a.reply), "%s %s", method,
                  target);
    ck_assert(a.reply.whole);
    if (a.reply.body_len > 0)
        a.json = json_loadb(a.reply.body, a.reply.body_len, JSON_DECODE_ANY, NULL);
    http_close(&h);
    return a;
}

static inline void answer_free(struct answer *a)
{
    http_reply_free(&a->reply);
    json_decref(a->json);
    a->json = NULL;
}

static inline const char *text_at(const struct answer *a, const char *key)
{
    const char *text = json_string_value(json_object_get(a->json, key));

    return text != NULL ? text : "(none)";
}

static inline long long number_at(const struct answer *a, const char *key)
{
    return json_integer_value(json_object_get(a->json, key));
}

/* Calls and expects a status; the answer is the caller's. */
static inline struct answer expect(int status, const char *method, const char *target,
                                   const char *headers, const char *body)
{
    struct answer a = call(method, target, headers, body);

    ck_assert_msg(a.reply.status == status, "%s %s %.200s: %d %s", method, target,
                  body != NULL ? body : "", a.reply.status, a.reply.body);
    return a;
}

/* Expects a problem of that type, with the first place it names ("" = none). */
static inline void expect_problem(int status, const char *type, const char *pointer,
                                  const char *method, const char *target, const char *headers,
                                  const char *body)
{
    struct answer a = expect(status, method, target, headers, body);
    const json_t *first = json_array_get(json_object_get(a.json, "errors"), 0);
    const char *place = json_string_value(json_object_get(first, "pointer"));

    ck_assert_str_eq(http_header(&a.reply, "Content-Type"), "application/problem+json");
    ck_assert_msg(strcmp(text_at(&a, "type") + strlen("/problems/"), type) == 0, "%s %s: %s",
                  method, target, a.reply.body);
    ck_assert_msg(strcmp(place != NULL ? place : "", pointer) == 0, "%s %s: %s", method, target,
                  a.reply.body);
    ck_assert_int_eq(number_at(&a, "status"), status);
    ck_assert_str_ne(text_at(&a, "title"), "(none)");
    ck_assert_str_ne(text_at(&a, "detail"), "(none)");
    answer_free(&a);
}

/* Submits one job, and its id. */
static inline long long submit(const char *body)
{
    struct answer a = expect(201, "POST", "/v1/jobs", "", body);
    long long id = number_at(&a, "id");

    ck_assert_int_gt(id, 0);
    answer_free(&a);
    return id;
}

/* "/v1/jobs/7" and what follows, in static memory. */
static inline const char *job_path(long long id, const char *rest)
{
    static char path[256];

    snprintf(path, sizeof path, "/v1/jobs/%lld%s", id, rest);
    return path;
}

#endif
