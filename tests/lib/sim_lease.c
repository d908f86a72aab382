/* sim_lease.c: the workers of the simulation. Each has at most one job. It renews, ends it in
 * one way or another, dies with it, or is slow and speaks when its lease is long over; what it
 * says and is not answered, it says again. */
#include "tests/lib/sim_parts.h"

#include "base/own.h"

#include <string.h>

OWN_DEFINE(struct job, job_free);

#define ID(id) ((unsigned long long)(id))
#define SLOW_MS 5000

static const char *const documents[] = {SIM_WORKER_USUAL, SIM_WORKER_BRIEF};

const char *sim_lease_document(struct sim *s, bool *ret_usual)
{
    size_t which = sim_below(s, 2);

    *ret_usual = which == 0;
    return documents[which];
}

uint32_t sim_lease_attempts_max(const struct job *job)
{
    return job->spec && strcmp(job->spec, SIM_WORKER_USUAL) == 0
               ? spec_usual_terms.retry.max_attempts
               : SIM_MAX_ATTEMPTS;
}

/* ----- asking ----- */

static struct sim_worker *idle_worker(struct sim *s)
{
    for (unsigned i = 0; i < SIM_WORKERS; i++) {
        if (!s->workers[i].busy)
            return &s->workers[i];
    }
    return NULL;
}

/* Two asks at most, each for jobs of some queues; a worker that died makes room by its lease's
 * end, which it never hears of. */
void sim_lease_ask(struct sim *s)
{
    list_init(&s->asks);
    for (unsigned i = 0; i < SIM_ASKS && idle_worker(s); i++) {
        struct lease_ask *ask = &s->ask[i];

        if (!s->settling && sim_chance(s, 50))
            continue;
        *ask = (struct lease_ask){.queues = sim_queues,
                                  .queues_count = 1 + (uint32_t)sim_below(s, SIM_QUEUES),
                                  .max = 1 + (uint32_t)sim_below(s, SIM_ASK_MAX),
                                  .leases = s->leases[i]};
        if (s->settling)
            ask->queues_count = SIM_QUEUES;
        list_push_back(&s->asks, &ask->link);
    }
}

static void worker_begin(struct sim *s, const struct core_lease *lease)
{
    static const struct outcome outcomes[] = {
        {.kind = OUTCOME_SUCCEEDED, .result = (char *)"{}"},
        {.kind = OUTCOME_SUCCEEDED},
        {.kind = OUTCOME_FAILED, .reason = REASON_WORKER_FAILED, .error = (char *)"no"},
        {.kind = OUTCOME_FAILED_FINAL, .reason = REASON_WORKER_FAILED},
        {.kind = OUTCOME_SNOOZED}};
    struct sim_worker *w = idle_worker(s);

    if (!w)
        return; /* as if it had died at once */
    *w = (struct sim_worker){.busy = true,
                             .id = lease->id,
                             .fence = lease->fence,
                             .until_ms = lease->until_ms,
                             .deadline_ms = lease->deadline_ms};
    w->outcome = outcomes[sim_below(s, s->settling ? 2 : sizeof outcomes / sizeof *outcomes)];
    if (w->outcome.kind == OUTCOME_SNOOZED)
        w->outcome.snooze_until_ms = s->now_ms + (int64_t)sim_below(s, 3000);
    w->ends_at_ms = s->now_ms + (int64_t)sim_below(s, SIM_ATTEMPT_MS);
    if (!s->settling && sim_chance(s, 20))
        w->ends_at_ms += SLOW_MS;
    w->busy = s->settling || !sim_chance(s, 15);
}

static void given(struct sim *s, const struct core_lease *lease)
{
    OWN(job_free) struct job *job = sim_model_row(s, lease->id);
    struct sim_job *known = &s->jobs[lease->id];

    if (!job)
        return;
    s->totals->leases++;
    s->totals->leases_late += lease->until_ms <= s->now_ms;
    if (known->final)
        sim_fail(s, "V2: job %llu is leased and was %s", ID(job->id),
                 job_state_name(known->final));
    if (lease->fence <= known->fence || lease->fence != job->fence)
        sim_fail(s, "V3: job %llu is leased with fence %u after %u, stored %u", ID(job->id),
                 lease->fence, known->fence, job->fence);
    if (job->kind != KIND_WORKER || job->state != JOB_RUNNING ||
        job->lease_until_ms != lease->until_ms || lease->until_ms <= s->round_ms)
        sim_fail(s, "V9: job %llu is leased and not stored so", ID(job->id));
    known->fence = lease->fence;
    known->leased = true;
    known->stopping = false;
    known->lease_until_ms = lease->until_ms;
    sim_model_lease_limits(s, job);
    worker_begin(s, lease);
}

void sim_lease_given(struct sim *s)
{
    uint32_t pos = 0, leased = 0;

    while (core_leased_next(commit_core(s->commit), &pos))
        leased++;
    list_each (link, &s->asks) {
        struct lease_ask *ask = container_of(link, struct lease_ask, link);

        for (uint32_t k = 0; k < ask->count && !s->failed; k++)
            given(s, &ask->leases[k]);
    }
    if (leased > s->limits.kind_max[KIND_WORKER])
        sim_fail(s, "V4: %u jobs are leased, limit %u", leased,
                 s->limits.kind_max[KIND_WORKER]);
}

void sim_lease_refused(struct sim *s)
{
    list_each (link, &s->asks) {
        if (container_of(link, struct lease_ask, link)->count)
            sim_fail(s, "V9: a round that failed gave jobs away");
    }
}

/* ----- speaking ----- */

void sim_lease_speak(struct sim *s)
{
    for (unsigned i = 0; i < SIM_WORKERS && s->items_len + 1 < SIM_ITEMS_MAX; i++) {
        struct sim_worker *w = &s->workers[i];
        bool ends = w->ends_at_ms <= s->now_ms || w->ends_at_ms > s->now_ms + 2 * SLOW_MS;
        struct core_input in = {.kind = ends ? INPUT_FINISHED : INPUT_RENEW};

        if (!w->busy || (!ends && !sim_chance(s, 40)))
            continue;
        if (ends) {
            in.finished.id = w->id;
            in.finished.fence = w->fence;
            in.finished.outcome = &w->outcome;
        } else {
            in.renew.id = w->id;
            in.renew.fence = w->fence;
        }
        sim_item_add(s, in);
        s->item_workers[s->items_len - 1] = w;
        sim_say(s, "worker of %llu with fence %u %s", ID(w->id), w->fence,
                ends ? "ends" : "renews");
    }
}

/* A word in time is heard, whatever happened to the daemon meanwhile; one that comes too late
 * is not. A word that may have been heard before, without an answer, may come too late. */
static void heard(struct sim *s, struct sim_worker *w, int answer)
{
    const struct sim_job *known = &s->jobs[w->id];
    bool in_time = known->leased && w->fence == known->fence && w->until_ms >= s->round_ms &&
                   (!w->deadline_ms || w->deadline_ms >= s->round_ms);

    if (answer == CORE_OK && w->fence != known->fence)
        sim_fail(s, "V9: a word about %llu with fence %u was taken, the last is %u", ID(w->id),
                 w->fence, known->fence);
    if (answer != CORE_OK && in_time && !known->stopping && !w->unanswered)
        sim_fail(s, "V9: a word about %llu in time was answered %d", ID(w->id), answer);
    if (answer == CORE_STALE)
        s->totals->stale_words++;
}

void sim_lease_answered(struct sim *s, struct sim_worker *w, const struct commit_item *item)
{
    heard(s, w, item->answer);
    w->unanswered = false;
    if (item->input.kind == INPUT_FINISHED || item->answer != CORE_OK) {
        w->busy = false;
        return;
    }
    w->until_ms = item->input.renew.ret_until_ms;
    s->jobs[w->id].lease_until_ms = w->until_ms;
    if (item->input.renew.ret_stop && sim_chance(s, 50))
        w->ends_at_ms = s->now_ms;
}

void sim_lease_unanswered(struct sim_worker *w)
{
    w->unanswered = true;
}
