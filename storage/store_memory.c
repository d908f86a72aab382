/* The store of tests and simulations: the same answers as SQLite's, nothing on disk.
 *
 * A commit first makes all that needs memory, in its stage, and only then touches the tables;
 * from there on nothing can fail, which is what makes it all or nothing. Jobs stand in one
 * array by id, everything else in lists: it is made to be right and small, and to be quick with
 * the thousands of jobs of a test.
 *
 * Threads: one lock for all of it, shared by readers. A callback runs under that lock. */
#include "storage/store.h"

#include "base/fault.h"
#include "base/str.h"
#include "storage/memory_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int memory_commit(struct store *store, const struct change *changes, size_t count,
                         bool sync)
{
    struct memory *m = container_of(store, struct memory, base);

    pthread_rwlock_wrlock(&m->lock);
    int r = memory_commit_locked(m, changes, count, sync);
    pthread_rwlock_unlock(&m->lock);
    return r;
}

static void memory_tend(struct store *store)
{
    (void)store;
}

static uint64_t memory_max_id(struct store *store)
{
    return container_of(store, struct memory, base)->max_id;
}

static int memory_next_epoch(struct store *store, uint64_t *ret)
{
    struct memory *m = container_of(store, struct memory, base);
    int r = m->refuses ? -EIO : fault_at("store.commit");

    if (r == 0)
        *ret = ++m->epoch;
    return r;
}

static int memory_reply_find(struct store *store, const char *key, struct reply_record *ret)
{
    const struct memory_reply *p =
        memory_reply_by_key(container_of(store, struct memory, base), key);

    if (!p)
        return 0;

    struct reply_record copy = p->record;

    copy.key = str_dup(p->record.key);
    if (!copy.key)
        return -ENOMEM;
    *ret = copy;
    return 1;
}

static struct store_reader *memory_writer_reader(struct store *store)
{
    return &container_of(store, struct memory, base)->writer_view.base;
}

static struct memory *reader_lock(struct store_reader *reader)
{
    struct memory *m = container_of(reader, struct memory_reader, base)->memory;

    pthread_rwlock_rdlock(&m->lock);
    return m;
}

static int memory_job_get(struct store_reader *reader, uint64_t id, struct job **ret)
{
    struct memory *m = reader_lock(reader);
    const struct memory_job *j = memory_find(m, id);
    struct job *copy = j ? job_dup(j->job) : NULL;

    pthread_rwlock_unlock(&m->lock);
    if (!j)
        return 0;
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 1;
}

static int memory_spec_get(struct store_reader *reader, uint64_t id, char **ret)
{
    struct memory *m = reader_lock(reader);
    const struct memory_job *j = memory_find(m, id);
    bool found = j && j->job->spec;
    char *copy = found ? str_dup(j->job->spec) : NULL;

    pthread_rwlock_unlock(&m->lock);
    if (!found)
        return 0;
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 1;
}

static int memory_live_each(struct store_reader *reader, store_job_fn fn, void *ctx)
{
    struct memory *m = reader_lock(reader);
    int r = 0;

    for (size_t i = 0; i < m->jobs_len && r == 0; i++) {
        struct job view = *m->jobs[i]->job;

        view.spec = view.result = view.error = NULL;
        if (!job_state_is_final(view.state))
            r = fn(ctx, &view);
    }
    pthread_rwlock_unlock(&m->lock);
    return r;
}

static int list_page(const struct memory *m, const struct job_filter *filter, store_job_fn fn,
                     void *ctx, uint64_t *ret_next)
{
    size_t at = memory_place(m, filter->before_id);
    uint32_t found = 0, looked = 0;
    uint64_t next = 0;

    while (at > 0 && found < filter->limit && looked < STORE_LOOK_MAX) {
        const struct job *job = m->jobs[--at]->job;
        enum store_match match = store_filter_match(filter, job);
        int r = match == MATCH_YES ? fn(ctx, job) : 0;

        if (r)
            return r;
        looked += store_states_have(filter->states, job->state);
        found += match == MATCH_YES;
        next = match == MATCH_END || at == 0 ? 0 : job->id;
        if (match == MATCH_END)
            break;
    }
    *ret_next = next;
    return 0;
}

static int memory_job_list(struct store_reader *reader, const struct job_filter *filter,
                           store_job_fn fn, void *ctx, uint64_t *ret_next)
{
    struct memory *m = reader_lock(reader);
    int r = list_page(m, filter, fn, ctx, ret_next);

    pthread_rwlock_unlock(&m->lock);
    return r;
}

static int memory_attempt_each(struct store_reader *reader, uint64_t job_id,
                               store_attempt_fn fn, void *ctx)
{
    struct memory *m = reader_lock(reader);
    struct memory_job *j = memory_find(m, job_id);
    int r = 0;

    for (struct list *n = j ? j->attempts.next : NULL; n && n != &j->attempts && r == 0;
         n = n->next)
        r = fn(ctx, &container_of(n, struct memory_attempt, node)->record);
    pthread_rwlock_unlock(&m->lock);
    return r;
}

static int memory_queue_each(struct store_reader *reader, store_queue_fn fn, void *ctx)
{
    struct memory *m = reader_lock(reader);
    int r = 0;

    for (struct list *n = m->queues.next; n != &m->queues && r == 0; n = n->next)
        r = fn(ctx, &container_of(n, struct memory_queue, node)->record);
    pthread_rwlock_unlock(&m->lock);
    return r;
}

static int final_page(const struct memory *m, const struct final_filter *filter,
                      store_final_fn fn, void *ctx, uint64_t *ret_next)
{
    size_t at = memory_place(m, filter->after_id + 1);
    uint32_t found = 0, looked = 0;

    *ret_next = 0;
    while (at < m->jobs_len && found < filter->limit && looked++ < STORE_LOOK_MAX) {
        const struct job *job = m->jobs[at++]->job;
        bool match = job_state_is_final(job->state) &&
                     store_states_have(filter->states, job->state) &&
                     job->finished_at_ms < filter->before_ms;
        int r = match ? fn(ctx, job->id, job->state, job->fence) : 0;

        if (r)
            return r;
        found += match;
        *ret_next = at == m->jobs_len ? 0 : job->id;
    }
    return 0;
}

static int memory_final_each(struct store_reader *reader, const struct final_filter *filter,
                             store_final_fn fn, void *ctx, uint64_t *ret_next)
{
    struct memory *m = reader_lock(reader);
    int r = final_page(m, filter, fn, ctx, ret_next);

    pthread_rwlock_unlock(&m->lock);
    return r;
}

static int memory_check(struct store_reader *reader, store_finding_fn fn, void *ctx)
{
    struct memory *m = reader_lock(reader);
    int r = 0;

    for (size_t i = 1; i < m->jobs_len && r == 0; i++) {
        if (m->jobs[i - 1]->job->id >= m->jobs[i]->job->id)
            r = fn(ctx, "jobs do not stand by their ids");
    }
    pthread_rwlock_unlock(&m->lock);
    return r;
}

static int memory_reader_open(struct store *store, struct store_reader **ret)
{
    struct memory_reader *reader = calloc(1, sizeof *reader);

    if (!reader)
        return -ENOMEM;
    reader->base.ops = store->ops;
    reader->memory = container_of(store, struct memory, base);
    *ret = &reader->base;
    return 0;
}

static void memory_reader_close(struct store_reader *reader)
{
    free(container_of(reader, struct memory_reader, base));
}

static int memory_backup_open(struct store *store, const char *path, struct store_backup **ret)
{
    (void)store;
    (void)path;
    (void)ret;
    return -EOPNOTSUPP;
}

static void memory_info(struct store *store, struct store_info *ret)
{
    struct memory *m = container_of(store, struct memory, base);

    pthread_rwlock_rdlock(&m->lock);
    *ret = (struct store_info){
        .engine = "memory", .commits = m->commits, .changes = m->changes, .syncs = m->syncs};
    pthread_rwlock_unlock(&m->lock);
}

static void memory_close(struct store *store)
{
    struct memory *m = container_of(store, struct memory, base);

    for (size_t i = 0; i < m->jobs_len; i++)
        memory_job_free(m->jobs[i]);
    free(m->jobs);
    for (struct list *node; (node = list_pop_front(&m->queues));)
        memory_queue_free(container_of(node, struct memory_queue, node));
    for (struct list *node; (node = list_pop_front(&m->replies));)
        memory_reply_free(container_of(node, struct memory_reply, node));
    pthread_rwlock_destroy(&m->lock);
    free(m);
}

static const struct store_ops memory_ops = {
    .close = memory_close,
    .commit = memory_commit,
    .tend = memory_tend,
    .max_id = memory_max_id,
    .next_epoch = memory_next_epoch,
    .reply_find = memory_reply_find,
    .writer_reader = memory_writer_reader,
    .reader_open = memory_reader_open,
    .reader_close = memory_reader_close,
    .job_get = memory_job_get,
    .spec_get = memory_spec_get,
    .live_each = memory_live_each,
    .job_list = memory_job_list,
    .attempt_each = memory_attempt_each,
    .queue_each = memory_queue_each,
    .final_each = memory_final_each,
    .check = memory_check,
    .backup_open = memory_backup_open,
    .info = memory_info,
};

int store_open_memory(struct store **ret)
{
    struct memory *m = calloc(1, sizeof *m);

    if (!m)
        return -ENOMEM;
    m->base.ops = &memory_ops;
    m->writer_view = (struct memory_reader){.base.ops = &memory_ops, .memory = m};
    pthread_rwlock_init(&m->lock, NULL);
    list_init(&m->queues);
    list_init(&m->replies);
    *ret = &m->base;
    return 0;
}

void store_memory_reopen(struct store *store)
{
    container_of(store, struct memory, base)->refuses = false;
}
