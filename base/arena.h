/* arena.h: small items by the million, named by numbers of 32 bits, half the size of pointers,
 * and without the 8 to 24 bytes that malloc adds to each.
 *
 * Memory comes in chunks of 64 KiB; a chunk holds items of one size, counted in grains of 4
 * bytes, and a reference is the number of its chunk and the grain within it. So an item never
 * moves, whatever its size is found with two loads, and 16 GiB can be named. A chunk without
 * items is given back, but one of each size is kept, so that a crowd around a chunk's edge does
 * not ask the kernel at each step. No step costs more than one chunk.
 *
 * R1  A chunk is in the ring of its size exactly while it has room; the empty one, of which
 *     there is at most one a size, stands last, so that the others fill up first.
 * R2  Reference 0 names nothing.
 * R3  Items whose size is a multiple of 8 lie on 8, others on 4.
 * R4  An item that was never used is zero; of one that was dropped the first two bytes are the
 *     arena's, and the rest stays as it was left.
 *
 * Of one thread at a time. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define ARENA_GRAIN 4
#define ARENA_GRAIN_BITS 14 /* of a reference: the grain within the chunk */
#define ARENA_CHUNK_BYTES (ARENA_GRAIN << ARENA_GRAIN_BITS)
#define ARENA_ITEM_MAX 256 /* bytes */
#define ARENA_SIZES (ARENA_ITEM_MAX / ARENA_GRAIN + 1)

struct arena_chunk {
    uint32_t next, prev; /* of its ring (R1); next also chains numbers without a chunk */
    uint16_t size;       /* of its items, in grains */
    uint16_t used;       /* items */
    uint16_t dropped;    /* chain of dropped items: grain + 1 */
    uint16_t fresh;      /* grains from here on were never used */
};

struct arena {
    char **memory; /* by number of the chunk, NULL = none has it */
    struct arena_chunk *chunks;
    uint32_t len, cap, free, count; /* count: chunks there are */
    uint32_t rings[ARENA_SIZES];    /* the first chunk with room, by size */
};

void arena_deinit(struct arena *a); /* a zeroed arena is an empty one */
/* A new item of so many bytes, at most ARENA_ITEM_MAX (R4); 0 without memory. */
uint32_t arena_add(struct arena *a, size_t bytes);
void arena_drop(struct arena *a, uint32_t ref);
size_t arena_bytes(const struct arena *a); /* of its chunks */
/* Every item that was ever used, dropped ones as well, of an arena that has one size only; 0
 * ends. Start with *pos = 0. Items may come and go between: a walk may go on later. */
uint32_t arena_next(const struct arena *a, uint32_t *pos);

static inline void *arena_at(const struct arena *a, uint32_t ref)
{
    return a->memory[ref >> ARENA_GRAIN_BITS] +
           (size_t)(ref & ((1u << ARENA_GRAIN_BITS) - 1)) * ARENA_GRAIN;
}

#endif
