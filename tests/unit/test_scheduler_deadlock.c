/* A part of the tasks is dead while others live on: found within two seconds beside a live
 * ticker, told, and failed. */
#include "base/buf.h"
#include "scheduler/mutex.h"
#include "scheduler/semaphore.h"
#include "scheduler/waitgroup.h"

#include "tests/lib/dead_scene.h"

struct pair {
    struct chan *a, *b;
};

static int swap_ab(void *arg)
{
    struct pair *p = arg;
    uint64_t x = 0;
    int r = chan_recv(p->a, &x, 0);

    return r < 0 ? r : chan_send(p->b, &x, 0);
}

static int swap_ba(void *arg)
{
    struct pair *p = arg;
    uint64_t x = 0;
    int r = chan_recv(p->b, &x, 0);

    return r < 0 ? r : chan_send(p->a, &x, 0);
}

static int two_wait_for_each_others_channel(void *arg)
{
    struct pair p = {chan_new(8, 0), chan_new(8, 0)};
    struct group g;

    (void)arg;
    group_open(&g, "pair");
    ck_assert_int_eq(group_go(&g, swap_ab, &p), 0);
    ck_assert_int_eq(group_go(&g, swap_ba, &p), 0);
    int r = group_join(&g);
    chan_free(p.a);
    chan_free(p.b);
    return r;
}

START_TEST(a_dead_pair_of_channel_waiters_beside_a_ticker_is_found)
{
    expect_dead(two_wait_for_each_others_channel, (unsigned)_i + 1);
    SAYS("\"swap_ab\" parked on channel receive");
    SAYS("\"swap_ba\" parked on channel receive");
    SAYS("nobody who can still run knows it");
}
END_TEST

START_TEST(a_dead_pair_is_found_in_time_with_the_usual_settings)
{
    seen.usual = true;
    expect_dead(two_wait_for_each_others_channel, (unsigned)_i + 1);
}
END_TEST

static int select_of_both(void *arg)
{
    struct pair *p = arg;
    uint64_t x[2];
    struct chan_case cases[] = {{.chan = p->a, .op = CHAN_RECV, .element = &x[0]},
                                {.chan = p->b, .op = CHAN_RECV, .element = &x[1]}};
    int r = chan_select(cases, 2, 0);

    return r < 0 ? r : 0;
}

static int one_selects_two_dead_channels(void *arg)
{
    struct pair p = {chan_new(8, 0), chan_new(8, 0)};
    struct group g;

    (void)arg;
    group_open(&g, "select");
    ck_assert_int_eq(group_go(&g, select_of_both, &p), 0);
    int r = group_join(&g);
    chan_free(p.a);
    chan_free(p.b);
    return r;
}

START_TEST(a_select_on_two_channels_that_nobody_knows_is_found)
{
    expect_dead(one_selects_two_dead_channels, (unsigned)_i + 1);
    SAYS("\"select_of_both\" parked on select");
}
END_TEST

static int produce(void *arg)
{
    uint64_t x = 1;
    int r = 0;

    while (r == 0)
        r = chan_send(arg, &x, 0);
    return r;
}

static int a_consumer_left_early(void *arg)
{
    struct chan *c = chan_new(8, 2);
    struct group g;
    uint64_t x;

    (void)arg;
    group_open(&g, "producers");
    ck_assert_int_eq(group_go(&g, produce, c), 0);
    ck_assert_int_eq(chan_recv(c, &x, 0), 0);
    int r = group_join(&g);
    chan_free(c);
    return r;
}

START_TEST(a_producer_of_a_full_channel_without_a_consumer_is_found)
{
    expect_dead(a_consumer_left_early, (unsigned)_i + 1);
    SAYS("\"produce\" parked on channel send");
}
END_TEST

static int sleep_and_leave(void *arg)
{
    int r = task_sleep_ns(LOOKS_NS);

    (void)arg;
    atomic_store(&seen.dead_at_ns, clock_mono_ns());
    return r;
}

static int the_sender_leaves_without_sending(void *arg)
{
    struct chan *c = chan_new(8, 0);
    struct group g;

    (void)arg;
    group_open(&g, "left");
    ck_assert_int_eq(group_go(&g, receive_one, c), 0);
    ck_assert_int_eq(group_go(&g, sleep_and_leave, c), 0);
    int r = group_join(&g);
    chan_free(c);
    return r;
}

START_TEST(a_receiver_that_was_alive_is_found_when_its_sender_has_left)
{
    expect_dead(the_sender_leaves_without_sending, (unsigned)_i + 1);
    SAYS("\"receive_one\" parked on channel receive");
}
END_TEST

struct locks {
    struct mutex a, b;
    struct semaphore a_held, b_held;
};

static int lock_ab(void *arg)
{
    struct locks *l = arg;
    int r = mutex_lock(&l->a, 0);

    ck_assert_int_eq(r, 0);
    semaphore_give(&l->a_held, 1);
    r = semaphore_take(&l->b_held, 0);
    if (r == 0 && (r = mutex_lock(&l->b, 0)) == 0)
        mutex_unlock(&l->b);
    mutex_unlock(&l->a);
    return r;
}

static int lock_ba(void *arg)
{
    struct locks *l = arg;
    int r = mutex_lock(&l->b, 0);

    ck_assert_int_eq(r, 0);
    semaphore_give(&l->b_held, 1);
    r = semaphore_take(&l->a_held, 0);
    if (r == 0 && (r = mutex_lock(&l->a, 0)) == 0)
        mutex_unlock(&l->a);
    mutex_unlock(&l->b);
    return r;
}

/* Known to everybody: owners decide, not who knows what. */
static struct locks locks;

static int two_lock_in_opposite_order(void *arg)
{
    struct group g;

    (void)arg;
    mutex_init(&locks.a);
    mutex_init(&locks.b);
    semaphore_init(&locks.a_held, 0);
    semaphore_init(&locks.b_held, 0);
    group_open(&g, "lockers");
    ck_assert_int_eq(group_go(&g, lock_ab, &locks), 0);
    ck_assert_int_eq(group_go(&g, lock_ba, &locks), 0);
    return group_join(&g);
}

START_TEST(a_cycle_of_mutexes_is_found)
{
    expect_dead(two_lock_in_opposite_order, (unsigned)_i + 1);
    SAYS("\"lock_ab\" parked on mutex");
    SAYS("\"lock_ba\" parked on mutex");
    SAYS("held by task ");
}
END_TEST

static int compute(void *arg)
{
    (void)arg;
    while (!atomic_load(&seen.stop))
        task_checkpoint();
    return 0;
}

static int opposite_order_beside_one_that_computes(void *arg)
{
    struct group g;

    group_open(&g, "computing");
    ck_assert_int_eq(group_go(&g, compute, NULL), 0);
    int r = two_lock_in_opposite_order(arg);
    atomic_store(&seen.stop, true);
    ck_assert_int_eq(group_join(&g), 0);
    return r;
}

START_TEST(a_cycle_of_mutexes_is_found_while_another_task_never_rests)
{
    expect_dead(opposite_order_beside_one_that_computes, (unsigned)_i + 1);
}
END_TEST

static int wait_for_lock(void *arg)
{
    int r = mutex_lock(arg, 0);

    if (r == 0)
        mutex_unlock(arg);
    return r;
}

static int joiner_holds_what_its_member_wants(void *arg)
{
    static struct mutex m;
    struct group g;

    (void)arg;
    mutex_init(&m);
    ck_assert_int_eq(mutex_lock(&m, 0), 0);
    group_open(&g, "joined");
    ck_assert_int_eq(group_go(&g, wait_for_lock, &m), 0);
    int r = group_join(&g);
    mutex_unlock(&m);
    return r;
}

START_TEST(a_group_whose_member_waits_for_its_joiner_is_found)
{
    expect_dead(joiner_holds_what_its_member_wants, (unsigned)_i + 1);
    SAYS("parked on end of group");
    SAYS("of its members never end");
}
END_TEST

static int wait_for_zero(void *arg)
{
    return waitgroup_wait(arg, 0);
}

static int a_wait_group_is_never_done(void *arg)
{
    struct waitgroup w;
    struct group g;

    (void)arg;
    waitgroup_init(&w);
    waitgroup_add(&w, 2);
    waitgroup_done(&w);
    group_open(&g, "counted");
    ck_assert_int_eq(group_go(&g, wait_for_zero, &w), 0);
    return group_join(&g);
}

START_TEST(a_wait_group_that_is_never_done_is_found)
{
    expect_dead(a_wait_group_is_never_done, (unsigned)_i + 1);
    SAYS("\"wait_for_zero\" parked on wait group");
}
END_TEST

struct room {
    struct mutex m;
    struct cond c;
};

static int wait_for_signal(void *arg)
{
    struct room *room = arg;

    ck_assert_int_eq(mutex_lock(&room->m, 0), 0);
    int r = cond_wait(&room->c, &room->m, 0);
    mutex_unlock(&room->m);
    return r;
}

static int a_condition_without_signaller(void *arg)
{
    struct room room;
    struct group g;

    (void)arg;
    mutex_init(&room.m);
    cond_init(&room.c);
    group_open(&g, "room");
    ck_assert_int_eq(group_go(&g, wait_for_signal, &room), 0);
    return group_join(&g);
}

START_TEST(a_condition_without_a_signaller_is_found)
{
    expect_dead(a_condition_without_signaller, (unsigned)_i + 1);
    SAYS("\"wait_for_signal\" parked on condition");
}
END_TEST

static int ask_for_sleepers(void *arg)
{
    struct chan *c = chan_new(8, 0);
    struct buf table = BUF_INIT;
    struct group g;

    (void)arg;
    group_open(&g, "sleepers");
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(group_go(&g, receive_one, c), 0);
    ck_assert_int_eq(group_go(&g, sleep_long, NULL), 0);
    ck_assert_int_eq(task_sleep_ns(20 * NS_PER_MS), 0);
    scheduler_sleepers(&table, 5 * NS_PER_MS);
    ck_assert_msg(strstr(buf_str(&table), "3 \"receive_one\" on channel receive for up to ") !=
                      NULL,
                  "%s", buf_str(&table));
    ck_assert_ptr_null(strstr(buf_str(&table), "sleep_long"));
    table.len = 0;
    scheduler_sleepers(&table, 3600 * NS_PER_S);
    ck_assert_uint_eq(table.len, 0);
    buf_deinit(&table);
    (void)group_close(&g);
    chan_free(c);
    return 0;
}

START_TEST(long_sleepers_are_summed_up_by_where_they_were_spawned)
{
    scheduled((unsigned)_i + 1, ask_for_sleepers, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_deadlock");
    TCase *tc = tcase_create("deadlock");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_dead_pair_of_channel_waiters_beside_a_ticker_is_found, 0, 2);
    tcase_add_loop_test(tc, a_dead_pair_is_found_in_time_with_the_usual_settings, 0, 2);
    tcase_add_loop_test(tc, a_select_on_two_channels_that_nobody_knows_is_found, 0, 2);
    tcase_add_loop_test(tc, a_producer_of_a_full_channel_without_a_consumer_is_found, 0, 2);
    tcase_add_loop_test(tc, a_receiver_that_was_alive_is_found_when_its_sender_has_left, 0, 2);
    tcase_add_loop_test(tc, a_cycle_of_mutexes_is_found, 0, 2);
    tcase_add_loop_test(tc, a_cycle_of_mutexes_is_found_while_another_task_never_rests, 0, 2);
    tcase_add_loop_test(tc, a_group_whose_member_waits_for_its_joiner_is_found, 0, 2);
    tcase_add_loop_test(tc, a_wait_group_that_is_never_done_is_found, 0, 2);
    tcase_add_loop_test(tc, a_condition_without_a_signaller_is_found, 0, 2);
    tcase_add_loop_test(tc, long_sleepers_are_summed_up_by_where_they_were_spawned, 0, 2);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
