/* kinds.c: what the kinds share, opened and closed; and what an earlier daemon left, cleared.
 *
 * The state folder is known by a number made of its path, device and inode: a copy of it is
 * another store, whose daemon must not kill the jobs of the first. In DIR:
 *
 *     tmp/ID.FENCE, tmp/0.N             scratch folder of an exec attempt; spare ones
 * (scratch.h) tmp/file.ID.FENCE, tmp/done.ID    notes of file jobs (file_target.h) cgroup path
 * of the cgroup root; removed at a clean end */
#include "jobs/kinds_internal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "jobs/cgroup.h"
#include "jobs/file_target.h"
#include "jobs/file_tree.h"
#include "jobs/folder.h"
#include "jobs/proctree.h"
#include "jobs/sys.h"
#include "scheduler/block.h"
#include "scheduler/task.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLEAR_NS                                                                               \
    (30 * NS_PER_S) /* for leftovers to die; then the daemon starts all the same               \
                     */
#define LOOK_NS_MIN NS_PER_MS
#define LOOK_NS_MAX (100 * NS_PER_MS)
#define REMEMBERED "cgroup"
#define SCRATCH "tmp"

/* FNV-1a: stable over versions, since names of cgroups and marks of processes come from it. */
static uint64_t hash(uint64_t h, const void *data, size_t len)
{
    for (const unsigned char *at = data; len > 0; at++, len--)
        h = (h ^ *at) * UINT64_C(0x100000001b3);
    return h;
}

static int identify(const char *state_dir, uint64_t *ret)
{
    OWN(free) char *path = realpath(state_dir, NULL);
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    struct stat st;

    if (!path || stat(path, &st) < 0)
        return sys_error();
    h = hash(h, path, strlen(path));
    h = hash(h, &st.st_dev, sizeof st.st_dev);
    *ret = hash(h, &st.st_ino, sizeof st.st_ino);
    return 0;
}

static char *find_home(void)
{
    const struct passwd *user = getpwuid(getuid());

    return strdup(user && user->pw_dir && *user->pw_dir ? user->pw_dir : "/");
}

static int read_oom_score_adj(void)
{
    OWN_BUF struct buf b = BUF_INIT;

    return io_file_read(AT_FDCWD, "/proc/self/oom_score_adj", 64, &b) < 0 ? 0
                                                                          : atoi(buf_str(&b));
}

static int open_state(struct kinds *kinds)
{
    const char *dir = kinds->config->state_dir;

    int r = identify(dir, &kinds->state_id);
    if (r < 0)
        return r;
    OWN_FD int state_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (state_fd < 0)
        return sys_error();
    if (mkdirat(state_fd, SCRATCH, 0711) < 0 && sys_error() != -EEXIST)
        return sys_error();
    kinds->scratch_fd = openat(state_fd, SCRATCH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (kinds->scratch_fd < 0)
        return sys_error();
    kinds->done_ids = calloc(KINDS_DONE_MAX, sizeof *kinds->done_ids);
    if (!kinds->done_ids)
        return -ENOMEM;
    kinds->home = find_home();
    kinds->oom_score_adj = read_oom_score_adj();
    return kinds->home ? spawn_base_open(&kinds->base) : -ENOMEM;
}

static void clear_cgroups(struct kinds *kinds, const char *path)
{
    int r = cgroup_root_clear(path, kinds->state_id, task_now_ns() + CLEAR_NS);

    if (r < 0)
        log_error("kinds.leftover_cgroup", LOG_STR("path", path), LOG_ERR(r));
}

/* The earlier daemon may have been started from another cgroup. */
static void clear_remembered(struct kinds *kinds)
{
    OWN_BUF struct buf path = BUF_INIT;

    block_enter(BLOCK_FILE);
    int r = io_file_read(kinds->scratch_fd, "../" REMEMBERED, PATH_MAX, &path);

    block_leave();
    if (r == 0)
        clear_cgroups(kinds, buf_str(&path));
}

/* Blocks. */
static int remember(struct kinds *kinds)
{
    const char *path = kinds->cgroups ? cgroup_root_path(kinds->cgroups) : "";

    if (*path)
        return io_file_replace(kinds->scratch_fd, "../" REMEMBERED, path, strlen(path), 0640);
    unlinkat(kinds->scratch_fd, "../" REMEMBERED, 0);
    return 0;
}

/* Processes of this state folder outside of its cgroups. No attempt runs yet, so whoever bears
 * the mark is left over. */
static void clear_processes(struct kinds *kinds)
{
    uint64_t deadline_ns = task_now_ns() + CLEAR_NS;
    const struct proctree_ident any = {.state_id = kinds->state_id};

    for (uint64_t look_ns = LOOK_NS_MIN;; look_ns *= look_ns < LOOK_NS_MAX ? 2 : 1) {
        block_enter_long(BLOCK_EXEC);
        int left = proctree_signal(kinds->tree, &any, PROCTREE_DEEP, SIGKILL);

        block_leave();
        if (left == 0)
            return;
        if (left < 0 || task_now_ns() >= deadline_ns) {
            log_error("kinds.leftover_processes", LOG_I64("count", left));
            return;
        }
        if (task_sleep_ns(look_ns) < 0)
            return;
    }
}

static bool is_scratch(const char *name)
{
    return name[0] >= '0' && name[0] <= '9' && strspn(name, "0123456789.") == strlen(name);
}

static void clear_scratch(struct kinds *kinds)
{
    OWN(folder_close) DIR *dir = folder_open(kinds->scratch_fd);

    for (struct dirent *entry; dir && (entry = folder_next(dir)) != NULL;) {
        int r = is_scratch(entry->d_name)
                    ? file_tree_remove(kinds->scratch_fd, entry->d_name, NULL)
                    : 0;
        if (r < 0)
            log_warn("kinds.scratch_left", LOG_STR("folder", entry->d_name), LOG_ERR(r));
    }
}

static int open_cgroups(struct kinds *kinds)
{
    char path[PATH_MAX];

    if (!kinds->config->cgroups) {
        snprintf(kinds->why, sizeof kinds->why, "switched off by the configuration");
        return 0;
    }
    block_enter_long(BLOCK_EXEC);
    int r = cgroup_root_find(kinds->state_id, path, sizeof path, kinds->why, sizeof kinds->why);

    block_leave();
    if (r < 0)
        return 0; /* why says so; proctree kills then */
    clear_cgroups(kinds, path);
    block_enter_long(BLOCK_EXEC);
    r = cgroup_root_open(path, &kinds->cgroups, kinds->why, sizeof kinds->why);
    block_leave();
    return r == -ENOMEM ? r : 0;
}

/* First the cgroups, which are sure and cheap; then who is outside of them; then files, since
 * nobody can write them any more. */
static int open_processes(struct kinds *kinds, struct group *group)
{
    clear_remembered(kinds);
    int r = open_cgroups(kinds);
    if (r == 0)
        r = proctree_open(kinds->state_id, &kinds->tree);
    if (r < 0)
        return r;
    clear_processes(kinds);
    /* As process 1 of a container we are given orphans whether we want them or not. */
    return !kinds->cgroups || getpid() == 1 ? proctree_adopt(kinds->tree, group) : 0;
}

static int open_parts(struct kinds *kinds, struct group *group)
{
    int r = open_state(kinds);
    if (r < 0)
        return r;
    r = open_processes(kinds, group);
    if (r < 0)
        return r;
    block_enter_long(BLOCK_FILE);
    clear_scratch(kinds);
    file_target_clear(kinds);
    r = remember(kinds);
    block_leave();
    return r < 0 ? r : http_pump_open(kinds->config, group, &kinds->pump);
}

static void tell(const struct kinds *kinds)
{
    OWN_BUF struct buf text = BUF_INIT;

    kinds_describe(kinds, &text);
    log_info("kinds.ready", LOG_STR("processes", buf_str(&text)));
}

int kinds_open(const struct kind_config *config, struct group *group, struct kinds **ret)
{
    struct kinds *kinds = calloc(1, sizeof *kinds);
    if (!kinds)
        return -ENOMEM;

    kinds->config = config;
    kinds->scratch_fd = -1;
    pthread_mutex_init(&kinds->done_lock, NULL);
    int r = open_parts(kinds, group);
    if (r < 0) {
        kinds_close(kinds);
        return r;
    }
    tell(kinds);
    *ret = kinds;
    return 0;
}

void kinds_close(struct kinds *kinds)
{
    if (!kinds)
        return;
    http_pump_close(kinds->pump);
    proctree_close(kinds->tree);
    if (kinds->cgroups) {
        block_enter_long(BLOCK_EXEC);
        cgroup_root_close(TAKE(kinds->cgroups));
        remember(kinds);
        block_leave();
    }
    if (kinds->done_ids) {
        block_enter(BLOCK_FILE);
        file_target_forget(kinds);
        block_leave();
    }
    if (kinds->scratch_fd >= 0) {
        block_enter(BLOCK_FILE);
        scratch_clear(&kinds->spares, kinds->scratch_fd);
        block_leave();
        close(kinds->scratch_fd);
    }
    spawn_base_close(&kinds->base);
    pthread_mutex_destroy(&kinds->done_lock);
    free(kinds->done_ids);
    free(kinds->home);
    free(kinds);
}

void kinds_describe(const struct kinds *kinds, struct buf *ret)
{
    if (!kinds->cgroups) {
        buf_putf(ret, "no cgroups (%s): processes are found by session, mark and environment",
                 kinds->why);
        return;
    }
    unsigned bits = cgroup_root_controllers(kinds->cgroups);

    buf_putf(ret, "cgroups at %s, limits on%s%s%s%s", cgroup_root_path(kinds->cgroups),
             bits & CGROUP_MEMORY ? " memory" : "", bits & CGROUP_CPU ? " cpu" : "",
             bits & CGROUP_PIDS ? " pids" : "", bits == 0 ? " nothing" : "");
}
