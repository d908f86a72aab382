/* What shares a transaction, and that one bad item does not poison its batch. There the store
 * is SQLite with triggers that refuse rows by what is in them, which stands for whatever a
 * store may find wrong with one row. */
#include "jobs/engine.h"

#include "tests/lib/fake_kind.h"
#include "tests/lib/suite.h"

#include <sqlite3.h>

#define MANY 200
#define HELD "{\"exec\":{\"argv\":[\"ok\"]},\"hold\":true}"
#define BAD_HELD "{\"exec\":{\"argv\":[\"ok\"]},\"hold\":true,\"name\":\"bad\"}"

static void run_sql(const char *sql)
{
    char path[4096];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/stint.db", folder);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_busy_timeout(db, 10000), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void sqlite_story_run(void (*fn)(void))
{
    char why[STORE_WHY_BYTES];
    struct story story = {fn};

    log_setup(2, LOG_TEXT, LOG_ERROR);
    folder = folder_new();
    ck_assert_int_eq(store_open_sqlite(folder, &store, why), 0);
    store_close(store);
    run_sql(
        "CREATE TRIGGER bad BEFORE INSERT ON doc WHEN NEW.name = 'bad' BEGIN"
        " SELECT RAISE(ABORT, 'no'); END;"
        "CREATE TRIGGER worse BEFORE INSERT ON done WHEN NEW.result LIKE '%exit_code%' BEGIN"
        " SELECT RAISE(ABORT, 'no'); END");
    ck_assert_int_eq(store_open_sqlite(folder, &store, why), 0);
    config = (struct kind_config){.state_dir = folder, .log_bytes_max = 1 << 20};
    options.store = store;
    options.kinds = &config;
    options.kind_table = fakes;
    options.seed = 1;
    semaphore_init(&gate, 0);
    semaphore_init(&began, 0);
    scheduled(2, tell, &story);
    store_close(store);
    folder_remove(folder);
}

static atomic_int refused, taken;

static int submit_one(void *arg)
{
    uint64_t id;
    int r = try_submit((const char *)arg, &id);

    if (r == -EEXIST)
        atomic_fetch_add(&refused, 1);
    else if (r == ENGINE_OK)
        atomic_fetch_add(&taken, 1);
    return 0;
}

static void many_with_bad_ones(void)
{
    struct engine_stats stats;
    struct group g;

    group_open(&g, "submitters");
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(group_go(&g, submit_one, (void *)(i % 50 == 7 ? BAD_HELD : HELD)), 0);
    ck_assert_int_eq(group_wait(&g), 0);
    group_close(&g);
    ck_assert_int_eq(atomic_load(&refused), MANY / 50);
    ck_assert_int_eq(atomic_load(&taken), MANY - MANY / 50);
    engine_stats(engine, &stats);
    ck_assert(stats.writable);
    ck_assert_uint_eq(stats.counts[JOB_HELD], MANY - MANY / 50);
    ck_assert_uint_eq(stats.submitted, MANY - MANY / 50);
}

START_TEST(a_bad_item_is_refused_alone)
{
    sqlite_story_run(many_with_bad_ones);
}
END_TEST

static void an_end(void)
{
    OWN(job_free) struct job *job = NULL;
    struct engine_stats stats;
    uint64_t id = submit(OK);

    ends_as(id, JOB_SUCCEEDED, REASON_NONE);
    ck_assert_int_eq(engine_get(engine, id, &job), ENGINE_OK);
    ck_assert_ptr_null(job->result);
    ck_assert_str_eq(job->error, "the store did not take what this attempt said");
    engine_stats(engine, &stats);
    ck_assert(stats.writable);
    ck_assert_uint_eq(stats.commit_failures, 0);
}

START_TEST(an_end_whose_words_are_refused_is_stored_without_them)
{
    sqlite_story_run(an_end);
}
END_TEST

/* It waits for no other, and its start needs no second transaction. */
STORY(an_idle_submission_is_stored_and_started_in_one_commit)
{
    struct engine_stats before, after;
    uint64_t id;

    engine_stats(engine, &before);
    id = submit(WAIT);
    began_wait();
    engine_stats(engine, &after);
    ck_assert_uint_eq(after.commits - before.commits, 1);
    ck_assert_uint_eq(after.started[KIND_EXEC] - before.started[KIND_EXEC], 1);
    semaphore_give(&gate, 1);
    ends_as(id, JOB_SUCCEEDED, REASON_NONE);
}

int main(void)
{
    return SUITE_MAIN(
        "jobs_engine_batch", an_idle_submission_is_stored_and_started_in_one_commit,
        a_bad_item_is_refused_alone, an_end_whose_words_are_refused_is_stored_without_them);
}
