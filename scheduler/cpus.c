/* cpus.c: how many processors this process may really use: its affinity, cut by the CPU quota
 * of its cgroup and of every one above it, v2 (cpu.max) or v1 (cpu.cfs_quota_us). What is above
 * the root that a container sees is not to be seen from inside. */
#include "scheduler/cpus.h"

#include "base/buf.h"
#include "base/io.h"
#include "scheduler/scheduler.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES_MAX 65536
#define PATH_BYTES_MAX 4096

static unsigned affinity(void)
{
    cpu_set_t set;

    /* It fails where there are more processors than the set has room for. */
    long count = sched_getaffinity(0, sizeof set, &set) < 0 ? sysconf(_SC_NPROCESSORS_ONLN)
                                                            : CPU_COUNT(&set);

    return count > 0 ? (unsigned)count : 1;
}

/* Whole processors for a quota in microseconds a period, rounded up; 0 = no limit. */
static unsigned quota_cpus(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    return (unsigned)((quota + period - 1) / period);
}

static bool read_text(const char *folder, const char *file, struct buf *b)
{
    char path[PATH_BYTES_MAX];

    snprintf(path, sizeof path, "%s/%s", folder, file);
    buf_clear(b);
    return io_file_read(-1, path, FILE_BYTES_MAX, b) == 0 && b->len > 0;
}

static unsigned quota_of_folder(const char *folder)
{
    OWN_BUF struct buf b = BUF_INIT;
    long long quota = 0, period = 0;

    if (read_text(folder, "cpu.max", &b)) {
        if (sscanf(buf_str(&b), "%lld %lld", &quota, &period) != 2)
            return 0; /* "max 100000" */
        return quota_cpus(quota, period);
    }
    if (read_text(folder, "cpu.cfs_quota_us", &b))
        quota = strtoll(buf_str(&b), NULL, 10);
    if (read_text(folder, "cpu.cfs_period_us", &b))
        period = strtoll(buf_str(&b), NULL, 10);
    return quota_cpus(quota, period);
}

static unsigned least(unsigned a, unsigned b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

/* The folder and all above it, up to the root of the hierarchy. */
static unsigned quota_up(const char *root, const char *hierarchy, const char *below)
{
    char path[PATH_BYTES_MAX];
    unsigned cpus = 0;
    size_t root_len = strlen(root) + strlen(hierarchy);
    int len = snprintf(path, sizeof path, "%s%s%s", root, hierarchy, below);

    if (len < 0 || (size_t)len >= sizeof path)
        return 0;
    while (strlen(path) >= root_len) {
        cpus = least(cpus, quota_of_folder(path));
        char *slash = strrchr(path, '/');
        if (slash == NULL || (size_t)(slash - path) < root_len)
            break;
        *slash = '\0';
    }
    return cpus;
}

/* A line "id:controllers:path" of /proc/self/cgroup. */
static unsigned quota_of_line(const char *root, char *line)
{
    char *save = NULL, *id = strtok_r(line, ":", &save);
    char *rest = id != NULL ? strchr(line + strlen(id) + 1, ':') : NULL;

    if (rest == NULL)
        return 0;
    const char *controllers = line + strlen(id) + 1;
    size_t len = (size_t)(rest - controllers);
    if (len == 0)
        return least(quota_up(root, "/sys/fs/cgroup", rest + 1),
                     quota_up(root, "/sys/fs/cgroup/unified", rest + 1));
    *rest = '\0';
    for (char *name = strtok_r(NULL, ",", &save); name != NULL;
         name = strtok_r(NULL, ",", &save))
        if (strcmp(name, "cpu") == 0)
            return least(quota_up(root, "/sys/fs/cgroup/cpu,cpuacct", rest + 1),
                         quota_up(root, "/sys/fs/cgroup/cpu", rest + 1));
    return 0;
}

static unsigned quota(const char *root)
{
    OWN_BUF struct buf b = BUF_INIT;
    unsigned cpus = 0;
    char *save = NULL;

    if (!read_text(root, "proc/self/cgroup", &b))
        return 0;
    for (char *line = strtok_r(b.data, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save))
        cpus = least(cpus, quota_of_line(root, line));
    return cpus;
}

unsigned cpus_within(const char *root, unsigned affinity)
{
    return least(affinity, quota(root));
}

unsigned scheduler_usable_cpus(void)
{
    return cpus_within("", affinity());
}
