/* The scheduler's figures where it waits: timers, wake-ups from outside, thefts, hogs, files,
 * sockets. Used as scheduler_bench.c is. */
#include "base/rand.h"
#include "scheduler/block.h"
#include "scheduler/chan.h"
#include "scheduler/event.h"
#include "scheduler/group.h"
#include "scheduler/net.h"
#include "scheduler/task.h"
#include "scheduler/timer.h"
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

struct sleeper {
    uint64_t ns;
    double late_ns;
};

static int sleeper_task(void *arg)
{
    struct sleeper *s = arg;
    uint64_t start_ns = clock_mono_ns();

    (void)task_sleep_ns(s->ns);
    s->late_ns = since(start_ns) - (double)s->ns;
    return 0;
}

static double cpu_ms(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static double faults_k(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_minflt / 1e3;
}

static int timers(void *arg)
{
    size_t n = 1000000 / scale;
    struct sleeper *s = calloc(n, sizeof *s);
    double *late = calloc(n, sizeof *late), cpu = cpu_ms();
    struct rand rnd;
    struct group g;

    (void)arg;
    MUST(s != NULL && late != NULL);
    rand_seed(&rnd, 42);
    for (size_t i = 0; i < n; i++)
        s[i].ns = (1 + rand_below(&rnd, 1000)) * NS_PER_MS;
    group_open(&g, "timers");
    uint64_t start_ns = clock_mono_ns();
    for (size_t i = 0; i < n; i++)
        MUST(group_go_stack(&g, sleeper_task, &s[i], STACK_SMALL) == 0);
    double made_ms = since(start_ns) / (double)NS_PER_MS;
    MUST(group_join(&g) == 0);
    print("timers_1m_ms", since(start_ns) / (double)NS_PER_MS, "ms");
    print("timers_1m_cpu_ms", cpu_ms() - cpu, "ms");
    print("timers_1m_made_ms", made_ms, "ms"); /* until all of them had begun, nearly */
    print("timers_1m_faults_k", faults_k(), "k");
    for (size_t i = 0; i < n; i++)
        late[i] = s[i].late_ns / (double)NS_PER_US;
    print("timers_1m_p99_us", quantile(late, n, 0.99), "us");
    free(s);
    free(late);
    return 0;
}

/* ---- what never fires ---- */

struct rally {
    struct chan *there, *back;
    size_t n;
    uint64_t deadline_ns;
};

static void never(struct timer *t)
{
    (void)t;
    MUST(false);
}

static uint64_t some_day(struct rand *rnd)
{
    return clock_mono_ns() + (100 + rand_below(rnd, 1000)) * NS_PER_S;
}

static int return_task(void *arg)
{
    struct rally *r = arg;
    uint64_t ball;

    for (size_t i = 0; i < r->n; i++) {
        MUST(chan_recv(r->there, &ball, r->deadline_ns) == 0);
        MUST(chan_send(r->back, &ball, r->deadline_ns) == 0);
    }
    return 0;
}

/* What a wait costs: two park in a round trip. */
static double rally_ns(uint64_t deadline_ns)
{
    struct rally r = {chan_new(8, 0), chan_new(8, 0), 1000000 / scale, deadline_ns};
    uint64_t ball = 0;
    struct group g;

    group_open(&g, "rally");
    MUST(group_go(&g, return_task, &r) == 0);
    uint64_t start_ns = clock_mono_ns();
    for (size_t i = 0; i < r.n; i++) {
        MUST(chan_send(r.there, &ball, deadline_ns) == 0);
        MUST(chan_recv(r.back, &ball, deadline_ns) == 0);
    }
    double ns = since(start_ns) / (double)r.n / 2;
    MUST(group_join(&g) == 0);
    chan_free(r.there);
    chan_free(r.back);
    return ns;
}

/* Timers that are started and stopped, and deadlines that are met, while many others live. */
static int cancel(void *arg)
{
    size_t n = 1000000 / scale;
    struct timer *t = calloc(n, sizeof *t), one;
    struct rand rnd;

    (void)arg;
    MUST(t != NULL);
    rand_seed(&rnd, 42);
    timer_init(&one, never);
    for (size_t i = 0; i < n; i++) {
        timer_init(&t[i], never);
        MUST(timer_start(&t[i], some_day(&rnd)) == 0);
    }
    uint64_t start_ns = clock_mono_ns();
    for (size_t i = 0; i < n; i++) {
        MUST(timer_start(&one, some_day(&rnd)) == 0);
        MUST(timer_stop(&one));
    }
    print("timer_cancel_ns", since(start_ns) / (double)n, "ns");
    print("deadline_met_ns", rally_ns(some_day(&rnd)) - rally_ns(0), "ns");
    start_ns = clock_mono_ns();
    for (size_t i = 0; i < n; i++)
        MUST(timer_stop(&t[i]) && timer_start(&t[i], some_day(&rnd)) == 0);
    print("timer_cancel_any_ns", since(start_ns) / (double)n, "ns");
    for (size_t i = 0; i < n; i++)
        MUST(timer_stop(&t[i]));
    free(t);
    return 0;
}

/* ---- latencies ---- */

struct inject {
    struct event *events;
    _Atomic uint64_t *set_at_ns;
    size_t n;
};

static void *inject_thread(void *arg)
{
    struct inject *x = arg;

    for (size_t i = 0; i < x->n; i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = NS_PER_MS}, NULL);
        atomic_store(&x->set_at_ns[i], clock_mono_ns());
        event_set(&x->events[i]);
    }
    return NULL;
}

static int inject(void *arg)
{
    struct inject x = {.n = 5000 / (scale > 10 ? 10 : scale)};
    double *late = calloc(x.n, sizeof *late);
    pthread_t thread;

    (void)arg;
    x.events = calloc(x.n, sizeof *x.events);
    x.set_at_ns = calloc(x.n, sizeof *x.set_at_ns);
    MUST(late != NULL && x.events != NULL && x.set_at_ns != NULL);
    for (size_t i = 0; i < x.n; i++)
        event_init(&x.events[i]);
    MUST(pthread_create(&thread, NULL, inject_thread, &x) == 0);
    for (size_t i = 0; i < x.n; i++) {
        MUST(event_wait(&x.events[i], 0) == 0);
        late[i] = since(atomic_load(&x.set_at_ns[i])) / (double)NS_PER_US;
    }
    (void)pthread_join(thread, NULL);
    print("inject_p50_us", quantile(late, x.n, 0.5), "us");
    print("inject_p999_us", quantile(late, x.n, 0.999), "us");
    return 0;
}

struct theft {
    uint64_t since_ns;
    _Atomic uint64_t late_ns;
};

static int theft_task(void *arg)
{
    struct theft *t = arg;

    atomic_store(&t->late_ns, clock_mono_ns() - t->since_ns);
    return 0;
}

static int steal(void *arg)
{
    size_t n = 3000 / (scale > 10 ? 10 : scale), stolen = 0;
    double *late = calloc(n, sizeof *late);

    (void)arg;
    MUST(late != NULL);
    for (size_t i = 0; i < n; i++) {
        struct theft t = {.late_ns = 0};
        struct group g;

        (void)task_sleep_ns(NS_PER_MS);
        group_open(&g, "steal");
        t.since_ns = clock_mono_ns();
        MUST(group_go(&g, theft_task, &t) == 0);
        while (clock_mono_ns() < t.since_ns + 200 * NS_PER_US)
            continue; /* busy, and no call of the scheduler */
        stolen += atomic_load(&t.late_ns) != 0;
        MUST(group_join(&g) == 0);
        late[i] = (double)atomic_load(&t.late_ns) / (double)NS_PER_US;
    }
    print("steal_p50_us", quantile(late, n, 0.5), "us");
    print("steal_p99_us", quantile(late, n, 0.99), "us");
    print("steal_pct", 100 * (double)stolen / (double)n, "%");
    free(late);
    return 0;
}

#define TICKS_MAX 20000
#define HOGS 8

struct ticker {
    _Atomic bool stop;
    size_t n;
    double late_us[TICKS_MAX];
};

static int ticker_task(void *arg)
{
    struct ticker *t = arg;

    while (!atomic_load(&t->stop) && t->n < TICKS_MAX) {
        uint64_t start_ns = clock_mono_ns();

        (void)task_sleep_ns(NS_PER_MS);
        t->late_us[t->n++] = (since(start_ns) - (double)NS_PER_MS) / (double)NS_PER_US;
    }
    return 0;
}

/* Spins for a fixed amount of work and not of time: a hog that is put off must still do it. */
static int burn_task(void *arg)
{
    volatile uint64_t x = UINT64_C(88172645463325252);

    for (uint64_t i = *(uint64_t *)arg; i > 0; i--) {
        uint64_t y = x;

        y ^= y << 13;
        y ^= y >> 7;
        x = y ^ y << 17;
    }
    return 0;
}

static uint64_t burn_calibrated(uint64_t ms)
{
    uint64_t n = 5000000, best_ns = UINT64_MAX;

    for (int i = 0; i < 5; i++) {
        uint64_t start_ns = clock_mono_ns();

        (void)burn_task(&n);
        uint64_t ns = clock_mono_ns() - start_ns;
        best_ns = ns < best_ns ? ns : best_ns;
    }
    return n * ms * NS_PER_MS / best_ns;
}

/* A blocking call that nobody announced. */
static int doze_task(void *arg)
{
    (void)arg;
    return nanosleep(&(struct timespec){.tv_nsec = 200 * (long)NS_PER_MS}, NULL);
}

static int hog(void *arg)
{
    static struct ticker ticker;
    bool calls = strcmp(arg, "hogsys") == 0;
    uint64_t work = burn_calibrated(200);
    struct group tickers, hogs;
    char id[32];

    group_open(&tickers, "ticker");
    group_open(&hogs, "hogs");
    MUST(group_go(&tickers, ticker_task, &ticker) == 0);
    (void)task_sleep_ns(5 * NS_PER_MS);
    uint64_t start_ns = clock_mono_ns();
    for (int i = 0; i < HOGS; i++)
        MUST((calls ? group_go(&hogs, doze_task, &work) : group_go(&hogs, burn_task, &work)) ==
             0);
    MUST(group_join(&hogs) == 0);
    (void)snprintf(id, sizeof id, "%s_total_ms", (char *)arg);
    print(id, since(start_ns) / (double)NS_PER_MS, "ms");
    atomic_store(&ticker.stop, true);
    MUST(group_join(&tickers) == 0);
    (void)snprintf(id, sizeof id, "%s_p99_us", (char *)arg);
    print(id, quantile(ticker.late_us, ticker.n, 0.99), "us");
    return 0;
}

/* ---- files and sockets ---- */

#define FILE_BYTES 65536

struct reader {
    const char *path;
    unsigned reps;
};

static int reader_task(void *arg)
{
    struct reader *r = arg;
    char *data = malloc(FILE_BYTES);

    block_enter(BLOCK_FILE);
    int fd = open(r->path, O_RDONLY | O_CLOEXEC);
    block_leave();
    MUST(fd >= 0 && data != NULL);
    for (unsigned i = 0; i < r->reps; i++) {
        block_enter(BLOCK_FILE);
        ssize_t n = pread(fd, data, FILE_BYTES, 0);
        block_leave();
        MUST(n == FILE_BYTES);
    }
    close(fd);
    free(data);
    return 0;
}

static int fileio(void *arg)
{
    char path[] = "/tmp/scheduler_bench.XXXXXX";
    static char data[FILE_BYTES];
    struct reader r = {path, 100 / (unsigned)(scale > 10 ? 10 : scale)};
    int fd = mkstemp(path);
    struct group g;

    (void)arg;
    MUST(fd >= 0 && write(fd, data, sizeof data) == sizeof data);
    close(fd);
    group_open(&g, "readers");
    uint64_t start_ns = clock_mono_ns();
    for (int i = 0; i < 1000; i++)
        MUST(group_go(&g, reader_task, &r) == 0);
    MUST(group_join(&g) == 0);
    double s = since(start_ns) / (double)NS_PER_S;
    struct scheduler_stats stats;
    scheduler_stats(&stats);
    unlink(path);
    print("fileio_kops", 1000 * r.reps / s / 1e3, "k/s");
    print("fileio_threads", (double)stats.threads, "");
    return 0;
}

static int echo_task(void *arg)
{
    struct net *n = arg;
    char data[256];
    ssize_t got;

    while ((got = net_read(n, data, sizeof data, 0)) > 0)
        if (net_write(n, data, (size_t)got, 0) < 0)
            break;
    net_close(n);
    return 0;
}

struct server {
    struct net *listener;
    unsigned accepted;
};

/* Serves until standard input closes; echo_load talks to it from a process of its own. */
static int accept_task(void *arg)
{
    struct server *s = arg;
    struct net *n;
    struct group g;

    group_open(&g, "connections");
    for (;;) {
        int fd = net_accept(s->listener, NULL, NULL, 0);

        if (fd < 0 || net_open(fd, &n) < 0 || group_go_stack(&g, echo_task, n, STACK_SMALL) < 0)
            break;
        s->accepted++;
    }
    (void)group_close(&g);
    return 0;
}

static int echo(void *arg)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct server s = {0};
    struct net *in;
    struct group g;
    char end;

    (void)arg;
    MUST(fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0 && listen(fd, 4096) == 0);
    MUST(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    MUST(net_open(fd, &s.listener) == 0 && net_watch(STDIN_FILENO, &in) == 0);
    double bytes = status_bytes("VmRSS:");
    printf("READY %d\n", ntohs(at.sin_port));
    fflush(stdout);
    group_open(&g, "server");
    MUST(group_go(&g, accept_task, &s) == 0);
    while (net_read(in, &end, 1, 0) > 0)
        continue;
    (void)group_close(&g);
    print("bytes", (status_bytes("VmHWM:") - bytes) / (double)s.accepted, "B");
    net_close(s.listener);
    net_close(in);
    return 0;
}

static const struct work works[] = {
    {"timers_1m", timers, 2}, {"cancel_1m", cancel, 1}, {"inject", inject, 2},
    {"steal", steal, 2},      {"hog", hog, 2},          {"hogsys", hog, 2},
    {"fileio", fileio, 2},    {"echo", echo, 2},
};

int main(int argc, char **argv)
{
    return works_main(argc, argv, works, sizeof works / sizeof *works);
}
