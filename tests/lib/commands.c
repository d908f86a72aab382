#include "tests/lib/commands.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "jobs/cgroup.h"
#include "jobs/kinds_internal.h"
#include "tests/lib/folder.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

const struct kind_config commands_with_cgroups = {.cgroups = true};
const struct kind_config commands_without_cgroups = {.cgroups = false};

/* Each test of this kind runs both ways. */
void commands_both_ways(void (*body)(struct rig *rig))
{
    rig_run(NULL, &commands_with_cgroups, body);
    rig_run(NULL, &commands_without_cgroups, body);
}

/* Processes that have word in their environment. */
static unsigned count_marked(const char *word)
{
    DIR *dir = opendir("/proc");
    unsigned count = 0;

    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        OWN_BUF struct buf b = BUF_INIT;
        char path[300];

        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "/proc/%s/environ", entry->d_name);
        if (io_file_read(AT_FDCWD, path, 1 << 20, &b) == 0)
            count += memmem(b.data, b.len, word, strlen(word)) != NULL;
    }
    closedir(dir);
    return count;
}

/* Empty folders kept for the next attempt are no leftovers. */
static void check_no_scratch(const char *path)
{
    DIR *dir = opendir(path);

    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char inner[900];

        if (entry->d_name[0] == '.')
            continue;
        ck_assert_msg(strncmp(entry->d_name, "0.", 2) == 0, "%s is left", entry->d_name);
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        ck_assert_uint_eq(folder_count(inner), 2);
    }
    closedir(dir);
}

/* Nor are empty cgroups kept for the next attempt. */
static void check_no_cgroup(const char *path)
{
    DIR *dir = opendir(path);

    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        OWN_BUF struct buf events = BUF_INIT;
        char inner[900];

        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        ck_assert_msg(strncmp(entry->d_name, "unlimited.", 10) == 0, "cgroup %s is left",
                      entry->d_name);
        snprintf(inner, sizeof inner, "%s/%s/cgroup.events", path, entry->d_name);
        ck_assert_int_eq(io_file_read(AT_FDCWD, inner, 4096, &events), 0);
        ck_assert_msg(strstr(buf_str(&events), "populated 0"), "%s is not empty", inner);
    }
    closedir(dir);
}

void commands_check_nothing_left(struct rig *rig)
{
    char word[64], path[600];

    snprintf(word, sizeof word, "STINT_STATE=%016llx",
             (unsigned long long)rig->kinds->state_id);
    ck_assert_uint_eq(count_marked(word), 0);
    snprintf(path, sizeof path, "%s/tmp", rig->dir);
    check_no_scratch(path);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
    if (!rig->kinds->cgroups)
        return;
    check_no_cgroup(cgroup_root_path(rig->kinds->cgroups));
}

/* Single quotes are double ones, so that documents can be read in C. */
const char *commands_document(const char *exec)
{
    static char text[4096];
    char *out = text + sprintf(text, "{\"exec\":{");

    for (; *exec; exec++)
        *out++ = *exec == '\'' ? '"' : *exec == '`' ? '\'' : *exec;
    strcpy(out, "}}");
    return text;
}
