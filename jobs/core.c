#include "jobs/core.h"

#include "base/err.h"
#include "jobs/change.h"

#include <errno.h>

/* ----- submit ----- */

static enum job_state state_new(const struct core_submission *s, int64_t now_ms)
{
    if (s->hold)
        return JOB_HELD;
    return s->job->run_at_ms > now_ms ? JOB_SCHEDULED : JOB_QUEUED;
}

static int bounds_set(struct core *core, struct entry *e, const struct job *job)
{
    int r;

    if (!job->start_by_at_ms && !job->retry_until_at_ms)
        return 0;
    r = entry_extend(&core->queues.entries, e);
    if (r < 0)
        return r;
    core_extra(core, e)->start_by_at_ms = job->start_by_at_ms;
    core_extra(core, e)->retry_until_at_ms = job->retry_until_at_ms;
    return 0;
}

/* Failures are undone by the caller, so the job is linked in every case: an undo unlinks. */
static int submit_one(struct core *core, struct core_update *u, struct core_submission *s,
                      int64_t now_ms)
{
    struct queue *q;
    uint32_t index, lane = 0;
    int r = change_queue(core, u, s->job->queue, &q);

    if (r == 0)
        r = lane_get(&core->queues, q, s->job->kind, s->job->key, &lane);
    if (r == 0)
        r = change_reserve(core, u, lane);
    if (r == 0)
        r = change_new(core, u, lane, core->next_id, &index);
    if (r < 0 && lane)
        lane_tidy(&core->queues, lane);
    if (r < 0)
        return r;

    struct entry *e = core_entry(core, index);
    enum job_state state = state_new(s, now_ms);

    core->next_id++;
    e->run_at_ms = state == JOB_QUEUED || !s->job->run_at_ms ? now_ms : s->job->run_at_ms;
    e->priority = (int8_t)s->job->priority;
    e->flags = (uint8_t)((s->relaxed ? ENTRY_RELAXED : 0) | (s->usual ? ENTRY_USUAL : 0));
    u->touches[e->touch - 1].insert = true;
    u->touches[e->touch - 1].keeps_text = false;
    u->touches[e->touch - 1].submission = s;
    r = bounds_set(core, e, s->job);
    change_end(core, u, index, state, REASON_NONE);
    return r;
}

static int step_submit(struct core *core, struct core_input *in, int64_t now_ms,
                       struct core_update *u)
{
    uint64_t max = core->limits.jobs_waiting_max;
    struct change_mark mark = change_mark(core, u);

    if (max && core_waiting(core) + in->submit.count > max)
        return CORE_FULL;
    in->submit.ret_first_id = core->next_id;
    for (size_t i = 0; i < in->submit.count; i++) {
        int r = submit_one(core, u, &in->submit.items[i], now_ms);

        if (r < 0) {
            change_undo(core, u, &mark);
            return r == -ENOSPC ? CORE_FULL : r;
        }
    }
    return CORE_OK;
}

/* ----- commands ----- */

static int cancel_live(struct core *core, const struct core_input *in, uint32_t index,
                       struct core_update *u)
{
    struct entry *e = core_entry(core, index);

    if (e->state == JOB_RUNNING) {
        change_begin(core, u, index);
        e->flags |= ENTRY_CANCEL_REQUESTED;
        change_end(core, u, index, JOB_STOPPING, REASON_CANCELLED_BY_USER);
    }
    change_action(core, u, ACTION_STOP, index)->grace_ms = in->cancel.grace_ms;
    return CORE_STOPPING;
}

/* A waiting job ends without having run (again). */
static void end_waiting(struct core *core, struct core_update *u, uint32_t index,
                        enum job_state state, enum job_reason reason, int64_t now_ms)
{
    struct change_touch *t = change_begin(core, u, index);
    struct entry *e = core_entry(core, index);

    t->finished_at_ms = now_ms;
    if (state == JOB_CANCELLED)
        e->flags |= ENTRY_CANCEL_REQUESTED;
    if (state == JOB_FAILED)
        e->flags |= ENTRY_DEAD_LETTER;
    change_end(core, u, index, state, reason);
    change_action(core, u, ACTION_ENDED, index);
}

static int step_cancel(struct core *core, struct core_input *in, uint32_t index, int64_t now_ms,
                       struct core_update *u)
{
    enum job_state state = core_entry(core, index)->state;

    if (core_is_leased(core, core_entry(core, index)))
        return core_lease_cancel(core, in, index, now_ms, u);
    if (job_state_is_live(state))
        return cancel_live(core, in, index, u);
    end_waiting(core, u, index, JOB_CANCELLED, REASON_CANCELLED_BY_USER, now_ms);
    return CORE_OK;
}

static void move_waiting(struct core *core, struct core_update *u, uint32_t index,
                         enum job_state state, int64_t run_at_ms)
{
    change_begin(core, u, index);
    core_entry(core, index)->run_at_ms = run_at_ms;
    change_end(core, u, index, state, (enum job_reason)core_entry(core, index)->reason);
}

static int step_hold(struct core *core, uint32_t index, struct core_update *u)
{
    const struct entry *e = core_entry(core, index);

    if (job_state_is_live((enum job_state)e->state))
        return CORE_CONFLICT;
    if (e->state != JOB_HELD)
        move_waiting(core, u, index, JOB_HELD, e->run_at_ms);
    return CORE_OK;
}

static int step_release(struct core *core, uint32_t index, int64_t now_ms,
                        struct core_update *u)
{
    const struct entry *e = core_entry(core, index);

    if (job_state_is_live((enum job_state)e->state))
        return CORE_CONFLICT;
    if (e->state != JOB_HELD)
        return CORE_OK;
    if (e->run_at_ms <= now_ms)
        move_waiting(core, u, index, JOB_QUEUED, now_ms);
    else
        move_waiting(core, u, index, core_fence(core, e) ? JOB_RETRYING : JOB_SCHEDULED,
                     e->run_at_ms);
    return CORE_OK;
}

static int step_retry_now(struct core *core, uint32_t index, int64_t now_ms,
                          struct core_update *u)
{
    if (core_entry(core, index)->state != JOB_RETRYING)
        return CORE_CONFLICT;
    move_waiting(core, u, index, JOB_QUEUED, now_ms);
    return CORE_OK;
}

static int step_queue(struct core *core, const struct core_input *in, struct core_update *u)
{
    struct change_mark mark = change_mark(core, u);
    struct queue *q;
    int r = change_queue(core, u, in->queue.name, &q);

    if (r == 0)
        r = change_queue_begin(core, u, q);
    if (r < 0) {
        change_undo(core, u, &mark);
        return r == -ENOSPC ? CORE_FULL : r;
    }
    q->record.configured = true;
    if (in->queue.concurrency >= 0)
        q->record.concurrency = (uint32_t)in->queue.concurrency;
    if (in->queue.paused >= 0)
        q->record.paused = in->queue.paused;
    if (in->queue.key_concurrency >= 0)
        q->record.key_concurrency = (uint32_t)in->queue.key_concurrency;
    if (in->queue.key_concurrency >= 0)
        queue_refresh_keys(&core->queues, q);
    else
        queue_refresh(&core->queues, q);
    return CORE_OK;
}

static int step_job(struct core *core, struct core_input *in, int64_t now_ms,
                    struct core_update *u, uint32_t index)
{
    switch (in->kind) {
    case INPUT_FINISHED:
        return core_attempt_finished(core, in, index, now_ms, u);
    case INPUT_LOST:
        return core_attempt_lost(core, index, now_ms, u);
    case INPUT_CANCEL:
        return step_cancel(core, in, index, now_ms, u);
    case INPUT_HOLD:
        return step_hold(core, index, u);
    case INPUT_RELEASE:
        return step_release(core, index, now_ms, u);
    case INPUT_RENEW:
        return core_lease_renew(core, in, index, now_ms, u);
    default:
        return step_retry_now(core, index, now_ms, u);
    }
}

static uint64_t input_id(const struct core_input *in)
{
    if (in->kind == INPUT_FINISHED)
        return in->finished.id;
    if (in->kind == INPUT_RENEW)
        return in->renew.id;
    return in->kind == INPUT_CANCEL ? in->cancel.id : in->id;
}

/* ----- time ----- */

/* A passed start_by of a job that never began is expiry; a passed retry_for is failure. */
static void expire(struct core *core, struct core_update *u, uint32_t index, int64_t now_ms)
{
    const struct entry *e = core_entry(core, index);
    const struct extra *x = core_extra(core, e);

    if (core_is_leased(core, e))
        core_lease_over(core, index, now_ms, u);
    else if (x->fence == 0 && x->start_by_at_ms && now_ms > x->start_by_at_ms)
        end_waiting(core, u, index, JOB_EXPIRED, REASON_EXPIRED_IN_QUEUE, now_ms);
    else
        end_waiting(core, u, index, JOB_FAILED, REASON_TIMEOUT_TOTAL, now_ms);
}

static bool has_expired(const struct core *core, uint32_t index, int64_t now_ms)
{
    const struct entry *e = core_entry(core, index);
    int64_t at_ms = entry_expiry_ms(e, core_extra(core, e));

    return at_ms && at_ms < now_ms;
}

static uint32_t expired_peek(const struct core *core, int64_t now_ms)
{
    uint32_t index = core->recovering ? ENTRY_NONE : order_peek(&core->expiry);

    return index != ENTRY_NONE && has_expired(core, index, now_ms) ? index : ENTRY_NONE;
}

static uint32_t due_peek(const struct core *core, int64_t now_ms)
{
    uint32_t index = order_peek(&core->due);

    if (index == ENTRY_NONE || core_entry(core, index)->run_at_ms > now_ms)
        return ENTRY_NONE;
    return index;
}

/* ----- starts ----- */

/* Jobs for workers wait until they are asked for: core_lease. */
static uint32_t open_kinds(const struct core *core)
{
    uint32_t kinds = 0;

    if (core->draining || core->running >= core->limits.running_max)
        return 0;
    for (unsigned kind = 1; kind < KIND_COUNT; kind++) {
        if (kind != KIND_WORKER && core->running_kind[kind] < core->limits.kind_max[kind])
            kinds |= 1u << kind;
    }
    return kinds;
}

/* A job may have come back to its queue in this very round, too late: after a tick there can
 * still be ready jobs whose time has passed. */
int core_begin(struct core *core, struct core_update *u, uint32_t index, int64_t now_ms)
{
    struct entry *e = core_entry(core, index);

    if (change_reserve(core, u, e->lane) < 0 || entry_extend(&core->queues.entries, e) < 0)
        return -ENOMEM;
    if (has_expired(core, index, now_ms)) {
        expire(core, u, index, now_ms);
        return CORE_NOT_FOUND;
    }

    struct change_touch *t = change_begin(core, u, index);
    struct extra *x = core_extra(core, e);

    x->attempt++;
    x->fence++;
    x->started_at_ms = now_ms;
    t->keeps_text = false;
    t->result = t->error = NULL;
    return CORE_OK;
}

static int start_one(struct core *core, struct core_update *u, uint32_t index, int64_t now_ms)
{
    int r = core_begin(core, u, index, now_ms);

    if (r != CORE_OK)
        return r;
    change_end(core, u, index, JOB_RUNNING, REASON_NONE);
    change_action(core, u, ACTION_START, index)->submission =
        u->touches[core_entry(core, index)->touch - 1].submission;
    return CORE_OK;
}

/* ----- public ----- */

int core_step(struct core *core, struct core_input *in, int64_t now_ms, struct core_update *u)
{
    change_open(core, u);
    if (in->kind == INPUT_SUBMIT)
        return step_submit(core, in, now_ms, u);
    if (in->kind == INPUT_QUEUE_SET)
        return step_queue(core, in, u);

    uint32_t index = entry_find(&core->queues.entries, input_id(in));

    /* One that ended in this very update is no longer ours either. */
    if (index == ENTRY_NONE ||
        (job_state_is_final(core_entry(core, index)->state) && in->kind != INPUT_FINISHED))
        return CORE_NOT_FOUND;
    if (change_reserve(core, u, core_entry(core, index)->lane) < 0)
        return -ENOMEM;
    return step_job(core, in, now_ms, u, index);
}

int core_tick(struct core *core, int64_t now_ms, struct core_update *u)
{
    change_open(core, u);
    for (unsigned n = 0; n < CORE_TICK_MAX; n++) {
        uint32_t expired = expired_peek(core, now_ms), index = expired;

        if (index == ENTRY_NONE)
            index = due_peek(core, now_ms);
        if (index == ENTRY_NONE)
            return 0;
        if (change_reserve(core, u, core_entry(core, index)->lane) < 0)
            return -ENOMEM;
        if (expired != ENTRY_NONE)
            expire(core, u, index, now_ms);
        else
            move_waiting(core, u, index, JOB_QUEUED, core_entry(core, index)->run_at_ms);
    }
    return 0;
}

int core_start(struct core *core, int64_t now_ms, struct core_update *u)
{
    change_open(core, u);
    core->more = false;
    for (unsigned n = 0; n < CORE_START_MAX; n++) {
        uint32_t index = queue_pick(&core->queues, open_kinds(core));

        if (index == ENTRY_NONE)
            return 0;
        if (start_one(core, u, index, now_ms) < 0)
            return -ENOMEM;
    }
    core->more = true;
    return 0;
}

int64_t core_next_at_ms(struct core *core, int64_t now_ms)
{
    uint32_t due = order_peek(&core->due), expiry = order_peek(&core->expiry);
    int64_t at_ms = 0, expiry_at_ms;

    if (core->more)
        return now_ms;
    if (due != ENTRY_NONE)
        at_ms = core_entry(core, due)->run_at_ms;
    if (expiry != ENTRY_NONE) {
        const struct entry *e = core_entry(core, expiry);

        expiry_at_ms = entry_expiry_ms(e, core_extra(core, e)) + 1;
        if (!at_ms || expiry_at_ms < at_ms)
            at_ms = expiry_at_ms;
    }
    return at_ms;
}
