#include "base/io.h"

#include "base/buf.h"
#include "base/own.h"
#include "base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define READ_BYTES 65536
#define TEMP_TRIES_MAX 8

int io_write_all(int fd, const void *data, size_t len)
{
    for (const char *at = data; len > 0;) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int io_pwrite_all(int fd, const void *data, size_t len, uint64_t offset)
{
    for (const char *at = data; len > 0;) {
        if (offset > INT64_MAX)
            return -EFBIG;

        ssize_t n = pwrite(fd, at, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

ssize_t io_read_full(int fd, void *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = read(fd, (char *)data + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* Reads on until the end, whatever the size in the inode says: /proc says 0. */
static int read_rest(int fd, size_t bytes_max, struct buf *b)
{
    for (size_t start = b->len;;) {
        char *to = buf_reserve(b, READ_BYTES);

        if (!to)
            return -ENOMEM;

        ssize_t n = io_read_full(fd, to, READ_BYTES);

        if (n < 0)
            return (int)n;
        buf_commit(b, (size_t)n);
        if (b->len - start > bytes_max)
            return -EFBIG;
        if (n < READ_BYTES)
            return 0;
    }
}

int io_file_read(int dir_fd, const char *path, size_t bytes_max, struct buf *b)
{
    OWN_FD int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return -errno;

    size_t before = b->len;
    int r = read_rest(fd, bytes_max, b);

    if (r < 0 && b->data) {
        b->len = before;
        b->data[before] = 0;
    }
    return r;
}

/* Opens a new file beside path; its name goes to ret_name. */
static int temp_open(int dir_fd, const char *path, char ret_name[PATH_MAX])
{
    for (int i = 0; i < TEMP_TRIES_MAX; i++) {
        uint64_t id;
        int r = rand_secret(&id, sizeof id);

        if (r < 0)
            return r;
        if (snprintf(ret_name, PATH_MAX, "%s.%016llx.tmp", path, (unsigned long long)id) >=
            PATH_MAX)
            return -ENAMETOOLONG;

        int fd = openat(dir_fd, ret_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

static int fill_and_sync(int fd, const void *data, size_t len, unsigned mode)
{
    int r = io_write_all(fd, data, len);

    if (r < 0)
        return r;
    return fchmod(fd, mode) < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* Syncs the folder that holds path: a rename is durable only then. */
static int sync_folder(int dir_fd, const char *path)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');

    if (slash) {
        size_t len = slash == path ? 1 : (size_t)(slash - path);

        memcpy(folder, path, len);
        folder[len] = 0;
    }

    OWN_FD int fd = openat(dir_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int io_file_replace(int dir_fd, const char *path, const void *data, size_t len, unsigned mode)
{
    char temp[PATH_MAX];
    OWN_FD int fd = temp_open(dir_fd, path, temp);

    if (fd < 0)
        return fd;

    int r = fill_and_sync(fd, data, len, mode);

    if (r == 0 && renameat(dir_fd, temp, dir_fd, path) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(dir_fd, temp, 0);
        return r;
    }
    return sync_folder(dir_fd, path);
}

static int mkdir_one(int dir_fd, const char *path, unsigned mode)
{
    return mkdirat(dir_fd, path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static int is_folder(int dir_fd, const char *path)
{
    struct stat st;

    if (fstatat(dir_fd, path, &st, 0) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int io_mkdirs(int dir_fd, const char *path, unsigned mode)
{
    char part[PATH_MAX];
    size_t len = strlen(path);

    if (len == 0)
        return -ENOENT;
    if (len >= sizeof part)
        return -ENAMETOOLONG;
    memcpy(part, path, len + 1);
    for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        int r = mkdir_one(dir_fd, part, mode);

        if (r < 0)
            return r;
        *slash = '/';
    }

    int r = mkdir_one(dir_fd, part, mode);

    return r < 0 ? r : is_folder(dir_fd, part);
}
