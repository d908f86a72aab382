#include "jobs/file_tree.h"

#include "jobs/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct removal {
    int top_fd;
    dev_t device;
    uint64_t lifted; /* names given to what was moved up */
    uint64_t *files;
};

/* A folder that its owner made unreadable: opened by path alone, and changed through that. */
static void make_usable(int dir_fd, const char *name)
{
    char path[40];
    OWN_FD int fd = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    chmod(path, 0700);
}

static int open_folder(int dir_fd, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dir_fd, name, flags);

    if (fd < 0 && errno == EACCES) {
        make_usable(dir_fd, name);
        fd = openat(dir_fd, name, flags);
    }
    return fd < 0 ? -errno : fd;
}

static void count(struct removal *removal)
{
    if (removal->files)
        ++*removal->files;
}

/* 1 removed, 0 it is a folder with something in it, or a negative errno. */
static int remove_plain(struct removal *removal, int dir_fd, const struct dirent *entry)
{
    if (entry->d_type != DT_DIR && unlinkat(dir_fd, entry->d_name, 0) == 0) {
        count(removal);
        return 1;
    }
    /* EPERM is what some file systems say to the unlinking of a folder. */
    if (entry->d_type != DT_DIR && errno == ENOENT)
        return 1;
    if (entry->d_type != DT_DIR && errno != EISDIR && errno != EPERM)
        return -errno;
    if (unlinkat(dir_fd, entry->d_name, AT_REMOVEDIR) == 0) {
        count(removal);
        return 1;
    }
    if (errno == ENOENT)
        return 1;
    return errno == ENOTEMPTY || errno == EEXIST || errno == EACCES ? 0 : -errno;
}

static int lift(struct removal *removal, int dir_fd, const char *name)
{
    char lifted[48];

    for (;;) {
        snprintf(lifted, sizeof lifted, ".stint-lifted-%llu",
                 (unsigned long long)removal->lifted++);
        if (renameat2(dir_fd, name, removal->top_fd, lifted, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno == EACCES) {
            make_usable(dir_fd, name);
            if (renameat(dir_fd, name, removal->top_fd, lifted) == 0)
                return 0;
        }
        if (errno != EEXIST && errno != ENOTEMPTY)
            return errno == EXDEV ? -EBUSY : -errno;
    }
}

/* Empties one folder of the top: plain things go, full folders are lifted beside it. */
static int empty(struct removal *removal, int fd)
{
    OWN(folder_close) DIR *dir = folder_open(fd);
    if (!dir)
        return -errno;

    for (struct dirent *entry; (entry = folder_next(dir)) != NULL;) {
        int r = remove_plain(removal, fd, entry);
        if (r == 0)
            r = lift(removal, fd, entry->d_name);
        if (r < 0)
            return r;
    }
    return 0;
}

static int take_apart(struct removal *removal, const char *name)
{
    struct stat st;
    OWN_FD int fd = open_folder(removal->top_fd, name);

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_dev != removal->device)
        return -EBUSY;
    if ((st.st_mode & 0700) != 0700)
        fchmod(fd, 0700);
    int r = empty(removal, fd);
    if (r < 0)
        return r;
    /* Something may have been put in meanwhile; the next pass takes it. */
    if (unlinkat(removal->top_fd, name, AT_REMOVEDIR) == 0)
        count(removal);
    else if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
        return -errno;
    return 0;
}

/* One pass over the top folder; how many entries it met, or a negative errno. */
static int pass(struct removal *removal)
{
    OWN(folder_close) DIR *dir = folder_open(removal->top_fd);
    int met = 0;

    if (!dir)
        return -errno;
    for (struct dirent *entry; (entry = folder_next(dir)) != NULL;) {
        met = 1;
        int r = remove_plain(removal, removal->top_fd, entry);
        if (r == 0)
            r = take_apart(removal, entry->d_name);
        if (r < 0)
            return r;
    }
    return met;
}

static int remove_folder(int dir_fd, const char *name, uint64_t *files)
{
    struct removal removal = {.files = files};
    struct stat st;
    int r;

    OWN_FD int top_fd = open_folder(dir_fd, name);
    if (top_fd < 0)
        return top_fd == -ENOENT ? 0 : top_fd;
    if (fstat(top_fd, &st) < 0)
        return -errno;
    if ((st.st_mode & 0700) != 0700)
        fchmod(top_fd, 0700);
    removal.top_fd = top_fd;
    removal.device = st.st_dev;
    do {
        r = pass(&removal);
    } while (r > 0);
    if (r < 0)
        return r;
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return -errno;
    count(&removal);
    return 0;
}

int file_tree_remove(int dir_fd, const char *name, uint64_t *files)
{
    if (unlinkat(dir_fd, name, 0) == 0) {
        if (files)
            ++*files;
        return 0;
    }
    if (errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    return remove_folder(dir_fd, name, files);
}
