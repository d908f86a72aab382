/* http_workers.c: jobs that do nothing, from submission to end: some connections submit them in
 * batches, others lease them in batches and complete them, all over HTTP.
 *
 *   http_workers -to SOCKET-OR-PORT [-submitters 4] [-workers 8] [-batch 1000] [-lease 1000]
 *                [-backlog 4000] [-seconds 2] [-pid PID]
 *
 * Submitters pause while that many have not ended, so that workers wait for jobs rather than
 * jobs for workers. The clock stops when the last job has ended.
 * Prints KEY<TAB>VALUE lines: rate (jobs/s, submitted, leased and done), jobs, leases (jobs of
 * a mean lease), and cpu_s_10k (CPU seconds of the daemon per 10,000 jobs). */
#include "tests/bench/http_bench.h"

#include <pthread.h>
#include <stdatomic.h>

#define CONNECTIONS_MAX 64
#define JOB "{\"worker\":{\"payload\":{\"n\":1}}}"
#define POLL_US 200

static struct {
    const char *to;
    unsigned submitters, workers, batch, lease, backlog;
    double seconds;
    long pid;
} options = {
    .submitters = 4, .workers = 8, .batch = 1000, .lease = 1000, .backlog = 4000, .seconds = 2};

static atomic_ulong submitted, done, leases;
static atomic_uint submitting;
static uint64_t end_at_ns;

static void *submit(void *arg)
{
    struct buf body = BUF_INIT, answer = BUF_INIT;
    int fd = dial(options.to);

    (void)arg;
    for (unsigned i = 0; i < options.batch; i++)
        buf_puts(&body, i > 0 ? "," JOB : "[" JOB);
    buf_putc(&body, ']');
    while (clock_mono_ns() < end_at_ns) {
        if (atomic_load(&submitted) - atomic_load(&done) >= options.backlog) {
            nap_us(POLL_US);
            continue;
        }
        MUST(ask(fd, "POST", "/v1/jobs", buf_str(&body), &answer) == 201);
        atomic_fetch_add(&submitted, options.batch);
    }
    atomic_fetch_sub(&submitting, 1);
    close(fd);
    buf_deinit(&body);
    buf_deinit(&answer);
    return NULL;
}

/* From the leases in text the body that completes them; how many they are. */
static unsigned completion_put(const char *text, struct buf *body)
{
    unsigned count = 0;

    buf_clear(body);
    for (const char *at = text; (at = strstr(at, "{\"id\":")); count++) {
        char *end;
        unsigned long id = strtoul(at + 6, &end, 10), fence = strtoul(end + 9, &end, 10);

        buf_puts(body, count > 0 ? ",{\"id\":" : "[{\"id\":");
        buf_put_u64(body, id);
        buf_puts(body, ",\"fence\":");
        buf_put_u64(body, fence);
        buf_putc(body, '}');
        at = end;
    }
    buf_putc(body, ']');
    return count;
}

static bool work_is_left(void)
{
    return atomic_load(&submitting) > 0 || atomic_load(&done) < atomic_load(&submitted);
}

static void *work(void *arg)
{
    struct buf body = BUF_INIT, answer = BUF_INIT;
    int fd = dial(options.to);
    char want[64];

    (void)arg;
    snprintf(want, sizeof want, "{\"max\":%u}", options.lease);
    while (work_is_left()) {
        unsigned count;

        MUST(ask(fd, "POST", "/v1/leases?wait=100ms", want, &answer) == 200);
        count = completion_put(buf_str(&answer), &body);
        if (count == 0)
            continue;
        MUST(ask(fd, "POST", "/v1/leases/complete", buf_str(&body), &answer) == 200);
        MUST(!strstr(buf_str(&answer), "\"error\""));
        atomic_fetch_add(&done, count);
        atomic_fetch_add(&leases, 1);
    }
    close(fd);
    buf_deinit(&body);
    buf_deinit(&answer);
    return NULL;
}

static void measure(void)
{
    pthread_t threads[CONNECTIONS_MAX];
    unsigned count = options.submitters + options.workers;
    double cpu = options.pid ? cpu_of(options.pid) : 0, jobs;
    uint64_t start_ns = clock_mono_ns();

    end_at_ns = start_ns + (uint64_t)(options.seconds * 1e9);
    atomic_store(&submitting, options.submitters);
    for (unsigned i = 0; i < count; i++)
        MUST(pthread_create(&threads[i], NULL, i < options.submitters ? submit : work, NULL) ==
             0);
    for (unsigned i = 0; i < count; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    jobs = (double)atomic_load(&done);
    MUST(atomic_load(&done) == atomic_load(&submitted));
    say("rate", jobs / since_s(start_ns));
    say("jobs", jobs);
    say("leases", jobs / (double)atomic_load(&leases));
    if (options.pid)
        say("cpu_s_10k", (cpu_of(options.pid) - cpu) / jobs * 1e4);
}

static int usage(void)
{
    fprintf(stderr, "usage: http_workers -to SOCKET-OR-PORT [-submitters N] [-workers N] "
                    "[-batch N] [-lease N] [-backlog N] [-seconds S] [-pid PID]\n");
    return 2;
}

static bool option_take(const char *flag, const char *value)
{
    const struct {
        const char *flag;
        unsigned *number;
    } numbers[] = {{"-submitters", &options.submitters},
                   {"-workers", &options.workers},
                   {"-batch", &options.batch},
                   {"-lease", &options.lease},
                   {"-backlog", &options.backlog}};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(flag, numbers[i].flag) == 0) {
            *numbers[i].number = (unsigned)atoi(value);
            return *numbers[i].number > 0;
        }
    }
    if (strcmp(flag, "-to") == 0)
        options.to = value;
    else if (strcmp(flag, "-seconds") == 0)
        options.seconds = atof(value);
    else if (strcmp(flag, "-pid") == 0)
        options.pid = atol(value);
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 >= argc || !option_take(argv[i], argv[i + 1]))
            return usage();
    }
    if (!options.to || options.submitters + options.workers > CONNECTIONS_MAX)
        return usage();
    measure();
    return 0;
}
