#include "jobs/cgroup.h"

#include "base/own.h"
#include "jobs/cgroup_files.h"
#include "jobs/cgroup_find.h"
#include "jobs/cgroup_spares.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CPU_PERIOD_US 100000
#define CPU_QUOTA_US_MIN 1000 /* the kernel's least */

struct cgroup_root {
    int dir_fd;
    unsigned controllers;
    struct cgroup_spares spares;
    char path[PATH_MAX];
};

static const struct {
    const char *name, *enable;
    unsigned bit;
} controllers[] = {
    {"memory", "+memory", CGROUP_MEMORY},
    {"cpu", "+cpu", CGROUP_CPU},
    {"pids", "+pids", CGROUP_PIDS},
};

#define CONTROLLER_COUNT (sizeof controllers / sizeof *controllers)

/* Whether name is among the words of text. */
static bool has_word(const char *text, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = text; (at = strstr(at, name)) != NULL; at += len) {
        if ((at == text || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\n' || !at[len]))
            return true;
    }
    return false;
}

static unsigned controllers_in(int dir_fd, const char *file)
{
    char text[256];
    unsigned bits = 0;

    if (cgroup_file_read(dir_fd, file, text, sizeof text) < 0)
        return 0;
    for (size_t i = 0; i < CONTROLLER_COUNT; i++)
        bits |= has_word(text, controllers[i].name) ? controllers[i].bit : 0;
    return bits;
}

/* One by one: a controller that cannot be had must not cost the others. */
static void enable_controllers(int dir_fd)
{
    unsigned available = controllers_in(dir_fd, "cgroup.controllers");

    for (size_t i = 0; i < CONTROLLER_COUNT; i++) {
        if (available & controllers[i].bit)
            cgroup_file_write(dir_fd, "cgroup.subtree_control", controllers[i].enable);
    }
}

/* Whether its children may have controllers. The true root, which alone has no type, may keep
 * processes of its own besides. */
static bool may_pass_on(int dir_fd, const char *procs)
{
    char text[256];

    if (faccessat(dir_fd, "cgroup.type", F_OK, 0) < 0 && errno == ENOENT)
        return true;
    return cgroup_file_read(dir_fd, "cgroup.procs", text, sizeof text) == 0 &&
           strcmp(text, procs) == 0;
}

static int move_to_leaf(int base_fd)
{
    char own[32];

    if (mkdirat(base_fd, CGROUP_LEAF, 0755) < 0 && errno != EEXIST)
        return -errno;
    OWN_FD int leaf_fd = openat(base_fd, CGROUP_LEAF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (leaf_fd < 0)
        return -errno;
    snprintf(own, sizeof own, "%d", (int)getpid());
    return cgroup_file_write(leaf_fd, "cgroup.procs", own);
}

/* Not even tried while somebody is in it: the kernel would refuse memory, but grant cpu, and
 * with that make a base of threads of it, whose children take no processes at all. */
static unsigned enable_limits(int base_fd, int root_fd)
{
    char own[32];

    snprintf(own, sizeof own, "%d\n", (int)getpid());
    if (may_pass_on(base_fd, "") || (may_pass_on(base_fd, own) && move_to_leaf(base_fd) == 0))
        enable_controllers(base_fd);
    enable_controllers(root_fd);
    return controllers_in(root_fd, "cgroup.subtree_control");
}

/* Below a base of threads no process can be put. */
static bool takes_processes(int dir_fd)
{
    char type[32];

    return cgroup_file_read(dir_fd, "cgroup.type", type, sizeof type) < 0 ||
           strcmp(type, "domain invalid\n") != 0;
}

static int root_make(struct cgroup_root *root)
{
    const char *name = strrchr(root->path, '/');
    char base[PATH_MAX];

    snprintf(base, sizeof base, "%.*s", (int)(name - root->path), root->path);
    OWN_FD int base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base_fd < 0)
        return -errno;
    if (mkdirat(base_fd, name + 1, 0755) < 0 && errno != EEXIST)
        return -errno;
    root->dir_fd = openat(base_fd, name + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root->dir_fd < 0)
        return -errno;
    root->controllers = enable_limits(base_fd, root->dir_fd);
    if (takes_processes(root->dir_fd))
        return 0;
    close(root->dir_fd);
    rmdir(root->path);
    return -EOPNOTSUPP;
}

static int limit(int dir_fd, const char *file, const char *text)
{
    int r = cgroup_file_write(dir_fd, file, text);

    /* Without the controller the file is not there. */
    return r == -ENOENT ? -EOPNOTSUPP : r;
}

static int limit_memory(int dir_fd, uint64_t bytes)
{
    char text[32];

    snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
    int r = limit(dir_fd, "memory.max", text);
    if (r < 0)
        return r;
    /* Swap would make the limit a delay. One death is the job's: half of a tree is of no use.
     * Both files may be missing (no swap accounting, old kernels): the limit holds anyway. */
    cgroup_file_write(dir_fd, "memory.swap.max", "0");
    cgroup_file_write(dir_fd, "memory.oom.group", "1");
    return 0;
}

static int limit_cpu(int dir_fd, double cores)
{
    char text[64];
    double quota_us = cores * CPU_PERIOD_US;

    if (quota_us < CPU_QUOTA_US_MIN)
        quota_us = CPU_QUOTA_US_MIN;
    snprintf(text, sizeof text, "%.0f %d", quota_us, CPU_PERIOD_US);
    return limit(dir_fd, "cpu.max", text);
}

static int limit_pids(int dir_fd, uint64_t pids)
{
    char text[32];

    snprintf(text, sizeof text, "%llu", (unsigned long long)pids);
    return limit(dir_fd, "pids.max", text);
}

static int set_limits(int dir_fd, const struct cgroup_limits *limits)
{
    int r = 0;

    if (limits->memory_bytes > 0)
        r = limit_memory(dir_fd, limits->memory_bytes);
    if (r == 0 && limits->cpu > 0)
        r = limit_cpu(dir_fd, limits->cpu);
    if (r == 0 && limits->pids > 0)
        r = limit_pids(dir_fd, limits->pids);
    return r;
}

static int signal_one(void *ctx, int parent_fd, const char *name, int dir_fd)
{
    (void)parent_fd;
    (void)name;
    return cgroup_file_signal(dir_fd, *(const int *)ctx);
}

static int remove_one(void *ctx, int parent_fd, const char *name, int dir_fd)
{
    (void)ctx;
    (void)dir_fd;
    return unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int cgroup_root_find(uint64_t state_id, char *ret_path, size_t path_bytes, char *why,
                     size_t why_bytes)
{
    char base[PATH_MAX];

    int r = cgroup_find_own(base, sizeof base);
    if (r < 0) {
        snprintf(why, why_bytes, "cgroup2 is not mounted");
        return r;
    }
    int n =
        snprintf(ret_path, path_bytes, "%s/stint-%016llx", base, (unsigned long long)state_id);
    if (n < 0 || (size_t)n >= path_bytes) {
        snprintf(why, why_bytes, "the path of the cgroup is too long");
        return -ENAMETOOLONG;
    }
    return 0;
}

int cgroup_root_open(const char *path, struct cgroup_root **ret, char *why, size_t why_bytes)
{
    OWN(free) struct cgroup_root *root = calloc(1, sizeof *root);
    if (!root)
        return -ENOMEM;

    snprintf(root->path, sizeof root->path, "%s", path);
    int r = root_make(root);
    if (r < 0) {
        snprintf(why, why_bytes, "%.120s: %s", path, strerror(-r));
        return r;
    }
    cgroup_spares_open(&root->spares, !(root->controllers & CGROUP_MEMORY));
    *ret = TAKE(root);
    return 0;
}

static int discard(struct cgroup *cgroup)
{
    struct cgroup_root *root = cgroup->root;
    int r = 0;

    if (cgroup->watch > 0)
        cgroup_spares_forget(&root->spares, cgroup);
    if (cgroup->events_fd >= 0)
        close(cgroup->events_fd);
    if (cgroup->stat_fd >= 0)
        close(cgroup->stat_fd);
    if (cgroup->dir_fd >= 0)
        close(cgroup->dir_fd);
    /* Mostly it is bare; only a job that made cgroups of its own needs the walk. */
    if (unlinkat(root->dir_fd, cgroup->name, AT_REMOVEDIR) < 0)
        r = cgroup_files_each(root->dir_fd, cgroup->name, remove_one, NULL);
    free(cgroup);
    return r;
}

void cgroup_root_close(struct cgroup_root *root)
{
    bool fit;

    if (!root)
        return;
    for (struct cgroup *cgroup; (cgroup = cgroup_spares_take(&root->spares, &fit));)
        discard(cgroup);
    cgroup_spares_close(&root->spares);
    close(root->dir_fd);
    rmdir(root->path);
    free(root);
}

const char *cgroup_root_path(const struct cgroup_root *root)
{
    return root->path;
}

unsigned cgroup_root_controllers(const struct cgroup_root *root)
{
    return root->controllers;
}

/* A spare as good as new, or NULL. */
static struct cgroup *reuse(struct cgroup_root *root)
{
    bool fit = false;
    struct cgroup *cgroup;

    while ((cgroup = cgroup_spares_take(&root->spares, &fit)) && !fit)
        discard(cgroup);
    return cgroup;
}

static int open_files(struct cgroup *cgroup)
{
    cgroup->dir_fd =
        openat(cgroup->root->dir_fd, cgroup->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cgroup->dir_fd < 0)
        return -errno;
    cgroup->events_fd = openat(cgroup->dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (cgroup->events_fd < 0)
        return -errno;
    cgroup->stat_fd = openat(cgroup->dir_fd, "cpu.stat", O_RDONLY | O_CLOEXEC);
    return cgroup->stat_fd < 0 ? -errno : 0;
}

/* The name of one that many attempts may have tells none of them. */
static int make(struct cgroup_root *root, uint64_t job_id, uint32_t fence, bool watched,
                struct cgroup **ret)
{
    struct cgroup *cgroup = calloc(1, sizeof *cgroup);

    if (!cgroup)
        return -ENOMEM;
    cgroup->root = root;
    cgroup->dir_fd = cgroup->events_fd = cgroup->stat_fd = -1;
    if (watched)
        cgroup_spares_name(&root->spares, cgroup);
    else
        snprintf(cgroup->name, sizeof cgroup->name, "%llu.%u", (unsigned long long)job_id,
                 fence);
    int r = mkdirat(root->dir_fd, cgroup->name, 0755) < 0 ? -errno : 0;
    if (r < 0) {
        free(cgroup);
        return r;
    }
    r = open_files(cgroup);
    if (r < 0) {
        discard(cgroup);
        return r;
    }
    if (watched)
        cgroup_spares_watch(&root->spares, cgroup, root->path);
    *ret = cgroup;
    return 0;
}

int cgroup_new(struct cgroup_root *root, uint64_t job_id, uint32_t fence,
               const struct cgroup_limits *limits, struct cgroup **ret)
{
    bool limited = limits->memory_bytes > 0 || limits->pids > 0 || limits->cpu > 0;
    struct cgroup *cgroup = limited ? NULL : reuse(root);

    if (!cgroup) {
        int r = make(root, job_id, fence, !limited && root->spares.inotify_fd >= 0, &cgroup);
        if (r == 0)
            r = set_limits(cgroup->dir_fd, limits);
        if (r < 0) {
            if (cgroup)
                discard(cgroup);
            return r;
        }
    }
    *ret = cgroup;
    return 0;
}

int cgroup_fd(const struct cgroup *cgroup)
{
    return cgroup->dir_fd;
}

int cgroup_signal(struct cgroup *cgroup, int signal)
{
    return cgroup_files_each(cgroup->root->dir_fd, cgroup->name, signal_one, &signal);
}

int cgroup_kill(struct cgroup *cgroup)
{
    int r = cgroup_file_write(cgroup->dir_fd, "cgroup.kill", "1");

    /* Before Linux 5.14: whoever is seen; the caller repeats until it is empty. */
    return r == -ENOENT ? cgroup_signal(cgroup, SIGKILL) : r;
}

int cgroup_populated(const struct cgroup *cgroup)
{
    uint64_t populated;
    int r = cgroup_fd_u64(cgroup->events_fd, "populated", &populated);

    /* Removed by somebody else: that takes an empty one. */
    if (r == -ENODEV || r == -ENOENT)
        return 0;
    return r < 0 ? r : populated != 0;
}

void cgroup_usage(const struct cgroup *cgroup, struct cgroup_usage *ret)
{
    uint64_t cpu_us = 0;

    *ret = (struct cgroup_usage){0};
    cgroup_fd_u64(cgroup->stat_fd, "usage_usec", &cpu_us);
    ret->cpu_us = cpu_us > cgroup->cpu_before_us ? cpu_us - cgroup->cpu_before_us : 0;
    if (!(cgroup->root->controllers & CGROUP_MEMORY))
        return;
    cgroup_file_u64(cgroup->dir_fd, "memory.peak", NULL, &ret->memory_peak_bytes);
    cgroup_file_u64(cgroup->dir_fd, "memory.events", "oom_kill", &ret->oom_kills);
}

int cgroup_free(struct cgroup *cgroup)
{
    if (!cgroup)
        return 0;
    if (cgroup->watch > 0 && cgroup_spares_put(&cgroup->root->spares, cgroup))
        return 0;
    return discard(cgroup);
}
