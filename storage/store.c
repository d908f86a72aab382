#include "storage/store.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/str.h"
#include "storage/store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t page_limit(uint32_t limit)
{
    if (limit == 0)
        return 1;
    return limit < STORE_PAGE_MAX ? limit : STORE_PAGE_MAX;
}

/* tags is ",web,img,": a tag is in it between two commas. */
static bool tags_have(const char *tags, const char *tag)
{
    size_t len = strlen(tag);

    for (const char *at = tags; at && len && (at = strstr(at, tag)); at++) {
        if (at > tags && at[-1] == ',' && at[len] == ',')
            return true;
    }
    return false;
}

static bool text_passes(const char *wanted, const char *text)
{
    return !wanted || str_equal(wanted, text);
}

bool store_states_have(uint32_t states, enum job_state state)
{
    return states == 0 || (states >> state & 1);
}

enum store_match store_filter_match(const struct job_filter *filter, const struct job *job)
{
    if (filter->since_ms && job->created_at_ms < filter->since_ms) {
        bool far = job->created_at_ms < filter->since_ms - STORE_SINCE_SLACK_MS;

        return far ? MATCH_END : MATCH_NO;
    }

    bool matches = store_states_have(filter->states, job->state) &&
                   (filter->kind == KIND_NONE || filter->kind == job->kind) &&
                   (!filter->dead_letter || job->dead_letter) &&
                   text_passes(filter->queue, job->queue) &&
                   text_passes(filter->name, job->name) && text_passes(filter->key, job->key) &&
                   (!filter->tag || tags_have(job->tags, filter->tag));

    return matches ? MATCH_YES : MATCH_NO;
}

void reply_record_deinit(struct reply_record *r)
{
    free(r->key);
    r->key = NULL;
}

void store_close(struct store *store)
{
    if (store)
        store->ops->close(store);
}

int store_commit(struct store *store, const struct change *changes, size_t count, bool sync)
{
    return count ? store->ops->commit(store, changes, count, sync) : 0;
}

void store_tend(struct store *store)
{
    store->ops->tend(store);
}

bool store_tend_due(const struct store *store)
{
    return store->ops->tend_due && store->ops->tend_due(store);
}

void store_settle(struct store *store, uint64_t log_bytes)
{
    if (store->ops->settle)
        store->ops->settle(store, log_bytes);
}

uint64_t store_max_id(struct store *store)
{
    return store->ops->max_id(store);
}

int store_next_epoch(struct store *store, uint64_t *ret)
{
    return store->ops->next_epoch(store, ret);
}

int store_reply_find(struct store *store, const char *key, struct reply_record *ret)
{
    return store->ops->reply_find(store, key, ret);
}

struct store_reader *store_writer_reader(struct store *store)
{
    return store->ops->writer_reader(store);
}

int store_reader_open(struct store *store, struct store_reader **ret)
{
    int r = fault_at("store.reader_open");

    return r < 0 ? r : store->ops->reader_open(store, ret);
}

void store_reader_close(struct store_reader *reader)
{
    if (reader)
        reader->ops->reader_close(reader);
}

int store_job_get(struct store_reader *reader, uint64_t id, struct job **ret)
{
    int r = fault_at("store.read");

    return r < 0 ? r : reader->ops->job_get(reader, id, ret);
}

int store_spec_get(struct store_reader *reader, uint64_t id, char **ret)
{
    int r = fault_at("store.read");

    return r < 0 ? r : reader->ops->spec_get(reader, id, ret);
}

int store_live_each(struct store_reader *reader, store_job_fn fn, void *ctx)
{
    int r = fault_at("store.read");

    return r < 0 ? r : reader->ops->live_each(reader, fn, ctx);
}

int store_job_list(struct store_reader *reader, const struct job_filter *filter,
                   store_job_fn fn, void *ctx, uint64_t *ret_next)
{
    struct job_filter bounded = *filter;
    int r = fault_at("store.read");

    if (r < 0)
        return r;
    bounded.limit = page_limit(filter->limit);
    if (bounded.before_id == 0 || bounded.before_id > INT64_MAX)
        bounded.before_id = INT64_MAX;
    return reader->ops->job_list(reader, &bounded, fn, ctx, ret_next);
}

int store_attempt_each(struct store_reader *reader, uint64_t job_id, store_attempt_fn fn,
                       void *ctx)
{
    int r = fault_at("store.read");

    return r < 0 ? r : reader->ops->attempt_each(reader, job_id, fn, ctx);
}

int store_queue_each(struct store_reader *reader, store_queue_fn fn, void *ctx)
{
    int r = fault_at("store.read");

    return r < 0 ? r : reader->ops->queue_each(reader, fn, ctx);
}

int store_final_each(struct store_reader *reader, const struct final_filter *filter,
                     store_final_fn fn, void *ctx, uint64_t *ret_next)
{
    struct final_filter bounded = *filter;
    int r = fault_at("store.read");

    if (r < 0)
        return r;
    bounded.limit = page_limit(filter->limit);
    return reader->ops->final_each(reader, &bounded, fn, ctx, ret_next);
}

int store_check(struct store_reader *reader, store_finding_fn fn, void *ctx)
{
    return reader->ops->check(reader, fn, ctx);
}

int store_backup_open(struct store *store, const char *path, struct store_backup **ret)
{
    return store->ops->backup_open(store, path, ret);
}

int store_backup_step(struct store_backup *backup, unsigned pages)
{
    assert_always(pages > 0);
    return backup->ops->backup_step(backup, pages);
}

void store_backup_close(struct store_backup *backup)
{
    if (backup)
        backup->ops->backup_close(backup);
}

void store_info(struct store *store, struct store_info *ret)
{
    store->ops->info(store, ret);
}
