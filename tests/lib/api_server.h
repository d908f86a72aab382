/* api_server.h: a server of api/ with a test's own routes, on a scheduler in a thread beside
 * the test, with a UNIX door in a scratch folder and a TCP door on loopback. The test itself
 * is an ordinary client that may block. */
#ifndef TESTS_LIB_API_SERVER_H
#define TESTS_LIB_API_SERVER_H

#include "api/api.h"
#include "api/auth.h"
#include "api/server.h"
#include "api/wire.h"
#include "base/clock.h"
#include "scheduler/event.h"
#include "scheduler/group.h"
#include "scheduler/scheduler.h"
#include "tests/lib/folder.h"
#include "tests/lib/http_client.h"
#include "tests/lib/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ADMIN_TOKEN "admin-token-0123456789"
#define READ_TOKEN "read-token-0123456789"
#define MONITOR_TOKEN "monitor-token-0123456789"

struct api_server {
    struct server_options options;   /* what is 0 gets a default */
    struct api_options auth_options; /* likewise */
    uint64_t drain_ms;               /* 0 = 5,000 */
    char *folder;
    char socket[256], token_file[256];
    uint16_t port;
    int drained; /* what server_drain answered */
    struct server *server;
    struct event stop;
    pthread_mutex_t stopping; /* the one who sets stop is still inside the scheduler */
    sem_t ready;
    pthread_t thread;
};

static inline uint16_t api_server_port(int fd)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;

    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static int api_server_root(void *arg)
{
    struct api_server *s = arg;
    struct auth *auth;
    struct group g;
    char why[API_WHY_BYTES];
    int unix_fd = api_listen_unix(s->socket, 0600), tcp_fd = api_listen_tcp("127.0.0.1", 0);

    ck_assert_int_ge(unix_fd, 0);
    ck_assert_int_ge(tcp_fd, 0);
    s->port = api_server_port(tcp_fd);
    ck_assert_int_eq(auth_open(&s->auth_options, "127.0.0.1", &auth, why), 0);
    s->options.auth = auth;
    group_open(&g, "server");
    ck_assert_int_eq(server_open(&s->options, &g, &s->server), 0);
    ck_assert_int_eq(server_listen(s->server, unix_fd, false), 0);
    ck_assert_int_eq(server_listen(s->server, tcp_fd, true), 0);
    sem_post(&s->ready);

    event_wait_shielded(&s->stop);
    pthread_mutex_lock(&s->stopping);
    pthread_mutex_unlock(&s->stopping);
    s->drained = server_drain(s->server, clock_mono_ns() + s->drain_ms * NS_PER_MS);
    server_close(s->server);
    auth_close(auth);
    return group_join(&g);
}

static void *api_server_thread(void *arg)
{
    const struct scheduler_options options = {.processors = 2, .seed = 20261123};

    ck_assert_int_eq(scheduler_run(&options, api_server_root, arg), 0);
    return NULL;
}

static inline void api_server_tokens(struct api_server *s)
{
    snprintf(s->token_file, sizeof s->token_file, "%s/token", s->folder);
    FILE *f = fopen(s->token_file, "w");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "# who may\n%s\n%s read\n\n%s monitor # Prometheus\n", ADMIN_TOKEN, READ_TOKEN,
            MONITOR_TOKEN);
    fclose(f);
    s->auth_options.token_file = s->token_file;
}

/* s->options.routes and what else matters are set; the rest is filled in. */
static inline void api_server_start(struct api_server *s)
{
    struct server_options *o = &s->options;

    signal(SIGPIPE, SIG_IGN);
    s->folder = folder_new();
    snprintf(s->socket, sizeof s->socket, "%s/stint.sock", s->folder);
    api_server_tokens(s);
    o->connections_max = o->connections_max ? o->connections_max : API_CONNECTIONS;
    o->pumps = o->pumps ? o->pumps : 2;
    o->body_bytes_max = o->body_bytes_max ? o->body_bytes_max : WIRE_BODY_BYTES_MAX;
    o->receive_timeout_ms = o->receive_timeout_ms ? o->receive_timeout_ms : 20000;
    o->send_timeout_ms = o->send_timeout_ms ? o->send_timeout_ms : 20000;
    s->drain_ms = s->drain_ms ? s->drain_ms : 5000;
    event_init(&s->stop);
    pthread_mutex_init(&s->stopping, NULL);
    ck_assert_int_eq(sem_init(&s->ready, 0, 0), 0);
    ck_assert_int_eq(pthread_create(&s->thread, NULL, api_server_thread, s), 0);
    ck_assert_int_eq(sem_wait(&s->ready), 0);
}

static inline void api_server_stop(struct api_server *s)
{
    pthread_mutex_lock(&s->stopping);
    event_set(&s->stop);
    pthread_mutex_unlock(&s->stopping);
    ck_assert_int_eq(pthread_join(s->thread, NULL), 0);
    sem_destroy(&s->ready);
    folder_remove(s->folder);
}

/* Parks the test until *counter is value; fails after HTTP_PATIENCE_S. */
static inline void await_count(const _Atomic unsigned *counter, unsigned value)
{
    uint64_t end_ns = clock_mono_ns() + HTTP_PATIENCE_S * NS_PER_S;

    while (__atomic_load_n((const unsigned *)counter, __ATOMIC_SEQ_CST) != value) {
        ck_assert_msg(clock_mono_ns() < end_ns, "waited for %u, have %u", value,
                      __atomic_load_n((const unsigned *)counter, __ATOMIC_SEQ_CST));
        sched_yield();
    }
}

#endif
