/* engine_read.c: reading threads. A task cannot call the store, whose calls block their thread
 * and want more stack than a task has; it hands a function over and parks.
 *
 * What an attempt needs in order to start goes before what somebody merely wants to look at:
 * lists asked for by a hundred dashboards must not delay work. */
#include "jobs/engine_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reader_thread {
    struct engine *engine;
    struct store_reader *reader;
};

static struct reading *next_reading(struct reads *reads)
{
    struct list *link = NULL;

    pthread_mutex_lock(&reads->lock);
    while (!reads->stop && list_is_empty(&reads->requests))
        pthread_cond_wait(&reads->wake, &reads->lock);
    link = list_pop_front(&reads->requests);
    if (link)
        reads->len--;
    pthread_mutex_unlock(&reads->lock);
    return link ? container_of(link, struct reading, link) : NULL;
}

static void *reader_main(void *arg)
{
    struct reader_thread *t = arg;

    for (struct reading *r; (r = next_reading(&t->engine->reads));) {
        r->fn(t->reader, r->ctx);
        event_set(&r->done);
    }
    store_reader_close(t->reader);
    free(t);
    return NULL;
}

static int reader_start(struct engine *e)
{
    struct reads *reads = &e->reads;
    struct reader_thread *t = malloc(sizeof *t);
    int r;

    if (!t)
        return -ENOMEM;
    t->engine = e;
    r = store_reader_open(e->options.store, &t->reader);
    if (r < 0) {
        free(t);
        return r;
    }
    r = engine_thread(&reads->threads[reads->count], "read", reader_main, t);
    if (r < 0) {
        store_reader_close(t->reader);
        free(t);
        return r;
    }
    reads->count++;
    return 0;
}

int engine_read_start(struct engine *e)
{
    uint32_t count = e->options.readers < READERS_MAX ? e->options.readers : READERS_MAX;
    int r = 0;

    for (uint32_t i = 0; i < count && r == 0; i++)
        r = reader_start(e);
    return r;
}

void engine_read_stop(struct engine *e)
{
    struct reads *reads = &e->reads;

    pthread_mutex_lock(&reads->lock);
    reads->stop = true;
    pthread_cond_broadcast(&reads->wake);
    pthread_mutex_unlock(&reads->lock);
    while (reads->count > 0)
        engine_thread_join(reads->threads[--reads->count]);
}

int engine_read(struct engine *e, void (*fn)(struct store_reader *reader, void *ctx), void *ctx,
                bool urgent)
{
    struct reads *reads = &e->reads;
    struct reading reading = {.fn = fn, .ctx = ctx};

    event_init(&reading.done);
    pthread_mutex_lock(&reads->lock);

    bool full = reads->stop || reads->len >= READ_BACKLOG_MAX;

    if (!full) {
        if (urgent)
            list_push_front(&reads->requests, &reading.link);
        else
            list_push_back(&reads->requests, &reading.link);
        reads->len++;
    }
    pthread_mutex_unlock(&reads->lock);
    if (full)
        return ENGINE_FULL;
    pthread_cond_signal(&reads->wake);
    event_wait_shielded(&reading.done); /* it lives in this frame */
    return ENGINE_OK;
}

/* ----- jobs ----- */

struct job_read {
    uint64_t id;
    struct job *job;
    int result;
};

static void read_job(struct store_reader *reader, void *ctx)
{
    struct job_read *read = ctx;

    read->result = store_job_get(reader, read->id, &read->job);
}

int engine_read_job(struct engine *e, uint64_t id, bool urgent, struct job **ret)
{
    struct job_read read = {.id = id};
    int r = engine_read(e, read_job, &read, urgent);

    if (r != ENGINE_OK)
        return r;
    if (read.result <= 0)
        return read.result < 0 ? read.result : ENGINE_NOT_FOUND;
    *ret = read.job;
    return ENGINE_OK;
}

int engine_get(struct engine *e, uint64_t id, struct job **ret)
{
    return engine_read_job(e, id, false, ret);
}

/* ----- lists ----- */

struct list_read {
    const struct job_filter *filter;
    struct job_page page;
    size_t cap;
    int result;
};

static int page_add(void *ctx, const struct job *job)
{
    struct list_read *read = ctx;

    if (read->page.count == read->cap) {
        size_t cap = read->cap ? read->cap * 2 : 64;
        struct job **grown = reallocarray(read->page.jobs, cap, sizeof(struct job *));

        if (!grown)
            return -ENOMEM;
        read->page.jobs = grown;
        read->cap = cap;
    }

    struct job *copy = job_dup(job);

    if (!copy)
        return -ENOMEM;
    read->page.jobs[read->page.count++] = copy;
    return 0;
}

static void read_list(struct store_reader *reader, void *ctx)
{
    struct list_read *read = ctx;

    read->result = store_job_list(reader, read->filter, page_add, read, &read->page.next);
}

int engine_list(struct engine *e, const struct job_filter *filter, struct job_page *ret)
{
    struct list_read read = {.filter = filter};
    int r = engine_read(e, read_list, &read, false);

    if (r == ENGINE_OK)
        r = read.result;
    if (r != ENGINE_OK) {
        job_page_deinit(&read.page);
        return r;
    }
    *ret = read.page;
    return ENGINE_OK;
}

void job_page_deinit(struct job_page *page)
{
    for (size_t i = 0; i < page->count; i++)
        job_free(page->jobs[i]);
    free(page->jobs);
    *page = (struct job_page){.count = 0};
}

/* ----- attempts ----- */

struct attempts_read {
    uint64_t id;
    struct attempt_list list;
    size_t cap;
    int result;
};

static int attempt_copy(const struct attempt_record *a, struct attempt_record *ret)
{
    *ret = *a;
    ret->result = a->result ? strdup(a->result) : NULL;
    ret->error = a->error ? strdup(a->error) : NULL;
    if ((a->result && !ret->result) || (a->error && !ret->error)) {
        attempt_record_deinit(ret);
        return -ENOMEM;
    }
    return 0;
}

static int attempts_add(void *ctx, const struct attempt_record *a)
{
    struct attempts_read *read = ctx;

    if (read->list.count == read->cap) {
        size_t cap = read->cap ? read->cap * 2 : 8;
        struct attempt_record *grown =
            reallocarray(read->list.items, cap, sizeof *read->list.items);

        if (!grown)
            return -ENOMEM;
        read->list.items = grown;
        read->cap = cap;
    }

    int r = attempt_copy(a, &read->list.items[read->list.count]);

    if (r == 0)
        read->list.count++;
    return r;
}

static void read_attempts(struct store_reader *reader, void *ctx)
{
    struct attempts_read *read = ctx;
    struct job *job = NULL;
    int r = store_job_get(reader, read->id, &job);

    job_free(job);
    read->result = r > 0   ? store_attempt_each(reader, read->id, attempts_add, read)
                   : r < 0 ? r
                           : ENGINE_NOT_FOUND;
}

int engine_attempts(struct engine *e, uint64_t id, struct attempt_list *ret)
{
    struct attempts_read read = {.id = id};
    int r = engine_read(e, read_attempts, &read, false);

    if (r == ENGINE_OK)
        r = read.result;
    if (r != ENGINE_OK) {
        attempt_list_deinit(&read.list);
        return r;
    }
    *ret = read.list;
    return ENGINE_OK;
}

void attempt_list_deinit(struct attempt_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        attempt_record_deinit(&list->items[i]);
    free(list->items);
    *list = (struct attempt_list){.count = 0};
}
