#include "jobs/entry.h"

#include <errno.h>

_Static_assert(sizeof(struct entry) == 48, "a million jobs wait");

/* ----- ids ----- */

static uint32_t *link_of(const void *owner, uint32_t index)
{
    return &entry_at(owner, index)->link;
}

/* Sixteen ids in a row lie in sixteen neighbouring buckets, one line of the cache, in an order
 * that is the sixteen's own: whatever pattern of ids is left over still spreads. */
static uint64_t id_hash(uint64_t id)
{
    uint64_t x = table_mix(id >> 4);

    return (x << 4 | x >> 60) ^ (id & 15);
}

static uint64_t hash_of(const void *owner, uint32_t index)
{
    return id_hash(entry_at(owner, index)->id);
}

static const struct table_items by_id = {link_of, hash_of};

/* ----- public ----- */

void entry_deinit(struct entries *all)
{
    arena_deinit(&all->entries);
    arena_deinit(&all->extras);
    table_deinit(&all->by_id);
}

int entry_add(struct entries *all, uint64_t id, uint32_t *ret)
{
    uint32_t index = arena_add(&all->entries, sizeof(struct entry));

    if (!index)
        return -ENOMEM;
    *entry_at(all, index) = (struct entry){.id = id};
    if (table_add(&all->by_id, &by_id, all, index) < 0) {
        arena_drop(&all->entries, index);
        return -ENOMEM;
    }
    *ret = index;
    return 0;
}

int entry_extend(struct entries *all, struct entry *e)
{
    if (e->extra != ENTRY_NONE)
        return 0;

    uint32_t index = arena_add(&all->extras, sizeof(struct extra));

    if (!index)
        return -ENOMEM;
    e->extra = index;
    *entry_extra(all, e) = (struct extra){.at = ORDER_NONE};
    return 0;
}

void entry_extra_drop(struct entries *all, struct entry *e)
{
    if (e->extra == ENTRY_NONE)
        return;
    arena_drop(&all->extras, e->extra);
    e->extra = ENTRY_NONE;
}

uint32_t entry_find(const struct entries *all, uint64_t id)
{
    uint32_t index = table_chain(&all->by_id, id_hash(id));

    while (index && entry_at(all, index)->id != id)
        index = entry_at(all, index)->link;
    return index;
}

/* Without a state entry_next does not see it any more. */
void entry_remove(struct entries *all, uint32_t index)
{
    struct entry *e = entry_at(all, index);

    table_remove(&all->by_id, &by_id, all, index);
    entry_extra_drop(all, e);
    e->state = 0;
    arena_drop(&all->entries, index);
}

uint32_t entry_next(const struct entries *all, uint32_t *pos)
{
    uint32_t index;

    while ((index = arena_next(&all->entries, pos)) && !entry_at(all, index)->state)
        ;
    return index;
}

/* 0 is never. */
static int64_t earlier(int64_t a, int64_t b)
{
    if (!a || !b)
        return a ? a : b;
    return a < b ? a : b;
}

int64_t entry_expiry_ms(const struct entry *e, const struct extra *x)
{
    if (!x)
        return 0;
    if (!job_state_is_live(e->state))
        return earlier(x->fence == 0 ? x->start_by_at_ms : 0, x->retry_until_at_ms);
    if (!x->lease_until_ms || e->state == JOB_STOPPING)
        return x->lease_until_ms;
    return earlier(x->lease_until_ms, x->timeout_at_ms);
}
