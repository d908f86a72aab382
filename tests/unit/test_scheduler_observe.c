/* The scheduler seen from outside: figures of each processor, how long tasks wait for their
 * turn, and the trace. */
#include "base/buf.h"
#include "scheduler/block.h"
#include "scheduler/chan.h"
#include "scheduler/event.h"
#include "scheduler/observe.h"

#include "tests/lib/scheduled.h"

#include <jansson.h>
#include <pthread.h>
#include <string.h>

/* ---- figures ---- */

static int yield_often(void *arg)
{
    for (unsigned i = *(unsigned *)arg; i > 0; i--)
        ck_assert_int_eq(task_yield(), 0);
    return 0;
}

/* Their name is what the parameter is called. */
static void spawn_and_join(unsigned count, task_fn worker, void *arg)
{
    struct group g;

    group_open(&g, "some");
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(group_go(&g, worker, arg), 0);
    ck_assert_int_eq(group_join(&g), 0);
}

static uint64_t takes_now(void)
{
    struct scheduler_stats stats;

    scheduler_stats(&stats);
    return stats.takes;
}

static void count_one_round(void)
{
    struct scheduler_processor_stats before, after;
    unsigned each = 100;
    uint64_t takes = takes_now();

    ck_assert(scheduler_processor_stats(0, &before));
    spawn_and_join(100, yield_often, &each);
    ck_assert(scheduler_processor_stats(0, &after));
    /* Where the machine is so slow that the processor is taken, a yield is none of its own. */
    if (takes_now() != takes) {
        count_one_round();
        return;
    }
    /* The spawner yields, too, when its slice ends. */
    uint64_t yields = after.yields - before.yields;
    ck_assert_uint_ge(yields, 100 * 100);
    /* Each of the hundred begins, and comes back after each yield; the spawner once more. */
    ck_assert_uint_ge(after.runs - before.runs, 100 + yields + 1);
    ck_assert_uint_eq(after.parks - before.parks, 1);
    ck_assert_uint_eq(after.run_queue_len, 0);
}

static int count_yields(void *arg)
{
    struct scheduler_processor_stats none;

    (void)arg;
    count_one_round();
    ck_assert(!scheduler_processor_stats(1, &none));
    return 0;
}

START_TEST(a_processors_figures_count_what_it_did)
{
    struct scheduler_processor_stats stats;

    scheduled(1, count_yields, NULL);
    ck_assert(!scheduler_processor_stats(0, &stats));
}
END_TEST

static int sum_up(void *arg)
{
    struct scheduler_processor_stats one;
    struct scheduler_stats all;
    unsigned each = 100;
    uint64_t runs = 0;

    (void)arg;
    spawn_and_join(100, yield_often, &each);
    for (unsigned i = 0; scheduler_processor_stats(i, &one); i++)
        runs += one.runs;
    scheduler_stats(&all);
    ck_assert_uint_ge(runs, 100 * 100);
    ck_assert_uint_le(runs, all.runs);
    return 0;
}

START_TEST(the_figures_of_all_processors_are_the_sums)
{
    scheduled(2, sum_up, NULL);
}
END_TEST

/* ---- latency ---- */

static int sample(void *arg)
{
    struct scheduler_processor_stats before, after;
    unsigned each = 800;

    (void)arg;
    ck_assert(scheduler_processor_stats(0, &before));
    spawn_and_join(64, yield_often, &each);
    ck_assert(scheduler_processor_stats(0, &after));
    uint64_t runs = after.runs - before.runs;
    uint64_t samples = after.latency_count - before.latency_count;
    /* All 64 may be spawned in one run; on a slow machine others step in and take samples
     * along. */
    ck_assert_uint_ge(samples, runs / 1024);
    ck_assert_uint_le(samples, runs / 256 + 64);
    return 0;
}

START_TEST(one_wait_in_512_is_measured)
{
    scheduled(1, sample, NULL);
}
END_TEST

static int hold_up(void *arg)
{
    for (unsigned i = 0; i < *(unsigned *)arg; i++) {
        for (uint64_t end = clock_mono_ns() + NS_PER_MS; clock_mono_ns() < end;)
            ;
        ck_assert_int_eq(task_yield(), 0);
    }
    return 0;
}

/* Three in turn: not in step with the sampling, and two of each three wait. */
static int take_turns(void *arg)
{
    unsigned turns = 400;
    struct group g;

    (void)arg;
    group_open(&g, "turns");
    ck_assert_int_eq(group_go(&g, hold_up, &turns), 0);
    ck_assert_int_eq(group_go(&g, yield_often, &turns), 0);
    ck_assert_int_eq(group_go(&g, yield_often, &turns), 0);
    return group_join(&g);
}

/* Where the machine is so slow that the hog's processor is taken nobody waits behind it: that
 * round says nothing. */
static int wait_behind_a_hog(void *arg)
{
    struct scheduler_processor_stats stats;
    uint64_t takes;

    do {
        takes = takes_now();
        ck_assert_int_eq(take_turns(arg), 0);
    } while (takes_now() != takes);
    ck_assert(scheduler_processor_stats(0, &stats));
    ck_assert_uint_gt(stats.latency_count, 0);
    ck_assert_uint_ge(scheduler_latency_quantile_ns(stats.latency, 0.9), NS_PER_MS);
    ck_assert_uint_ge(stats.latency_total_ns, NS_PER_MS);
    return 0;
}

START_TEST(who_waits_behind_a_hog_is_seen_to_wait)
{
    scheduled(1, wait_behind_a_hog, NULL);
}
END_TEST

enum { SETS = 50 };

struct bell {
    struct event rung, heard;
};

static void *ring(void *arg)
{
    struct bell *b = arg;

    for (int i = 0; i < SETS; i++)
        event_set(&b[i].rung);
    return NULL;
}

static int hear(void *arg)
{
    struct bell *b = arg;
    struct scheduler_processor_stats stats;
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, ring, b), 0);
    for (int i = 0; i < SETS; i++)
        ck_assert_int_eq(event_wait(&b[i].rung, 0), 0);
    pthread_join(thread, NULL);
    ck_assert(scheduler_processor_stats(0, &stats));
    /* An event that was set before it is waited for wakes nobody. */
    ck_assert_uint_ge(stats.latency_count + SETS, stats.parks);
    return 0;
}

static int dump_processors(void *arg)
{
    OWN_BUF struct buf text = BUF_INIT;
    unsigned each = 100;

    (void)arg;
    spawn_and_join(10, yield_often, &each);
    scheduler_dump(&text);
    ck_assert_ptr_nonnull(strstr(buf_str(&text), "processor 0: 1"));
    ck_assert_ptr_nonnull(strstr(buf_str(&text), " runs, "));
    ck_assert_ptr_nonnull(strstr(buf_str(&text), "half of the tasks wait less than "));
    ck_assert_ptr_nonnull(strstr(buf_str(&text), " us, 99 % less than "));
    return 0;
}

START_TEST(the_dump_has_a_line_a_processor)
{
    scheduled(1, dump_processors, NULL);
}
END_TEST

START_TEST(wakeups_by_other_threads_are_measured)
{
    static struct bell bells[SETS];

    for (int i = 0; i < SETS; i++)
        event_init(&bells[i].rung);
    scheduled(1, hear, bells);
}
END_TEST

START_TEST(a_quantile_is_the_bound_of_its_bucket)
{
    uint64_t buckets[SCHEDULER_LATENCY_BUCKETS] = {[2] = 90, [5] = 9, [23] = 1};

    ck_assert_uint_eq(scheduler_latency_bound_ns(0), 256);
    ck_assert_uint_eq(scheduler_latency_bound_ns(1), 512);
    ck_assert_uint_eq(scheduler_latency_bound_ns(23), UINT64_MAX);
    ck_assert_uint_eq(scheduler_latency_quantile_ns(buckets, 0.5), 1024);
    ck_assert_uint_eq(scheduler_latency_quantile_ns(buckets, 0.9), 1024);
    ck_assert_uint_eq(scheduler_latency_quantile_ns(buckets, 0.95), 8192);
    ck_assert_uint_eq(scheduler_latency_quantile_ns(buckets, 1), UINT64_MAX);
    memset(buckets, 0, sizeof buckets);
    ck_assert_uint_eq(scheduler_latency_quantile_ns(buckets, 0.5), 0);
}
END_TEST

/* ---- the trace ---- */

static int keep(void *ctx, struct buf *piece)
{
    buf_put(ctx, piece->data, piece->len);
    return 0;
}

/* Ends the trace; its events, owned by the caller as the whole of *ret_whole. */
static json_t *trace_end(json_t **ret_whole)
{
    OWN_BUF struct buf text = BUF_INIT;
    json_error_t error;

    ck_assert_int_eq(scheduler_trace_stop(keep, &text), 0);
    *ret_whole = json_loadb(text.data, text.len, 0, &error);
    ck_assert_msg(*ret_whole != NULL, "%s at %d", error.text, error.position);
    return json_object_get(*ret_whole, "traceEvents");
}

static const char *text_of(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));

    return text != NULL ? text : "";
}

/* How many events there are of that phase and name whose argument begins with text. */
static unsigned count_of(const json_t *events, const char *phase, const char *name,
                         const char *key, const char *text)
{
    unsigned count = 0;

    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *e = json_array_get(events, i);
        const char *argument = text_of(json_object_get(e, "args"), key);

        count += strcmp(text_of(e, "ph"), phase) == 0 &&
                 strcmp(text_of(e, "name"), name) == 0 &&
                 strncmp(argument, text, strlen(text)) == 0;
    }
    return count;
}

enum { ROUNDS = 20 };

static int pong(void *arg)
{
    struct chan **pair = arg;

    for (int i = 0; i < ROUNDS; i++) {
        ck_assert_int_eq(chan_recv(pair[0], NULL, 0), 0);
        ck_assert_int_eq(chan_send(pair[1], NULL, 0), 0);
    }
    return 0;
}

static int ping(void *arg)
{
    struct chan **pair = arg;

    for (int i = 0; i < ROUNDS; i++) {
        ck_assert_int_eq(chan_send(pair[0], NULL, 0), 0);
        ck_assert_int_eq(chan_recv(pair[1], NULL, 0), 0);
    }
    block_enter(BLOCK_FILE);
    block_leave();
    return task_sleep_ns(20 * NS_PER_MS); /* long enough to be polled for */
}

static int trace_a_pair(void *arg)
{
    struct chan *pair[2] = {chan_new(0, 0), chan_new(0, 0)};
    struct group g;
    json_t *whole;

    (void)arg;
    ck_assert_int_eq(scheduler_trace_start(), 0);
    group_open(&g, "pair");
    ck_assert_int_eq(group_go(&g, pong, pair), 0);
    ck_assert_int_eq(group_go(&g, ping, pair), 0);
    ck_assert_int_eq(group_join(&g), 0);
    json_t *events = trace_end(&whole);

    ck_assert_uint_eq(count_of(events, "i", "spawn", "site", __FILE__), 2);
    ck_assert_uint_ge(count_of(events, "X", "pong", "then", "chan"), ROUNDS / 2);
    ck_assert_uint_ge(count_of(events, "X", "ping", "then", "chan"), ROUNDS / 2);
    ck_assert_uint_eq(count_of(events, "X", "ping", "then", "sleep"), 1);
    ck_assert_uint_eq(count_of(events, "X", "ping", "then", "end"), 1);
    ck_assert_uint_eq(count_of(events, "X", "pong", "then", "end"), 1);
    ck_assert_uint_ge(count_of(events, "i", "ready", "name", "pong"), ROUNDS / 2);
    ck_assert_uint_eq(count_of(events, "X", "blocking call", "", ""), 1);
    ck_assert_uint_ge(count_of(events, "X", "poll", "", ""), 1);
    ck_assert_uint_ge(count_of(events, "i", "timers", "", ""), 1);
    json_decref(whole);
    chan_free(pair[0]);
    chan_free(pair[1]);
    return 0;
}

START_TEST(a_trace_tells_who_ran_why_it_stopped_and_who_was_woken)
{
    scheduled((unsigned)_i + 1, trace_a_pair, NULL);
}
END_TEST

/* Slices of tasks on one thread follow each other. */
static void check_order(const json_t *events)
{
    double end = 0, tid = -1;

    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *e = json_array_get(events, i);
        if (strcmp(text_of(e, "ph"), "X") != 0 || strcmp(text_of(e, "name"), "worker") != 0)
            continue;
        double start = json_number_value(json_object_get(e, "ts"));
        if (json_number_value(json_object_get(e, "tid")) != tid)
            tid = json_number_value(json_object_get(e, "tid")), end = 0;
        ck_assert_double_ge(start, end - 0.002);
        end = start + json_number_value(json_object_get(e, "dur"));
    }
}

/* More events than a thread's ring holds. */
static int trace_too_much(void *arg)
{
    unsigned each = 1000;
    json_t *whole;

    (void)arg;
    ck_assert_int_eq(scheduler_trace_start(), 0);
    uint64_t start_ns = clock_mono_ns();
    spawn_and_join(100, yield_often, &each);
    double us = (double)(clock_mono_ns() - start_ns) / 1e3;
    json_t *events = trace_end(&whole);
    unsigned kept = count_of(events, "X", "worker", "", "");

    ck_assert_uint_ge(kept, 10000);
    ck_assert_uint_le(kept, 100 * 1000 / 2);
    check_order(events);
    /* What is left is the end of it. */
    double last = 0;
    for (size_t i = 0; i < json_array_size(events); i++) {
        double ts = json_number_value(json_object_get(json_array_get(events, i), "ts"));
        last = ts > last ? ts : last;
    }
    ck_assert_double_ge(last, us / 2);
    json_decref(whole);
    return 0;
}

START_TEST(a_long_trace_keeps_its_end)
{
    scheduled(1, trace_too_much, NULL);
}
END_TEST

static int refuse(void *ctx, struct buf *piece)
{
    (void)ctx, (void)piece;
    return -EPIPE;
}

static int trace_wrongly(void *arg)
{
    (void)arg;
    ck_assert_int_eq(scheduler_trace_stop(keep, NULL), -ESRCH);
    ck_assert_int_eq(scheduler_trace_start(), 0);
    ck_assert_int_eq(scheduler_trace_start(), -EBUSY);
    ck_assert_int_eq(scheduler_trace_stop(refuse, NULL), -EPIPE);
    ck_assert_int_eq(scheduler_trace_drop(), -ESRCH);
    ck_assert_int_eq(scheduler_trace_start(), 0);
    ck_assert_int_eq(scheduler_trace_drop(), 0);
    ck_assert_int_eq(scheduler_trace_start(), 0); /* the end of the run ends it, too */
    return 0;
}

START_TEST(one_trace_at_a_time_and_only_while_tasks_run)
{
    scheduled(2, trace_wrongly, NULL);
    ck_assert_int_eq(scheduler_trace_start(), -ESRCH);
    ck_assert_int_eq(scheduler_trace_stop(refuse, NULL), -ESRCH);
    scheduled(2, trace_wrongly, NULL);
}
END_TEST

static _Atomic bool traced;

static void *trace_from_outside(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        json_t *whole;

        ck_assert_int_eq(scheduler_trace_start(), 0);
        for (uint64_t end = clock_mono_ns() + NS_PER_MS; clock_mono_ns() < end;)
            ;
        trace_end(&whole);
        json_decref(whole);
    }
    atomic_store(&traced, true);
    return NULL;
}

static int work_meanwhile(void *arg)
{
    unsigned each = 10;
    pthread_t thread;

    (void)arg;
    ck_assert_int_eq(pthread_create(&thread, NULL, trace_from_outside, NULL), 0);
    while (!atomic_load(&traced))
        spawn_and_join(50, yield_often, &each);
    pthread_join(thread, NULL);
    return 0;
}

START_TEST(a_foreign_thread_traces_again_and_again_while_tasks_work)
{
    scheduled(2, work_meanwhile, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_observe");
    TCase *tc = tcase_create("observe");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_processors_figures_count_what_it_did);
    tcase_add_test(tc, the_figures_of_all_processors_are_the_sums);
    tcase_add_test(tc, one_wait_in_512_is_measured);
    tcase_add_test(tc, who_waits_behind_a_hog_is_seen_to_wait);
    tcase_add_test(tc, the_dump_has_a_line_a_processor);
    tcase_add_test(tc, wakeups_by_other_threads_are_measured);
    tcase_add_test(tc, a_quantile_is_the_bound_of_its_bucket);
    tcase_add_loop_test(tc, a_trace_tells_who_ran_why_it_stopped_and_who_was_woken, 0, 2);
    tcase_add_test(tc, a_long_trace_keeps_its_end);
    tcase_add_test(tc, one_trace_at_a_time_and_only_while_tasks_run);
    tcase_add_test(tc, a_foreign_thread_traces_again_and_again_while_tasks_work);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
