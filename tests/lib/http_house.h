/* http_house.h: a pump of libcurl, a server to speak to, and attempts of HTTP jobs between
 * them. All of it is for a task's use. */
#ifndef TESTS_LIB_HTTP_HOUSE_H
#define TESTS_LIB_HTTP_HOUSE_H

#include "jobs/kinds_internal.h"
#include "scheduler/event.h"
#include "scheduler/group.h"

struct http_server;

/* Begins as HTTP_HOUSE, or with an allow list of its own; only loopback addresses are of use.
 */
struct http_house {
    struct group group;
    struct kind_config config;
    struct kinds kinds;
    struct http_server *server;
    const char *allow[3];
    const char *roots[2]; /* for save_to */
};

#define HTTP_HOUSE                                                                             \
    {                                                                                          \
        .allow = { "127.0.0.0/8" }                                                             \
    }

void http_house_open(struct http_house *house);
void http_house_close(struct http_house *house);

/* One attempt: job 7, attempt 2, fence 3, queue "q". */
struct http_try {
    struct http_house *house;
    char *document;
    struct outcome outcome;
    struct job job;
    struct event ended;
};

/* fields are those of "http" in the document; PORT in them is the server's. */
void http_house_init_try(struct http_try *t, struct http_house *house, const char *fields);
void http_house_deinit_try(struct http_try *t);
/* A task's function for an initialized one. Wants STACK_LARGE. */
int http_house_run_try(void *try);
/* Init and run to its end, in a task of its own. */
void http_house_try(struct http_try *t, struct http_house *house, const char *fields);
/* The same for a path of the server; the URL's quote has to be closed, more fields may follow.
 */
void http_house_try_path(struct http_try *t, struct http_house *house, const char *path);

/* The result parsed; the caller's. Aborts the test when there is none. */
json_t *http_house_result(const struct http_try *t);
/* A member's text, "(none)" when it has none. */
const char *http_house_text(const json_t *json, const char *key);

/* A path and what comes of it. A table ends with a NULL path. */
struct http_row {
    const char *path;
    enum outcome_kind kind;
    enum job_reason reason;
    int64_t retry_after_ms;
    const char *words; /* in the error; NULL = no error */
};
void http_house_check(struct http_house *house, const struct http_row *rows);

/* A Check test whose body is a task's, on two processors; it ends with return 0. */
#define HTTP_HOUSE_TEST(name)                                                                  \
    static int name##_task(void *arg);                                                         \
    START_TEST(name)                                                                           \
    {                                                                                          \
        scheduled(2, name##_task, NULL);                                                       \
    }                                                                                          \
    END_TEST                                                                                   \
    static int name##_task(__attribute__((unused)) void *arg)

#endif
