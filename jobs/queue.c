#include "jobs/queue.h"

#include "base/err.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How far from the young end a job looks for its place by age. Beyond it the place is
 * approximate, which only the metric "oldest" could see. */
#define AGE_STEPS_MAX 64

/* ----- lanes ----- */

static int lanes_reserve(struct queues *all)
{
    if (all->lanes_free || all->lanes_len < all->lanes_cap)
        return 0;

    uint32_t more = all->lanes_cap ? all->lanes_cap * 2 : 16;
    struct lane_slot *grown = reallocarray(all->lanes, more, sizeof *grown);

    if (!grown)
        return -ENOMEM;
    all->lanes = grown;
    all->lanes_cap = more;
    return 0;
}

/* Its jobs hold the index, so a lane never moves; a freed slot goes to the next lane. */
static void slot_take(struct queues *all, struct lane *lane)
{
    lane->index = all->lanes_free ? all->lanes_free - 1 : all->lanes_len++;
    if (all->lanes_free)
        all->lanes_free = all->lanes[lane->index].next_free;
    all->lanes[lane->index] = (struct lane_slot){.lane = lane};
}

static void slot_give(struct queues *all, const struct lane *lane)
{
    all->lanes[lane->index] = (struct lane_slot){.next_free = all->lanes_free};
    all->lanes_free = lane->index + 1;
}

static void idle_list(struct queues *all, struct lane *lane)
{
    if (lane->idle_listed)
        return;
    lane->idle_listed = true;
    lane->idle_next = all->idle;
    all->idle = lane->index + 1;
}

static struct lane *lane_lookup(const struct queue *q, enum job_kind kind, const char *key)
{
    return key ? map_find_name(&q->keyed[kind], key) : q->plain[kind];
}

static void sibling_join(struct queue *q, struct lane *lane, const char *key)
{
    lane->sibling = lane;
    for (unsigned kind = 1; kind < KIND_COUNT; kind++) {
        struct lane *other = lane_lookup(q, kind, key);

        if (!other || other == lane)
            continue;
        lane->sibling = other->sibling;
        other->sibling = lane;
        return;
    }
}

static void sibling_leave(struct lane *lane)
{
    struct lane *before = lane;

    while (before->sibling != lane)
        before = before->sibling;
    before->sibling = lane->sibling;
}

static int lane_add(struct queues *all, struct queue *q, enum job_kind kind, const char *key,
                    struct lane **ret)
{
    size_t bytes = key ? strlen(key) + 1 : 1;
    struct lane *lane = calloc(1, sizeof *lane + bytes);

    if (!lane || lanes_reserve(all) < 0)
        goto undo;
    list_init(&lane->ring);
    lane->queue = q;
    lane->ready.kind = ORDER_READY;
    lane->kind = (uint8_t)kind;
    memcpy(lane->key, key ? key : "", bytes);
    if (key && map_put_name(&q->keyed[kind], lane->key, lane) < 0)
        goto undo;
    if (!key)
        q->plain[kind] = lane;
    sibling_join(q, lane, key);
    slot_take(all, lane);
    idle_list(all, lane);
    *ret = lane;
    return 0;
undo:
    free(lane);
    return -ENOMEM;
}

static void lane_free(struct lane *lane)
{
    if (!lane)
        return;
    order_deinit(&lane->ready);
    free(lane);
}

static void lane_remove(struct queues *all, struct lane *lane)
{
    struct queue *q = lane->queue;

    if (lane->key[0])
        map_remove_name(&q->keyed[lane->kind], lane->key);
    else
        q->plain[lane->kind] = NULL;
    sibling_leave(lane);
    slot_give(all, lane);
    lane_free(lane);
}

/* ----- the list by age ----- */

static void age_insert(struct queues *all, struct queue *q, uint32_t index, uint32_t older,
                       uint32_t newer)
{
    struct entry *e = entry_at(&all->entries, index);

    e->older = older;
    e->newer = newer;
    *(older == ENTRY_NONE ? &q->oldest : &entry_at(&all->entries, older)->newer) = index;
    *(newer == ENTRY_NONE ? &q->newest : &entry_at(&all->entries, newer)->older) = index;
}

static void age_remove(struct queues *all, struct queue *q, const struct entry *e)
{
    *(e->older == ENTRY_NONE ? &q->oldest : &entry_at(&all->entries, e->older)->newer) =
        e->newer;
    *(e->newer == ENTRY_NONE ? &q->newest : &entry_at(&all->entries, e->newer)->older) =
        e->older;
}

/* The entry behind which a job of this age belongs. */
static uint32_t age_place(const struct queues *all, const struct queue *q, int64_t run_at_ms)
{
    uint32_t older = q->newest;

    if (q->oldest == ENTRY_NONE || entry_at(&all->entries, q->oldest)->run_at_ms > run_at_ms)
        return ENTRY_NONE;
    for (unsigned i = 0; i < AGE_STEPS_MAX; i++) {
        const struct entry *e = entry_at(&all->entries, older);

        if (e->run_at_ms <= run_at_ms)
            return older;
        older = e->older;
    }
    return q->newest;
}

/* ----- ready ----- */

static bool key_is_full(const struct lane *lane)
{
    uint32_t limit = lane->queue->record.key_concurrency, running = 0;
    const struct lane *l = lane;

    if (!limit || !lane->key[0])
        return false;
    do
        running += l->running;
    while ((l = l->sibling) != lane);
    return running >= limit;
}

static void lane_to_back(struct lane *lane, uint64_t turn)
{
    lane->turn = turn;
    list_remove(&lane->ring);
    list_push_back(&lane->queue->rings[lane->kind], &lane->ring);
}

/* Takes it into the round of its queue or out. */
static void lane_refresh(struct queues *all, struct lane *lane)
{
    struct queue *q = lane->queue;
    bool opened = queue_lane_open(lane);

    if (opened == !list_is_empty(&lane->ring))
        return;
    if (opened)
        lane_to_back(lane, ++q->turns);
    else
        list_remove(&lane->ring);
    if (list_is_empty(&q->rings[lane->kind]))
        q->ready_kinds &= ~(1u << lane->kind);
    else
        q->ready_kinds |= 1u << lane->kind;
    queue_refresh(all, q);
}

static void ready_push(struct queues *all, struct lane *lane, uint32_t index)
{
    order_push(&lane->ready, &all->entries, index);
    all->ready[lane->kind]++;
    lane_refresh(all, lane);
}

/* ----- the choice ----- */

static struct lane *lane_of_ring(struct list *ring)
{
    return container_of(ring->next, struct lane, ring);
}

/* A lane of the key whose turn it is; NULL when the queue has nothing of these kinds. */
static struct lane *turn_pick(struct queue *q, uint32_t kinds)
{
    struct lane *first = NULL;

    for (unsigned kind = 1; kind < KIND_COUNT; kind++) {
        if (!(kinds >> kind & 1))
            continue;

        struct lane *lane = lane_of_ring(&q->rings[kind]);

        if (!first || lane->turn < first->turn)
            first = lane;
    }
    return first;
}

/* Of the key's lanes of these kinds the one with the best head; all of them had their turn. */
static struct lane *lane_pick(const struct queues *all, struct lane *first, uint32_t kinds)
{
    uint64_t turn = ++first->queue->turns;
    struct lane *best = first, *lane = first;

    do {
        if (!(kinds >> lane->kind & 1) || list_is_empty(&lane->ring))
            continue;
        lane_to_back(lane, turn);
        if (order_before(ORDER_READY, &all->entries, order_peek(&lane->ready),
                         order_peek(&best->ready)))
            best = lane;
    } while ((lane = lane->sibling) != first);
    return best;
}

static int by_age(const void *a, const void *b, void *ctx)
{
    const struct entries *entries = ctx;
    const struct entry *x = entry_at(entries, *(const uint32_t *)a);
    const struct entry *y = entry_at(entries, *(const uint32_t *)b);

    if (x->run_at_ms != y->run_at_ms)
        return x->run_at_ms < y->run_at_ms ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* As they are after nearly every load: ids rise with time. */
static bool ages_are_sorted(const struct queues *all, const uint32_t *order, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (by_age(&order[i - 1], &order[i], (void *)&all->entries) > 0)
            return false;
    }
    return true;
}

static void queue_free(struct queue *q)
{
    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        map_deinit(&q->keyed[kind]);
    free(q->record.name);
    free(q);
}

/* ----- public ----- */

void queue_init(struct queues *all)
{
    *all = (struct queues){.lanes_len = 0};
    list_init(&all->open);
}

void queue_deinit(struct queues *all)
{
    size_t pos = 0;

    for (uint32_t i = 0; i < all->lanes_len; i++)
        lane_free(all->lanes[i].lane);
    for (struct queue *q; (q = map_next(&all->by_name, &pos));)
        queue_free(q);
    map_deinit(&all->by_name);
    entry_deinit(&all->entries);
    free(all->lanes);
}

struct queue *queue_find(const struct queues *all, const char *name)
{
    return map_find_name(&all->by_name, name);
}

int queue_add(struct queues *all, const char *name, struct queue **ret)
{
    if (all->by_name.len >= QUEUES_MAX)
        return -ENOSPC;

    struct queue *q = calloc(1, sizeof *q);

    if (!q)
        return -ENOMEM;
    q->record.name = str_dup(name);
    if (!q->record.name || map_put_name(&all->by_name, q->record.name, q) < 0) {
        queue_free(q);
        return -ENOMEM;
    }
    list_init(&q->ring);
    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        list_init(&q->rings[kind]);
    q->oldest = q->newest = ENTRY_NONE;
    *ret = q;
    return 0;
}

void queue_remove(struct queues *all, struct queue *q)
{
    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        assert_always(!q->plain[kind] && q->keyed[kind].len == 0);
    list_remove(&q->ring);
    map_remove_name(&all->by_name, q->record.name);
    queue_free(q);
}

void queue_refresh(struct queues *all, struct queue *q)
{
    uint32_t limit = q->record.concurrency;
    bool opened = q->ready_kinds && !q->record.paused && (!limit || q->running < limit);

    if (opened == !list_is_empty(&q->ring))
        return;
    if (opened)
        list_push_back(&all->open, &q->ring);
    else
        list_remove(&q->ring);
}

void queue_refresh_keys(struct queues *all, struct queue *q)
{
    for (unsigned kind = 1; kind < KIND_COUNT; kind++) {
        size_t pos = 0;

        for (struct lane *lane; (lane = map_next(&q->keyed[kind], &pos));)
            lane_refresh(all, lane);
    }
    queue_refresh(all, q);
}

void queue_running(struct queues *all, struct lane *lane, int n)
{
    struct lane *l = lane;

    lane->running += (uint32_t)n;
    lane->queue->running += (uint32_t)n;
    do
        lane_refresh(all, l);
    while ((l = l->sibling) != lane);
    queue_refresh(all, lane->queue);
}

bool queue_lane_open(const struct lane *lane)
{
    return lane->ready.len > 0 && !key_is_full(lane);
}

int queue_lane(struct queues *all, struct queue *q, enum job_kind kind, const char *key,
               struct lane **ret)
{
    struct lane *lane = lane_lookup(q, kind, key);

    if (lane) {
        *ret = lane;
        return 0;
    }
    return lane_add(all, q, kind, key, ret);
}

void queue_lane_leave(struct queues *all, struct lane *lane)
{
    assert_always(lane->jobs > 0);
    lane->jobs--;
    idle_list(all, lane);
}

void queue_sweep(struct queues *all, bool trim)
{
    while (all->idle) {
        struct lane *lane = all->lanes[all->idle - 1].lane;

        all->idle = lane->idle_next;
        lane->idle_listed = false;
        if (lane->jobs == 0)
            lane_remove(all, lane);
        else if (trim)
            order_trim(&lane->ready);
    }
}

void queue_ready(struct queues *all, uint32_t index)
{
    const struct entry *e = entry_at(&all->entries, index);
    struct lane *lane = queue_lane_of(all, e);
    uint32_t older = age_place(all, lane->queue, e->run_at_ms);
    uint32_t newer =
        older == ENTRY_NONE ? lane->queue->oldest : entry_at(&all->entries, older)->newer;

    age_insert(all, lane->queue, index, older, newer);
    ready_push(all, lane, index);
}

void queue_ready_again(struct queues *all, uint32_t index)
{
    const struct entry *e = entry_at(&all->entries, index);
    struct lane *lane = queue_lane_of(all, e);

    age_insert(all, lane->queue, index, e->older, e->newer);
    ready_push(all, lane, index);
}

void queue_unready(struct queues *all, uint32_t index)
{
    struct entry *e = entry_at(&all->entries, index);
    struct lane *lane = queue_lane_of(all, e);
    struct queue *q = lane->queue;

    age_remove(all, q, e);
    order_remove(&lane->ready, &all->entries, index);
    all->ready[lane->kind]--;
    lane_refresh(all, lane);
}

uint32_t queue_pick_in(struct queues *all, struct queue *q, uint32_t kinds)
{
    struct lane *first = turn_pick(q, q->ready_kinds & kinds);

    return first ? order_peek(&lane_pick(all, first, kinds)->ready) : ENTRY_NONE;
}

uint32_t queue_pick(struct queues *all, uint32_t kinds)
{
    struct list *first = all->open.next;

    for (unsigned kind = 1; kind < KIND_COUNT; kind++) {
        if (!all->ready[kind])
            kinds &= ~(1u << kind);
    }
    if (!kinds || list_is_empty(&all->open))
        return ENTRY_NONE;
    do {
        struct queue *q = container_of(all->open.next, struct queue, ring);
        uint32_t index;

        list_remove(&q->ring);
        list_push_back(&all->open, &q->ring);
        index = queue_pick_in(all, q, kinds);
        if (index != ENTRY_NONE)
            return index;
    } while (all->open.next != first);
    return ENTRY_NONE;
}

int queue_sort_ages(struct queues *all, struct queue *q)
{
    size_t count = q->counts[JOB_QUEUED], at = 0;

    if (count < 2)
        return 0;

    uint32_t *order = malloc(count * sizeof *order);

    if (!order)
        return -ENOMEM;
    for (uint32_t i = q->oldest; i != ENTRY_NONE; i = entry_at(&all->entries, i)->newer)
        order[at++] = i;
    assert_always(at == count);
    if (ages_are_sorted(all, order, count)) {
        free(order);
        return 0;
    }
    qsort_r(order, count, sizeof *order, by_age, &all->entries);
    q->oldest = q->newest = ENTRY_NONE;
    for (size_t i = 0; i < count; i++)
        age_insert(all, q, order[i], q->newest, ENTRY_NONE);
    free(order);
    return 0;
}
