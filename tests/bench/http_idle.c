/* http_idle.c: how soon an idle daemon starts what it is given: one job at a time, each after
 * the one before has ended and a pause. The job itself tells when it runs, by this machine's
 * monotonic clock.
 *
 *   http_idle -to SOCKET-OR-PORT [-jobs 200] [-pause_us 5000] http | exec | worker
 *
 * http: the request of the job arrives at a listener here; exec: the job is this program again,
 * which says so by a datagram as the first thing it does; worker: a connection that waits for
 * a lease has it. Prints KEY<TAB>VALUE lines: p50_us and p99_us from before the submission is
 * sent until the job runs, and first_us, the first one apart: its kind's library is loaded
 * then. */
#include "tests/bench/http_bench.h"

#include <limits.h>
#include <poll.h>

#define PATIENCE_MS 10000

static struct {
    const char *to;
    unsigned jobs;
    long pause_us;
} options = {.jobs = 200, .pause_us = 5000};

/* --- where jobs report --- */

struct place {
    int fd;
    char job[PATH_MAX + 512];
    void (*wait)(struct place *place); /* before the submission; or NULL */
    double (*started_us)(struct place *place, uint64_t start_ns);
    char path[PATH_MAX];
};

static void wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    MUST(poll(&p, 1, PATIENCE_MS) == 1);
}

/* Takes the request of the job, and ends it with an answer. */
static double http_started_us(struct place *place, uint64_t start_ns)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    char request[4096];
    double us;
    int fd;

    wait_readable(place->fd);
    fd = accept4(place->fd, NULL, NULL, SOCK_CLOEXEC);
    MUST(fd >= 0 && recv(fd, request, sizeof request, 0) > 0);
    us = since_s(start_ns) * 1e6;
    send_all(fd, answer, sizeof answer - 1);
    close(fd);
    return us;
}

static void http_open(struct place *place)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;

    place->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(place->fd >= 0 && bind(place->fd, (struct sockaddr *)&addr, sizeof addr) == 0);
    MUST(listen(place->fd, 16) == 0);
    MUST(getsockname(place->fd, (struct sockaddr *)&addr, &len) == 0);
    snprintf(place->job, sizeof place->job, "{\"http\":{\"url\":\"http://127.0.0.1:%d/\"}}",
             ntohs(addr.sin_port));
    place->started_us = http_started_us;
}

static double exec_started_us(struct place *place, uint64_t start_ns)
{
    uint64_t at_ns;

    wait_readable(place->fd);
    MUST(recv(place->fd, &at_ns, sizeof at_ns, 0) == sizeof at_ns);
    return (double)(at_ns - start_ns) / 1e3;
}

static struct sockaddr_un stamp_addr(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    MUST(strlen(path) < sizeof addr.sun_path);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    return addr;
}

static void exec_open(struct place *place)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);

    MUST(len > 0);
    self[len] = '\0';
    snprintf(place->path, sizeof place->path, "/tmp/stint-bench-%ld.sock", (long)getpid());

    struct sockaddr_un addr = stamp_addr(place->path);

    place->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    MUST(place->fd >= 0 && bind(place->fd, (struct sockaddr *)&addr, sizeof addr) == 0);
    len = snprintf(place->job, sizeof place->job,
                   "{\"exec\":{\"argv\":[\"%s\",\"stamp\",\"%s\"]}}", self, place->path);
    MUST(len < (ssize_t)sizeof place->job);
    place->started_us = exec_started_us;
}

static void lease_wait(struct place *place)
{
    struct buf b = BUF_INIT;

    request_put(&b, "POST", "/v1/leases?wait=10s", "", "{\"max\":1}");
    send_all(place->fd, b.data, b.len);
    buf_deinit(&b);
    nap_us(options.pause_us); /* until it is parked */
}

/* Takes the lease, and completes it. */
static double lease_started_us(struct place *place, uint64_t start_ns)
{
    struct buf b = BUF_INIT, done = BUF_INIT;
    double us;

    MUST(answer_read(place->fd, &b) == 200);
    us = since_s(start_ns) * 1e6;
    buf_putf(&done, "[{\"id\":%.0f,\"fence\":%.0f}]", number_of(buf_str(&b), "\"id\":"),
             number_of(buf_str(&b), "\"fence\":"));
    MUST(ask(place->fd, "POST", "/v1/leases/complete", buf_str(&done), &b) == 200);
    buf_deinit(&b);
    buf_deinit(&done);
    return us;
}

static void worker_open(struct place *place)
{
    place->fd = dial(options.to);
    snprintf(place->job, sizeof place->job, "{\"worker\":{}}");
    place->wait = lease_wait;
    place->started_us = lease_started_us;
}

/* The job. */
static int stamp(const char *path)
{
    uint64_t now_ns = clock_mono_ns();
    struct sockaddr_un addr = stamp_addr(path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    MUST(fd >= 0);
    MUST(sendto(fd, &now_ns, sizeof now_ns, 0, (struct sockaddr *)&addr, sizeof addr) ==
         sizeof now_ns);
    return 0;
}

/* --- the loop --- */

static void end_await(int fd, double id, struct buf *b)
{
    char path[64];

    snprintf(path, sizeof path, "/v1/jobs/%.0f?wait=10", id);
    MUST(ask(fd, "GET", path, NULL, b) == 200);
    MUST(strstr(buf_str(b), "\"state\":\"succeeded\"") != NULL);
}

static void measure(struct place *place)
{
    unsigned jobs = options.jobs + 1;
    double *started = calloc(jobs, sizeof *started);
    struct buf b = BUF_INIT;
    int fd = dial(options.to);

    MUST(started != NULL);
    for (unsigned i = 0; i < jobs; i++) {
        if (place->wait)
            place->wait(place);

        uint64_t start_ns = clock_mono_ns();

        buf_clear(&b);
        request_put(&b, "POST", "/v1/jobs", "", place->job);
        send_all(fd, b.data, b.len);
        started[i] = place->started_us(place, start_ns);
        MUST(answer_read(fd, &b) == 201);
        end_await(fd, number_of(buf_str(&b), "\"id\":"), &b);
        nap_us(options.pause_us);
    }
    say("first_us", started[0]);
    say("p50_us", quantile(started + 1, options.jobs, 0.5));
    say("p99_us", quantile(started + 1, options.jobs, 0.99));
    close(fd);
    buf_deinit(&b);
    free(started);
}

static int usage(void)
{
    fprintf(
        stderr,
        "usage: http_idle -to SOCKET-OR-PORT [-jobs N] [-pause_us N] http | exec | worker\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct place place = {.path = ""};
    const char *kind;
    int i = 1;

    if (argc == 3 && strcmp(argv[1], "stamp") == 0)
        return stamp(argv[2]);
    for (; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "-to") == 0)
            options.to = argv[i + 1];
        else if (strcmp(argv[i], "-jobs") == 0)
            options.jobs = (unsigned)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "-pause_us") == 0)
            options.pause_us = atol(argv[i + 1]);
        else
            return usage();
    }
    kind = i < argc ? argv[i] : "";
    if (!options.to || options.jobs < 1)
        return usage();
    if (strcmp(kind, "http") == 0)
        http_open(&place);
    else if (strcmp(kind, "exec") == 0)
        exec_open(&place);
    else if (strcmp(kind, "worker") == 0)
        worker_open(&place);
    else
        return usage();
    measure(&place);
    close(place.fd);
    if (place.path[0])
        unlink(place.path);
    return 0;
}
