/* core_internal.h: the core's body, for core.c, change.c, core_load.c and core_check.c. */
#ifndef JOBS_CORE_INTERNAL_H
#define JOBS_CORE_INTERNAL_H

#include "base/rand.h"
#include "jobs/core.h"
#include "jobs/queue.h"

struct core {
    struct core_limits limits;
    struct queues queues;
    struct order due, expiry;
    uint64_t counts[JOB_STATE_COUNT]; /* sums over the queues */
    uint32_t running, running_kind[KIND_COUNT];
    uint64_t epoch, next_id;
    struct rand rand;
    bool draining, recovering;
    bool more; /* the last tick or start ended at its bound */
};

static inline struct entry *core_entry(const struct core *core, uint32_t index)
{
    return entry_at(&core->queues.entries, index);
}

static inline struct extra *core_extra(const struct core *core, const struct entry *e)
{
    return entry_extra(&core->queues.entries, e);
}

static inline uint32_t core_fence(const struct core *core, const struct entry *e)
{
    return entry_fence(&core->queues.entries, e);
}

static inline struct queue *core_queue_of(const struct core *core, const struct entry *e)
{
    return queue_of_lane(&core->queues, queue_lane_of(&core->queues, e));
}

static inline bool core_is_leased(const struct core *core, const struct entry *e)
{
    return job_state_is_live(e->state) && core_extra(core, e)->lease_until_ms;
}

/* Begins an attempt: room is made, attempt and fence are counted, and change_begin was called
 * for it, so that change_end has to follow. CORE_OK, -ENOMEM, or CORE_NOT_FOUND: its time had
 * passed, and it has ended instead. */
int core_begin(struct core *core, struct core_update *u, uint32_t index, int64_t now_ms);

/* core_lease.c; room is reserved. Enums core_answer. */
int core_lease_renew(struct core *core, struct core_input *in, uint32_t index, int64_t now_ms,
                     struct core_update *u);
int core_lease_cancel(struct core *core, const struct core_input *in, uint32_t index,
                      int64_t now_ms, struct core_update *u);
void core_lease_over(struct core *core, uint32_t index, int64_t now_ms, struct core_update *u);

/* The end of an attempt, told or inferred; room is reserved. An enum core_answer. */
int core_attempt_finished(struct core *core, struct core_input *in, uint32_t index,
                          int64_t now_ms, struct core_update *u);
int core_attempt_lost(struct core *core, uint32_t index, int64_t now_ms, struct core_update *u);
/* The attempt of a leased job that was to stop is waited for no longer. */
void core_attempt_given_up(struct core *core, uint32_t index, int64_t now_ms,
                           struct core_update *u);

#endif
