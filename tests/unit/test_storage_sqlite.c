/* What only the store on disk has: folders, locks, versions, damage, the log, backups. */
#include "storage/store.h"

#include "base/fault.h"
#include "storage/schema.h"
#include "tests/lib/stored.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_BYTES 128
#define STRANGER "-stranger"

static char dir[STORED_DIR_BYTES];
static char why[STORE_WHY_BYTES];

static void path_of(char path[PATH_BYTES], const char *name)
{
    snprintf(path, PATH_BYTES, "%s/%s", dir, name);
}

/* The size of a file in the folder, -1 when it is not there. */
static int64_t size_of(const char *name)
{
    char path[PATH_BYTES];
    struct stat st;

    path_of(path, name);
    return stat(path, &st) == 0 ? st.st_size : -1;
}

/* Runs SQL on a database in the folder, past the store. */
static void raw(const char *name, const char *sql)
{
    char path[PATH_BYTES];
    sqlite3 *db;

    path_of(path, name);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", sql,
                  sqlite3_errmsg(db));
    sqlite3_close(db);
}

static int64_t raw_ask(const char *name, const char *sql)
{
    char path[PATH_BYTES];
    sqlite3_stmt *stmt;
    sqlite3 *db;

    path_of(path, name);
    ck_assert_int_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);

    int64_t value = sqlite3_column_int64(stmt, 0);

    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

static int open_answer(void)
{
    struct store *store = NULL;
    int r = store_open_sqlite(dir, &store, why);

    if (r == 0)
        store_close(store);
    else
        ck_assert_ptr_null(store);
    return r;
}

static bool has_job(struct store *store, uint64_t id)
{
    struct job *job = NULL;
    int r = store_job_get(store_writer_reader(store), id, &job);

    ck_assert_int_ge(r, 0);
    job_free(job);
    return r == 1;
}

START_TEST(what_was_committed_is_there_after_opening_again)
{
    uint64_t epoch = 0;

    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    ck_assert_int_eq(stored_insert_many(store, 1, 3), 0);
    ck_assert_int_eq(stored_delete(store, 3), 0);
    ck_assert_int_eq(store_next_epoch(store, &epoch), 0);
    store_close(store);
    store = stored_open(dir);
    ck_assert(has_job(store, 1) && has_job(store, 2) && !has_job(store, 3));
    ck_assert_uint_eq(store_max_id(store), 3);
    ck_assert_int_eq(store_next_epoch(store, &epoch), 0);
    ck_assert_uint_eq(epoch, 2);
    store_close(store);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(a_clean_close_leaves_no_log)
{
    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    ck_assert_int_eq(stored_insert_many(store, 1, 3), 0);
    ck_assert_int_gt(size_of("stint.db-wal"), 0);
    store_close(store);
    ck_assert_int_eq(size_of("stint.db-wal"), -1);
    ck_assert_int_gt(size_of("stint.db"), 0);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(files_are_for_their_owner_alone)
{
    static const char *const names[] = {"stint.db", "stint.db-wal", "lock"};

    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    ck_assert_int_eq(stored_insert_many(store, 1, 1), 0);
    for (int i = 0; i < 3; i++) {
        char path[PATH_BYTES];
        struct stat st;

        path_of(path, names[i]);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 077, 0);
    }
    store_close(store);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(a_second_process_is_refused_and_told_who_has_the_store)
{
    char pid[32];
    int status;

    stored_dir_make(dir);

    struct store *store = stored_open(dir);
    pid_t child = fork();

    if (child == 0) {
        int r = open_answer();

        snprintf(pid, sizeof pid, "process %d ", (int)getppid());
        _exit(r == STORE_LOCKED && strncmp(why, pid, strlen(pid)) == 0 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(stored_insert_many(store, 1, 1), 0);
    store_close(store);
    ck_assert_int_eq(open_answer(), 0);
    stored_dir_remove(dir);
}
END_TEST

/* An owner that is gone, and a child of it that keeps the lock until end is closed, or for so
 * long. Answers the owner's pid. */
static pid_t owner_dies_before_its_child(int end, int child_ms)
{
    int status;
    pid_t owner = fork();

    if (owner == 0) {
        (void)stored_open(dir);
        if (fork() == 0)
            (void)poll(&(struct pollfd){.fd = end}, 1, child_ms);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(owner, &status, 0), owner);
    ck_assert_int_eq(status, 0);
    return owner;
}

START_TEST(a_lock_left_to_a_child_of_a_killed_owner_is_waited_for)
{
    stored_dir_make(dir);
    owner_dies_before_its_child(-1, 100);
    ck_assert_int_eq(open_answer(), 0);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(a_child_that_never_lets_go_is_told_from_its_owner)
{
    char words[64];
    int end[2];

    stored_dir_make(dir);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end), 0);
    snprintf(words, sizeof words, "process %d is gone, but a child of it",
             (int)owner_dies_before_its_child(end[0], -1));
    ck_assert_int_eq(open_answer(), STORE_LOCKED);
    ck_assert_msg(strncmp(why, words, strlen(words)) == 0, "%s", why);
    shutdown(end[1], SHUT_RDWR);
    ck_assert_int_eq(open_answer(), 0);
    stored_dir_remove(dir);
}
END_TEST

/* A program that knows nothing of the lock file; run by main() in a process of its own. */
static int stranger(const char *path)
{
    sqlite3 *db;
    int rc = sqlite3_open(path, &db);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "INSERT INTO meta VALUES('stranger', 1)", NULL, NULL, NULL);
    sqlite3_close(db);
    return rc;
}

static int stranger_run(void)
{
    char path[PATH_BYTES];
    int status;
    pid_t child = fork();

    path_of(path, "stint.db");
    if (child == 0) {
        execl("/proc/self/exe", "test_storage_sqlite", STRANGER, path, NULL);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(another_program_cannot_write_past_the_daemon)
{
    stored_dir_make(dir);

    struct store *store = stored_open(dir);
    struct store_reader *reader;

    ck_assert_int_eq(stranger_run(), SQLITE_BUSY);
    ck_assert_int_eq(store_reader_open(store, &reader), 0);
    ck_assert_int_eq(stored_insert_many(store, 1, 1), 0);
    ck_assert_int_eq(stranger_run(), SQLITE_BUSY);
    store_reader_close(reader);
    ck_assert_int_eq(stranger_run(), SQLITE_BUSY);
    store_close(store);
    ck_assert_int_eq(stranger_run(), SQLITE_OK);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(a_folder_that_is_not_there_is_named)
{
    snprintf(dir, sizeof dir, "/nonexistent/stint");
    ck_assert_int_eq(open_answer(), -ENOENT);
    ck_assert_ptr_nonnull(strstr(why, "/nonexistent/stint"));
}
END_TEST

START_TEST(a_newer_store_is_refused_and_left_alone)
{
    stored_dir_make(dir);
    store_close(stored_open(dir));
    raw("stint.db", "PRAGMA user_version = 99");
    ck_assert_int_eq(open_answer(), STORE_NEWER);
    ck_assert_ptr_nonnull(strstr(why, "version 99"));
    ck_assert_int_eq(raw_ask("stint.db", "PRAGMA user_version"), 99);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(a_file_that_is_no_database_is_refused)
{
    char path[PATH_BYTES];

    stored_dir_make(dir);
    path_of(path, "stint.db");

    FILE *f = fopen(path, "w");

    for (int i = 0; i < 1000; i++)
        fputs("this is a diary, not a database\n", f);
    fclose(f);
    ck_assert_int_eq(open_answer(), STORE_BROKEN);
    ck_assert_int_eq(size_of("stint.db"), 32000);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(another_programs_database_is_refused_and_left_alone)
{
    stored_dir_make(dir);
    raw("stint.db", "CREATE TABLE diary(day, text)");
    ck_assert_int_eq(open_answer(), STORE_BROKEN);
    ck_assert_int_eq(raw_ask("stint.db", "SELECT count(*) FROM sqlite_schema"), 1);
    ck_assert_int_eq(size_of("stint.db-wal"), -1);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(migrations_go_down_and_up_and_keep_the_jobs)
{
    stored_dir_make(dir);

    struct store *store = stored_open(dir);
    struct job done = stored_ended(50, JOB_FAILED, 9);

    ck_assert_int_eq(stored_insert_many(store, 1, 40), 0);
    ck_assert_int_eq(stored_insert(store, &done), 0);
    store_close(store);
    for (unsigned version = SCHEMA_VERSION; version-- > 1;) {
        ck_assert_int_eq(store_migrate_sqlite(dir, version, why), 0);
        ck_assert_int_eq(raw_ask("stint.db", "PRAGMA user_version"), version);
        ck_assert_int_eq(raw_ask("stint.db", "SELECT count(*) FROM job"), 41);
    }
    ck_assert_int_eq(
        raw_ask("stint.db", "SELECT count(*) FROM sqlite_schema WHERE name='doc_queue'"), 0);
    store = stored_open(dir);
    for (uint64_t id = 1; id <= 40; id++)
        ck_assert(has_job(store, id));
    ck_assert(has_job(store, 50));
    store_close(store);
    ck_assert_int_eq(raw_ask("stint.db", "PRAGMA user_version"), SCHEMA_VERSION);
    ck_assert_int_eq(raw_ask("stint.db", "PRAGMA integrity_check(1)"), 0);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(a_leased_job_outlives_the_way_down_and_up)
{
    stored_dir_make(dir);

    struct store *store = stored_open(dir);
    struct job leased = stored_job(1), snoozed = stored_job(2);
    struct attempt_record attempt = {
        .job_id = 2, .fence = 1, .state = JOB_CANCELLED, .reason = REASON_SNOOZED};

    leased.state = JOB_RUNNING;
    leased.lease_until_ms = 1700000030000;
    snoozed.state = JOB_SCHEDULED;
    snoozed.reason = REASON_SNOOZED;
    ck_assert_int_eq(stored_insert(store, &leased), 0);
    ck_assert_int_eq(stored_insert(store, &snoozed), 0);
    ck_assert_int_eq(store_commit(store,
                                  &(struct change){.kind = CHANGE_ATTEMPT, .attempt = &attempt},
                                  1, true),
                     0);
    store_close(store);
    ck_assert_int_eq(raw_ask("stint.db", "SELECT lease_until FROM live WHERE id=1"),
                     1700000030000);
    ck_assert_int_eq(store_migrate_sqlite(dir, 2, why), 0);
    ck_assert_int_eq(raw_ask("stint.db", "SELECT state FROM live WHERE id=1"), JOB_RUNNING);
    ck_assert_int_eq(raw_ask("stint.db", "SELECT reason FROM live WHERE id=2"), REASON_NONE);
    ck_assert_int_eq(raw_ask("stint.db", "SELECT reason FROM attempt"), REASON_SHUTDOWN);
    store = stored_open(dir);
    ck_assert(has_job(store, 1));
    store_close(store);
    ck_assert_int_eq(raw_ask("stint.db", "SELECT lease_until IS NULL FROM live WHERE id=1"), 1);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(before_a_migration_the_store_is_copied)
{
    stored_dir_make(dir);

    struct store *store = stored_open(dir);
    char copy[32];

    snprintf(copy, sizeof copy, "stint.db.v%u", SCHEMA_VERSION);
    ck_assert_int_eq(stored_insert_many(store, 1, 7), 0);
    store_close(store);
    ck_assert_int_eq(store_migrate_sqlite(dir, 1, why), 0);
    ck_assert_int_eq(raw_ask(copy, "PRAGMA user_version"), SCHEMA_VERSION);
    ck_assert_int_eq(raw_ask(copy, "SELECT count(*) FROM job"), 7);
    ck_assert_int_eq(open_answer(), 0);
    ck_assert_int_eq(raw_ask("stint.db.v1", "PRAGMA user_version"), 1);
    ck_assert_int_eq(open_answer(), 0);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(a_migration_that_fails_leaves_the_store_as_it_was)
{
    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    ck_assert_int_eq(stored_insert_many(store, 1, 7), 0);
    store_close(store);
    ck_assert_int_eq(store_migrate_sqlite(dir, 1, why), 0);
    fault_arm("store.migrate", 1, -ENOSPC, false);
    ck_assert_int_eq(open_answer(), -ENOSPC);
    ck_assert_ptr_nonnull(strstr(why, "as it was"));
    ck_assert_int_eq(raw_ask("stint.db", "PRAGMA user_version"), 1);
    fault_disarm_all();
    ck_assert_int_eq(open_answer(), 0);
    ck_assert_int_eq(store_migrate_sqlite(dir, 0, why), -EINVAL);
    ck_assert_int_eq(store_migrate_sqlite(dir, SCHEMA_VERSION + 1, why), -EINVAL);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(after_a_refusal_closing_keeps_the_log_for_the_next_open)
{
    stored_dir_make(dir);

    struct store *store = stored_open(dir);
    struct job job = stored_job(5);

    ck_assert_int_eq(stored_insert_many(store, 1, 3), 0);
    fault_arm("store.sync", 1, -EIO, false);
    ck_assert_int_eq(stored_insert(store, &job), -EIO);
    store_close(store);
    ck_assert_int_gt(size_of("stint.db-wal"), 0);
    store = stored_open(dir);
    ck_assert(has_job(store, 3) && has_job(store, 5));
    store_close(store);
    stored_dir_remove(dir);
}
END_TEST

/* 100 MB of commits without a pause. */
START_TEST(the_log_stays_bounded_though_nobody_is_ever_idle)
{
    static char spec[50000];

    memset(spec, 'x', sizeof spec - 1);
    stored_dir_make(dir);

    struct store *store = stored_open(dir);
    struct store_info info;

    for (uint64_t id = 1; id <= 2000; id++) {
        struct job job = stored_job(id);

        job.spec = spec;
        ck_assert_int_eq(store_commit(store,
                                      &(struct change){.kind = CHANGE_JOB_INSERT, .job = &job},
                                      1, false),
                         0);
    }
    store_info(store, &info);
    ck_assert_int_lt(size_of("stint.db-wal"), 40 << 20);
    ck_assert_uint_lt(info.wal_bytes, 40 << 20);
    ck_assert_uint_gt(info.file_bytes, 60 << 20);
    store_tend(store);
    store_info(store, &info);
    ck_assert_uint_lt(info.wal_bytes, 9 << 20);
    store_close(store);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(a_log_is_copied_early_for_who_asks)
{
    struct store_info info;

    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    ck_assert_int_eq(stored_insert_many(store, 1, 5000), 0);
    store_info(store, &info);
    ck_assert_uint_gt(info.wal_bytes, 256 << 10);
    store_settle(store, 64 << 20);
    store_info(store, &info);
    ck_assert_uint_gt(info.wal_bytes, 256 << 10);
    store_settle(store, 256 << 10);
    store_info(store, &info);
    ck_assert_uint_eq(info.wal_bytes, 0);
    ck_assert_uint_gt(info.file_bytes, 256 << 10);
    store_close(store);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(an_idle_writer_lengthens_a_short_log_once)
{
    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    ck_assert_int_eq(stored_insert_many(store, 1, 1), 0);
    for (int64_t size = 0; size < 8 << 20;) {
        int64_t before = size;

        ck_assert(store_tend_due(store));
        store_tend(store);
        size = size_of("stint.db-wal");
        ck_assert_int_gt(size, before);
        ck_assert_int_le(size, before + (2 << 20));
    }
    ck_assert_int_eq(stored_insert_many(store, 2, 1), 0);
    store_tend(store);
    ck_assert(!store_tend_due(store));
    ck_assert_int_lt(size_of("stint.db-wal"), (9 << 20) + 65536);
    ck_assert(has_job(store, 1) && has_job(store, 2));
    store_close(store);
    store = stored_open(dir);
    ck_assert(has_job(store, 1) && has_job(store, 2));
    store_close(store);
    stored_dir_remove(dir);
}
END_TEST

/* Space of deleted jobs is used again. */
START_TEST(a_store_that_forgets_as_much_as_it_learns_does_not_grow)
{
    struct change changes[500];
    int64_t size = 0;

    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    for (uint64_t round = 0; round < 20; round++) {
        ck_assert_int_eq(stored_insert_many(store, round * 500 + 1, 500), 0);
        for (uint64_t i = 0; i < 500; i++)
            changes[i] = (struct change){.kind = CHANGE_JOB_DELETE, .id = round * 500 + i + 1};
        ck_assert_int_eq(store_commit(store, changes, 500, true), 0);
        stored_checkpoint_soon(store);
        if (round == 4)
            size = size_of("stint.db");
    }
    ck_assert_int_eq(size_of("stint.db"), size);
    store_close(store);
    stored_dir_remove(dir);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], STRANGER) == 0)
        return stranger(argv[2]);
    return SUITE_MAIN(
        "storage_sqlite", what_was_committed_is_there_after_opening_again,
        a_clean_close_leaves_no_log, files_are_for_their_owner_alone,
        a_second_process_is_refused_and_told_who_has_the_store,
        a_lock_left_to_a_child_of_a_killed_owner_is_waited_for,
        a_child_that_never_lets_go_is_told_from_its_owner,
        another_program_cannot_write_past_the_daemon, a_folder_that_is_not_there_is_named,
        a_newer_store_is_refused_and_left_alone, a_file_that_is_no_database_is_refused,
        another_programs_database_is_refused_and_left_alone,
        migrations_go_down_and_up_and_keep_the_jobs, a_leased_job_outlives_the_way_down_and_up,
        before_a_migration_the_store_is_copied,
        a_migration_that_fails_leaves_the_store_as_it_was,
        after_a_refusal_closing_keeps_the_log_for_the_next_open,
        the_log_stays_bounded_though_nobody_is_ever_idle, a_log_is_copied_early_for_who_asks,
        an_idle_writer_lengthens_a_short_log_once,
        a_store_that_forgets_as_much_as_it_learns_does_not_grow);
}
