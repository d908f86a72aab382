/* The contract of store.h for lists and other readings, run over both implementations: loop
 * index 0 is SQLite, 1 is memory. */
#include "storage/store.h"

#include "base/fault.h"
#include "tests/lib/stored.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct ids {
    uint64_t ids[STORE_PAGE_MAX];
    size_t count;
};

static int gather(void *ctx, const struct job *job)
{
    struct ids *ids = ctx;

    ids->ids[ids->count++] = job->id;
    return 0;
}

static uint64_t list(struct job_filter filter, struct ids *ids)
{
    uint64_t next = 99;

    ids->count = 0;
    if (filter.limit == 0)
        filter.limit = 100;
    ck_assert_int_eq(store_job_list(stored_reader, &filter, gather, ids, &next), 0);
    return next;
}

#define ck_ids(filter, ...)                                                                    \
    do {                                                                                       \
        struct ids got;                                                                        \
        const uint64_t want[] = {__VA_ARGS__};                                                 \
        uint64_t next = list((filter), &got);                                                  \
        ck_assert_uint_eq(next, 0);                                                            \
        ck_assert_uint_eq(got.count, sizeof want / sizeof *want);                              \
        ck_assert_mem_eq(got.ids, want, sizeof want);                                          \
    } while (0)
#define FILTER(...) ((struct job_filter){__VA_ARGS__})
#define BIT(state) (1u << (state))

static int copy_one(void *ctx, const struct job *job)
{
    *(struct job **)ctx = job_dup(job);
    return 42;
}

START_TEST(a_list_shows_every_field_and_passes_on_what_its_reader_answers)
{
    stored_use(_i);

    struct job job = stored_full(), *back = NULL;
    struct job_filter filter = {.limit = 10};
    uint64_t next;

    ck_assert_int_eq(stored_insert(stored_store, &job), 0);
    ck_assert_int_eq(store_job_list(stored_reader, &filter, copy_one, &back, &next), 42);
    stored_ck_same(back, &job);
    job_free(back);
    stored_leave();
}
END_TEST

static int live_gather(void *ctx, const struct job *job)
{
    ck_assert_ptr_null(job->spec);
    ck_assert_ptr_null(job->result);
    ck_assert_ptr_null(job->error);
    return gather(ctx, job);
}

START_TEST(every_job_that_is_not_final_is_shown_by_id)
{
    static const enum job_state states[] = {JOB_QUEUED,    JOB_SUCCEEDED, JOB_RUNNING,
                                            JOB_CANCELLED, JOB_HELD,      JOB_STOPPING};
    struct ids got = {.count = 0};
    struct job *back = NULL, job = stored_full();

    stored_use(_i);
    for (uint64_t i = 0; i < 6; i++) {
        struct job j = stored_ended(i + 1, states[i], 1);

        ck_assert_int_eq(stored_insert(stored_store, &j), 0);
    }
    ck_assert_int_eq(store_live_each(stored_reader, live_gather, &got), 0);
    ck_assert_uint_eq(got.count, 4);
    ck_assert_mem_eq(got.ids, ((uint64_t[]){1, 3, 5, 6}), 32);
    ck_assert_int_eq(stored_delete(stored_store, 1), 0);
    ck_assert_int_eq(stored_delete(stored_store, 3), 0);
    ck_assert_int_eq(stored_delete(stored_store, 5), 0);
    ck_assert_int_eq(stored_delete(stored_store, 6), 0);
    ck_assert_int_eq(stored_insert(stored_store, &job), 0);
    ck_assert_int_eq(store_live_each(stored_reader, copy_one, &back), 42);
    stored_ck_same_identity(back, &job);
    stored_ck_same_state(back, &job);
    job_free(back);
    stored_leave();
}
END_TEST

/* Ten jobs: odd ones in queue mail, every third with a name, every fifth with a key and tags.
 */
static void ten_jobs(void)
{
    static char mail[] = "mail", name[] = "thumb", key[] = "k", tags[] = ",web,img,";
    static const enum job_state states[] = {
        JOB_QUEUED,    JOB_RUNNING, JOB_SUCCEEDED, JOB_FAILED, JOB_SUCCEEDED,
        JOB_SCHEDULED, JOB_FAILED,  JOB_CANCELLED, JOB_QUEUED, JOB_RUNNING};

    for (uint64_t id = 1; id <= 10; id++) {
        struct job job = stored_ended(id, states[id - 1], 1000 + (int64_t)id);

        if (id % 2)
            job.queue = mail;
        if (id % 3 == 0)
            job.name = name;
        if (id % 5 == 0) {
            job.key = key;
            job.tags = tags;
            job.kind = KIND_HTTP;
        }
        job.dead_letter = id == 4;
        ck_assert_int_eq(stored_insert(stored_store, &job), 0);
    }
}

START_TEST(a_list_filters_by_each_of_its_words)
{
    stored_use(_i);
    ten_jobs();
    ck_ids(FILTER(0), 10, 9, 8, 7, 6, 5, 4, 3, 2, 1);
    ck_ids(FILTER(.states = BIT(JOB_QUEUED)), 9, 1);
    ck_ids(FILTER(.states = BIT(JOB_RUNNING)), 10, 2);
    ck_ids(FILTER(.states = BIT(JOB_SUCCEEDED)), 5, 3);
    ck_ids(FILTER(.states = BIT(JOB_FAILED)), 7, 4);
    ck_ids(FILTER(.states = BIT(JOB_FAILED) | BIT(JOB_CANCELLED) | BIT(JOB_SCHEDULED)), 8, 7, 6,
           4);
    ck_ids(FILTER(.states = BIT(JOB_QUEUED) | BIT(JOB_RUNNING) | BIT(JOB_FAILED)), 10, 9, 7, 4,
           2, 1);
    ck_ids(FILTER(.states = BIT(JOB_SUCCEEDED) | BIT(JOB_CANCELLED)), 8, 5, 3);
    ck_ids(FILTER(.queue = "mail"), 9, 7, 5, 3, 1);
    ck_ids(FILTER(.queue = "mail", .states = BIT(JOB_FAILED)), 7);
    ck_ids(FILTER(.queue = "mail", .states = BIT(JOB_QUEUED)), 9, 1);
    ck_ids(FILTER(.name = "thumb"), 9, 6, 3);
    ck_ids(FILTER(.key = "k"), 10, 5);
    ck_ids(FILTER(.key = "k", .queue = "mail"), 5);
    ck_ids(FILTER(.tag = "img"), 10, 5);
    ck_ids(FILTER(.tag = "web"), 10, 5);
    ck_ids(FILTER(.kind = KIND_HTTP), 10, 5);
    ck_ids(FILTER(.dead_letter = true), 4);
    ck_ids(FILTER(.before_id = 4), 3, 2, 1);
    ck_ids(FILTER(.since_ms = 1700000000008), 10, 9, 8);
    stored_leave();
}
END_TEST

START_TEST(a_list_that_finds_nothing_is_empty)
{
    struct ids got;

    stored_use(_i);
    ck_assert_uint_eq(list(FILTER(0), &got), 0);
    ck_assert_uint_eq(got.count, 0);
    ten_jobs();
    ck_assert_uint_eq(list(FILTER(.tag = "im"), &got), 0);
    ck_assert_uint_eq(got.count, 0);
    ck_assert_uint_eq(list(FILTER(.tag = ""), &got), 0);
    ck_assert_uint_eq(got.count, 0);
    ck_assert_uint_eq(list(FILTER(.name = "th"), &got), 0);
    ck_assert_uint_eq(got.count, 0);
    ck_assert_uint_eq(list(FILTER(.queue = "nope"), &got), 0);
    ck_assert_uint_eq(got.count, 0);
    ck_assert_uint_eq(list(FILTER(.states = 1u << 31), &got), 0);
    ck_assert_uint_eq(got.count, 0);
    ck_assert_uint_eq(list(FILTER(.dead_letter = true, .states = BIT(JOB_QUEUED)), &got), 0);
    ck_assert_uint_eq(got.count, 0);
    stored_leave();
}
END_TEST

START_TEST(pages_meet_without_gap_or_overlap)
{
    struct ids got;
    uint64_t next = 0, expected = 25;

    stored_use(_i);
    ck_assert_int_eq(stored_insert_many(stored_store, 1, 25), 0);
    do {
        next = list(FILTER(.limit = 7, .before_id = next), &got);
        for (size_t i = 0; i < got.count; i++)
            ck_assert_uint_eq(got.ids[i], expected--);
        ck_assert(next == 0 || got.count == 7);
    } while (next);
    ck_assert_uint_eq(expected, 0);
    stored_leave();
}
END_TEST

START_TEST(a_list_that_finds_little_ends_early_with_a_cursor)
{
    static char key[] = "rare", tags[] = ",rare,";
    struct job rare = stored_job(1);
    struct ids got;
    uint64_t next = 0;
    unsigned calls = 0;
    size_t found = 0;

    stored_use(_i);
    rare.key = key;
    rare.tags = tags;
    ck_assert_int_eq(stored_insert(stored_store, &rare), 0);
    ck_assert_int_eq(stored_insert_many(stored_store, 2, 12000), 0);
    do {
        next = list(FILTER(.tag = "rare", .before_id = next), &got);
        found += got.count;
        calls++;
    } while (next);
    ck_assert_uint_eq(found, 1);
    ck_assert_uint_ge(calls, 3);
    stored_leave();
}
END_TEST

/* The ended ones that came later are not what it asks for. */
START_TEST(a_list_of_what_waits_in_a_queue_does_not_depend_on_its_history)
{
    struct change ended[6000];
    struct job jobs[6000];
    struct ids got;

    stored_use(_i);
    ck_assert_int_eq(stored_insert_many(stored_store, 1, 3), 0);
    for (uint64_t i = 0; i < 6000; i++) {
        jobs[i] = stored_ended(10 + i, JOB_SUCCEEDED, 5);
        ended[i] = (struct change){.kind = CHANGE_JOB_INSERT, .job = &jobs[i]};
    }
    ck_assert_int_eq(store_commit(stored_store, ended, 6000, true), 0);
    ck_assert_uint_eq(list(FILTER(.queue = "default", .states = BIT(JOB_QUEUED)), &got), 0);
    ck_assert_uint_eq(got.count, 3);
    ck_assert_uint_eq(
        list(FILTER(.queue = "other", .states = BIT(JOB_QUEUED) | BIT(JOB_RUNNING)), &got), 0);
    ck_assert_uint_eq(got.count, 0);
    stored_leave();
}
END_TEST

/* Jobs of one key that succeeded and of another that failed, in turn and in blocks, more than a
 * page looks at of either; and the one that is both is the oldest. */
static void key_and_state_fill(struct job jobs[12001], struct change changes[12001])
{
    static char rare[] = "rare", other[] = "other";

    for (uint64_t i = 0; i <= 12000; i++) {
        bool failed = i == 0 || (i < 6000 ? i % 2 : i < 9000);

        jobs[i] = stored_ended(1 + i, failed ? JOB_FAILED : JOB_SUCCEEDED, 5);
        jobs[i].key = i == 0 || !failed ? rare : other;
        jobs[i].name = jobs[i].queue = jobs[i].key;
        changes[i] = (struct change){.kind = CHANGE_JOB_INSERT, .job = &jobs[i]};
    }
    ck_assert_int_eq(store_commit(stored_store, changes, 12001, true), 0);
}

/* Of SQLite: the store in memory is for tests, and looks at each job. */
START_TEST(a_word_with_rare_states_is_found_in_one_page)
{
    static struct change changes[12001];
    static struct job jobs[12001];
    const uint32_t states = BIT(JOB_FAILED) | BIT(JOB_RUNNING) | BIT(JOB_HELD);

    stored_use(0);
    key_and_state_fill(jobs, changes);
    ck_ids(FILTER(.key = "rare", .states = states), 1);
    ck_ids(FILTER(.name = "rare", .states = states), 1);
    ck_ids(FILTER(.queue = "rare", .states = states), 1);
    stored_leave();
}
END_TEST

/* Whatever is asked for, as many pages as it takes show what a look at each job would. */
START_TEST(words_and_states_together_find_what_each_job_says)
{
    static struct change changes[12001];
    static struct job jobs[12001];

    stored_use(_i);
    key_and_state_fill(jobs, changes);
    for (uint32_t states = 0; states < 8; states++) {
        uint32_t wanted = (states & 1 ? BIT(JOB_FAILED) : 0) |
                          (states & 2 ? BIT(JOB_SUCCEEDED) : 0) |
                          (states & 4 ? BIT(JOB_QUEUED) : 0);
        uint64_t next = 0, expected = 0, found = 0, last = UINT64_MAX;
        struct ids got;

        for (int i = 0; i <= 12000; i++)
            expected +=
                strcmp(jobs[i].key, "other") == 0 && (!wanted || wanted & BIT(jobs[i].state));
        do {
            next = list(FILTER(.key = "other", .states = wanted, .before_id = next), &got);
            for (size_t i = 0; i < got.count; i++) {
                ck_assert_uint_lt(got.ids[i], last);
                last = got.ids[i];
            }
            found += got.count;
        } while (next);
        ck_assert_uint_eq(found, expected);
    }
    stored_leave();
}
END_TEST

static int final_gather(void *ctx, uint64_t id, enum job_state state, uint32_t fence)
{
    struct ids *ids = ctx;

    ck_assert(job_state_is_final(state));
    ck_assert_uint_eq(fence, stored_ended(id, state, 0).fence);
    ids->ids[ids->count++] = id;
    return 0;
}

START_TEST(retention_finds_what_ended_before_a_time_by_state)
{
    struct ids got = {.count = 0};
    struct final_filter old = {.before_ms = 1008, .limit = 2};
    struct final_filter failed = {
        .before_ms = 1007, .limit = 10, .states = BIT(JOB_FAILED) | BIT(JOB_SKIPPED)};
    uint64_t next = 9;

    stored_use(_i);
    ten_jobs();
    ck_assert_int_eq(store_final_each(stored_reader, &old, final_gather, &got, &next), 0);
    old.after_id = next;
    ck_assert_int_eq(store_final_each(stored_reader, &old, final_gather, &got, &next), 0);
    ck_assert_uint_eq(got.count, 4);
    ck_assert_mem_eq(got.ids, ((uint64_t[]){3, 4, 5, 7}), 32);
    got.count = 0;
    ck_assert_int_eq(store_final_each(stored_reader, &failed, final_gather, &got, &next), 0);
    ck_assert_uint_eq(next, 0);
    ck_assert_uint_eq(got.count, 1);
    ck_assert_uint_eq(got.ids[0], 4);
    stored_leave();
}
END_TEST

START_TEST(a_deleted_job_is_gone_from_every_list)
{
    struct ids got = {.count = 0};

    stored_use(_i);
    ten_jobs();
    for (uint64_t id = 1; id <= 10; id++)
        ck_assert_int_eq(stored_delete(stored_store, id), 0);
    ck_assert_uint_eq(list(FILTER(0), &got), 0);
    ck_assert_uint_eq(got.count, 0);
    ck_assert_uint_eq(list(FILTER(.queue = "mail"), &got), 0);
    ck_assert_uint_eq(got.count, 0);
    ck_assert_uint_eq(list(FILTER(.states = BIT(JOB_FAILED)), &got), 0);
    ck_assert_uint_eq(got.count, 0);
    ck_assert_int_eq(store_live_each(stored_reader, gather, &got), 0);
    ck_assert_uint_eq(got.count, 0);
    stored_leave();
}
END_TEST

static int finding_count(void *ctx, const char *sentence)
{
    (void)sentence;
    ++*(unsigned *)ctx;
    return 0;
}

START_TEST(a_whole_store_has_no_findings)
{
    unsigned findings = 0;

    stored_use(_i);
    ten_jobs();
    ck_assert_int_eq(stored_delete(stored_store, 3), 0);
    ck_assert_int_eq(store_check(stored_reader, finding_count, &findings), 0);
    ck_assert_uint_eq(findings, 0);
    stored_leave();
}
END_TEST

START_TEST(reads_pass_on_their_fault)
{
    struct job *job;
    struct ids got = {.count = 0};
    char *spec;

    stored_use(_i);
    fault_arm("store.read", 1, -EIO, true);
    ck_assert_int_eq(store_job_get(stored_reader, 1, &job), -EIO);
    ck_assert_int_eq(store_live_each(stored_reader, gather, &got), -EIO);
    ck_assert_int_eq(store_spec_get(stored_reader, 1, &spec), -EIO);
    stored_leave();
}
END_TEST

#define READS 300

/* Reads the newest job again and again: a batch of two is seen whole or not at all. */
static void *read_pairs(void *ctx)
{
    struct store_reader *own;
    struct ids *got = calloc(1, sizeof *got);
    struct job_filter filter = {.limit = 2};
    uint64_t next, *ret = ctx;

    *ret = 1;
    if (store_reader_open(stored_store, &own) < 0)
        return NULL;
    *ret = 0;
    for (int i = 0; i < READS; i++) {
        got->count = 0;
        if (store_job_list(own, &filter, gather, got, &next) != 0)
            ++*ret;
        if (got->count == 2 && (got->ids[0] % 2 != 0 || got->ids[1] != got->ids[0] - 1))
            ++*ret;
    }
    store_reader_close(own);
    free(got);
    return NULL;
}

START_TEST(readers_on_other_threads_see_whole_batches)
{
    pthread_t threads[2];
    uint64_t failures[2];

    stored_use(_i);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, read_pairs, &failures[i]);
    for (uint64_t id = 1; id < 200; id += 2)
        ck_assert_int_eq(stored_insert_many(stored_store, id, 2), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_uint_eq(failures[i], 0);
    }
    stored_leave();
}
END_TEST

int main(void)
{
    return STORED_MAIN(
        "storage_list", a_list_shows_every_field_and_passes_on_what_its_reader_answers,
        every_job_that_is_not_final_is_shown_by_id, a_list_filters_by_each_of_its_words,
        a_list_that_finds_nothing_is_empty, pages_meet_without_gap_or_overlap,
        a_list_that_finds_little_ends_early_with_a_cursor,
        a_list_of_what_waits_in_a_queue_does_not_depend_on_its_history,
        a_word_with_rare_states_is_found_in_one_page,
        words_and_states_together_find_what_each_job_says,
        retention_finds_what_ended_before_a_time_by_state,
        a_deleted_job_is_gone_from_every_list, a_whole_store_has_no_findings,
        reads_pass_on_their_fault, readers_on_other_threads_see_whole_batches);
}
