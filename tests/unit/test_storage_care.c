/* Damage and copies of the store on disk: what is found, what is made. */
#include "storage/store.h"

#include "base/fault.h"
#include "storage/schema.h"
#include "tests/lib/stored.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 128

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

static int finding_keep(void *ctx, const char *sentence)
{
    if (*(char *)ctx == 0)
        snprintf(ctx, STORE_WHY_BYTES, "%s", sentence);
    return 0;
}

START_TEST(the_check_says_what_is_wrong)
{
    static const struct {
        const char *sql, *sentence;
    } damages[] = {
        {"DELETE FROM live WHERE id=3", "job 3 has a document but no state"},
        {"DELETE FROM doc WHERE id=3", "job 3 is live but has no document"},
        {"UPDATE live SET state=9 WHERE id=3",
         "job 3 is among the live with a state that is not"},
        {"UPDATE live SET queue='x' WHERE id=3",
         "live job 3 has other names than its document"},
        {"INSERT INTO done(id,state) VALUES(3,8)", "job 3 is both live and ended"},
        {"INSERT INTO attempt(job_id,fence) VALUES(99,1)",
         "job 99 has attempts but no document"},
        {"UPDATE live SET lease_until=1 WHERE id=3",
         "job 3 is leased, but not a running job for a worker"},
        {"UPDATE doc SET kind=77 WHERE id=3", "job 3 is of a kind that does not exist"},
    };

    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        char found[STORE_WHY_BYTES] = "";

        stored_dir_make(dir);

        struct store *store = stored_open(dir);

        ck_assert_int_eq(stored_insert_many(store, 1, 5), 0);
        store_close(store);
        raw("stint.db", damages[i].sql);
        store = stored_open(dir);
        ck_assert_int_eq(store_check(store_writer_reader(store), finding_keep, found), 0);
        ck_assert_msg(strstr(found, damages[i].sentence), "%s: found '%s'", damages[i].sql,
                      found);
        store_close(store);
        stored_dir_remove(dir);
    }
}
END_TEST

/* Numbers that are none of ours must not reach those who index tables by them. */
START_TEST(a_state_that_does_not_exist_is_an_error_and_no_job)
{
    struct job *job = NULL;

    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    ck_assert_int_eq(stored_insert_many(store, 1, 5), 0);
    store_close(store);
    raw("stint.db", "UPDATE live SET state=77 WHERE id=3");
    store = stored_open(dir);
    ck_assert_int_eq(store_job_get(store_writer_reader(store), 3, &job), -EIO);
    ck_assert_int_eq(store_job_get(store_writer_reader(store), 4, &job), 1);
    job_free(job);
    store_close(store);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(a_backup_made_between_commits_is_the_store_at_its_last_step)
{
    struct store_backup *backup;
    char path[PATH_BYTES];
    uint64_t id = 2000;
    int r;

    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    ck_assert_int_eq(stored_insert_many(store, 1, 2000), 0);
    path_of(path, "copy");
    ck_assert_int_eq(store_backup_open(store, path, &backup), 0);
    while ((r = store_backup_step(backup, 2)) == 1) {
        ck_assert_int_eq(size_of("copy"), -1);
        ck_assert_int_eq(stored_insert_many(store, ++id, 1), 0);
        ck_assert_int_eq(stored_delete(store, id - 1500), 0);
    }
    ck_assert_int_eq(r, 0);
    store_backup_close(backup);
    ck_assert_uint_gt(id, 2010);
    ck_assert_int_eq(size_of("copy.partial"), -1);
    ck_assert_int_eq(raw_ask("copy", "SELECT count(*) FROM doc"), 2000);
    ck_assert_int_eq(raw_ask("copy", "SELECT max(id) FROM doc"), (int64_t)id);
    ck_assert_int_eq(store_backup_open(store, path, &backup), -EEXIST);
    store_close(store);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(a_backup_opens_as_a_store)
{
    struct store_backup *backup;
    char path[PATH_BYTES], folder[PATH_BYTES];

    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    ck_assert_int_eq(stored_insert_many(store, 1, 20), 0);
    path_of(folder, "other");
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    path_of(path, "other/stint.db");
    ck_assert_int_eq(store_backup_open(store, path, &backup), 0);
    while (store_backup_step(backup, 1000) == 1)
        ;
    store_backup_close(backup);
    store_close(store);
    store = stored_open(folder);
    ck_assert(has_job(store, 1) && has_job(store, 20));
    store_close(store);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(a_backup_that_is_given_up_leaves_nothing)
{
    struct store_backup *backup;
    char path[PATH_BYTES];

    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    ck_assert_int_eq(stored_insert_many(store, 1, 2000), 0);
    path_of(path, "copy");
    ck_assert_int_eq(store_backup_open(store, path, &backup), 0);
    ck_assert_int_eq(store_backup_step(backup, 1), 1);
    fault_arm("store.backup", 1, -ENOSPC, false);
    ck_assert_int_eq(store_backup_step(backup, 1), -ENOSPC);
    store_backup_close(backup);
    ck_assert_int_eq(size_of("copy"), -1);
    ck_assert_int_eq(size_of("copy.partial"), -1);
    ck_assert_int_eq(stored_insert_many(store, 3000, 1), 0);
    store_close(store);
    stored_dir_remove(dir);
}
END_TEST

/* What a daemon leaves that is killed in the middle of a copy; returns the copy's descriptor.
 */
static int cut_copy(struct store *store, const char *path)
{
    char partial[PATH_BYTES + 16], aside[PATH_BYTES];
    struct store_backup *backup;

    snprintf(partial, sizeof partial, "%s.partial", path);
    path_of(aside, "aside");
    ck_assert_int_eq(store_backup_open(store, path, &backup), 0);
    ck_assert_int_eq(store_backup_step(backup, 10), 1);
    ck_assert_int_eq(link(partial, aside), 0);
    store_backup_close(backup);
    ck_assert_int_eq(rename(aside, partial), 0);
    return open(partial, O_RDWR | O_CLOEXEC);
}

static int copy_answer(struct store *store, const char *path)
{
    struct store_backup *backup;
    int r = store_backup_open(store, path, &backup);

    if (r < 0)
        return r;
    while ((r = store_backup_step(backup, 1000)) == 1)
        ;
    store_backup_close(backup);
    return r;
}

START_TEST(a_copy_that_was_cut_off_gives_way_to_the_next)
{
    char path[PATH_BYTES];

    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    ck_assert_int_eq(stored_insert_many(store, 1, 2000), 0);
    path_of(path, "copy");

    int fd = cut_copy(store, path);

    ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
    ck_assert_int_eq(copy_answer(store, path), -EBUSY); /* as if its daemon were alive */
    ck_assert_int_ge(size_of("copy.partial"), 0);
    close(fd);
    ck_assert_int_eq(copy_answer(store, path), 0);
    ck_assert_int_eq(size_of("copy.partial"), -1);
    ck_assert_int_eq(raw_ask("copy", "SELECT count(*) FROM job"), 2000);
    store_close(store);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(what_is_no_copy_of_ours_is_left_alone)
{
    static const char text[] =
        "a letter to my mother, of more than a hundred bytes, so that it is "
        "as long as the header of a database";
    char path[PATH_BYTES], partial[PATH_BYTES];

    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    path_of(path, "copy");
    path_of(partial, "copy.partial");

    FILE *f = fopen(partial, "w");

    fputs(text, f);
    fclose(f);
    ck_assert_int_eq(copy_answer(store, path), -EEXIST);
    ck_assert_int_eq(size_of("copy.partial"), sizeof text - 1);
    ck_assert_int_eq(unlink(partial), 0);
    raw("copy.partial", "CREATE TABLE diary(day, text)");
    ck_assert_int_eq(copy_answer(store, path), -EEXIST);
    ck_assert_int_eq(unlink(partial), 0);
    ck_assert_int_eq(symlink("stint.db", partial), 0);
    ck_assert_int_eq(copy_answer(store, path), -EEXIST);
    ck_assert_int_eq(unlink(partial), 0);
    ck_assert_int_eq(mkfifo(partial, 0600), 0);
    ck_assert_int_eq(copy_answer(store, path), -EEXIST);
    ck_assert_int_eq(unlink(partial), 0);
    ck_assert_int_eq(copy_answer(store, path), 0);
    store_close(store);
    stored_dir_remove(dir);
}
END_TEST

/* A small store that was not closed is read through; this one has a page of noise. */
START_TEST(damage_after_a_crash_is_found)
{
    char path[PATH_BYTES], noise[4096];

    memset(noise, 0xa5, sizeof noise);
    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    ck_assert_int_eq(stored_insert_many(store, 1, 1000), 0);
    store_close(store);
    path_of(path, "stint.db");

    FILE *f = fopen(path, "r+");

    ck_assert_int_eq(fseek(f, 20 * 4096, SEEK_SET), 0);
    ck_assert_uint_eq(fwrite(noise, 1, sizeof noise, f), sizeof noise);
    fclose(f);
    path_of(path, "stint.db-wal");
    f = fopen(path, "w");
    fputc(0, f);
    fclose(f);
    ck_assert_int_eq(open_answer(), STORE_BROKEN);
    ck_assert_ptr_nonnull(strstr(why, "damaged"));
    stored_dir_remove(dir);
}
END_TEST

static int finding_count(void *ctx, const char *sentence)
{
    (void)sentence;
    ++*(int *)ctx;
    return 0;
}

/* Looks, expects the schema and nothing wrong, and returns the highest id. */
static uint64_t look(unsigned schema)
{
    struct job job = stored_job(99);
    struct store_info info;
    struct store *store = NULL;
    int findings = 0;

    ck_assert_msg(store_look_sqlite(dir, &store, why) == 0, "%s", why);
    store_info(store, &info);
    ck_assert_uint_eq(info.schema, schema);
    ck_assert_uint_eq(info.schema_newest, SCHEMA_VERSION);
    ck_assert_int_eq(store_check(store_writer_reader(store), finding_count, &findings), 0);
    ck_assert_int_eq(findings, 0);
    ck_assert_int_ne(stored_insert(store, &job), 0);

    uint64_t max_id = store_max_id(store);

    store_close(store);
    return max_id;
}

START_TEST(looking_changes_nothing_whatever_the_version)
{
    stored_dir_make(dir);

    struct store *store = stored_open(dir);

    ck_assert_int_eq(stored_insert_many(store, 1, 7), 0);
    ck_assert_int_eq(store_look_sqlite(dir, &store, why), STORE_LOCKED);
    store_close(store);
    for (unsigned version = SCHEMA_VERSION; version > 0; version--) {
        ck_assert_int_eq(store_migrate_sqlite(dir, version, why), 0);
        ck_assert_uint_eq(look(version), 7);
        ck_assert_uint_eq(look(version), 7);
        ck_assert_int_eq(size_of("stint.db-wal"), -1);
        ck_assert_int_eq(size_of("stint.db-shm"), -1);
    }
    raw("stint.db", "PRAGMA user_version=9999");
    ck_assert_int_eq(store_look_sqlite(dir, &store, why), STORE_NEWER);
    stored_dir_remove(dir);
}
END_TEST

int main(void)
{
    return SUITE_MAIN("storage_care", the_check_says_what_is_wrong,
                      a_state_that_does_not_exist_is_an_error_and_no_job,
                      a_backup_made_between_commits_is_the_store_at_its_last_step,
                      a_backup_opens_as_a_store, a_backup_that_is_given_up_leaves_nothing,
                      a_copy_that_was_cut_off_gives_way_to_the_next,
                      what_is_no_copy_of_ours_is_left_alone, damage_after_a_crash_is_found,
                      looking_changes_nothing_whatever_the_version);
}
