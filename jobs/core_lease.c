/* core_lease.c: jobs that workers elsewhere have. A lease is a live job with a moment: until
 * then its worker must be heard of, by a renewal or by the end of the attempt, with the fence
 * that it was given. What it says later finds another fence, or no live job, and is superseded.
 *
 * Three clocks, kept apart. The lease says whether the worker lives: when it runs out, that is
 * a crash and not a failure. The attempt's timeout is the job's own: when it runs out, that is
 * a failure, however alive the worker is. And once the job was told to stop, the lease is the
 * grace: renewals no longer prolong it.
 *
 * A new daemon renews the leases that it finds (commit_recover): its predecessor's absence is
 * not the workers' fault, and three long ones would make poison of a job that is well. */
#include "jobs/change.h"

#define ERROR_TIMEOUT "its worker took longer than the attempt may take"

static bool may_lease(const struct core *core)
{
    return !core->draining &&
           core->running_kind[KIND_WORKER] < core->limits.kind_max[KIND_WORKER];
}

/* The earlier of the attempt's own and the job's whole time. */
static int64_t timeout_at_ms(const struct extra *x, int64_t began_ms)
{
    int64_t at_ms = x->terms.timeout_ms ? began_ms + x->terms.timeout_ms : 0;

    if (x->retry_until_at_ms && (!at_ms || x->retry_until_at_ms < at_ms))
        return x->retry_until_at_ms;
    return at_ms;
}

/* ----- giving ----- */

bool core_lease_ready(const struct core *core)
{
    return core->queues.ready[KIND_WORKER] > 0 && may_lease(core);
}

bool core_lease_pick(struct core *core, const char *queue, struct core_update *u,
                     struct core_lease *ret, bool *ret_usual)
{
    struct queue *q = core_lease_ready(core) ? queue_find(&core->queues, queue) : NULL;
    uint32_t index = ENTRY_NONE;

    change_open(core, u);
    if (q && !list_is_empty(&q->ring))
        index = queue_pick_in(&core->queues, q, 1u << KIND_WORKER);
    if (index == ENTRY_NONE)
        return false;

    const struct entry *e = core_entry(core, index);

    *ret = (struct core_lease){.id = e->id};
    *ret_usual = e->flags & ENTRY_USUAL;
    if (e->touch)
        ret->submission = u->touches[e->touch - 1].submission;
    return true;
}

int core_lease(struct core *core, const struct lease_terms *terms, int64_t now_ms,
               struct core_update *u, struct core_lease *lease)
{
    uint32_t index = entry_find(&core->queues.entries, lease->id);
    struct entry *e = core_entry(core, index);
    int r = core_begin(core, u, index, now_ms);

    if (r != CORE_OK)
        return r;

    struct extra *x = core_extra(core, e);

    x->terms = *terms;
    x->lease_until_ms = now_ms + terms->lease_ms;
    x->timeout_at_ms = timeout_at_ms(x, now_ms);
    change_end(core, u, index, JOB_RUNNING, REASON_NONE);
    change_action(core, u, ACTION_LEASED, index);
    lease->fence = x->fence;
    lease->attempt = x->attempt;
    lease->crashes = x->crashes;
    lease->until_ms = x->lease_until_ms;
    lease->deadline_ms = x->timeout_at_ms;
    return CORE_OK;
}

uint64_t core_leased_next(const struct core *core, uint32_t *pos)
{
    for (uint32_t i; (i = entry_next(&core->queues.entries, pos)) != ENTRY_NONE;) {
        if (core_is_leased(core, core_entry(core, i)))
            return core_entry(core, i)->id;
    }
    return 0;
}

void core_lease_restore(struct core *core, uint64_t id, const struct lease_terms *terms)
{
    uint32_t index = entry_find(&core->queues.entries, id);
    struct extra *x = core_extra(core, core_entry(core, index));

    change_unlink(core, index);
    x->terms = *terms;
    x->timeout_at_ms = timeout_at_ms(x, x->started_at_ms);
    change_link(core, index);
}

/* ----- holding ----- */

int core_lease_renew(struct core *core, struct core_input *in, uint32_t index, int64_t now_ms,
                     struct core_update *u)
{
    const struct entry *e = core_entry(core, index);
    struct extra *x = core_extra(core, e);

    if (!core_is_leased(core, e) || x->fence != in->renew.fence)
        return CORE_STALE;
    if (e->state == JOB_RUNNING && x->lease_until_ms < now_ms + x->terms.lease_ms) {
        struct change_touch *t = change_begin(core, u, index);

        t->keeps_text = false; /* of a running job there is none */
        x->lease_until_ms = now_ms + x->terms.lease_ms;
        change_stay(core, u, index);
    }
    in->renew.ret_stop = e->state == JOB_STOPPING;
    in->renew.ret_until_ms = x->lease_until_ms;
    return CORE_OK;
}

/* ----- ending ----- */

/* The worker hears of it when it renews, and has the grace; a second cancel may shorten it.
 * Without a grace nobody is waited for. */
int core_lease_cancel(struct core *core, const struct core_input *in, uint32_t index,
                      int64_t now_ms, struct core_update *u)
{
    struct entry *e = core_entry(core, index);
    struct extra *x = core_extra(core, e);
    int64_t grace_ms = in->cancel.grace_ms < 0 ? x->terms.lease_ms : in->cancel.grace_ms;
    bool first = e->state == JOB_RUNNING;

    if (grace_ms == 0) {
        core_attempt_given_up(core, index, now_ms, u);
        e->flags |= ENTRY_CANCEL_REQUESTED; /* after it: it has written the journal */
        return CORE_OK;
    }
    change_begin(core, u, index);
    e->flags |= ENTRY_CANCEL_REQUESTED;
    if (first || now_ms + grace_ms < x->lease_until_ms)
        x->lease_until_ms = now_ms + grace_ms;
    if (first)
        change_end(core, u, index, JOB_STOPPING, REASON_CANCELLED_BY_USER);
    else
        change_stay(core, u, index);
    change_action(core, u, ACTION_STOP, index)->grace_ms = grace_ms;
    return CORE_STOPPING;
}

/* A lease, a timeout or a grace is over. Room is reserved. */
void core_lease_over(struct core *core, uint32_t index, int64_t now_ms, struct core_update *u)
{
    const struct entry *e = core_entry(core, index);
    const struct extra *x = core_extra(core, e);
    bool total = x->retry_until_at_ms && x->timeout_at_ms == x->retry_until_at_ms;
    struct outcome o = {.kind = OUTCOME_STOPPED,
                        .reason = total ? REASON_TIMEOUT_TOTAL : REASON_TIMEOUT_ATTEMPT,
                        .error = (char *)ERROR_TIMEOUT};
    struct core_input in = {.kind = INPUT_FINISHED,
                            .finished = {.id = e->id, .fence = x->fence, .outcome = &o}};

    if (e->state == JOB_STOPPING)
        core_attempt_given_up(core, index, now_ms, u);
    else if (x->lease_until_ms < now_ms)
        core_attempt_lost(core, index, now_ms, u);
    else
        core_attempt_finished(core, &in, index, now_ms, u);
}
