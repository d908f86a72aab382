/* Descriptors in the poller: who waits is woken, and by nothing that was meant for another. */
#include "scheduler/net.h"

#include "scheduler/event.h"
#include "scheduler/poller.h"

#include "tests/lib/scheduled.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { PAIRS = 100, ECHOES = 50, LINE_BYTES = 32, PEERS = 20, REUSES = 300 / SLOWDOWN };

/* Both ends of a socket pair, registered. */
struct pair {
    struct net *a, *b;
};

static void pair_open(struct pair *p)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(net_open(fds[0], &p->a), 0);
    ck_assert_int_eq(net_open(fds[1], &p->b), 0);
}

static void pair_close(struct pair *p)
{
    net_close(p->a);
    net_close(p->b);
}

static void read_all(struct net *n, char *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t got = net_read(n, data + done, len - done, 0);
        ck_assert_int_gt(got, 0);
        done += (size_t)got;
    }
}

/* Gives everything back until the other side is closed. */
static int echo(void *arg)
{
    struct net *n = arg;
    char data[LINE_BYTES];
    ssize_t got;

    while ((got = net_read(n, data, sizeof data, 0)) > 0)
        ck_assert_int_eq(net_write(n, data, (size_t)got, 0), got);
    ck_assert_int_eq(got, 0);
    return 0;
}

static int ask(void *arg)
{
    struct net *n = arg;
    char sent[LINE_BYTES], back[LINE_BYTES];

    for (int i = 0; i < ECHOES; i++) {
        memset(sent, 'a' + (net_fd(n) + i) % 26, sizeof sent);
        ck_assert_int_eq(net_write(n, sent, sizeof sent, 0), LINE_BYTES);
        read_all(n, back, sizeof back);
        ck_assert_mem_eq(sent, back, sizeof sent);
    }
    return shutdown(net_fd(n), SHUT_WR) == 0 ? 0 : -EIO;
}

static int echo_pairs(void *arg)
{
    static struct pair pairs[PAIRS];
    struct group g;

    (void)arg;
    group_open(&g, "echo");
    for (int i = 0; i < PAIRS; i++) {
        pair_open(&pairs[i]);
        ck_assert_int_eq(group_go(&g, echo, pairs[i].a), 0);
        ck_assert_int_eq(group_go(&g, ask, pairs[i].b), 0);
    }
    ck_assert_int_eq(group_join(&g), 0);
    for (int i = 0; i < PAIRS; i++)
        pair_close(&pairs[i]);
    return 0;
}

START_TEST(two_hundred_tasks_echo_over_socket_pairs)
{
    scheduled((unsigned)_i + 1, echo_pairs, NULL);
}
END_TEST

static int wait_in_vain(void *arg)
{
    struct pair p;

    (void)arg;
    pair_open(&p);
    uint64_t until = SOON;
    ck_assert_int_eq(net_wait(p.a, NET_READ, until), -ETIMEDOUT);
    ck_assert_uint_ge(clock_mono_ns(), until);
    ck_assert_int_eq(net_write(p.b, "x", 1, 0), 1);
    ck_assert_int_eq(net_wait(p.a, NET_READ, 0), 0);
    pair_close(&p);
    return 0;
}

START_TEST(a_wait_ends_at_its_deadline_and_the_next_sees_what_came)
{
    scheduled((unsigned)_i + 1, wait_in_vain, NULL);
}
END_TEST

struct waiter {
    struct pair pair;
    struct event begun;
};

static int wait_until_closed(void *arg)
{
    struct waiter *w = arg;

    event_set(&w->begun);
    ck_assert_int_eq(net_wait(w->pair.a, NET_READ, 0), -EBADF);
    return 0;
}

static int close_under_waiter(void *arg)
{
    struct waiter w;
    struct group g;

    (void)arg;
    event_init(&w.begun);
    pair_open(&w.pair);
    group_open(&g, "waiter");
    ck_assert_int_eq(group_go(&g, wait_until_closed, &w), 0);
    ck_assert_int_eq(event_wait(&w.begun, 0), 0);
    let_others_run(); /* with one processor the waiter is parked now */
    int fd = net_fd(w.pair.a);
    net_close(w.pair.a);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1); /* the last call has left */
    net_close(w.pair.b);
    return 0;
}

START_TEST(closing_a_descriptor_wakes_who_waits_for_it)
{
    scheduled(1, close_under_waiter, NULL);
}
END_TEST

static int wait_for_kick(void *arg)
{
    struct waiter *w = arg;

    event_set(&w->begun);
    ck_assert_int_eq(net_wait(w->pair.a, NET_READ, 0), 0);
    return 0;
}

static int kick(void *arg)
{
    struct waiter w;
    struct group g;

    (void)arg;
    event_init(&w.begun);
    pair_open(&w.pair);
    net_kick(w.pair.a);
    ck_assert_int_eq(net_wait(w.pair.a, NET_READ, 0), 0); /* the next wait */
    ck_assert_int_eq(net_wait(w.pair.a, NET_READ, SOON), -ETIMEDOUT);

    group_open(&g, "kicked");
    ck_assert_int_eq(group_go(&g, wait_for_kick, &w), 0);
    ck_assert_int_eq(event_wait(&w.begun, 0), 0);
    let_others_run();
    net_kick(w.pair.a); /* the present wait */
    ck_assert_int_eq(group_join(&g), 0);
    pair_close(&w.pair);
    return 0;
}

START_TEST(a_kick_lets_one_wait_for_reading_pass)
{
    scheduled((unsigned)_i + 1, kick, NULL);
}
END_TEST

/* The old handle's number is given to a new socket, whose handle is likely the same memory:
 * an event of the old registration must not make the new one look readable. */
static int reuse(void *arg)
{
    (void)arg;
    for (int i = 0; i < REUSES; i++) {
        struct pair old, young;
        pair_open(&old);
        int fd = net_fd(old.a);
        /* Consumes the first edge, which says that the socket is writable. */
        ck_assert_int_eq(net_wait(old.a, NET_WRITE, 0), 0);
        ck_assert_int_eq(write(net_fd(old.b), "x", 1), 1); /* its edge may be on the way */
        pair_close(&old);
        pair_open(&young);
        ck_assert_int_eq(net_fd(young.a), fd);
        uint64_t until = clock_mono_ns() + NS_PER_MS / 5;
        ck_assert_int_eq(net_wait(young.a, NET_READ, until), -ETIMEDOUT);
        pair_close(&young);
    }
    return 0;
}

START_TEST(a_reused_descriptor_number_gets_no_event_of_the_old_handle)
{
    scheduled((unsigned)_i + 1, reuse, NULL);
}
END_TEST

/* What the poller had in its hands when the old handle was closed. */
static int late_event(void *arg)
{
    struct task_list woken = {0};
    struct pair old, young;

    (void)arg;
    pair_open(&old);
    struct net *first = old.a;
    net_close(old.a);
    pair_open(&young);
    ck_assert_ptr_eq(young.a, first); /* the first of its chunk, in its second generation */
    net_event(0, EPOLLIN, &woken);
    ck_assert_int_eq(net_wait(young.a, NET_READ, SOON), -ETIMEDOUT);
    net_event(1, EPOLLIN, &woken);
    ck_assert_int_eq(net_wait(young.a, NET_READ, SOON), 0);
    pair_close(&young);
    net_close(old.b);
    return 0;
}

START_TEST(an_event_that_arrives_after_the_close_is_not_given_to_the_next_handle)
{
    scheduled(1, late_event, NULL);
}
END_TEST

static int watch_twice(void *arg)
{
    int fds[2];
    struct net *n;

    (void)arg;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(net_watch(fds[0], &n), 0);
        ck_assert_int_eq(net_wait(n, NET_READ, SOON), -ETIMEDOUT);
        net_close(n);
        ck_assert_int_ge(fcntl(fds[0], F_GETFD), 0);
    }
    close(fds[0]);
    close(fds[1]);
    return 0;
}

START_TEST(a_descriptor_that_was_only_watched_stays_open_and_can_be_watched_again)
{
    scheduled(1, watch_twice, NULL);
}
END_TEST

struct town {
    struct sockaddr_in address;
    struct net *listener;
};

/* Bound to a port of the system's choice; nobody listens yet. */
static int bound_socket(struct sockaddr_in *ret_address)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof *ret_address;

    *ret_address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)ret_address, len), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)ret_address, &len), 0);
    return fd;
}

static void town_open(struct town *t)
{
    int fd = bound_socket(&t->address);

    ck_assert_int_eq(listen(fd, PEERS), 0);
    ck_assert_int_eq(net_open(fd, &t->listener), 0);
}

static int serve_one(void *arg)
{
    struct town *t = arg;
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    struct net *n;
    int fd = net_accept(t->listener, (struct sockaddr *)&peer, &len, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_uint_eq(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    ck_assert_int_eq(net_open(fd, &n), 0);
    echo(n);
    net_close(n);
    return 0;
}

static int visit(void *arg)
{
    struct town *t = arg;
    struct net *n;

    ck_assert_int_eq(net_open(socket(AF_INET, SOCK_STREAM, 0), &n), 0);
    ck_assert_int_eq(net_connect(n, (struct sockaddr *)&t->address, sizeof t->address,
                                 clock_mono_ns() + 30 * NS_PER_S),
                     0);
    ck_assert_int_eq(ask(n), 0);
    net_close(n);
    return 0;
}

static int meet(void *arg)
{
    struct town t;
    struct group g;

    (void)arg;
    town_open(&t);
    group_open(&g, "town");
    /* One after the other: only one task may wait to accept. */
    for (int i = 0; i < PEERS; i++) {
        ck_assert_int_eq(group_go(&g, serve_one, &t), 0);
        ck_assert_int_eq(group_go(&g, visit, &t), 0);
        ck_assert_int_eq(group_wait(&g), 0);
    }
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_int_eq(net_accept(t.listener, NULL, NULL, SOON), -ETIMEDOUT);
    net_close(t.listener);
    return 0;
}

START_TEST(a_connection_over_loopback_is_accepted_and_echoes)
{
    scheduled((unsigned)_i + 1, meet, NULL);
}
END_TEST

static int connect_to_nobody(void *arg)
{
    struct sockaddr_in address;
    int deaf = bound_socket(&address);
    struct net *n;

    (void)arg;
    ck_assert_int_eq(net_open(socket(AF_INET, SOCK_STREAM, 0), &n), 0);
    ck_assert_int_eq(net_connect(n, (struct sockaddr *)&address, sizeof address, 0),
                     -ECONNREFUSED);
    net_close(n);
    close(deaf);
    return 0;
}

START_TEST(connecting_where_nobody_listens_is_refused)
{
    scheduled(1, connect_to_nobody, NULL);
}
END_TEST

/* A connection to oneself; the far end is a bare descriptor. */
static struct net *line_open(int *ret_far)
{
    struct sockaddr_in address;
    int door = bound_socket(&address), near;
    struct net *n;

    ck_assert_int_eq(listen(door, 1), 0);
    *ret_far = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(*ret_far, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_ge(near = accept(door, NULL, NULL), 0);
    ck_assert_int_eq(net_open(near, &n), 0);
    close(door);
    return n;
}

/* More than was sent is asked for: the read is short. */
static void read_short(struct net *n, const char *expected)
{
    char data[LINE_BYTES];
    ssize_t len = (ssize_t)strlen(expected);

    ck_assert_int_eq(net_read(n, data, sizeof data, 0), len);
    ck_assert_mem_eq(data, expected, (size_t)len);
}

/* Data and end come in one edge: the second read must not wait for another. */
static int send_and_end(void *arg)
{
    int far;
    struct net *n = line_open(&far);
    char end;

    (void)arg;
    ck_assert_int_eq(send(far, "last", 4, 0), 4);
    close(far);
    ck_assert_int_eq(net_wait(n, NET_READ, 0), 0); /* the edge is told now */
    read_short(n, "last");
    ck_assert_int_eq(net_read(n, &end, 1, 0), 0);
    net_close(n);
    return 0;
}

START_TEST(an_end_that_came_with_the_data_is_read_after_it)
{
    scheduled(1, send_and_end, NULL);
}
END_TEST

/* A read stops at the urgent byte although there is more; the mark itself is not read. */
static int send_urgently(void *arg)
{
    int far;
    struct net *n = line_open(&far);

    (void)arg;
    ck_assert_int_eq(send(far, "ab", 2, 0), 2);
    ck_assert_int_eq(send(far, "!", 1, MSG_OOB), 1);
    ck_assert_int_eq(send(far, "cd", 2, 0), 2);
    ck_assert_int_eq(net_wait(n, NET_READ, 0), 0);
    read_short(n, "ab");
    read_short(n, "cd");
    net_close(n);
    close(far);
    return 0;
}

START_TEST(what_follows_an_urgent_byte_is_read)
{
    scheduled(1, send_urgently, NULL);
}
END_TEST

/* A short read, then one by hand that leaves something, then one of ours. */
static int read_by_hand(void *arg)
{
    int far;
    struct net *n = line_open(&far);
    char byte;

    (void)arg;
    ck_assert_int_eq(send(far, "one", 3, 0), 3);
    read_short(n, "one");
    ck_assert_int_eq(send(far, "two", 3, 0), 3);
    ck_assert_int_eq(net_wait(n, NET_READ, 0), 0);
    ck_assert_int_eq(read(net_fd(n), &byte, 1), 1);
    read_short(n, "wo");
    net_close(n);
    close(far);
    return 0;
}

START_TEST(what_a_read_by_hand_left_is_not_waited_for)
{
    scheduled(1, read_by_hand, NULL);
}
END_TEST

/* After a short read, what comes later, and a deadline that has passed with data there. */
static int read_late(void *arg)
{
    int far;
    struct net *n = line_open(&far);
    char data[LINE_BYTES];

    (void)arg;
    ck_assert_int_eq(send(far, "one", 3, 0), 3);
    read_short(n, "one");
    ck_assert_int_eq(net_read(n, data, sizeof data, SOON), -ETIMEDOUT);
    ck_assert_int_eq(send(far, "two", 3, 0), 3);
    read_short(n, "two");
    ck_assert_int_eq(send(far, "three", 5, 0), 5);
    ck_assert_int_eq(net_read(n, data, sizeof data, 1), 5);
    net_close(n);
    close(far);
    return 0;
}

START_TEST(data_that_is_there_is_read_whatever_the_deadline)
{
    scheduled(1, read_late, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_net");
    TCase *tc = tcase_create("net");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, two_hundred_tasks_echo_over_socket_pairs, 0, 2);
    tcase_add_loop_test(tc, a_wait_ends_at_its_deadline_and_the_next_sees_what_came, 0, 2);
    tcase_add_test(tc, closing_a_descriptor_wakes_who_waits_for_it);
    tcase_add_loop_test(tc, a_kick_lets_one_wait_for_reading_pass, 0, 2);
    tcase_add_loop_test(tc, a_reused_descriptor_number_gets_no_event_of_the_old_handle, 0, 2);
    tcase_add_test(tc, an_event_that_arrives_after_the_close_is_not_given_to_the_next_handle);
    tcase_add_test(tc, a_descriptor_that_was_only_watched_stays_open_and_can_be_watched_again);
    tcase_add_loop_test(tc, a_connection_over_loopback_is_accepted_and_echoes, 0, 2);
    tcase_add_test(tc, connecting_where_nobody_listens_is_refused);
    tcase_add_test(tc, an_end_that_came_with_the_data_is_read_after_it);
    tcase_add_test(tc, what_follows_an_urgent_byte_is_read);
    tcase_add_test(tc, what_a_read_by_hand_left_is_not_waited_for);
    tcase_add_test(tc, data_that_is_there_is_read_whatever_the_deadline);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
