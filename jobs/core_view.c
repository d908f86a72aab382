/* core_view.c: looking into the core: counts, and whether its invariants hold. */
#include "base/buf.h"
#include "jobs/change.h"

#include <stdlib.h>
#include <string.h>

/* What a walk over the entries finds, to be compared with what is maintained. */
struct tally {
    uint64_t counts[JOB_STATE_COUNT];
    uint32_t running_kind[KIND_COUNT], ready[KIND_COUNT], running;
    uint32_t due, expiry;
};

#define BROKEN_IF(condition, sentence)                                                         \
    do {                                                                                       \
        if (condition)                                                                         \
            return (sentence);                                                                 \
    } while (0)

/* ----- one entry ----- */

static bool slot_holds(const struct order *o, uint32_t at, uint32_t index)
{
    return at < o->len && o->slots[at] == index;
}

static bool lane_holds(const struct core *core, const struct lane *lane, uint32_t at,
                       uint32_t index)
{
    const struct order *ready = lane_ready(&core->queues, lane);

    return ready ? slot_holds(ready, at, index) : lane->ready && lane->slot == index;
}

static const char *check_entry(const struct core *core, uint32_t index, struct tally *t)
{
    const struct entry *e = core_entry(core, index);
    const struct extra *x = core_extra(core, e);
    const struct lane *lane = queue_lane_of(&core->queues, e);
    bool waiting = job_state_is_waiting(e->state), live = job_state_is_live(e->state);
    bool timed = e->state == JOB_SCHEDULED || e->state == JOB_RETRYING;
    uint32_t fence = core_fence(core, e);
    bool expires = entry_expiry_ms(e, x), leased = x && x->lease_until_ms;

    BROKEN_IF(!waiting && !live, "I8: an entry is final");
    BROKEN_IF(e->touch, "I8: an entry is touched");
    BROKEN_IF(lane_jobs(&core->queues, lane) == 0, "I2: a job's lane does not know it");
    BROKEN_IF(live && fence == 0, "I6: a live job has no fence");
    BROKEN_IF(x && x->attempt > fence, "I6: more attempts than starts");
    BROKEN_IF(e->state == JOB_QUEUED && !lane_holds(core, lane, e->at, index),
              "I1: a queued job is not in its lane");
    BROKEN_IF(timed && !slot_holds(&core->due, e->at, index), "I1: a timed job is not due");
    BROKEN_IF(expires != (x && x->at != ORDER_NONE), "I1: wrong membership of expiry");
    BROKEN_IF(expires && !slot_holds(&core->expiry, x->at, index), "I1: expiry is wrong");
    BROKEN_IF(leased && (!live || lane->kind != KIND_WORKER), "I9: leased and not live");
    t->counts[e->state]++;
    t->due += timed;
    t->expiry += expires;
    t->running += live && lane->kind != KIND_WORKER;
    t->running_kind[lane->kind] += live;
    t->ready[lane->kind] += e->state == JOB_QUEUED;
    return NULL;
}

static const char *check_entries(const struct core *core, struct tally *t)
{
    uint32_t pos = 0, count = 0;

    for (uint32_t i; (i = entry_next(&core->queues.entries, &pos)) != ENTRY_NONE; count++) {
        const char *broken = check_entry(core, i, t);

        if (broken)
            return broken;
        BROKEN_IF(entry_find(&core->queues.entries, core_entry(core, i)->id) != i,
                  "I2: the table does not find an entry");
        BROKEN_IF(core_entry(core, i)->id >= core->next_id, "I2: an id lies ahead");
    }
    BROKEN_IF(count != core->queues.entries.by_id.len, "I2: the table knows other entries");
    return NULL;
}

/* ----- queues ----- */

static const char *check_siblings(const struct core *core, uint32_t at)
{
    const struct queues *all = &core->queues;
    const struct lane *lane = lane_at(all, at);
    unsigned steps = 0;

    for (uint32_t l = lane_sibling(all, at); l != at; l = lane_sibling(all, l)) {
        const struct lane *other = lane_at(all, l);

        BROKEN_IF(other->queue != lane->queue || strcmp(other->key, lane->key) != 0 ||
                      other->kind == lane->kind || ++steps >= KIND_COUNT,
                  "I2: lanes of a key");
    }
    BROKEN_IF(lane->crowded != (steps > 0 || lane_jobs(all, lane) > 1), "N1: a lane's crowd");
    return NULL;
}

static const char *check_lane(const struct core *core, uint32_t at)
{
    const struct lane *lane = lane_at(&core->queues, at);
    const struct queue *q = queue_of_lane(&core->queues, lane);
    const struct order *ready = lane_ready(&core->queues, lane);

    BROKEN_IF(lane->ringed != queue_lane_open(&core->queues, at), "I4: a lane's round");
    BROKEN_IF(lane_turn(lane) > q->turns, "I4: a turn that was not given out");
    BROKEN_IF(ready && !order_check(ready, &core->queues.entries), "I1: a lane's heap");
    BROKEN_IF(!ready && lane->ready != (lane->slot != 0), "N1: the slot of a lane alone");
    BROKEN_IF(lane_jobs(&core->queues, lane) == 0, "I2: a lane without jobs");
    BROKEN_IF(lane->ringed && !(q->ready_kinds >> lane->kind & 1),
              "I4: a kind is ready and not marked");
    return check_siblings(core, at);
}

static const char *check_lanes(const struct core *core, uint32_t *ret_running)
{
    const char *broken = NULL;
    struct lane_walk walk = {0};
    uint32_t running = 0, count = 0, queues = 0;
    size_t pos = 0;

    for (uint32_t at; !broken && (at = lane_next(&core->queues, &walk)); count++) {
        const struct lane *lane = lane_at(&core->queues, at);

        broken = check_lane(core, at);
        running += lane->kind == KIND_WORKER ? 0 : lane_running(&core->queues, lane);
    }
    for (const struct queue *q; (q = map_next(&core->queues.by_name, &pos));)
        queues += q->lanes;
    *ret_running = running;
    return broken || count == queues ? broken : "N2: a lane cannot be found";
}

static const char *check_ages(const struct core *core, const struct queue *q)
{
    uint32_t before = ENTRY_NONE;
    uint64_t n = 0;

    for (uint32_t i = q->oldest; i != ENTRY_NONE; i = core_entry(core, i)->newer) {
        const struct entry *e = core_entry(core, i);

        BROKEN_IF(e->state != JOB_QUEUED || e->older != before, "I1: the list by age");
        BROKEN_IF(++n > q->counts[JOB_QUEUED], "I1: the list by age is too long");
        before = i;
    }
    BROKEN_IF(n != q->counts[JOB_QUEUED] || q->newest != before, "I1: the list by age ends");
    return NULL;
}

static const char *check_queue(const struct core *core, const struct queue *q,
                               uint64_t counts[JOB_STATE_COUNT])
{
    uint32_t limit = q->record.concurrency;
    bool opened = q->ready_kinds && !q->record.paused && (!limit || q->running < limit);

    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        BROKEN_IF((q->ready_kinds >> kind & 1) != (q->rings[kind].first != 0),
                  "I4: ready kinds of a queue");
    BROKEN_IF(opened == list_is_empty(&q->ring), "I4: a queue's place in the round");
    BROKEN_IF(q->dirty, "I8: a queue is dirty");
    BROKEN_IF(q->running != q->counts[JOB_RUNNING] + q->counts[JOB_STOPPING],
              "I2: running of a queue");
    for (unsigned s = 0; s < JOB_STATE_COUNT; s++)
        counts[s] += q->counts[s] + q->record.finished[s];
    return check_ages(core, q);
}

static const char *check_queues(const struct core *core)
{
    uint64_t counts[JOB_STATE_COUNT] = {0};
    uint32_t running;
    const char *broken = check_lanes(core, &running);
    size_t pos = 0;

    if (!broken && running != core->running)
        broken = "I2: running of the lanes";
    for (struct queue *q; !broken && (q = map_next(&core->queues.by_name, &pos));)
        broken = check_queue(core, q, counts);
    if (broken)
        return broken;
    BROKEN_IF(memcmp(counts, core->counts, sizeof counts) != 0, "I2: sums over the queues");
    return NULL;
}

static const char *check_tally(const struct core *core, const struct tally *t)
{
    for (enum job_state s = JOB_HELD; s <= JOB_STOPPING; s++)
        BROKEN_IF(t->counts[s] != core->counts[s], "I2: counts by state");
    BROKEN_IF(t->running != core->running, "I2: running");
    BROKEN_IF(memcmp(t->running_kind, core->running_kind, sizeof t->running_kind) != 0,
              "I2: running by kind");
    BROKEN_IF(memcmp(t->ready, core->queues.ready, sizeof t->ready) != 0, "I2: ready by kind");
    BROKEN_IF(t->due != core->due.len || t->expiry != core->expiry.len, "I2: timed jobs");
    BROKEN_IF(!order_check(&core->due, &core->queues.entries), "I1: the due heap");
    BROKEN_IF(!order_check(&core->expiry, &core->queues.entries), "I1: the expiry heap");
    return NULL;
}

/* ----- print ----- */

static int by_id(const void *a, const void *b, void *ctx)
{
    const struct core *core = ctx;
    uint64_t x = core_entry(core, *(const uint32_t *)a)->id;
    uint64_t y = core_entry(core, *(const uint32_t *)b)->id;

    return x < y ? -1 : x > y;
}

static void print_entry(const struct core *core, uint32_t index, struct buf *ret)
{
    const struct entry *e = core_entry(core, index);
    const struct extra *x = core_extra(core, e);
    const struct lane *lane = queue_lane_of(&core->queues, e);
    const char *reason = job_reason_name(e->reason);

    buf_putf(ret, "%llu %s %s %s/%s", (unsigned long long)e->id, job_state_name(e->state),
             reason ? reason : "-", queue_of_lane(&core->queues, lane)->record.name,
             job_kind_name(lane->kind));
    buf_putf(ret, "/%s priority=%d attempt=%u crashes=%u fence=%u", lane->key, e->priority,
             x ? x->attempt : 0, x ? x->crashes : 0u, x ? x->fence : 0);
    buf_putf(ret, " flags=%u run_at=%lld", e->flags & ~(unsigned)(ENTRY_RELAXED | ENTRY_USUAL),
             (long long)e->run_at_ms);
    buf_putf(ret, " started=%lld start_by=%lld retry_until=%lld",
             (long long)(x ? x->started_at_ms : 0), (long long)(x ? x->start_by_at_ms : 0),
             (long long)(x ? x->retry_until_at_ms : 0));
    if (x && x->lease_until_ms)
        buf_putf(ret, " lease=%lld until=%lld timeout_at=%lld", (long long)x->terms.lease_ms,
                 (long long)x->lease_until_ms, (long long)x->timeout_at_ms);
    buf_putc(ret, '\n');
}

static void print_entries(const struct core *core, struct buf *ret)
{
    size_t count = core->queues.entries.by_id.len, n = 0;
    uint32_t *order = malloc((count ? count : 1) * sizeof *order), pos = 0;

    if (!order) {
        ret->failed = true;
        return;
    }
    for (uint32_t i; (i = entry_next(&core->queues.entries, &pos)) != ENTRY_NONE;)
        order[n++] = i;
    qsort_r(order, n, sizeof *order, by_id, (void *)core);
    for (size_t i = 0; i < n; i++)
        print_entry(core, order[i], ret);
    free(order);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct queue *const *)a)->record.name,
                  (*(struct queue *const *)b)->record.name);
}

static void print_queue(const struct queue *q, struct buf *ret)
{
    buf_putf(ret, "queue %s concurrency=%u key_concurrency=%u paused=%d configured=%d",
             q->record.name, q->record.concurrency, q->record.key_concurrency, q->record.paused,
             q->record.configured);
    for (enum job_state s = JOB_HELD; s < JOB_STATE_COUNT; s++)
        buf_putf(ret, " %s=%llu", job_state_name(s),
                 (unsigned long long)(q->counts[s] + q->record.finished[s]));
    buf_putc(ret, '\n');
}

static void print_queues(const struct core *core, struct buf *ret)
{
    size_t count = core->queues.by_name.len, n = 0, pos = 0;
    struct queue **order = malloc((count ? count : 1) * sizeof(struct queue *));

    if (!order) {
        ret->failed = true;
        return;
    }
    for (struct queue *q; (q = map_next(&core->queues.by_name, &pos));)
        order[n++] = q;
    qsort(order, n, sizeof(struct queue *), by_name);
    for (size_t i = 0; i < n; i++)
        print_queue(order[i], ret);
    free(order);
}

static int64_t queue_oldest(const struct core *core, const struct queue *q)
{
    return q->oldest == ENTRY_NONE ? 0 : core_entry(core, q->oldest)->run_at_ms;
}

/* ----- public ----- */

const uint64_t *core_counts(const struct core *core)
{
    return core->counts;
}

uint64_t core_waiting(const struct core *core)
{
    uint64_t n = 0;

    for (enum job_state s = JOB_HELD; s <= JOB_RETRYING; s++)
        n += core->counts[s];
    return n;
}

int64_t core_oldest_at_ms(const struct core *core)
{
    int64_t oldest = 0;
    size_t pos = 0;

    if (!core->counts[JOB_QUEUED])
        return 0;
    for (struct queue *q; (q = map_next(&core->queues.by_name, &pos));) {
        int64_t at_ms = queue_oldest(core, q);

        if (at_ms && (!oldest || at_ms < oldest))
            oldest = at_ms;
    }
    return oldest;
}

bool core_job_state(const struct core *core, uint64_t id, enum job_state *ret_state,
                    uint32_t *ret_fence)
{
    uint32_t index = entry_find(&core->queues.entries, id);

    if (index == ENTRY_NONE)
        return false;
    *ret_state = core_entry(core, index)->state;
    *ret_fence = core_fence(core, core_entry(core, index));
    return true;
}

uint64_t core_live_next(const struct core *core, uint32_t *pos)
{
    for (uint32_t i; (i = entry_next(&core->queues.entries, pos)) != ENTRY_NONE;) {
        const struct entry *e = core_entry(core, i);

        if (job_state_is_live(e->state) && !core_extra(core, e)->lease_until_ms)
            return e->id;
    }
    return 0;
}

uint32_t core_running(const struct core *core)
{
    return core->running;
}

size_t core_bytes(const struct core *core)
{
    const struct queues *all = &core->queues;
    size_t bytes = arena_bytes(&all->entries.entries) + arena_bytes(&all->entries.extras) +
                   arena_bytes(&all->lanes) + table_bytes(&all->entries.by_id) +
                   table_bytes(&all->by_key);
    size_t pos = 0;

    for (const struct queue *q; (q = map_next(&all->by_name, &pos));) {
        for (uint32_t at = q->crowded; at; at = lane_crowd(all, lane_at(all, at))->next)
            bytes += lane_ready(all, lane_at(all, at))->cap * sizeof(uint32_t);
    }
    return bytes + ((size_t)core->due.cap + core->expiry.cap) * sizeof(uint32_t);
}

bool core_queue_next(const struct core *core, size_t *pos, struct core_queue *ret)
{
    const struct queue *q = map_next(&core->queues.by_name, pos);

    if (!q)
        return false;
    *ret = (struct core_queue){&q->record, q->counts, queue_oldest(core, q)};
    return true;
}

const char *core_check(const struct core *core)
{
    struct tally t = {.due = 0};
    const char *broken = check_entries(core, &t);

    if (!broken)
        broken = check_queues(core);
    return broken ? broken : check_tally(core, &t);
}

void core_print(const struct core *core, struct buf *ret)
{
    print_entries(core, ret);
    print_queues(core, ret);
}
