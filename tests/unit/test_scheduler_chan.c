/* Channels, one property a test. What random programs do with them is compared with a
 * sequential model in test_scheduler_chan_model.c; select has its own file. */
#include "scheduler/chan.h"

#include "tests/lib/scheduled.h"

#include <pthread.h>
#include <string.h>

struct op {
    struct chan *chan;
    uint64_t value;
    int result;
    _Atomic bool done; /* result may be read */
};

static int send_task(void *arg)
{
    struct op *op = arg;

    op->result = chan_send(op->chan, &op->value, 0);
    op->done = true;
    return 0;
}

static int recv_task(void *arg)
{
    struct op *op = arg;

    op->result = chan_recv(op->chan, &op->value, 0);
    op->done = true;
    return 0;
}

/* ---- order, capacity, hand-over ---- */

static int order(void *arg)
{
    struct chan *c = chan_new(sizeof(uint64_t), 5);
    uint64_t in = 0, out = 0, value;

    (void)arg;
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 1 + round % 5; i++, in++)
            ck_assert_int_eq(chan_send(c, &in, 0), 0);
        ck_assert_uint_eq(chan_len(c), in - out);
        while (chan_len(c) > 0) {
            ck_assert_int_eq(chan_recv(c, &value, 0), 0);
            ck_assert_uint_eq(value, out++);
        }
    }
    chan_free(c);
    return 0;
}

START_TEST(a_buffered_channel_keeps_the_order)
{
    scheduled(1, order, NULL);
}
END_TEST

static int full(void *arg)
{
    struct chan *c = chan_new(sizeof(uint64_t), 2);
    struct op op[4];
    struct group g;
    uint64_t value;

    (void)arg;
    group_open(&g, "senders");
    for (unsigned i = 0; i < 4; i++) {
        op[i] = (struct op){.chan = c, .value = i};
        ck_assert_int_eq(group_go(&g, send_task, &op[i]), 0);
        let_others_run();
        ck_assert(op[i].done == (i < 2));
    }
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(chan_recv(c, &value, 0), 0);
        ck_assert_uint_eq(value, i);
        let_others_run();
        ck_assert(op[i < 2 ? i + 2 : 3].done);
    }
    ck_assert_int_eq(group_join(&g), 0);
    chan_free(c);
    return 0;
}

START_TEST(a_full_channel_parks_its_senders_and_lets_them_in_by_turns)
{
    scheduled(1, full, NULL);
}
END_TEST

static int unbuffered(void *arg)
{
    struct chan *c = chan_new(sizeof(uint64_t), 0);
    struct op op = {.chan = c, .value = 7};
    struct group g;
    uint64_t value = 0;

    (void)arg;
    group_open(&g, "sender");
    ck_assert_int_eq(group_go(&g, send_task, &op), 0);
    let_others_run();
    ck_assert(!op.done);
    ck_assert_uint_eq(chan_len(c), 0);
    ck_assert_int_eq(chan_recv(c, &value, 0), 0);
    ck_assert_uint_eq(value, 7);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert(op.done && op.result == 0);
    chan_free(c);
    return 0;
}

START_TEST(an_unbuffered_send_ends_when_it_is_received)
{
    scheduled(1, unbuffered, NULL);
}
END_TEST

static int sizes(void *arg)
{
    static const size_t bytes[] = {0, 1, 3, 8, 24, CHAN_ELEMENT_BYTES_MAX};
    static unsigned char in[CHAN_ELEMENT_BYTES_MAX], out[CHAN_ELEMENT_BYTES_MAX];

    (void)arg;
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        struct chan *c = chan_new(bytes[i], 3);

        for (int round = 0; round < 7; round++) {
            memset(in, 'a' + round, sizeof in);
            memset(out, 0, sizeof out);
            ck_assert_int_eq(chan_send(c, in, 0), 0);
            ck_assert_int_eq(chan_recv(c, out, 0), 0);
            ck_assert_int_eq(memcmp(in, out, bytes[i]), 0);
            ck_assert(bytes[i] == sizeof out || out[bytes[i]] == 0);
        }
        chan_free(c);
    }
    ck_assert_ptr_null(chan_new(8, (size_t)CHAN_CAP_MAX + 1));
    chan_free(NULL);
    return 0;
}

START_TEST(elements_of_every_size_arrive_whole)
{
    scheduled(1, sizes, NULL);
}
END_TEST

/* ---- closing ---- */

static int closing(void *arg)
{
    struct chan *c = chan_new(sizeof(uint64_t), 4);
    uint64_t value = 1;

    (void)arg;
    ck_assert_int_eq(chan_send(c, &value, 0), 0);
    chan_close(c);
    chan_close(c);
    ck_assert_int_eq(chan_send(c, &value, 0), -EPIPE);
    ck_assert_int_eq(chan_try_send(c, &value), -EPIPE);
    value = 0;
    ck_assert_int_eq(chan_recv(c, &value, 0), 0);
    ck_assert_uint_eq(value, 1);
    ck_assert_int_eq(chan_recv(c, &value, 0), -EPIPE);
    ck_assert_int_eq(chan_try_recv(c, &value), -EPIPE);
    chan_free(c);
    return 0;
}

START_TEST(a_closed_channel_refuses_senders_and_can_be_drained)
{
    scheduled(1, closing, NULL);
}
END_TEST

enum { CROWD = 300 };

static int select_task(void *arg)
{
    struct op *op = arg;
    struct chan_case cases[] = {{NULL, CHAN_RECV, NULL, 0},
                                {op->chan, CHAN_RECV, &op->value, 0}};

    int r = chan_select(cases, 2, 0);
    op->result = r == 1 ? cases[1].result : r;
    op->done = true;
    return 0;
}

static int crowd(void *arg)
{
    static struct op op[CROWD];
    struct chan *empty = chan_new(sizeof(uint64_t), 0), *filled = chan_new(sizeof(uint64_t), 1);
    static const task_fn fns[] = {recv_task, select_task, send_task};
    struct group g;
    uint64_t value = 5;

    (void)arg;
    group_open(&g, "crowd");
    ck_assert_int_eq(chan_send(filled, &value, 0), 0);
    for (unsigned i = 0; i < CROWD; i++) {
        op[i] = (struct op){.chan = i % 3 == 2 ? filled : empty, .value = i};
        ck_assert_int_eq(
            group_spawn(&g, fns[i % 3], &op[i],
                        &(struct task_options){.name = "crowd", .stack = STACK_SMALL}),
            0);
    }
    let_others_run();
    chan_close(empty);
    chan_close(filled);
    ck_assert_int_eq(group_join(&g), 0);
    for (unsigned i = 0; i < CROWD; i++)
        ck_assert(op[i].done && op[i].result == -EPIPE);
    ck_assert_int_eq(chan_recv(filled, &value, 0), 0);
    ck_assert_uint_eq(value, 5);
    ck_assert_int_eq(chan_recv(filled, &value, 0), -EPIPE);
    chan_free(empty);
    chan_free(filled);
    return 0;
}

START_TEST(closing_wakes_every_sender_receiver_and_selector)
{
    scheduled(_i == 0 ? 1 : 2, crowd, NULL);
}
END_TEST

/* ---- deadlines and cancellation ---- */

static int deadlines(void *arg)
{
    struct chan *c = chan_new(sizeof(uint64_t), 0);
    uint64_t value = 1;

    (void)arg;
    uint64_t at_ns = SOON;
    ck_assert_int_eq(chan_recv(c, &value, at_ns), -ETIMEDOUT);
    ck_assert_uint_ge(clock_mono_ns(), at_ns);
    ck_assert_int_eq(chan_send(c, &value, SOON), -ETIMEDOUT);
    ck_assert_int_eq(chan_send(c, &value, 1), -ETIMEDOUT);
    ck_assert_int_eq(chan_try_send(c, &value), -EAGAIN);
    ck_assert_int_eq(chan_try_recv(c, &value), -EAGAIN);
    chan_free(c);
    return 0;
}

START_TEST(a_deadline_ends_a_wait_and_leaves_no_trace)
{
    scheduled(1, deadlines, NULL);
}
END_TEST

static int cancelling(void *arg)
{
    struct chan *c = chan_new(sizeof(uint64_t), 0);
    struct op op[3];
    struct group g;
    uint64_t value = 1;

    (void)arg;
    group_open(&g, "cancelled");
    for (int i = 0; i < 3; i++) {
        op[i] = (struct op){.chan = c};
        ck_assert_int_eq(group_go(&g, i == 1 ? select_task : recv_task, &op[i]), 0);
    }
    let_others_run();
    group_cancel(&g, -ECANCELED);
    (void)group_close(&g);
    for (int i = 0; i < 3; i++)
        ck_assert(op[i].done && op[i].result == -ECANCELED);
    ck_assert_int_eq(chan_try_send(c, &value), -EAGAIN);
    chan_free(c);
    return 0;
}

START_TEST(a_cancelled_waiter_leaves_the_queue)
{
    scheduled(_i == 0 ? 1 : 2, cancelling, NULL);
}
END_TEST

static int insist(void *arg)
{
    struct op *op = arg;
    uint64_t value = 3;

    op->result = chan_recv(op->chan, &op->value, 0);
    ck_assert_int_eq(op->result, -ECANCELED);
    /* There is room, and yet: cancellation is a level and not an edge. */
    ck_assert_int_eq(chan_send(op->chan, &value, 0), -ECANCELED);
    struct chan_case k = {op->chan, CHAN_SEND, &value, 0};
    ck_assert_int_eq(chan_select(&k, 1, 0), -ECANCELED);

    task_shield_begin(SOON);
    ck_assert_int_eq(chan_send(op->chan, &value, 0), 0);
    ck_assert_int_eq(chan_send(op->chan, &value, 0), -ETIMEDOUT);
    task_shield_end();
    return 0;
}

static int levels(void *arg)
{
    struct chan *c = chan_new(sizeof(uint64_t), 1);
    struct op op = {.chan = c};
    struct group g;

    (void)arg;
    group_open(&g, "insist");
    ck_assert_int_eq(group_go(&g, insist, &op), 0);
    let_others_run();
    (void)group_close(&g);
    ck_assert_uint_eq(chan_len(c), 1);
    chan_free(c);
    return 0;
}

START_TEST(a_cancelled_task_is_refused_at_every_call_but_in_a_shield)
{
    scheduled(1, levels, NULL);
}
END_TEST

/* ---- many tasks ---- */

enum { TEAM = 4 };

struct stream {
    struct chan *chan;
    uint64_t count; /* of all values */
    _Atomic uint8_t *seen;
    _Atomic uint64_t next, sum, received;
};

static int produce(void *arg)
{
    struct stream *s = arg;

    for (;;) {
        uint64_t value = atomic_fetch_add(&s->next, 1);

        if (value >= s->count)
            return 0;
        int r = chan_send(s->chan, &value, 0);
        if (r < 0)
            return r;
    }
}

static int consume(void *arg)
{
    struct stream *s = arg;
    uint64_t value, received = 0;
    int r;

    while ((r = chan_recv(s->chan, &value, 0)) == 0) {
        if (value >= s->count || atomic_fetch_add(&s->seen[value], 1) != 0)
            return -EPROTO; /* no assertion here: each writes a mark to a file */
        received++;
    }
    atomic_fetch_add(&s->received, received);
    return r == -EPIPE ? 0 : r;
}

static int exactly_once(void *arg)
{
    struct stream s = {.chan = chan_new(sizeof(uint64_t), *(size_t *)arg),
                       .count = 1000000 / SLOWDOWN};
    struct group producers, consumers;

    s.seen = calloc(s.count, 1);
    group_open(&producers, "producers");
    group_open(&consumers, "consumers");
    for (int i = 0; i < TEAM; i++) {
        ck_assert_int_eq(group_go(&consumers, consume, &s), 0);
        ck_assert_int_eq(group_go(&producers, produce, &s), 0);
    }
    ck_assert_int_eq(group_join(&producers), 0);
    chan_close(s.chan);
    ck_assert_int_eq(group_join(&consumers), 0);
    ck_assert_uint_eq(s.received, s.count);
    free((void *)s.seen);
    chan_free(s.chan);
    return 0;
}

START_TEST(four_producers_and_four_consumers_pass_each_item_once)
{
    static const size_t caps[] = {0, 1, 128};
    size_t cap = caps[_i];

    scheduled(2, exactly_once, &cap);
}
END_TEST

struct pair {
    struct chan *there, *back;
    _Atomic bool stop;
    uint64_t rounds;
};

static int pong(void *arg)
{
    struct pair *p = arg;
    uint64_t value;

    while (chan_recv(p->there, &value, 0) == 0)
        if (chan_send(p->back, &value, 0) < 0)
            break;
    return 0;
}

static int ping(void *arg)
{
    struct pair *p = arg;

    while (!atomic_load(&p->stop)) {
        if (chan_send(p->there, &p->rounds, 0) < 0 || chan_recv(p->back, &p->rounds, 0) < 0)
            return -EPROTO;
        p->rounds++;
    }
    chan_close(p->there);
    return 0;
}

static int starving(void *arg)
{
    struct pair p = {.there = chan_new(sizeof(uint64_t), 0),
                     .back = chan_new(sizeof(uint64_t), 0)};
    struct group g;
    uint64_t worst_ns = 0;

    (void)arg;
    group_open(&g, "pair");
    ck_assert_int_eq(group_go(&g, pong, &p), 0);
    ck_assert_int_eq(group_go(&g, ping, &p), 0);
    for (int i = 0; i < 1000 / SLOWDOWN; i++) {
        uint64_t before_ns = clock_mono_ns();

        ck_assert_int_eq(task_yield(), 0);
        uint64_t ns = clock_mono_ns() - before_ns;
        worst_ns = ns > worst_ns ? ns : worst_ns;
    }
    /* A slice is 10 ms; the rest is for a machine that does other work. */
    ck_assert_uint_lt(worst_ns, 200 * NS_PER_MS);
    atomic_store(&p.stop, true);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_uint_gt(p.rounds, 0);
    chan_free(p.there);
    chan_free(p.back);
    return 0;
}

START_TEST(a_pair_that_plays_ping_pong_does_not_starve_a_third)
{
    scheduled(1, starving, NULL);
}
END_TEST

static void *foreigner(void *arg)
{
    struct stream *s = arg;

    for (uint64_t i = 0; i < s->count;) {
        int r = chan_try_send(s->chan, &i);

        if (r == 0)
            i++;
        else if (r == -EAGAIN)
            sched_yield();
        else
            return arg;
    }
    return NULL;
}

static int foreign(void *arg)
{
    struct stream s = {.chan = chan_new(sizeof(uint64_t), 16), .count = 20000 / SLOWDOWN};
    pthread_t thread;
    uint64_t value;

    (void)arg;
    ck_assert_int_eq(pthread_create(&thread, NULL, foreigner, &s), 0);
    for (uint64_t i = 0; i < s.count; i++) {
        ck_assert_int_eq(chan_recv(s.chan, &value, clock_mono_ns() + 60 * NS_PER_S), 0);
        ck_assert_uint_eq(value, i);
    }
    void *failed;
    ck_assert_int_eq(pthread_join(thread, &failed), 0);
    ck_assert_ptr_null(failed);
    chan_free(s.chan);
    return 0;
}

START_TEST(a_foreign_thread_may_try_to_send)
{
    scheduled(2, foreign, NULL);
}
END_TEST

/* ---- shutdown ---- */

static int linger(void *arg)
{
    struct chan *c = arg;
    uint64_t value = 0;
    struct chan_case cases[] = {{c, CHAN_RECV, &value, 0}, {c, CHAN_SEND, &value, 0}};

    /* Two of these meet in the channel, so they go on until they are cancelled. */
    for (;;) {
        int r = chan_select(cases, 2, 0);

        if (r < 0)
            return r;
    }
}

static int shutdown_all(void *arg)
{
    enum { GROUPS = 200 };
    static struct group groups[GROUPS];
    struct chan *chans[GROUPS];
    struct scheduler_stats stats;

    (void)arg;
    for (int i = 0; i < GROUPS; i++) {
        chans[i] = chan_new(sizeof(uint64_t), 0);
        group_open(&groups[i], "linger");
        for (int k = 0; k <= i % 5; k++)
            ck_assert_int_eq(group_go(&groups[i], linger, chans[i]), 0);
    }
    let_others_run();
    for (int i = 0; i < GROUPS; i++) {
        ck_assert_int_eq(group_close(&groups[i]), -ECANCELED);
        ck_assert_int_eq(chan_try_send(chans[i], &(uint64_t){0}), -EAGAIN);
        chan_free(chans[i]);
    }
    scheduler_stats(&stats);
    ck_assert_uint_eq(stats.tasks_live, 1);
    return 0;
}

START_TEST(closing_many_groups_leaves_no_task_and_no_waiter)
{
    scheduled(2, shutdown_all, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_chan");
    TCase *tc = tcase_create("chan");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_buffered_channel_keeps_the_order);
    tcase_add_test(tc, a_full_channel_parks_its_senders_and_lets_them_in_by_turns);
    tcase_add_test(tc, an_unbuffered_send_ends_when_it_is_received);
    tcase_add_test(tc, elements_of_every_size_arrive_whole);
    tcase_add_test(tc, a_closed_channel_refuses_senders_and_can_be_drained);
    tcase_add_loop_test(tc, closing_wakes_every_sender_receiver_and_selector, 0, 2);
    tcase_add_test(tc, a_deadline_ends_a_wait_and_leaves_no_trace);
    tcase_add_loop_test(tc, a_cancelled_waiter_leaves_the_queue, 0, 2);
    tcase_add_test(tc, a_cancelled_task_is_refused_at_every_call_but_in_a_shield);
    tcase_add_loop_test(tc, four_producers_and_four_consumers_pass_each_item_once, 0, 3);
    tcase_add_test(tc, a_pair_that_plays_ping_pong_does_not_starve_a_third);
    tcase_add_test(tc, a_foreign_thread_may_try_to_send);
    tcase_add_test(tc, closing_many_groups_leaves_no_task_and_no_waiter);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
