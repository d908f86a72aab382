#include "jobs/change.h"

#include "base/err.h"
#include "jobs/states.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM(u, items, count)                                                                  \
    change_room(&(u)->items, (u)->items##_len, &(u)->items##_cap, (count), sizeof *(u)->items)

/* ----- indexes by state (I1, I2) ----- */

static uint64_t *queue_count(struct queue *q, enum job_state state)
{
    return job_state_is_final(state) ? &q->record.finished[state] : &q->counts[state];
}

static void live_add(struct core *core, const struct entry *e, int n)
{
    unsigned kind = queue_lane_of(&core->queues, e)->kind;

    if (kind != KIND_WORKER)
        core->running += (uint32_t)n;
    core->running_kind[kind] += (uint32_t)n;
    queue_running(&core->queues, e->lane, n);
}

/* again: between the neighbours that the entry names. */
static void link_entry(struct core *core, uint32_t index, bool again)
{
    struct entry *e = core_entry(core, index);
    const struct extra *x = core_extra(core, e);

    core->counts[e->state]++;
    (*queue_count(core_queue_of(core, e), e->state))++;
    if (e->state == JOB_QUEUED && again)
        queue_ready_again(&core->queues, index);
    else if (e->state == JOB_QUEUED)
        queue_ready(&core->queues, index);
    else if (e->state == JOB_SCHEDULED || e->state == JOB_RETRYING)
        order_push(&core->due, &core->queues.entries, index);
    else if (job_state_is_live(e->state))
        live_add(core, e, 1);
    if (!job_state_is_final(e->state) && entry_expiry_ms(e, x))
        order_push(&core->expiry, &core->queues.entries, index);
}

/* ----- journal ----- */

static void touch_add(struct core_update *u, struct entry *e, uint32_t index)
{
    u->touches[u->touches_len++] = (struct change_touch){.index = index, .keeps_text = true};
    e->touch = (uint32_t)u->touches_len;
}

static void queue_mark(struct core_update *u, struct queue *q)
{
    if (q->dirty)
        return;
    q->dirty = true;
    u->queues[u->queues_len++] = q;
}

static void undo_job(struct core *core, const struct change_op *op)
{
    struct entry *e = core_entry(core, op->index);
    uint32_t link = e->link; /* others have come and gone in its bucket */

    change_unlink(core, op->index);
    if (op->job.entry.extra == ENTRY_NONE)
        entry_extra_drop(&core->queues.entries, e);
    *e = op->job.entry;
    e->link = link;
    if (e->extra != ENTRY_NONE) {
        *core_extra(core, e) = op->job.extra;
        core_extra(core, e)->at = ORDER_NONE;
    }
    link_entry(core, op->index, true);
}

static void undo_job_new(struct core *core, const struct change_op *op)
{
    change_unlink(core, op->index);
    lane_leave(&core->queues, core_entry(core, op->index)->lane, false);
    entry_remove(&core->queues.entries, op->index);
}

static void undo_queue(struct core *core, const struct change_op *op)
{
    struct queue *q = op->queue.queue;

    bool keys = q->record.key_concurrency != op->queue.key_concurrency;

    q->record.concurrency = op->queue.concurrency;
    q->record.key_concurrency = op->queue.key_concurrency;
    q->record.paused = op->queue.paused;
    q->record.configured = op->queue.configured;
    if (keys)
        queue_refresh_keys(&core->queues, q);
    else
        queue_refresh(&core->queues, q);
}

static void undo_op(struct core *core, const struct change_op *op)
{
    switch (op->kind) {
    case OP_JOB:
        undo_job(core, op);
        break;
    case OP_JOB_NEW:
        undo_job_new(core, op);
        break;
    case OP_QUEUE:
        undo_queue(core, op);
        break;
    case OP_QUEUE_NEW:
        break; /* goes last */
    }
}

/* ----- public ----- */

int change_room(void *items, size_t len, size_t *cap, size_t count, size_t item_bytes)
{
    void **array = items;

    if (len + count <= *cap)
        return 0;

    size_t more = *cap ? *cap : 16;

    while (more < len + count)
        more *= 2;

    void *grown = reallocarray(*array, more, item_bytes);

    if (!grown)
        return -ENOMEM;
    *array = grown;
    *cap = more;
    return 0;
}

void change_open(struct core *core, struct core_update *u)
{
    if (u->open)
        return;
    u->ops_len = u->touches_len = u->queues_len = u->attempts_len = 0;
    u->actions_len = u->changes_len = 0;
    u->next_id = core->next_id;
    u->open = true;
    u->sync = false;
}

int change_reserve(struct core *core, struct core_update *u, uint32_t lane)
{
    if (ROOM(u, ops, 1) < 0 || ROOM(u, touches, 1) < 0 || ROOM(u, queues, 1) < 0 ||
        ROOM(u, attempts, 1) < 0 || ROOM(u, actions, 1) < 0)
        return -ENOMEM;
    if (lane_reserve(&core->queues, lane) < 0 ||
        order_reserve(&core->due, core->due.len + 1) < 0)
        return -ENOMEM;
    return order_reserve(&core->expiry, core->expiry.len + 1);
}

struct change_touch *change_begin(struct core *core, struct core_update *u, uint32_t index)
{
    struct entry *e = core_entry(core, index);
    const struct extra *x = core_extra(core, e);
    struct change_op *op = &u->ops[u->ops_len++];

    *op = (struct change_op){.kind = OP_JOB, .index = index, .job.entry = *e};
    if (x)
        op->job.extra = *x;
    change_unlink(core, index);
    if (!e->touch)
        touch_add(u, e, index);
    return &u->touches[e->touch - 1];
}

void change_end(struct core *core, struct core_update *u, uint32_t index, enum job_state to,
                enum job_reason reason)
{
    struct entry *e = core_entry(core, index);

    assert_always(state_may((enum job_state)e->state, to)); /* I5 */
    e->state = (uint8_t)to;
    e->reason = (uint8_t)reason;
    if (job_state_is_final(to))
        queue_mark(u, core_queue_of(core, e));
    change_stay(core, u, index);
}

void change_stay(struct core *core, struct core_update *u, uint32_t index)
{
    link_entry(core, index, false);
    if (!(core_entry(core, index)->flags & ENTRY_RELAXED))
        u->sync = true;
}

int change_new(struct core *core, struct core_update *u, uint32_t lane, uint64_t id,
               uint32_t *ret_index)
{
    uint32_t index;
    int r = entry_add(&core->queues.entries, id, &index);

    if (r < 0)
        return r;

    struct entry *e = core_entry(core, index);

    e->lane = lane;
    lane_join(&core->queues, lane);
    u->ops[u->ops_len++] = (struct change_op){.kind = OP_JOB_NEW, .index = index};
    touch_add(u, e, index);
    *ret_index = index;
    return 0;
}

int change_queue(struct core *core, struct core_update *u, const char *name, struct queue **ret)
{
    struct queue *q = queue_find(&core->queues, name);
    int r;

    if (!q) {
        if (ROOM(u, ops, 1) < 0 || ROOM(u, queues, 1) < 0)
            return -ENOMEM;
        r = queue_add(&core->queues, name, &q);
        if (r < 0)
            return r;
        u->ops[u->ops_len++] = (struct change_op){.kind = OP_QUEUE_NEW, .queue.queue = q};
        queue_mark(u, q);
    }
    *ret = q;
    return 0;
}

int change_queue_begin(struct core *core, struct core_update *u, struct queue *q)
{
    (void)core;
    if (ROOM(u, ops, 1) < 0 || ROOM(u, queues, 1) < 0)
        return -ENOMEM;
    u->ops[u->ops_len++] =
        (struct change_op){.kind = OP_QUEUE,
                           .queue = {.queue = q,
                                     .concurrency = q->record.concurrency,
                                     .key_concurrency = q->record.key_concurrency,
                                     .paused = q->record.paused,
                                     .configured = q->record.configured}};
    queue_mark(u, q);
    u->sync = true;
    return 0;
}

struct core_action *change_action(struct core *core, struct core_update *u,
                                  enum core_action_kind kind, uint32_t index)
{
    const struct entry *e = core_entry(core, index);
    const struct extra *x = core_extra(core, e);
    struct core_action *action = &u->actions[u->actions_len++];

    *action = (struct core_action){.kind = kind,
                                   .job_kind = queue_lane_of(&core->queues, e)->kind,
                                   .state = e->state,
                                   .reason = e->reason,
                                   .id = e->id,
                                   .fence = x ? x->fence : 0,
                                   .attempt = x ? x->attempt : 0,
                                   .crashes = x ? x->crashes : 0,
                                   .at_ms = e->run_at_ms};
    return action;
}

struct attempt_record *change_attempt(struct core_update *u)
{
    struct attempt_record *record = &u->attempts[u->attempts_len++];

    *record = (struct attempt_record){.job_id = 0};
    return record;
}

void change_link(struct core *core, uint32_t index)
{
    link_entry(core, index, false);
}

void change_unlink(struct core *core, uint32_t index)
{
    struct entry *e = core_entry(core, index);
    const struct extra *x = core_extra(core, e);

    core->counts[e->state]--;
    (*queue_count(core_queue_of(core, e), e->state))--;
    if (e->state == JOB_QUEUED)
        queue_unready(&core->queues, index);
    else if (e->state == JOB_SCHEDULED || e->state == JOB_RETRYING)
        order_remove(&core->due, &core->queues.entries, index);
    else if (job_state_is_live(e->state))
        live_add(core, e, -1);
    if (x && x->at != ORDER_NONE)
        order_remove(&core->expiry, &core->queues.entries, index);
}

struct change_mark change_mark(const struct core *core, const struct core_update *u)
{
    return (struct change_mark){.ops = u->ops_len,
                                .touches = u->touches_len,
                                .queues = u->queues_len,
                                .attempts = u->attempts_len,
                                .actions = u->actions_len,
                                .next_id = core->next_id};
}

void change_undo(struct core *core, struct core_update *u, const struct change_mark *mark)
{
    for (size_t i = u->queues_len; i-- > mark->queues;)
        u->queues[i]->dirty = false;
    for (size_t i = u->ops_len; i-- > mark->ops;)
        undo_op(core, &u->ops[i]);
    for (size_t i = u->ops_len; i-- > mark->ops;) {
        if (u->ops[i].kind == OP_QUEUE_NEW)
            queue_remove(&core->queues, u->ops[i].queue.queue);
    }
    u->ops_len = mark->ops;
    u->touches_len = mark->touches;
    u->queues_len = mark->queues;
    u->attempts_len = mark->attempts;
    u->actions_len = mark->actions;
    core->next_id = mark->next_id;
}
