#include "jobs/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>

/* errno belongs to the thread, and many tasks are on it one after the other: that is no race,
 * although the sanitizer, which knows tasks only, takes it for one. */
#define OWN_ERRNO __attribute__((no_sanitize("thread")))

static bool is_dots(const char *name)
{
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

OWN_ERRNO DIR *folder_open(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir && fd >= 0) {
        int error = errno;

        close(fd);
        errno = error;
    }
    return dir;
}

void folder_close(DIR *dir)
{
    if (dir)
        closedir(dir);
}

OWN_ERRNO struct dirent *folder_next(DIR *dir)
{
    struct dirent *entry;

    errno = 0;
    do {
        entry = readdir(dir);
    } while (entry && is_dots(entry->d_name));
    return entry;
}
