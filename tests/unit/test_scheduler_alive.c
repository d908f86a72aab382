/* Nobody is told of who may still be woken. */
#include "base/io.h"
#include "scheduler/block.h"
#include "scheduler/event.h"
#include "scheduler/net.h"

#include "tests/lib/dead_scene.h"

#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Starts a receiver, which only `sender` can wake, and waits for both. */
static int with_receiver(task_fn sender)
{
    struct chan *c = chan_new(8, 0);
    struct group g;

    group_open(&g, "two");
    ck_assert_int_eq(group_go(&g, receive_one, c), 0);
    ck_assert_int_eq(group_go(&g, sender, c), 0);
    int r = group_join(&g);
    chan_free(c);
    return r;
}

static int sleep_then_send(void *arg)
{
    uint64_t x = 1;
    int r = task_sleep_ns(LOOKS_NS);

    return r < 0 ? r : chan_send(arg, &x, 0);
}

static int sender_sleeps(void *arg)
{
    (void)arg;
    return with_receiver(sleep_then_send);
}

START_TEST(who_waits_for_a_sender_that_sleeps_is_alive)
{
    expect_alive(sender_sleeps, (unsigned)_i + 1);
}
END_TEST

/* A foreign thread that does something once the scheduler had time for some looks. */
struct later {
    pthread_t thread;
    struct event event;
    int fd;
};

static void *later_main(void *arg)
{
    struct later *l = arg;

    usleep(LOOKS_NS / NS_PER_US);
    if (l->fd >= 0)
        io_write_all(l->fd, "x", 1);
    else
        event_set(&l->event);
    return NULL;
}

static void later_begin(struct later *l, int fd)
{
    event_init(&l->event);
    l->fd = fd;
    ck_assert_int_eq(pthread_create(&l->thread, NULL, later_main, l), 0);
}

static int read_blocking_then_send(void *arg)
{
    struct later l;
    uint64_t x = 0;
    int fds[2];
    char c;

    ck_assert_int_eq(pipe(fds), 0);
    later_begin(&l, fds[1]);
    block_enter(BLOCK_FILE);
    ssize_t n = read(fds[0], &c, 1);
    block_leave();
    ck_assert_int_eq(n, 1);
    pthread_join(l.thread, NULL);
    close(fds[0]);
    close(fds[1]);
    return chan_send(arg, &x, 0);
}

static int sender_is_in_a_blocking_call(void *arg)
{
    (void)arg;
    return with_receiver(read_blocking_then_send);
}

START_TEST(who_waits_for_a_sender_in_a_blocking_call_is_alive)
{
    expect_alive(sender_is_in_a_blocking_call, (unsigned)_i + 1);
}
END_TEST

static int wait_event_then_send(void *arg)
{
    struct later l;
    uint64_t x = 0;

    later_begin(&l, -1);
    int r = event_wait(&l.event, 0);
    pthread_join(l.thread, NULL);
    return r < 0 ? r : chan_send(arg, &x, 0);
}

static int sender_waits_for_an_event(void *arg)
{
    (void)arg;
    return with_receiver(wait_event_then_send);
}

START_TEST(who_waits_for_a_sender_that_a_foreign_thread_will_wake_is_alive)
{
    expect_alive(sender_waits_for_an_event, (unsigned)_i + 1);
}
END_TEST

static int read_net_then_send(void *arg)
{
    struct net *n;
    struct later l;
    int fds[2];
    char c;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(net_open(fds[0], &n), 0);
    later_begin(&l, fds[1]);
    ck_assert_int_eq(net_read(n, &c, 1, 0), 1);
    pthread_join(l.thread, NULL);
    net_close(n);
    close(fds[1]);
    uint64_t x = 0;
    return chan_send(arg, &x, 0);
}

static int sender_waits_for_net(void *arg)
{
    (void)arg;
    return with_receiver(read_net_then_send);
}

START_TEST(who_waits_for_a_channel_that_a_net_reader_holds_is_alive)
{
    expect_alive(sender_waits_for_net, (unsigned)_i + 1);
}
END_TEST

/* The one who may run knows the channel through two hands only. */
struct hidden {
    char pad[40];
    struct chan *c;
};

struct holder {
    struct hidden *hidden;
};

static int sleep_then_send_hidden(void *arg)
{
    struct holder *h = arg;
    uint64_t x = 1;
    int r = task_sleep_ns(LOOKS_NS);

    return r < 0 ? r : chan_send(h->hidden->c, &x, 0);
}

static int channel_is_known_through_the_heap(void *arg)
{
    struct holder *h = malloc(sizeof *h);
    struct group g;

    (void)arg;
    h->hidden = calloc(1, sizeof *h->hidden);
    h->hidden->c = chan_new(8, 0);
    group_open(&g, "hidden");
    ck_assert_int_eq(group_go(&g, receive_one, h->hidden->c), 0);
    ck_assert_int_eq(group_go(&g, sleep_then_send_hidden, h), 0);
    int r = group_join(&g);
    chan_free(h->hidden->c);
    free(h->hidden);
    free(h);
    return r;
}

START_TEST(who_waits_for_a_channel_known_through_the_heap_is_alive)
{
    expect_alive(channel_is_known_through_the_heap, (unsigned)_i + 1);
}
END_TEST

/* The chain ends in a frame of a task that sleeps without end itself. */
static int channel_is_known_through_a_sleepers_frame(void *arg)
{
    struct hidden in_frame = {.c = chan_new(8, 0)};
    struct holder h = {&in_frame};
    struct group g;

    (void)arg;
    group_open(&g, "hidden");
    ck_assert_int_eq(group_go(&g, receive_one, in_frame.c), 0);
    ck_assert_int_eq(group_go(&g, sleep_then_send_hidden, &h), 0);
    int r = group_join(&g);
    chan_free(in_frame.c);
    return r;
}

START_TEST(who_waits_for_a_channel_known_through_a_sleepers_frame_is_alive)
{
    expect_alive(channel_is_known_through_a_sleepers_frame, (unsigned)_i + 1);
}
END_TEST

static int cancelled_by_deadline(void *arg)
{
    struct chan *c = chan_new(8, 0);
    struct group g;

    (void)arg;
    group_open(&g, "limited");
    ck_assert_int_eq(group_deadline(&g, clock_mono_ns() + LOOKS_NS), 0);
    ck_assert_int_eq(group_go(&g, receive_one, c), 0);
    int r = group_join(&g);
    chan_free(c);
    return r == -ETIMEDOUT ? 0 : r;
}

START_TEST(whose_group_has_a_deadline_is_alive)
{
    expect_alive(cancelled_by_deadline, (unsigned)_i + 1);
}
END_TEST

static int sleep_and_win(void *arg)
{
    (void)arg;
    return task_sleep_ns(LOOKS_NS);
}

static int loses_a_race(void *arg)
{
    struct chan *c = chan_new(8, 0);
    struct group g;

    (void)arg;
    group_open(&g, "race");
    group_policy(&g, GROUP_FIRST_WINS);
    ck_assert_int_eq(group_go(&g, receive_one, c), 0);
    ck_assert_int_eq(group_go(&g, sleep_and_win, NULL), 0);
    int r = group_join(&g);
    chan_free(c);
    return r;
}

START_TEST(who_races_with_one_that_may_win_is_alive)
{
    expect_alive(loses_a_race, (unsigned)_i + 1);
}
END_TEST

static int wait_to_be_cancelled(void *arg)
{
    (void)arg;
    int r = chan_select(NULL, 0, 0);
    return r == -ECANCELED ? 0 : r;
}

static int one_waits_to_be_cancelled(void *arg)
{
    struct group g;

    (void)arg;
    group_open(&g, "idle");
    ck_assert_int_eq(group_go(&g, wait_to_be_cancelled, NULL), 0);
    ck_assert_int_eq(task_sleep_ns(LOOKS_NS), 0);
    return group_close(&g);
}

START_TEST(who_selects_nothing_waits_to_be_cancelled_and_is_alive)
{
    expect_alive(one_waits_to_be_cancelled, (unsigned)_i + 1);
}
END_TEST

/* More than a pause is made for, so each look is in vain while somebody runs. */
enum { MANY = 40000 };

static uint64_t cpu_ns(void)
{
    struct timespec t;

    ck_assert_int_eq(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int receive_nothing(void *arg)
{
    return receive_one(arg) == -ECANCELED ? 0 : -EPROTO;
}

static int many_wait(void *arg)
{
    struct chan *c = chan_new(8, 0);
    struct group g;

    (void)arg;
    group_open(&g, "many");
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(group_go_stack(&g, receive_nothing, c, STACK_SMALL), 0);
    for (uint64_t end = clock_mono_ns() + LOOKS_NS; clock_mono_ns() < end;)
        ck_assert_int_eq(task_yield(), 0);
    uint64_t start = clock_mono_ns(), before = cpu_ns();
    while (clock_mono_ns() < start + 2 * LOOKS_NS)
        ck_assert_int_eq(task_yield(), 0);
    /* This task is never at rest, whatever thread it is on; the others are the monitor's. */
    uint64_t of = clock_mono_ns() - start, all = cpu_ns() - before;
    ck_assert_msg(all < of + of / 5, "%llu beside %llu ns", (unsigned long long)(all - of),
                  (unsigned long long)of);
    int r = group_close(&g);
    chan_free(c);
    return r;
}

START_TEST(looking_at_very_many_takes_little_of_the_time)
{
    expect_alive(many_wait, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_alive");
    TCase *tc = tcase_create("alive");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, who_waits_for_a_sender_that_sleeps_is_alive, 0, 2);
    tcase_add_loop_test(tc, who_waits_for_a_sender_in_a_blocking_call_is_alive, 0, 2);
    tcase_add_loop_test(tc, who_waits_for_a_sender_that_a_foreign_thread_will_wake_is_alive, 0,
                        2);
    tcase_add_loop_test(tc, who_waits_for_a_channel_that_a_net_reader_holds_is_alive, 0, 2);
    tcase_add_loop_test(tc, who_waits_for_a_channel_known_through_the_heap_is_alive, 0, 2);
    tcase_add_loop_test(tc, who_waits_for_a_channel_known_through_a_sleepers_frame_is_alive, 0,
                        2);
    tcase_add_loop_test(tc, whose_group_has_a_deadline_is_alive, 0, 2);
    tcase_add_loop_test(tc, who_races_with_one_that_may_win_is_alive, 0, 2);
    tcase_add_loop_test(tc, who_selects_nothing_waits_to_be_cancelled_and_is_alive, 0, 2);
    if (SLOWDOWN == 1) /* the tools hold fewer tasks */
        tcase_add_test(tc, looking_at_very_many_takes_little_of_the_time);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
