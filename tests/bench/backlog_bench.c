/* backlog_bench.c: what a long backlog and a long history cost. It fills a store with waiting
 * and with ended jobs through the store's seam, puts a store with a thousand jobs beside it,
 * and measures both in turn, so that each pair sees the same disk and the same neighbours.
 *
 *   backlog_bench [-quick] [-keys] [-waiting 1000000] [-done 10000000] [-seconds 20]
 *
 * With -keys each waiting job has a key of its own, else one in ten has one of a thousand.
 * Prints lines: bench, id, value, unit, ratio to the small store or to the bound. The stores
 * lie in a scratch folder of TMPDIR (about 6 GB for ten million) and are gone at the end. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "jobs/commit.h"
#include "jobs/engine_admin.h"
#include "scheduler/group.h"
#include "scheduler/task.h"
#include "tests/bench/bench.h"

#include <malloc.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BATCH 10000
#define QUEUES 10
#define KEYS 1000
#define SMALL 1000
#define ROUNDS 301
#define PAGE 100
#define BEGAN_MS INT64_C(1700000000000)
#define HELD "{\"exec\":{\"argv\":[\"true\"]},\"hold\":true}"

static struct {
    uint64_t waiting, done;
    unsigned seconds;
    bool keys;
} options = {1000000, 10000000, 20, false};

static void line(const char *id, double value, const char *unit, double ratio)
{
    printf("bench\t%s\t%.3f\t%s\t%.3f\n", id, value, unit, ratio);
    fflush(stdout);
}

/* ----- filling ----- */

static char queue_names[QUEUES][8], key_names[KEYS][16];
static uint64_t ended_of[QUEUES]; /* in the store that is filled */

static void names_make(void)
{
    for (int i = 0; i < QUEUES; i++)
        snprintf(queue_names[i], sizeof queue_names[i], "q%d", i);
    for (int i = 0; i < KEYS; i++)
        snprintf(key_names[i], sizeof key_names[i], "customer-%d", i);
}

static const char *key_of(uint64_t id, enum job_state state)
{
    static char own[BATCH][24];
    char *key = own[id % BATCH];

    if (!options.keys || job_state_is_final(state))
        return id % 10 == 7 ? key_names[id / 10 % KEYS] : NULL;
    snprintf(key, sizeof own[0], "customer%08llu", (unsigned long long)id);
    return key;
}

static struct job job_of(uint64_t id, enum job_state state, char spec[160])
{
    const char *queue = queue_names[id % QUEUES];
    const char *key = key_of(id, state);
    struct job job = {.id = id,
                      .kind = KIND_EXEC,
                      .state = state,
                      .queue = (char *)queue,
                      .key = (char *)key,
                      .spec = spec,
                      .created_at_ms = BEGAN_MS + (int64_t)id,
                      .run_at_ms = BEGAN_MS + (int64_t)id};

    snprintf(spec, 160,
             "{\"exec\":{\"argv\":[\"convert\",\"in-%llu.png\",\"out.jpg\"]},\"queue\":\"%s\"%"
             "s%s%s}",
             (unsigned long long)id, queue, key ? ",\"key\":\"" : "", key ? key : "",
             key ? "\"" : "");
    if (job_state_is_final(state)) {
        job.attempt = job.fence = 1;
        job.started_at_ms = job.finished_at_ms = job.run_at_ms;
        job.result = (char *)"{\"exit_code\":0,\"cpu_seconds\":0.012}";
        ended_of[id % QUEUES]++;
    }
    return job;
}

/* One in a hundred has failed. */
static enum job_state ended_state(uint64_t id)
{
    return id % 100 == 7 ? JOB_FAILED : JOB_SUCCEEDED;
}

static void fill(struct store *store, uint64_t first, uint64_t count, bool ended)
{
    static struct job jobs[BATCH];
    static struct attempt_record attempts[BATCH];
    static struct change changes[BATCH * 2];
    static char specs[BATCH][160];

    for (uint64_t done = 0; done < count; done += BATCH) {
        size_t n = count - done < BATCH ? count - done : BATCH, len = 0;

        for (size_t i = 0; i < n; i++) {
            uint64_t id = first + done + i;

            jobs[i] = job_of(id, ended ? ended_state(id) : JOB_QUEUED, specs[i]);
            changes[len++] = (struct change){.kind = CHANGE_JOB_INSERT, .job = &jobs[i]};
            if (!ended)
                continue;
            attempts[i] = (struct attempt_record){.job_id = id,
                                                  .fence = 1,
                                                  .attempt = 1,
                                                  .started_at_ms = jobs[i].run_at_ms,
                                                  .finished_at_ms = jobs[i].run_at_ms,
                                                  .state = jobs[i].state,
                                                  .result = jobs[i].result};
            changes[len++] = (struct change){.kind = CHANGE_ATTEMPT, .attempt = &attempts[i]};
        }
        MUST(store_commit(store, changes, len, false) == 0);
        store_tend(store);
    }
}

static void queues_put(struct store *store, bool paused)
{
    struct queue_record records[QUEUES];
    struct change changes[QUEUES];

    for (int i = 0; i < QUEUES; i++) {
        records[i] = (struct queue_record){.name = queue_names[i], .paused = paused};
        records[i].finished[JOB_SUCCEEDED] = ended_of[i];
        changes[i] = (struct change){.kind = CHANGE_QUEUE_PUT, .queue = &records[i]};
    }
    MUST(store_commit(store, changes, QUEUES, true) == 0);
}

static struct store *store_open_in(const char *folder, const char *name)
{
    char path[600], why[STORE_WHY_BYTES];
    struct store *store;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    MUST(mkdir(path, 0700) == 0);
    MUST(store_open_sqlite(path, &store, why) == 0);
    return store;
}

static double file_bytes(struct store *store)
{
    struct store_info info;

    store_settle(store, 0);
    store_info(store, &info);
    return (double)info.file_bytes;
}

/* ----- two stores in turn ----- */

struct side {
    struct store *store;
    struct commit *commit;
    struct store_reader *reader;
    struct core_update *update;
    uint64_t running; /* the job that runs */
    double times[ROUNDS];
};

/* The time of fn on both, round by round in turn; prints the median of the full one. */
static void compare_sides(const char *id, struct side *small, struct side *full,
                          void (*fn)(struct side *side, const void *arg), const void *arg)
{
    double there, here;

    for (int i = 0; i < ROUNDS; i++) {
        struct side *sides[] = {small, full};

        for (int k = 0; k < 2; k++) {
            uint64_t began_ns = clock_mono_ns();

            fn(sides[k], arg);
            sides[k]->times[i] = since(began_ns);
        }
    }
    there = quantile(small->times, ROUNDS, 0.5);
    here = quantile(full->times, ROUNDS, 0.5);
    line(id, here / 1000, "us", here / there);
}

static const struct outcome good = {.kind = OUTCOME_SUCCEEDED};
static const struct retry_spec once = {.max_attempts = 1};

static struct core_input end_of(const struct side *side)
{
    return (struct core_input){.kind = INPUT_FINISHED,
                               .finished = {side->running, 1, &good, &once}};
}

static void took(struct side *side)
{
    size_t count;
    const struct core_action *actions = commit_actions(side->commit, &count);

    for (size_t i = 0; i < count; i++) {
        if (actions[i].kind == ACTION_START)
            side->running = actions[i].id;
    }
}

/* What runs ends, the next one starts, and nobody stores it. */
static void take_core(struct side *side, const void *arg)
{
    struct core *core = commit_core(side->commit);
    struct core_input in = end_of(side);

    (void)arg;
    MUST(core_step(core, &in, BEGAN_MS, side->update) == CORE_OK);
    MUST(core_start(core, BEGAN_MS, side->update) == 0);
    MUST(core_rows(core, side->update) == 0);
    core_undo(core, side->update);
}

/* The same, stored and synced. */
static void take_stored(struct side *side, const void *arg)
{
    struct commit_item item = {.input = end_of(side)}, *items[] = {&item};
    struct list nobody = LIST_INIT(nobody);

    (void)arg;
    MUST(commit_round(side->commit, items, 1, &nobody, BEGAN_MS) == 0);
    MUST(item.answer == CORE_OK);
    took(side);
}

static int see(void *ctx, const struct job *job)
{
    *(uint64_t *)ctx += job->id;
    return 0;
}

static void list_page(struct side *side, const void *arg)
{
    uint64_t seen = 0, next;

    MUST(store_job_list(side->reader, arg, see, &seen, &next) == 0 && seen > 0);
}

static void count_all(struct side *side, const void *arg)
{
    const struct core *core = commit_core(side->commit);
    struct core_queue q;
    uint64_t seen = core_counts(core)[JOB_QUEUED];
    size_t pos = 0;

    (void)arg;
    while (core_queue_next(core, &pos, &q))
        seen += q.counts[JOB_QUEUED] + (uint64_t)q.oldest_at_ms;
    MUST(seen > 0);
}

static void side_open(struct side *side, struct store *store)
{
    struct commit_options how = {
        .store = store,
        .limits = {.running_max = 1, .kind_max = {[KIND_EXEC] = 1}, .crashes_max = 3},
        .epoch = 1,
        .seed = 1};
    struct list nobody = LIST_INIT(nobody);
    uint64_t refused;

    *side = (struct side){.store = store};
    MUST(commit_open(&how, &side->commit, &refused) == 0 && refused == 0);
    MUST(store_reader_open(store, &side->reader) == 0);
    MUST(core_update_new(&side->update) == 0);
    MUST(commit_round(side->commit, NULL, 0, &nobody, BEGAN_MS) == 0);
    took(side);
    MUST(side->running != 0);
}

static void side_close(struct side *side)
{
    core_update_free(side->update);
    store_reader_close(side->reader);
    commit_close(side->commit);
}

static void compare_lists(struct side *small, struct side *full)
{
    static const struct {
        const char *id;
        struct job_filter filter;
    } lists[] = {
        {"list_newest", {.limit = PAGE}},
        {"list_queue", {.limit = PAGE, .queue = "q3"}},
        {"list_key", {.limit = 1, .key = "customer-17"}},
        {"list_queued", {.limit = PAGE, .states = 1u << JOB_QUEUED}},
        {"list_running", {.limit = PAGE, .states = 1u << JOB_RUNNING}},
        {"list_queue_queued", {.limit = PAGE, .queue = "q3", .states = 1u << JOB_QUEUED}},
    };

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        compare_sides(lists[i].id, small, full, list_page, &lists[i].filter);
}

static double own_cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void compare_stores(struct store *small_store, struct store *full_store)
{
    struct side small, full;
    uint64_t began_ns = clock_mono_ns();
    double heap, cpu_ms;

    side_open(&small, small_store);
    malloc_trim(0);
    heap = status_bytes("RssAnon:");
    began_ns = clock_mono_ns();
    cpu_ms = own_cpu_ms();
    side_open(&full, full_store);
    cpu_ms = own_cpu_ms() - cpu_ms;
    line("load_ms", since(began_ns) / 1e6, "ms", since(began_ns) / 3e9);
    line("load_cpu_ms", cpu_ms, "ms", cpu_ms / 3e3); /* without the neighbours */
    malloc_trim(0);                                  /* what the load took for a while */
    heap = (status_bytes("RssAnon:") - heap) / (double)options.waiting;
    line("waiting_job_bytes", heap, "bytes", heap / 100);
    compare_sides("take_core", &small, &full, take_core, NULL);
    compare_sides("take_stored", &small, &full, take_stored, NULL);
    compare_sides("count", &small, &full, count_all, NULL);
    compare_lists(&small, &full);
    side_close(&small);
    side_close(&full);
}

/* ----- retention beside submissions ----- */

static struct engine *engine;

static void run_nothing(const struct attempt *attempt, struct outcome *ret)
{
    (void)attempt;
    ret->kind = OUTCOME_SUCCEEDED;
}

static const struct kind nothing = {"exec", run_nothing};
static const struct kind *const kinds[KIND_COUNT] = {[KIND_EXEC] = &nothing};

#define SUBMISSIONS_MAX 200000

/* One at a time, a millisecond apart. */
static double submit_for(const char *what, unsigned seconds)
{
    static double times[SUBMISSIONS_MAX];
    uint64_t stop_ns = clock_mono_ns() + seconds * NS_PER_S, removed = engine_removed(engine);
    size_t count = 0;
    char id[64];

    while (clock_mono_ns() < stop_ns && count < SUBMISSIONS_MAX) {
        uint64_t began_ns = clock_mono_ns(), first;
        struct spec_fault fault;
        struct spec *spec;
        bool replayed;

        MUST(spec_from_text(HELD, strlen(HELD), &spec, &fault) == 0);
        MUST(engine_submit(engine, &spec, 1, NULL, &first, &replayed) == ENGINE_OK);
        times[count++] = since(began_ns);
        task_sleep_ns(NS_PER_MS);
    }
    double p50 = quantile(times, count, 0.5), p99 = quantile(times, count, 0.99);

    snprintf(id, sizeof id, "submit_%s_p50_us", what);
    line(id, p50 / 1000, "us", 0);
    snprintf(id, sizeof id, "submit_%s_p99_us", what);
    line(id, p99 / 1000, "us", 0);
    snprintf(id, sizeof id, "submit_%s_max_us", what);
    line(id, times[count - 1] / 1000, "us", 0);
    snprintf(id, sizeof id, "submit_%s_removed", what);
    line(id, (double)(engine_removed(engine) - removed) / seconds, "jobs/s", 0);
    return p99;
}

static double wait_removed(uint64_t count)
{
    uint64_t began_ns = clock_mono_ns(), began = engine_removed(engine);

    while (engine_removed(engine) < began + count &&
           since(began_ns) < options.seconds * (double)NS_PER_S)
        task_sleep_ns(10 * NS_PER_MS);
    return (double)(engine_removed(engine) - began) * 1e9 / since(began_ns);
}

/* keeps all but the oldest tenth */
static void keep_set(uint64_t oldest)
{
    struct keep_settings keep = {{0}};

    keep.keep_ms[JOB_SUCCEEDED] = clock_wall_ms() - (BEGAN_MS + (int64_t)oldest);
    engine_keep(engine, &keep);
}

static int measure_engine(void *arg)
{
    const char *folder = arg;
    struct kind_config config = {.state_dir = folder};
    struct engine_options how = {.kinds = &config, .kind_table = kinds, .seed = 1};
    struct group attempts;
    char why[STORE_WHY_BYTES];
    uint64_t began_ns = clock_mono_ns();
    struct store_info before, after;
    double alone, beside;

    MUST(store_open_sqlite(folder, &how.store, why) == 0);
    group_open(&attempts, "attempts");
    group_policy(&attempts, GROUP_COLLECT);
    MUST(engine_open(&how, &attempts, &engine, why) == 0);
    line("start_ms", since(began_ns) / 1e6, "ms", since(began_ns) / 3e9);
    alone = submit_for("alone", options.seconds / 2);
    keep_set(options.done / 2);
    beside = submit_for("beside_retention", options.seconds);
    line("retention_holds_up_p99", (beside - alone) / 1e3, "us", (beside - alone) / 2e7);
    line("retention_slowest_batch", (double)engine_removed_slowest_ns(engine) / 1e6, "ms",
         (double)engine_removed_slowest_ns(engine) / 20e6);
    line("retention_idle", wait_removed(options.done / 10), "jobs/s", 0);
    keep_set(0);
    store_info(how.store, &before);
    MUST(engine_drain(engine, clock_mono_ns() + 60 * NS_PER_S) == 0);
    uint64_t removed = engine_removed(engine);
    engine_close(engine);
    group_close(&attempts);
    fill(how.store, store_max_id(how.store) + 1, removed, true);
    store_tend(how.store);
    store_info(how.store, &after);
    line("file_after_as_many_new", (double)after.file_bytes / 1e6, "MB",
         (double)after.file_bytes / (double)before.file_bytes);
    store_close(how.store);
    return 0;
}

/* ----- all ----- */

static void fill_all(struct store *small, struct store *full)
{
    uint64_t began_ns;
    double empty = file_bytes(full), ended;

    fill(small, 1, SMALL, false);
    queues_put(small, false);
    memset(ended_of, 0, sizeof ended_of);
    began_ns = clock_mono_ns();
    fill(full, 1, options.done, true);
    line("fill_ended", (double)options.done * 1e9 / since(began_ns), "jobs/s", 0);
    ended = file_bytes(full);
    line("ended_job_disk", (ended - empty) / (double)options.done, "bytes",
         (ended - empty) / (double)options.done / 600);
    fill(full, options.done + 1, options.waiting, false);
    line("waiting_job_disk", (file_bytes(full) - ended) / (double)options.waiting, "bytes",
         (file_bytes(full) - ended) / (double)options.waiting / 600);
    queues_put(full, false);
}

static bool read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-quick") == 0) {
            options.waiting /= 10;
            options.done /= 20;
            options.seconds /= 4;
        } else if (strcmp(argv[i], "-keys") == 0) {
            options.keys = true;
        } else if (strcmp(argv[i], "-waiting") == 0 && i + 1 < argc) {
            options.waiting = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "-done") == 0 && i + 1 < argc) {
            options.done = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "-seconds") == 0 && i + 1 < argc) {
            options.seconds = (unsigned)atoi(argv[++i]);
        } else {
            return false;
        }
    }
    return options.waiting >= SMALL && options.done >= SMALL && options.seconds >= 2;
}

int main(int argc, char **argv)
{
    char folder[512], path[600], command[600];
    const char *tmp = getenv("TMPDIR");
    struct store *small, *full;

    if (!read_options(argc, argv)) {
        fprintf(stderr,
                "usage: backlog_bench [-quick] [-keys] [-waiting N] [-done N] [-seconds N]\n");
        return 2;
    }
    snprintf(folder, sizeof folder, "%s/stint-backlog-XXXXXX", tmp ? tmp : "/tmp");
    MUST(mkdtemp(folder) != NULL);
    names_make();
    small = store_open_in(folder, "small");
    full = store_open_in(folder, "full");
    fill_all(small, full);
    compare_stores(small, full);
    queues_put(full, true);
    store_close(small);
    store_close(full);
    snprintf(path, sizeof path, "%s/full", folder);
    MUST(scheduler_run(NULL, measure_engine, path) == 0);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : 1;
}
