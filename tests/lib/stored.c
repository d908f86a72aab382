#include "tests/lib/stored.h"

#include "base/fault.h"
#include "storage/sqlite_parts.h"

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FTW_FDS 8

struct store *stored_store;
struct store_reader *stored_reader;
static char used_dir[STORED_DIR_BYTES];

static int path_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void stored_dir_make(char ret[STORED_DIR_BYTES])
{
    const char *tmp = getenv("TMPDIR");

    snprintf(ret, STORED_DIR_BYTES, "%s/stint-store-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(ret));
}

void stored_dir_remove(const char *dir)
{
    nftw(dir, path_remove, FTW_FDS, FTW_DEPTH | FTW_PHYS);
}

struct job stored_job(uint64_t id)
{
    static char queue[] = "default";
    static char spec[] = "{\"exec\":{\"argv\":[\"/bin/true\"]}}";

    return (struct job){
        .id = id,
        .kind = KIND_EXEC,
        .state = JOB_QUEUED,
        .created_at_ms = 1700000000000 + (int64_t)id,
        .run_at_ms = 1700000000000 + (int64_t)id,
        .queue = queue,
        .spec = spec,
    };
}

struct job stored_ended(uint64_t id, enum job_state state, int64_t finished_at_ms)
{
    struct job job = stored_job(id);

    job.state = state;
    job.attempt = job.fence = 1;
    job.started_at_ms = job.created_at_ms;
    job.finished_at_ms = finished_at_ms;
    return job;
}

int stored_insert(struct store *store, const struct job *job)
{
    return store_commit(store, &(struct change){.kind = CHANGE_JOB_INSERT, .job = job}, 1,
                        true);
}

int stored_update(struct store *store, const struct job *job)
{
    return store_commit(store, &(struct change){.kind = CHANGE_JOB_UPDATE, .job = job}, 1,
                        true);
}

int stored_delete(struct store *store, uint64_t id)
{
    return store_commit(store, &(struct change){.kind = CHANGE_JOB_DELETE, .id = id}, 1, true);
}

int stored_insert_many(struct store *store, uint64_t first_id, size_t count)
{
    struct job *jobs = calloc(count, sizeof *jobs);
    struct change *changes = calloc(count, sizeof *changes);

    for (size_t i = 0; i < count; i++) {
        jobs[i] = stored_job(first_id + i);
        changes[i] = (struct change){.kind = CHANGE_JOB_INSERT, .job = &jobs[i]};
    }

    int r = store_commit(store, changes, count, true);

    free(jobs);
    free(changes);
    return r;
}

struct store *stored_open(const char *dir)
{
    struct store *store = NULL;
    char why[STORE_WHY_BYTES] = "";
    int r = store_open_sqlite(dir, &store, why);

    ck_assert_msg(r == 0, "opening %s: %d: %s", dir, r, why);
    return store;
}

struct job stored_full(void)
{
    static char name[] = "thumb", queue[] = "images", key[] = "customer-17";
    static char tags[] = ",web,img,", spec[] = "{\"exec\":{\"shell\":\"naïve ☃\"}}";
    static char result[] = "{\"exit_code\":3}", error[] = "it ended with 3";

    return (struct job){
        .id = 7,
        .kind = KIND_HTTP,
        .state = JOB_RETRYING,
        .reason = REASON_EXIT_NONZERO,
        .priority = -100,
        .attempt = 4,
        .crashes = 2,
        .fence = UINT32_MAX,
        .dead_letter = true,
        .cancel_requested = true,
        .retry_of = 3,
        .created_at_ms = 1001,
        .run_at_ms = 1002,
        .started_at_ms = 1003,
        .finished_at_ms = 1004,
        .start_by_at_ms = 1005,
        .retry_until_at_ms = INT64_MAX,
        .epoch = UINT64_MAX,
        .lease_until_ms = 1006,
        .name = name,
        .queue = queue,
        .key = key,
        .tags = tags,
        .spec = spec,
        .result = result,
        .error = error,
    };
}

void stored_ck_same_state(const struct job *a, const struct job *b)
{
    ck_assert_int_eq(a->state, b->state);
    ck_assert_int_eq(a->reason, b->reason);
    ck_assert_int_eq(a->priority, b->priority);
    ck_assert_uint_eq(a->attempt, b->attempt);
    ck_assert_uint_eq(a->crashes, b->crashes);
    ck_assert_uint_eq(a->fence, b->fence);
    ck_assert_int_eq(a->dead_letter, b->dead_letter);
    ck_assert_int_eq(a->cancel_requested, b->cancel_requested);
    ck_assert_int_eq(a->run_at_ms, b->run_at_ms);
    ck_assert_int_eq(a->started_at_ms, b->started_at_ms);
    ck_assert_int_eq(a->finished_at_ms, b->finished_at_ms);
    ck_assert_int_eq(a->start_by_at_ms, b->start_by_at_ms);
    ck_assert_int_eq(a->retry_until_at_ms, b->retry_until_at_ms);
    ck_assert_uint_eq(a->epoch, b->epoch);
    ck_assert_int_eq(a->lease_until_ms, job_state_is_final(b->state) ? 0 : b->lease_until_ms);
}

void stored_ck_same_identity(const struct job *a, const struct job *b)
{
    ck_assert_uint_eq(a->id, b->id);
    ck_assert_int_eq(a->kind, b->kind);
    ck_assert_uint_eq(a->retry_of, b->retry_of);
    ck_assert_int_eq(a->created_at_ms, b->created_at_ms);
    ck_assert_pstr_eq(a->name, b->name);
    ck_assert_pstr_eq(a->queue, b->queue);
    ck_assert_pstr_eq(a->key, b->key);
    ck_assert_pstr_eq(a->tags, b->tags);
}

void stored_ck_same(const struct job *a, const struct job *b)
{
    stored_ck_same_identity(a, b);
    stored_ck_same_state(a, b);
    ck_assert_pstr_eq(a->spec, b->spec);
    ck_assert_pstr_eq(a->result, b->result);
    ck_assert_pstr_eq(a->error, b->error);
}

void stored_checkpoint_soon(struct store *store)
{
    ((struct sqlite_store *)store)->checkpoint_bytes = 1;
}

void stored_use(int implementation)
{
    used_dir[0] = 0;
    if (implementation == 0) {
        stored_dir_make(used_dir);
        stored_store = stored_open(used_dir);
    } else {
        ck_assert_int_eq(store_open_memory(&stored_store), 0);
    }
    ck_assert_int_eq(store_reader_open(stored_store, &stored_reader), 0);
}

void stored_leave(void)
{
    fault_disarm_all();
    store_reader_close(stored_reader);
    store_close(stored_store);
    if (used_dir[0])
        stored_dir_remove(used_dir);
}

struct job *stored_get(uint64_t id)
{
    struct job *job = NULL;
    int r = store_job_get(stored_reader, id, &job);

    ck_assert_int_ge(r, 0);
    return r == 1 ? job : NULL;
}

int stored_main(const char *name, const TTest *const *tests)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    while (*tests)
        tcase_add_loop_test(tcase, *tests++, 0, 2);
    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed > 0;
}
