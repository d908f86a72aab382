/* pump.c: the task that alone calls one instance of libmicrohttpd, with exchange.c the only
 * file that knows the library.
 *
 * The library keeps its sockets in an epoll of its own, which hangs in our poller. One round of
 * the pump: take what tasks have put into the queue (new connections, answers), let the library
 * run, wait until its epoll has news, the queue has, or something is due.
 *
 * What was learned about version 0.9.75, each found in its source:
 *   - A resume from another thread is lost until the next run when it falls between the
 *     library's look at its list and its drain of the wake-up: 200 ms stalls. Here the pump
 *     itself resumes, and always runs the library after.
 *   - It registers sockets edge-triggered and keeps half-read ones in a list of its own, so
 * when MHD_get_timeout says 0 it must be run again without waiting.
 *   - A suspended connection is out of its epoll and out of its timeouts: nobody notices that
 *     the client hung up. request_wait does, where waits are long.
 *   - A content reader that returns 0 is called again at once: it has to suspend.
 *   - An answer that is queued before the body was read ends the connection. So a refused
 *     request with a small body is read to its end first, and keep-alive survives.
 *   - MHD_stop_daemon aborts when a connection is suspended: all requests end first.
 *   - MHD_add_connection closes the descriptor when it fails.
 *   - What closes in the middle of an answer stays open behind an older idle connection, see
 *     exchange.c. */
#include "api/pump_parts.h"

#include "base/clock.h"
#include "base/own.h"
#include "scheduler/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Rounds that a stopping pump gives its last answers, a millisecond apart. */
#define FLUSH_ROUNDS 100

/* Written past the library, so its length is counted by hand. */
#define TIMEOUT_BODY                                                                           \
    "{\"type\":\"/problems/timeout\",\"title\":\"The request took too lo"                      \
    "ng to arrive\",\"status\":408,\"retryable\":true}\n"
_Static_assert(sizeof TIMEOUT_BODY - 1 == 105, "the Content-Length below");
static const char timeout_answer[] =
    "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
    "Content-Type: application/problem+json\r\nContent-Length: 105\r\n\r\n" TIMEOUT_BODY;

/* ------------------------------------------------------------------------- what is due */

void pump_receiving_begin(struct connection *c)
{
    list_remove(&c->due_link);
    c->due_at_ns =
        clock_mono_ns() + (uint64_t)c->pump->server->options.receive_timeout_ms * NS_PER_MS;
    list_push_back(&c->pump->receiving, &c->due_link);
}

void pump_receiving_end(struct connection *c)
{
    list_remove(&c->due_link);
}

/* Shuts down those that took too long; the library then sees the end and closes. */
static void receiving_sweep(struct pump *p)
{
    uint64_t now_ns = clock_mono_ns();

    while (!list_is_empty(&p->receiving)) {
        struct connection *c = container_of(p->receiving.next, struct connection, due_link);

        if (c->due_at_ns > now_ns)
            break;
        list_remove(&c->due_link);
        if (c->request != NULL) {
            /* The library answers only whole requests; nothing else of ours is on this wire. */
            ssize_t n = send(c->fd, timeout_answer, sizeof timeout_answer - 1,
                             MSG_DONTWAIT | MSG_NOSIGNAL);
            (void)n;
            atomic_fetch_add_explicit(&p->server->timed_out, 1, memory_order_relaxed);
        }
        shutdown(c->fd, SHUT_RDWR);
    }
}

static uint64_t receiving_due_ns(const struct pump *p)
{
    if (list_is_empty(&p->receiving))
        return 0;
    return container_of(p->receiving.next, struct connection, due_link)->due_at_ns;
}

/* ------------------------------------------------------------------------- connections */

static void connection_count(struct connection *c, int by)
{
    atomic_fetch_add_explicit(&c->pump->connections, (uint32_t)by, memory_order_relaxed);
    if (c->peer.tcp)
        atomic_fetch_add_explicit(&c->pump->connections_tcp, (uint32_t)by,
                                  memory_order_relaxed);
}

static void connection_free(struct connection *c)
{
    list_remove(&c->due_link);
    connection_count(c, -1);
    free(c);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct pump *p = cls;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        connection_free(*context);
        *context = NULL;
        return;
    }

    struct connection *c = p->adding;
    p->adding = NULL;
    c->mhd = mhd;
    *context = c;
    pump_receiving_begin(c);
}

static void connection_add(struct pump *p, struct connection *c)
{
    /* The library only copies the address and shows it to whom we do not ask. */
    static const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

    p->adding = c;
    MHD_add_connection(p->daemon, c->fd, &nowhere, sizeof nowhere);
    /* Failed before the library spoke of it: the descriptor is closed, the rest is ours. */
    if (p->adding != NULL)
        connection_free(TAKE(p->adding));
}

/* ------------------------------------------------------------------------- the pump */

static struct command *queue_take(struct pump *p)
{
    struct command *newest = atomic_exchange_explicit(&p->queue, NULL, memory_order_acquire);
    struct command *oldest = NULL;

    while (newest != NULL) {
        struct command *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void queue_run(struct pump *p)
{
    struct command *next;

    for (struct command *c = queue_take(p); c != NULL; c = next) {
        next = c->next;
        if (c->kind == COMMAND_ADD) {
            connection_add(p, container_of(c, struct connection, command));
            continue;
        }

        struct request_parts *parts = container_of(c, struct request_parts, command);
        exchange_answer(parts->request);
    }
}

/* The point in time until which the pump may sleep: 0 = for ever, 1 = not at all. */
static uint64_t pump_due_ns(struct pump *p)
{
    uint64_t due_ns = receiving_due_ns(p);
    MHD_UNSIGNED_LONG_LONG ms;

    if (p->again || atomic_load_explicit(&p->queue, memory_order_relaxed) != NULL)
        return 1;
    if (MHD_get_timeout(p->daemon, &ms) != MHD_YES)
        return due_ns;
    if (ms == 0)
        return 1;

    uint64_t at_ns = clock_mono_ns() + (uint64_t)ms * NS_PER_MS;
    return due_ns == 0 || at_ns < due_ns ? at_ns : due_ns;
}

static void pump_round(struct pump *p)
{
    queue_run(p);
    p->again = false;
    MHD_run(p->daemon);
    receiving_sweep(p);
}

/* Ends all requests and gives their answers a moment to leave. */
static void pump_flush(struct pump *p)
{
    p->stopping = true;
    group_close(&p->requests);
    task_shield_begin(clock_mono_ns() + 2 * FLUSH_ROUNDS * NS_PER_MS);
    for (unsigned i = 0; i < FLUSH_ROUNDS; i++) {
        pump_round(p);
        if (atomic_load(&p->server->active) == 0)
            break;
        task_sleep_ns(NS_PER_MS);
    }
    /* Nothing may be left in the queue: each answer there holds a suspended connection. */
    queue_run(p);
    task_shield_end();
}

int pump_run(void *arg)
{
    struct pump *p = arg;

    group_open(&p->requests, "requests");
    group_policy(&p->requests, GROUP_COLLECT);
    while (!atomic_load(&p->server->stopping)) {
        pump_round(p);

        uint64_t due_ns = pump_due_ns(p);
        int r = due_ns == 1 ? task_yield() : net_wait(p->net, NET_READ, due_ns);
        if (r < 0 && r != -ETIMEDOUT)
            break;
    }
    pump_flush(p);
    event_set(&p->ended);
    return 0;
}

void pump_kick(struct pump *p)
{
    net_kick(p->net);
}

void pump_post(struct pump *p, struct command *command, enum command_kind kind)
{
    if (kind == COMMAND_ANSWER) {
        struct request_parts *parts = container_of(command, struct request_parts, command);

        if (atomic_exchange(&parts->posted, true))
            return;
        atomic_fetch_add_explicit(&parts->refs, 1, memory_order_relaxed);
    }
    command->kind = kind;

    struct command *head = atomic_load_explicit(&p->queue, memory_order_relaxed);
    do {
        command->next = head;
    } while (!atomic_compare_exchange_weak_explicit(
        &p->queue, &head, command, memory_order_release, memory_order_relaxed));
    /* Whoever found it not empty knows that the pump has been kicked and not yet looked. */
    if (head == NULL)
        net_kick(p->net);
}

int pump_open(struct server *server, struct pump *p)
{
    const struct server_options *o = &server->options;

    p->server = server;
    list_init(&p->receiving);
    event_init(&p->ended);
    p->counters = calloc(o->routes_count + 1, sizeof *p->counters);
    if (p->counters == NULL)
        return -ENOMEM;
    p->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
        exchange_request, p, MHD_OPTION_CONNECTION_LIMIT, o->connections_max + 1,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)SERVER_HEADER_BYTES_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)((o->send_timeout_ms + 999) / 1000),
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, p, MHD_OPTION_NOTIFY_COMPLETED,
        exchange_completed, p, MHD_OPTION_URI_LOG_CALLBACK, exchange_line, p,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    if (p->daemon == NULL)
        return -ENOMEM;

    const union MHD_DaemonInfo *info = MHD_get_daemon_info(p->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    return net_watch(info->epoll_fd, &p->net);
}

void pump_close(struct pump *p)
{
    net_close(TAKE(p->net));
    if (p->daemon != NULL)
        MHD_stop_daemon(TAKE(p->daemon));
    free(p->counters);
}
