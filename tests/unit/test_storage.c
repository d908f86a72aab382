/* The contract of store.h for commits, run over both implementations: loop index 0 is SQLite,
 * 1 is memory. */
#include "storage/store.h"

#include "base/fault.h"
#include "tests/lib/stored.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(a_job_comes_back_with_every_field)
{
    stored_use(_i);

    struct job job = stored_full(), *back;

    ck_assert_int_eq(stored_insert(stored_store, &job), 0);
    back = stored_get(job.id);
    ck_assert_ptr_nonnull(back);
    stored_ck_same(back, &job);
    job_free(back);
    ck_assert_ptr_null(stored_get(8));
    stored_leave();
}
END_TEST

START_TEST(a_document_is_read_alone)
{
    stored_use(_i);

    struct job live = stored_full(), done = stored_ended(8, JOB_FAILED, 1);
    char *spec = NULL;

    ck_assert_int_eq(stored_insert(stored_store, &live), 0);
    ck_assert_int_eq(stored_insert(stored_store, &done), 0);
    ck_assert_int_eq(store_spec_get(stored_reader, live.id, &spec), 1);
    ck_assert_str_eq(spec, live.spec);
    free(spec);
    ck_assert_int_eq(store_spec_get(stored_reader, 8, &spec), 1);
    ck_assert_str_eq(spec, done.spec);
    free(spec);
    ck_assert_int_eq(store_spec_get(stored_reader, 9, &spec), 0);
    ck_assert_int_eq(store_spec_get(stored_reader, UINT64_MAX, &spec), 0);
    stored_leave();
}
END_TEST

START_TEST(a_job_that_was_inserted_ended_comes_back_with_every_field)
{
    stored_use(_i);

    struct job job = stored_full(), *back;

    job.state = JOB_SKIPPED;
    ck_assert_int_eq(stored_insert(stored_store, &job), 0);
    back = stored_get(job.id);
    ck_assert_ptr_nonnull(back);
    stored_ck_same(back, &job);
    job_free(back);
    stored_leave();
}
END_TEST

START_TEST(an_update_changes_state_and_leaves_identity_and_document)
{
    stored_use(_i);

    struct job job = stored_full(), change = stored_full(), *back;

    ck_assert_int_eq(stored_insert(stored_store, &job), 0);
    change.state = JOB_RUNNING;
    change.fence = 9;
    change.priority = 55;
    change.error = NULL;
    change.created_at_ms = 5;
    change.kind = KIND_FILE;
    change.name = change.queue = change.key = change.tags = change.spec = NULL;
    ck_assert_int_eq(stored_update(stored_store, &change), 0);
    back = stored_get(job.id);
    stored_ck_same_identity(back, &job);
    stored_ck_same_state(back, &change);
    ck_assert_pstr_eq(back->spec, job.spec);
    ck_assert_pstr_eq(back->result, job.result);
    ck_assert_ptr_null(back->error);
    job_free(back);
    stored_leave();
}
END_TEST

START_TEST(a_job_that_ends_keeps_identity_and_document)
{
    stored_use(_i);

    struct job job = stored_full(), change = stored_full(), *back;

    ck_assert_int_eq(stored_insert(stored_store, &job), 0);
    change.state = JOB_FAILED;
    change.name = change.queue = change.key = change.tags = change.spec = NULL;
    ck_assert_int_eq(stored_update(stored_store, &change), 0);
    change.dead_letter = false; /* a redrive clears it on the ended job */
    ck_assert_int_eq(stored_update(stored_store, &change), 0);
    back = stored_get(job.id);
    stored_ck_same_identity(back, &job);
    stored_ck_same_state(back, &change);
    ck_assert_pstr_eq(back->spec, job.spec);
    job_free(back);
    stored_leave();
}
END_TEST

START_TEST(the_last_of_several_updates_in_a_batch_stands)
{
    stored_use(_i);

    struct job job = stored_job(1), run = stored_job(1), end = stored_job(1), again;

    run.state = JOB_RUNNING;
    end.state = JOB_FAILED;
    end.dead_letter = true;
    again = end;
    again.dead_letter = false;

    struct change batch[] = {
        {.kind = CHANGE_JOB_UPDATE, .job = &run},
        {.kind = CHANGE_JOB_INSERT, .job = &job},
        {.kind = CHANGE_JOB_UPDATE, .job = &end},
        {.kind = CHANGE_JOB_UPDATE, .job = &again},
    };

    ck_assert_int_eq(store_commit(stored_store, batch, 4, true), 0);

    struct job *back = stored_get(1);

    stored_ck_same_state(back, &again);
    job_free(back);
    stored_leave();
}
END_TEST

START_TEST(an_update_of_a_job_that_is_not_there_changes_nothing)
{
    stored_use(_i);

    struct job live = stored_job(5), ended = stored_ended(6, JOB_FAILED, 1);

    ck_assert_int_eq(stored_update(stored_store, &live), 0);
    ck_assert_int_eq(stored_update(stored_store, &ended), 0);
    ck_assert_ptr_null(stored_get(5));
    ck_assert_ptr_null(stored_get(6));
    ck_assert_int_eq(stored_delete(stored_store, 5), 0);
    stored_leave();
}
END_TEST

START_TEST(a_batch_with_a_job_that_is_there_already_changes_nothing)
{
    stored_use(_i);

    struct job one = stored_job(1), two = stored_job(2), three = stored_job(3);
    struct change batch[] = {
        {.kind = CHANGE_JOB_INSERT, .job = &two},
        {.kind = CHANGE_JOB_INSERT, .job = &one},
        {.kind = CHANGE_JOB_INSERT, .job = &three},
    };

    ck_assert_int_eq(stored_insert(stored_store, &one), 0);
    ck_assert_int_eq(store_commit(stored_store, batch, 3, true), -EEXIST);
    ck_assert_ptr_null(stored_get(2));
    ck_assert_ptr_null(stored_get(3));
    ck_assert_uint_eq(store_max_id(stored_store), 1);
    ck_assert_int_eq(stored_insert(stored_store, &two), 0);
    stored_leave();
}
END_TEST

START_TEST(the_highest_id_is_remembered_when_its_job_is_gone)
{
    stored_use(_i);
    ck_assert_uint_eq(store_max_id(stored_store), 0);
    ck_assert_int_eq(stored_insert_many(stored_store, 1, 10), 0);
    ck_assert_uint_eq(store_max_id(stored_store), 10);
    ck_assert_int_eq(stored_delete(stored_store, 10), 0);
    ck_assert_uint_eq(store_max_id(stored_store), 10);
    stored_leave();
}
END_TEST

START_TEST(epochs_rise_by_one)
{
    uint64_t epoch = 0;

    stored_use(_i);
    ck_assert_int_eq(store_next_epoch(stored_store, &epoch), 0);
    ck_assert_uint_eq(epoch, 1);
    ck_assert_int_eq(store_next_epoch(stored_store, &epoch), 0);
    ck_assert_uint_eq(epoch, 2);
    stored_leave();
}
END_TEST

struct attempts {
    uint32_t fences[8];
    char error[32];
    size_t count;
};

static int attempt_gather(void *ctx, const struct attempt_record *a)
{
    struct attempts *got = ctx;

    got->fences[got->count++] = a->fence;
    if (a->error)
        snprintf(got->error, sizeof got->error, "%s", a->error);
    return 0;
}

static int attempt_put(uint64_t job_id, uint32_t fence, const char *error)
{
    struct attempt_record a = {.job_id = job_id,
                               .fence = fence,
                               .attempt = fence,
                               .started_at_ms = 10,
                               .finished_at_ms = 20,
                               .state = JOB_FAILED,
                               .reason = REASON_EXIT_NONZERO,
                               .error = (char *)(uintptr_t)error};

    return store_commit(stored_store, &(struct change){.kind = CHANGE_ATTEMPT, .attempt = &a},
                        1, true);
}

START_TEST(attempts_come_back_by_their_fence_and_go_with_their_job)
{
    struct attempts got = {.count = 0};

    stored_use(_i);
    ck_assert_int_eq(stored_insert_many(stored_store, 1, 2), 0);
    ck_assert_int_eq(attempt_put(1, 3, "third"), 0);
    ck_assert_int_eq(attempt_put(1, 1, NULL), 0);
    ck_assert_int_eq(attempt_put(2, 2, NULL), 0);
    ck_assert_int_eq(store_attempt_each(stored_reader, 1, attempt_gather, &got), 0);
    ck_assert_uint_eq(got.count, 2);
    ck_assert_uint_eq(got.fences[0], 1);
    ck_assert_uint_eq(got.fences[1], 3);
    ck_assert_str_eq(got.error, "third");
    ck_assert_int_eq(stored_delete(stored_store, 1), 0);
    got.count = 0;
    ck_assert_int_eq(store_attempt_each(stored_reader, 1, attempt_gather, &got), 0);
    ck_assert_uint_eq(got.count, 0);
    stored_leave();
}
END_TEST

static int keep_attempt(void *ctx, const struct attempt_record *a)
{
    *(struct attempt_record *)ctx = *a;
    return 0;
}

START_TEST(a_late_record_of_an_attempt_keeps_its_number_and_start)
{
    struct attempt_record lost = {
        .job_id = 1, .fence = 3, .attempt = 2, .started_at_ms = 11, .finished_at_ms = 12};
    struct attempt_record late = {
        .job_id = 1, .fence = 3, .finished_at_ms = 15, .reason = REASON_SUPERSEDED};
    struct attempt_record back = {.job_id = 0};
    struct change both[] = {{.kind = CHANGE_ATTEMPT, .attempt = &lost},
                            {.kind = CHANGE_ATTEMPT, .attempt = &late}};

    stored_use(_i);
    ck_assert_int_eq(stored_insert_many(stored_store, 1, 1), 0);
    ck_assert_int_eq(store_commit(stored_store, both, 2, true), 0);
    ck_assert_int_eq(store_attempt_each(stored_reader, 1, keep_attempt, &back), 0);
    ck_assert_uint_eq(back.attempt, 2);
    ck_assert_int_eq(back.started_at_ms, 11);
    ck_assert_int_eq(back.finished_at_ms, 15);
    ck_assert_int_eq(back.reason, REASON_SUPERSEDED);
    stored_leave();
}
END_TEST

START_TEST(an_attempt_that_is_written_again_replaces_itself)
{
    struct attempts got = {.count = 0};

    stored_use(_i);
    ck_assert_int_eq(stored_insert_many(stored_store, 1, 1), 0);
    ck_assert_int_eq(attempt_put(1, 1, "first"), 0);
    ck_assert_int_eq(attempt_put(1, 2, NULL), 0);
    ck_assert_int_eq(attempt_put(1, 1, "again"), 0);
    ck_assert_int_eq(store_attempt_each(stored_reader, 1, attempt_gather, &got), 0);
    ck_assert_uint_eq(got.count, 2);
    ck_assert_uint_eq(got.fences[0], 1);
    ck_assert_str_eq(got.error, "again");
    stored_leave();
}
END_TEST

struct queues {
    struct queue_record records[4];
    char names[4][16];
    size_t count;
};

static int queue_gather(void *ctx, const struct queue_record *q)
{
    struct queues *got = ctx;

    snprintf(got->names[got->count], sizeof got->names[0], "%s", q->name);
    got->records[got->count++] = *q;
    return 0;
}

static int queue_put(const struct queue_record *q)
{
    return store_commit(stored_store, &(struct change){.kind = CHANGE_QUEUE_PUT, .queue = q}, 1,
                        true);
}

START_TEST(queues_come_back_by_name_as_they_were_last_put)
{
    static char mail[] = "mail", images[] = "images";
    struct queue_record first = {.name = mail, .concurrency = 4};
    struct queue_record other = {.name = images, .paused = true};
    struct queue_record second = {
        .name = mail, .concurrency = 8, .key_concurrency = 3, .configured = true};
    struct queues got = {.count = 0};

    for (int state = JOB_SUCCEEDED; state < JOB_STATE_COUNT; state++)
        second.finished[state] = (uint64_t)state * 1000;
    stored_use(_i);
    ck_assert_int_eq(queue_put(&first), 0);
    ck_assert_int_eq(queue_put(&other), 0);
    ck_assert_int_eq(queue_put(&second), 0);
    ck_assert_int_eq(store_queue_each(stored_reader, queue_gather, &got), 0);
    ck_assert_uint_eq(got.count, 2);
    ck_assert_str_eq(got.names[0], "images");
    ck_assert(got.records[0].paused && !got.records[0].configured);
    ck_assert_str_eq(got.names[1], "mail");
    ck_assert_uint_eq(got.records[1].concurrency, 8);
    ck_assert_uint_eq(got.records[1].key_concurrency, 3);
    ck_assert_uint_eq(got.records[0].key_concurrency, 0);
    ck_assert(!got.records[1].paused && got.records[1].configured);
    ck_assert_mem_eq(got.records[1].finished, second.finished, sizeof second.finished);
    stored_leave();
}
END_TEST

static int reply_put(const char *key, int64_t created_at_ms, uint64_t first_id)
{
    struct reply_record p = {.key = (char *)(uintptr_t)key,
                             .fingerprint = UINT64_MAX - 1,
                             .created_at_ms = created_at_ms,
                             .first_id = first_id,
                             .count = 3};

    return store_commit(stored_store, &(struct change){.kind = CHANGE_REPLY_PUT, .reply = &p},
                        1, true);
}

START_TEST(an_answered_key_is_found_until_it_is_pruned)
{
    struct reply_record found;
    struct change prune = {.kind = CHANGE_REPLY_PRUNE, .prune = {200, 1}};

    stored_use(_i);
    ck_assert_int_eq(store_reply_find(stored_store, "a", &found), 0);
    ck_assert_int_eq(reply_put("a", 100, 1), 0);
    ck_assert_int_eq(reply_put("b", 200, 4), 0);
    ck_assert_int_eq(reply_put("c", 101, 7), 0);
    ck_assert_int_eq(store_reply_find(stored_store, "a", &found), 1);
    ck_assert_str_eq(found.key, "a");
    ck_assert_uint_eq(found.fingerprint, UINT64_MAX - 1);
    ck_assert_int_eq(found.created_at_ms, 100);
    ck_assert_uint_eq(found.first_id, 1);
    ck_assert_uint_eq(found.count, 3);
    reply_record_deinit(&found);
    ck_assert_int_eq(store_commit(stored_store, &prune, 1, true), 0);
    ck_assert_int_eq(store_reply_find(stored_store, "a", &found), 0);
    ck_assert_int_eq(store_reply_find(stored_store, "c", &found), 1);
    reply_record_deinit(&found);
    ck_assert_int_eq(store_commit(stored_store, &prune, 1, true), 0);
    ck_assert_int_eq(store_reply_find(stored_store, "c", &found), 0);
    ck_assert_int_eq(store_reply_find(stored_store, "b", &found), 1);
    reply_record_deinit(&found);
    stored_leave();
}
END_TEST

START_TEST(a_commit_that_fails_leaves_nothing_and_the_next_one_works)
{
    static const char *const points[] = {"store.begin", "store.step", "store.commit"};
    static const int results[] = {-ENOSPC, -ENOMEM, -EROFS};
    struct job ended = stored_ended(1, JOB_SUCCEEDED, 5), two = stored_job(2);
    struct change batch[] = {
        {.kind = CHANGE_JOB_UPDATE, .job = &ended},
        {.kind = CHANGE_JOB_INSERT, .job = &two},
    };

    stored_use(_i);
    ck_assert_int_eq(stored_insert_many(stored_store, 1, 1), 0);
    for (size_t i = 0; i < 9; i++) {
        fault_arm(points[i % 3], i % 3 == 1 ? 2 : 1, results[i / 3], false);
        ck_assert_int_eq(store_commit(stored_store, batch, 2, true), results[i / 3]);
        fault_disarm_all();
        ck_assert_ptr_null(stored_get(2));

        struct job *one = stored_get(1);

        ck_assert_int_eq(one->state, JOB_QUEUED);
        job_free(one);
        ck_assert_uint_eq(store_max_id(stored_store), 1);
    }
    ck_assert_int_eq(store_commit(stored_store, batch, 2, true), 0);
    stored_leave();
}
END_TEST

START_TEST(a_store_refuses_after_a_sync_that_failed)
{
    struct job job = stored_job(1);
    uint64_t epoch;

    stored_use(_i);
    fault_arm("store.commit", 1, -EIO, false);
    ck_assert_int_eq(stored_insert(stored_store, &job), -EIO);
    ck_assert_int_eq(stored_insert(stored_store, &job), -EIO);
    ck_assert_int_eq(store_next_epoch(stored_store, &epoch), -EIO);
    store_tend(stored_store);
    ck_assert_ptr_null(stored_get(1));
    stored_leave();
}
END_TEST

START_TEST(a_lost_answer_leaves_the_batch_and_refuses_the_next)
{
    struct job one = stored_job(1), two = stored_job(2), *back;

    stored_use(_i);
    fault_arm("store.sync", 1, -EIO, false);
    ck_assert_int_eq(stored_insert(stored_store, &one), -EIO);
    ck_assert_int_eq(stored_insert(stored_store, &two), -EIO);
    back = stored_get(1);
    ck_assert_ptr_nonnull(back);
    job_free(back);
    stored_leave();
}
END_TEST

START_TEST(an_empty_batch_is_no_commit)
{
    struct store_info info;

    stored_use(_i);
    ck_assert_int_eq(store_commit(stored_store, NULL, 0, true), 0);
    store_info(stored_store, &info);
    ck_assert_uint_eq(info.commits, 0);
    stored_leave();
}
END_TEST

START_TEST(the_store_counts_what_it_did)
{
    struct job job = stored_job(3);
    struct store_info info;

    stored_use(_i);
    ck_assert_int_eq(stored_insert_many(stored_store, 1, 2), 0);
    ck_assert_int_eq(store_commit(stored_store,
                                  &(struct change){.kind = CHANGE_JOB_INSERT, .job = &job}, 1,
                                  false),
                     0);
    store_info(stored_store, &info);
    ck_assert_uint_eq(info.commits, 2);
    ck_assert_uint_eq(info.syncs, 1);
    ck_assert_uint_eq(info.changes, 3);
    ck_assert_int_eq(strncmp(info.engine, _i ? "memory" : "sqlite 3.", 6), 0);
    stored_leave();
}
END_TEST

START_TEST(the_writers_own_view_sees_each_commit)
{
    struct job *back = NULL;

    stored_use(_i);
    for (uint64_t id = 1; id <= 3; id++) {
        struct job job = stored_job(id);

        ck_assert_int_eq(stored_insert(stored_store, &job), 0);
        ck_assert_int_eq(store_job_get(store_writer_reader(stored_store), id, &back), 1);
        job_free(back);
    }
    stored_leave();
}
END_TEST

START_TEST(words_are_parsed_as_they_are_printed)
{
    enum job_kind kind;
    enum job_state state;

    for (enum job_kind k = KIND_EXEC; k < KIND_COUNT; k++) {
        ck_assert(job_kind_parse(job_kind_name(k), strlen(job_kind_name(k)), &kind));
        ck_assert_int_eq(kind, k);
    }
    for (enum job_state s = JOB_HELD; s < JOB_STATE_COUNT; s++) {
        ck_assert(job_state_parse(job_state_name(s), strlen(job_state_name(s)), &state));
        ck_assert_int_eq(state, s);
        ck_assert_int_eq(job_state_is_waiting(s) + job_state_is_live(s) + job_state_is_final(s),
                         1);
    }
    for (enum job_reason r = REASON_EXIT_NONZERO; r < REASON_COUNT; r++)
        ck_assert_ptr_nonnull(job_reason_name(r));
    ck_assert_ptr_null(job_reason_name(REASON_NONE));
    ck_assert(!job_state_parse("queue", 5, &state) && !job_kind_parse("", 0, &kind));
}
END_TEST

int main(void)
{
    return STORED_MAIN("storage", a_job_comes_back_with_every_field, a_document_is_read_alone,
                       a_job_that_was_inserted_ended_comes_back_with_every_field,
                       an_update_changes_state_and_leaves_identity_and_document,
                       a_job_that_ends_keeps_identity_and_document,
                       the_last_of_several_updates_in_a_batch_stands,
                       an_update_of_a_job_that_is_not_there_changes_nothing,
                       a_batch_with_a_job_that_is_there_already_changes_nothing,
                       the_highest_id_is_remembered_when_its_job_is_gone, epochs_rise_by_one,
                       attempts_come_back_by_their_fence_and_go_with_their_job,
                       an_attempt_that_is_written_again_replaces_itself,
                       a_late_record_of_an_attempt_keeps_its_number_and_start,
                       queues_come_back_by_name_as_they_were_last_put,
                       an_answered_key_is_found_until_it_is_pruned,
                       a_commit_that_fails_leaves_nothing_and_the_next_one_works,
                       a_store_refuses_after_a_sync_that_failed,
                       a_lost_answer_leaves_the_batch_and_refuses_the_next,
                       an_empty_batch_is_no_commit, the_store_counts_what_it_did,
                       the_writers_own_view_sees_each_commit,
                       words_are_parsed_as_they_are_printed);
}
