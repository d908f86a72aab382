/* play.h: a core that is played. Each round's actions become sentences of a trace, so that a
 * test shows its story. */
#ifndef TESTS_LIB_PLAY_H
#define TESTS_LIB_PLAY_H

#include "base/buf.h"
#include "jobs/change.h"
#include "jobs/states.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define START_MS 1000000

/* Times in the trace count from START_MS. */
struct play {
    struct core *core;
    struct core_update *update;
    int64_t now_ms;
    struct buf trace;
    struct job rows[64];
    struct core_submission submissions[64];
    unsigned rows_len;
};

static struct play play;

static const struct core_limits wide = {
    .running_max = 100,
    .kind_max = {[KIND_EXEC] = 100, [KIND_HTTP] = 100, [KIND_FILE] = 100, [KIND_WORKER] = 100},
    .crashes_max = 3};
static const struct retry_spec thrice = {
    .max_attempts = 3, .base_ms = 1000, .factor = 2, .cap_ms = 60000};

static inline void play_begin(const struct core_limits *limits)
{
    memset(&play, 0, sizeof play);
    play.now_ms = START_MS;
    ck_assert_int_eq(core_new(limits, 1, 7, &play.core), 0);
    ck_assert_int_eq(core_update_new(&play.update), 0);
}

static inline void play_end(void)
{
    ck_assert_ptr_null(core_check(play.core));
    core_update_free(play.update);
    core_free(play.core);
    buf_deinit(&play.trace);
}

static inline void say(const struct core_action *a)
{
    static const char *const words[] = {"starts",  "is leased",           "is told to stop",
                                        "ended",   "waits to be retried", "returned",
                                        "is held", "had a late end"};
    const char *reason = job_reason_name(a->reason);

    buf_putf(&play.trace, "[%lld] job %llu %s: %s%s%s, attempt %u, fence %u\n",
             (long long)(play.now_ms - START_MS), (unsigned long long)a->id, words[a->kind],
             job_state_name(a->state), reason ? " " : "", reason ? reason : "", a->attempt,
             a->fence);
}

/* What time and room allow, stored and kept. */
static inline void round_keep(void)
{
    size_t count;

    ck_assert_int_eq(core_tick(play.core, play.now_ms, play.update), 0);
    ck_assert_int_eq(core_start(play.core, play.now_ms, play.update), 0);
    ck_assert_int_eq(core_rows(play.core, play.update), 0);
    const struct core_action *actions = core_actions(play.update, &count);
    for (size_t i = 0; i < count; i++)
        say(&actions[i]);
    core_keep(play.core, play.update);
    ck_assert_msg(!core_check(play.core), "%s", core_check(play.core));
}

static inline int step(struct core_input in)
{
    return core_step(play.core, &in, play.now_ms, play.update);
}

static inline int step_keep(struct core_input in)
{
    int r = step(in);

    round_keep();
    return r;
}

static inline struct job *row(enum job_kind kind, const char *queue, const char *key)
{
    struct job *job = &play.rows[play.rows_len++ % 64];

    *job = (struct job){.kind = kind, .queue = (char *)queue, .key = (char *)key};
    return job;
}

/* Into the open update. */
static inline uint64_t submit(struct job *job, bool hold)
{
    struct core_submission *s = &play.submissions[job - play.rows];
    struct core_input in = {.kind = INPUT_SUBMIT, .submit = {s, 1, 0}};

    *s = (struct core_submission){.job = job, .hold = hold};

    ck_assert_int_eq(core_step(play.core, &in, play.now_ms, play.update), CORE_OK);
    return in.submit.ret_first_id;
}

static inline uint64_t submit_keep(struct job *job, bool hold)
{
    uint64_t id = submit(job, hold);

    round_keep();
    return id;
}

static inline struct core_input finished(uint64_t id, uint32_t fence, const struct outcome *o)
{
    return (struct core_input){
        .kind = INPUT_FINISHED,
        .finished = {.id = id, .fence = fence, .outcome = o, .retry = &thrice}};
}

static inline struct core_input plain(enum core_input_kind kind, uint64_t id)
{
    return (struct core_input){.kind = kind, .id = id};
}

static inline struct core_input cancel(uint64_t id)
{
    return (struct core_input){.kind = INPUT_CANCEL, .cancel = {id, -1}};
}

static const struct outcome good = {.kind = OUTCOME_SUCCEEDED};
static const struct outcome bad = {.kind = OUTCOME_FAILED, .reason = REASON_EXIT_NONZERO};
static const struct outcome useless = {.kind = OUTCOME_FAILED_FINAL,
                                       .reason = REASON_HTTP_STATUS};
static const struct outcome stopped = {.kind = OUTCOME_STOPPED,
                                       .reason = REASON_CANCELLED_BY_USER};

static inline void state_is(uint64_t id, enum job_state expected)
{
    enum job_state state = STATE_NEW;
    uint32_t fence;

    if (!core_job_state(play.core, id, &state, &fence))
        ck_assert_msg(job_state_is_final(expected), "job %d is not there", (int)id);
    else
        ck_assert_str_eq(job_state_name(state), job_state_name(expected));
}

static inline void story_is(const char *expected)
{
    ck_assert_str_eq(buf_str(&play.trace), expected);
}

static inline void story_skip(void)
{
    buf_clear(&play.trace);
}

#endif
