/* Power loss at every point: a scenario runs once over a layer that remembers each write and
 * sync; then for each cut between two of them the disk is rebuilt as it could be (writes since
 * the last sync there, lost or torn between sectors) and opened, and the judge looks whether
 * all that was acknowledged before the cut is there and nothing is there by half. */
#include "storage/store.h"

#include "tests/lib/shim_vfs.h"
#include "tests/lib/stored.h"
#include "tests/lib/stored_script.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define SEEDS 2
#define OPS_MAX 20000

/* What was acknowledged before each remembered operation. */
static struct script acknowledged[OPS_MAX];

static void acknowledged_fill(uint64_t *filled, const struct script *s)
{
    ck_assert_uint_lt(shim_ops(), OPS_MAX);
    while (*filled <= shim_ops())
        acknowledged[(*filled)++] = *s;
}

/* Opens, works, closes (which copies the log and deletes it), opens again and works on, with
 * copies of the log in the midst of it. */
static void scenario(const char *dir)
{
    struct script s = {.unknown = false};
    struct store *store = stored_open(dir);
    uint64_t filled = 0;

    acknowledged_fill(&filled, &s);
    for (unsigned step = 0; step < SCRIPT_STEPS; step++) {
        if (step == SCRIPT_STEPS / 2) {
            store_close(store);
            acknowledged_fill(&filled, &s);
            store = stored_open(dir);
        }
        if (step % 9 == 8)
            stored_checkpoint_soon(store);
        acknowledged_fill(&filled, &s);

        struct script before = s;

        ck_assert_int_eq(script_step(&s, store, step), 0);
        /* Cuts within the commit: it may be there or not. */
        before.unknown = true;
        acknowledged_fill(&filled, &before);
        filled = shim_ops();
        acknowledged_fill(&filled, &s);
    }
    store_close(store);
    acknowledged_fill(&filled, &s);
}

START_TEST(whatever_is_lost_after_the_last_sync_no_acknowledged_batch_is)
{
    char live[STORED_DIR_BYTES], dead[STORED_DIR_BYTES];
    uint64_t cuts;

    setenv("TMPDIR", "/dev/shm", 0);
    stored_dir_make(live);
    shim_install();
    shim_reset(1);
    scenario(live);
    cuts = shim_ops();
    ck_assert_uint_gt(cuts, 400);
    for (uint64_t cut = (uint64_t)_i; cut <= cuts; cut += SEEDS) {
        stored_dir_make(dead);
        shim_rebuild(dead, cut, cut * SEEDS + (uint64_t)_i);
        shim_pause(1);

        struct store *store = stored_open(dead);

        script_judge(&acknowledged[cut], store);
        store_close(store);
        shim_pause(0);
        stored_dir_remove(dead);
    }
    stored_dir_remove(live);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("storage_crash");
    TCase *tcase = tcase_create("crash");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, 240);
    tcase_add_loop_test(tcase, whatever_is_lost_after_the_last_sync_no_acknowledged_batch_is, 0,
                        SEEDS);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed > 0;
}
