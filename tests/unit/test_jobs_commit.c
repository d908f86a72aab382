#include "jobs/commit.h"

#include "base/buf.h"
#include "base/fault.h"
#include "base/own.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOW INT64_C(1000000)

OWN_DEFINE(struct job, job_free);

static struct store *store;
static struct commit *commit;

static const struct commit_options usual = {
    .limits = {.running_max = 4,
               .kind_max = {[KIND_EXEC] = 100, [KIND_HTTP] = 100},
               .crashes_max = 3},
    .epoch = 1,
    .seed = 1};
static const struct retry_spec thrice = {
    .max_attempts = 3, .base_ms = 1000, .factor = 2, .cap_ms = 60000};

static struct commit *commit_of_store(void)
{
    struct commit_options options = usual;
    struct commit *c;
    uint64_t refused;

    options.store = store;
    ck_assert_int_eq(commit_open(&options, &c, &refused), 0);
    ck_assert_uint_eq(refused, 0);
    return c;
}

static void begin(void)
{
    ck_assert_int_eq(store_open_memory(&store), 0);
    commit = commit_of_store();
}

static void end(void)
{
    fault_disarm_all();
    commit_close(commit);
    store_close(store);
}

static char *printed(struct commit *c)
{
    struct buf text = BUF_INIT;

    core_print(commit_core(c), &text);
    return buf_take(&text);
}

/* What memory holds is what a new daemon would read. */
static void core_is_store(void)
{
    struct commit *fresh = commit_of_store();
    OWN(free) char *here = printed(commit), *there = printed(fresh);

    ck_assert_msg(!core_check(commit_core(commit)), "%s", core_check(commit_core(commit)));
    ck_assert_str_eq(here, there);
    commit_close(fresh);
}

/* ----- items ----- */

#define ROWS 32

static struct job rows[ROWS];
static struct core_submission submissions[ROWS];
static struct commit_item items[ROWS], *list[ROWS];
static unsigned len;

static struct commit_item *add(struct core_input input)
{
    ck_assert_uint_lt(len, ROWS);
    items[len] = (struct commit_item){.input = input};
    list[len] = &items[len];
    return list[len++];
}

static struct commit_item *add_submit(enum job_kind kind, const char *queue, const char *key)
{
    struct core_submission *s = &submissions[len];

    rows[len] = (struct job){.kind = kind,
                             .queue = (char *)queue,
                             .key = (char *)key,
                             .created_at_ms = NOW,
                             .spec = (char *)"{}"};
    *s = (struct core_submission){.job = &rows[len]};
    return add((struct core_input){.kind = INPUT_SUBMIT, .submit = {s, 1, 0}});
}

static struct commit_item *add_finished(uint64_t id, uint32_t fence, const struct outcome *o)
{
    return add((struct core_input){
        .kind = INPUT_FINISHED,
        .finished = {.id = id, .fence = fence, .outcome = o, .retry = &thrice}});
}

static struct commit_item *add_plain(enum core_input_kind kind, uint64_t id)
{
    return add((struct core_input){.kind = kind, .id = id});
}

static int round_at(int64_t now_ms)
{
    int r = commit_round(commit, list, len, NULL, now_ms);

    len = 0;
    return r;
}

static void row_is(uint64_t id, enum job_state state)
{
    OWN(job_free) struct job *job = NULL;

    ck_assert_int_eq(store_job_get(store_writer_reader(store), id, &job), 1);
    ck_assert_str_eq(job_state_name(job->state), job_state_name(state));
}

static struct outcome good = {.kind = OUTCOME_SUCCEEDED, .result = (char *)"{}"};
static struct outcome bad = {
    .kind = OUTCOME_FAILED, .reason = REASON_EXIT_NONZERO, .error = (char *)"exit code 1"};

/* ----- rounds ----- */

START_TEST(a_round_is_one_commit)
{
    struct store_info before, after;

    begin();
    store_info(store, &before);
    struct commit_item *a = add_submit(KIND_EXEC, "q", NULL);
    struct commit_item *b = add_submit(KIND_HTTP, "r", "k");
    ck_assert_int_eq(round_at(NOW), 0);
    store_info(store, &after);
    ck_assert_uint_eq(after.commits - before.commits, 1);
    ck_assert_int_eq(a->answer, CORE_OK);
    ck_assert_uint_eq(a->input.submit.ret_first_id, 1);
    ck_assert_uint_eq(b->input.submit.ret_first_id, 2);
    row_is(1, JOB_RUNNING);
    core_is_store();
    end();
}
END_TEST

START_TEST(a_round_without_changes_does_not_write)
{
    struct store_info before, after;

    begin();
    store_info(store, &before);
    add_plain(INPUT_HOLD, 7);
    ck_assert_int_eq(round_at(NOW), 0);
    ck_assert_int_eq(items[0].answer, CORE_NOT_FOUND);
    store_info(store, &after);
    ck_assert_uint_eq(after.commits, before.commits);
    end();
}
END_TEST

/* 1 … 4 run, 5 … 8 wait, 8 is held. */
static void populate(void)
{
    for (int i = 0; i < 8; i++)
        add_submit(i % 2 ? KIND_HTTP : KIND_EXEC, i < 6 ? "q" : "r", i % 3 ? NULL : "key");
    ck_assert_int_eq(round_at(NOW), 0);
    add_plain(INPUT_HOLD, 8);
    ck_assert_int_eq(round_at(NOW + 1), 0);
}

static void add_everything(void)
{
    add_submit(KIND_EXEC, "a new queue", "a new key");
    add_finished(1, 1, &good);
    add_finished(2, 1, &bad);
    add((struct core_input){.kind = INPUT_CANCEL, .cancel = {3, -1}});
    add_plain(INPUT_LOST, 4);
    add((struct core_input){.kind = INPUT_CANCEL, .cancel = {5, -1}});
    add_plain(INPUT_RELEASE, 8);
    add((struct core_input){.kind = INPUT_QUEUE_SET, .queue = {"q", 3, 2, 1}});
    add_submit(KIND_HTTP, "q", NULL)->key = "a reply";
}

START_TEST(a_failed_commit_leaves_core_and_store_as_they_were)
{
    begin();
    populate();
    OWN(free) char *before = printed(commit);
    add_everything();
    unsigned count = len;
    fault_arm("store.commit", 1, -ENOSPC, false);
    ck_assert_int_eq(round_at(NOW + 5), -ENOSPC);
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(items[i].answer, -ENOSPC);
    OWN(free) char *after = printed(commit);
    ck_assert_str_eq(before, after);
    core_is_store();
    add_everything(); /* the very same again */
    ck_assert_int_eq(round_at(NOW + 5), 0);
    core_is_store();
    row_is(1, JOB_SUCCEEDED);
    row_is(2, JOB_RETRYING);
    end();
}
END_TEST

/* The nth thing that the store does fails, for every n until nothing fails any more. */
START_TEST(every_place_where_a_commit_can_fail_leaves_no_trace)
{
    static const char *const points[] = {"store.begin", "store.step", "store.commit"};

    for (size_t p = 0; p < sizeof points / sizeof *points; p++) {
        int r = -1;

        for (uint64_t nth = 1; r != 0; nth++) {
            begin();
            populate();
            OWN(free) char *before = printed(commit);
            add_everything();
            fault_arm(points[p], nth, -ENOSPC, false);
            r = round_at(NOW + 5);
            fault_disarm_all();
            OWN(free) char *after = printed(commit);
            if (r != 0)
                ck_assert_str_eq(before, after);
            else
                ck_assert_str_ne(before, after);
            core_is_store();
            end();
        }
    }
}
END_TEST

START_TEST(what_the_last_attempt_said_survives_a_hold_and_a_cancel)
{
    OWN(job_free) struct job *job = NULL;

    begin();
    add_submit(KIND_EXEC, "q", NULL);
    round_at(NOW);
    add_finished(1, 1, &bad);
    round_at(NOW);
    add_plain(INPUT_HOLD, 1);
    round_at(NOW + 1);
    add((struct core_input){.kind = INPUT_CANCEL, .cancel = {1, -1}});
    round_at(NOW + 2);
    ck_assert_int_eq(store_job_get(store_writer_reader(store), 1, &job), 1);
    ck_assert_int_eq(job->state, JOB_CANCELLED);
    ck_assert_str_eq(job->error, "exit code 1");
    end();
}
END_TEST

/* ----- ends that come too late ----- */

static unsigned attempts_seen;
static enum job_reason last_reason;

static int see_attempt(void *ctx, const struct attempt_record *a)
{
    (void)ctx;
    attempts_seen++;
    last_reason = a->reason;
    return 0;
}

static unsigned attempts_of(uint64_t id)
{
    attempts_seen = 0;
    ck_assert_int_eq(store_attempt_each(store_writer_reader(store), id, see_attempt, NULL), 0);
    return attempts_seen;
}

START_TEST(a_late_end_of_an_ended_job_is_superseded)
{
    begin();
    add_submit(KIND_EXEC, "q", NULL);
    round_at(NOW);
    add_plain(INPUT_LOST, 1);
    round_at(NOW); /* it starts again with fence 2 */
    add_finished(1, 2, &good);
    round_at(NOW);
    struct commit_item *late = add_finished(1, 1, &bad);
    round_at(NOW);
    ck_assert_int_eq(late->answer, CORE_STALE);
    row_is(1, JOB_SUCCEEDED);
    ck_assert_uint_eq(attempts_of(1), 2);
    late = add_finished(1, 2, &bad);
    round_at(NOW);
    ck_assert_int_eq(late->answer, CORE_STALE);
    ck_assert_uint_eq(attempts_of(1), 2);
    ck_assert_int_eq(last_reason, REASON_NONE); /* the true end is not written over */
    late = add_finished(99, 1, &bad);
    round_at(NOW);
    ck_assert_int_eq(late->answer, CORE_NOT_FOUND);
    end();
}
END_TEST

START_TEST(an_end_that_was_told_is_not_written_over)
{
    begin();
    add_submit(KIND_EXEC, "q", NULL);
    round_at(NOW);
    add_finished(1, 1, &bad);
    round_at(NOW);
    ck_assert_uint_eq(attempts_of(1), 1);
    ck_assert_int_eq(last_reason, bad.reason);
    add_plain(INPUT_RETRY_NOW, 1);
    round_at(NOW); /* it runs with fence 2 */
    struct commit_item *again = add_finished(1, 1, &bad), *made_up = add_finished(1, 0, &bad);
    round_at(NOW);
    ck_assert_int_eq(again->answer, CORE_STALE);
    ck_assert_int_eq(made_up->answer, CORE_STALE);
    ck_assert_uint_eq(attempts_of(1), 1);
    ck_assert_int_eq(last_reason, bad.reason);
    end();
}
END_TEST

/* The daemon had given it up, and said so in its name. */
START_TEST(a_late_end_is_recorded_whatever_became_of_its_job)
{
    begin();
    add_submit(KIND_EXEC, "q", NULL);
    round_at(NOW);
    for (uint32_t fence = 1; fence <= 3; fence++) { /* the third crash makes it poison */
        add_plain(INPUT_LOST, 1);
        round_at(NOW);
        ck_assert_uint_eq(attempts_of(1), fence);
        ck_assert_int_eq(last_reason, REASON_CRASHED);
    }
    row_is(1, JOB_FAILED);
    struct commit_item *late = add_finished(1, 3, &bad);
    round_at(NOW);
    ck_assert_int_eq(late->answer, CORE_STALE);
    ck_assert_uint_eq(attempts_of(1), 3);
    ck_assert_int_eq(last_reason, REASON_SUPERSEDED);
    row_is(1, JOB_FAILED);
    end();
}
END_TEST

/* ----- Idempotency-Key ----- */

static struct commit_item *add_keyed(const char *key, uint64_t fingerprint)
{
    struct commit_item *item = add_submit(KIND_EXEC, "q", NULL);

    item->key = key;
    item->fingerprint = fingerprint;
    return item;
}

START_TEST(one_key_in_one_round_makes_one_job)
{
    begin();
    struct commit_item *a = add_keyed("k", 1), *b = add_keyed("k", 1), *c = add_keyed("k", 2);
    round_at(NOW);
    ck_assert(!a->replayed && b->replayed && !c->replayed);
    ck_assert_uint_eq(a->input.submit.ret_first_id, b->input.submit.ret_first_id);
    ck_assert_int_eq(c->answer, COMMIT_KEY_REUSED);
    ck_assert_uint_eq(store_max_id(store), 1);
    end();
}
END_TEST

START_TEST(a_key_of_a_failed_round_is_free_again)
{
    begin();
    add_keyed("k", 1);
    fault_arm("store.commit", 1, -ENOSPC, false);
    ck_assert_int_eq(round_at(NOW), -ENOSPC);
    struct commit_item *again = add_keyed("k", 2);
    ck_assert_int_eq(round_at(NOW), 0);
    ck_assert_int_eq(again->answer, CORE_OK);
    ck_assert(!again->replayed);
    end();
}
END_TEST

START_TEST(a_key_is_remembered_for_a_day_and_over_a_restart)
{
    begin();
    add_keyed("k", 1);
    round_at(NOW);
    commit_close(commit);
    commit = commit_of_store();
    struct commit_item *a = add_keyed("k", 1);
    round_at(NOW + COMMIT_REPLY_KEEP_MS - 1);
    ck_assert(a->replayed);
    a = add_keyed("k", 1);
    round_at(NOW + COMMIT_REPLY_KEEP_MS);
    ck_assert(!a->replayed);
    ck_assert_uint_eq(a->input.submit.ret_first_id, 2);
    end();
}
END_TEST

START_TEST(old_replies_are_pruned)
{
    struct reply_record reply;

    begin();
    add_keyed("old", 1);
    round_at(NOW);
    ck_assert_int_eq(store_reply_find(store, "old", &reply), 1);
    reply_record_deinit(&reply);
    add_keyed("young", 1);
    round_at(NOW + COMMIT_REPLY_KEEP_MS + COMMIT_PRUNE_EVERY_MS);
    ck_assert_int_eq(store_reply_find(store, "old", &reply), 0);
    ck_assert_int_eq(store_reply_find(store, "young", &reply), 1);
    reply_record_deinit(&reply);
    end();
}
END_TEST

static unsigned old_replies(unsigned count)
{
    unsigned found = 0;

    for (unsigned i = 0; i < count; i++) {
        struct reply_record reply = {.key = NULL};
        char key[16];

        snprintf(key, sizeof key, "old-%u", i);
        found += store_reply_find(store, key, &reply) == 1;
        reply_record_deinit(&reply);
    }
    return found;
}

START_TEST(a_day_of_replies_does_not_go_in_one_round)
{
    unsigned left = 5 * COMMIT_PRUNE_FEW, all = left;
    int64_t now_ms = NOW + COMMIT_REPLY_KEEP_MS + 1;

    begin();
    for (unsigned i = 0; i < all; i++) {
        char key[16];
        struct reply_record reply = {.key = key, .created_at_ms = NOW};
        struct change put = {.kind = CHANGE_REPLY_PUT, .reply = &reply};

        snprintf(key, sizeof key, "old-%u", i);
        ck_assert_int_eq(store_commit(store, &put, 1, false), 0);
    }
    for (unsigned before = left; left > 0; before = left) {
        add_keyed("young", (uint64_t)now_ms);
        add_submit(KIND_EXEC, "q", NULL);
        round_at(now_ms += COMMIT_PRUNE_EVERY_MS);
        left = old_replies(all);
        ck_assert_uint_lt(left, before);
        ck_assert_uint_le(before - left, COMMIT_PRUNE_FEW + 2);
    }
    end();
}
END_TEST

/* ----- durability ----- */

START_TEST(only_relaxed_changes_go_without_a_sync)
{
    struct store_info before, after;

    begin();
    add_submit(KIND_EXEC, "q", NULL);
    submissions[0].relaxed = true;
    store_info(store, &before);
    round_at(NOW);
    store_info(store, &after);
    ck_assert_uint_eq(after.syncs, before.syncs);
    add_finished(1, 1, &good);
    round_at(NOW);
    store_info(store, &after);
    ck_assert_uint_eq(after.syncs, before.syncs);
    add_submit(KIND_EXEC, "q", NULL);
    submissions[0].relaxed = true;
    add_submit(KIND_EXEC, "q", NULL);
    round_at(NOW);
    store_info(store, &after);
    ck_assert_uint_eq(after.syncs, before.syncs + 1);
    end();
}
END_TEST

/* ----- recovery ----- */

START_TEST(recovery_takes_back_every_live_job_in_bounded_rounds)
{
    struct commit_options wide = usual;
    uint64_t refused;
    int rounds = 0, r;

    ck_assert_int_eq(store_open_memory(&store), 0);
    wide.store = store;
    wide.limits.running_max = 2000;
    wide.limits.kind_max[KIND_EXEC] = 2000;
    ck_assert_int_eq(commit_open(&wide, &commit, &refused), 0);
    for (int i = 0; i < 1200; i += ROWS) {
        for (int k = 0; k < ROWS; k++)
            add_submit(KIND_EXEC, "q", NULL);
        ck_assert_int_eq(round_at(NOW), 0);
    }
    commit_close(commit); /* and nobody told it how they ended */
    ck_assert_int_eq(commit_open(&wide, &commit, &refused), 0);
    ck_assert_uint_gt(core_counts(commit_core(commit))[JOB_RUNNING], 1000);
    while ((r = commit_recover(commit, NOW + 9)) > 0)
        rounds++;
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(rounds, 3);
    ck_assert_uint_eq(core_counts(commit_core(commit))[JOB_RUNNING], 0);
    core_is_store();
    ck_assert_int_eq(round_at(NOW + 10), 0);
    ck_assert_uint_gt(core_counts(commit_core(commit))[JOB_RUNNING], 900);
    end();
}
END_TEST

#define LEASES 700 /* more than one round of recovery renews */

/* Leases of the usual 30 s, which nobody could renew while there was no daemon. */
START_TEST(leases_that_ended_while_no_daemon_was_there_are_renewed)
{
    static const char *const queue[] = {"q"};
    static struct core_lease leases[LEASES];
    struct commit_options options = usual;
    struct list asks = LIST_INIT(asks);
    struct lease_ask ask = {
        .queues = queue, .queues_count = 1, .max = LEASES, .leases = leases};
    int64_t later_ms = NOW + 600000;
    uint64_t refused;
    int r, rounds = 0;

    ck_assert_int_eq(store_open_memory(&store), 0);
    options.store = store;
    options.limits.kind_max[KIND_WORKER] = 1000;
    ck_assert_int_eq(commit_open(&options, &commit, &refused), 0);
    for (int i = 0; i < LEASES; i++) {
        add_submit(KIND_WORKER, "q", NULL);
        if (len == ROWS || i + 1 == LEASES)
            ck_assert_int_eq(round_at(NOW), 0);
    }
    list_push_back(&asks, &ask.link);
    ck_assert_int_eq(commit_round(commit, NULL, 0, &asks, NOW), 0);
    ck_assert_uint_eq(ask.count, LEASES);
    commit_close(commit);
    ck_assert_int_eq(commit_open(&options, &commit, &refused), 0);
    while ((r = commit_recover(commit, later_ms)) > 0)
        rounds++;
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(rounds, 2);
    ck_assert_int_eq(round_at(later_ms + 29000), 0);
    ck_assert_uint_eq(core_counts(commit_core(commit))[JOB_RUNNING], LEASES);
    core_is_store();
    ck_assert_int_eq(round_at(later_ms + 30001), 0); /* from then on its worker must speak */
    ck_assert_uint_eq(core_counts(commit_core(commit))[JOB_RUNNING], 0);
    end();
}
END_TEST

START_TEST(a_probe_finds_out_whether_the_store_takes_writes)
{
    begin();
    fault_arm("store.commit", 1, -EROFS, true);
    ck_assert_int_eq(commit_probe(commit, NOW), -EROFS);
    fault_disarm_all();
    ck_assert_int_eq(commit_probe(commit, NOW), 0);
    core_is_store();
    end();
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "jobs_commit", a_round_is_one_commit, a_round_without_changes_does_not_write,
        a_failed_commit_leaves_core_and_store_as_they_were,
        every_place_where_a_commit_can_fail_leaves_no_trace,
        what_the_last_attempt_said_survives_a_hold_and_a_cancel,
        a_late_end_of_an_ended_job_is_superseded, an_end_that_was_told_is_not_written_over,
        a_late_end_is_recorded_whatever_became_of_its_job, one_key_in_one_round_makes_one_job,
        a_key_of_a_failed_round_is_free_again, a_key_is_remembered_for_a_day_and_over_a_restart,
        old_replies_are_pruned, a_day_of_replies_does_not_go_in_one_round,
        only_relaxed_changes_go_without_a_sync,
        recovery_takes_back_every_live_job_in_bounded_rounds,
        leases_that_ended_while_no_daemon_was_there_are_renewed,
        a_probe_finds_out_whether_the_store_takes_writes);
}
