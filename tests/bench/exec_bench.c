/* exec_bench.c: commands a second through the exec kind, beside a bare spawn-and-wait loop of
 * the same command with as many at once, in one run. Prints "name value unit".
 *
 *     exec_bench [count] [at once] */
#include "base/clock.h"
#include "base/own.h"
#include "jobs/joblog.h"
#include "jobs/kind.h"
#include "jobs/spec.h"
#include "scheduler/group.h"
#include "scheduler/scheduler.h"
#include "tests/bench/bench.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 5
#define COMMAND "/bin/true"

extern char **environ;

struct bench {
    const char *self;
    char dir[64];
    struct kind_config config;
    struct kinds *kinds;
    struct joblogs *logs;
    struct spec *spec;
    unsigned count, at_once;
    _Atomic unsigned next;
};

/* ------------------------------------------------------------------ the floor */

/* One process that keeps at_once children running: no thread stands in its way. */
static double bare_loop(unsigned count, unsigned at_once)
{
    char *const argv[] = {(char *)(uintptr_t)COMMAND, NULL};
    uint64_t start_ns = clock_mono_ns();
    unsigned started = 0, ended = 0;

    while (ended < count) {
        while (started < count && started - ended < at_once) {
            pid_t pid;
            MUST(posix_spawn(&pid, COMMAND, NULL, NULL, argv, environ) == 0);
            started++;
        }
        MUST(waitpid(-1, NULL, 0) > 0);
        ended++;
    }
    return count / ((double)(clock_mono_ns() - start_ns) / 1e9);
}

/* In a process of its own: ours adopts and reaps what it does not know. */
static double bare(const struct bench *b)
{
    char command[300];
    double rate = 0;

    snprintf(command, sizeof command, "exec %s bare %u %u", b->self, b->count, b->at_once);
    FILE *f = popen(command, "re");
    MUST(f && fscanf(f, "%lf", &rate) == 1);
    pclose(f);
    return rate;
}

/* ------------------------------------------------------------------ the kind */

static int one_after_the_other(void *arg)
{
    struct bench *b = arg;
    const _Atomic int64_t grace_ms = -1;
    unsigned i;

    while ((i = b->next++) < b->count) {
        struct job job = {.id = i + 1, .kind = KIND_EXEC, .attempt = 1, .fence = 1};
        struct outcome outcome = {0};
        struct joblog *log;

        MUST(joblog_start(b->logs, job.id, 1, &log) == 0);
        const struct attempt attempt = {.job = &job,
                                        .spec = b->spec,
                                        .log = log,
                                        .config = &b->config,
                                        .stop_grace_ms = &grace_ms,
                                        .kinds = b->kinds};
        kind_exec.run(&attempt, &outcome);
        MUST(outcome.kind == OUTCOME_SUCCEEDED);
        outcome_deinit(&outcome);
        joblog_end(log);
    }
    return 0;
}

static double through_kind(struct bench *b)
{
    struct group g;
    uint64_t start_ns = clock_mono_ns();

    b->next = 0;
    group_open(&g, "bench");
    for (unsigned i = 0; i < b->at_once; i++)
        MUST(group_go_stack(&g, one_after_the_other, b, STACK_LARGE) == 0);
    MUST(group_join(&g) == 0);
    return b->count / ((double)(clock_mono_ns() - start_ns) / 1e9);
}

static void measure(struct bench *b, const char *name)
{
    double floors[ROUNDS], kinds[ROUNDS], ratios[ROUNDS];

    /* In turn, so that the machine's other work falls on both. */
    for (int i = 0; i < ROUNDS; i++) {
        floors[i] = bare(b);
        kinds[i] = through_kind(b);
        ratios[i] = kinds[i] / floors[i];
    }
    printf("exec_bare_%u\t%.0f\t1/s\n", b->at_once, quantile(floors, ROUNDS, 0.5));
    printf("exec_%s_%u\t%.0f\t1/s\n", name, b->at_once, quantile(kinds, ROUNDS, 0.5));
    printf("exec_%s_ratio_%u\t%.2f\tof bare\n", name, b->at_once,
           quantile(ratios, ROUNDS, 0.5));
}

static int run_with(void *arg)
{
    struct bench *b = arg;
    unsigned most = b->at_once;
    struct group g;

    group_open(&g, "kinds");
    MUST(kinds_open(&b->config, &g, &b->kinds) == 0);
    MUST(joblogs_open(b->dir, 0, &b->logs) == 0);
    for (b->at_once = 1; b->at_once <= most; b->at_once *= 4)
        measure(b, b->config.cgroups ? "cgroup" : "proctree");
    b->at_once = most;
    joblogs_close(b->logs);
    kinds_close(b->kinds);
    group_close(&g);
    return 0;
}

int main(int argc, char **argv)
{
    static const char document[] = "{\"exec\":{\"argv\":[\"" COMMAND "\"]}}";
    struct bench b = {.dir = "/tmp/stint-bench-XXXXXX", .count = 1000, .at_once = 4};
    struct spec_fault fault;
    char command[128];

    if (argc == 4 && strcmp(argv[1], "bare") == 0) {
        printf("%f\n", bare_loop((unsigned)strtoul(argv[2], NULL, 10),
                                 (unsigned)strtoul(argv[3], NULL, 10)));
        return 0;
    }
    b.self = argv[0];
    if (argc > 1)
        b.count = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        b.at_once = (unsigned)strtoul(argv[2], NULL, 10);
    MUST(mkdtemp(b.dir));
    MUST(spec_from_text(document, sizeof document - 1, &b.spec, &fault) == 0);
    b.config.state_dir = b.dir;
    for (int i = 0; i < 2; i++) {
        b.config.cgroups = i == 0;
        MUST(scheduler_run(NULL, run_with, &b) == 0);
    }
    spec_free(b.spec);
    snprintf(command, sizeof command, "rm -rf %s", b.dir);
    return system(command) == 0 ? 0 : 1;
}
