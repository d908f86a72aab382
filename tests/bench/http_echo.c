/* http_echo.c: jobs that cost nothing but the daemon's own work, from submission to end: HTTP
 * requests to a server here that answers at once, over connections that stay open.
 *
 *   http_echo -to SOCKET-OR-PORT -pid PID [-jobs 2000] [-batch 100]
 *
 * Prints KEY<TAB>VALUE lines: rate (jobs/s from the first submission to the last end) and
 * cpu_s_10k (CPU seconds of the daemon per 10,000 jobs). */
#include "tests/bench/http_bench.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define POLL_US 5000

static struct {
    const char *to;
    long pid;
    unsigned jobs, batch;
} options = {.jobs = 2000, .batch = 100};

/* --- the server, a process of its own --- */

static int listen_somewhere(unsigned *ret_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0);
    MUST(listen(fd, 4096) == 0);
    MUST(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

static void watch(int epoll, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) == 0);
}

static void answer(int fd)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char request[4096];

    if (recv(fd, request, sizeof request, 0) > 0)
        send_all(fd, text, sizeof text - 1);
    else
        close(fd);
}

static void serve(int listener)
{
    struct epoll_event events[256];
    int epoll = epoll_create1(EPOLL_CLOEXEC), fd;

    MUST(epoll >= 0);
    watch(epoll, listener);
    for (;;) {
        int n = epoll_wait(epoll, events, sizeof events / sizeof *events, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != listener) {
                answer(events[i].data.fd);
                continue;
            }
            while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
                watch(epoll, fd);
        }
    }
}

static pid_t server_start(unsigned *ret_port)
{
    int listener = listen_somewhere(ret_port);
    pid_t pid = fork();

    MUST(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(listener);
    }
    close(listener);
    return pid;
}

/* --- the jobs --- */

static void submit(int fd, unsigned port, unsigned count, struct buf *b)
{
    struct buf body = BUF_INIT;

    for (unsigned i = 0; i < count; i++)
        buf_putf(&body, "%s{\"http\":{\"url\":\"http://127.0.0.1:%u/\"}}", i ? "," : "[", port);
    buf_putc(&body, ']');
    MUST(ask(fd, "POST", "/v1/jobs", buf_str(&body), b) == 201);
    buf_deinit(&body);
}

static double succeeded(int fd, struct buf *b)
{
    int status = ask(fd, "GET", "/v1/queues/default", NULL, b);

    if (status == 404)
        return 0;
    MUST(status == 200 && number_of(buf_str(b), "\"failed\":") == 0);
    return number_of(buf_str(b), "\"succeeded\":");
}

static void measure(unsigned port)
{
    struct buf b = BUF_INIT;
    int fd = dial(options.to);
    double before = succeeded(fd, &b), cpu = cpu_of(options.pid);
    uint64_t start_ns = clock_mono_ns();

    for (unsigned done = 0; done < options.jobs; done += options.batch)
        submit(fd, port, options.batch, &b);
    while (succeeded(fd, &b) < before + options.jobs)
        nap_us(POLL_US);
    say("rate", options.jobs / since_s(start_ns));
    say("cpu_s_10k", (cpu_of(options.pid) - cpu) / options.jobs * 1e4);
    close(fd);
    buf_deinit(&b);
}

int main(int argc, char **argv)
{
    unsigned port;
    pid_t server;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "-to") == 0)
            options.to = argv[i + 1];
        else if (strcmp(argv[i], "-pid") == 0)
            options.pid = atol(argv[i + 1]);
        else if (strcmp(argv[i], "-jobs") == 0)
            options.jobs = (unsigned)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "-batch") == 0)
            options.batch = (unsigned)atoi(argv[i + 1]);
    }
    if (argc % 2 == 0 || !options.to || options.pid < 1 || options.batch < 1 ||
        options.jobs % options.batch != 0)
        return fprintf(stderr, "usage: http_echo -to SOCKET-OR-PORT -pid PID [-jobs N] "
                               "[-batch N, of which N jobs are a multiple]\n"),
               2;
    server = server_start(&port);
    measure(port);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return 0;
}
