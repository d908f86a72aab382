#include "jobs/lane.h"

#include "base/err.h"
#include "jobs/queue.h"

#include <errno.h>
#include <string.h>

#define ALONE_BYTES offsetof(struct lane, key)

/* ----- keys ----- */

static uint64_t key_hash(const struct queue *q, const char *key)
{
    return map_name_hash(key) ^ table_mix(q->number);
}

static uint32_t *link_of(const void *owner, uint32_t at)
{
    return &lane_at(owner, at)->link;
}

static uint64_t hash_of(const void *owner, uint32_t at)
{
    const struct lane *lane = lane_at(owner, at);

    return key_hash(queue_of_lane(owner, lane), lane->key);
}

static const struct table_items by_key = {link_of, hash_of};

/* Or one of the same key and another kind, if there is only that. */
static uint32_t find_keyed(const struct queues *all, const struct queue *q, unsigned kind,
                           const char *key)
{
    uint32_t at = table_chain(&all->by_key, key_hash(q, key)), other = 0;

    for (; at; at = lane_at(all, at)->link) {
        const struct lane *lane = lane_at(all, at);

        if (lane->queue != q->number || strcmp(lane->key, key) != 0)
            continue;
        if (lane->kind == kind)
            return at;
        other = at;
    }
    return other;
}

static uint32_t find_plain(const struct queue *q, unsigned kind)
{
    uint32_t at = q->plain[kind];

    for (unsigned other = 1; !at && other < KIND_COUNT; other++)
        at = q->plain[other];
    return at;
}

/* ----- crowds ----- */

static void crowd_link(struct queues *all, struct queue *q, uint32_t at)
{
    struct crowd *c = lane_crowd(all, lane_at(all, at));

    c->prev = 0;
    c->next = q->crowded;
    if (c->next)
        lane_crowd(all, lane_at(all, c->next))->prev = at;
    q->crowded = at;
}

static void crowd_unlink(struct queues *all, struct queue *q, const struct crowd *c)
{
    *(c->prev ? &lane_crowd(all, lane_at(all, c->prev))->next : &q->crowded) = c->next;
    if (c->next)
        lane_crowd(all, lane_at(all, c->next))->prev = c->prev;
}

static int crowd_add(struct queues *all, uint32_t at)
{
    struct lane *lane = lane_at(all, at);
    struct order ready = {.kind = ORDER_READY};
    uint32_t slot;

    if (lane->crowded)
        return 0;
    if (order_reserve(&ready, 1) < 0)
        return -ENOMEM;
    slot = arena_add(&all->lanes, sizeof(struct crowd));
    if (!slot) {
        order_deinit(&ready);
        return -ENOMEM;
    }
    if (lane->ready)
        order_push(&ready, &all->entries, lane->slot);
    lane->slot = slot;
    lane->crowded = true;
    *lane_crowd(all, lane) = (struct crowd){
        .ready = ready, .jobs = lane->has_job, .running = lane->running, .sibling = at};
    crowd_link(all, queue_of_lane(all, lane), at);
    return 0;
}

static void crowd_drop(struct queues *all, uint32_t at)
{
    struct lane *lane = lane_at(all, at);
    uint32_t slot = lane->slot;
    struct crowd *c = lane_crowd(all, lane);

    crowd_unlink(all, queue_of_lane(all, lane), c);
    lane->crowded = false;
    lane->has_job = c->jobs;
    lane->running = c->running;
    lane->ready = c->ready.len;
    lane->slot = order_peek(&c->ready);
    order_deinit(&c->ready);
    arena_drop(&all->lanes, slot);
}

/* N1 */
static void crowd_settle(struct queues *all, uint32_t at)
{
    const struct lane *lane = lane_at(all, at);

    if (lane->crowded && lane_crowd(all, lane)->jobs < 2 && lane_sibling(all, at) == at)
        crowd_drop(all, at);
}

/* ----- siblings ----- */

/* Both have crowds. */
static void sibling_join(struct queues *all, uint32_t at, uint32_t other)
{
    struct crowd *c = lane_crowd(all, lane_at(all, at));
    struct crowd *o = lane_crowd(all, lane_at(all, other));

    c->sibling = o->sibling;
    o->sibling = at;
}

static void sibling_leave(struct queues *all, uint32_t at)
{
    uint32_t before = at, after = lane_sibling(all, at);

    if (after == at)
        return;
    while (lane_sibling(all, before) != at)
        before = lane_sibling(all, before);
    lane_crowd(all, lane_at(all, before))->sibling = after;
    lane_crowd(all, lane_at(all, at))->sibling = at;
    crowd_settle(all, before);
}

/* ----- coming and going ----- */

static int lane_new(struct queues *all, struct queue *q, unsigned kind, const char *key,
                    uint32_t *ret)
{
    size_t key_bytes = strlen(key) + 1;
    uint32_t at = arena_add(&all->lanes, ALONE_BYTES + key_bytes);

    if (!at)
        return -ENOMEM;

    struct lane *lane = lane_at(all, at);

    memset(lane, 0, ALONE_BYTES);
    lane->queue = q->number;
    lane->kind = kind & 7;
    memcpy(lane->key, key, key_bytes);
    *ret = at;
    return 0;
}

static void lane_drop(struct queues *all, uint32_t at)
{
    if (lane_at(all, at)->crowded)
        crowd_drop(all, at);
    arena_drop(&all->lanes, at);
}

/* other: of the same key, 0 = there is none. */
static int lane_add(struct queues *all, struct queue *q, unsigned kind, const char *key,
                    uint32_t other, uint32_t *ret)
{
    uint32_t at;

    if (lane_new(all, q, kind, key ? key : "", &at) < 0)
        return -ENOMEM;
    if ((other && (crowd_add(all, at) < 0 || crowd_add(all, other) < 0)) ||
        (key && table_add(&all->by_key, &by_key, all, at) < 0)) {
        lane_drop(all, at);
        if (other)
            crowd_settle(all, other);
        return -ENOMEM;
    }
    if (other)
        sibling_join(all, at, other);
    if (!key)
        q->plain[kind] = at;
    q->lanes++;
    *ret = at;
    return 0;
}

static void lane_remove(struct queues *all, uint32_t at)
{
    struct lane *lane = lane_at(all, at);
    struct queue *q = queue_of_lane(all, lane);

    if (lane->key[0])
        table_remove(&all->by_key, &by_key, all, at);
    else
        q->plain[lane->kind] = 0;
    sibling_leave(all, at);
    q->lanes--;
    lane_drop(all, at);
}

/* ----- public ----- */

int lane_get(struct queues *all, struct queue *q, enum job_kind kind, const char *key,
             uint32_t *ret)
{
    uint32_t at = key ? find_keyed(all, q, kind, key) : find_plain(q, kind);

    if (!at || lane_at(all, at)->kind != kind)
        return lane_add(all, q, kind, key, at, ret);
    if (crowd_add(all, at) < 0)
        return -ENOMEM;
    *ret = at;
    return 0;
}

void lane_tidy(struct queues *all, uint32_t at)
{
    if (lane_jobs(all, lane_at(all, at)) == 0)
        lane_remove(all, at);
    else
        crowd_settle(all, at);
}

int lane_reserve(struct queues *all, uint32_t at)
{
    const struct lane *lane = lane_at(all, at);
    struct order *ready = lane_ready(all, lane);

    return ready ? order_reserve(ready, ready->len + 1) : 0;
}

void lane_join(struct queues *all, uint32_t at)
{
    struct lane *lane = lane_at(all, at);

    if (lane->crowded)
        lane_crowd(all, lane)->jobs++;
    else
        lane->has_job = true;
}

void lane_leave(struct queues *all, uint32_t at, bool trim)
{
    struct lane *lane = lane_at(all, at);

    if (!lane->crowded) {
        lane->has_job = false;
    } else {
        lane_crowd(all, lane)->jobs--;
        if (trim)
            order_trim(&lane_crowd(all, lane)->ready);
    }
    lane_tidy(all, at);
}

void lane_push(struct queues *all, uint32_t at, uint32_t index)
{
    struct lane *lane = lane_at(all, at);

    if (lane->crowded) {
        order_push(&lane_crowd(all, lane)->ready, &all->entries, index);
        return;
    }
    assert_always(!lane->ready);
    lane->ready = true;
    lane->slot = index;
    entry_at(&all->entries, index)->at = 0;
}

void lane_pull(struct queues *all, uint32_t at, uint32_t index)
{
    struct lane *lane = lane_at(all, at);

    if (lane->crowded) {
        order_remove(&lane_crowd(all, lane)->ready, &all->entries, index);
        return;
    }
    assert_always(lane->ready && lane->slot == index);
    lane->ready = false;
    lane->slot = 0;
    entry_at(&all->entries, index)->at = ORDER_NONE;
}

void lane_add_running(struct queues *all, struct lane *lane, int n)
{
    if (lane->crowded)
        lane_crowd(all, lane)->running += (uint32_t)n;
    else
        lane->running = n > 0;
}

void lane_free_crowds(struct queues *all, struct queue *q)
{
    while (q->crowded)
        crowd_drop(all, q->crowded);
}

/* First those with a key, bucket by bucket, then the plain ones of each queue. */
uint32_t lane_next(const struct queues *all, struct lane_walk *walk)
{
    if (walk->at)
        walk->at = lane_at(all, walk->at)->link;
    while (!walk->at && walk->bucket < all->by_key.buckets)
        walk->at = table_bucket(&all->by_key, walk->bucket++);
    if (walk->at)
        return walk->at;
    for (; walk->number < all->numbered_cap; walk->number++, walk->kind = 0) {
        const struct queue *q = all->numbered[walk->number];

        while (q && walk->kind < KIND_COUNT) {
            uint32_t at = q->plain[walk->kind++];

            if (at)
                return at;
        }
    }
    return 0;
}
