#include "jobs/http_pump.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/own.h"
#include "jobs/http_late.h"
#include "jobs/http_resolve.h"
#include "jobs/http_transfer.h"
#include "jobs/kinds_internal.h"
#include "scheduler/chan.h"
#include "scheduler/group.h"
#include "scheduler/net.h"
#include "scheduler/task.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define EVENTS_MAX 64 /* taken from the inner epoll at a time */
#define GENERATIONS_CAP_FIRST 64

struct http_pump {
    struct http_transfer *_Atomic commands; /* a stack, newest first */
    _Atomic bool stopping;
    struct net *net;    /* of the inner epoll, for waiting and for the kick */
    struct event ended; /* the pump's task has left */
    struct http_resolver *resolver;
    struct http_guard *guard;

    /* Of the pump's task: */
    CURLM *multi; /* NULL before the first transfer */
    int epoll_fd;
    uint64_t timer_at_ns;  /* 0 = none */
    struct list transfers; /* added and not yet over */
    uint32_t *generations; /* by descriptor: how often it was opened here */
    size_t generations_cap;
};

/* ---- sockets ----------------------------------------------------------------------------- */

static bool reach_generation(struct http_pump *pump, int fd)
{
    size_t cap = pump->generations_cap != 0 ? pump->generations_cap : GENERATIONS_CAP_FIRST;

    while (cap <= (size_t)fd)
        cap *= 2;
    if (cap == pump->generations_cap)
        return true;

    uint32_t *more = realloc(pump->generations, cap * sizeof *more);
    if (more == NULL)
        return false;
    memset(more + pump->generations_cap, 0, (cap - pump->generations_cap) * sizeof *more);
    pump->generations = more;
    pump->generations_cap = cap;
    return true;
}

/* 0 for a descriptor that was not made here, such as one of libcurl's own. */
static uint32_t generation_of(const struct http_pump *pump, int fd)
{
    return (size_t)fd < pump->generations_cap ? pump->generations[fd] : 0;
}

static void note_refusal(struct http_transfer *t, const struct sockaddr *addr,
                         const struct http_guard_range *range)
{
    char text[INET6_ADDRSTRLEN] = "?";
    const void *any = addr;

    if (addr->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)any)->sin_addr, text, sizeof text);
    else if (addr->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)any)->sin6_addr, text, sizeof text);
    snprintf(t->refused, sizeof t->refused,
             "%s is %s (%s); allow in the section [http] of the configuration can let it "
             "through",
             text, range->what, range->cidr);
}

/* P3: the very address that is connected next. */
static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *addr)
{
    struct http_transfer *t = ctx;
    struct http_pump *pump = t->pump;
    const struct http_guard_range *range = http_guard_check(pump->guard, &addr->addr);

    (void)purpose; /* for one kind of socket alone: CURLSOCKTYPE_IPCXN */
    if (range != NULL) {
        note_refusal(t, &addr->addr, range);
        return CURL_SOCKET_BAD;
    }

    int fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    if (!reach_generation(pump, fd)) {
        close(fd);
        return CURL_SOCKET_BAD;
    }
    pump->generations[fd]++;
    return fd;
}

/* The close alone would not take it out of the inner epoll while a child that is being spawned
 * still has a copy. */
static int close_socket(void *ctx, curl_socket_t fd)
{
    struct http_pump *pump = ctx;

    if ((size_t)fd < pump->generations_cap)
        pump->generations[fd]++;
    epoll_ctl(pump->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    return close(fd);
}

static uint32_t events_of(int what)
{
    return (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
}

/* libcurl wants to hear of fd, or no more. What it says of a socket that is closed already, or
 * of an older opening of the number, must not touch the present one. */
static int socket_changed(CURL *easy, curl_socket_t fd, int what, void *ctx, void *assigned)
{
    struct http_pump *pump = ctx;
    uint32_t generation = generation_of(pump, fd);
    struct epoll_event event = {.events = events_of(what),
                                .data.u64 = (uint64_t)generation << 32 | (uint32_t)fd};

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if ((uintptr_t)assigned == (uintptr_t)generation + 1)
            epoll_ctl(pump->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    if (epoll_ctl(pump->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0 && errno == ENOENT &&
        epoll_ctl(pump->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        log_warn("http.watch_failed", LOG_ERR(-errno));
    curl_multi_assign(pump->multi, fd, (void *)((uintptr_t)generation + 1));
    return 0;
}

static int timer_changed(CURLM *multi, long timeout_ms, void *ctx)
{
    struct http_pump *pump = ctx;

    (void)multi;
    pump->timer_at_ns = timeout_ms < 0 ? 0 : clock_mono_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    return 0;
}

/* ---- transfers --------------------------------------------------------------------------- */

/* The pump's last touch of a transfer. If the requester has just posted something, the transfer
 * stands in the command stack: then the end is told when it is popped. */
static void let_go(struct http_transfer *t)
{
    list_remove(&t->link);
    http_transfer_clean(t);
    if (t->chunks != NULL)
        chan_close(t->chunks);
    if (atomic_fetch_or(&t->wants, WANT_CLOSED) == 0)
        event_set(&t->over);
}

static void finish(struct http_pump *pump, struct http_transfer *t, CURLcode code)
{
    http_transfer_conclude(t, code);
    curl_multi_remove_handle(pump->multi, t->easy);
    let_go(t);
}

static void fail(struct http_transfer *t, int error)
{
    t->response->end = HTTP_TRANSPORT;
    snprintf(t->response->error, sizeof t->response->error, "%s", err_text(error));
    let_go(t);
}

static int set_up_multi(struct http_pump *pump)
{
    bool ok = true;

    pump->multi = curl_multi_init();
    if (pump->multi == NULL)
        return -ENOMEM;
#define SET(option, value)                                                                     \
    ok = ok && curl_multi_setopt(pump->multi, (option), (value)) == CURLM_OK
    SET(CURLMOPT_SOCKETFUNCTION, socket_changed);
    SET(CURLMOPT_SOCKETDATA, pump);
    SET(CURLMOPT_TIMERFUNCTION, timer_changed);
    SET(CURLMOPT_TIMERDATA, pump);
    SET(CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    SET(CURLMOPT_MAXCONNECTS, (long)HTTP_IDLE_CONNECTIONS_MAX);
    SET(CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)HTTP_CONNECTIONS_MAX);
    SET(CURLMOPT_MAX_HOST_CONNECTIONS, (long)HTTP_HOST_CONNECTIONS_MAX);
#undef SET
    if (ok)
        return 0;
    curl_multi_cleanup(TAKE(pump->multi));
    return -ENOMEM;
}

/* A daemon without HTTP jobs never gets here, and never has the library in its memory. */
static int set_up_curl(struct http_pump *pump)
{
    if (pump->multi != NULL)
        return 0;
    if (!http_late_load())
        return -ELIBACC;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return -ENOMEM;

    int r = set_up_multi(pump);
    if (r < 0)
        curl_global_cleanup();
    return r;
}

static void clean_up_curl(struct http_pump *pump)
{
    if (pump->multi == NULL)
        return;
    curl_multi_cleanup(TAKE(pump->multi));
    curl_global_cleanup();
}

static void add(struct http_pump *pump, struct http_transfer *t)
{
    const struct http_sockets sockets = {open_socket, close_socket, pump};

    list_push_back(&pump->transfers, &t->link);
    int r = set_up_curl(pump);
    if (r < 0)
        return fail(t, r);
    if (http_transfer_prepare(t, &sockets) < 0 ||
        curl_multi_add_handle(pump->multi, t->easy) != CURLM_OK)
        return fail(t, -ENOMEM);
    t->added = true;
}

/* The requester no longer wants it; nobody will read the response. */
static void drop(struct http_pump *pump, struct http_transfer *t)
{
    if (t->added)
        curl_multi_remove_handle(pump->multi, t->easy);
    let_go(t);
}

static void obey(struct http_pump *pump, struct http_transfer *t)
{
    unsigned wants = atomic_fetch_and(&t->wants, WANT_CLOSED);

    if (wants & WANT_CLOSED)
        return event_set(&t->over);
    if (wants & WANT_ADD) {
        if (wants & WANT_REMOVE)
            return let_go(t);
        return add(pump, t);
    }
    if (wants & WANT_REMOVE)
        return drop(pump, t);
    if (wants & WANT_RESUME)
        http_transfer_resume(t);
}

/* Oldest first, as they were posted. */
static void obey_all(struct http_pump *pump)
{
    struct http_transfer *t = atomic_exchange(&pump->commands, NULL), *in_order = NULL;

    while (t != NULL) {
        struct http_transfer *next = t->next;
        t->next = in_order;
        in_order = t;
        t = next;
    }
    while (in_order != NULL) {
        t = in_order;
        in_order = t->next; /* before obey: it may be posted again, or be gone */
        obey(pump, t);
    }
}

static void post(struct http_pump *pump, struct http_transfer *t, enum transfer_want want)
{
    if (atomic_fetch_or(&t->wants, want) != 0)
        return; /* it stands in the stack already, or is over */

    struct http_transfer *head = atomic_load(&pump->commands);
    do {
        t->next = head;
    } while (!atomic_compare_exchange_weak(&pump->commands, &head, t));
    /* Whoever pushed on an empty stack wakes the pump, for all that come before it looks. */
    if (head == NULL)
        net_kick(pump->net);
}

/* ---- the pump's task --------------------------------------------------------------------- */

static void run_timer(struct http_pump *pump)
{
    int running;

    if (pump->timer_at_ns == 0 || clock_mono_ns() < pump->timer_at_ns)
        return;
    pump->timer_at_ns = 0;
    curl_multi_socket_action(pump->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

static int ev_bits(uint32_t events)
{
    return (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP) ? CURL_CSELECT_IN : 0) |
           (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
           (events & EPOLLERR ? CURL_CSELECT_ERR : 0);
}

/* true: there was something, look again. */
static bool run_sockets(struct http_pump *pump)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(pump->epoll_fd, events, EVENTS_MAX, 0);
    int running;

    for (int i = 0; i < count; i++) {
        int fd = (int)(uint32_t)events[i].data.u64;
        /* An earlier event of this batch may have closed it, and opened another by its number.
         */
        if (generation_of(pump, fd) == (uint32_t)(events[i].data.u64 >> 32))
            curl_multi_socket_action(pump->multi, fd, ev_bits(events[i].events), &running);
    }
    return count > 0;
}

static void reap(struct http_pump *pump)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(pump->multi, &left)) != NULL) {
        char *private = NULL;
        CURLcode code = message->data.result; /* the message dies with the handle's removal */

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        finish(pump, (struct http_transfer *)(void *)private, code);
    }
}

static bool is_idle(const struct http_pump *pump)
{
    return atomic_load(&pump->commands) == NULL &&
           (pump->timer_at_ns == 0 || clock_mono_ns() < pump->timer_at_ns);
}

/* Runs in a shield: cancelled tasks need it to let go of their transfers. It ends with 0, since
 * its end is http_pump_close and no error of the group's. */
static int run_pump(void *arg)
{
    struct http_pump *pump = arg;

    task_shield_begin(UINT64_MAX);
    while (!atomic_load(&pump->stopping)) {
        obey_all(pump);
        run_timer(pump);
        bool moved = run_sockets(pump);
        if (pump->multi != NULL)
            reap(pump);
        if (moved)
            task_checkpoint();
        else if (is_idle(pump) && !atomic_load(&pump->stopping))
            net_wait(pump->net, NET_READ, pump->timer_at_ns);
    }
    clean_up_curl(pump);
    task_shield_end();
    event_set(&pump->ended);
    return 0;
}

/* ---- open and close ---------------------------------------------------------------------- */

static void free_pump(struct http_pump *pump)
{
    if (pump == NULL)
        return;
    http_resolver_close(pump->resolver);
    net_close(pump->net);
    if (pump->epoll_fd >= 0)
        close(pump->epoll_fd);
    http_guard_free(pump->guard);
    free(pump->generations);
    free(pump);
}

OWN_DEFINE(struct http_pump, free_pump);

static int set_up_guard(struct http_pump *pump, const struct kind_config *config)
{
    const char *bad = NULL;
    int r = http_guard_new(config->http_allow, &pump->guard, &bad);

    if (r == -EINVAL)
        log_error("http.allow_invalid", LOG_STR("value", bad),
                  LOG_STR("why", "not an address or a CIDR such as 10.1.0.0/16"));
    return r;
}

int http_pump_open(const struct kind_config *config, struct group *group,
                   struct http_pump **ret)
{
    static const struct task_options options = {
        .name = "http.pump", .site = __FILE__, .stack = STACK_LARGE, .background = true};

    OWN(free_pump) struct http_pump *pump = calloc(1, sizeof *pump);
    if (pump == NULL)
        return -ENOMEM;
    list_init(&pump->transfers);
    event_init(&pump->ended);
    pump->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (pump->epoll_fd < 0)
        return -errno;

    int r = set_up_guard(pump, config);
    if (r == 0)
        r = http_resolver_open(group, NULL, &pump->resolver);
    if (r == 0)
        r = net_watch(pump->epoll_fd, &pump->net);
    if (r == 0)
        r = group_spawn(group, run_pump, pump, &options);
    if (r < 0)
        return r;
    *ret = TAKE(pump);
    return 0;
}

void http_pump_close(struct http_pump *pump)
{
    if (pump == NULL)
        return;
    atomic_store(&pump->stopping, true);
    net_kick(pump->net);
    event_wait_shielded(&pump->ended);
    assert_always(list_is_empty(&pump->transfers));
    free_pump(pump);
}

/* ---- the requester's side ---------------------------------------------------------------- */

/* Gives the sink what the pump hands over until there is no more. 0, the sink's error, or the
 * cancel reason. */
static int feed_sink(struct http_pump *pump, struct http_transfer *t)
{
    const struct http_request *request = t->request;
    struct http_chunk chunk;

    for (;;) {
        int r = chan_recv(t->chunks, &chunk, 0);
        if (r == -EPIPE)
            return 0;
        if (r < 0)
            return r;
        r = request->sink(request->ctx, chunk.data, chunk.len);
        free(chunk.data);
        if (r < 0) {
            t->response->sink_error = r;
            return r;
        }
        post(pump, t, WANT_RESUME);
    }
}

/* What was still on its way when the transfer ended. */
static void drain_chunks(struct http_transfer *t)
{
    struct http_chunk chunk;

    while (chan_try_recv(t->chunks, &chunk) == 0)
        free(chunk.data);
    chan_free(t->chunks);
}

static void sink_rest(struct http_transfer *t, int r)
{
    const struct http_request *request = t->request;
    struct http_response *response = t->response;

    if (r == 0 && response->sunk && response->end == HTTP_ANSWERED && t->waiting.len > 0)
        response->sink_error = request->sink(request->ctx, t->waiting.data, t->waiting.len);
    buf_deinit(&t->waiting);
}

int http_pump_run(struct http_pump *pump, const struct http_request *request,
                  struct http_response *ret)
{
    struct http_transfer t = {.request = request, .response = ret, .pump = pump};
    int r;

    *ret = (struct http_response){0};
    list_init(&t.link);
    event_init(&t.over);
    if (request->sink != NULL && (t.chunks = chan_new(sizeof(struct http_chunk), 1)) == NULL)
        return -ENOMEM;

    post(pump, &t, WANT_ADD);
    r = t.chunks != NULL ? feed_sink(pump, &t) : event_wait(&t.over, 0);
    if (r < 0)
        post(pump, &t, WANT_REMOVE);
    if (r < 0 || t.chunks != NULL)
        event_wait_shielded(&t.over); /* P2 */
    sink_rest(&t, r);
    if (t.chunks != NULL)
        drain_chunks(&t);
    return ret->sink_error < 0 ? 0 : r;
}

int http_pump_resolve(struct http_pump *pump, const char *name, char *ret, const char **ret_why)
{
    return http_resolve(pump->resolver, name, ret, ret_why);
}

void http_response_deinit(struct http_response *response)
{
    buf_deinit(&response->headers);
    buf_deinit(&response->body);
    free(response->redirect);
    response->redirect = NULL;
}
