/* http_crowd.c: what many at once cost that all just wait.
 *
 *   http_crowd -to SOCKET-OR-PORT -pid PID [-count 1000] http | wait
 *
 * http: so many HTTP jobs against a server here that answers each after SLOW_MS. wait: so many
 * clients that wait for the end of one job, on a connection each. Prints KEY<TAB>VALUE lines:
 * grown_mb (of the daemon's memory, at most), threads (of the daemon, at most), most (HTTP jobs
 * under way at once) or answered_ms (from the job's release to the last client's answer). */
#include "tests/bench/http_bench.h"

#include <fcntl.h>
#include <sys/epoll.h>

#define SLOW_MS 3000
#define TICK_MS 20
#define PATIENCE_S 60

static struct {
    const char *to;
    long pid;
    unsigned count;
} options = {.count = 1000};

/* --- a server that takes its time --- */

struct guest {
    int fd;
    uint64_t due_ns; /* 0 = its request has not come */
};

static struct {
    int listener, epoll;
    struct guest *guests; /* in the order of their requests, which is that of their answers */
    unsigned accepted, asked, answered, most;
} slow;

static void slow_open(unsigned *ret_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = -1};
    socklen_t len = sizeof addr;

    slow.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    slow.epoll = epoll_create1(EPOLL_CLOEXEC);
    slow.guests = calloc(options.count, sizeof *slow.guests);
    MUST(slow.listener >= 0 && slow.epoll >= 0 && slow.guests);
    MUST(bind(slow.listener, (struct sockaddr *)&addr, sizeof addr) == 0);
    MUST(listen(slow.listener, 4096) == 0);
    MUST(getsockname(slow.listener, (struct sockaddr *)&addr, &len) == 0);
    ev.data.fd = slow.listener;
    MUST(epoll_ctl(slow.epoll, EPOLL_CTL_ADD, slow.listener, &ev) == 0);
    *ret_port = ntohs(addr.sin_port);
}

static void slow_accept(void)
{
    int fd;

    while ((fd = accept4(slow.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

        MUST(slow.accepted++ < options.count);
        MUST(epoll_ctl(slow.epoll, EPOLL_CTL_ADD, fd, &ev) == 0);
    }
}

static void slow_asked(int fd)
{
    char request[4096];

    MUST(recv(fd, request, sizeof request, 0) > 0);
    MUST(epoll_ctl(slow.epoll, EPOLL_CTL_DEL, fd, NULL) == 0);
    slow.guests[slow.asked++] =
        (struct guest){.fd = fd, .due_ns = clock_mono_ns() + SLOW_MS * NS_PER_MS};
    if (slow.asked - slow.answered > slow.most)
        slow.most = slow.asked - slow.answered;
}

static void slow_answer(void)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    uint64_t now_ns = clock_mono_ns();

    while (slow.answered < slow.asked && slow.guests[slow.answered].due_ns <= now_ns) {
        int fd = slow.guests[slow.answered++].fd;

        send_all(fd, answer, sizeof answer - 1);
        close(fd);
    }
}

static void slow_tick(void)
{
    struct epoll_event events[256];
    int n = epoll_wait(slow.epoll, events, sizeof events / sizeof *events, TICK_MS);

    for (int i = 0; i < n; i++) {
        if (events[i].data.fd == slow.listener)
            slow_accept();
        else
            slow_asked(events[i].data.fd);
    }
    slow_answer();
}

/* --- HTTP jobs --- */

static void submit_all(int fd, unsigned port, struct buf *b)
{
    struct buf body = BUF_INIT;

    for (unsigned i = 0; i < options.count; i++)
        buf_putf(&body, "%s{\"http\":{\"url\":\"http://127.0.0.1:%u/%u\"}}", i ? "," : "[",
                 port, i);
    buf_putc(&body, ']');
    MUST(ask(fd, "POST", "/v1/jobs", buf_str(&body), b) == 201);
    buf_deinit(&body);
}

static bool all_succeeded(int fd, struct buf *b)
{
    MUST(ask(fd, "GET", "/v1/queues/default", NULL, b) == 200);
    MUST(number_of(buf_str(b), "\"failed\":") == 0);
    return number_of(buf_str(b), "\"succeeded\":") >= options.count;
}

static void crowd_http(void)
{
    struct buf b = BUF_INIT;
    int fd = dial(options.to);
    double before = status_of(options.pid, "VmRSS"), threads = 0;
    uint64_t start_ns = clock_mono_ns();
    unsigned port;

    slow_open(&port);
    submit_all(fd, port, &b);
    while (slow.answered < options.count) {
        double now = status_of(options.pid, "Threads");

        MUST(since_s(start_ns) < PATIENCE_S);
        slow_tick();
        threads = now > threads ? now : threads;
    }
    while (!all_succeeded(fd, &b))
        nap_us(TICK_MS * 1000);
    say("grown_mb", (status_of(options.pid, "VmHWM") - before) * 1024 / 1e6);
    say("threads", threads);
    say("most", slow.most);
    buf_deinit(&b);
    close(fd);
}

/* --- clients that wait --- */

static void tasks_await(int fd, double count, struct buf *b)
{
    uint64_t start_ns = clock_mono_ns();

    do {
        MUST(since_s(start_ns) < PATIENCE_S);
        nap_us(TICK_MS * 1000);
        MUST(ask(fd, "GET", "/metrics", NULL, b) == 200);
    } while (number_of(buf_str(b), "\nstint_tasks ") < count);
}

static double clients_answered_ms(int fd, double id, const int *fds, struct buf *b)
{
    char path[64];
    uint64_t start_ns = clock_mono_ns();

    snprintf(path, sizeof path, "/v1/jobs/%.0f/release", id);
    MUST(ask(fd, "POST", path, "", b) == 200);
    for (unsigned i = 0; i < options.count; i++) {
        MUST(answer_read(fds[i], b) == 200);
        MUST(strstr(buf_str(b), "\"state\":\"succeeded\"") != NULL);
        close(fds[i]);
    }
    return since_s(start_ns) * 1e3;
}

static void crowd_wait(void)
{
    struct buf b = BUF_INIT, request = BUF_INIT;
    int fd = dial(options.to), *fds = calloc(options.count, sizeof *fds);
    double before = status_of(options.pid, "VmRSS"), id;
    char path[64];

    MUST(fds && ask(fd, "POST", "/v1/jobs",
                    "{\"exec\":{\"argv\":[\"/bin/true\"]},\"hold\":true}", &b) == 201);
    id = number_of(buf_str(&b), "\"id\":");
    snprintf(path, sizeof path, "/v1/jobs/%.0f?wait=%d", id, PATIENCE_S);
    request_put(&request, "GET", path, "", NULL);
    for (unsigned i = 0; i < options.count; i++) {
        fds[i] = dial(options.to);
        send_all(fds[i], request.data, request.len);
    }
    tasks_await(fd, options.count, &b);
    say("grown_mb", (status_of(options.pid, "VmRSS") - before) * 1024 / 1e6);
    say("threads", status_of(options.pid, "Threads"));
    say("answered_ms", clients_answered_ms(fd, id, fds, &b));
    buf_deinit(&b);
    buf_deinit(&request);
    free(fds);
    close(fd);
}

static int usage(void)
{
    fprintf(stderr, "usage: http_crowd -to SOCKET-OR-PORT -pid PID [-count N] http | wait\n");
    return 2;
}

int main(int argc, char **argv)
{
    const char *what;
    int i = 1;

    for (; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "-to") == 0)
            options.to = argv[i + 1];
        else if (strcmp(argv[i], "-pid") == 0)
            options.pid = atol(argv[i + 1]);
        else if (strcmp(argv[i], "-count") == 0)
            options.count = (unsigned)atoi(argv[i + 1]);
        else
            return usage();
    }
    what = i < argc ? argv[i] : "";
    if (!options.to || options.pid < 1 || options.count < 1)
        return usage();
    files_raise();
    if (strcmp(what, "http") == 0)
        crowd_http();
    else if (strcmp(what, "wait") == 0)
        crowd_wait();
    else
        return usage();
    return 0;
}
