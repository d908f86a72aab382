/* A system that refuses: threads, memory, watches and descriptors that are not to be had. What
 * cannot start says so and leaves nothing; what was promised is waited for, without spinning.
 *
 * The calls below stand before those of the C library and fail when they are told to. */
#include "scheduler/event.h"
#include "scheduler/net.h"
#include "scheduler/stack.h"

#include "tests/lib/folder.h"
#include "tests/lib/measure.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum call { CALL_THREAD, CALL_MAP, CALL_WATCH, CALL_ACCEPT, CALLS };

/* The first that fails, counted from 1; 0: none. From there on each does, or only that one. */
static _Atomic unsigned first[CALLS], passed[CALLS];
static _Atomic bool each[CALLS];

static void refuse(enum call call, unsigned nth, bool from_there_on)
{
    atomic_store(&first[call], 0);
    atomic_store(&passed[call], 0);
    atomic_store(&each[call], from_there_on);
    atomic_store(&first[call], nth);
}

static bool is_refused(enum call call)
{
    unsigned nth = atomic_load(&first[call]);

    if (nth == 0)
        return false;
    unsigned n = atomic_fetch_add(&passed[call], 1) + 1;
    return n == nth || (n > nth && atomic_load(&each[call]));
}

static bool was_refused(enum call call, unsigned nth)
{
    return atomic_load(&passed[call]) >= nth;
}

/* The next of that name: the tool's, or the C library's. */
#define REAL(name)                                                                             \
    static __typeof__(&name) real;                                                             \
    if (real == NULL)                                                                          \
    *(void **)(void *)&real = dlsym(RTLD_NEXT, #name)

int pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    REAL(pthread_create);
    return is_refused(CALL_THREAD) ? EAGAIN : real(ret, attr, fn, arg);
}

void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    REAL(mmap);
    if (!is_refused(CALL_MAP))
        return real(at, len, protection, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

int epoll_ctl(int epoll_fd, int what, int fd, struct epoll_event *event)
{
    REAL(epoll_ctl);
    if (what != EPOLL_CTL_ADD || !is_refused(CALL_WATCH))
        return real(epoll_fd, what, fd, event);
    errno = ENOMEM;
    return -1;
}

int accept4(int fd, struct sockaddr *ret_addr, socklen_t *ret_len, int flags)
{
    REAL(accept4);
    if (!is_refused(CALL_ACCEPT))
        return real(fd, ret_addr, ret_len, flags);
    errno = EMFILE;
    return -1;
}

/* ---- at the start, and in a run that needs a little of everything ---- */

static _Atomic unsigned ended;

static int block_shortly(void *arg)
{
    int fds[2];
    struct net *n;

    (void)arg;
    HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    int r = net_open(fds[0], &n);
    HOLDS(r == 0 || r == -ENOMEM);
    block_enter_long(BLOCK_FILE);
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)NS_PER_MS}, NULL);
    block_leave();
    if (r == 0)
        net_close(n);
    else
        close(fds[0]);
    close(fds[1]);
    atomic_fetch_add(&ended, 1);
    return 0;
}

static int a_little_of_everything(void *arg)
{
    struct group g;

    (void)arg;
    group_open(&g, "little");
    for (unsigned i = 0; i < 6; i++)
        HOLDS(group_go_stack(&g, block_shortly, NULL, STACK_SMALL + i % STACK_CLASSES) == 0);
    return group_join(&g);
}

START_TEST(whichever_call_is_refused_a_run_ends_whole_or_does_not_begin)
{
    const struct scheduler_options options = {.processors = 3, .seed = SCHEDULED_SEED};
    enum call call = (enum call)_i;
    unsigned files, threads, refusals = 0;

    scheduled(3, a_little_of_everything, NULL); /* what the tools make once is there */
    files = folder_count("/proc/self/fd");
    threads = folder_count("/proc/self/task");
    for (unsigned nth = 1; nth == 1 || was_refused(call, nth - 1); nth++) {
        atomic_store(&ended, 0);
        refuse(call, nth, false);
        int r = scheduler_run(&options, a_little_of_everything, NULL);
        refusals += was_refused(call, nth);
        HOLDS(r == 0 || r == -EAGAIN || r == -ENOMEM);
        ck_assert_uint_eq(atomic_load(&ended), r == 0 ? 6 : 0);
        ck_assert_uint_eq(folder_count("/proc/self/fd"), files);
        ck_assert_uint_eq(folder_count("/proc/self/task"), threads);
        if (nth > 100)
            break; /* a run may need more of them each time */
    }
    ck_assert_uint_ge(refusals, 2);
}
END_TEST

/* ---- for a while ---- */

enum { WAITERS = 200, A_WHILE_MS = 300 };

/* Of one processor. */
static void holds_still(const struct measure_use *before)
{
    uint64_t cpu_ns = measure_use().cpu_ns - before->cpu_ns;

    ck_assert_msg(cpu_ns < A_WHILE_MS * NS_PER_MS / 4 * (SLOWDOWN > 1 ? 3 : 1), "%llu us spent",
                  (unsigned long long)(cpu_ns / NS_PER_US));
}

static int run_once(void *arg)
{
    atomic_fetch_add((_Atomic unsigned *)arg, 1);
    return task_sleep_ns(NS_PER_MS);
}

static int wait_for_memory(void *arg)
{
    _Atomic unsigned ran = 0;
    struct group g;

    (void)arg;
    refuse(CALL_MAP, 1, true);
    group_open(&g, "waiters");
    for (unsigned i = 0; i < WAITERS; i++)
        HOLDS(group_go_stack(&g, run_once, (void *)&ran, STACK_HUGE) == 0);
    struct measure_use before = measure_use();
    uint64_t until_ns = clock_mono_ns() + A_WHILE_MS * NS_PER_MS;
    HOLDS(task_sleep_until(until_ns) == 0);
    uint64_t late_ns = clock_mono_ns() - until_ns;
    holds_still(&before);
    ck_assert_uint_lt(late_ns, 2 * NS_PER_S); /* others go on */
    ck_assert_uint_eq(atomic_load(&ran), 0);
    refuse(CALL_MAP, 0, false);
    HOLDS(group_join(&g) == 0);
    ck_assert_uint_eq(atomic_load(&ran), WAITERS);
    return 0;
}

START_TEST(tasks_without_a_stack_wait_until_there_is_memory)
{
    scheduled((unsigned)_i + 1, wait_for_memory, NULL);
}
END_TEST

static void *allow_threads(void *arg)
{
    (void)arg;
    (void)nanosleep(&(struct timespec){.tv_nsec = A_WHILE_MS * (long)NS_PER_MS}, NULL);
    refuse(CALL_THREAD, 0, false);
    return NULL;
}

struct pipes {
    int fds[2];
    struct event begun;
};

static int read_it(void *arg)
{
    struct pipes *p = arg;
    char byte;

    event_set(&p->begun);
    block_enter_long(BLOCK_FILE);
    HOLDS(read(p->fds[0], &byte, 1) == 1);
    block_leave();
    return 0;
}

/* The reader keeps the only processor until a thread can be had that takes it over. */
static int wait_for_a_thread(void *arg)
{
    struct pipes p;
    pthread_t thread;
    struct group g;

    (void)arg;
    HOLDS(pipe(p.fds) == 0);
    event_init(&p.begun);
    HOLDS(pthread_create(&thread, NULL, allow_threads, NULL) == 0);
    refuse(CALL_THREAD, 1, true);
    struct measure_use before = measure_use();
    group_open(&g, "reader");
    HOLDS(group_go(&g, read_it, &p) == 0);
    HOLDS(event_wait(&p.begun, 0) == 0);
    holds_still(&before);
    HOLDS(write(p.fds[1], "x", 1) == 1);
    HOLDS(group_join(&g) == 0);
    HOLDS(pthread_join(thread, NULL) == 0);
    ck_assert(was_refused(CALL_THREAD, 1) || atomic_load(&first[CALL_THREAD]) == 0);
    close(p.fds[0]);
    close(p.fds[1]);
    return 0;
}

START_TEST(a_processor_whose_thread_blocks_waits_for_one_that_can_be_had)
{
    scheduled(1, wait_for_a_thread, NULL);
}
END_TEST

/* ---- watches and descriptors ---- */

static int watch_in_vain(void *arg)
{
    int fds[2];
    struct net *n;
    char byte;

    (void)arg;
    HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    refuse(CALL_WATCH, 1, true);
    for (unsigned i = 0; i < 2000; i++)
        HOLDS(net_open(fds[0], &n) == -ENOMEM);
    refuse(CALL_WATCH, 0, false);
    HOLDS(write(fds[1], "x", 1) == 1);
    HOLDS(net_open(fds[0], &n) == 0); /* it stayed ours */
    HOLDS(net_read(n, &byte, 1, 0) == 1);
    net_close(n);
    close(fds[1]);
    return 0;
}

START_TEST(a_descriptor_that_cannot_be_watched_stays_its_owners)
{
    scheduled(1, watch_in_vain, NULL);
}
END_TEST

static int accept_in_vain(void *arg)
{
    struct sockaddr_un {
        sa_family_t family;
        char path[16];
    } address = {.family = AF_UNIX};
    socklen_t len = sizeof address;
    int door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), far;
    struct net *n;

    (void)arg;
    HOLDS(bind(door, (struct sockaddr *)&address, sizeof address.family) == 0);
    HOLDS(getsockname(door, (struct sockaddr *)&address, &len) == 0 && listen(door, 4) == 0);
    HOLDS(net_open(door, &n) == 0);
    HOLDS((far = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0);
    HOLDS(connect(far, (struct sockaddr *)&address, len) == 0);
    refuse(CALL_ACCEPT, 1, true);
    for (unsigned i = 0; i < 10; i++)
        HOLDS(net_accept(n, NULL, NULL, 0) == -EMFILE);
    refuse(CALL_ACCEPT, 0, false);
    int near = net_accept(n, NULL, NULL, 0);
    HOLDS(near >= 0);
    close(near);
    close(far);
    net_close(n);
    return 0;
}

START_TEST(who_may_not_accept_is_told_and_finds_the_client_later)
{
    scheduled(1, accept_in_vain, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_refuse");
    TCase *tc = tcase_create("refuse");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, whichever_call_is_refused_a_run_ends_whole_or_does_not_begin,
                        CALL_THREAD, CALL_WATCH + 1);
    tcase_add_loop_test(tc, tasks_without_a_stack_wait_until_there_is_memory, 0, 2);
    tcase_add_test(tc, a_processor_whose_thread_blocks_waits_for_one_that_can_be_had);
    tcase_add_test(tc, a_descriptor_that_cannot_be_watched_stays_its_owners);
    tcase_add_test(tc, who_may_not_accept_is_told_and_finds_the_client_later);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
