/* folder.h: the entries of an open folder, without "." and "..". Blocks. */
#ifndef JOBS_FOLDER_H
#define JOBS_FOLDER_H

#include "base/own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>

/* Lists dir_fd from its start, whatever was read before; NULL with errno. */
static inline DIR *folder_open(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir && fd >= 0) {
        int failed = errno;

        close(fd);
        errno = failed;
    }
    return dir;
}

static inline void folder_close(DIR *dir)
{
    if (dir)
        closedir(dir);
}

static inline bool folder_is_dots(const char *name)
{
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* NULL at the end, and when the rest cannot be read: errno is then not 0. */
static inline struct dirent *folder_next(DIR *dir)
{
    struct dirent *entry;

    errno = 0;
    do {
        entry = readdir(dir);
    } while (entry && folder_is_dots(entry->d_name));
    return entry;
}

OWN_DEFINE(DIR, folder_close);

#endif
