/* One new process: where clone3 is allowed and where a sandbox forbids it. */
#include "base/own.h"
#include "jobs/spawn.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* As systemd's RestrictNamespaces= does: clone3 answers ENOSYS from here on in this process. */
static void forbid_clone3(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    ck_assert_int_eq((int)syscall(SYS_clone3, NULL, 0L), -1);
    ck_assert_int_eq(errno, ENOSYS);
}

static int start(char *const *argv, const char *cwd, int *ret_pidfd, enum spawn_step *ret_step)
{
    static char *const envp[] = {NULL};
    char *const paths[] = {argv[0], NULL};
    OWN_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    pid_t pid;
    struct spawn_request request = {.paths = paths,
                                    .argv = argv,
                                    .envp = envp,
                                    .cwd = cwd,
                                    .stdio = {null, null, null},
                                    .cgroup_fd = -1};

    return spawn(&request, &pid, ret_pidfd, ret_step);
}

static void check_spawning(void)
{
    char *const seven[] = {"/bin/sh", "-c", "exit 7", NULL}, *const none[] = {"/no/such", NULL};
    OWN_FD int pidfd = -1;
    enum spawn_step step;
    siginfo_t si;

    ck_assert_int_eq(start(seven, "/", &pidfd, &step), 0);
    ck_assert_int_eq(waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED), 0);
    ck_assert_int_eq(si.si_status, 7);

    int unused = -1;
    ck_assert_int_eq(start(none, "/", &unused, &step), -ENOENT);
    ck_assert_int_eq(step, SPAWN_EXEC);
    ck_assert_int_eq(start(seven, "/no/such/folder", &unused, &step), -ENOENT);
    ck_assert_int_eq(step, SPAWN_CWD);
    ck_assert_int_eq(waitid(P_ALL, 0, &si, WEXITED | WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
}

START_TEST(a_process_starts_and_failures_name_their_step)
{
    check_spawning();
}
END_TEST

START_TEST(the_same_holds_where_clone3_is_forbidden)
{
    forbid_clone3();
    check_spawning();
}
END_TEST

int main(void)
{
    return SUITE_MAIN("jobs spawn", a_process_starts_and_failures_name_their_step,
                      the_same_holds_where_clone3_is_forbidden);
}
