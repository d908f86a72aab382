/* core_bench.c: what the core alone holds and takes while a million jobs wait, without keys and
 * with a key each: the rate of submissions and the worst round of them, the bytes of a job as
 * the core counts them and as the kernel does, what it takes to end a job and begin the next
 * one, the worst round while all drain, and what of the memory is left after it.
 *
 *   core_bench [-jobs 1000000]
 *
 * A line each: bench, id, value, unit, and the ratio to the same with a thousand jobs or to the
 * bound. */
#include "jobs/core.h"
#include "tests/bench/bench.h"

#include <malloc.h>

#define ROUND 100
#define TAKES 2001
#define SMALL 1000

static uint64_t jobs_max = 1000000;
static struct core *core;
static struct core_update *update;
static uint64_t running[ROUND]; /* jobs */
static unsigned running_len;

static void line(const char *what, const char *id, double value, const char *unit, double ratio)
{
    printf("bench\t%s%s\t%.2f\t%s\t%.3f\n", what, id, value, unit, ratio);
    fflush(stdout);
}

static void keep(void)
{
    MUST(core_rows(core, update) == 0);
    core_keep(core, update);
}

static void submit(uint64_t n, bool keys)
{
    static struct job jobs[ROUND];
    static struct core_submission items[ROUND];
    static char names[ROUND][24];
    struct core_input in = {.kind = INPUT_SUBMIT, .submit = {items, ROUND, 0}};

    for (unsigned i = 0; i < ROUND; i++) {
        snprintf(names[i], sizeof names[i], "customer%08llu",
                 (unsigned long long)(n + i) % 100000000);
        jobs[i] = (struct job){
            .kind = KIND_EXEC, .queue = (char *)"q", .key = keys ? names[i] : NULL};
        items[i] = (struct core_submission){.job = &jobs[i]};
    }
    MUST(core_step(core, &in, 1, update) == CORE_OK);
    keep();
}

static void end(uint64_t id)
{
    static const struct outcome good = {.kind = OUTCOME_SUCCEEDED};
    static const struct retry_spec once = {.max_attempts = 1};
    struct core_input in = {.kind = INPUT_FINISHED, .finished = {id, 1, &good, &once}};

    MUST(core_step(core, &in, 1, update) == CORE_OK);
}

static void begin(void)
{
    const struct core_action *actions;
    size_t count;

    MUST(core_start(core, 1, update) == 0);
    actions = core_actions(update, &count);
    for (size_t i = 0; i < count; i++) {
        if (actions[i].kind == ACTION_START)
            running[running_len++] = actions[i].id;
    }
    keep();
}

static void begin_at_once(unsigned count)
{
    struct core_limits limits = {.running_max = count, .kind_max = {[KIND_EXEC] = count}};

    core_set_limits(core, &limits);
    begin();
}

static double fill(uint64_t count, bool keys)
{
    double worst = 0;

    for (uint64_t n = 0; n < count; n += ROUND) {
        uint64_t began_ns = clock_mono_ns();

        submit(n, keys);
        if (since(began_ns) > worst)
            worst = since(began_ns);
    }
    return worst;
}

/* One ends, the next begins, and nobody keeps it. */
static double take_ns(void)
{
    static double times[TAKES];

    for (int i = 0; i < TAKES; i++) {
        uint64_t began_ns = clock_mono_ns();

        end(running[0]);
        MUST(core_start(core, 1, update) == 0);
        MUST(core_rows(core, update) == 0);
        core_undo(core, update);
        times[i] = since(began_ns);
    }
    return quantile(times, TAKES, 0.5);
}

/* All that run end, as many begin. */
static double drain(uint64_t *ret_count)
{
    double worst = 0;

    for (*ret_count = 0; running_len > 0;) {
        uint64_t began_ns = clock_mono_ns();

        *ret_count += running_len;
        while (running_len > 0)
            end(running[--running_len]);
        begin();
        if (since(began_ns) > worst)
            worst = since(began_ns);
    }
    return worst;
}

static void make(uint64_t count, bool keys, double *ret_worst)
{
    MUST(core_new(&(struct core_limits){.running_max = 0}, 1, 1, &core) == 0);
    MUST(core_update_new(&update) == 0);
    *ret_worst = fill(count, keys);
    running_len = 0;
}

static void unmake(void)
{
    core_update_free(update);
    core_free(core);
}

static void measure(const char *what, bool keys)
{
    double small_ns, ns, worst, rss = status_bytes("RssAnon:"), full, n = (double)jobs_max;
    uint64_t began_ns, drained;

    make(SMALL, keys, &worst);
    begin_at_once(1);
    small_ns = take_ns();
    unmake();
    began_ns = clock_mono_ns();
    make(jobs_max, keys, &worst);
    ns = since(began_ns);
    full = status_bytes("RssAnon:") - rss;
    line(what, "submit", n * NS_PER_S / ns, "jobs/s", 0);
    line(what, "submit_worst_round", worst / 1e6, "ms", worst / 5e6);
    line(what, "waiting_job", (double)core_bytes(core) / n, "bytes",
         (double)core_bytes(core) / n / 100);
    line(what, "waiting_job_rss", full / n, "bytes", full / n / 100);
    begin_at_once(1);
    ns = take_ns();
    line(what, "take", ns / 1e3, "us", ns / small_ns);
    begin_at_once(ROUND);
    began_ns = clock_mono_ns();
    worst = drain(&drained);
    line(what, "drain", n * NS_PER_S / since(began_ns), "jobs/s", 0);
    line(what, "drain_worst_round", worst / 1e6, "ms", worst / 5e6);
    MUST(drained == jobs_max && core_waiting(core) == 0);
    line(what, "drained_rss", (status_bytes("RssAnon:") - rss) / 1e6, "MB",
         (status_bytes("RssAnon:") - rss) / full);
    unmake();
    malloc_trim(0);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "-jobs") == 0) {
        jobs_max = strtoull(argv[2], NULL, 10) / ROUND * ROUND;
    } else if (argc != 1) {
        fprintf(stderr, "usage: core_bench [-jobs N]\n");
        return 2;
    }
    measure("plain_", false);
    measure("keyed_", true);
    return 0;
}
