#include "jobs/cgroup_files.h"

#include "base/io.h"
#include "jobs/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROCS_BYTES 4096 /* a read of cgroup.procs at a time */
#define DEPTH_MAX 16     /* of cgroups that a job makes in its own */

int cgroup_file_write(int dir_fd, const char *name, const char *text)
{
    OWN_FD int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);

    return fd < 0 ? -errno : io_write_all(fd, text, strlen(text));
}

int cgroup_file_read(int dir_fd, const char *name, char *ret, size_t ret_bytes)
{
    OWN_FD int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;

    ssize_t n = io_read_full(fd, ret, ret_bytes - 1);
    if (n < 0)
        return (int)n;
    ret[n] = 0;
    return 0;
}

/* The number in "key 123"; a NULL key is not there, nor the space after it. */
static bool number_in(const char *line, const char *key, uint64_t *ret)
{
    size_t skip = key ? strlen(key) : 0;
    char *end;

    if (key && (strncmp(line, key, skip) != 0 || line[skip] != ' '))
        return false;
    unsigned long long value = strtoull(line + skip, &end, 10);

    if (end == line + skip)
        return false;
    *ret = value;
    return true;
}

/* The kernel gives all of such a file at once, from its start each time. */
int cgroup_fd_u64(int fd, const char *key, uint64_t *ret)
{
    char text[1024];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    if (n < 0)
        return -errno;
    text[n] = 0;
    for (const char *line = text; *line;) {
        if (number_in(line, key, ret))
            return 0;
        line = strchrnul(line, '\n');
        line += *line == '\n';
    }
    return -ENOENT;
}

int cgroup_file_u64(int dir_fd, const char *name, const char *key, uint64_t *ret)
{
    OWN_FD int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -errno : cgroup_fd_u64(fd, key, ret);
}

/* Those of one read; a long list is read on, since the kernel keeps our place. */
static int signal_some(char *text, int signal)
{
    int last = 0;

    for (char *at = text, *end; *at; at = end) {
        long pid = strtol(at, &end, 10);

        if (end == at)
            break;
        if (*end == 0)
            return (int)(end - at); /* cut off in the middle of a number */
        if (pid > 1 && kill((pid_t)pid, signal) < 0 && errno != ESRCH)
            last = -errno;
        while (*end == '\n')
            end++;
    }
    return last;
}

int cgroup_file_signal(int dir_fd, int signal)
{
    char text[PROCS_BYTES + 1];
    size_t kept = 0;

    OWN_FD int fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    for (;;) {
        ssize_t n = read(fd, text + kept, PROCS_BYTES - kept);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        size_t len = kept + (size_t)n;

        text[len] = 0;
        int r = signal_some(text, signal);
        if (r < 0)
            return r;
        kept = (size_t)r;
        memmove(text, text + len - kept, kept);
    }
}

static int each(int parent_fd, const char *name, unsigned depth, cgroup_files_fn fn, void *ctx);

static int each_child(int dir_fd, unsigned depth, cgroup_files_fn fn, void *ctx)
{
    OWN(folder_close) DIR *dir = folder_open(dir_fd);
    if (!dir)
        return -errno;

    for (struct dirent *entry; (entry = folder_next(dir)) != NULL;) {
        if (entry->d_type != DT_DIR)
            continue;
        int r = each(dir_fd, entry->d_name, depth, fn, ctx);
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}

static int each(int parent_fd, const char *name, unsigned depth, cgroup_files_fn fn, void *ctx)
{
    if (depth == 0)
        return -ELOOP;

    OWN_FD int dir_fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    int r = each_child(dir_fd, depth - 1, fn, ctx);

    return r < 0 ? r : fn(ctx, parent_fd, name, dir_fd);
}

int cgroup_files_each(int parent_fd, const char *name, cgroup_files_fn fn, void *ctx)
{
    return each(parent_fd, name, DEPTH_MAX, fn, ctx);
}
