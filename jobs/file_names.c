#include "jobs/file_job.h"
#include "jobs/folder.h"
#include "jobs/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add(struct file_names *names, const char *name)
{
    if (names->count == names->cap) {
        size_t cap = names->cap ? names->cap * 2 : 64;
        char **items = reallocarray(names->items, cap, sizeof *items);
        if (!items)
            return -ENOMEM;
        names->items = items;
        names->cap = cap;
    }
    names->items[names->count] = strdup(name);
    return names->items[names->count] ? (names->count++, 0) : -ENOMEM;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int file_names_read(struct file_job *job, int dir_fd, struct file_names *ret)
{
    OWN(folder_close) DIR *dir = folder_open(dir_fd);
    struct file_names names = {0};
    struct dirent *entry;
    int r = dir ? 0 : sys_error();

    while (r == 0 && (entry = folder_next(dir)) != NULL)
        r = names.count < FILE_FOLDER_ENTRIES_MAX
                ? add(&names, entry->d_name)
                : file_job_fail(job, -EFBIG, "more than %u entries in a folder",
                                FILE_FOLDER_ENTRIES_MAX);
    if (r == 0 && names.count > 0)
        qsort(names.items, names.count, sizeof *names.items, by_bytes);
    if (r < 0)
        file_names_deinit(&names);
    else
        *ret = names;
    return r;
}

void file_names_deinit(struct file_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct file_names){0};
}
