#include "base/table.h"

#include "base/err.h"
#include "base/pages.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define SEGMENT_BITS 12
#define SEGMENT (1u << SEGMENT_BITS) /* heads */
#define SEGMENT_BYTES (SEGMENT * sizeof(uint32_t))
#define SEGMENTS_FIRST 4

static uint32_t *head(const struct table *t, uint32_t b)
{
    return &t->segments[b >> SEGMENT_BITS][b & (SEGMENT - 1)];
}

static uint32_t bucket_of(const struct table *t, uint64_t hash)
{
    uint32_t b = (uint32_t)hash & t->mask;

    return b < t->buckets ? b : b & t->mask >> 1;
}

static void push(uint32_t *to, const struct table_items *items, const void *owner,
                 uint32_t item)
{
    *items->link(owner, item) = *to;
    *to = item;
}

/* ----- one bucket more or less ----- */

/* Four items in three buckets: in half as many buckets, which would save a byte an item, new
 * keys came 15 % slower, as all that a chain has is looked at twice. */
static bool is_crowded(const struct table *t)
{
    return t->len - t->len / 4 >= t->buckets;
}

/* Not where it became crowded, so that items around an edge do not move it at each step. */
static bool is_sparse(const struct table *t)
{
    return t->buckets > 1 && t->len < t->buckets - t->buckets / 4;
}

static int segment_add(struct table *t)
{
    uint32_t n = t->buckets >> SEGMENT_BITS;

    if (n == t->segments_cap) {
        uint32_t cap = n ? n * 2 : SEGMENTS_FIRST;
        uint32_t **segments = reallocarray(t->segments, cap, sizeof *segments);

        if (!segments)
            return -ENOMEM;
        t->segments = segments;
        t->segments_cap = cap;
    }
    t->segments[n] = pages_new(SEGMENT_BYTES);
    return t->segments[n] ? 0 : -ENOMEM;
}

static int bucket_add(struct table *t)
{
    if ((t->buckets & (SEGMENT - 1)) == 0 && segment_add(t) < 0)
        return -ENOMEM;
    if (t->buckets > t->mask)
        t->mask = t->mask << 1 | 1;
    *head(t, t->buckets++) = 0;
    return 0;
}

/* Those of the parent that belong to the new last bucket go there. */
static void bucket_split(struct table *t, const struct table_items *items, const void *owner)
{
    if (bucket_add(t) < 0)
        return;

    uint32_t last = t->buckets - 1, *from = head(t, last & t->mask >> 1);

    while (*from) {
        uint32_t item = *from;

        if (bucket_of(t, items->hash(owner, item)) == last) {
            *from = *items->link(owner, item);
            push(head(t, last), items, owner, item);
        } else {
            from = items->link(owner, item);
        }
    }
}

/* The last bucket goes to the end of its parent's. */
static void bucket_join(struct table *t, const struct table_items *items, const void *owner)
{
    uint32_t last = t->buckets - 1, *to = head(t, last & t->mask >> 1);

    while (*to)
        to = items->link(owner, *to);
    *to = *head(t, last);
    t->buckets = last;
    if (last - 1 <= t->mask >> 1)
        t->mask >>= 1;
    if ((last & (SEGMENT - 1)) == 0)
        pages_free(t->segments[last >> SEGMENT_BITS], SEGMENT_BYTES);
}

/* ----- public ----- */

void table_deinit(struct table *t)
{
    for (uint32_t b = 0; b < t->buckets; b += SEGMENT)
        pages_free(t->segments[b >> SEGMENT_BITS], SEGMENT_BYTES);
    free(t->segments);
    *t = (struct table){.len = 0};
}

int table_add(struct table *t, const struct table_items *items, const void *owner,
              uint32_t item)
{
    if (t->buckets == 0 && bucket_add(t) < 0)
        return -ENOMEM;
    if (is_crowded(t))
        bucket_split(t, items, owner);
    push(head(t, bucket_of(t, items->hash(owner, item))), items, owner, item);
    t->len++;
    return 0;
}

void table_remove(struct table *t, const struct table_items *items, const void *owner,
                  uint32_t item)
{
    uint32_t *at = head(t, bucket_of(t, items->hash(owner, item)));

    while (*at != item) {
        assert_always(*at);
        at = items->link(owner, *at);
    }
    *at = *items->link(owner, item);
    t->len--;
    while (is_sparse(t)) /* twice at most */
        bucket_join(t, items, owner);
}

uint32_t table_chain(const struct table *t, uint64_t hash)
{
    return t->len ? *head(t, bucket_of(t, hash)) : 0;
}

uint32_t table_bucket(const struct table *t, uint32_t b)
{
    return *head(t, b);
}

size_t table_bytes(const struct table *t)
{
    return ((size_t)t->buckets + SEGMENT - 1) / SEGMENT * SEGMENT_BYTES +
           t->segments_cap * sizeof *t->segments;
}

/* The finalizer of MurmurHash3 (Appleby). */
uint64_t table_mix(uint64_t x)
{
    x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}
