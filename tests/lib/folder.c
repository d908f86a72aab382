#include "tests/lib/folder.h"

#include <check.h>
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#define DESCRIPTORS 16 /* that the walk may hold open */

char *folder_new(void)
{
    const char *tmp = getenv("TMPDIR");
    char *path = NULL;

    ck_assert_int_gt(asprintf(&path, "%s/stint-test-XXXXXX", tmp ? tmp : "/tmp"), 0);
    ck_assert_ptr_nonnull(mkdtemp(path));
    return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void folder_remove(char *path)
{
    if (path)
        nftw(path, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
    free(path);
}

unsigned folder_count(const char *path)
{
    DIR *dir = opendir(path);
    unsigned count = 0;

    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}
