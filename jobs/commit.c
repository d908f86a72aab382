#include "jobs/commit.h"

#include "base/map.h"
#include "base/own.h"

#include <errno.h>
#include <stdlib.h>

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
    size_t changes;
    int64_t pruned_at_ms;
};

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

/* The end of an attempt of a job that has ended: it is written beside the others unless its
 * own record is there. */
static int step_late(struct commit *c, struct commit_item *item, int64_t now_ms)
{
    struct job *job = NULL;
    int r = store_job_get(c->reader, item->input.finished.id, &job);

    if (r <= 0)
        return r;
    item->answer = CORE_STALE;
    if (item->input.finished.fence < job->fence)
        item->late = core_attempt_late(&item->input, now_ms);
    job_free(job);
    return 0;
}

static int step_item(struct commit *c, struct commit_item *item, int64_t now_ms)
{
    item->replayed = false;
    item->reply.key = NULL;
    item->late.job_id = 0;
    if (item->input.kind == INPUT_SUBMIT && item->key)
        return step_keyed(c, item, now_ms);
    item->answer = core_step(c->core, &item->input, now_ms, c->update);
    if (item->input.kind == INPUT_FINISHED && item->answer == CORE_NOT_FOUND)
        return step_late(c, item, now_ms);
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

static int core_go(struct commit *c, struct commit_item *const *items, size_t count,
                   int64_t now_ms)
{
    int r = core_tick(c->core, now_ms, c->update);

    if (r == 0)
        r = items_step(c, items, count, now_ms);
    if (r == 0)
        r = core_start(c->core, now_ms, c->update);
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
    if (now_ms - c->pruned_at_ms < COMMIT_PRUNE_EVERY_MS || !core_changes(c->update).count)
        return 0;
    return core_change_add(c->update,
                           &(struct change){.kind = CHANGE_REPLY_PRUNE,
                                            .before_ms = now_ms - COMMIT_REPLY_KEEP_MS},
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
                       int64_t now_ms)
{
    int r = core_go(c, items, count, now_ms);

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

static int load(struct commit *c, uint64_t *ret_refused)
{
    struct loading l = {.core = c->core};
    int r = store_queue_each(c->reader, load_queue, &l);

    if (r == 0)
        r = store_live_each(c->reader, load_job, &l);
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
                 int64_t now_ms)
{
    int r = round_write(c, items, count, now_ms);

    round_end(c);
    if (r == 0) {
        if (now_ms - c->pruned_at_ms >= COMMIT_PRUNE_EVERY_MS && c->changes)
            c->pruned_at_ms = now_ms;
        core_keep(c->core, c->update);
        return 0;
    }
    core_undo(c->core, c->update);
    for (size_t i = 0; i < count; i++)
        items[i]->answer = r;
    return r;
}

const struct core_action *commit_actions(const struct commit *c, size_t *ret_count)
{
    return core_actions(c->update, ret_count);
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

int commit_recover(struct commit *c, int64_t now_ms)
{
    OWN(free) struct commit_item *items = calloc(RECOVER_ROUND, sizeof *items);
    struct commit_item *list[RECOVER_ROUND];
    uint32_t pos = 0;
    size_t count = 0;
    int r;

    if (!items)
        return -ENOMEM;
    for (uint64_t id; count < RECOVER_ROUND && (id = core_live_next(c->core, &pos)); count++) {
        items[count] = (struct commit_item){.input = {.kind = INPUT_LOST, .id = id}};
        list[count] = &items[count];
    }
    if (!count)
        return 0;
    core_drain(c->core, true); /* or what was just taken back would start among the lost */
    r = commit_round(c, list, count, now_ms);
    core_drain(c->core, false);
    return r < 0 ? r : 1;
}

struct core *commit_core(struct commit *c)
{
    return c->core;
}
