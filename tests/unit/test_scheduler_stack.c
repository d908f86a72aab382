/* The three ways to guard a stack, the better two left out in turn: each names who used up its
 * stack, and lets the others work on. */
#include "scheduler/chan.h"
#include "scheduler/sanitizer.h"
#include "scheduler/stack.h"

#include "tests/lib/scheduled.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The sanitizers have handlers and stacks of their own for faults. */
#if defined(SANITIZER_ASAN) || defined(SANITIZER_TSAN)
#define FAULTS_ARE_OURS false
#else
#define FAULTS_ARE_OURS true
#endif

enum { FRAME_BYTES = 256, SAID_BYTES = 4096, CROWD = 400 };

static uint64_t canaries_now(void)
{
    struct scheduler_stats stats;

    scheduler_stats(&stats);
    return stats.stacks_canary;
}

/* ---- who digs too deep ---- */

static int park_a_while(void *arg)
{
    return chan_recv(arg, NULL, 0);
}

/* Goes down by at least that many bytes, all of them written to. */
static __attribute__((noinline)) int dig(const char *top, size_t bytes)
{
    char frame[FRAME_BYTES];

    memset(frame, 1, sizeof frame);
    __asm__ volatile("" : : "r"(frame) : "memory");
    return top - frame < (ptrdiff_t)bytes ? dig(top, bytes) + frame[0] : 0;
}

/* As far as just below its stack, where a canary would stand, and back. */
static int dig_and_return(void *arg)
{
    char top = 0;

    (void)arg;
    dig(&top, stack_bytes(STACK_SMALL));
    return 0;
}

static int dig_and_yield(void *arg)
{
    char top = 0;

    (void)arg;
    dig(&top, stack_bytes(STACK_SMALL));
    return task_yield();
}

/* The stack below the digger's is another task's. */
static int run_digger(void *arg)
{
    const task_fn *fn = arg;
    struct chan *gate = chan_new(0, 0);
    struct group g;

    group_open(&g, "diggers");
    ck_assert_int_eq(group_go_stack(&g, park_a_while, gate, STACK_SMALL), 0);
    ck_assert_int_eq(task_yield(), 0);
    ck_assert_int_eq(group_go_stack(&g, *fn, NULL, STACK_SMALL), 0);
    ck_assert_int_eq(task_yield(), 0);
    chan_close(gate);
    return group_join(&g);
}

/* What it says before it ends, in static memory; *ret_signal: by which signal. */
static const char *digger_says(enum stack_guards best, task_fn fn, int *ret_signal)
{
    static char said[SAID_BYTES];
    int ends[2], status;
    size_t len = 0;
    ssize_t n;

    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(ends[1], STDERR_FILENO);
        stack_guards_at_best(best);
        scheduled(1, run_digger, &fn);
        _exit(0);
    }
    close(ends[1]);
    while ((n = read(ends[0], said + len, sizeof said - 1 - len)) > 0)
        len += (size_t)n;
    said[len] = '\0';
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    *ret_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return said;
}

static void check_digger(enum stack_guards best, task_fn fn, const char *name, bool at_once)
{
    int signal;
    const char *said = digger_says(best, fn, &signal);

    ck_assert_msg(strstr(said, "stack overflow: task ") != NULL, "%s", said);
    ck_assert_msg(strstr(said, name) != NULL, "%s", said);
    ck_assert_msg(strstr(said, "spawned at " __FILE__ ":") != NULL, "%s", said);
    ck_assert_msg(strstr(said, "its stack of 16 KiB") != NULL, "%s", said);
    if (at_once)
        ck_assert(signal == SIGSEGV || signal == SIGBUS);
    else
        ck_assert_int_eq(signal, SIGABRT);
}

START_TEST(a_guard_page_names_who_overflows_at_once)
{
    check_digger((enum stack_guards)_i, dig_and_return, "\"*fn\"", true);
}
END_TEST

START_TEST(a_canary_names_who_overflowed_when_it_parks_or_ends)
{
    check_digger(STACK_GUARDS_CANARY, _i == 0 ? dig_and_yield : dig_and_return, "\"*fn\"",
                 false);
}
END_TEST

/* ---- who does not ---- */

/* The kernel's own word, not the scheduler's. */
static bool light_guards_are_to_be_had(void)
{
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert(page != MAP_FAILED);
    bool had = madvise(page, 4096, 102) == 0 && madvise(page, 4096, 22) < 0;
    munmap(page, 4096);
    return FAULTS_ARE_OURS && had;
}

static unsigned mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned lines = 0;

    ck_assert_ptr_nonnull(f);
    for (int c; (c = fgetc(f)) != EOF;)
        lines += c == '\n';
    fclose(f);
    return lines;
}

struct crowd {
    uint64_t canaries;
    unsigned mappings;
};

static int wait_for_all(void *arg)
{
    struct chan *gate = chan_new(0, 0);
    struct crowd *ret = arg;
    struct group g;

    group_open(&g, "crowd");
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(group_go_stack(&g, park_a_while, gate, STACK_SMALL), 0);
    group_policy(&g, GROUP_COLLECT);
    let_others_run();
    ret->canaries = canaries_now();
    ret->mappings = mappings();
    chan_close(gate);
    ck_assert_int_eq(group_join(&g), -EPIPE);
    chan_free(gate);
    return 0;
}

START_TEST(tasks_work_with_each_kind_of_guard)
{
    unsigned before = mappings();
    struct crowd crowd = {.canaries = 0};

    stack_guards_at_best((enum stack_guards)_i);
    scheduled(1, wait_for_all, &crowd);
    if (_i == STACK_GUARDS_CANARY)
        ck_assert_uint_ge(crowd.canaries, CROWD);
    else
        ck_assert_uint_eq(crowd.canaries, 0);
    /* A light guard is no mapping; a page that cannot be read is one, and parts two others. */
    if (!FAULTS_ARE_OURS) /* the tools have mappings of their own for each task */
        ck_assert_uint_gt(crowd.mappings, 0);
    else if (_i == STACK_GUARDS_CANARY ||
             (_i == STACK_GUARDS_LIGHT && light_guards_are_to_be_had()))
        ck_assert_uint_le(crowd.mappings - before, CROWD / 10);
    else
        ck_assert_uint_ge(crowd.mappings - before, CROWD);
    scheduled(2, wait_for_all, &crowd);
}
END_TEST

/* ---- each stack of a slab ---- */

/* More than one slab has; SYS_process_madvise and MADV_GUARD_INSTALL are too new for names. */
enum { MANY_STACKS = 300, ADVISE_MANY = 440, ADVISE_GUARD = 102 };

static bool is_readable(int fd, const char *at)
{
    return syscall(SYS_write, fd, at, 1) == 1;
}

static void check_many_guards(void)
{
    struct stack_cache cache = {.len = {0}};
    char *stacks[MANY_STACKS];
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    for (unsigned i = 0; i < MANY_STACKS; i++) {
        stacks[i] = stack_get(&cache, STACK_SMALL);
        ck_assert_ptr_nonnull(stacks[i]);
        ck_assert(!stack_has_canary(stacks[i]));
    }
    for (unsigned i = 0; i < MANY_STACKS; i++) {
        char *end = stacks[i] + STACK_GUARD_BYTES;
        ck_assert_msg(!is_readable(ends[1], stacks[i]), "stack %u has no guard", i);
        ck_assert(!is_readable(ends[1], end - 1));
        ck_assert(is_readable(ends[1], end));
        ck_assert(is_readable(ends[1], stacks[i] + stack_bytes(STACK_SMALL) - 1));
    }
    close(ends[0]);
    close(ends[1]);
    stack_slabs_free();
}

START_TEST(each_stack_of_a_slab_has_a_guard)
{
    stack_guards_at_best((enum stack_guards)_i);
    check_many_guards();
}
END_TEST

/* From here on that call is refused, when its argument of that number is to set a guard. */
static void forbid(uint32_t call, unsigned argument)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 (uint32_t)offsetof(struct seccomp_data, args[argument])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ADVISE_GUARD, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

START_TEST(guards_hold_where_a_filter_forbids_better_ones)
{
    int status;

    if (prctl(PR_GET_SECCOMP) < 0)
        return; /* an emulator, which has no filters */

    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        forbid(ADVISE_MANY, 3);
        if (_i > 0)
            forbid(SYS_madvise, 2);
        check_many_guards();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_whole_canary_is_told_from_a_broken_one)
{
    struct stack_cache cache = {.len = {0}};

    stack_guards_at_best(STACK_GUARDS_CANARY);
    char *stack = stack_get(&cache, STACK_SMALL);
    ck_assert(stack_has_canary(stack));
    ck_assert(stack_is_whole(stack));
    for (int i = 0; i < 64; i++) {
        stack_base(stack)[i] ^= 1;
        ck_assert(!stack_is_whole(stack));
        stack_base(stack)[i] ^= 1;
    }
    ck_assert(stack_is_whole(stack));
    stack_slabs_free();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_stack");
    TCase *tc = tcase_create("stack");

    tcase_set_timeout(tc, 120);
    if (FAULTS_ARE_OURS) {
        tcase_add_loop_test(tc, a_guard_page_names_who_overflows_at_once, STACK_GUARDS_LIGHT,
                            STACK_GUARDS_CANARY);
        tcase_add_loop_test(tc, a_canary_names_who_overflowed_when_it_parks_or_ends, 0, 2);
    }
    tcase_add_loop_test(tc, tasks_work_with_each_kind_of_guard, STACK_GUARDS_LIGHT,
                        STACK_GUARDS_CANARY + 1);
    tcase_add_loop_test(tc, each_stack_of_a_slab_has_a_guard, STACK_GUARDS_LIGHT,
                        STACK_GUARDS_CANARY);
    tcase_add_loop_test(tc, guards_hold_where_a_filter_forbids_better_ones, 0, 2);
    tcase_add_test(tc, a_whole_canary_is_told_from_a_broken_one);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
