/* A channel that is closed on a crowd. */
#include "scheduler/block.h"
#include "scheduler/chan.h"

#include "tests/lib/scheduled.h"

#include <pthread.h>
#include <unistd.h>

enum { CROWD = 3000 };

struct crowd {
    struct chan *chan;
    _Atomic unsigned ended;
};

static int wait_in_crowd(void *arg)
{
    struct crowd *c = arg;

    ck_assert_int_eq(chan_recv(c->chan, NULL, 0), -EPIPE);
    c->ended++;
    return 0;
}

static void *close_it(void *arg)
{
    chan_close(arg);
    return NULL;
}

static void close_in_a_blocking_call(struct chan *c)
{
    block_enter(BLOCK_FILE);
    pid_t thread = gettid();
    chan_close(c);
    ck_assert_int_eq(gettid(), thread);
    block_leave();
}

static void close_from_a_thread(struct chan *c)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, close_it, c), 0);
    pthread_join(thread, NULL);
}

static int close_on_a_crowd(void *arg)
{
    void (*const close)(struct chan * c) = *(void (**)(struct chan *))arg;
    struct crowd c = {.chan = chan_new(0, 0)};
    struct group g;

    group_open(&g, "crowd");
    for (unsigned i = 0; i < CROWD; i++)
        ck_assert_int_eq(group_go_stack(&g, wait_in_crowd, &c, STACK_SMALL), 0);
    let_others_run();
    close(c.chan);
    if (close == chan_close)
        ck_assert_uint_ge(c.ended, CROWD / 2);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_uint_eq(c.ended, CROWD);
    chan_free(c.chan);
    return 0;
}

START_TEST(who_closes_on_a_crowd_lets_it_run_in_between)
{
    static void (*const ways[])(struct chan * c) = {chan_close, close_in_a_blocking_call,
                                                    close_from_a_thread};

    scheduled(1, close_on_a_crowd, (void *)(uintptr_t)&ways[_i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_close");
    TCase *tc = tcase_create("close");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, who_closes_on_a_crowd_lets_it_run_in_between, 0, 3);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
