/* How many processors a process may use: its affinity, cut by the quotas of its cgroups. */
#include "base/io.h"
#include "scheduler/cpus.h"

#include "tests/lib/folder.h"
#include "tests/lib/scheduled.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>

#define FILES_MAX 4
#define V2 "/sys/fs/cgroup"
#define V1 "/sys/fs/cgroup/cpu,cpuacct"

struct file {
    const char *folder, *name, *text;
};

struct row {
    const char *what, *cgroup; /* of /proc/self/cgroup; NULL = there is none */
    struct file files[FILES_MAX];
    unsigned affinity, cpus;
};

static const struct row rows[] = {
    {"no cgroups", NULL, {{NULL, NULL, NULL}}, 8, 8},
    {"no controller", "0::/\n", {{NULL, NULL, NULL}}, 8, 8},
    {"no limit", "0::/a\n", {{V2 "/a", "cpu.max", "max 100000\n"}}, 8, 8},
    {"a half more than one", "0::/a\n", {{V2 "/a", "cpu.max", "150000 100000\n"}}, 8, 2},
    {"whole ones", "0::/a\n", {{V2 "/a", "cpu.max", "300000 100000\n"}}, 8, 3},
    {"less than one", "0::/a\n", {{V2 "/a", "cpu.max", "10000 100000\n"}}, 8, 1},
    {"another period", "0::/a\n", {{V2 "/a", "cpu.max", "100000 20000\n"}}, 8, 5},
    {"more than the affinity", "0::/a\n", {{V2 "/a", "cpu.max", "900000 100000\n"}}, 2, 2},
    {"a limit above",
     "0::/a/b/c\n",
     {{V2 "/a/b/c", "cpu.max", "max 100000\n"}, {V2 "/a", "cpu.max", "200000 100000\n"}},
     8,
     2},
    {"the least of all",
     "0::/a/b\n",
     {{V2 "/a/b", "cpu.max", "500000 100000\n"},
      {V2 "/a", "cpu.max", "300000 100000\n"},
      {V2, "cpu.max", "400000 100000\n"}},
     8,
     3},
    {"the root of a container", "0::/\n", {{V2, "cpu.max", "200000 100000\n"}}, 8, 2},
    {"a sibling's", "0::/a\n", {{V2 "/b", "cpu.max", "100000 100000\n"}}, 8, 8},
    {"version 1",
     "12:cpuset:/\n4:cpu,cpuacct:/a\n",
     {{V1 "/a", "cpu.cfs_quota_us", "250000\n"}, {V1 "/a", "cpu.cfs_period_us", "100000\n"}},
     8,
     3},
    {"version 1 without a limit",
     "4:cpu,cpuacct:/a\n",
     {{V1 "/a", "cpu.cfs_quota_us", "-1\n"}, {V1 "/a", "cpu.cfs_period_us", "100000\n"}},
     8,
     8},
    {"both versions",
     "4:cpu,cpuacct:/a\n0::/b\n",
     {{V1 "/a", "cpu.cfs_quota_us", "400000\n"},
      {V1 "/a", "cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/unified/b", "cpu.max", "200000 100000\n"}},
     8,
     2},
    {"nonsense", "0::/a\n", {{V2 "/a", "cpu.max", "much\n"}}, 8, 8},
    {"a period of nothing", "0::/a\n", {{V2 "/a", "cpu.max", "100000 0\n"}}, 8, 8},
    {"lines of nonsense", "\n:\n::\n0\n0::\n", {{NULL, NULL, NULL}}, 8, 8},
};

static void put(const char *root, const char *folder, const char *name, const char *text)
{
    char path[1024];

    snprintf(path, sizeof path, "%s%s", root, folder);
    ck_assert_int_eq(io_mkdirs(AT_FDCWD, path, 0700), 0);
    snprintf(path, sizeof path, "%s%s/%s", root, folder, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
}

START_TEST(quotas_cut_what_affinity_allows)
{
    const struct row *row = &rows[_i];
    char *root = folder_new();

    if (row->cgroup != NULL)
        put(root, "/proc/self", "cgroup", row->cgroup);
    for (unsigned i = 0; i < FILES_MAX && row->files[i].folder != NULL; i++)
        put(root, row->files[i].folder, row->files[i].name, row->files[i].text);
    unsigned cpus = cpus_within(root, row->affinity);
    ck_assert_msg(cpus == row->cpus, "%s: %u, not %u", row->what, cpus, row->cpus);
    folder_remove(root);
}
END_TEST

static int count_processors(void *arg)
{
    *(unsigned *)arg = scheduler_processors();
    return 0;
}

START_TEST(who_is_bound_to_one_cpu_has_one_processor)
{
    unsigned processors = 0;
    cpu_set_t set;

    ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
    for (size_t cpu = 0, kept = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set) && kept++ > 0)
            CPU_CLR(cpu, &set);
    ck_assert_int_eq(sched_setaffinity(0, sizeof set, &set), 0);
    ck_assert_uint_eq(scheduler_usable_cpus(), 1);
    scheduled(0, count_processors, &processors);
    ck_assert_uint_eq(processors, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_cpus");
    TCase *tc = tcase_create("cpus");

    tcase_add_loop_test(tc, quotas_cut_what_affinity_allows, 0, sizeof rows / sizeof *rows);
    tcase_add_test(tc, who_is_bound_to_one_cpu_has_one_processor);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
