#include "tests/lib/sim_parts.h"

#include "base/buf.h"
#include "base/own.h"
#include "jobs/order.h"

#include <stdlib.h>
#include <string.h>

OWN_DEFINE(struct job, job_free);

#define ID(id) ((unsigned long long)(id))

struct job *sim_model_row(struct sim *s, uint64_t id)
{
    struct job *job = NULL;

    if (store_job_get(store_writer_reader(s->store), id, &job) != 1)
        sim_fail(s, "V1: job %llu was acknowledged and is gone", ID(id));
    return job;
}

/* ----- starts ----- */

static struct sim_attempt *attempt_room(struct sim *s)
{
    for (unsigned i = 0; i < SIM_ATTEMPTS_MAX; i++) {
        if (!s->attempts[i].live)
            return &s->attempts[i];
    }
    sim_fail(s, "V4: more attempts than running_max");
    return NULL;
}

static unsigned queue_index(const char *name)
{
    unsigned i = 0;

    while (i + 1 < SIM_QUEUES && strcmp(sim_queues[i], name) != 0)
        i++;
    return i;
}

static void check_key(struct sim *s, const struct sim_attempt *started,
                      const struct queue_record *q)
{
    unsigned same = 0;

    for (unsigned i = 0; i < SIM_ATTEMPTS_MAX && started->key; i++) {
        const struct sim_attempt *a = &s->attempts[i];

        same += a->live && a->queue == started->queue && a->key == started->key;
    }
    if (q->key_concurrency && same > q->key_concurrency)
        sim_fail(s, "V4: %u of one key run in %s, limit %u", same, q->name, q->key_concurrency);
}

/* The settings that the round itself may have changed: starts come after all inputs. */
static void check_queue(struct sim *s, const struct sim_attempt *started)
{
    unsigned queue = started->queue;
    struct core_queue q;
    size_t pos = 0;
    uint64_t live;

    while (core_queue_next(commit_core(s->commit), &pos, &q)) {
        if (strcmp(q.record->name, sim_queues[queue]) != 0)
            continue;
        live = q.counts[JOB_RUNNING] + q.counts[JOB_STOPPING];
        if (q.record->paused)
            sim_fail(s, "V4: a start in %s, which is paused", q.record->name);
        if (q.record->concurrency && live > q.record->concurrency)
            sim_fail(s, "V4: %llu run in %s, limit %u", ID(live), q.record->name,
                     q.record->concurrency);
        check_key(s, started, q.record);
    }
}

static void check_limits(struct sim *s, enum job_kind kind)
{
    unsigned all = 0, same = 0;

    for (unsigned i = 0; i < SIM_ATTEMPTS_MAX; i++) {
        all += s->attempts[i].live;
        same += s->attempts[i].live && s->attempts[i].kind == kind;
    }
    if (all > s->limits.running_max)
        sim_fail(s, "V4: %u run, limit %u", all, s->limits.running_max);
    if (same > s->limits.kind_max[kind])
        sim_fail(s, "V4: %u of kind %s run, limit %u", same, job_kind_name(kind),
                 s->limits.kind_max[kind]);
}

static void check_time(struct sim *s, const struct job *job)
{
    if (job->start_by_at_ms && job->fence == 1 && s->round_ms > job->start_by_at_ms)
        sim_fail(s, "V4: job %llu starts after its start_by", ID(job->id));
    if (job->retry_until_at_ms && s->round_ms > job->retry_until_at_ms)
        sim_fail(s, "V4: job %llu starts after its retry_for", ID(job->id));
    uint32_t attempts_max =
        job->kind == KIND_WORKER ? sim_lease_attempts_max(job) : SIM_MAX_ATTEMPTS;

    if (job->attempt > attempts_max + s->jobs[job->id].holds || job->crashes >= SIM_CRASHES_MAX)
        sim_fail(s, "V4: job %llu has attempt %u, crashes %u", ID(job->id), job->attempt,
                 job->crashes);
}

void sim_model_lease_limits(struct sim *s, const struct job *job)
{
    check_queue(s, &(struct sim_attempt){.queue = queue_index(job->queue)});
    check_time(s, job);
}

static void draw_end(struct sim *s, struct sim_attempt *a)
{
    static const struct outcome outcomes[] = {
        {.kind = OUTCOME_SUCCEEDED, .result = (char *)"{}"},
        {.kind = OUTCOME_SUCCEEDED},
        {.kind = OUTCOME_FAILED, .reason = REASON_EXIT_NONZERO, .error = (char *)"no"},
        {.kind = OUTCOME_FAILED, .reason = REASON_HTTP_STATUS, .retry_after_ms = 60000},
        {.kind = OUTCOME_FAILED_FINAL, .reason = REASON_FILE_ERROR},
        {.kind = OUTCOME_HOLD, .reason = REASON_EXIT_NONZERO},
        {.kind = OUTCOME_STOPPED, .reason = REASON_SHUTDOWN},
        {.kind = OUTCOME_STOPPED, .reason = REASON_TIMEOUT_ATTEMPT},
        {.kind = OUTCOME_STOPPED, .reason = REASON_TIMEOUT_TOTAL},
        {.kind = OUTCOME_STOPPED, .reason = REASON_DEADLOCK}};

    /* Left alone, everything is to end: no hold, and not back to the queue for ever. */
    a->outcome = outcomes[sim_below(s, s->settling ? 3 : sizeof outcomes / sizeof *outcomes)];
    a->ends_at_ms = s->now_ms + (int64_t)sim_below(s, SIM_ATTEMPT_MS);
}

struct rival {
    const struct job *started;
    uint64_t left; /* a job that was to go before it */
};

static int64_t order_key(const struct job *job)
{
    return job->run_at_ms - job->priority * ORDER_POINT_MS;
}

static bool is_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static int rival_look(void *ctx, const struct job *job)
{
    struct rival *r = ctx;
    const struct job *started = r->started;

    if (job->state != JOB_QUEUED || job->kind != started->kind ||
        !is_same(job->queue, started->queue) || !is_same(job->key, started->key))
        return 0;
    if (order_key(job) < order_key(started) ||
        (order_key(job) == order_key(started) && job->id < started->id))
        r->left = job->id;
    return 0;
}

static void check_order(struct sim *s, const struct job *job)
{
    struct rival r = {.started = job};

    store_live_each(store_writer_reader(s->store), rival_look, &r);
    if (r.left)
        sim_fail(s, "V10: job %llu starts before job %llu", ID(job->id), ID(r.left));
}

static void started(struct sim *s, const struct core_action *action)
{
    struct sim_attempt *a = attempt_room(s);
    OWN(job_free) struct job *job = sim_model_row(s, action->id);
    struct sim_job *known = &s->jobs[action->id];

    if (!a || !job)
        return;
    s->totals->starts++;
    if (known->final)
        sim_fail(s, "V2: job %llu starts and was %s", ID(job->id),
                 job_state_name(known->final));
    if (action->fence <= known->fence || action->fence != job->fence)
        sim_fail(s, "V3: job %llu starts with fence %u after %u, stored %u", ID(job->id),
                 action->fence, known->fence, job->fence);
    known->fence = action->fence;
    *a = (struct sim_attempt){.live = true,
                              .id = action->id,
                              .fence = action->fence,
                              .kind = action->job_kind,
                              .queue = queue_index(job->queue),
                              .key = job->key ? job->key[0] : 0};
    draw_end(s, a);
    check_limits(s, a->kind);
    check_queue(s, a);
    check_time(s, job);
    check_order(s, job);
}

static void stopped(struct sim *s, const struct core_action *action)
{
    s->jobs[action->id].stopping = true;
    for (unsigned i = 0; i < SIM_ATTEMPTS_MAX; i++) {
        struct sim_attempt *a = &s->attempts[i];

        if (!a->live || a->ending || a->id != action->id)
            continue;
        if (sim_chance(s, 70))
            a->outcome =
                (struct outcome){.kind = OUTCOME_STOPPED, .reason = REASON_CANCELLED_BY_USER};
        a->ends_at_ms = s->now_ms + (int64_t)sim_below(s, 100);
    }
}

static void ended(struct sim *s, const struct core_action *action)
{
    struct sim_job *known = &s->jobs[action->id];

    s->totals->ends++;
    if (known->final)
        sim_fail(s, "V2: job %llu ends as %s and was %s", ID(action->id),
                 job_state_name(action->state), job_state_name(known->final));
    known->final = action->state;
}

static void crashed(struct sim *s, const struct core_action *action)
{
    bool lost = action->kind == ACTION_RETURNED && action->reason == REASON_LEASE_LOST;
    bool counts = lost ||
                  (action->kind == ACTION_RETURNED && action->reason == REASON_CRASHED) ||
                  (action->kind == ACTION_ENDED && action->reason == REASON_POISON);
    struct sim_job *known = &s->jobs[action->id];

    if (!counts)
        return;
    if (action->crashes != known->crashes + 1)
        sim_fail(s, "V3: job %llu has %u crashes after %u", ID(action->id), action->crashes,
                 known->crashes);
    if (lost && known->leased && known->lease_until_ms >= s->round_ms)
        sim_fail(s, "V9: the lease of job %llu was lost before its time", ID(action->id));
    known->crashes = action->crashes;
    s->totals->leases_lost += lost;
}

static void tell(struct sim *s, const struct core_action *a)
{
    static const char *const words[] = {"starts",  "is leased",           "is told to stop",
                                        "ended",   "waits to be retried", "returned",
                                        "is held", "had a late end"};
    const char *reason = job_reason_name(a->reason);

    sim_say(s, "  -> job %llu %s: %s%s%s, attempt %u, fence %u", ID(a->id), words[a->kind],
            job_state_name(a->state), reason ? " " : "", reason ? reason : "", a->attempt,
            a->fence);
}

static bool ends_attempt(enum core_action_kind kind)
{
    return kind == ACTION_ENDED || kind == ACTION_RETRYING || kind == ACTION_RETURNED ||
           kind == ACTION_HELD;
}

/* Ends before starts: an end makes room for the start of the same round. */
void sim_model_actions(struct sim *s)
{
    size_t count;
    const struct core_action *actions = commit_actions(s->commit, &count);

    for (size_t i = 0; i < count; i++) {
        tell(s, &actions[i]);
        crashed(s, &actions[i]);
        s->jobs[actions[i].id].leased &= !ends_attempt(actions[i].kind);
        if (actions[i].kind == ACTION_ENDED)
            ended(s, &actions[i]);
        else if (actions[i].kind == ACTION_STOP)
            stopped(s, &actions[i]);
        else if (actions[i].kind == ACTION_HELD)
            s->jobs[actions[i].id].holds++;
        else if (actions[i].kind == ACTION_SUPERSEDED)
            s->totals->superseded++;
    }
    for (size_t i = 0; i < count && !s->failed; i++) {
        if (actions[i].kind == ACTION_START)
            started(s, &actions[i]);
    }
}

/* ----- answers ----- */

static void key_answered(struct sim *s, const struct commit_item *item, struct sim_key *key)
{
    uint64_t first = item->input.submit.ret_first_id;
    bool valid = key->first_id && s->latest_ms < key->at_ms + COMMIT_REPLY_KEEP_MS;

    bool again = item->replayed && first == key->first_id;

    if (item->answer == CORE_OK && valid && !again)
        sim_fail(s, "V7: a key was answered with %llu and with %llu", ID(key->first_id),
                 ID(first));
    if (item->answer == COMMIT_KEY_REUSED && key->fingerprint == item->fingerprint && valid)
        sim_fail(s, "V7: a key was refused to its own request");
    if (item->answer == CORE_OK && !item->replayed)
        *key = (struct sim_key){first, item->fingerprint, s->round_ms};
}

static void submitted(struct sim *s, const struct commit_item *item, int key)
{
    uint64_t first = item->input.submit.ret_first_id;

    if (key >= 0)
        key_answered(s, item, &s->keys[key]);
    if (item->answer != CORE_OK || item->replayed)
        return;
    s->totals->submitted += item->input.submit.count;
    for (size_t k = 0; k < item->input.submit.count; k++)
        s->jobs[first + k].acknowledged = true;
    if (first + item->input.submit.count - 1 > s->ids)
        s->ids = first + item->input.submit.count - 1;
    sim_say(s, "  acknowledged: %llu and %zu more", ID(first), item->input.submit.count - 1);
}

void sim_model_answers(struct sim *s)
{
    for (size_t i = 0; i < s->items_len; i++) {
        if (s->items[i].input.kind == INPUT_SUBMIT)
            submitted(s, &s->items[i], s->item_keys[i]);
        else if (s->item_workers[i])
            sim_lease_answered(s, s->item_workers[i], &s->items[i]);
        else if (s->item_attempts[i])
            s->item_attempts[i]->live = false;
    }
}

/* ----- looking closely ----- */

struct tally {
    struct sim *sim;
    uint64_t counts[JOB_STATE_COUNT];
};

static bool is_overdue(const struct sim *s, const struct job *job)
{
    bool waits = job->state == JOB_SCHEDULED || job->state == JOB_RETRYING;

    return (waits && job->run_at_ms <= s->round_ms) ||
           (job->lease_until_ms && job->lease_until_ms < s->round_ms);
}

static int tally_job(void *ctx, const struct job *job)
{
    struct tally *t = ctx;

    t->counts[job->state]++;
    if (t->sim->kept && is_overdue(t->sim, job))
        sim_fail(t->sim, "V11: the time of job %llu is over, and it is still %s", ID(job->id),
                 job_state_name(job->state));
    return 0;
}

static int tally_queue(void *ctx, const struct queue_record *q)
{
    for (enum job_state state = JOB_SUCCEEDED; state < JOB_STATE_COUNT; state++)
        ((struct tally *)ctx)->counts[state] += q->finished[state];
    return 0;
}

static void look_counts(struct sim *s)
{
    struct store_reader *reader = store_writer_reader(s->store);
    struct tally t = {.sim = s};

    store_live_each(reader, tally_job, &t);
    store_queue_each(reader, tally_queue, &t);
    if (memcmp(t.counts, core_counts(commit_core(s->commit)), sizeof t.counts) != 0)
        sim_fail(s, "V5: counts are not those of the store");
}

static void look_job(struct sim *s, uint64_t id)
{
    const struct sim_job *known = &s->jobs[id];

    if (!known->acknowledged)
        return;

    OWN(job_free) struct job *job = sim_model_row(s, id);

    if (job && known->final && job->state != known->final)
        sim_fail(s, "V2: job %llu is %s and was %s", ID(id), job_state_name(job->state),
                 job_state_name(known->final));
    if (job && job->dead_letter != (job->state == JOB_FAILED))
        sim_fail(s, "V2: job %llu is %s, and %s dead letter", ID(id),
                 job_state_name(job->state), job->dead_letter ? "a" : "no");
    if (job && job->fence < known->fence)
        sim_fail(s, "V3: job %llu has fence %u and had %u", ID(id), job->fence, known->fence);
}

static void look_fresh(struct sim *s)
{
    struct commit_options options = {.store = s->store, .limits = s->limits, .epoch = s->epoch};
    OWN_BUF struct buf here = BUF_INIT;
    OWN_BUF struct buf there = BUF_INIT;
    struct commit *fresh;
    uint64_t refused;

    if (commit_open(&options, &fresh, &refused) < 0) {
        sim_fail(s, "V6: the store cannot be loaded");
        return;
    }
    core_print(commit_core(s->commit), &here);
    core_print(commit_core(fresh), &there);
    if (strcmp(buf_str(&here), buf_str(&there)) != 0 || refused > 0) {
        sim_say(s, "in memory:\n%s\nin the store:\n%s", buf_str(&here), buf_str(&there));
        sim_fail(s, "V6: the core is not what the store says");
    }
    commit_close(fresh);
}

void sim_model_look(struct sim *s, bool closely)
{
    const char *broken = core_check(commit_core(s->commit));

    if (broken)
        sim_fail(s, "V5: %s", broken);
    if (!closely)
        return;
    look_counts(s);
    look_fresh(s);
    for (uint64_t id = 1; id <= s->ids && !s->failed; id++)
        look_job(s, id);
}

void sim_model_tell(struct sim *s)
{
    OWN_BUF struct buf text = BUF_INIT;

    core_print(commit_core(s->commit), &text);
    sim_say(s, "in memory:\n%s", buf_str(&text));
}

/* ----- after a crash ----- */

/* Jobs of a commit that was not answered are there or not; if they are, they count from now. */
void sim_model_reload(struct sim *s)
{
    s->ids = store_max_id(s->store);
    for (uint64_t id = 1; id <= s->ids && !s->failed; id++) {
        struct sim_job *known = &s->jobs[id];

        known->acknowledged = true;
        look_job(s, id);
        if (s->failed)
            return;

        OWN(job_free) struct job *job = sim_model_row(s, id);

        if (job && job_state_is_final(job->state))
            known->final = job->state;
        if (job) {
            known->fence = job->fence;
            known->crashes = job->crashes;
            known->leased = job->lease_until_ms;
            known->lease_until_ms = job->lease_until_ms;
        }
        known->holds += job && job->state == JOB_HELD;
    }
}
