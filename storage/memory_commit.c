/* A commit to the store in memory: first everything that needs memory is made, in a stage, one
 * struct made a change; only then are the tables touched, and from there on nothing can fail.
 */
#include "storage/memory_parts.h"

#include "base/fault.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a commit has made for one change before it touches anything. */
struct made {
    struct memory_job *insert;
    struct job *update; /* result and error are its own, other strings NULL */
    struct memory_attempt *attempt;
    struct memory_queue *queue;
    struct memory_reply *reply;
};

void memory_job_free(struct memory_job *j)
{
    if (!j)
        return;
    for (struct list *node; (node = list_pop_front(&j->attempts));) {
        struct memory_attempt *a = container_of(node, struct memory_attempt, node);

        attempt_record_deinit(&a->record);
        free(a);
    }
    job_free(j->job);
    free(j);
}

void memory_attempt_free(struct memory_attempt *a)
{
    if (!a)
        return;
    attempt_record_deinit(&a->record);
    free(a);
}

void memory_queue_free(struct memory_queue *q)
{
    if (!q)
        return;
    free(q->record.name);
    free(q);
}

void memory_reply_free(struct memory_reply *p)
{
    if (!p)
        return;
    reply_record_deinit(&p->record);
    free(p);
}

/* The first place whose id is not below id. */
size_t memory_place(const struct memory *m, uint64_t id)
{
    size_t low = 0, high = m->jobs_len;

    if (high && m->jobs[high - 1]->job->id < id)
        return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (m->jobs[middle]->job->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct memory_job *memory_find(const struct memory *m, uint64_t id)
{
    size_t at = memory_place(m, id);

    return at < m->jobs_len && m->jobs[at]->job->id == id ? m->jobs[at] : NULL;
}

static int jobs_reserve(struct memory *m, size_t more)
{
    if (m->jobs_cap - m->jobs_len >= more)
        return 0;

    size_t cap = (m->jobs_len + more) * 2;
    struct memory_job **jobs = reallocarray(m->jobs, cap, sizeof *jobs);

    if (!jobs)
        return -ENOMEM;
    m->jobs = jobs;
    m->jobs_cap = cap;
    return 0;
}

/* Room was reserved. */
static int jobs_insert(struct memory *m, struct memory_job *j)
{
    size_t at = memory_place(m, j->job->id);

    if (at < m->jobs_len && m->jobs[at]->job->id == j->job->id)
        return -EEXIST;
    memmove(m->jobs + at + 1, m->jobs + at, (m->jobs_len - at) * sizeof *m->jobs);
    m->jobs[at] = j;
    m->jobs_len++;
    return 0;
}

static struct memory_job *jobs_remove(struct memory *m, uint64_t id)
{
    size_t at = memory_place(m, id);

    if (at == m->jobs_len || m->jobs[at]->job->id != id)
        return NULL;

    struct memory_job *j = m->jobs[at];

    m->jobs_len--;
    memmove(m->jobs + at, m->jobs + at + 1, (m->jobs_len - at) * sizeof *m->jobs);
    return j;
}

static void lease_forget(struct job *job)
{
    if (job_state_is_final(job->state))
        job->lease_until_ms = 0;
}

static int insert_make(const struct change *c, struct made *ret)
{
    OWN(memory_job_free) struct memory_job *j = calloc(1, sizeof *j);

    if (!j)
        return -ENOMEM;
    list_init(&j->attempts);
    j->job = job_dup(c->job);
    if (!j->job)
        return -ENOMEM;
    lease_forget(j->job);
    ret->insert = TAKE(j);
    return 0;
}

static int update_make(const struct change *c, struct made *ret)
{
    struct job changed = *c->job;

    changed.name = changed.queue = changed.key = changed.tags = changed.spec = NULL;
    lease_forget(&changed);
    ret->update = job_dup(&changed);
    return ret->update ? 0 : -ENOMEM;
}

static int attempt_make(const struct change *c, struct made *ret)
{
    OWN(memory_attempt_free) struct memory_attempt *a = calloc(1, sizeof *a);

    if (!a)
        return -ENOMEM;
    a->record = *c->attempt;
    a->record.result = str_dup(c->attempt->result);
    a->record.error = str_dup(c->attempt->error);
    if ((c->attempt->result && !a->record.result) || (c->attempt->error && !a->record.error))
        return -ENOMEM;
    ret->attempt = TAKE(a);
    return 0;
}

static int queue_make(const struct change *c, struct made *ret)
{
    OWN(memory_queue_free) struct memory_queue *q = calloc(1, sizeof *q);

    if (!q)
        return -ENOMEM;
    q->record = *c->queue;
    q->record.name = str_dup(c->queue->name);
    if (!q->record.name)
        return -ENOMEM;
    ret->queue = TAKE(q);
    return 0;
}

static int reply_make(const struct change *c, struct made *ret)
{
    OWN(memory_reply_free) struct memory_reply *p = calloc(1, sizeof *p);

    if (!p)
        return -ENOMEM;
    p->record = *c->reply;
    p->record.key = str_dup(c->reply->key);
    if (!p->record.key)
        return -ENOMEM;
    ret->reply = TAKE(p);
    return 0;
}

static int nothing_make(const struct change *c, struct made *ret)
{
    (void)c;
    (void)ret;
    return 0;
}

static void insert_apply(struct memory *m, const struct change *c, struct made *made)
{
    (void)c;
    if (made->insert->job->id > m->max_id)
        m->max_id = made->insert->job->id;
    made->insert = NULL;
}

static void update_apply(struct memory *m, const struct change *c, struct made *made)
{
    struct memory_job *j = memory_find(m, c->job->id);

    if (!j)
        return;

    struct job *old = j->job, *job = TAKE(made->update);

    job->kind = old->kind;
    job->retry_of = old->retry_of;
    job->created_at_ms = old->created_at_ms;
    job->name = TAKE(old->name);
    job->queue = TAKE(old->queue);
    job->key = TAKE(old->key);
    job->tags = TAKE(old->tags);
    job->spec = TAKE(old->spec);
    job_free(old);
    j->job = job;
}

static void attempt_inherit(struct attempt_record *later, const struct attempt_record *first)
{
    if (!later->attempt)
        later->attempt = first->attempt;
    if (!later->started_at_ms)
        later->started_at_ms = first->started_at_ms;
}

static void attempt_apply(struct memory *m, const struct change *c, struct made *made)
{
    struct memory_job *j = memory_find(m, c->attempt->job_id);
    struct list *before;

    if (!j)
        return;
    for (before = j->attempts.prev; before != &j->attempts; before = before->prev) {
        struct memory_attempt *a = container_of(before, struct memory_attempt, node);

        if (a->record.fence < c->attempt->fence)
            break;
        if (a->record.fence == c->attempt->fence) {
            attempt_inherit(&made->attempt->record, &a->record);
            before = before->prev;
            list_remove(&a->node);
            memory_attempt_free(a);
            break;
        }
    }
    list_insert(before, &made->attempt->node, before->next);
    made->attempt = NULL;
}

static void delete_apply(struct memory *m, const struct change *c, struct made *made)
{
    (void)made;
    memory_job_free(jobs_remove(m, c->id));
}

static void queue_apply(struct memory *m, const struct change *c, struct made *made)
{
    struct list *after;

    for (after = m->queues.next; after != &m->queues; after = after->next) {
        struct memory_queue *q = container_of(after, struct memory_queue, node);
        int order = strcmp(q->record.name, c->queue->name);

        if (order > 0)
            break;
        if (order == 0) {
            after = after->next;
            list_remove(&q->node);
            memory_queue_free(q);
            break;
        }
    }
    list_insert(after->prev, &made->queue->node, after);
    made->queue = NULL;
}

struct memory_reply *memory_reply_by_key(struct memory *m, const char *key)
{
    list_each (node, &m->replies) {
        struct memory_reply *p = container_of(node, struct memory_reply, node);

        if (strcmp(p->record.key, key) == 0)
            return p;
    }
    return NULL;
}

static void reply_apply(struct memory *m, const struct change *c, struct made *made)
{
    struct memory_reply *old = memory_reply_by_key(m, c->reply->key);

    if (old) {
        list_remove(&old->node);
        memory_reply_free(old);
    }
    list_push_back(&m->replies, &made->reply->node);
    made->reply = NULL;
}

static void prune_apply(struct memory *m, const struct change *c, struct made *made)
{
    uint32_t left = c->prune.limit;
    struct list *next;

    (void)made;
    for (struct list *node = m->replies.next; node != &m->replies && left > 0; node = next) {
        struct memory_reply *p = container_of(node, struct memory_reply, node);

        next = node->next;
        if (p->record.created_at_ms < c->prune.before_ms) {
            list_remove(node);
            memory_reply_free(p);
            left--;
        }
    }
}

/* In the order in which the kinds of a batch are applied. */
static const struct step {
    enum change_kind kind;
    int (*make)(const struct change *c, struct made *ret);
    void (*apply)(struct memory *m, const struct change *c, struct made *made);
} steps[] = {
    {CHANGE_JOB_INSERT, insert_make, insert_apply},
    {CHANGE_JOB_UPDATE, update_make, update_apply},
    {CHANGE_ATTEMPT, attempt_make, attempt_apply},
    {CHANGE_JOB_DELETE, nothing_make, delete_apply},
    {CHANGE_QUEUE_PUT, queue_make, queue_apply},
    {CHANGE_REPLY_PUT, reply_make, reply_apply},
    {CHANGE_REPLY_PRUNE, nothing_make, prune_apply},
};

#define STEPS (sizeof steps / sizeof *steps)

static void stage_free(struct made *stage, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        memory_job_free(stage[i].insert);
        job_free(stage[i].update);
        memory_attempt_free(stage[i].attempt);
        memory_queue_free(stage[i].queue);
        memory_reply_free(stage[i].reply);
    }
    free(stage);
}

static int stage_make(struct made *stage, const struct change *c, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        r = fault_at("store.step");
        for (size_t k = 0; k < STEPS && r == 0; k++) {
            if (steps[k].kind == c[i].kind)
                r = steps[k].make(&c[i], &stage[i]);
        }
    }
    return r;
}

/* Puts the new jobs into the table, or none of them. */
static int stage_insert(struct memory *m, struct made *stage, size_t count)
{
    int r = jobs_reserve(m, count);
    size_t done = 0;

    for (; r == 0 && done < count; done++) {
        if (stage[done].insert)
            r = jobs_insert(m, stage[done].insert);
        if (r < 0)
            break;
    }
    while (r < 0 && done-- > 0) {
        if (stage[done].insert)
            jobs_remove(m, stage[done].insert->job->id);
    }
    return r;
}

static void stage_apply(struct memory *m, struct made *stage, const struct change *c,
                        size_t count)
{
    for (size_t k = 0; k < STEPS; k++) {
        for (size_t i = 0; i < count; i++) {
            if (c[i].kind == steps[k].kind)
                steps[k].apply(m, &c[i], &stage[i]);
        }
    }
}

int memory_commit_locked(struct memory *m, const struct change *changes, size_t count,
                         bool sync)
{
    if (m->refuses)
        return -EIO;

    struct made *stage = calloc(count, sizeof *stage);
    int r = stage ? fault_at("store.begin") : -ENOMEM;

    if (r == 0)
        r = stage_make(stage, changes, count);
    if (r == 0) {
        r = fault_at("store.commit");
        m->refuses = r == -EIO;
    }
    if (r == 0)
        r = stage_insert(m, stage, count);
    if (r == 0) {
        stage_apply(m, stage, changes, count);
        m->commits++;
        m->changes += count;
        m->syncs += sync;
        r = fault_at("store.sync");
        m->refuses = r == -EIO;
    }
    stage_free(stage, stage ? count : 0);
    return r;
}
