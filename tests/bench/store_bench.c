/* store_bench: rows a second through the store, beside what the machine and bare SQLite reach
 * with the same payload, batch size and durability in the same run.
 *
 *     store_bench [-quick] [-dir DIR] [-backlog N]
 *
 * A line is "bench<TAB>id<TAB>value<TAB>unit<TAB>ratio to the floor" (- where there is none). A
 * figure is the median of rounds; rounds of the store and of its floor take turns, so that a
 * noisy neighbour meets both. -backlog N: also how an N times larger backlog and history change
 * the times of reading. */
#include "storage/store.h"

#include "base/clock.h"

#include <fcntl.h>
#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS 5
#define ROUND_NS (400 * NS_PER_MS)
#define BATCH_MAX 1000
#define SYNC_BYTES 12360 /* three pages and their headers: what a single submission writes */
#define SYNC_FILE_RECORDS 600
#define PATH_BYTES 256

#define MUST(x)                                                                                \
    do {                                                                                       \
        if (!(x)) {                                                                            \
            fprintf(stderr, "store_bench:%d: %s\n", __LINE__, #x);                             \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

static char dir[PATH_BYTES];
static uint64_t round_ns = ROUND_NS;

static char queue_name[] = "default";
static char document[] =
    "{\"exec\":{\"argv\":[\"convert\",\"in.png\",\"out.jpg\"],\"cwd\":\"/srv/"
    "img\"},\"name\":\"thumb\",\"timeout\":\"5m\",\"x\":\"0123456789\"}";
static char outcome[] = "{\"exit_code\":0,\"max_rss_bytes\":1048576,\"cpu_seconds\":0.001}";

static void report(const char *id, double value, const char *unit, double floor)
{
    if (floor > 0)
        printf("bench\t%s\t%.1f\t%s\t%.3f\n", id, value, unit, value / floor);
    else
        printf("bench\t%s\t%.1f\t%s\t-\n", id, value, unit);
    fflush(stdout);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

static double cpu_s(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static double per_s(uint64_t count, uint64_t start_ns)
{
    return (double)count * 1e9 / (double)(clock_mono_ns() - start_ns);
}

/* --- floors --- */

/* Syncs a second of writing a small record over bytes that exist. */
static double sync_round(void)
{
    static char record[SYNC_BYTES];
    char path[PATH_BYTES + 16];

    snprintf(path, sizeof path, "%s/sync", dir);

    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    MUST(fd >= 0);
    for (int i = 0; i < SYNC_FILE_RECORDS; i++)
        MUST(write(fd, record, sizeof record) == SYNC_BYTES);
    MUST(fsync(fd) == 0);

    uint64_t start = clock_mono_ns(), count = 0;

    for (; clock_mono_ns() - start < round_ns; count++) {
        off_t at = (off_t)(count % SYNC_FILE_RECORDS) * SYNC_BYTES;

        MUST(pwrite(fd, record, sizeof record, at) == SYNC_BYTES);
        MUST(fdatasync(fd) == 0);
    }

    double rate = per_s(count, start);

    close(fd);
    return rate;
}

struct bare {
    sqlite3 *db;
    sqlite3_stmt *begin, *insert, *commit;
    int64_t id;
};

static sqlite3_stmt *bare_prepare(struct bare *b, const char *sql)
{
    sqlite3_stmt *stmt = NULL;

    MUST(sqlite3_prepare_v2(b->db, sql, -1, &stmt, NULL) == SQLITE_OK);
    return stmt;
}

static void bare_open(struct bare *b)
{
    char path[PATH_BYTES + 16];

    snprintf(path, sizeof path, "%s/bare.db", dir);
    MUST(sqlite3_open(path, &b->db) == SQLITE_OK);
    MUST(sqlite3_exec(b->db,
                      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                      "PRAGMA wal_autocheckpoint=6000;"
                      "CREATE TABLE t(id INTEGER PRIMARY KEY, spec TEXT)",
                      NULL, NULL, NULL) == SQLITE_OK);
    b->begin = bare_prepare(b, "BEGIN IMMEDIATE");
    b->insert = bare_prepare(b, "INSERT INTO t VALUES(?,?)");
    b->commit = bare_prepare(b, "COMMIT");
}

static void bare_step(sqlite3_stmt *stmt)
{
    MUST(sqlite3_step(stmt) == SQLITE_DONE);
    sqlite3_reset(stmt);
}

static double bare_round(struct bare *b, size_t batch)
{
    uint64_t start = clock_mono_ns(), count = 0;

    while (clock_mono_ns() - start < round_ns) {
        bare_step(b->begin);
        for (size_t i = 0; i < batch; i++) {
            sqlite3_bind_int64(b->insert, 1, ++b->id);
            sqlite3_bind_text(b->insert, 2, document, sizeof document - 1, SQLITE_STATIC);
            bare_step(b->insert);
        }
        bare_step(b->commit);
        count += batch;
    }
    return per_s(count, start);
}

/* --- the store --- */

struct bench {
    struct store *store;
    uint64_t last_id;  /* inserted */
    uint64_t begun_id; /* all up to it have run */
    struct job jobs[BATCH_MAX];
    struct attempt_record attempts[BATCH_MAX];
    struct change changes[2 * BATCH_MAX];
};

static struct job new_job(uint64_t id)
{
    return (struct job){.id = id,
                        .kind = KIND_EXEC,
                        .state = JOB_QUEUED,
                        .created_at_ms = 1795500000000 + (int64_t)id,
                        .run_at_ms = 1795500000000 + (int64_t)id,
                        .queue = queue_name,
                        .spec = document};
}

static double insert_round(struct bench *b, size_t batch, bool sync)
{
    uint64_t start = clock_mono_ns(), count = 0;

    while (clock_mono_ns() - start < round_ns) {
        for (size_t i = 0; i < batch; i++) {
            b->jobs[i] = new_job(++b->last_id);
            b->changes[i] = (struct change){.kind = CHANGE_JOB_INSERT, .job = &b->jobs[i]};
        }
        MUST(store_commit(b->store, b->changes, batch, sync) == 0);
        count += batch;
    }
    return per_s(count, start);
}

static void start_batch(struct bench *b, size_t batch)
{
    for (size_t i = 0; i < batch; i++) {
        struct job *job = &b->jobs[i];

        *job = new_job(b->begun_id + 1 + i);
        job->spec = NULL;
        job->state = JOB_RUNNING;
        job->attempt = job->fence = 1;
        job->epoch = 3;
        job->started_at_ms = job->created_at_ms + 5;
        b->changes[i] = (struct change){.kind = CHANGE_JOB_UPDATE, .job = job};
    }
    MUST(store_commit(b->store, b->changes, batch, true) == 0);
}

static void end_batch(struct bench *b, size_t batch)
{
    for (size_t i = 0; i < batch; i++) {
        struct job *job = &b->jobs[i];

        job->state = JOB_SUCCEEDED;
        job->epoch = 0;
        job->finished_at_ms = job->started_at_ms + 1;
        job->result = outcome;
        b->attempts[i] = (struct attempt_record){.job_id = job->id,
                                                 .fence = 1,
                                                 .attempt = 1,
                                                 .started_at_ms = job->started_at_ms,
                                                 .finished_at_ms = job->finished_at_ms,
                                                 .state = JOB_SUCCEEDED};
        b->changes[2 * i] = (struct change){.kind = CHANGE_JOB_UPDATE, .job = job};
        b->changes[2 * i + 1] =
            (struct change){.kind = CHANGE_ATTEMPT, .attempt = &b->attempts[i]};
    }
    MUST(store_commit(b->store, b->changes, 2 * batch, true) == 0);
}

/* Jobs that wait go through running to succeeded, with their attempt: two commits a batch. */
static double life_round(struct bench *b, size_t batch)
{
    uint64_t start = clock_mono_ns(), count = 0;

    while (clock_mono_ns() - start < round_ns && b->begun_id + batch <= b->last_id) {
        start_batch(b, batch);
        end_batch(b, batch);
        b->begun_id += batch;
        count += batch;
    }
    return per_s(count, start);
}

/* As retention does: what ended first goes first. */
static double delete_round(struct bench *b, size_t batch)
{
    uint64_t start = clock_mono_ns(), count = 0;

    while (clock_mono_ns() - start < round_ns && count + batch <= b->begun_id) {
        for (size_t i = 0; i < batch; i++)
            b->changes[i] = (struct change){.kind = CHANGE_JOB_DELETE, .id = ++count};
        MUST(store_commit(b->store, b->changes, batch, true) == 0);
    }
    return per_s(count, start);
}

static struct store *bench_open(void)
{
    struct store *store = NULL;
    char why[STORE_WHY_BYTES];

    if (store_open_sqlite(dir, &store, why) != 0) {
        fprintf(stderr, "store_bench: %s\n", why);
        exit(1);
    }
    return store;
}

/* As the engine does when nothing waits; a daemon is idle before its first submission. */
static void idle(struct bench *b)
{
    MUST(insert_round(b, 1, false) > 0);
    store_tend(b->store);
}

static void bench_inserts(struct bench *b, double syncs)
{
    static const size_t batches[] = {1, 10, 100, 1000};
    struct bare bare = {.id = 0};

    bare_open(&bare);
    for (size_t k = 0; k < sizeof batches / sizeof *batches; k++) {
        double ours[ROUNDS], floors[ROUNDS];
        char id[64];

        for (int i = 0; i < ROUNDS; i++) {
            floors[i] = bare_round(&bare, batches[k]);
            ours[i] = insert_round(b, batches[k], true);
        }

        double floor = median(floors, ROUNDS), rate = median(ours, ROUNDS);

        snprintf(id, sizeof id, "bare_sqlite_%zu", batches[k]);
        report(id, floor, "rows/s", batches[k] == 1 ? syncs : 0);
        snprintf(id, sizeof id, "store_insert_%zu", batches[k]);
        report(id, rate, "jobs/s", floor);
    }
    sqlite3_finalize(bare.begin);
    sqlite3_finalize(bare.insert);
    sqlite3_finalize(bare.commit);
    sqlite3_close(bare.db);
}

static void bench_lives(struct bench *b)
{
    static const size_t batches[] = {10, 100, 1000};

    for (size_t k = 0; k < sizeof batches / sizeof *batches; k++) {
        double rates[ROUNDS];
        char id[64];

        for (int i = 0; i < ROUNDS; i++)
            rates[i] = life_round(b, batches[k]);
        snprintf(id, sizeof id, "store_start_end_attempt_%zu", batches[k]);
        report(id, median(rates, ROUNDS), "jobs/s", 0);
    }
}

static void bench_cpu(struct bench *b)
{
    uint64_t before = b->last_id;
    double cpu = cpu_s();

    (void)insert_round(b, 100, true);
    report("store_insert_100_cpu", (cpu_s() - cpu) * 1e6 / (double)(b->last_id - before),
           "us/job", 0);
    before = b->begun_id;
    cpu = cpu_s();
    (void)life_round(b, 100);
    report("store_start_end_attempt_100_cpu",
           (cpu_s() - cpu) * 1e6 / (double)(b->begun_id - before), "us/job", 0);
}

/* --- reading beside a backlog --- */

static int job_count(void *ctx, const struct job *job)
{
    (void)job;
    ++*(uint64_t *)ctx;
    return 0;
}

static double page_us(struct store_reader *reader, const struct job_filter *filter)
{
    double times[ROUNDS * 10];

    for (int i = 0; i < ROUNDS * 10; i++) {
        uint64_t start = clock_mono_ns(), count = 0, next;

        MUST(store_job_list(reader, filter, job_count, &count, &next) == 0);
        times[i] = (double)(clock_mono_ns() - start) / 1e3;
    }
    return median(times, ROUNDS * 10);
}

static double get_us(struct store_reader *reader, uint64_t last_id)
{
    double times[ROUNDS * 100];

    for (uint64_t i = 0; i < ROUNDS * 100; i++) {
        struct job *job = NULL;
        uint64_t id = 1 + i * 7919 % last_id, start = clock_mono_ns();

        MUST(store_job_get(reader, id, &job) == 1);
        times[i] = (double)(clock_mono_ns() - start) / 1e3;
        job_free(job);
    }
    return median(times, ROUNDS * 100);
}

static void bench_reads(struct bench *b, const char *when)
{
    static const struct {
        const char *name;
        struct job_filter filter;
    } lists[] = {
        {"page_50", {.limit = 50}},
        {"page_50_running", {.limit = 50, .states = 1u << JOB_RUNNING}},
        {"page_50_failed", {.limit = 50, .states = 1u << JOB_FAILED}},
        {"page_50_queue", {.limit = 50, .queue = "default"}},
    };
    struct store_reader *reader;
    char id[96];

    MUST(store_reader_open(b->store, &reader) == 0);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        snprintf(id, sizeof id, "store_%s_%s", lists[i].name, when);
        report(id, page_us(reader, &lists[i].filter), "us", 0);
    }
    snprintf(id, sizeof id, "store_get_%s", when);
    report(id, get_us(reader, b->last_id), "us", 0);
    store_reader_close(reader);
}

static double file_bytes(const char *name)
{
    char path[PATH_BYTES + 32];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &st) == 0 ? (double)st.st_size : 0;
}

static void fill(struct bench *b, uint64_t count)
{
    for (uint64_t left = count; left > 0; left -= left < BATCH_MAX ? left : BATCH_MAX) {
        size_t batch = left < BATCH_MAX ? left : BATCH_MAX;

        for (size_t i = 0; i < batch; i++) {
            b->jobs[i] = new_job(++b->last_id);
            b->changes[i] = (struct change){.kind = CHANGE_JOB_INSERT, .job = &b->jobs[i]};
        }
        MUST(store_commit(b->store, b->changes, batch, false) == 0);
    }
}

static void bench_backlog(struct bench *b, uint64_t count)
{
    fill(b, 1000);
    for (int i = 0; i < 10; i++, b->begun_id += 10)
        start_batch(b, 10);
    bench_reads(b, "small");
    fill(b, count);
    store_close(b->store);
    report("store_bytes_waiting", file_bytes("stint.db") / (double)b->last_id, "bytes/job", 0);

    uint64_t start = clock_mono_ns(), live = 0;

    b->store = bench_open();
    MUST(store_live_each(store_writer_reader(b->store), job_count, &live) == 0);
    report("store_start_up_backlog", (double)(clock_mono_ns() - start) / 1e6, "ms", 0);
    bench_reads(b, "backlog");
    for (b->begun_id = 100; b->begun_id + BATCH_MAX <= b->last_id; b->begun_id += BATCH_MAX) {
        start_batch(b, BATCH_MAX);
        end_batch(b, BATCH_MAX);
    }
    bench_reads(b, "history");
    store_close(b->store);
    report("store_bytes_ended", file_bytes("stint.db") / (double)b->last_id, "bytes/job", 0);
    b->store = bench_open();
}

/* --- frame --- */

static int path_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void folder_make(const char *parent)
{
    snprintf(dir, sizeof dir, "%s/store-bench-XXXXXX", parent);
    MUST(mkdtemp(dir));
}

static void folder_remove(void)
{
    nftw(dir, path_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static double open_ms(struct bench *b)
{
    store_close(b->store);

    uint64_t start = clock_mono_ns();

    b->store = bench_open();
    return (double)(clock_mono_ns() - start) / 1e6;
}

static void bench_all(struct bench *b, uint64_t backlog)
{
    double syncs[ROUNDS], rate;

    for (int i = 0; i < ROUNDS; i++)
        syncs[i] = sync_round();
    rate = median(syncs, ROUNDS);
    report("fdatasync", rate, "1/s", 0);
    idle(b);
    bench_inserts(b, rate);
    idle(b);
    report("store_insert_relaxed_1", insert_round(b, 1, false), "jobs/s", 0);
    bench_lives(b);
    report("store_delete_100", delete_round(b, 100), "jobs/s", 0);
    bench_cpu(b);
    report("store_open", open_ms(b), "ms", 0);
    store_close(b->store);
    b->store = NULL;
    if (backlog == 0)
        return;
    folder_remove();
    MUST(mkdir(dir, 0700) == 0);
    b->store = bench_open();
    b->last_id = b->begun_id = 0;
    bench_backlog(b, backlog);
    store_close(b->store);
}

int main(int argc, char **argv)
{
    const char *parent = getenv("TMPDIR");
    struct bench *b = calloc(1, sizeof *b);
    uint64_t backlog = 0;

    MUST(b);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-quick") == 0)
            round_ns = ROUND_NS / 10;
        else if (i + 1 < argc && strcmp(argv[i], "-dir") == 0)
            parent = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "-backlog") == 0)
            backlog = strtoull(argv[++i], NULL, 10);
        else
            return fprintf(stderr, "usage: store_bench [-quick] [-dir DIR] [-backlog N]\n"), 2;
    }
    folder_make(parent ? parent : "/tmp");
    b->store = bench_open();
    bench_all(b, backlog);
    folder_remove();
    free(b);
    return 0;
}
