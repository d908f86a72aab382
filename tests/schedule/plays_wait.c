/* What tasks wait for: events, channels, select, locks, groups. */
#include "tests/schedule/plays.h"

#include "scheduler/chan.h"
#include "scheduler/core.h"
#include "scheduler/event.h"
#include "scheduler/mutex.h"
#include "scheduler/semaphore.h"
#include "scheduler/task.h"

#include <errno.h>

enum { VALUES = 4 };

static struct {
    struct event event;
    struct chan *chan, *other;
    struct mutex mutex;
    struct cond cond;
    struct semaphore semaphore;
    unsigned sent[VALUES], received[VALUES];
    unsigned inside, entered, ended, woken;
    int results[4];
} here;

static void begin(size_t cap)
{
    here.chan = chan_new(sizeof(uint64_t), cap);
    here.other = chan_new(sizeof(uint64_t), cap);
    mutex_init(&here.mutex);
    cond_init(&here.cond);
    semaphore_init(&here.semaphore, 1);
    event_init(&here.event);
    here.inside = here.entered = here.ended = here.woken = 0;
    for (unsigned i = 0; i < VALUES; i++)
        here.sent[i] = here.received[i] = 0;
}

/* ---- parking: one wait, and three who may end it ---- */

static int wait_thrice(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 3; i++) {
        int r = event_wait(&here.event, 15 * (i + 1));
        here.woken += r == 0;
        CONTROL_HOLDS(r == 0 || r == -ETIMEDOUT || r == -ECANCELED);
        if (r == -ECANCELED)
            break;
    }
    here.ended++;
    return 0;
}

static int set_twice(void *arg)
{
    (void)arg;
    event_set(&here.event);
    event_set(&here.event);
    return 0;
}

static int open_and_cancel(void *arg)
{
    struct group g;

    (void)arg;
    group_open(&g, "waiter");
    CONTROL_HOLDS(group_go(&g, wait_thrice, NULL) == 0);
    group_cancel(&g, -ECANCELED);
    CONTROL_HOLDS(group_join(&g) == 0);
    CONTROL_HOLDS(here.ended == 1);
    return 0;
}

static void event_begin(void)
{
    begin(0);
    house_start(open_and_cancel, NULL);
    house_start(set_twice, NULL);
    house_clock(8, 10);
}

static void event_end(void)
{
    CONTROL_HOLDS(here.woken <= 2);
}

const struct control_play play_event = {"event", event_begin, event_end, TEAR_CAS};

/* ---- channels ---- */

static int send_two(void *arg)
{
    uint64_t first = (uintptr_t)arg;

    for (uint64_t v = first; v < first + 2; v++) {
        CONTROL_HOLDS(chan_send(here.chan, &v, 0) == 0);
        here.sent[v]++;
    }
    return 0;
}

static int receive_two(void *arg)
{
    uint64_t v = VALUES;

    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        CONTROL_HOLDS(chan_recv(here.chan, &v, 0) == 0);
        CONTROL_HOLDS(v < VALUES);
        here.received[v]++;
    }
    return 0;
}

static void start_two_and_two(void)
{
    house_start(send_two, (void *)0);
    house_start(send_two, (void *)2);
    house_start(receive_two, NULL);
    house_start(receive_two, NULL);
}

static void chan_begin(void)
{
    begin(1);
    start_two_and_two();
}

static void rendezvous_begin(void)
{
    begin(0);
    start_two_and_two();
}

static void each_came_once(void)
{
    for (unsigned i = 0; i < VALUES; i++)
        CONTROL_HOLDS(here.received[i] == here.sent[i]);
}

const struct control_play play_chan = {"chan", chan_begin, each_came_once, TEAR_LOCK};
const struct control_play play_rendezvous = {"rendezvous", rendezvous_begin, each_came_once,
                                             TEAR_LOCK};

/* Senders with a deadline, a receiver, and one who closes. */
static int send_until_closed(void *arg)
{
    uint64_t first = (uintptr_t)arg;

    for (uint64_t v = first; v < first + 2; v++)
        here.sent[v] = chan_send(here.chan, &v, 25) == 0;
    return 0;
}

static int receive_until_closed(void *arg)
{
    uint64_t v;

    (void)arg;
    while (chan_recv(here.chan, &v, 0) == 0)
        here.received[v]++;
    return 0;
}

static int close_it(void *arg)
{
    (void)arg;
    chan_close(here.chan);
    return 0;
}

static void close_begin(void)
{
    begin(1);
    house_start(send_until_closed, (void *)0);
    house_start(send_until_closed, (void *)2);
    house_start(receive_until_closed, NULL);
    house_start(close_it, NULL);
    house_clock(4, 10);
}

const struct control_play play_close = {"close", close_begin, each_came_once, TEAR_CAS};

/* ---- select: both ways on two channels, both tasks at once ---- */

static int select_twice(void *arg)
{
    uint64_t mine = (uintptr_t)arg, got = VALUES;
    struct chan *to = mine == 0 ? here.chan : here.other;
    struct chan *from = mine == 0 ? here.other : here.chan;
    struct chan_case cases[] = {{.chan = to, .op = CHAN_SEND, .element = &mine},
                                {.chan = from, .op = CHAN_RECV, .element = &got}};

    for (unsigned i = 0; i < 2; i++) {
        int r = chan_select(cases, 2, 0);
        CONTROL_HOLDS(r == 0 || (r == 1 && got == 1 - mine));
        here.results[mine] += r;
        if (r == 0)
            here.sent[mine]++;
        else
            here.received[got]++;
    }
    return 0;
}

static void select_begin(void)
{
    begin(0);
    here.results[0] = here.results[1] = 0;
    house_start(select_twice, (void *)0);
    house_start(select_twice, (void *)1);
}

static void select_end(void)
{
    CONTROL_HOLDS(here.results[0] + here.results[1] == 2); /* one sent, the other received */
    each_came_once();
}

const struct control_play play_select = {"select", select_begin, select_end, TEAR_LOCK};

/* A select whose deadline passes leaves no wait behind for a later sender to find. */
static int select_in_time(void *arg)
{
    uint64_t first = (uintptr_t)arg, got[2];
    struct chan_case cases[] = {{.chan = here.chan, .op = CHAN_RECV, .element = &got[0]},
                                {.chan = here.other, .op = CHAN_RECV, .element = &got[1]}};

    for (unsigned i = 1; i <= 3; i++) {
        int r = chan_select(cases, 2, first + 10 * i);
        CONTROL_HOLDS(r == -ETIMEDOUT || (r >= 0 && got[r] < VALUES));
        if (r >= 0)
            here.received[got[r]]++;
    }
    return 0;
}

static int send_in_time(void *arg)
{
    uint64_t first = (uintptr_t)arg;

    for (uint64_t v = first; v < first + 2; v++)
        here.sent[v] = chan_send(v % 2 == 0 ? here.chan : here.other, &v, 20) == 0;
    return 0;
}

static void select_deadline_begin(void)
{
    begin(0);
    house_start(select_in_time, (void *)5);
    house_start(select_in_time, (void *)15);
    house_start(send_in_time, (void *)0);
    house_start(send_in_time, (void *)2);
    house_clock(6, 10);
}

const struct control_play play_select_deadline = {"select_deadline", select_deadline_begin,
                                                  each_came_once, TEAR_CAS};

/* ---- locks ---- */

static void critical(void)
{
    CONTROL_HOLDS(here.inside == 0);
    here.inside++;
    control_point();
    here.entered++;
    control_point();
    here.inside--;
}

static int lock_twice(void *arg)
{
    uint64_t deadline_ns = (uintptr_t)arg;

    for (unsigned i = 0; i < 2; i++) {
        int r = mutex_lock(&here.mutex, deadline_ns);
        CONTROL_HOLDS(r == 0 || r == -ETIMEDOUT);
        if (r < 0)
            continue;
        critical();
        mutex_unlock(&here.mutex);
    }
    return 0;
}

static void mutex_begin(void)
{
    begin(0);
    for (unsigned i = 0; i < 3; i++)
        house_start(lock_twice, NULL);
}

static void mutex_end(void)
{
    CONTROL_HOLDS(here.entered == 6);
    CONTROL_HOLDS(here.mutex.word == 0 && list_is_empty(&here.mutex.waiters));
}

const struct control_play play_mutex = {"mutex", mutex_begin, mutex_end, TEAR_CAS};

static void mutex_deadline_begin(void)
{
    begin(0);
    house_start(lock_twice, (void *)12);
    house_start(lock_twice, (void *)2000000);
    house_start(lock_twice, NULL);
    house_clock(5, 900000); /* a millisecond old is old: hand-offs too */
}

static void mutex_deadline_end(void)
{
    CONTROL_HOLDS(here.entered >= 2);
    CONTROL_HOLDS(here.mutex.word == 0 && list_is_empty(&here.mutex.waiters));
}

const struct control_play play_mutex_deadline = {"mutex_deadline", mutex_deadline_begin,
                                                 mutex_deadline_end, TEAR_OR};

static int wait_for_one(void *arg)
{
    (void)arg;
    CONTROL_HOLDS(mutex_lock(&here.mutex, 0) == 0);
    while (here.woken == 0)
        CONTROL_HOLDS(cond_wait(&here.cond, &here.mutex, 0) == 0);
    here.woken--;
    critical();
    mutex_unlock(&here.mutex);
    return 0;
}

static int signal_two(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        CONTROL_HOLDS(mutex_lock(&here.mutex, 0) == 0);
        here.woken++;
        cond_signal(&here.cond);
        mutex_unlock(&here.mutex);
    }
    return 0;
}

static void cond_begin(void)
{
    begin(0);
    house_start(wait_for_one, NULL);
    house_start(wait_for_one, NULL);
    house_start(signal_two, NULL);
}

static void cond_end(void)
{
    CONTROL_HOLDS(here.entered == 2 && here.woken == 0);
    CONTROL_HOLDS(here.mutex.word == 0);
}

const struct control_play play_cond = {"cond", cond_begin, cond_end, TEAR_CAS};

static int take_and_give(void *arg)
{
    uint64_t deadline_ns = (uintptr_t)arg;

    for (unsigned i = 0; i < 2; i++) {
        if (semaphore_take(&here.semaphore, deadline_ns) < 0)
            continue;
        critical();
        semaphore_give(&here.semaphore, 1);
    }
    return 0;
}

static void semaphore_begin(void)
{
    begin(0);
    house_start(take_and_give, (void *)15);
    house_start(take_and_give, NULL);
    house_start(take_and_give, NULL);
    house_clock(4, 10);
}

static void semaphore_end(void)
{
    CONTROL_HOLDS(here.entered >= 4);
    CONTROL_HOLDS(here.semaphore.permits == 1);
}

const struct control_play play_semaphore = {"semaphore", semaphore_begin, semaphore_end,
                                            TEAR_CAS};

/* ---- groups ---- */

static int receive_or_end(void *arg)
{
    uint64_t v;
    int r = chan_recv(arg, &v, 0);

    here.ended++;
    return r;
}

static int join_three(void *arg)
{
    struct group g;
    uint64_t v = 1;

    (void)arg;
    group_open(&g, "three");
    CONTROL_HOLDS(group_deadline(&g, 35) == 0);
    for (unsigned i = 0; i < 3; i++) {
        int r = group_go(&g, receive_or_end, here.chan);
        CONTROL_HOLDS(r == 0 || r == -ECANCELED);
        here.entered += r == 0;
    }
    int sent = chan_send(here.chan, &v, 20);
    CONTROL_HOLDS(sent == 0 || sent == -ETIMEDOUT);
    int r = group_join(&g);
    CONTROL_HOLDS(r == -ETIMEDOUT || r == -ECANCELED);
    CONTROL_HOLDS(here.ended == here.entered);
    return 0;
}

static void group_begin(void)
{
    begin(0);
    house_start(join_three, NULL);
    house_clock(6, 10);
}

static void nothing_more(void)
{
}

const struct control_play play_group = {"group", group_begin, nothing_more, TEAR_CAS};

static int be_one_of_two(void *arg)
{
    (void)arg;
    here.inside++;
    CONTROL_HOLDS(here.inside <= 2);
    control_point();
    here.inside--;
    here.ended++;
    return 0;
}

static int spawn_four(void *arg)
{
    struct group g;

    (void)arg;
    group_open(&g, "limited");
    group_limit(&g, 2);
    for (unsigned i = 0; i < 4; i++)
        CONTROL_HOLDS(group_go(&g, be_one_of_two, NULL) == 0);
    CONTROL_HOLDS(group_join(&g) == 0);
    CONTROL_HOLDS(here.ended == 4);
    return 0;
}

static void group_limit_begin(void)
{
    begin(0);
    house_start(spawn_four, NULL);
}

const struct control_play play_group_limit = {"group_limit", group_limit_begin, nothing_more,
                                              TEAR_LOCK};
