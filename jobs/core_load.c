/* core_load.c: the core's beginning and end, and filling it from the store. */
#include "jobs/change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int queue_get(struct core *core, const char *name, struct queue **ret)
{
    struct queue *q = queue_find(&core->queues, name);

    if (q) {
        *ret = q;
        return 0;
    }
    return queue_add(&core->queues, name, ret);
}

/* Rows come from a file that others may have written to: what cannot be is refused. */
static bool row_is_possible(const struct core *core, const struct job *row)
{
    return row->id > 0 && row->kind > KIND_NONE && row->kind < KIND_COUNT && row->queue &&
           (job_state_is_waiting(row->state) || job_state_is_live(row->state)) &&
           row->reason < REASON_COUNT && row->priority >= -100 && row->priority <= 100 &&
           (!row->key || (row->key[0] && strlen(row->key) <= LANE_KEY_MAX)) &&
           entry_find(&core->queues.entries, row->id) == ENTRY_NONE;
}

static int reserve(struct core *core, uint32_t lane)
{
    if (lane_reserve(&core->queues, lane) < 0 ||
        order_reserve(&core->due, core->due.len + 1) < 0)
        return -ENOMEM;
    return order_reserve(&core->expiry, core->expiry.len + 1);
}

static int extra_fill(struct core *core, struct entry *e, const struct job *row)
{
    struct extra *x;
    int r;

    if (!row->fence && !row->started_at_ms && !row->start_by_at_ms && !row->retry_until_at_ms &&
        !job_state_is_live(row->state))
        return 0;
    r = entry_extend(&core->queues.entries, e);
    if (r < 0)
        return r;
    x = core_extra(core, e);
    x->attempt = row->attempt;
    x->fence = row->fence;
    x->crashes = row->crashes < UINT16_MAX ? (uint16_t)row->crashes : UINT16_MAX;
    x->started_at_ms = row->started_at_ms;
    x->start_by_at_ms = row->start_by_at_ms;
    x->retry_until_at_ms = row->retry_until_at_ms;
    if (row->kind == KIND_WORKER && job_state_is_live(row->state))
        x->lease_until_ms = row->lease_until_ms;
    return 0;
}

static int entry_make(struct core *core, const struct job *row, uint32_t *ret)
{
    uint32_t index;
    int r = entry_add(&core->queues.entries, row->id, &index);

    if (r < 0)
        return r;
    r = extra_fill(core, core_entry(core, index), row);
    if (r < 0) {
        entry_remove(&core->queues.entries, index);
        return r;
    }
    *ret = index;
    return 0;
}

static void entry_fill(struct entry *e, uint32_t lane, const struct job *row)
{
    e->lane = lane;
    e->run_at_ms = row->run_at_ms;
    e->priority = (int8_t)row->priority;
    e->state = (uint8_t)row->state;
    e->reason = (uint8_t)row->reason;
    e->flags = (uint8_t)((row->cancel_requested ? ENTRY_CANCEL_REQUESTED : 0) |
                         (row->dead_letter ? ENTRY_DEAD_LETTER : 0));
}

int core_new(const struct core_limits *limits, uint64_t epoch, uint64_t seed, struct core **ret)
{
    struct core *core = calloc(1, sizeof *core);

    if (!core)
        return -ENOMEM;
    queue_init(&core->queues);
    core->due.kind = ORDER_DUE;
    core->expiry.kind = ORDER_EXPIRY;
    core->limits = *limits;
    core->epoch = epoch;
    core->next_id = 1;
    rand_seed(&core->rand, seed);
    *ret = core;
    return 0;
}

void core_free(struct core *core)
{
    if (!core)
        return;
    queue_deinit(&core->queues);
    order_deinit(&core->due);
    order_deinit(&core->expiry);
    free(core);
}

int core_load_queue(struct core *core, const struct queue_record *record)
{
    struct queue *q;
    int r = queue_get(core, record->name, &q);

    if (r < 0)
        return r;
    q->record.concurrency = record->concurrency;
    q->record.key_concurrency = record->key_concurrency;
    q->record.paused = record->paused;
    q->record.configured = record->configured;
    for (enum job_state s = JOB_SUCCEEDED; s < JOB_STATE_COUNT; s++) {
        core->counts[s] += record->finished[s] - q->record.finished[s];
        q->record.finished[s] = record->finished[s];
    }
    queue_refresh_keys(&core->queues, q);
    return 0;
}

int core_load(struct core *core, const struct job *row)
{
    struct queue *q;
    uint32_t index = ENTRY_NONE, lane = 0;
    int r;

    if (!row_is_possible(core, row))
        return -EINVAL;
    r = queue_get(core, row->queue, &q);
    if (r == 0)
        r = lane_get(&core->queues, q, row->kind, row->key, &lane);
    if (r == 0)
        r = reserve(core, lane);
    if (r == 0)
        r = entry_make(core, row, &index);
    if (r < 0) {
        if (lane)
            lane_tidy(&core->queues, lane);
        return r;
    }
    entry_fill(core_entry(core, index), lane, row);
    lane_join(&core->queues, lane);
    change_link(core, index);
    return 0;
}

int core_load_end(struct core *core, uint64_t max_id)
{
    size_t pos = 0;

    core->next_id = max_id + 1;
    for (struct queue *q; (q = map_next(&core->queues.by_name, &pos));) {
        int r = queue_sort_ages(&core->queues, q);

        if (r < 0)
            return r;
    }
    return 0;
}

void core_set_limits(struct core *core, const struct core_limits *limits)
{
    core->limits = *limits;
    core->more = true;
}

void core_recovering(struct core *core, bool recovering)
{
    core_drain(core, recovering);
    core->recovering = recovering;
}

void core_drain(struct core *core, bool draining)
{
    core->draining = draining;
    core->more = true;
}
