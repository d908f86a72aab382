#include "jobs/file_roots.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

/* The part of path below root, "" for the root itself; NULL when it is not below. */
static const char *below(const char *root, const char *path)
{
    size_t len = strlen(root);

    while (len > 0 && root[len - 1] == '/')
        len--;
    if (strncmp(root, path, len) != 0 || (path[len] != '/' && path[len]))
        return NULL;
    path += len;
    while (*path == '/')
        path++;
    return path;
}

/* Roots may be nested: the innermost counts, as it is the most that may be left. */
static int open_root(char *const *roots, const char *path, const char **ret_rest)
{
    const char *best = NULL, *rest = NULL;

    for (; roots && *roots; roots++) {
        const char *found = below(*roots, path);
        if (found && (!rest || found > rest)) {
            best = *roots;
            rest = found;
        }
    }
    if (!best)
        return -EXDEV;
    int fd = open(best, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_rest = rest;
    return fd;
}

int file_roots_beneath(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    const struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NONBLOCK | O_NOCTTY)),
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve,
    };

    for (;;) {
        long fd = syscall(SYS_openat2, dir_fd, *path ? path : ".", &how, sizeof how);
        /* EAGAIN: something was renamed meanwhile and the kernel could not be sure. */
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            return fd < 0 ? -errno : (int)fd;
    }
}

int file_roots_open(char *const *roots, const char *path, int flags, mode_t mode)
{
    const char *rest;
    OWN_FD int root_fd = open_root(roots, path, &rest);

    return root_fd < 0 ? root_fd : file_roots_beneath(root_fd, rest, flags, mode, 0);
}

int file_roots_place(char *const *roots, const char *path, struct file_place *ret)
{
    char folder[PATH_MAX];
    const char *rest;

    OWN_FD int root_fd = open_root(roots, path, &rest);
    if (root_fd < 0)
        return root_fd;
    size_t len = strlen(rest);

    while (len > 0 && rest[len - 1] == '/')
        len--;
    if (len == 0)
        return -EBUSY;
    if (len >= sizeof folder)
        return -ENAMETOOLONG;
    memcpy(folder, rest, len);
    folder[len] = 0;
    char *slash = strrchr(folder, '/');
    const char *name = slash ? slash + 1 : folder;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EINVAL;
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    strcpy(ret->name, name);
    if (slash)
        *slash = 0;
    int fd = file_roots_beneath(root_fd, slash ? folder : ".", O_PATH | O_DIRECTORY, 0, 0);
    if (fd < 0)
        return fd;
    ret->dir_fd = fd;
    return 0;
}

void file_place_deinit(struct file_place *place)
{
    if (place->dir_fd >= 0)
        close(place->dir_fd);
    place->dir_fd = -1;
}
