/* Where we are in cgroup2, on machines of all kinds; and one cgroup's life on this one. */
#include "base/clock.h"
#include "base/own.h"
#include "jobs/cgroup.h"
#include "jobs/cgroup_find.h"
#include "jobs/spawn.h"
#include "tests/lib/scheduled.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define V2 "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define HYBRID                                                                                 \
    "33 32 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"                        \
    "42 32 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n"
#define PART "30 23 0:26 /docker/ab /sys/fs/cgroup rw - cgroup2 cgroup rw\n"

static const struct {
    const char *mountinfo, *self, *base; /* NULL: none */
} places[] = {
    {V2, "0::/\n", "/sys/fs/cgroup"},
    {V2, "0::/system.slice/stintd.service\n", "/sys/fs/cgroup/system.slice/stintd.service"},
    {V2, "0::/system.slice/stintd.service/stintd-main\n",
     "/sys/fs/cgroup/system.slice/stintd.service"},
    {HYBRID, "9:name=systemd:/x\n4:memory:/y\n0::/\n", "/sys/fs/cgroup/unified"},
    {HYBRID, "4:memory:/y\n0::/user.slice/a b\n", "/sys/fs/cgroup/unified/user.slice/a b"},
    {PART, "0::/docker/ab/c\n", "/sys/fs/cgroup/c"},
    {PART, "0::/elsewhere\n", NULL},
    {V2, "4:memory:/y\n", NULL},
    {"33 32 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", "0::/\n", NULL},
    {"", "", NULL},
    {" - cgroup2 ", "0::/", NULL},
};

START_TEST(the_base_is_found_on_machines_of_all_kinds)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char base[PATH_MAX] = "";
        int r = cgroup_find_base(places[i].mountinfo, places[i].self, base, sizeof base);

        ck_assert_msg((r == 0) == (places[i].base != NULL), "row %zu: %d", i, r);
        if (r == 0)
            ck_assert_str_eq(base, places[i].base);
    }
    char small[8];
    ck_assert_int_eq(cgroup_find_base(V2, "0::/long\n", small, sizeof small), -ENAMETOOLONG);
}
END_TEST

#define STATE_ID (UINT64_C(0x7e57) << 48)

/* NULL: there are none on this machine, which why says. */
static struct cgroup_root *open_root(char path[PATH_MAX])
{
    struct cgroup_root *root = NULL;
    char why[160] = "";
    uint64_t id = STATE_ID | (uint64_t)getpid();

    if (cgroup_root_find(id, path, PATH_MAX, why, sizeof why) < 0 ||
        cgroup_root_open(path, &root, why, sizeof why) < 0) {
        ck_assert_str_ne(why, "");
        fprintf(stderr, "no cgroups here: %s\n", why);
    }
    return root;
}

static pid_t start_in(struct cgroup *cgroup, const char *command, int *ret_pidfd)
{
    char *const argv[] = {"sh", "-c", (char *)(uintptr_t)command, NULL};
    char *const paths[] = {"/bin/sh", NULL};
    char *const envp[] = {NULL};
    OWN_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct spawn_request request = {.paths = paths,
                                    .argv = argv,
                                    .envp = envp,
                                    .cwd = "/",
                                    .stdio = {null, null, null},
                                    .cgroup_fd = cgroup_fd(cgroup)};
    enum spawn_step step;
    pid_t pid;

    ck_assert_int_eq(spawn(&request, &pid, ret_pidfd, &step), 0);
    return pid;
}

/* Runs the command in it to its end. */
static void run_in(struct cgroup *cgroup, const char *command)
{
    int pidfd, status;
    pid_t pid = start_in(cgroup, command, &pidfd);

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(pidfd);
    while (cgroup_populated(cgroup) > 0)
        sched_yield();
}

static struct cgroup *unlimited(struct cgroup_root *root)
{
    const struct cgroup_limits none = {0};
    struct cgroup *cgroup;

    ck_assert_int_eq(cgroup_new(root, 1, 1, &none, &cgroup), 0);
    return cgroup;
}

static ino_t number_of(const struct cgroup *cgroup)
{
    struct stat st;

    ck_assert_int_eq(fstat(cgroup_fd(cgroup), &st), 0);
    return st.st_ino;
}

static bool keeps_some(const struct cgroup_root *root)
{
    return !(cgroup_root_controllers(root) & CGROUP_MEMORY);
}

static void check_life(struct cgroup_root *root)
{
    struct cgroup *cgroup = unlimited(root);
    int pidfd, status;

    ck_assert_int_eq(cgroup_populated(cgroup), 0);
    pid_t pid = start_in(cgroup, "sleep 1000 & setsid sleep 1000 & wait", &pidfd);
    ck_assert_int_eq(cgroup_populated(cgroup), 1);
    ck_assert_int_eq(cgroup_signal(cgroup, SIGCONT), 0);
    ck_assert_int_lt(cgroup_free(cgroup),
                     0); /* the folder stays; a live one is not taken down */
    ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
    cgroup_free(unlimited(root)); /* and a spare, if any are kept */
    kill(pid, SIGKILL);
    close(pidfd);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
}

static int run_life(void *arg)
{
    char path[PATH_MAX];
    struct cgroup_root *root = open_root(path);

    (void)arg;
    if (!root)
        return 0;
    check_life(root);
    /* What is left is cleared; another's root is not touched. */
    ck_assert_int_eq(cgroup_root_clear(path, 42, 0), -EINVAL);
    ck_assert_int_eq(
        cgroup_root_clear(path, STATE_ID | (uint64_t)getpid(), clock_mono_ns() + 10 * NS_PER_S),
        0);
    ck_assert_int_lt(access(path, F_OK), 0);
    cgroup_root_close(root);
    return 0;
}

START_TEST(what_lives_in_a_root_is_killed_and_removed)
{
    scheduled(1, run_life, NULL);
}
END_TEST

START_TEST(an_untouched_cgroup_is_used_again_and_measured_anew)
{
    char path[PATH_MAX];
    struct cgroup_root *root = open_root(path);
    struct cgroup_usage first, second;

    if (!root)
        return;
    struct cgroup *cgroup = unlimited(root);
    ino_t number = number_of(cgroup);

    run_in(cgroup, "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done");
    cgroup_usage(cgroup, &first);
    ck_assert_int_eq(cgroup_free(cgroup), 0);
    cgroup = unlimited(root);
    if (keeps_some(root))
        ck_assert_uint_eq(number_of(cgroup), number);
    run_in(cgroup, ":");
    cgroup_usage(cgroup, &second);
    ck_assert_uint_gt(second.cpu_us, 0);
    ck_assert_uint_lt(second.cpu_us, first.cpu_us / 2);
    ck_assert_int_eq(cgroup_free(cgroup), 0);
    cgroup_root_close(root);
    ck_assert_int_lt(access(path, F_OK), 0);
}
END_TEST

/* R2: commands that a job might run, in its own cgroup. */
static const char *const touches[] = {
    "read x <cgroup.procs || :",
    "echo 7 >cgroup.max.depth",
    "exec 3<cgroup.events",
    "mkdir below",
    "mkdir below && rmdir below",
    "mkdir below && echo 0 >below/cgroup.procs",
    "chmod 700 cgroup.procs",
    "chmod 700 .",
    "ls >/dev/null",
};

START_TEST(a_cgroup_that_its_attempt_touched_is_not_used_again)
{
    char path[PATH_MAX], command[PATH_MAX + 200];
    struct cgroup_root *root = open_root(path);

    if (!root)
        return;
    for (size_t i = 0; i < sizeof touches / sizeof *touches; i++) {
        struct cgroup *cgroup = unlimited(root);
        ino_t number = number_of(cgroup);

        snprintf(command, sizeof command,
                 "cd %s/$(sed -n 's,.*/,,;$p' /proc/self/cgroup) && %s", path, touches[i]);
        run_in(cgroup, command);
        ck_assert_int_eq(cgroup_free(cgroup), 0);
        cgroup = unlimited(root);
        ck_assert_msg(number_of(cgroup) != number, "%s", touches[i]);
        ck_assert_int_eq(cgroup_free(cgroup), 0);
    }
    cgroup_root_close(root);
    ck_assert_int_lt(access(path, F_OK), 0);
}
END_TEST

START_TEST(a_cgroup_that_was_signalled_or_removed_is_not_used_again)
{
    char path[PATH_MAX], own[PATH_MAX], link[64];
    struct cgroup_root *root = open_root(path);

    if (!root)
        return;
    for (int i = 0; i < 3; i++) {
        struct cgroup *cgroup = unlimited(root);
        ino_t number = number_of(cgroup);

        snprintf(link, sizeof link, "/proc/self/fd/%d", cgroup_fd(cgroup));
        ssize_t n = readlink(link, own, sizeof own - 1);
        ck_assert_int_gt(n, 0);
        own[n] = 0;
        if (i == 0)
            ck_assert_int_eq(cgroup_kill(cgroup), 0);
        if (i == 1)
            ck_assert_int_eq(cgroup_signal(cgroup, SIGCONT), 0);
        ck_assert_int_eq(cgroup_free(cgroup), 0);
        if (i == 2 && keeps_some(root))
            ck_assert_int_eq(rmdir(own), 0);
        cgroup = unlimited(root);
        ck_assert_uint_ne(number_of(cgroup), number);
        run_in(cgroup, ":");
        ck_assert_int_eq(cgroup_free(cgroup), 0);
    }
    cgroup_root_close(root);
    ck_assert_int_lt(access(path, F_OK), 0);
}
END_TEST

/* Since Linux 6.18 whatever is cloned into a cgroup that was killed dies at birth. */
START_TEST(a_cgroup_made_anew_under_a_killed_ones_name_is_sound)
{
    char path[PATH_MAX];
    struct cgroup_root *root = open_root(path);
    const struct cgroup_limits none = {0};
    struct cgroup_usage usage;
    int status;

    if (!root)
        return;
    for (int i = 0; i < 5; i++) {
        struct cgroup *cgroup;
        int pidfd;

        ck_assert_int_eq(cgroup_new(root, 1, 1, &none, &cgroup), 0);
        pid_t pid = start_in(cgroup, "exit 7", &pidfd);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
        close(pidfd);
        pid = start_in(cgroup, "while :; do :; done", &pidfd);
        ck_assert_int_eq(cgroup_kill(cgroup), 0);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(pidfd);
        while (cgroup_populated(cgroup) > 0)
            sched_yield();
        cgroup_usage(cgroup, &usage);
        ck_assert_uint_gt(usage.cpu_us, 0);
        ck_assert_int_eq(cgroup_free(cgroup), 0);
    }
    cgroup_root_close(root);
    ck_assert_int_lt(access(path, F_OK), 0);
}
END_TEST

START_TEST(a_limit_without_its_controller_is_refused_and_leaves_nothing)
{
    static const struct cgroup_limits limits[] = {
        {.memory_bytes = 64 << 20}, {.pids = 5}, {.cpu = 0.5}};
    static const unsigned bits[] = {CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPU};
    char path[PATH_MAX];
    struct cgroup_root *root = open_root(path);

    if (!root)
        return;
    for (int i = 0; i < 3; i++) {
        struct cgroup *cgroup;
        int r = cgroup_new(root, 1, 1, &limits[i], &cgroup);

        ck_assert_int_eq(r, cgroup_root_controllers(root) & bits[i] ? 0 : -EOPNOTSUPP);
        if (r == 0)
            ck_assert_int_eq(cgroup_free(cgroup), 0);
    }
    cgroup_root_close(root);
    ck_assert_int_lt(access(path, F_OK), 0);
}
END_TEST

int main(void)
{
    return SUITE_MAIN("cgroup", the_base_is_found_on_machines_of_all_kinds,
                      what_lives_in_a_root_is_killed_and_removed,
                      an_untouched_cgroup_is_used_again_and_measured_anew,
                      a_cgroup_that_its_attempt_touched_is_not_used_again,
                      a_cgroup_that_was_signalled_or_removed_is_not_used_again,
                      a_cgroup_made_anew_under_a_killed_ones_name_is_sound,
                      a_limit_without_its_controller_is_refused_and_leaves_nothing);
}
