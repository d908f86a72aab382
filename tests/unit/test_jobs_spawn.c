/* One new process: where clone3 is allowed and where a sandbox forbids it. */
#include "base/own.h"
#include "jobs/spawn.h"
#include "jobs/spawn_base.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CROWD 300 /* descriptors of the parent that are not the child's business */

/* NULL: without. */
static struct spawn_base *base;

/* As systemd's RestrictNamespaces= does with clone3: it answers ENOSYS from here on in this
 * process. */
static void forbid(unsigned call)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    ck_assert_int_eq((int)syscall(call, ~0L, 0L, 0L), -1);
    ck_assert_int_eq(errno, ENOSYS);
}

static int start_with(int out, char *const *argv, const char *cwd, int *ret_pidfd,
                      enum spawn_step *ret_step)
{
    static char *const envp[] = {NULL};
    char *const paths[] = {argv[0], NULL};
    OWN_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    pid_t pid;
    struct spawn_request request = {.paths = paths,
                                    .argv = argv,
                                    .envp = envp,
                                    .cwd = cwd,
                                    .stdio = {null, out < 0 ? null : out, null},
                                    .cgroup_fd = -1,
                                    .base = base};

    return spawn(&request, &pid, ret_pidfd, ret_step);
}

static int start(char *const *argv, const char *cwd, int *ret_pidfd, enum spawn_step *ret_step)
{
    return start_with(-1, argv, cwd, ret_pidfd, ret_step);
}

static void open_base(void)
{
    static struct spawn_base opened;

    ck_assert_int_eq(spawn_base_open(&opened), 0);
    base = &opened;
}

static void close_base(void)
{
    spawn_base_close(base);
    base = NULL;
}

static siginfo_t end_of(int pidfd)
{
    siginfo_t si = {0};

    ck_assert_int_eq(waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED), 0);
    return si;
}

/* What the command prints; its end has to be seen here too: no writer may be left with us. */
static void read_output(char *command, char *ret, size_t ret_bytes)
{
    char *const argv[] = {"/bin/sh", "-c", command, NULL};
    OWN_FD int pidfd = -1;
    enum spawn_step step;
    int ends[2];
    size_t len = 0;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(start_with(ends[1], argv, "/", &pidfd, &step), 0);
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], ret + len, ret_bytes - 1 - len)) > 0;)
        len += (size_t)n;
    ret[len] = '\0';
    close(ends[0]);
    ck_assert_int_eq(end_of(pidfd).si_status, 0);
}

/* Which descriptors are open, and what they are. */
static uint64_t table(void)
{
    uint64_t sum = 0;
    struct stat st;

    for (int fd = 0; fd < 1024; fd++) {
        if (fstat(fd, &st) == 0)
            sum += (uint64_t)(fd + 1) * (st.st_ino + 1);
    }
    return sum;
}

/* The shell's own look at the folder is one more. Without close-on-exec, as libraries open. */
static void check_inheritance(void)
{
    char text[64];
    int crowd[CROWD];

    for (int i = 0; i < CROWD; i++)
        ck_assert_int_ge(crowd[i] = open("/dev/null", O_RDONLY), 0);
    uint64_t before = table();
    read_output("cd /proc/self/fd; echo *", text, sizeof text);
    ck_assert_str_eq(text, "0 1 2 3\n");
    ck_assert_uint_eq(table(), before);
    for (int i = 0; i < CROWD; i++)
        close(crowd[i]);
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
    forbid(SYS_clone3);
    check_spawning();
    check_inheritance();
    open_base();
    check_spawning();
    check_inheritance();
    close_base();
}
END_TEST

START_TEST(a_child_has_three_descriptors_and_the_parent_keeps_its_own)
{
    check_inheritance();
    open_base();
    check_spawning();
    check_inheritance();
    close_base();
}
END_TEST

START_TEST(a_table_is_left_where_close_range_is_forbidden)
{
    char text[64];

    open_base();
    forbid(SYS_close_range);
    uint64_t before = table();
    read_output("echo said", text, sizeof text);
    ck_assert_str_eq(text, "said\n");
    ck_assert_uint_eq(table(), before);
    close_base();
}
END_TEST

static void *spawn_some(void *arg)
{
    char text[64], *command = arg;

    for (int i = 0; i < 20; i++) {
        read_output(command, text, sizeof text);
        ck_assert_int_eq(text[0], command[5]);
    }
    return NULL;
}

START_TEST(more_children_than_seats_at_once_write_each_to_its_own_stream)
{
    pthread_t threads[2 * SPAWN_SEATS];
    char commands[2 * SPAWN_SEATS][8];

    open_base();
    for (int i = 0; i < 2 * SPAWN_SEATS; i++) {
        snprintf(commands[i], sizeof commands[i], "echo %c", 'a' + i);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, spawn_some, commands[i]), 0);
    }
    for (int i = 0; i < 2 * SPAWN_SEATS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(base->taken, 0);
    close_base();
}
END_TEST

START_TEST(a_signal_that_the_parent_ignores_kills_the_child)
{
    char *const argv[] = {"/bin/sh", "-c", "kill -PIPE $$; exit 0", NULL};
    enum spawn_step step;

    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 2; i++) {
        OWN_FD int pidfd = -1;

        ck_assert_int_eq(start(argv, "/", &pidfd, &step), 0);
        siginfo_t si = end_of(pidfd);
        ck_assert_int_eq(si.si_code, CLD_KILLED);
        ck_assert_int_eq(si.si_status, SIGPIPE);
        if (i == 0)
            open_base();
    }
    close_base();
}
END_TEST

int main(void)
{
    return SUITE_MAIN("jobs spawn", a_process_starts_and_failures_name_their_step,
                      the_same_holds_where_clone3_is_forbidden,
                      a_child_has_three_descriptors_and_the_parent_keeps_its_own,
                      a_table_is_left_where_close_range_is_forbidden,
                      more_children_than_seats_at_once_write_each_to_its_own_stream,
                      a_signal_that_the_parent_ignores_kills_the_child);
}
