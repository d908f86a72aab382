#include "jobs/entry.h"

#include "base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAP_CAP_MIN 64
#define INDEX_MAX (UINT32_MAX / 2)

/* ----- chunks ----- */

/* Makes sure that the chunk of index len exists. chunks is an array of *cap pointers. */
static int chunk_reserve(void ***chunks, uint32_t *cap, uint32_t len, size_t item_bytes)
{
    uint32_t chunk = len / ENTRY_CHUNK;

    if (len >= INDEX_MAX)
        return -ENOMEM;
    if (chunk >= *cap) {
        uint32_t more = *cap ? *cap * 2 : 16;
        void **grown = reallocarray(*chunks, more, sizeof *grown);

        if (!grown)
            return -ENOMEM;
        memset(grown + *cap, 0, (more - *cap) * sizeof *grown);
        *chunks = grown;
        *cap = more;
    }
    if (!(*chunks)[chunk])
        (*chunks)[chunk] = calloc(ENTRY_CHUNK, item_bytes);
    return (*chunks)[chunk] ? 0 : -ENOMEM;
}

static void chunks_free(void **chunks, uint32_t cap)
{
    for (uint32_t i = 0; i < cap; i++)
        free(chunks[i]);
    free(chunks);
}

/* ----- map: linear probing, removals move the rest of the run back ----- */

static uint32_t home(const struct entries *all, uint64_t id)
{
    return (uint32_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (all->map_cap - 1);
}

static void map_insert(struct entries *all, uint64_t id, uint32_t index)
{
    uint32_t at = home(all, id);

    while (all->map[at])
        at = (at + 1) & (all->map_cap - 1);
    all->map[at] = index + 1;
}

static int map_grow(struct entries *all)
{
    uint32_t old_cap = all->map_cap, *old = all->map;
    uint32_t cap = old_cap ? old_cap * 2 : MAP_CAP_MIN;
    uint32_t *map = calloc(cap, sizeof *map);

    if (!map)
        return -ENOMEM;
    all->map = map;
    all->map_cap = cap;
    for (uint32_t i = 0; i < old_cap; i++) {
        if (old[i])
            map_insert(all, entry_at(all, old[i] - 1)->id, old[i] - 1);
    }
    free(old);
    return 0;
}

/* The slot that holds id; map_cap when none does. */
static uint32_t map_slot(const struct entries *all, uint64_t id)
{
    if (!all->map_cap)
        return 0;
    for (uint32_t at = home(all, id); all->map[at]; at = (at + 1) & (all->map_cap - 1)) {
        if (entry_at(all, all->map[at] - 1)->id == id)
            return at;
    }
    return all->map_cap;
}

static void map_remove_at(struct entries *all, uint32_t hole)
{
    uint32_t mask = all->map_cap - 1, at = hole;

    for (;;) {
        at = (at + 1) & mask;
        if (!all->map[at])
            break;

        uint32_t wants = home(all, entry_at(all, all->map[at] - 1)->id);

        /* It may fill the hole unless its home lies behind the hole, cyclically. */
        if (((at - wants) & mask) >= ((at - hole) & mask)) {
            all->map[hole] = all->map[at];
            hole = at;
        }
    }
    all->map[hole] = 0;
}

/* ----- public ----- */

void entry_deinit(struct entries *all)
{
    chunks_free((void **)all->chunks, all->chunk_cap);
    chunks_free((void **)all->extra_chunks, all->extra_cap);
    free(all->map);
    *all = (struct entries){.free = 0};
}

/* Free chains hold index + 1, so that a zeroed struct has empty chains. */
int entry_add(struct entries *all, uint64_t id, uint32_t *ret)
{
    uint32_t index = all->free ? all->free - 1 : all->len;
    int r;

    if (all->map_len + 1 > all->map_cap / 4 * 3) {
        r = map_grow(all);
        if (r < 0)
            return r;
    }
    if (!all->free) {
        r = chunk_reserve((void ***)&all->chunks, &all->chunk_cap, all->len,
                          sizeof(struct entry));
        if (r < 0)
            return r;
        all->len++;
    } else {
        all->free = entry_at(all, index)->lane;
    }
    *entry_at(all, index) =
        (struct entry){.id = id, .extra = ENTRY_NONE, .older = ENTRY_NONE, .newer = ENTRY_NONE};
    map_insert(all, id, index);
    all->map_len++;
    *ret = index;
    return 0;
}

int entry_extend(struct entries *all, struct entry *e)
{
    if (e->extra != ENTRY_NONE)
        return 0;

    uint32_t index = all->extra_free ? all->extra_free - 1 : all->extra_len;

    if (!all->extra_free) {
        int r = chunk_reserve((void ***)&all->extra_chunks, &all->extra_cap, all->extra_len,
                              sizeof(struct extra));

        if (r < 0)
            return r;
        all->extra_len++;
    }
    e->extra = index;
    if (all->extra_free)
        all->extra_free = entry_extra(all, e)->at;
    *entry_extra(all, e) = (struct extra){.at = ENTRY_NONE};
    return 0;
}

void entry_extra_drop(struct entries *all, struct entry *e)
{
    if (e->extra == ENTRY_NONE)
        return;
    entry_extra(all, e)->at = all->extra_free;
    all->extra_free = e->extra + 1;
    e->extra = ENTRY_NONE;
}

uint32_t entry_find(const struct entries *all, uint64_t id)
{
    uint32_t at = map_slot(all, id);

    return at == all->map_cap ? ENTRY_NONE : all->map[at] - 1;
}

void entry_remove(struct entries *all, uint32_t index)
{
    struct entry *e = entry_at(all, index);
    uint32_t at = map_slot(all, e->id);

    assert_always(at != all->map_cap && all->map[at] == index + 1);
    map_remove_at(all, at);
    all->map_len--;
    entry_extra_drop(all, e);
    e->lane = all->free;
    e->state = 0;
    all->free = index + 1;
}

uint32_t entry_next(const struct entries *all, uint32_t *pos)
{
    while (*pos < all->len) {
        uint32_t index = (*pos)++;

        if (entry_at(all, index)->state)
            return index;
    }
    return ENTRY_NONE;
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
        return earlier(e->fence == 0 ? x->start_by_at_ms : 0, x->retry_until_at_ms);
    if (!x->lease_until_ms || e->state == JOB_STOPPING)
        return x->lease_until_ms;
    return earlier(x->lease_until_ms, x->timeout_at_ms);
}
