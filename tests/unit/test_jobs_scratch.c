#include "jobs/scratch.h"

#include "base/own.h"
#include "jobs/folder.h"
#include "tests/lib/folder.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS 500

static char *path;
static int dir_fd;
static struct scratch_spares spares;

static void begin(void)
{
    path = folder_new();
    dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(dir_fd, 0);
}

static void finish(void)
{
    close(dir_fd);
    folder_remove(path);
}

static unsigned entries(int fd)
{
    OWN(folder_close) DIR *dir = folder_open(fd);
    unsigned count = 0;

    ck_assert_ptr_nonnull(dir);
    while (folder_next(dir))
        count++;
    return count;
}

static int make(const char *name)
{
    struct stat st;
    int fd = -1;

    ck_assert_int_eq(scratch_make(&spares, dir_fd, name, &fd), 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);
    ck_assert_uint_eq(entries(fd), 0);
    return fd;
}

static void unmake(const char *name, int fd)
{
    struct stat st;

    ck_assert_int_eq(scratch_remove(&spares, dir_fd, name, fd), 0);
    ck_assert_int_lt(fstatat(dir_fd, name, &st, 0), 0);
    close(fd);
}

static ino_t inode(int fd)
{
    struct stat st;

    ck_assert_int_eq(fstat(fd, &st), 0);
    return st.st_ino;
}

START_TEST(a_folder_left_empty_is_the_next_ones)
{
    begin();
    int fd = make("1.1");
    ino_t before = inode(fd);

    unmake("1.1", fd);
    fd = make("2.1");
    ck_assert_uint_eq(inode(fd), before);
    unmake("2.1", fd);
    ck_assert_uint_eq(entries(dir_fd), 1);
    finish();
}
END_TEST

static void fill(int fd)
{
    ck_assert_int_eq(mkdirat(fd, "a", 0700), 0);
}

static void open_up(int fd)
{
    ck_assert_int_eq(fchmod(fd, 0755), 0);
}

/* A folder stays as large as it once was. */
static void bloat(int fd)
{
    char name[280];

    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "%0255d", i);
        ck_assert_int_eq(mkdirat(fd, name, 0700), 0);
    }
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "%0255d", i);
        ck_assert_int_eq(unlinkat(fd, name, AT_REMOVEDIR), 0);
    }
}

START_TEST(what_is_not_as_new_is_removed)
{
    begin();
    static void (*const spoil[])(int fd) = {fill, open_up, bloat};
    struct stat st;

    for (size_t i = 0; i < sizeof spoil / sizeof *spoil; i++) {
        int fd = make("1.1");

        spoil[i](fd);
        /* On some file systems a folder's size says nothing, and this one is as new. */
        unsigned kept = spoil[i] == bloat && fstat(fd, &st) == 0 && st.st_size <= 4096;
        unmake("1.1", fd);
        ck_assert_uint_eq(entries(dir_fd), kept);
        scratch_clear(&spares, dir_fd);
    }
    finish();
}
END_TEST

START_TEST(a_folder_that_was_never_made_is_no_trouble)
{
    begin();
    ck_assert_int_eq(scratch_remove(&spares, dir_fd, "1.1", -1), 0);
    ck_assert_uint_eq(entries(dir_fd), 0);
    finish();
}
END_TEST

START_TEST(so_many_are_kept_and_none_after_the_clearing)
{
    begin();
    int fds[SCRATCH_SPARES + 5];
    char name[32];

    for (int i = 0; i < SCRATCH_SPARES + 5; i++) {
        snprintf(name, sizeof name, "%d.1", i + 1);
        fds[i] = make(name);
    }
    for (int i = 0; i < SCRATCH_SPARES + 5; i++) {
        snprintf(name, sizeof name, "%d.1", i + 1);
        unmake(name, fds[i]);
    }
    ck_assert_uint_eq(entries(dir_fd), SCRATCH_SPARES);
    scratch_clear(&spares, dir_fd);
    ck_assert_uint_eq(entries(dir_fd), 0);
    unmake("1.1", make("1.1"));
    ck_assert_uint_eq(entries(dir_fd), 1);
    finish();
}
END_TEST

/* Whoever has a folder writes into it; if two had one, one of them would not find it empty. */
static void *use(void *arg)
{
    char name[32];

    for (int i = 0; i < ROUNDS; i++) {
        snprintf(name, sizeof name, "%d.%d", (int)(intptr_t)arg, i);
        int fd = make(name);

        ck_assert_int_eq(mkdirat(fd, "mine", 0700), 0);
        ck_assert_uint_eq(entries(fd), 1);
        ck_assert_int_eq(unlinkat(fd, "mine", AT_REMOVEDIR), 0);
        unmake(name, fd);
    }
    return NULL;
}

START_TEST(no_two_have_one_folder)
{
    begin();
    pthread_t threads[THREADS];

    for (intptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_le(entries(dir_fd), THREADS);
    ck_assert_uint_eq(spares.taken, spares.full);
    finish();
}
END_TEST

int main(void)
{
    return SUITE_MAIN("jobs_scratch", a_folder_left_empty_is_the_next_ones,
                      what_is_not_as_new_is_removed, a_folder_that_was_never_made_is_no_trouble,
                      so_many_are_kept_and_none_after_the_clearing, no_two_have_one_folder);
}
