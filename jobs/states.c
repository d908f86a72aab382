#include "jobs/states.h"

#define TO(name) (1u << JOB_##name)

static const uint32_t moves[JOB_STATE_COUNT] = {
    [STATE_NEW] = TO(HELD) | TO(BLOCKED) | TO(SCHEDULED) | TO(QUEUED),
    [JOB_HELD] = TO(BLOCKED) | TO(SCHEDULED) | TO(QUEUED) | TO(RETRYING) | TO(CANCELLED) |
                 TO(EXPIRED) | TO(FAILED),
    [JOB_BLOCKED] = TO(HELD) | TO(SCHEDULED) | TO(QUEUED) | TO(CANCELLED) | TO(EXPIRED) |
                    TO(FAILED) | TO(SKIPPED),
    [JOB_SCHEDULED] = TO(HELD) | TO(QUEUED) | TO(CANCELLED) | TO(EXPIRED) | TO(FAILED),
    [JOB_QUEUED] = TO(HELD) | TO(RUNNING) | TO(CANCELLED) | TO(EXPIRED) | TO(FAILED),
    [JOB_RETRYING] = TO(HELD) | TO(QUEUED) | TO(CANCELLED) | TO(FAILED),
    [JOB_RUNNING] = TO(HELD) | TO(SCHEDULED) | TO(QUEUED) | TO(RETRYING) | TO(STOPPING) |
                    TO(SUCCEEDED) | TO(CANCELLED) | TO(FAILED),
    [JOB_STOPPING] = TO(SUCCEEDED) | TO(CANCELLED),
};

bool state_may(enum job_state from, enum job_state to)
{
    if (from >= JOB_STATE_COUNT || to >= JOB_STATE_COUNT)
        return false;
    return moves[from] >> to & 1;
}
