/* engine_tell.c: what the core's actions are in the log and in the figures. */
#include "base/log.h"
#include "jobs/engine_internal.h"

static void log_ended(const struct core_action *a)
{
    enum log_level level = a->state == JOB_SUCCEEDED    ? LOG_DEBUG
                           : a->reason == REASON_POISON ? LOG_WARN
                                                        : LOG_INFO;

    LOG_AT(level, "job.ended", LOG_U64("id", a->id), LOG_STR("state", job_state_name(a->state)),
           LOG_STR("reason", job_reason_name(a->reason)), LOG_U64("attempt", a->attempt),
           LOG_U64("attempts_max", a->attempts_max), LOG_U64("crashes", a->crashes));
}

void engine_tell(const struct core_action *a, int64_t now_ms)
{
    const char *reason = job_reason_name(a->reason);

    switch (a->kind) {
    case ACTION_START:
        log_debug("job.started", LOG_U64("id", a->id),
                  LOG_STR("kind", job_kind_name(a->job_kind)), LOG_U64("attempt", a->attempt),
                  LOG_U64("fence", a->fence), LOG_I64("wait_ms", now_ms - a->at_ms));
        break;
    case ACTION_LEASED:
        log_debug("job.leased", LOG_U64("id", a->id), LOG_U64("attempt", a->attempt),
                  LOG_U64("fence", a->fence));
        break;
    case ACTION_STOP:
        log_info("job.stopping", LOG_U64("id", a->id), LOG_U64("fence", a->fence),
                 LOG_I64("grace_ms", a->grace_ms));
        break;
    case ACTION_ENDED:
        log_ended(a);
        break;
    case ACTION_RETRYING:
        log_info("job.retrying", LOG_U64("id", a->id), LOG_STR("reason", reason),
                 LOG_U64("attempt", a->attempt), LOG_U64("attempts_max", a->attempts_max),
                 LOG_I64("in_ms", a->at_ms - now_ms));
        break;
    case ACTION_RETURNED:
        log_info("job.returned", LOG_U64("id", a->id), LOG_STR("reason", reason),
                 LOG_U64("crashes", a->crashes));
        break;
    case ACTION_HELD:
        log_info("job.held", LOG_U64("id", a->id), LOG_STR("reason", reason));
        break;
    case ACTION_SUPERSEDED:
        log_warn("job.superseded", LOG_U64("id", a->id), LOG_U64("fence", a->fence));
        break;
    }
}

void engine_tell_count(struct engine_stats *s, const struct core_action *a)
{
    switch (a->kind) {
    case ACTION_START:
    case ACTION_LEASED:
        s->started[a->job_kind]++;
        break;
    case ACTION_ENDED:
        s->ended[a->reason]++;
        s->poisoned += a->reason == REASON_POISON;
        s->attempts_failed += a->state == JOB_FAILED && a->fence > 0;
        break;
    case ACTION_RETRYING:
    case ACTION_HELD:
        s->attempts_failed++;
        break;
    case ACTION_RETURNED:
        s->recovered += a->reason == REASON_CRASHED;
        break;
    case ACTION_SUPERSEDED:
        s->superseded++;
        break;
    case ACTION_STOP:
        break;
    }
}
