#include "jobs/queue.h"

#include "base/err.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How far from the young end a job looks for its place by age. Beyond it the place is
 * approximate, which only the metric "oldest" could see. */
#define AGE_STEPS_MAX 64
#define NUMBERS_FIRST 16

/* ----- numbers ----- */

/* The first guess is right as long as no queue has gone. */
static int number_take(struct queues *all, struct queue *q)
{
    uint32_t n = (uint32_t)all->by_name.len;

    if (n == all->numbered_cap) {
        uint32_t cap = n ? n * 2 : NUMBERS_FIRST;
        struct queue **grown = reallocarray(all->numbered, cap, sizeof(struct queue *));

        if (!grown)
            return -ENOMEM;
        memset(grown + n, 0, (cap - n) * sizeof(struct queue *));
        all->numbered = grown;
        all->numbered_cap = cap;
    }
    while (all->numbered[n])
        n = (n + 1) % all->numbered_cap;
    all->numbered[n] = q;
    q->number = (uint16_t)n;
    return 0;
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

/* ----- rings ----- */

static void ring_add(struct queues *all, struct ring *ring, uint32_t at)
{
    struct lane *lane = lane_at(all, at);

    lane->next = 0;
    lane->prev = ring->last;
    *(ring->last ? &lane_at(all, ring->last)->next : &ring->first) = at;
    ring->last = at;
    lane->ringed = true;
}

static void ring_remove(struct queues *all, struct ring *ring, uint32_t at)
{
    struct lane *lane = lane_at(all, at);

    *(lane->prev ? &lane_at(all, lane->prev)->next : &ring->first) = lane->next;
    *(lane->next ? &lane_at(all, lane->next)->prev : &ring->last) = lane->prev;
    lane->ringed = false;
}

static void lane_to_back(struct queues *all, uint32_t at, uint64_t turn)
{
    struct lane *lane = lane_at(all, at);
    struct ring *ring = &queue_of_lane(all, lane)->rings[lane->kind];

    lane_set_turn(lane, turn);
    if (lane->ringed)
        ring_remove(all, ring, at);
    ring_add(all, ring, at);
}

/* ----- ready ----- */

static bool key_is_full(const struct queues *all, uint32_t at)
{
    const struct lane *lane = lane_at(all, at);
    uint32_t limit = queue_of_lane(all, lane)->record.key_concurrency, running = 0, l = at;

    if (!limit || !lane->key[0])
        return false;
    do
        running += lane_running(all, lane_at(all, l));
    while ((l = lane_sibling(all, l)) != at);
    return running >= limit;
}

/* Takes it into the round of its queue or out. */
static void lane_refresh(struct queues *all, uint32_t at)
{
    struct lane *lane = lane_at(all, at);
    struct queue *q = queue_of_lane(all, lane);
    bool opened = queue_lane_open(all, at);

    if (opened == lane->ringed)
        return;
    if (opened)
        lane_to_back(all, at, ++q->turns);
    else
        ring_remove(all, &q->rings[lane->kind], at);
    if (!q->rings[lane->kind].first)
        q->ready_kinds &= ~(1u << lane->kind);
    else
        q->ready_kinds |= 1u << lane->kind;
    queue_refresh(all, q);
}

static void ready_push(struct queues *all, uint32_t index)
{
    uint32_t lane = entry_at(&all->entries, index)->lane;

    lane_push(all, lane, index);
    all->ready[lane_at(all, lane)->kind]++;
    lane_refresh(all, lane);
}

/* ----- the choice ----- */

/* A lane of the key whose turn it is; 0 when the queue has nothing of these kinds. */
static uint32_t turn_pick(const struct queues *all, const struct queue *q, uint32_t kinds)
{
    uint32_t first = 0;

    for (unsigned kind = 1; kind < KIND_COUNT; kind++) {
        uint32_t at = kinds >> kind & 1 ? q->rings[kind].first : 0;

        if (at && (!first || lane_turn(lane_at(all, at)) < lane_turn(lane_at(all, first))))
            first = at;
    }
    return first;
}

/* Of the key's lanes of these kinds the best head; all of them had their turn. */
static uint32_t head_pick(struct queues *all, uint32_t first, uint32_t kinds)
{
    uint64_t turn = ++queue_of_lane(all, lane_at(all, first))->turns;
    uint32_t best = lane_head(all, lane_at(all, first)), at = first;

    do {
        const struct lane *lane = lane_at(all, at);

        if (!(kinds >> lane->kind & 1) || !lane->ringed)
            continue;
        lane_to_back(all, at, turn);
        if (order_before(ORDER_READY, &all->entries, lane_head(all, lane), best))
            best = lane_head(all, lane);
    } while ((at = lane_sibling(all, at)) != first);
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
    free(q->record.name);
    free(q);
}

/* ----- public ----- */

void queue_init(struct queues *all)
{
    *all = (struct queues){.numbered_cap = 0};
    list_init(&all->open);
}

void queue_deinit(struct queues *all)
{
    size_t pos = 0;

    for (struct queue *q; (q = map_next(&all->by_name, &pos));) {
        lane_free_crowds(all, q);
        queue_free(q);
    }
    map_deinit(&all->by_name);
    table_deinit(&all->by_key);
    arena_deinit(&all->lanes);
    entry_deinit(&all->entries);
    free(all->numbered);
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
    if (!q->record.name || number_take(all, q) < 0) {
        queue_free(q);
        return -ENOMEM;
    }
    if (map_put_name(&all->by_name, q->record.name, q) < 0) {
        all->numbered[q->number] = NULL;
        queue_free(q);
        return -ENOMEM;
    }
    list_init(&q->ring);
    q->oldest = q->newest = ENTRY_NONE;
    *ret = q;
    return 0;
}

void queue_remove(struct queues *all, struct queue *q)
{
    assert_always(q->lanes == 0);
    all->numbered[q->number] = NULL;
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
    for (uint32_t at = q->crowded; at; at = lane_crowd(all, lane_at(all, at))->next)
        lane_refresh(all, at);
    queue_refresh(all, q);
}

void queue_running(struct queues *all, uint32_t at, int n)
{
    struct queue *q = queue_of_lane(all, lane_at(all, at));
    uint32_t l = at;

    lane_add_running(all, lane_at(all, at), n);
    q->running += (uint32_t)n;
    do
        lane_refresh(all, l);
    while ((l = lane_sibling(all, l)) != at);
    queue_refresh(all, q);
}

bool queue_lane_open(const struct queues *all, uint32_t at)
{
    return lane_head(all, lane_at(all, at)) != ENTRY_NONE && !key_is_full(all, at);
}

void queue_ready(struct queues *all, uint32_t index)
{
    const struct entry *e = entry_at(&all->entries, index);
    struct queue *q = queue_of_lane(all, queue_lane_of(all, e));
    uint32_t older = age_place(all, q, e->run_at_ms);
    uint32_t newer = older == ENTRY_NONE ? q->oldest : entry_at(&all->entries, older)->newer;

    age_insert(all, q, index, older, newer);
    ready_push(all, index);
}

void queue_ready_again(struct queues *all, uint32_t index)
{
    const struct entry *e = entry_at(&all->entries, index);

    age_insert(all, queue_of_lane(all, queue_lane_of(all, e)), index, e->older, e->newer);
    ready_push(all, index);
}

void queue_unready(struct queues *all, uint32_t index)
{
    struct entry *e = entry_at(&all->entries, index);
    const struct lane *lane = queue_lane_of(all, e);

    age_remove(all, queue_of_lane(all, lane), e);
    lane_pull(all, e->lane, index);
    all->ready[lane->kind]--;
    lane_refresh(all, e->lane);
}

uint32_t queue_pick_in(struct queues *all, struct queue *q, uint32_t kinds)
{
    uint32_t first = turn_pick(all, q, q->ready_kinds & kinds);

    return first ? head_pick(all, first, kinds) : ENTRY_NONE;
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
