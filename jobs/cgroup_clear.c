/* cgroup_clear.c: ends what an earlier daemon's attempts left in a root of this state folder.
 */
#include "base/own.h"
#include "jobs/cgroup.h"
#include "jobs/cgroup_files.h"
#include "jobs/sys.h"
#include "scheduler/block.h"
#include "scheduler/task.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define LOOK_NS_MIN (UINT64_C(100) * 1000)
#define LOOK_NS_MAX (UINT64_C(50) * 1000 * 1000)

/* C2: only a folder that bears this state folder's name. */
static bool is_ours(const char *path, uint64_t state_id)
{
    char name[32];
    const char *last = strrchr(path, '/');

    snprintf(name, sizeof name, "/stint-%016llx", (unsigned long long)state_id);
    return last && last > path && strcmp(last, name) == 0;
}

static int clear_one(void *ctx, int parent_fd, const char *name, int dir_fd)
{
    (void)ctx;
    /* Before Linux 5.14 whoever is seen, again and again. */
    if (cgroup_file_write(dir_fd, "cgroup.kill", "1") == -ENOENT)
        cgroup_file_signal(dir_fd, SIGKILL);
    return unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && sys_error() != -ENOENT &&
                   sys_error() != -EBUSY
               ? sys_error()
               : 0;
}

int cgroup_root_clear(const char *path, uint64_t state_id, uint64_t deadline_ns)
{
    if (!is_ours(path, state_id))
        return -EINVAL;

    for (uint64_t look_ns = LOOK_NS_MIN;; look_ns *= look_ns < LOOK_NS_MAX ? 2 : 1) {
        block_enter(BLOCK_EXEC);
        int r = cgroup_files_each(AT_FDCWD, path, clear_one, NULL);
        bool gone = access(path, F_OK) < 0 && sys_error() == -ENOENT;

        block_leave();
        if (gone)
            return 0;
        if (r < 0)
            return r;
        if (task_now_ns() >= deadline_ns)
            return -ETIMEDOUT;
        r = task_sleep_ns(look_ns);
        if (r < 0)
            return r;
    }
}
