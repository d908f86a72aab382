/* The machine's own ways to stop a store: SIGKILL at any moment, a disk that is full, a folder
 * that cannot be written. A killed writer told through a pipe what was acknowledged. */
#include "storage/store.h"

#include "base/rand.h"
#include "tests/lib/stored.h"

#include <check.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 50
#define BATCH_MAX 20
#define ACKS_MAX 40 /* then the writer is killed at the latest */
#define IDS_MAX (ROUNDS * 4096)

static char dir[STORED_DIR_BYTES];

/* A batch that is acknowledged: its jobs are first … first + count - 1; all have ended, or
 * none. */
struct ack {
    uint64_t first;
    uint32_t count;
    bool ended;
};

static void acknowledge(int fd, const struct ack *ack)
{
    if (write(fd, ack, sizeof *ack) != sizeof *ack)
        _exit(1);
}

static int batch_insert(struct store *store, const struct ack *ack, bool sync)
{
    struct job jobs[BATCH_MAX];
    struct change changes[BATCH_MAX];
    char name[64];

    snprintf(name, sizeof name, "%llu-%u", (unsigned long long)ack->first, ack->count);
    for (uint32_t i = 0; i < ack->count; i++) {
        jobs[i] = stored_job(ack->first + i);
        jobs[i].name = name;
        changes[i] = (struct change){.kind = CHANGE_JOB_INSERT, .job = &jobs[i]};
    }
    return store_commit(store, changes, ack->count, sync);
}

static int batch_end(struct store *store, const struct ack *ack)
{
    struct job jobs[BATCH_MAX];
    struct change changes[BATCH_MAX];

    for (uint32_t i = 0; i < ack->count; i++) {
        jobs[i] = stored_ended(ack->first + i, JOB_SUCCEEDED, 5);
        changes[i] = (struct change){.kind = CHANGE_JOB_UPDATE, .job = &jobs[i]};
    }
    return store_commit(store, changes, ack->count, true);
}

/* Writes until it is killed. */
_Noreturn static void writer(int fd, uint64_t seed)
{
    char why[STORE_WHY_BYTES];
    struct store *store;
    struct rand rand;

    rand_seed(&rand, seed);
    if (store_open_sqlite(dir, &store, why) != 0)
        _exit(2);
    for (;;) {
        struct ack ack = {.first = store_max_id(store) + 1,
                          .count = 1 + (uint32_t)rand_below(&rand, BATCH_MAX)};

        if (batch_insert(store, &ack, rand_below(&rand, 4) > 0) != 0)
            _exit(3);
        acknowledge(fd, &ack);
        if (rand_below(&rand, 8) == 0)
            stored_checkpoint_soon(store);
        if (rand_below(&rand, 16) == 0)
            store_tend(store);
        if (rand_below(&rand, 2) == 0)
            continue;
        if (batch_end(store, &ack) != 0)
            _exit(4);
        ack.ended = true;
        acknowledge(fd, &ack);
    }
}

/* By id: 0 = not acknowledged, 1 = inserted, 2 = ended. */
static unsigned char acknowledged[IDS_MAX];

static void ack_note(const struct ack *ack)
{
    ck_assert_uint_lt(ack->first + ack->count, IDS_MAX);
    for (uint32_t i = 0; i < ack->count; i++)
        acknowledged[ack->first + i] = ack->ended ? 2 : 1;
}

/* Lets a writer run for some acknowledgements, kills it, and takes what it said until then. */
static void round_run(uint64_t seed, unsigned acks)
{
    int fds[2], status;
    struct ack ack;

    ck_assert_int_eq(pipe(fds), 0);

    pid_t child = fork();

    if (child == 0) {
        close(fds[0]);
        writer(fds[1], seed);
    }
    close(fds[1]);
    for (unsigned i = 0; i < acks && read(fds[0], &ack, sizeof ack) == sizeof ack; i++)
        ack_note(&ack);
    kill(child, SIGKILL);
    while (read(fds[0], &ack, sizeof ack) == sizeof ack)
        ack_note(&ack);
    close(fds[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status), "the writer ended by itself with %d",
                  WEXITSTATUS(status));
}

/* How the jobs of a batch stand: counts by stage. */
static void batch_judge(struct store *store, const struct job *first)
{
    unsigned long long id;
    unsigned count;
    struct store_reader *reader = store_writer_reader(store);

    ck_assert_int_eq(sscanf(first->name, "%llu-%u", &id, &count), 2);
    for (unsigned i = 0; i < count; i++) {
        struct job *job = NULL;

        ck_assert_msg(store_job_get(reader, id + i, &job) == 1, "job %llu of batch %s is gone",
                      id + i, first->name);
        ck_assert_int_eq(job->state, first->state);
        job_free(job);
    }
}

static void store_judge(void)
{
    struct store *store = stored_open(dir);
    uint64_t max_id = store_max_id(store);

    for (uint64_t id = 1; id < IDS_MAX && (id <= max_id || acknowledged[id]); id++) {
        struct job *job = NULL;
        int r = store_job_get(store_writer_reader(store), id, &job);

        ck_assert_int_ge(r, 0);
        ck_assert_msg(r == 1 || !acknowledged[id], "job %d is lost", (int)id);
        if (!job)
            continue;
        ck_assert_msg(acknowledged[id] < 2 || job->state == JOB_SUCCEEDED,
                      "job %d had ended and now has not", (int)id);
        batch_judge(store, job);
        job_free(job);
    }
    store_close(store);
}

START_TEST(a_writer_that_is_killed_loses_nothing_it_acknowledged)
{
    struct rand rand;

    rand_seed(&rand, 7);
    stored_dir_make(dir);
    for (unsigned i = 0; i < ROUNDS; i++) {
        round_run(rand_next(&rand), (unsigned)rand_below(&rand, ACKS_MAX));
        if (i % 10 == 9)
            store_judge();
    }
    stored_dir_remove(dir);
}
END_TEST

/* --- full disk --- */

/* A disk of its own in a mount namespace of its own; false where that is not allowed. */
static bool small_disk(const char *options)
{
    return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", dir, "tmpfs", 0, options) == 0;
}

/* Without that, a limit to the size of files stands for the disk's end. */
static void disk_limit(rlim_t bytes)
{
    struct rlimit limit = {bytes, RLIM_INFINITY};

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void ballast_write(void)
{
    char path[STORED_DIR_BYTES + 16];

    snprintf(path, sizeof path, "%s/ballast", dir);

    FILE *f = fopen(path, "w");

    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < 1 << 20; i++)
        fputc(0, f);
    fclose(f);
}

static void ballast_remove(void)
{
    char path[STORED_DIR_BYTES + 16];

    snprintf(path, sizeof path, "%s/ballast", dir);
    ck_assert_int_eq(remove(path), 0);
}

/* Inserts batches of ten until the disk is full; the id of the first job that found no room. */
static uint64_t fill(struct store *store, uint64_t id)
{
    int r;

    while ((r = stored_insert_many(store, id, 10)) == 0)
        id += 10;
    ck_assert_msg(r == -ENOSPC, "a full disk answered %d", r);
    return id;
}

static unsigned jobs_there(struct store *store, uint64_t below_id)
{
    unsigned count = 0;

    for (uint64_t id = 1; id < below_id + 20; id++) {
        struct job *job = NULL;

        count += store_job_get(store_writer_reader(store), id, &job) == 1;
        job_free(job);
    }
    return count;
}

START_TEST(a_full_disk_refuses_loses_nothing_and_recovers)
{
    stored_dir_make(dir);

    bool own_disk = small_disk("size=6m");

    if (own_disk)
        ballast_write();
    else
        disk_limit(2 << 20);

    struct store *store = stored_open(dir);
    uint64_t id = fill(store, 1);

    ck_assert_uint_gt(id, 100);
    ck_assert_uint_eq(jobs_there(store, id), id - 1);
    store_tend(store);
    id = fill(store, id);
    if (own_disk)
        ballast_remove();
    else
        disk_limit(RLIM_INFINITY);
    for (int i = 0; i < 10; i++, id += 10)
        ck_assert_int_eq(stored_insert_many(store, id, 10), 0);
    store_close(store);
    store = stored_open(dir);
    ck_assert_uint_eq(jobs_there(store, id), id - 1);
    store_close(store);
    if (own_disk)
        umount(dir);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(a_full_disk_at_the_start_is_said_in_a_sentence)
{
    struct store *store = NULL;
    char why[STORE_WHY_BYTES] = "";

    stored_dir_make(dir);

    bool own_disk = small_disk("size=64k");

    if (!own_disk)
        disk_limit(8192);
    ck_assert_int_eq(store_open_sqlite(dir, &store, why), -ENOSPC);
    ck_assert_msg(strstr(why, dir), "it said: %s", why);
    if (own_disk)
        umount(dir);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(a_folder_that_cannot_be_written_is_said_in_a_sentence)
{
    struct store *store = NULL;
    char why[STORE_WHY_BYTES] = "";

    stored_dir_make(dir);

    bool own_disk = small_disk("size=1m,ro");

    if (!own_disk)
        chmod(dir, 0500);
    ck_assert_int_eq(store_open_sqlite(dir, &store, why), own_disk ? -EROFS : -EACCES);
    ck_assert_msg(strstr(why, dir), "it said: %s", why);
    if (own_disk)
        umount(dir);
    stored_dir_remove(dir);
}
END_TEST

START_TEST(a_store_on_a_disk_that_became_read_only_is_refused_whole)
{
    struct store *store = NULL;
    char why[STORE_WHY_BYTES] = "";

    stored_dir_make(dir);
    if (small_disk("size=8m")) {
        store = stored_open(dir);
        ck_assert_int_eq(stored_insert_many(store, 1, 10), 0);
        store_close(store);
        ck_assert_int_eq(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
        ck_assert_int_eq(store_open_sqlite(dir, &store, why), -EROFS);
        ck_assert_int_eq(mount(NULL, dir, NULL, MS_REMOUNT, NULL), 0);
        store = stored_open(dir);
        ck_assert_uint_eq(jobs_there(store, 10), 10);
        store_close(store);
        umount(dir);
    }
    stored_dir_remove(dir);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("storage_kill");
    TCase *tcase = tcase_create("kill");
    SRunner *runner = srunner_create(suite);

    /* A killed process leaves what the kernel has, on any disk; the fastest will do. */
    setenv("TMPDIR", "/dev/shm", 0);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_writer_that_is_killed_loses_nothing_it_acknowledged);
    tcase_add_test(tcase, a_full_disk_refuses_loses_nothing_and_recovers);
    tcase_add_test(tcase, a_full_disk_at_the_start_is_said_in_a_sentence);
    tcase_add_test(tcase, a_folder_that_cannot_be_written_is_said_in_a_sentence);
    tcase_add_test(tcase, a_store_on_a_disk_that_became_read_only_is_refused_whole);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed > 0;
}
