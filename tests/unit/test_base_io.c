#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "tests/lib/folder.h"
#include "tests/lib/suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

static int open_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    return fd;
}

static void holds(int dir_fd, const char *path, const char *want)
{
    OWN_BUF struct buf b = BUF_INIT;

    ck_assert_int_eq(io_file_read(dir_fd, path, 1 << 20, &b), 0);
    ck_assert_str_eq(buf_str(&b), want);
}

static int entries(int dir_fd)
{
    DIR *dir = fdopendir(dup(dir_fd));
    int count = 0;

    rewinddir(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

/* ----- streams ----- */

struct pipe_writer {
    int fd;
    const char *data;
    size_t len;
    int r;
};

static void *write_all(void *arg)
{
    struct pipe_writer *w = arg;

    w->r = io_write_all(w->fd, w->data, w->len);
    close(w->fd);
    return NULL;
}

START_TEST(a_long_write_crosses_a_small_pipe_whole)
{
    enum { LEN = 300000 };
    static char out[LEN], in[LEN + 10];
    int fds[2];
    pthread_t thread;

    for (int i = 0; i < LEN; i++)
        out[i] = (char)(i * 7);
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    struct pipe_writer w = {.fd = fds[1], .data = out, .len = LEN};
    ck_assert_int_eq(pthread_create(&thread, NULL, write_all, &w), 0);
    ck_assert_int_eq(io_read_full(fds[0], in, sizeof in), LEN);
    pthread_join(thread, NULL);
    ck_assert_int_eq(w.r, 0);
    ck_assert_int_eq(memcmp(in, out, LEN), 0);
    close(fds[0]);
}
END_TEST

START_TEST(failures_come_back_as_negative_errnos)
{
    OWN_BUF struct buf b = BUF_INIT;
    char c;

    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(io_write_all(-1, "x", 1), -EBADF);
    ck_assert_int_eq(io_write_all(-1, "x", 0), 0);
    ck_assert_int_eq(io_pwrite_all(-1, "x", 1, 0), -EBADF);
    ck_assert_int_eq(io_read_full(-1, &c, 1), -EBADF);
    ck_assert_int_eq(io_file_read(AT_FDCWD, "/nonexistent/file", 10, &b), -ENOENT);
    ck_assert_int_eq(io_file_read(AT_FDCWD, "/", 10, &b), -EISDIR);

    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]);
    ck_assert_int_eq(io_write_all(fds[1], "x", 1), -EPIPE);
    close(fds[1]);
}
END_TEST

START_TEST(a_full_disk_is_told)
{
    OWN_FD int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(io_write_all(fd, "x", 1), -ENOSPC);
}
END_TEST

START_TEST(a_positioned_write_leaves_the_rest_alone)
{
    char *folder = folder_new();
    OWN_FD int dir = open_folder(folder);
    OWN_FD int fd = openat(dir, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    ck_assert_int_eq(io_write_all(fd, "abcdef", 6), 0);
    ck_assert_int_eq(io_pwrite_all(fd, "XY", 2, 2), 0);
    ck_assert_int_eq(io_pwrite_all(fd, "Z", 1, (uint64_t)INT64_MAX + 1), -EFBIG);
    holds(dir, "f", "abXYef");
    folder_remove(folder);
}
END_TEST

/* ----- whole files ----- */

START_TEST(a_file_is_read_up_to_its_bound)
{
    char *folder = folder_new();
    OWN_FD int dir = open_folder(folder);
    OWN_BUF struct buf b = BUF_INIT;

    ck_assert_int_eq(io_file_replace(dir, "f", "12345", 5, 0644), 0);
    buf_puts(&b, "kept ");
    ck_assert_int_eq(io_file_read(dir, "f", 4, &b), -EFBIG);
    ck_assert_str_eq(buf_str(&b), "kept ");
    ck_assert_int_eq(io_file_read(dir, "f", 5, &b), 0);
    ck_assert_str_eq(buf_str(&b), "kept 12345");
    folder_remove(folder);
}
END_TEST

START_TEST(a_file_larger_than_one_read_comes_whole)
{
    enum { LEN = 65536 * 3 };
    static char data[LEN];
    char *folder = folder_new();
    OWN_FD int dir = open_folder(folder);
    OWN_BUF struct buf b = BUF_INIT;

    memset(data, 'd', LEN);
    ck_assert_int_eq(io_file_replace(dir, "f", data, LEN, 0644), 0);
    ck_assert_int_eq(io_file_read(dir, "f", LEN, &b), 0);
    ck_assert_uint_eq(b.len, LEN);
    ck_assert_int_eq(memcmp(b.data, data, LEN), 0);
    folder_remove(folder);
}
END_TEST

START_TEST(files_without_a_size_are_read_to_their_end)
{
    OWN_BUF struct buf b = BUF_INIT;

    ck_assert_int_eq(io_file_read(AT_FDCWD, "/proc/self/status", 1 << 16, &b), 0);
    ck_assert_ptr_nonnull(strstr(buf_str(&b), "Threads:"));
}
END_TEST

START_TEST(a_replaced_file_has_the_new_content_and_mode_and_no_leftovers)
{
    char *folder = folder_new();
    OWN_FD int dir = open_folder(folder);
    struct stat st;

    umask(077);
    ck_assert_int_eq(io_file_replace(dir, "f", "old", 3, 0600), 0);
    ck_assert_int_eq(io_file_replace(dir, "f", "new one", 7, 0644), 0);
    holds(dir, "f", "new one");
    ck_assert_int_eq(fstatat(dir, "f", &st, 0), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0644);
    ck_assert_int_eq(io_file_replace(dir, "f", NULL, 0, 0644), 0);
    holds(dir, "f", "");
    ck_assert_int_eq(entries(dir), 1);
    folder_remove(folder);
}
END_TEST

START_TEST(a_replacement_that_fails_changes_nothing)
{
    char *folder = folder_new();
    OWN_FD int dir = open_folder(folder);
    char long_name[PATH_MAX + 1];

    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    ck_assert_int_eq(mkdirat(dir, "taken", 0755), 0);
    ck_assert_int_eq(io_file_replace(dir, "taken", "x", 1, 0644), -EISDIR);
    ck_assert_int_eq(io_file_replace(dir, "none/f", "x", 1, 0644), -ENOENT);
    ck_assert_int_eq(io_file_replace(dir, long_name, "x", 1, 0644), -ENAMETOOLONG);
    ck_assert_int_eq(entries(dir), 1);
    folder_remove(folder);
}
END_TEST

START_TEST(a_file_in_another_folder_can_be_replaced)
{
    char *folder = folder_new();
    OWN_FD int dir = open_folder(folder);
    OWN_BUF struct buf path = BUF_INIT;

    buf_putf(&path, "%s/sub/f", folder);
    ck_assert_int_eq(io_mkdirs(dir, "sub", 0755), 0);
    ck_assert_int_eq(io_file_replace(dir, "sub/f", "one", 3, 0644), 0);
    holds(dir, "sub/f", "one");
    ck_assert_int_eq(io_file_replace(AT_FDCWD, buf_str(&path), "two", 3, 0644), 0);
    holds(dir, "sub/f", "two");
    folder_remove(folder);
}
END_TEST

/* ----- folders ----- */

START_TEST(folders_are_made_all_the_way_and_twice)
{
    static const char *const paths[] = {"a/b/c", "a/b/c", "a//b///d/", "./e/../f", "."};
    char *folder = folder_new();
    OWN_FD int dir = open_folder(folder);
    struct stat st;

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        ck_assert_msg(io_mkdirs(dir, paths[i], 0750) == 0, "%s", paths[i]);
        ck_assert_int_eq(fstatat(dir, paths[i], &st, 0), 0);
        ck_assert(S_ISDIR(st.st_mode));
    }
    ck_assert_int_eq(io_mkdirs(AT_FDCWD, "/", 0755), 0);
    folder_remove(folder);
}
END_TEST

START_TEST(a_file_in_the_way_of_a_folder_is_told)
{
    char *folder = folder_new();
    OWN_FD int dir = open_folder(folder);
    char long_path[PATH_MAX + 1];

    memset(long_path, '/', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = 0;
    ck_assert_int_eq(io_file_replace(dir, "f", "x", 1, 0644), 0);
    ck_assert_int_eq(io_mkdirs(dir, "f", 0755), -ENOTDIR);
    ck_assert_int_eq(io_mkdirs(dir, "f/g", 0755), -ENOTDIR);
    ck_assert_int_eq(io_mkdirs(dir, "", 0755), -ENOENT);
    ck_assert_int_eq(io_mkdirs(dir, long_path, 0755), -ENAMETOOLONG);
    folder_remove(folder);
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "base/io", a_long_write_crosses_a_small_pipe_whole,
        failures_come_back_as_negative_errnos, a_full_disk_is_told,
        a_positioned_write_leaves_the_rest_alone, a_file_is_read_up_to_its_bound,
        a_file_larger_than_one_read_comes_whole, files_without_a_size_are_read_to_their_end,
        a_replaced_file_has_the_new_content_and_mode_and_no_leftovers,
        a_replacement_that_fails_changes_nothing, a_file_in_another_folder_can_be_replaced,
        folders_are_made_all_the_way_and_twice, a_file_in_the_way_of_a_folder_is_told);
}
