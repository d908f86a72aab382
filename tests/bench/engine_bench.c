/* engine_bench.c: the engine beside its floor, without HTTP. On a store in a scratch folder of
 * TMPDIR, in one run: the rate of fdatasync, durable submissions by 1 and by 64 tasks, batches
 * of 100 by 4 tasks, and jobs that do nothing from submission to end. A line each: bench, id,
 * value, unit, ratio to the floor of the same run. */
#include "base/buf.h"
#include "base/clock.h"
#include "jobs/engine.h"
#include "scheduler/group.h"
#include "scheduler/task.h"
#include "tests/bench/bench.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#define SECONDS 2
#define BATCH_MAX 100
#define HELD "{\"exec\":{\"argv\":[\"true\"]},\"hold\":true}"
#define NOTHING "{\"exec\":{\"argv\":[\"true\"]}}"

static struct engine *engine;
static uint64_t stop_at_ns;
static atomic_ulong submitted;
static double sync_rate;

static void line(const char *id, double value, const char *unit, double ratio)
{
    printf("bench\t%s\t%.1f\t%s\t%.3f\n", id, value, unit, ratio);
}

static void run_nothing(const struct attempt *attempt, struct outcome *ret)
{
    (void)attempt;
    ret->kind = OUTCOME_SUCCEEDED;
}

static const struct kind nothing = {"exec", run_nothing};
static const struct kind *const kinds[KIND_COUNT] = {[KIND_EXEC] = &nothing};

static void bench_sync(const char *folder)
{
    char path[600], block[4096] = {1};
    uint64_t began_ns, n = 0;
    int fd;

    snprintf(path, sizeof path, "%s/sync", folder);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    MUST(fd >= 0);
    for (int i = 0; i < 256; i++)
        MUST(write(fd, block, sizeof block) == sizeof block);
    MUST(fsync(fd) == 0);
    began_ns = clock_mono_ns();
    while (clock_mono_ns() < began_ns + NS_PER_S) {
        MUST(pwrite(fd, block, sizeof block, (off_t)(n++ % 256 * sizeof block)) > 0);
        MUST(fdatasync(fd) == 0);
    }
    close(fd);
    sync_rate = (double)n;
    line("sync", sync_rate, "1/s", 1);
}

struct submitter {
    const char *text;
    size_t batch;
};

static int submit_until(void *arg)
{
    const struct submitter *how = arg;
    struct spec *specs[BATCH_MAX];
    struct spec_fault fault;
    uint64_t id;
    bool replayed;

    while (clock_mono_ns() < stop_at_ns) {
        for (size_t i = 0; i < how->batch; i++)
            MUST(spec_from_text(how->text, strlen(how->text), &specs[i], &fault) == 0);
        MUST(engine_submit(engine, specs, how->batch, NULL, &id, &replayed) == ENGINE_OK);
        atomic_fetch_add(&submitted, how->batch);
    }
    return 0;
}

static double submit_rate(unsigned tasks, struct submitter how)
{
    uint64_t began_ns = clock_mono_ns();
    struct group g;

    atomic_store(&submitted, 0);
    stop_at_ns = began_ns + SECONDS * NS_PER_S;
    group_open(&g, "submitters");
    for (unsigned i = 0; i < tasks; i++)
        MUST(group_go(&g, submit_until, &how) == 0);
    MUST(group_join(&g) == 0);
    return (double)atomic_load(&submitted) * NS_PER_S / (double)(clock_mono_ns() - began_ns);
}

static void bench_submit(const char *id, unsigned tasks, struct submitter how)
{
    struct engine_stats before, after;
    double rate;

    engine_stats(engine, &before);
    rate = submit_rate(tasks, how);
    engine_stats(engine, &after);
    line(id, rate, "jobs/s", rate / sync_rate);
    line("  jobs a commit",
         (double)(after.submitted - before.submitted) /
             (double)(after.commits - before.commits),
         "", 0);
    line("  commit mean",
         (double)(after.commit_ns_total - before.commit_ns_total) / 1000 /
             (double)(after.commits - before.commits),
         "us", 0);
}

static uint64_t ended_now(void)
{
    struct engine_stats stats;

    engine_stats(engine, &stats);
    return stats.counts[JOB_SUCCEEDED];
}

static void bench_through(void)
{
    struct submitter how = {NOTHING, 20};
    uint64_t began = ended_now(), began_ns = clock_mono_ns();

    (void)submit_rate(8, how);
    line("through",
         (double)(ended_now() - began) * NS_PER_S / (double)(clock_mono_ns() - began_ns),
         "jobs/s", 0);
}

static int bench(void *arg)
{
    struct kind_config config = {.state_dir = arg};
    struct engine_options options = {.kinds = &config, .kind_table = kinds, .seed = 1};
    struct group attempts;
    char why[STORE_WHY_BYTES];

    MUST(store_open_sqlite(arg, &options.store, why) == 0);
    group_open(&attempts, "attempts");
    group_policy(&attempts, GROUP_COLLECT);
    MUST(engine_open(&options, &attempts, &engine, why) == 0);
    bench_submit("submit 1", 1, (struct submitter){HELD, 1});
    bench_submit("submit 64", 64, (struct submitter){HELD, 1});
    bench_submit("batches of 100", 4, (struct submitter){HELD, BATCH_MAX});
    bench_through();
    MUST(engine_drain(engine, clock_mono_ns() + 60 * NS_PER_S) == 0);
    engine_close(engine);
    group_close(&attempts);
    store_close(options.store);
    return 0;
}

int main(void)
{
    char folder[512], command[600];
    const char *tmp = getenv("TMPDIR");

    snprintf(folder, sizeof folder, "%s/stint-bench-XXXXXX", tmp ? tmp : "/tmp");
    MUST(mkdtemp(folder) != NULL);
    bench_sync(folder);
    MUST(scheduler_run(NULL, bench, folder) == 0);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : 1;
}
