#include "tests/lib/sim.h"

#include "base/fault.h"
#include "tests/lib/sim_parts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 60
#define SETTLE_ROUNDS 2000
#define BEGIN_MS INT64_C(1700000000000)
#define HOUR_MS INT64_C(3600000)
#define SLOW_COMMIT_MS 10000 /* at most: longer than some leases, attempts and start_by */

const char *const sim_queues[SIM_QUEUES] = {"default", "mail", "images"};
static const char *const lane_keys[] = {NULL, NULL, "anna", "bert", "carl"};
static const char *const reply_keys[SIM_KEYS] = {"k0", "k1", "k2", "k3", "k4", "k5"};
static const struct retry_spec retry = {
    .max_attempts = SIM_MAX_ATTEMPTS, .base_ms = 500, .factor = 2, .cap_ms = 5000};

void sim_say(struct sim *s, const char *fmt, ...)
{
    va_list ap;

    if (!s->story)
        return;
    fprintf(s->story, "[%8lld] ", (long long)(s->now_ms - BEGIN_MS));
    va_start(ap, fmt);
    vfprintf(s->story, fmt, ap);
    va_end(ap);
    fputc('\n', s->story);
}

void sim_fail(struct sim *s, const char *fmt, ...)
{
    va_list ap;

    if (s->failed)
        return;
    s->failed = true;
    va_start(ap, fmt);
    vsnprintf(s->why, SIM_WHY_BYTES, fmt, ap);
    va_end(ap);
    sim_say(s, "WRONG: %s", s->why);
}

uint64_t sim_below(struct sim *s, uint64_t bound)
{
    return rand_below(&s->rand, bound);
}

bool sim_chance(struct sim *s, unsigned percent)
{
    return sim_below(s, 100) < percent;
}

/* ----- what is asked ----- */

struct commit_item *sim_item_add(struct sim *s, struct core_input input)
{
    struct commit_item *item = &s->items[s->items_len];

    *item = (struct commit_item){.input = input};
    s->list[s->items_len] = item;
    s->item_attempts[s->items_len] = NULL;
    s->item_workers[s->items_len] = NULL;
    s->item_keys[s->items_len] = -1;
    s->items_len++;
    return item;
}

static struct commit_item *item_add(struct sim *s, enum core_input_kind kind)
{
    return sim_item_add(s, (struct core_input){.kind = kind});
}

static void row_draw(struct sim *s, struct core_submission *sub, struct job *job)
{
    *job = (struct job){.kind = (enum job_kind)(1 + sim_below(s, 4)),
                        .priority = (int32_t)sim_below(s, 3) - 1,
                        .queue = (char *)sim_queues[sim_below(s, SIM_QUEUES)],
                        .key = (char *)lane_keys[sim_below(s, 5)],
                        .spec = (char *)"{}",
                        .created_at_ms = s->now_ms};
    if (sim_chance(s, 20))
        job->run_at_ms = s->now_ms + (int64_t)sim_below(s, 5000);
    if (sim_chance(s, 15))
        job->start_by_at_ms = s->now_ms + (int64_t)sim_below(s, 4000);
    if (sim_chance(s, 15))
        job->retry_until_at_ms = s->now_ms + (int64_t)sim_below(s, 8000);
    *sub = (struct core_submission){
        .job = job, .hold = sim_chance(s, 8), .relaxed = sim_chance(s, 20)};
    if (job->kind == KIND_WORKER)
        job->spec = (char *)(uintptr_t)sim_lease_document(s, &sub->usual);
}

static void ask_submit(struct sim *s)
{
    size_t count = 1 + sim_below(s, 4);
    struct commit_item *item = item_add(s, INPUT_SUBMIT);

    item->input.submit.items = &s->submissions[s->rows_len];
    item->input.submit.count = count;
    for (size_t i = 0; i < count; i++, s->rows_len++)
        row_draw(s, &s->submissions[s->rows_len], &s->rows[s->rows_len]);
    if (sim_chance(s, 25)) {
        int key = (int)sim_below(s, SIM_KEYS);

        s->item_keys[s->items_len - 1] = key;
        item->key = reply_keys[key];
        item->fingerprint = 1 + sim_below(s, 2);
    }
    sim_say(s, "submit %zu%s%s", count, item->key ? " with key " : "",
            item->key ? item->key : "");
}

static uint64_t some_id(struct sim *s)
{
    return 1 + sim_below(s, s->ids + 2);
}

static void ask_command(struct sim *s)
{
    static const struct {
        enum core_input_kind kind;
        const char *word;
    } commands[] = {{INPUT_CANCEL, "cancel"},
                    {INPUT_HOLD, "hold"},
                    {INPUT_RELEASE, "release"},
                    {INPUT_RELEASE, "release"},
                    {INPUT_RETRY_NOW, "retry"}};
    size_t which = sim_below(s, 5);
    struct commit_item *item = item_add(s, commands[which].kind);
    uint64_t id = some_id(s);

    if (commands[which].kind == INPUT_CANCEL) {
        item->input.cancel.id = id;
        item->input.cancel.grace_ms = sim_chance(s, 50) ? 0 : -1;
    } else
        item->input.id = id;
    sim_say(s, "%s %llu", commands[which].word, (unsigned long long)id);
}

static void ask_queue(struct sim *s)
{
    struct commit_item *item = item_add(s, INPUT_QUEUE_SET);

    item->input.queue.name = sim_queues[sim_below(s, SIM_QUEUES)];
    item->input.queue.concurrency = (int64_t)sim_below(s, 5) - 1;
    item->input.queue.key_concurrency = (int64_t)sim_below(s, 4) - 1;
    item->input.queue.paused = (int)sim_below(s, 3) - 1;
    sim_say(s, "queue %s: concurrency %lld, of a key %lld, paused %d", item->input.queue.name,
            (long long)item->input.queue.concurrency,
            (long long)item->input.queue.key_concurrency, item->input.queue.paused);
}

static void give_end(struct sim *s, uint64_t id, uint32_t fence, const struct outcome *o)
{
    struct commit_item *item = item_add(s, INPUT_FINISHED);

    item->input.finished.id = id;
    item->input.finished.fence = fence;
    item->input.finished.outcome = o;
    item->input.finished.retry = &retry;
}

static void ask_ends(struct sim *s)
{
    for (unsigned i = 0; i < SIM_ATTEMPTS_MAX; i++) {
        struct sim_attempt *a = &s->attempts[i];

        bool due = a->ends_at_ms <= s->now_ms ||
                   a->ends_at_ms > s->now_ms + SIM_ATTEMPT_MS; /* the clock was set back */

        if (!a->live || (!a->ending && !due))
            continue;
        a->ending = true;
        give_end(s, a->id, a->fence, &a->outcome);
        s->item_attempts[s->items_len - 1] = a;
        sim_say(s, "attempt of %llu with fence %u ends", (unsigned long long)a->id, a->fence);
    }
}

/* A holder that was slow, or that says it twice. */
static void ask_late_end(struct sim *s)
{
    static const struct outcome late = {.kind = OUTCOME_SUCCEEDED, .result = (char *)"late"};
    uint64_t id = some_id(s);
    uint32_t fence = id < SIM_JOBS_MAX ? s->jobs[id].fence : 0;

    if (fence < 2)
        return;
    give_end(s, id, 1 + (uint32_t)sim_below(s, fence - 1), &late);
    sim_say(s, "a late end of %llu", (unsigned long long)id);
}

static void ask(struct sim *s)
{
    s->items_len = s->rows_len = 0;
    ask_ends(s);
    sim_lease_speak(s);
    sim_lease_ask(s);
    for (uint64_t n = sim_below(s, 4); n > 0 && s->items_len + 3 < SIM_ITEMS_MAX; n--) {
        if (sim_chance(s, 45) && s->ids + 20 < SIM_JOBS_MAX)
            ask_submit(s);
        else if (sim_chance(s, 70))
            ask_command(s);
        else if (sim_chance(s, 50))
            ask_queue(s);
        else
            ask_late_end(s);
    }
}

/* Everything that could keep a job from its end is lifted; a key's limit alone cannot. */
static void ask_to_settle(struct sim *s)
{
    s->items_len = s->rows_len = 0;
    ask_ends(s);
    sim_lease_speak(s);
    sim_lease_ask(s);
    for (unsigned q = 0; q < SIM_QUEUES && s->round % 20 == 0; q++) {
        struct commit_item *item = item_add(s, INPUT_QUEUE_SET);

        item->input.queue.name = sim_queues[q];
        item->input.queue.concurrency = 0;
        item->input.queue.key_concurrency = -1;
        item->input.queue.paused = 0;
    }
    if (s->items_len < SIM_ITEMS_MAX && s->ids > 0)
        item_add(s, INPUT_RELEASE)->input.id = 1 + s->round % s->ids;
}

/* ----- rounds ----- */

static void open_again(struct sim *s)
{
    struct commit_options options = {.store = s->store, .limits = s->limits, .seed = s->seed};
    uint64_t refused;
    int r = store_next_epoch(s->store, &s->epoch);

    options.epoch = s->epoch;
    if (r == 0)
        r = commit_open(&options, &s->commit, &refused);
    if (r < 0 || refused > 0) {
        sim_fail(s, "V6: the store cannot be loaded again");
        return;
    }
    do {
        if (sim_chance(s, 20))
            fault_arm("store.commit", 1, -ENOSPC, false);
        s->round_ms = s->now_ms;
        r = commit_recover(s->commit, s->now_ms);
        fault_disarm_all();
        if (r > 0)
            sim_model_actions(s);
    } while (r > 0 || r == -ENOSPC);
    if (r < 0)
        sim_fail(s, "V6: recovery failed");
}

/* The daemon is gone, its attempts with it (K1: the next one kills what is left). */
static void crash(struct sim *s)
{
    s->totals->crashes++;
    commit_close(s->commit);
    s->commit = NULL;
    memset(s->attempts, 0, sizeof s->attempts);
    sim_model_reload(s);
    open_again(s);
}

/* What was stored and never answered is nobody's promise: the next answer sets it. A hold among
 * it may even be released by now. */
static void round_unanswered(struct sim *s)
{
    for (size_t i = 0; i < s->items_len; i++) {
        if (s->item_keys[i] >= 0)
            s->keys[s->item_keys[i]] = (struct sim_key){.first_id = 0};
        if (s->item_attempts[i] && s->item_attempts[i]->outcome.kind == OUTCOME_HOLD)
            s->jobs[s->item_attempts[i]->id].holds++;
        if (s->item_workers[i])
            sim_lease_unanswered(s->item_workers[i]);
    }
}

enum fate { FATE_GOOD, FATE_REFUSED, FATE_CRASH_BEFORE, FATE_CRASH_AFTER };

static enum fate draw_fate(struct sim *s)
{
    uint64_t n = sim_below(s, 100);

    if (s->settling || n < 84)
        return FATE_GOOD;
    return n < 91 ? FATE_REFUSED : n < 95 ? FATE_CRASH_BEFORE : FATE_CRASH_AFTER;
}

static void round_played(struct sim *s, enum fate fate, int r)
{
    if (fate == FATE_CRASH_AFTER && r == 0) {
        sim_say(s, "the daemon dies before it answers");
        round_unanswered(s);
        crash(s);
    } else if (fate == FATE_CRASH_BEFORE) {
        sim_say(s, "the daemon dies before the commit");
        crash(s);
    } else if (r < 0) {
        s->totals->refused++;
        sim_say(s, "the store refuses");
        sim_lease_refused(s);
    } else {
        s->kept = true;
        sim_model_answers(s);
        sim_model_actions(s);
        if (!s->failed)
            sim_lease_given(s);
    }
}

/* The disk takes its time, and so do its refusals: what a round decided is told, or lost, only
 * then. */
static void wait_for_disk(struct sim *s)
{
    int64_t took_ms = (int64_t)sim_below(s, SLOW_COMMIT_MS);

    s->now_ms += took_ms;
    s->totals->slow++;
    sim_say(s, "the commit has taken %lld ms", (long long)took_ms);
}

static void play_round(struct sim *s)
{
    static const char *const points[] = {"store.begin", "store.commit", "store.step"};
    enum fate fate = draw_fate(s);
    int r;

    s->round++;
    s->kept = false;
    if (s->now_ms > s->latest_ms)
        s->latest_ms = s->now_ms;
    s->round_ms = s->now_ms;
    s->totals->rounds++;
    if (fate == FATE_REFUSED || fate == FATE_CRASH_BEFORE)
        fault_arm(points[sim_below(s, 3)], 1, -ENOSPC, false);
    r = commit_round(s->commit, s->list, s->items_len, &s->asks, s->now_ms);
    fault_disarm_all();
    if (!s->settling && sim_chance(s, 5))
        wait_for_disk(s);
    if (r < 0 && r != -ENOSPC)
        sim_fail(s, "V5: the store says %d", r);
    round_played(s, fate, r);
}

static void pass_time(struct sim *s)
{
    s->now_ms += (int64_t)sim_below(s, 1500);
    if (sim_chance(s, 2)) {
        s->now_ms += sim_chance(s, 50) ? HOUR_MS : -HOUR_MS;
        sim_say(s, "the wall clock is set");
    }
    if (sim_chance(s, 1))
        s->now_ms += COMMIT_REPLY_KEEP_MS;
}

static bool is_settled(const struct sim *s)
{
    const uint64_t *counts = core_counts(commit_core(s->commit));
    uint64_t open = core_waiting(commit_core(s->commit));

    return open + counts[JOB_RUNNING] + counts[JOB_STOPPING] == 0;
}

static void settle(struct sim *s)
{
    s->settling = true;
    s->round = 0;
    for (int i = 0; i < SETTLE_ROUNDS && !s->failed && !is_settled(s); i++) {
        int64_t next_ms = core_next_at_ms(commit_core(s->commit), s->now_ms);

        /* After a clock set back the next thing may be an hour away. */
        s->now_ms = next_ms > s->now_ms + 60000 ? next_ms : s->now_ms + 1000;
        ask_to_settle(s);
        play_round(s);
    }
    if (!s->failed && !is_settled(s)) {
        sim_model_tell(s);
        sim_fail(s, "V8: jobs are left that do not come to an end");
    }
    if (!s->failed)
        sim_model_look(s, true);
}

static void play(struct sim *s)
{
    open_again(s);
    for (int i = 0; i < ROUNDS && !s->failed; i++) {
        ask(s);
        play_round(s);
        if (!s->failed)
            sim_model_look(s, i % 10 == 0);
        pass_time(s);
    }
    if (!s->failed)
        settle(s);
}

bool sim_run(uint64_t seed, FILE *story, char why[SIM_WHY_BYTES], struct sim_totals *totals)
{
    struct sim *s = calloc(1, sizeof *s);
    bool good;

    if (!s || store_open_memory(&s->store) < 0) {
        free(s);
        snprintf(why, SIM_WHY_BYTES, "no memory");
        return false;
    }
    s->seed = seed;
    s->now_ms = BEGIN_MS;
    s->story = story;
    s->why = why;
    s->totals = totals;
    rand_seed(&s->rand, seed);
    s->limits = (struct core_limits){
        .running_max = 6,
        .kind_max = {[KIND_EXEC] = 4, [KIND_HTTP] = 5, [KIND_FILE] = 2, [KIND_WORKER] = 4},
        .jobs_waiting_max = 60,
        .crashes_max = SIM_CRASHES_MAX};
    play(s);
    good = !s->failed;
    commit_close(s->commit);
    store_close(s->store);
    free(s);
    return good;
}
