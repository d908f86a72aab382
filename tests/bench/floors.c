/* floors.c: what the machine gives at most, right now: the lines that figures of the daemon are
 * held against. Prints one line, "floor<TAB>id<TAB>value<TAB>unit", for each argument:
 *
 *   floors [-dir DIR] [-seconds S] WHAT...
 *     sync       appends of 200 bytes, each followed by fdatasync
 *     sqlite:N   rows inserted by bare SQLite, N in each transaction, WAL and synchronous=FULL
 *     spawn:N    posix_spawn of /bin/true and waiting for it, N at once */
#include "tests/bench/http_bench.h"

#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <sqlite3.h>
#include <sys/wait.h>

#define RECORD_BYTES 200
#define CHECKPOINT_PAGES 6000

extern char **environ;

static const char *dir = ".";
static double seconds = 1;

static void report(const char *id, double value, const char *unit)
{
    printf("floor\t%s\t%.1f\t%s\n", id, value, unit);
    fflush(stdout);
}

static void path_make(char path[PATH_MAX], const char *name)
{
    MUST(snprintf(path, PATH_MAX, "%s/floor-%ld-%s", dir, (long)getpid(), name) < PATH_MAX);
}

/* --- the disk --- */

static void floor_sync(const char *id, unsigned n)
{
    static const char record[RECORD_BYTES];
    char path[PATH_MAX];
    uint64_t start_ns, count = 0;
    int fd;

    (void)n;
    path_make(path, "sync");
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    MUST(fd >= 0);
    for (start_ns = clock_mono_ns(); since_s(start_ns) < seconds; count++) {
        MUST(write(fd, record, sizeof record) == sizeof record);
        MUST(fdatasync(fd) == 0);
    }
    report(id, (double)count / since_s(start_ns), "1/s");
    close(fd);
    unlink(path);
}

/* --- SQLite --- */

static void step(sqlite3_stmt *stmt)
{
    MUST(sqlite3_step(stmt) == SQLITE_DONE);
    sqlite3_reset(stmt);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt;

    MUST(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK);
    return stmt;
}

static double insert_rate(sqlite3 *db, unsigned n)
{
    static char record[RECORD_BYTES];
    sqlite3_stmt *begin = prepare(db, "BEGIN IMMEDIATE");
    sqlite3_stmt *insert = prepare(db, "INSERT INTO t(spec) VALUES(?)");
    sqlite3_stmt *commit = prepare(db, "COMMIT");
    uint64_t start_ns = clock_mono_ns(), count = 0;
    double rate;

    memset(record, 'x', sizeof record);
    while (since_s(start_ns) < seconds) {
        step(begin);
        for (unsigned i = 0; i < n; i++) {
            sqlite3_bind_text(insert, 1, record, sizeof record, SQLITE_STATIC);
            step(insert);
        }
        step(commit);
        count += n;
    }
    rate = (double)count / since_s(start_ns);
    sqlite3_finalize(begin);
    sqlite3_finalize(insert);
    sqlite3_finalize(commit);
    return rate;
}

/* One table, no index: no store can do with less. */
static void floor_sqlite(const char *id, unsigned n)
{
    char path[PATH_MAX], setup[256];
    sqlite3 *db;

    snprintf(setup, sizeof setup,
             "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=%d;"
             "CREATE TABLE t(id INTEGER PRIMARY KEY, spec TEXT)",
             CHECKPOINT_PAGES);
    path_make(path, "sqlite");
    MUST(sqlite3_open(path, &db) == SQLITE_OK);
    MUST(sqlite3_exec(db, setup, NULL, NULL, NULL) == SQLITE_OK);
    report(id, insert_rate(db, n), "rows/s");
    MUST(sqlite3_close(db) == SQLITE_OK);
    unlink(path);
}

/* --- processes --- */

static void spawn_true(void)
{
    char *argv[] = {"/bin/true", NULL};
    pid_t pid;

    MUST(posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) == 0);
}

static void floor_spawn(const char *id, unsigned n)
{
    uint64_t start_ns = clock_mono_ns(), count = 0;
    unsigned alive = 0;

    for (; alive < n; alive++)
        spawn_true();
    while (alive > 0) {
        MUST(waitpid(-1, NULL, 0) > 0);
        count++;
        alive--;
        if (since_s(start_ns) < seconds) {
            spawn_true();
            alive++;
        }
    }
    report(id, (double)count / since_s(start_ns), "1/s");
}

/* --- frame --- */

static const struct {
    const char *name;
    void (*fn)(const char *id, unsigned n);
} floors[] = {{"sync", floor_sync}, {"sqlite", floor_sqlite}, {"spawn", floor_spawn}};

static bool floor_run(const char *what)
{
    size_t len = strcspn(what, ":");
    int n = what[len] == ':' ? atoi(what + len + 1) : 1;
    char id[64];

    for (size_t i = 0; i < sizeof floors / sizeof *floors; i++) {
        if (strlen(floors[i].name) != len || strncmp(floors[i].name, what, len) != 0 || n < 1)
            continue;
        snprintf(id, sizeof id, what[len] == ':' ? "%s_%d" : "%s", floors[i].name, n);
        floors[i].fn(id, (unsigned)n);
        return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-dir") == 0 && i + 1 < argc)
            dir = argv[++i];
        else if (strcmp(argv[i], "-seconds") == 0 && i + 1 < argc)
            seconds = atof(argv[++i]);
        else if (!floor_run(argv[i]))
            return fprintf(stderr, "usage: floors [-dir DIR] [-seconds S] "
                                   "sync | sqlite:N | spawn:N ...\n"),
                   2;
    }
    return 0;
}
