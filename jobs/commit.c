#include "jobs/commit.h"

#include "base/map.h"
#include "base/own.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECOVER_ROUND 500
#define PROBE_KEY "\001probe" /* no header of a request can hold it */

struct commit {
    struct store *store;
    struct store_reader *reader; /* the writer's own view */
    struct core *core;
    struct core_update *update;
    struct map keys;    /* of the open round: Idempotency-Key to item */
    struct job **texts; /* rows read for their result and error, until the commit is done */
    size_t texts_len, texts_cap;
    size_t changes, leased;
    bool leases_left;
    int64_t pruned_at_ms;
    uint32_t recover_pos, leased_pos; /* where commit_recover looks on */
};

OWN_DEFINE(struct spec, spec_free);

/* ----- replies ----- */

static void replay(struct commit_item *item, uint64_t fingerprint, uint64_t first_id)
{
    item->replayed = item->fingerprint == fingerprint;
    item->answer = item->replayed ? CORE_OK : COMMIT_KEY_REUSED;
    item->input.submit.ret_first_id = first_id;
}

/* 1: the item is answered by an earlier one; 0: it is new; negative errno. */
static int reply_find(struct commit *c, struct commit_item *item, int64_t now_ms)
{
    struct commit_item *earlier = map_find_name(&c->keys, item->key);
    struct reply_record reply = {.key = NULL};
    int r;

    if (earlier) {
        replay(item, earlier->fingerprint, earlier->input.submit.ret_first_id);
        return 1;
    }
    r = store_reply_find(c->store, item->key, &reply);
    if (r <= 0)
        return r;
    if (reply.created_at_ms + COMMIT_REPLY_KEEP_MS <= now_ms)
        r = 0;
    else
        replay(item, reply.fingerprint, reply.first_id);
    reply_record_deinit(&reply);
    return r;
}

static int reply_put(struct commit *c, struct commit_item *item, int64_t now_ms)
{
    item->reply = (struct reply_record){.key = (char *)item->key,
                                        .fingerprint = item->fingerprint,
                                        .created_at_ms = now_ms,
                                        .first_id = item->input.submit.ret_first_id,
                                        .count = (uint32_t)item->input.submit.count};
    return map_put_name(&c->keys, item->key, item);
}

/* ----- steps ----- */

/* A keyed submission's reply must be stored with it, so a failure to note it fails the round.
 */
static int step_keyed(struct commit *c, struct commit_item *item, int64_t now_ms)
{
    int r = reply_find(c, item, now_ms);

    if (r != 0)
        return r < 0 ? r : 0;
    item->answer = core_step(c->core, &item->input, now_ms, c->update);
    return item->answer == CORE_OK ? reply_put(c, item, now_ms) : 0;
}

static bool is_inferred(enum job_reason reason)
{
    return reason == REASON_LEASE_LOST || reason == REASON_CRASHED ||
           reason == REASON_TIMEOUT_ATTEMPT || reason == REASON_TIMEOUT_TOTAL ||
           reason == REASON_SUPERSEDED;
}

static int see_end(void *ctx, const struct attempt_record *a)
{
    struct commit_item *item = ctx;

    if (a->fence == item->input.finished.fence && is_inferred(a->reason))
        item->late.job_id = a->job_id;
    return 0;
}

/* The end of an attempt that comes too late. It is written down where the daemon had given the
 * attempt up; what somebody said in time stays as it was said. */
static int step_stale(struct commit *c, struct commit_item *item, int64_t now_ms)
{
    const struct core_input *in = &item->input;
    int r = store_attempt_each(c->reader, in->finished.id, see_end, item);

    if (r < 0 || !item->late.job_id)
        return r;
    item->late = (struct attempt_record){.job_id = in->finished.id,
                                         .fence = in->finished.fence,
                                         .finished_at_ms = now_ms,
                                         .state = JOB_FAILED,
                                         .reason = REASON_SUPERSEDED,
                                         .result = in->finished.outcome->result,
                                         .error = in->finished.outcome->error};
    return 0;
}

/* A success that is told again, as its teller did not hear the answer, is what it was. */
static int step_ended(struct commit *c, struct commit_item *item)
{
    struct core_input *in = &item->input;
    struct job *job = NULL;
    int r = store_job_get(c->reader, in->finished.id, &job);

    if (r <= 0)
        return r;
    item->answer = CORE_STALE;
    if (in->finished.fence == job->fence && job->state == JOB_SUCCEEDED &&
        in->finished.outcome->kind == OUTCOME_SUCCEEDED) {
        item->answer = CORE_OK;
        in->finished.ret_state = job->state;
    }
    job_free(job);
    return 0;
}

static int step_finished(struct commit *c, struct commit_item *item, int64_t now_ms)
{
    int r = item->answer == CORE_NOT_FOUND ? step_ended(c, item) : 0;

    return r == 0 && item->answer == CORE_STALE ? step_stale(c, item, now_ms) : r;
}

static int step_renew_late(struct commit *c, struct commit_item *item)
{
    struct job *job = NULL;
    int r = store_job_get(c->reader, item->input.renew.id, &job);

    if (r > 0)
        item->answer = CORE_STALE;
    job_free(job);
    return r < 0 ? r : 0;
}

static int step_item(struct commit *c, struct commit_item *item, int64_t now_ms)
{
    item->replayed = false;
    item->reply.key = NULL;
    item->late.job_id = 0;
    if (item->input.kind == INPUT_SUBMIT && item->key)
        return step_keyed(c, item, now_ms);
    item->answer = core_step(c->core, &item->input, now_ms, c->update);
    if (item->input.kind == INPUT_FINISHED)
        return step_finished(c, item, now_ms);
    if (item->input.kind == INPUT_RENEW && item->answer == CORE_NOT_FOUND)
        return step_renew_late(c, item);
    return 0;
}

static int items_step(struct commit *c, struct commit_item *const *items, size_t count,
                      int64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        int r = step_item(c, items[i], now_ms);

        if (r < 0)
            return r;
    }
    return 0;
}

/* ----- leases ----- */

/* What was accepted once can be read again, unless another version accepted it; then the usual
 * terms are better than none. */
static int terms_read(const char *text, struct lease_terms *ret)
{
    OWN(spec_free) struct spec *spec = NULL;
    struct spec_fault fault;
    int r = spec_from_text(text, strlen(text), &spec, &fault);

    *ret = spec_usual_terms;
    if (r == 0)
        spec_terms(spec, ret);
    return r == -EINVAL ? 0 : r;
}

static int terms_stored(struct commit *c, uint64_t id, struct lease_terms *ret)
{
    OWN(free) char *text = NULL;
    int r = store_spec_get(c->reader, id, &text);

    *ret = spec_usual_terms;
    return r > 0 ? terms_read(text, ret) : r;
}

static int terms_of(struct commit *c, const struct core_lease *lease, bool usual,
                    struct lease_terms *ret)
{
    *ret = spec_usual_terms;
    if (usual)
        return 0;
    if (lease->submission)
        return lease->submission->job->spec ? terms_read(lease->submission->job->spec, ret) : 0;
    return terms_stored(c, lease->id, ret);
}

/* One job into the next place of the ask: 1 given, 0 there was none, -ENOMEM and so on. */
static int lease_one(struct commit *c, struct lease_ask *ask, const char *queue, int64_t now_ms)
{
    struct core_lease *lease = &ask->leases[ask->count];
    struct lease_terms terms;
    bool usual;
    int r = CORE_NOT_FOUND;

    while (r == CORE_NOT_FOUND) {
        if (!core_lease_pick(c->core, queue, c->update, lease, &usual))
            return 0;
        r = terms_of(c, lease, usual, &terms);
        if (r == 0)
            r = core_lease(c->core, &terms, now_ms, c->update, lease);
    }
    if (r < 0)
        return r;
    ask->count++;
    c->leased++;
    return 1;
}

/* The queues take turns; it is over when none of them has anything. */
static int ask_fill(struct commit *c, struct lease_ask *ask, int64_t now_ms)
{
    uint32_t misses = 0;

    while (misses < ask->queues_count && ask->count < ask->max && c->leased < LEASE_ROUND_MAX) {
        int r = lease_one(c, ask, ask->queues[ask->turn++ % ask->queues_count], now_ms);

        if (r < 0)
            return r;
        misses = r > 0 ? 0 : misses + 1;
    }
    return 0;
}

static int asks_fill(struct commit *c, struct list *asks, int64_t now_ms)
{
    int r = 0;

    c->leased = 0;
    c->leases_left = false;
    if (!asks)
        return 0;
    list_each (link, asks) {
        if (r < 0 || !core_lease_ready(c->core) || c->leased >= LEASE_ROUND_MAX)
            break;
        r = ask_fill(c, container_of(link, struct lease_ask, link), now_ms);
    }
    c->leases_left = c->leased >= LEASE_ROUND_MAX;
    return r;
}

static void asks_undo(struct list *asks)
{
    if (!asks)
        return;
    list_each (link, asks)
        container_of(link, struct lease_ask, link)->count = 0;
}

static int core_go(struct commit *c, struct commit_item *const *items, size_t count,
                   struct list *asks, int64_t now_ms)
{
    int r = core_tick(c->core, now_ms, c->update);

    if (r == 0)
        r = items_step(c, items, count, now_ms);
    if (r == 0)
        r = core_start(c->core, now_ms, c->update);
    if (r == 0)
        r = asks_fill(c, asks, now_ms);
    return r == 0 ? core_rows(c->core, c->update) : r;
}

/* ----- changes ----- */

static bool is_relaxed(const struct commit_item *item)
{
    bool relaxed = true;

    for (size_t i = 0; i < item->input.submit.count; i++)
        relaxed = relaxed && item->input.submit.items[i].relaxed;
    return relaxed;
}

static int items_add(struct commit *c, struct commit_item *const *items, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        if (items[i]->reply.key)
            r = core_change_add(
                c->update,
                &(struct change){.kind = CHANGE_REPLY_PUT, .reply = &items[i]->reply},
                !is_relaxed(items[i]));
        if (r == 0 && items[i]->late.job_id)
            r = core_change_add(
                c->update, &(struct change){.kind = CHANGE_ATTEMPT, .attempt = &items[i]->late},
                true);
    }
    return r;
}

/* Old replies go with a commit that happens anyway; an idle daemon has no reason to write. */
static int prune_add(struct commit *c, int64_t now_ms)
{
    bool due = now_ms - c->pruned_at_ms >= COMMIT_PRUNE_EVERY_MS;
    uint32_t limit = 2 * (uint32_t)c->keys.len + (due ? COMMIT_PRUNE_FEW : 0);

    if (limit == 0 || !core_changes(c->update).count)
        return 0;
    return core_change_add(
        c->update,
        &(struct change){.kind = CHANGE_REPLY_PRUNE,
                         .prune = {.before_ms = now_ms - COMMIT_REPLY_KEEP_MS, .limit = limit}},
        false);
}

static int text_fetch(struct commit *c, struct job *row)
{
    if (c->texts_len == c->texts_cap) {
        size_t cap = c->texts_cap ? c->texts_cap * 2 : 16;
        struct job **grown = reallocarray(c->texts, cap, sizeof(struct job *));

        if (!grown)
            return -ENOMEM;
        c->texts = grown;
        c->texts_cap = cap;
    }

    struct job *job = NULL;
    int r = store_job_get(c->reader, row->id, &job);

    if (r <= 0)
        return r;
    c->texts[c->texts_len++] = job;
    row->result = job->result;
    row->error = job->error;
    return 0;
}

/* A retrying job that is held, cancelled or merely due keeps what its last attempt said, which
 * only the store knows. */
static int texts_fetch(struct commit *c)
{
    size_t count = core_changes(c->update).count;

    for (size_t i = 0; i < count; i++) {
        struct job *row = core_change_keeps_text(c->update, i);
        int r = row ? text_fetch(c, row) : 0;

        if (r < 0)
            return r;
    }
    return 0;
}

static int round_write(struct commit *c, struct commit_item *const *items, size_t count,
                       struct list *asks, int64_t now_ms)
{
    int r = core_go(c, items, count, asks, now_ms);

    if (r == 0)
        r = texts_fetch(c);
    if (r == 0)
        r = items_add(c, items, count);
    if (r == 0)
        r = prune_add(c, now_ms);
    if (r < 0)
        return r;

    struct core_changes changes = core_changes(c->update);

    c->changes = changes.count;
    return changes.count ? store_commit(c->store, changes.items, changes.count, changes.sync)
                         : 0;
}

static void round_end(struct commit *c)
{
    while (c->texts_len > 0)
        job_free(c->texts[--c->texts_len]);
    map_deinit(&c->keys);
}

/* ----- loading ----- */

struct loading {
    struct core *core;
    uint64_t refused;
};

static int load_queue(void *ctx, const struct queue_record *record)
{
    return core_load_queue(((struct loading *)ctx)->core, record);
}

static int load_job(void *ctx, const struct job *row)
{
    struct loading *l = ctx;
    int r = core_load(l->core, row);

    if (r != -EINVAL)
        return r;
    l->refused++;
    return 0;
}

/* Rows of live jobs come without their documents. */
static int load_leases(struct commit *c)
{
    uint32_t pos = 0;
    int r = 0;

    for (uint64_t id; r == 0 && (id = core_leased_next(c->core, &pos));) {
        struct lease_terms terms;

        r = terms_stored(c, id, &terms);
        if (r == 0)
            core_lease_restore(c->core, id, &terms);
    }
    return r;
}

static int load(struct commit *c, uint64_t *ret_refused)
{
    struct loading l = {.core = c->core};
    int r = store_queue_each(c->reader, load_queue, &l);

    if (r == 0)
        r = store_live_each(c->reader, load_job, &l);
    if (r == 0)
        r = load_leases(c);
    if (r == 0)
        r = core_load_end(c->core, store_max_id(c->store));
    *ret_refused = l.refused;
    return r;
}

/* ----- public ----- */

int commit_open(const struct commit_options *options, struct commit **ret,
                uint64_t *ret_refused)
{
    struct commit *c = calloc(1, sizeof *c);
    int r;

    if (!c)
        return -ENOMEM;
    c->store = options->store;
    c->reader = store_writer_reader(options->store);
    r = core_new(&options->limits, options->epoch, options->seed, &c->core);
    if (r == 0)
        r = core_update_new(&c->update);
    if (r == 0)
        r = load(c, ret_refused);
    if (r < 0) {
        commit_close(c);
        return r;
    }
    *ret = c;
    return 0;
}

void commit_close(struct commit *c)
{
    if (!c)
        return;
    round_end(c);
    free(c->texts);
    core_update_free(c->update);
    core_free(c->core);
    free(c);
}

int commit_round(struct commit *c, struct commit_item *const *items, size_t count,
                 struct list *asks, int64_t now_ms)
{
    int r = round_write(c, items, count, asks, now_ms);

    round_end(c);
    if (r == 0) {
        if (now_ms - c->pruned_at_ms >= COMMIT_PRUNE_EVERY_MS && c->changes)
            c->pruned_at_ms = now_ms;
        core_keep(c->core, c->update);
        return 0;
    }
    core_undo(c->core, c->update);
    asks_undo(asks);
    for (size_t i = 0; i < count; i++)
        items[i]->answer = r;
    return r;
}

const struct core_action *commit_actions(const struct commit *c, size_t *ret_count)
{
    return core_actions(c->update, ret_count);
}

size_t commit_leased(const struct commit *c, bool *ret_more)
{
    *ret_more = c->leases_left;
    return c->leased;
}

size_t commit_changes(const struct commit *c)
{
    return c->changes;
}

/* Rewriting what is there already would write nothing; the time makes it a change. */
int commit_probe(struct commit *c, int64_t now_ms)
{
    struct reply_record reply = {.key = (char *)PROBE_KEY, .created_at_ms = now_ms};
    struct change change = {.kind = CHANGE_REPLY_PUT, .reply = &reply};

    return store_commit(c->store, &change, 1, true);
}

/* Goes on where the last round ended: one walk, however many rounds. */
static size_t lost_gather(struct commit *c, struct commit_item *items)
{
    size_t count = 0;

    for (uint64_t id; count < RECOVER_ROUND && (id = core_live_next(c->core, &c->recover_pos));
         count++)
        items[count] = (struct commit_item){.input = {.kind = INPUT_LOST, .id = id}};
    return count;
}

/* The leased jobs from *pos on, as renewals. */
static size_t leased_gather(struct commit *c, struct commit_item *items, uint32_t *pos)
{
    enum job_state state;
    uint32_t fence = 0;
    size_t count = 0;

    for (uint64_t id; count < RECOVER_ROUND && (id = core_leased_next(c->core, pos)); count++) {
        (void)core_job_state(c->core, id, &state, &fence);
        items[count].input =
            (struct core_input){.kind = INPUT_RENEW, .renew = {.id = id, .fence = fence}};
    }
    return count;
}

int commit_recover(struct commit *c, int64_t now_ms)
{
    OWN(free) struct commit_item *items = calloc(RECOVER_ROUND, sizeof *items);
    struct commit_item *list[RECOVER_ROUND];
    uint32_t leased_pos = c->leased_pos;
    size_t count;
    int r;

    if (!items)
        return -ENOMEM;
    count = lost_gather(c, items);
    if (!count)
        count = leased_gather(c, items, &leased_pos);
    if (!count)
        return 0;
    for (size_t i = 0; i < count; i++)
        list[i] = &items[i];
    core_recovering(c->core, true); /* or what was just taken back would start among the lost */
    r = commit_round(c, list, count, NULL, now_ms);
    core_recovering(c->core, false);
    if (r < 0)
        c->recover_pos = 0; /* they are lost still */
    else
        c->leased_pos = leased_pos;
    return r < 0 ? r : 1;
}

struct core *commit_core(struct commit *c)
{
    return c->core;
}
