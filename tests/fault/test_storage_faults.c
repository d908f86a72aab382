/* Every fault point and every call of SQLite to the system fails once in turn, while a scenario
 * runs; then the store is opened again, and what was acknowledged must be whole, what was
 * refused must not be there. */
#include "storage/store.h"

#include "base/fault.h"
#include "tests/lib/shim_vfs.h"
#include "tests/lib/stored.h"
#include "tests/lib/stored_script.h"

#include <check.h>

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

/* The sanitizers make a scenario many times as long: one place in so many must do there. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STRIDE 11
#else
#define STRIDE 1
#endif

/* Faults go through a folder in memory where there is one: the disk is not what is tested. */
static void memory_folder(void)
{
    setenv("TMPDIR", "/dev/shm", 0);
}

/* Runs the scenario to its end, or until the store refuses for good. */
static int scenario(struct script *s, const char *dir)
{
    struct store *store = NULL;
    char why[STORE_WHY_BYTES];
    int r = store_open_sqlite(dir, &store, why), first = r;

    for (unsigned step = 0; r == 0 && step < SCRIPT_STEPS; step++) {
        int result = script_step(s, store, step);

        if (first == 0)
            first = result;
        if (step % 7 == 6)
            stored_checkpoint_soon(store);
        if (step % 16 == 15)
            store_tend(store);
    }
    store_close(store);
    return first;
}

static void judge_again(const struct script *s, const char *dir)
{
    struct store *store = stored_open(dir);

    script_judge(s, store);
    store_close(store);
}

/* Scenario with the fault armed, then the judge without. Whether the fault struck. */
static bool struck(const char *point, uint64_t nth, int result)
{
    char dir[STORED_DIR_BYTES];
    struct script s = {.unknown = false};

    stored_dir_make(dir);
    fault_arm(point, nth, result, false);

    int first = scenario(&s, dir);
    bool passed = fault_passes(point) >= nth;

    fault_disarm_all();
    ck_assert_msg(!passed || first == result, "%s:%d came out as %d", point, (int)nth, first);
    judge_again(&s, dir);
    stored_dir_remove(dir);
    return passed;
}

static void told(const char *what, uint64_t last)
{
    fprintf(stderr, "%s: failed once at each place, one in %d, up to the %lluth\n", what,
            STRIDE, (unsigned long long)last);
}

START_TEST(each_pass_of_each_fault_point_may_fail)
{
    static const char *const points[] = {"store.open",      "store.begin",   "store.step",
                                         "store.commit",    "store.migrate", "store.sync",
                                         "store.checkpoint"};
    static const int results[] = {-ENOSPC, -EIO, -ENOMEM, -EROFS};

    memory_folder();
    for (size_t p = 0; p < sizeof points / sizeof *points; p++) {
        uint64_t nth = 1;

        /* The last two are failed syncs, whose only answer is -EIO. */
        while (struck(points[p], nth, p >= 5 ? -EIO : results[nth % 4]))
            nth += STRIDE;
        ck_assert_uint_gt(nth, 1);
        told(points[p], nth - STRIDE);
    }
}
END_TEST

/* One kind of call to the system fails at its nth time; true while there was an nth time. */
static bool call_struck(enum shim_op op, uint64_t nth, int rc)
{
    char dir[STORED_DIR_BYTES];
    struct script s = {.unknown = false};

    stored_dir_make(dir);
    shim_reset(0);
    shim_fail(op, nth, rc);
    (void)scenario(&s, dir);

    bool passed = shim_count(op) >= nth;

    shim_fail(op, 0, 0);
    judge_again(&s, dir);
    stored_dir_remove(dir);
    return passed;
}

static const struct call {
    const char *name;
    enum shim_op op;
    int rc;
} calls[] = {
    {"write, disk full", SHIM_WRITE, SQLITE_FULL},
    {"write", SHIM_WRITE, SQLITE_IOERR_WRITE},
    {"sync", SHIM_SYNC, SQLITE_IOERR_FSYNC},
    {"open", SHIM_OPEN, SQLITE_CANTOPEN},
    {"truncate", SHIM_TRUNCATE, SQLITE_IOERR_TRUNCATE},
    {"delete", SHIM_DELETE, SQLITE_IOERR_DELETE},
    {"read", SHIM_READ, SQLITE_IOERR_READ},
    {"shared memory", SHIM_SHM, SQLITE_IOERR_SHMMAP},
    {"allocation", SHIM_MEMORY, SQLITE_NOMEM},
};

START_TEST(each_call_to_the_system_may_fail_once)
{
    const struct call *call = &calls[_i];
    uint64_t nth = 1;

    memory_folder();
    shim_install();
    while (call_struck(call->op, nth, call->rc))
        nth += STRIDE;
    ck_assert_msg(nth > 1, "%s was never called", call->name);
    told(call->name, nth - STRIDE);
}
END_TEST

/* One sync fails and loses what it was to write; whatever the store does then, a power loss at
 * the end must not take what it acknowledged. */
START_TEST(nothing_is_built_upon_a_sync_that_failed)
{
    char live[STORED_DIR_BYTES], dead[STORED_DIR_BYTES];
    uint64_t nth = 1;
    bool passed = true;

    memory_folder();
    shim_install();
    for (; passed; nth += STRIDE) {
        struct script s = {.unknown = false};

        stored_dir_make(live);
        stored_dir_make(dead);
        shim_reset(1);
        shim_fail(SHIM_SYNC, nth, SQLITE_IOERR_FSYNC);
        (void)scenario(&s, live);
        passed = shim_count(SHIM_SYNC) >= nth;
        shim_fail(SHIM_SYNC, 0, 0);
        shim_rebuild(dead, shim_ops(), nth);
        shim_pause(1);
        judge_again(&s, dead);
        shim_pause(0);
        stored_dir_remove(live);
        stored_dir_remove(dead);
    }
    told("a sync, with what it was to write", nth - 2 * STRIDE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("storage_faults");
    TCase *tcase = tcase_create("faults");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, each_pass_of_each_fault_point_may_fail);
    tcase_add_loop_test(tcase, each_call_to_the_system_may_fail_once, 0,
                        (int)(sizeof calls / sizeof *calls));
    tcase_add_test(tcase, nothing_is_built_upon_a_sync_that_failed);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed > 0;
}
