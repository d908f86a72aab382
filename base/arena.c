#include "base/arena.h"

#include "base/err.h"
#include "base/pages.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define GRAINS (1u << ARENA_GRAIN_BITS)
#define CHUNKS_FIRST 8
#define CHUNKS_MAX (1u << (32 - ARENA_GRAIN_BITS))

/* ----- rings (R1): the last one's next is the first, the first one's prev the last ----- */

static void ring_join(struct arena *a, uint32_t n, bool last)
{
    struct arena_chunk *c = &a->chunks[n];
    uint32_t *first = &a->rings[c->size];

    if (!*first) {
        *first = c->next = c->prev = n;
        return;
    }
    c->next = *first;
    c->prev = a->chunks[*first].prev;
    a->chunks[c->prev].next = n;
    a->chunks[c->next].prev = n;
    if (!last)
        *first = n;
}

static void ring_leave(struct arena *a, uint32_t n)
{
    const struct arena_chunk *c = &a->chunks[n];
    uint32_t *first = &a->rings[c->size];

    a->chunks[c->prev].next = c->next;
    a->chunks[c->next].prev = c->prev;
    if (*first == n)
        *first = c->next == n ? 0 : c->next;
}

static bool has_room(const struct arena_chunk *c)
{
    return c->dropped || c->fresh + c->size <= GRAINS;
}

/* ----- chunks ----- */

static int numbers_grow(struct arena *a)
{
    uint32_t cap = a->cap ? a->cap * 2 : CHUNKS_FIRST;
    struct arena_chunk *chunks;
    char **memory;

    if (cap > CHUNKS_MAX)
        return -ENOMEM;
    memory = reallocarray(a->memory, cap, sizeof *memory);
    if (!memory)
        return -ENOMEM;
    a->memory = memory;
    chunks = reallocarray(a->chunks, cap, sizeof *chunks);
    if (!chunks)
        return -ENOMEM;
    a->chunks = chunks;
    a->cap = cap;
    if (!a->len)
        a->memory[a->len++] = NULL; /* R2 */
    return 0;
}

static int chunk_new(struct arena *a, uint16_t size)
{
    if (!a->free && a->len == a->cap && numbers_grow(a) < 0)
        return -ENOMEM;

    char *memory = pages_new(ARENA_CHUNK_BYTES);
    uint32_t n = a->free ? a->free : a->len;

    if (!memory)
        return -ENOMEM;
    if (a->free)
        a->free = a->chunks[n].next;
    else
        a->len++;
    a->memory[n] = memory;
    a->chunks[n] = (struct arena_chunk){.size = size};
    a->count++;
    ring_join(a, n, true);
    return 0;
}

static void chunk_free(struct arena *a, uint32_t n)
{
    ring_leave(a, n);
    pages_free(a->memory[n], ARENA_CHUNK_BYTES);
    a->memory[n] = NULL;
    a->chunks[n].next = a->free;
    a->free = n;
    a->count--;
}

/* Of two empty chunks of a size one goes. */
static void chunk_emptied(struct arena *a, uint32_t n)
{
    uint32_t last = a->chunks[a->rings[a->chunks[n].size]].prev;

    if (last != n && a->chunks[last].used == 0) {
        chunk_free(a, n);
        return;
    }
    ring_leave(a, n);
    ring_join(a, n, true);
}

/* ----- public ----- */

void arena_deinit(struct arena *a)
{
    for (uint32_t n = 0; n < a->len; n++)
        pages_free(a->memory[n], ARENA_CHUNK_BYTES);
    free(a->memory);
    free(a->chunks);
    *a = (struct arena){.len = 0};
}

uint32_t arena_add(struct arena *a, size_t bytes)
{
    uint16_t size = (uint16_t)((bytes + ARENA_GRAIN - 1) / ARENA_GRAIN);

    assert_always(bytes > 0 && bytes <= ARENA_ITEM_MAX);
    if (!a->rings[size] && chunk_new(a, size) < 0)
        return 0;

    uint32_t n = a->rings[size], grain;
    struct arena_chunk *c = &a->chunks[n];

    if (c->dropped) {
        grain = c->dropped - 1u;
        memcpy(&c->dropped, a->memory[n] + (size_t)grain * ARENA_GRAIN, sizeof c->dropped);
    } else {
        grain = c->fresh;
        c->fresh = (uint16_t)(c->fresh + size);
    }
    c->used++;
    if (!has_room(c))
        ring_leave(a, n);
    return n << ARENA_GRAIN_BITS | grain;
}

void arena_drop(struct arena *a, uint32_t ref)
{
    uint32_t n = ref >> ARENA_GRAIN_BITS, grain = ref & (GRAINS - 1);
    struct arena_chunk *c = &a->chunks[n];
    bool joins = !has_room(c);

    assert_always(c->used > 0);
    memcpy(arena_at(a, ref), &c->dropped, sizeof c->dropped);
    c->dropped = (uint16_t)(grain + 1);
    if (joins)
        ring_join(a, n, false);
    if (--c->used == 0)
        chunk_emptied(a, n);
}

size_t arena_bytes(const struct arena *a)
{
    return (size_t)a->count * ARENA_CHUNK_BYTES;
}

uint32_t arena_next(const struct arena *a, uint32_t *pos)
{
    uint32_t n = *pos >> ARENA_GRAIN_BITS, grain = *pos & (GRAINS - 1);

    for (; n < a->len; n++, grain = 0) {
        const struct arena_chunk *c = &a->chunks[n];

        if (!a->memory[n] || grain >= c->fresh)
            continue;
        *pos = (n << ARENA_GRAIN_BITS) + grain + c->size;
        return n << ARENA_GRAIN_BITS | grain;
    }
    *pos = n << ARENA_GRAIN_BITS;
    return 0;
}
