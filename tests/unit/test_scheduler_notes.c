/* The notes from which the scheduler was made, sentence by sentence: a test each. What the
 * other tests ask in depth is asked here once, in the words of the notes. Those about the end
 * of tasks are in test_scheduler_notes_ends.c. */
#include "base/buf.h"
#include "base/io.h"
#include "scheduler/block.h"
#include "scheduler/chan.h"
#include "scheduler/mutex.h"
#include "scheduler/net.h"
#include "scheduler/observe.h"
#include "scheduler/sanitizer.h"

#include "tests/lib/scheduled.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* TSan knows some 8,000 fibers. */
#if defined(SANITIZER_TSAN)
#define REQUESTS 2000
#else
#define REQUESTS 50000
#endif

/* Waits without giving the processor away. */
static void hold_until(const _Atomic unsigned *what, unsigned count)
{
    while (atomic_load(what) < count)
        ;
}

static _Atomic unsigned count, release;

static int count_one(void *arg)
{
    (void)arg;
    atomic_fetch_add(&count, 1);
    return 0;
}

static int hold_a_processor(void *arg)
{
    atomic_fetch_add(&count, 1);
    hold_until(arg, 1);
    return 0;
}

static struct scheduler_stats stats_now(void)
{
    struct scheduler_stats stats;

    scheduler_stats(&stats);
    return stats;
}

/* ---- "a local run queue for each processor, and a processor for each core" ---- */

static int count_processors(void *arg)
{
    *(unsigned *)arg = scheduler_processors();
    return 0;
}

/* With nobody to steal, what a task starts stands in the queue of its own processor alone. */
static int fill_own_queue(void *arg)
{
    struct scheduler_processor_stats one;
    bool *own = arg;
    struct group g;

    atomic_store(&count, 0);
    atomic_store(&release, 0);
    group_open(&g, "queue");
    ck_assert_int_eq(group_go(&g, hold_a_processor, &release), 0);
    hold_until(&count, 1);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(group_go(&g, count_one, NULL), 0);
    uint64_t lens[2] = {0};
    for (unsigned i = 0; i < 2 && scheduler_processor_stats(i, &one); i++)
        lens[i] = one.run_queue_len;
    *own = stats_now().global_queue_len == 0 && lens[0] + lens[1] == 10 &&
           (lens[0] == 10 || lens[1] == 10);
    atomic_store(&release, 1);
    return group_join(&g);
}

START_TEST(each_processor_has_a_run_queue_and_each_core_a_processor)
{
    unsigned processors = 0;
    bool own = false;

    scheduled(0, count_processors, &processors);
    ck_assert_uint_eq(processors, scheduler_usable_cpus());
    /* The monitor may have brought the queue to others when this thread stood still. */
    for (int i = 0; i < 200 && !own; i++)
        scheduled(2, fill_own_queue, &own);
    ck_assert(own);
}
END_TEST

/* ---- "the network poller begins with one thread; tasks move onto it and come back to a local
 * run queue" ---- */

enum { WAITERS = 100 };

struct line {
    int ends[2];
    struct net *net;
};

static int read_one(void *arg)
{
    struct line *line = arg;
    char byte;

    ck_assert_int_eq(net_read(line->net, &byte, 1, 0), 1);
    return 0;
}

static void *write_all(void *arg)
{
    struct line *lines = arg;

    for (int i = 0; i < WAITERS; i++)
        ck_assert_int_eq(write(lines[i].ends[1], "x", 1), 1);
    return NULL;
}

static int wait_on_lines(void *arg)
{
    struct line *lines = arg;
    struct scheduler_stats before = stats_now(), waiting;
    struct scheduler_processor_stats here;
    pthread_t thread;
    struct group g;

    group_open(&g, "lines");
    for (int i = 0; i < WAITERS; i++) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, lines[i].ends), 0);
        ck_assert_int_eq(net_open(lines[i].ends[0], &lines[i].net), 0);
        ck_assert_int_eq(group_go(&g, read_one, &lines[i]), 0);
    }
    let_others_run();
    waiting = stats_now();
    ck_assert_uint_eq(waiting.tasks_live, WAITERS + 1);
    /* A hundred wait, and not a hundred threads: a spare one may have been made ready. */
    ck_assert_uint_le(waiting.threads, before.threads + 2);
    ck_assert_uint_eq(waiting.run_queue_len, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, write_all, lines), 0);
    ck_assert_int_eq(group_join(&g), 0);
    pthread_join(thread, NULL);
    ck_assert(scheduler_processor_stats(0, &here));
    ck_assert_uint_ge(here.runs, 2 * WAITERS + 1);
    ck_assert_uint_le(stats_now().threads, before.threads + 2);
    for (int i = 0; i < WAITERS; i++) {
        net_close(lines[i].net);
        close(lines[i].ends[1]);
    }
    return 0;
}

static int keep(void *ctx, struct buf *piece)
{
    buf_put(ctx, piece->data, piece->len);
    return 0;
}

/* In the trace of it each reader is made ready by the one thread that polls, with a processor
 * in its hands: into that one's queue. */
static int trace_the_lines(void *arg)
{
    OWN_BUF struct buf trace = BUF_INIT;
    unsigned ready = 0;

    ck_assert_int_eq(scheduler_trace_start(), 0);
    ck_assert_int_eq(wait_on_lines(arg), 0);
    ck_assert_int_eq(scheduler_trace_stop(keep, &trace), 0);
    for (const char *p = buf_str(&trace); (p = strstr(p, "\"name\":\"ready\"")) != NULL; p++) {
        const char *end = strchr(p, '\n');
        const char *who = strstr(p, "\"name\":\"read_one\"");
        const char *where = strstr(p, "\"processor\":0");
        ready += who != NULL && who < end && where != NULL && where < end;
    }
    return ready == WAITERS ? 0 : -EAGAIN;
}

START_TEST(the_poller_is_one_thread_and_gives_tasks_back_to_a_local_queue)
{
    const struct scheduler_options options = {.processors = 1, .seed = SCHEDULED_SEED};
    static struct line lines[WAITERS];
    int r = -EAGAIN;

    /* The monitor polls in the place of a thread that stood still for 10 ms. */
    for (int i = 0; i < 20 && r == -EAGAIN; i++)
        r = scheduler_run(&options, trace_the_lines, lines);
    ck_assert_int_eq(r, 0);
}
END_TEST

/* ---- "file IO is not async: another thread takes over, and the old one is kept for the next
 * file IO" ---- */

enum { CALLS = 20 };

struct handover {
    int ends[2];
    pid_t blocked_in, wrote_in;
};

static int write_from_another_thread(void *arg)
{
    struct handover *h = arg;

    h->wrote_in = gettid();
    ck_assert_int_eq(write(h->ends[1], "x", 1), 1);
    return 0;
}

static int read_in_a_blocking_call(void *arg)
{
    struct handover *h = arg;
    struct group g;
    char byte;

    group_open(&g, "writer");
    ck_assert_int_eq(group_go(&g, write_from_another_thread, h), 0);
    block_enter(BLOCK_FILE);
    h->blocked_in = gettid();
    ck_assert_int_eq(read(h->ends[0], &byte, 1), 1); /* ends only if the other task runs */
    block_leave();
    return group_join(&g);
}

/* Numbers of threads do not come again soon. */
static unsigned note_thread(pid_t tid, pid_t *seen, unsigned len)
{
    for (unsigned i = 0; i < len; i++)
        if (seen[i] == tid)
            return len;
    seen[len] = tid;
    return len + 1;
}

static int block_often(void *arg)
{
    struct handover *h = arg;
    pid_t seen[2 * CALLS];
    unsigned apart = 0, threads = 0;

    for (int i = 0; i < CALLS; i++) {
        ck_assert_int_eq(read_in_a_blocking_call(h), 0);
        apart += h->blocked_in != h->wrote_in;
        threads = note_thread(h->blocked_in, seen, threads);
        threads = note_thread(h->wrote_in, seen, threads);
    }
    /* A slice that ends too soon lets the writer go first: nobody is blocked then. */
    ck_assert_uint_ge(apart, CALLS / 2);
    ck_assert_uint_ge(stats_now().handoffs, apart);
    /* Twenty calls, and not twenty threads, one after the other neither: one that is on its way
     * back may be missed. */
    ck_assert_uint_le(stats_now().threads, 4);
    ck_assert_uint_le(threads, stats_now().threads);
    return 0;
}

START_TEST(file_io_hands_the_processor_to_another_thread_and_keeps_the_old_one)
{
    struct handover h;

    ck_assert_int_eq(pipe(h.ends), 0);
    scheduled(1, block_often, &h);
}
END_TEST

/* ---- "work stealing from busier processors" ---- */

static int be_stolen_from(void *arg)
{
    bool *ret_stolen = arg;
    struct group g;

    atomic_store(&count, 0);
    group_open(&g, "many");
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(group_go(&g, count_one, NULL), 0);
    hold_until(&count, 50); /* this one does not run them */
    *ret_stolen = stats_now().steals >= 1;
    return group_join(&g);
}

START_TEST(an_idle_processor_steals_from_a_busy_one)
{
    bool stolen = false;

    /* On a slow machine this one looks like a hog, and its whole queue goes with its processor.
     */
    for (int i = 0; i < 20 && !stolen; i++)
        scheduled(2, be_stolen_from, &stolen);
    ck_assert(stolen);
}
END_TEST

/* ---- "a task for each web request: 50,000 are fine" ---- */

static uint64_t resident_bytes(void)
{
    OWN_BUF struct buf text = BUF_INIT;
    unsigned long long pages = 0, resident = 0;

    ck_assert_int_eq(io_file_read(-1, "/proc/self/statm", 4096, &text), 0);
    ck_assert_int_eq(sscanf(buf_str(&text), "%llu %llu", &pages, &resident), 2);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int serve_one(void *arg)
{
    atomic_fetch_add(&count, 1);
    return chan_recv(arg, NULL, 0) == -EPIPE ? 0 : -EPROTO;
}

static int serve_all(void *arg)
{
    struct chan *gate = chan_new(0, 0);
    uint64_t before = resident_bytes();
    struct group g;

    (void)arg;
    atomic_store(&count, 0);
    group_open(&g, "requests");
    for (int i = 0; i < REQUESTS; i++)
        ck_assert_int_eq(group_go(&g, serve_one, gate), 0);
    while (atomic_load(&count) < REQUESTS)
        ck_assert_int_eq(task_yield(), 0);
    ck_assert_uint_eq(stats_now().tasks_live, REQUESTS + 1);
    /* One more whenever a slow machine let a task look like a hog. */
    ck_assert_uint_le(stats_now().threads, 4 + stats_now().takes);
    if (SLOWDOWN == 1)
        ck_assert_uint_le((resident_bytes() - before) / REQUESTS, 12 * 1024);
    chan_close(gate);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_uint_eq(stats_now().tasks_live, 1);
    chan_free(gate);
    return 0;
}

START_TEST(fifty_thousand_requests_are_fifty_thousand_tasks)
{
    scheduled(2, serve_all, NULL);
}
END_TEST

/* ---- "no more threads run than there are processors" ---- */

static _Atomic unsigned running, most;

static int run_a_while(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        unsigned now = atomic_fetch_add(&running, 1) + 1, seen = atomic_load(&most);

        while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
            ;
        for (int k = 0; k < 1000; k++)
            (void)atomic_load(&most);
        atomic_fetch_sub(&running, 1);
        ck_assert_int_eq(task_yield(), 0);
    }
    return 0;
}

static int run_many(void *arg)
{
    uint64_t *ret_takes = arg;
    struct group g;

    group_open(&g, "runners");
    for (int i = 0; i < 500; i++)
        ck_assert_int_eq(group_go(&g, run_a_while, NULL), 0);
    int r = group_join(&g);
    *ret_takes = stats_now().takes;
    return r;
}

START_TEST(no_more_tasks_run_at_once_than_there_are_processors)
{
    uint64_t takes = 0;

    atomic_store(&most, 0);
    scheduled((unsigned)_i, run_many, &takes);
    unsigned seen = atomic_load(&most);
    ck_assert_uint_ge(seen, 1);
    /* On a slow machine one that stood still looks like a hog and goes on without a processor.
     */
    ck_assert_uint_le(seen, (unsigned)_i + takes);
}
END_TEST

/* ---- "channels to orchestrate, atomics and mutexes to synchronise" ---- */

enum { STAGE_ITEMS = 1000 };

struct works {
    struct chan *raw, *done;
    struct mutex lock;
    unsigned guarded; /* by lock, over a yield */
};

static int stage(void *arg)
{
    struct works *w = arg;
    uint64_t item;

    while (chan_recv(w->raw, &item, 0) == 0) {
        item *= 2;
        atomic_fetch_add(&count, 1);
        ck_assert_int_eq(mutex_lock(&w->lock, 0), 0);
        unsigned seen = w->guarded;
        ck_assert_int_eq(task_yield(), 0);
        w->guarded = seen + 1;
        mutex_unlock(&w->lock);
        ck_assert_int_eq(chan_send(w->done, &item, 0), 0);
    }
    return 0;
}

static int feed(void *arg)
{
    struct works *w = arg;

    for (uint64_t i = 1; i <= STAGE_ITEMS; i++)
        ck_assert_int_eq(chan_send(w->raw, &i, 0), 0);
    chan_close(w->raw);
    return 0;
}

static int orchestrate(void *arg)
{
    struct works w = {.raw = chan_new(8, 4), .done = chan_new(8, 0)};
    uint64_t item, sum = 0;
    struct group g;

    (void)arg;
    atomic_store(&count, 0);
    mutex_init(&w.lock);
    group_open(&g, "works");
    ck_assert_int_eq(group_go(&g, feed, &w), 0);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(group_go(&g, stage, &w), 0);
    for (int i = 0; i < STAGE_ITEMS; i++) {
        ck_assert_int_eq(chan_recv(w.done, &item, 0), 0);
        sum += item;
    }
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_uint_eq(sum, (uint64_t)STAGE_ITEMS * (STAGE_ITEMS + 1));
    ck_assert_uint_eq(atomic_load(&count), STAGE_ITEMS);
    ck_assert_uint_eq(w.guarded, STAGE_ITEMS);
    chan_free(w.raw);
    chan_free(w.done);
    return 0;
}

START_TEST(channels_orchestrate_and_atomics_and_mutexes_synchronise)
{
    scheduled(2, orchestrate, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_notes");
    TCase *tc = tcase_create("notes");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, each_processor_has_a_run_queue_and_each_core_a_processor);
    tcase_add_test(tc, the_poller_is_one_thread_and_gives_tasks_back_to_a_local_queue);
    tcase_add_test(tc, file_io_hands_the_processor_to_another_thread_and_keeps_the_old_one);
    tcase_add_test(tc, an_idle_processor_steals_from_a_busy_one);
    tcase_add_test(tc, fifty_thousand_requests_are_fifty_thousand_tasks);
    tcase_add_loop_test(tc, no_more_tasks_run_at_once_than_there_are_processors, 1, 3);
    tcase_add_test(tc, channels_orchestrate_and_atomics_and_mutexes_synchronise);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
