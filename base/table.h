/* table.h: a hash table of items that are named by numbers of 32 bits and chained through a
 * field of their own. It grows and shrinks by one bucket at a time, or two, so no step is long,
 * however many items there are: linear hashing (Litwin, "Linear hashing: a new tool for file
 * and table addressing", 1980).
 *
 * How it works. There are three buckets for four items, any number of them, not a power of two.
 * Bucket b was split off from the one whose number is b without its highest bit; an item whose
 * bits name a bucket that there is not yet is in the one from which that will be split off. So
 * to grow is to walk one chain, to shrink is to join two. Heads lie in segments that are had
 * and given back one at a time.
 *
 * Open addressing with two tables, of which the old one empties step by step, was rejected: it
 * takes 5 to 11 bytes an item, 16 while it moves, where this takes 7 to 9 with the link; and it
 * fails when it cannot grow, where here chains become longer: only the first item can fail.
 *
 * Who looks for an item walks the chain himself, as only he knows what makes two items equal:
 *
 *     for (uint32_t i = table_chain(t, hash); i; i = item(i)->link)
 *
 * L1  mask is the smallest 2^k - 1 that is not below buckets - 1.
 * L2  each item is in the bucket of its hash, once.
 * L3  there are three to five buckets for four items, give or take one; fewer only as long as
 *     growing fails for want of memory.
 *
 * Of one thread at a time. */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* How it sees its owner's items; a link of 0 ends a chain. */
struct table_items {
    uint32_t *(*link)(const void *owner, uint32_t item);
    uint64_t (*hash)(const void *owner, uint32_t item);
};

struct table {
    uint32_t **segments;
    uint32_t segments_cap;
    uint32_t buckets, mask, len;
};

void table_deinit(struct table *t); /* a zeroed table is an empty one */
/* item is not in it. 0, or -ENOMEM for the first one of all. */
int table_add(struct table *t, const struct table_items *items, const void *owner,
              uint32_t item);
void table_remove(struct table *t, const struct table_items *items, const void *owner,
                  uint32_t item); /* it must be there */
/* The first item of the bucket where those of this hash are; 0 = none. */
uint32_t table_chain(const struct table *t, uint64_t hash);
/* The first item of bucket b < buckets, for a walk over all. */
uint32_t table_bucket(const struct table *t, uint32_t b);
size_t table_bytes(const struct table *t);

/* Spreads what is not yet spread: neighbours in, strangers out. */
uint64_t table_mix(uint64_t x);

#endif
