/* core_attempt.c: what the end of an attempt makes of its job. */
#include "jobs/change.h"
#include "jobs/retry.h"

#define ERROR_CRASHED "the daemon died while this attempt ran"
#define ERROR_POISON "the daemon died under this job too often"
#define ERROR_LEASE_LOST "its worker was not heard of before the lease ended"
#define ERROR_LEASE_POISON "too many workers were not heard of any more while they had this job"
#define ERROR_NOT_STOPPED "its worker did not stop in time"

/* What the end of an attempt makes of the job. */
struct verdict {
    enum job_state state, attempt_state;
    enum job_reason reason, attempt_reason;
    enum core_action_kind action;
    int64_t run_at_ms;
    bool give_back; /* the attempt does not count */
    bool crashed;
};

static struct verdict verdict_failed(enum job_reason reason, enum job_reason attempt_reason)
{
    return (struct verdict){.state = JOB_FAILED,
                            .attempt_state = JOB_FAILED,
                            .reason = reason,
                            .attempt_reason = attempt_reason,
                            .action = ACTION_ENDED};
}

static const struct retry_spec *retry_of(const struct core *core, const struct entry *e,
                                         const struct core_input *in)
{
    return in->finished.retry ? in->finished.retry : &core_extra(core, e)->terms.retry;
}

/* Only what is neither final by its nature nor out of tries or time waits again. */
static struct verdict judge_failure(struct core *core, const struct entry *e,
                                    const struct core_input *in, int64_t now_ms)
{
    const struct outcome *o = in->finished.outcome;
    const struct extra *x = core_extra(core, e);
    const struct retry_spec *retry = retry_of(core, e, in);
    struct verdict v = verdict_failed(o->reason, o->reason);
    int64_t delay_ms;

    if (o->kind == OUTCOME_FAILED_FINAL || o->reason == REASON_TIMEOUT_TOTAL ||
        x->attempt >= retry->max_attempts)
        return v;
    delay_ms = retry_delay_ms(retry, x->attempt, &core->rand);
    v.run_at_ms = now_ms + retry_after_ms(delay_ms, o->retry_after_ms);
    if (x->retry_until_at_ms && v.run_at_ms > x->retry_until_at_ms) {
        v.reason = REASON_TIMEOUT_TOTAL;
        return v;
    }
    v.state = JOB_RETRYING;
    v.action = ACTION_RETRYING;
    return v;
}

/* Not counted; a moment that has come already means: at once, after those that wait. */
static struct verdict verdict_snoozed(const struct outcome *o, int64_t now_ms)
{
    bool later = o->snooze_until_ms > now_ms;

    return (struct verdict){.state = later ? JOB_SCHEDULED : JOB_QUEUED,
                            .attempt_state = JOB_CANCELLED,
                            .reason = REASON_SNOOZED,
                            .attempt_reason = REASON_SNOOZED,
                            .action = ACTION_RETURNED,
                            .run_at_ms = later ? o->snooze_until_ms : now_ms,
                            .give_back = true};
}

static bool is_timeout(enum job_reason reason)
{
    return reason == REASON_TIMEOUT_ATTEMPT || reason == REASON_TIMEOUT_TOTAL ||
           reason == REASON_DEADLOCK;
}

static struct verdict judge(struct core *core, const struct entry *e,
                            const struct core_input *in, int64_t now_ms)
{
    const struct outcome *o = in->finished.outcome;

    if (o->kind == OUTCOME_SUCCEEDED) /* also after a cancel: effects are not denied */
        return (struct verdict){
            .state = JOB_SUCCEEDED, .attempt_state = JOB_SUCCEEDED, .action = ACTION_ENDED};
    if (e->state == JOB_STOPPING)
        return (struct verdict){.state = JOB_CANCELLED,
                                .attempt_state = JOB_CANCELLED,
                                .reason = REASON_CANCELLED_BY_USER,
                                .attempt_reason = REASON_CANCELLED_BY_USER,
                                .action = ACTION_ENDED};
    if (o->kind == OUTCOME_SNOOZED)
        return verdict_snoozed(o, now_ms);
    if (o->kind == OUTCOME_STOPPED && !is_timeout(o->reason))
        return (struct verdict){.state = JOB_QUEUED,
                                .attempt_state = JOB_CANCELLED,
                                .reason = REASON_SHUTDOWN,
                                .attempt_reason = REASON_SHUTDOWN,
                                .action = ACTION_RETURNED,
                                .give_back = true};
    if (o->kind == OUTCOME_HOLD)
        return (struct verdict){.state = JOB_HELD,
                                .attempt_state = JOB_FAILED,
                                .reason = o->reason,
                                .attempt_reason = o->reason,
                                .action = ACTION_HELD};
    return judge_failure(core, e, in, now_ms);
}

static void attempt_write(struct core *core, struct core_update *u, const struct entry *e,
                          const struct verdict *v, const struct change_touch *t, int64_t now_ms)
{
    const struct extra *x = core_extra(core, e);

    *change_attempt(u) = (struct attempt_record){.job_id = e->id,
                                                 .fence = x->fence,
                                                 .attempt = x->attempt,
                                                 .started_at_ms = x->started_at_ms,
                                                 .finished_at_ms = now_ms,
                                                 .state = v->attempt_state,
                                                 .reason = v->attempt_reason,
                                                 .result = (char *)t->result,
                                                 .error = (char *)t->error};
}

/* Ends the attempt of a live job as v says. The texts are the touch's before the call. */
static void attempt_end(struct core *core, struct core_update *u, uint32_t index,
                        const struct verdict *v, const char *result, const char *error,
                        int64_t now_ms)
{
    struct change_touch *t = change_begin(core, u, index);
    struct entry *e = core_entry(core, index);
    struct extra *x = core_extra(core, e);

    t->result = result;
    t->error = error;
    t->keeps_text = false;
    attempt_write(core, u, e, v, t, now_ms);
    if (v->give_back)
        x->attempt--;
    if (v->crashed && x->crashes < UINT16_MAX)
        x->crashes++;
    if (v->run_at_ms)
        e->run_at_ms = v->run_at_ms;
    x->lease_until_ms = 0;
    if (v->state == JOB_FAILED)
        e->flags |= ENTRY_DEAD_LETTER;
    if (job_state_is_final(v->state))
        t->finished_at_ms = now_ms;
    change_end(core, u, index, v->state, v->reason);
    change_action(core, u, v->action, index);
}

/* Whatever the late attempt did, it moves nothing (I6). */
static int step_stale(struct core *core, const struct core_input *in, uint32_t index,
                      struct core_update *u)
{
    change_action(core, u, ACTION_SUPERSEDED, index)->fence = in->finished.fence;
    return CORE_STALE;
}

int core_attempt_finished(struct core *core, struct core_input *in, uint32_t index,
                          int64_t now_ms, struct core_update *u)
{
    const struct entry *e = core_entry(core, index);

    if (!job_state_is_live((enum job_state)e->state) ||
        core_fence(core, e) != in->finished.fence)
        return step_stale(core, in, index, u);

    const struct outcome *o = in->finished.outcome;
    struct verdict v = judge(core, e, in, now_ms);

    attempt_end(core, u, index, &v, o->result, o->error, now_ms);
    u->actions[u->actions_len - 1].attempts_max = retry_of(core, e, in)->max_attempts;
    in->finished.ret_state = v.state;
    in->finished.ret_run_at_ms = v.run_at_ms;
    return CORE_OK;
}

/* Whether its worker died or only was slow to stop, nobody knows: no crash is counted. */
void core_attempt_given_up(struct core *core, uint32_t index, int64_t now_ms,
                           struct core_update *u)
{
    static const struct verdict v = {.state = JOB_CANCELLED,
                                     .attempt_state = JOB_CANCELLED,
                                     .reason = REASON_CANCELLED_BY_USER,
                                     .attempt_reason = REASON_CANCELLED_BY_USER,
                                     .action = ACTION_ENDED};

    attempt_end(core, u, index, &v, NULL, ERROR_NOT_STOPPED, now_ms);
}

/* A crash gives the attempt back, but is counted: a job that kills its daemon, or its workers,
 * must not do so for ever. */
int core_attempt_lost(struct core *core, uint32_t index, int64_t now_ms, struct core_update *u)
{
    struct entry *e = core_entry(core, index);
    bool leased = core_is_leased(core, e);
    enum job_reason lost = leased ? REASON_LEASE_LOST : REASON_CRASHED;
    const char *error = leased ? ERROR_LEASE_LOST : ERROR_CRASHED;
    struct verdict v = {.state = JOB_QUEUED,
                        .attempt_state = JOB_FAILED,
                        .reason = lost,
                        .attempt_reason = lost,
                        .action = ACTION_RETURNED,
                        .give_back = true,
                        .crashed = true};

    if (!job_state_is_live((enum job_state)e->state))
        return CORE_CONFLICT;
    if (e->state == JOB_STOPPING) {
        v.state = JOB_CANCELLED;
        v.reason = REASON_CANCELLED_BY_USER;
    } else if (core_extra(core, e)->crashes + 1u >= core->limits.crashes_max) {
        v.state = JOB_FAILED;
        v.reason = REASON_POISON;
    }
    if (v.state != JOB_QUEUED)
        v.action = ACTION_ENDED;
    attempt_end(core, u, index, &v, NULL, error, now_ms);
    if (v.reason == REASON_POISON)
        u->touches[e->touch - 1].error = leased ? ERROR_LEASE_POISON : ERROR_POISON;
    return CORE_OK;
}
