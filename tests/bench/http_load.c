/* http_load.c: submits jobs in a closed loop: every connection sends its next request when it
 * has the answer to the one before.
 *
 *   http_load -to SOCKET-OR-PORT [-connections 64] [-batch 1] [-seconds 2 | -jobs N]
 *             [-job JSON] [-header LINE] [-drain] [-pid PID]
 *
 * Without -drain the queue is paused first, so that what is measured is submission alone; with
 * it the jobs run, and the clock stops when the last one has ended. -pid names the daemon,
 * whose CPU time is then told too. Prints KEY<TAB>VALUE lines: rate (jobs/s), p50_us, p99_us
 * (of a request), jobs, and cpu_s_10k (CPU seconds of the daemon per 10,000 jobs). */
#include "tests/bench/http_bench.h"

#include <fcntl.h>
#include <sys/epoll.h>

#define CONNECTIONS_MAX 4096
#define LATENCIES_MAX (1u << 22)
#define READ_BYTES (1 << 18)
#define POLL_US 5000

struct connection {
    int fd;
    uint64_t sent_at_ns;
    size_t sent; /* of the request */
    struct buf answer;
};

static struct {
    const char *to, *job, *header;
    unsigned connections, batch;
    double seconds;
    uint64_t jobs;
    bool drain;
    long pid;
} options = {.job = "{\"exec\":{\"argv\":[\"/bin/true\"]},\"name\":\"bench\",\"tags\":"
                    "[\"one-of-some\",\"another-tag\"],\"retry\":{\"max_attempts\":3,"
                    "\"base\":1},\"timeout\":\"5m\",\"priority\":3}",
             .header = "",
             .connections = 64,
             .batch = 1,
             .seconds = 2,
             .pid = 0};

static struct {
    struct connection *connections;
    struct buf request;
    double *latencies;
    size_t latencies_len;
    uint64_t sent, answered; /* requests */
    uint64_t end_at_ns;
    unsigned open;
    int epoll;
} load;

/* --- the loop --- */

static void want(struct connection *c, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    MUST(epoll_ctl(load.epoll, EPOLL_CTL_MOD, c->fd, &ev) == 0);
}

static void connection_end(struct connection *c)
{
    close(c->fd);
    buf_deinit(&c->answer);
    load.open--;
}

static void connection_send(struct connection *c)
{
    bool blocked = c->sent > 0;

    while (c->sent < load.request.len) {
        ssize_t n =
            send(c->fd, load.request.data + c->sent, load.request.len - c->sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            if (!blocked)
                want(c, EPOLLIN | EPOLLOUT);
            return;
        }
        MUST(n > 0);
        c->sent += (size_t)n;
    }
    if (blocked)
        want(c, EPOLLIN);
}

static bool may_send(void)
{
    if (options.jobs > 0)
        return load.sent * options.batch < options.jobs;
    return clock_mono_ns() < load.end_at_ns;
}

static void connection_next(struct connection *c)
{
    if (!may_send()) {
        connection_end(c);
        return;
    }
    load.sent++;
    c->sent = 0;
    c->sent_at_ns = clock_mono_ns();
    connection_send(c);
}

static void connection_answered(struct connection *c)
{
    int status = answer_status(buf_str(&c->answer));

    if (status != 201) {
        fprintf(stderr, "http_load: status %d: %s\n", status, buf_str(&c->answer));
        exit(1);
    }
    load.answered++;
    if (load.latencies_len < LATENCIES_MAX)
        load.latencies[load.latencies_len++] = since_s(c->sent_at_ns) * 1e6;
    buf_clear(&c->answer);
    connection_next(c);
}

static void connection_read(struct connection *c)
{
    size_t head = 0, len;
    char *room = buf_reserve(&c->answer, READ_BYTES);

    MUST(room != NULL);

    ssize_t n = recv(c->fd, room, READ_BYTES, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    MUST(n > 0);
    buf_commit(&c->answer, (size_t)n);
    len = answer_len(buf_str(&c->answer), &head);
    if (len > 0 && c->answer.len >= len)
        connection_answered(c);
}

static void connections_open(void)
{
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.connections = calloc(options.connections, sizeof *load.connections);
    load.latencies = calloc(LATENCIES_MAX, sizeof *load.latencies);
    MUST(load.epoll >= 0 && load.connections && load.latencies);
    for (unsigned i = 0; i < options.connections; i++) {
        struct connection *c = &load.connections[i];
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

        c->fd = dial(options.to);
        MUST(fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0);
        MUST(epoll_ctl(load.epoll, EPOLL_CTL_ADD, c->fd, &ev) == 0);
        load.open++;
    }
}

static void run(void)
{
    struct epoll_event events[256];

    load.end_at_ns = clock_mono_ns() + (uint64_t)(options.seconds * 1e9);
    for (unsigned i = 0; i < options.connections; i++)
        connection_next(&load.connections[i]);
    while (load.open > 0) {
        int n = epoll_wait(load.epoll, events, sizeof events / sizeof *events, -1);

        MUST(n > 0 || errno == EINTR);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;

            if (events[i].events & EPOLLOUT)
                connection_send(c);
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                connection_read(c);
        }
    }
}

/* --- before and after --- */

static void queue_pause(int fd, bool paused)
{
    struct buf b = BUF_INIT;

    MUST(ask(fd, "PATCH", "/v1/queues/default",
             paused ? "{\"paused\":true}" : "{\"paused\":false}", &b) == 200);
    buf_deinit(&b);
}

static double ended(int fd)
{
    struct buf b = BUF_INIT;
    int status = ask(fd, "GET", "/v1/queues/default", NULL, &b);
    double count = status == 404 ? 0 : number_of(buf_str(&b), "\"succeeded\":");

    MUST(count >= 0);
    if (status == 200)
        MUST(number_of(buf_str(&b), "\"failed\":") == 0);
    buf_deinit(&b);
    return count;
}

static void wait_ended(int fd, double count)
{
    while (ended(fd) < count)
        nap_us(POLL_US);
}

static void request_make(void)
{
    struct buf body = BUF_INIT;

    if (options.batch > 1)
        buf_putc(&body, '[');
    for (unsigned i = 0; i < options.batch; i++) {
        if (i > 0)
            buf_putc(&body, ',');
        buf_puts(&body, options.job);
    }
    if (options.batch > 1)
        buf_putc(&body, ']');
    request_put(&load.request, "POST", "/v1/jobs", options.header, buf_str(&body));
    buf_deinit(&body);
}

static void measure(void)
{
    int fd = dial(options.to);
    double before = ended(fd), cpu = options.pid ? cpu_of(options.pid) : 0;

    if (!options.drain)
        queue_pause(fd, true);
    connections_open();

    uint64_t start_ns = clock_mono_ns();

    run();

    double jobs = (double)(load.answered * options.batch);

    if (options.drain)
        wait_ended(fd, before + jobs);
    say("rate", jobs / since_s(start_ns));
    say("p50_us", quantile(load.latencies, load.latencies_len, 0.5));
    say("p99_us", quantile(load.latencies, load.latencies_len, 0.99));
    say("jobs", jobs);
    if (options.pid)
        say("cpu_s_10k", (cpu_of(options.pid) - cpu) / jobs * 1e4);
    close(fd);
}

static int usage(void)
{
    fprintf(stderr, "usage: http_load -to SOCKET-OR-PORT [-connections N] [-batch N] "
                    "[-seconds S | -jobs N] [-job JSON] [-header LINE] [-drain] [-pid PID]\n");
    return 2;
}

static bool option_take(const char *flag, const char *value)
{
    static char header[1024];

    if (strcmp(flag, "-to") == 0)
        options.to = value;
    else if (strcmp(flag, "-job") == 0)
        options.job = value;
    else if (strcmp(flag, "-connections") == 0)
        options.connections = (unsigned)atoi(value);
    else if (strcmp(flag, "-batch") == 0)
        options.batch = (unsigned)atoi(value);
    else if (strcmp(flag, "-seconds") == 0)
        options.seconds = atof(value);
    else if (strcmp(flag, "-jobs") == 0)
        options.jobs = strtoull(value, NULL, 10);
    else if (strcmp(flag, "-pid") == 0)
        options.pid = atol(value);
    else if (strcmp(flag, "-header") == 0) {
        snprintf(header, sizeof header, "%s\r\n", value);
        options.header = header;
    } else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-drain") == 0)
            options.drain = true;
        else if (i + 1 >= argc || !option_take(argv[i], argv[i + 1]))
            return usage();
        else
            i++;
    }
    if (!options.to || options.batch < 1 || options.connections < 1 ||
        options.connections > CONNECTIONS_MAX)
        return usage();
    files_raise();
    request_make();
    measure();
    return 0;
}
