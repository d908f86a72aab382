/* Linear probing with at most 3/4 of the slots in use. A removal moves later entries of the
 * run back (Knuth, The Art of Computer Programming 3, 6.4 algorithm R), so there are no
 * tombstones and a map that lives for months does not decay. */
#include "base/map.h"

#include "base/table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CAP_MIN 16

/* ----- hashes ----- */

static uint64_t seed[2];

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

/* SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012). */
uint64_t map_name_hash(const char *s)
{
    size_t len = strlen(s);
    uint64_t last = (uint64_t)len << 56, word;
    uint64_t v[4] = {
        seed[0] ^ UINT64_C(0x736f6d6570736575), seed[1] ^ UINT64_C(0x646f72616e646f6d),
        seed[0] ^ UINT64_C(0x6c7967656e657261), seed[1] ^ UINT64_C(0x7465646279746573)};

    for (; len >= sizeof word; s += sizeof word, len -= sizeof word) {
        memcpy(&word, s, sizeof word);
        sip_word(v, word);
    }
    word = 0;
    memcpy(&word, s, len);
    sip_word(v, word | last);
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ----- slots ----- */

static size_t home(const struct map *m, uint64_t key)
{
    return (size_t)table_mix(key) & (m->cap - 1);
}

static bool slot_is(const struct map_slot *s, uint64_t key, const char *name)
{
    return s->key == key && (!name || strcmp(s->name, name) == 0);
}

/* The slot of that key, or the free one where it belongs; the map has a free slot. */
static struct map_slot *slot_find(const struct map *m, uint64_t key, const char *name)
{
    size_t at = home(m, key);

    while (m->slots[at].value && !slot_is(&m->slots[at], key, name))
        at = (at + 1) & (m->cap - 1);
    return &m->slots[at];
}

static int resize(struct map *m, size_t cap)
{
    struct map to = {.slots = calloc(cap, sizeof *to.slots), .len = m->len, .cap = cap};

    if (!to.slots)
        return -ENOMEM;
    for (size_t i = 0; i < m->cap; i++) {
        const struct map_slot *s = &m->slots[i];
        size_t at = s->value ? home(&to, s->key) : 0;

        if (!s->value)
            continue;
        while (to.slots[at].value)
            at = (at + 1) & (cap - 1);
        to.slots[at] = *s;
    }
    free(m->slots);
    *m = to;
    return 0;
}

static void *find(const struct map *m, uint64_t key, const char *name)
{
    return m->len ? slot_find(m, key, name)->value : NULL;
}

static int put(struct map *m, uint64_t key, const char *name, void *value)
{
    if (m->len >= m->cap / 4 * 3) {
        int r = resize(m, m->cap ? m->cap * 2 : CAP_MIN);

        if (r < 0)
            return r;
    }

    struct map_slot *s = slot_find(m, key, name);

    m->len += !s->value;
    *s = (struct map_slot){.key = key, .name = name, .value = value};
    return 0;
}

/* Closes the hole: an entry further on in the run moves into it unless its home lies behind
 * the hole, that is, unless it is nearer to its home than to the hole. */
static void close_hole(struct map *m, size_t hole)
{
    size_t mask = m->cap - 1;

    for (size_t at = (hole + 1) & mask; m->slots[at].value; at = (at + 1) & mask) {
        size_t from_home = (at - home(m, m->slots[at].key)) & mask;

        if (from_home < ((at - hole) & mask))
            continue;
        m->slots[hole] = m->slots[at];
        hole = at;
    }
    m->slots[hole] = (struct map_slot){0};
}

static void *take(struct map *m, uint64_t key, const char *name)
{
    struct map_slot *s = m->len ? slot_find(m, key, name) : NULL;
    void *value = s ? s->value : NULL;

    if (!value)
        return NULL;
    close_hole(m, (size_t)(s - m->slots));
    m->len--;
    /* Gives a past crowd's memory back; without memory for that, the wide map serves on. */
    if (m->cap > CAP_MIN && m->len < m->cap / 8)
        (void)resize(m, m->cap / 2);
    return value;
}

/* ----- public ----- */

void map_seed(uint64_t secret_0, uint64_t secret_1)
{
    seed[0] = secret_0;
    seed[1] = secret_1;
}

void map_deinit(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}

void *map_find(const struct map *m, uint64_t id)
{
    return find(m, id, NULL);
}

int map_put(struct map *m, uint64_t id, void *value)
{
    return put(m, id, NULL, value);
}

void *map_remove(struct map *m, uint64_t id)
{
    return take(m, id, NULL);
}

void *map_find_name(const struct map *m, const char *name)
{
    return m->len ? find(m, map_name_hash(name), name) : NULL;
}

int map_put_name(struct map *m, const char *name, void *value)
{
    return put(m, map_name_hash(name), name, value);
}

void *map_remove_name(struct map *m, const char *name)
{
    return m->len ? take(m, map_name_hash(name), name) : NULL;
}

void *map_next(const struct map *m, size_t *pos)
{
    while (*pos < m->cap) {
        void *value = m->slots[(*pos)++].value;

        if (value)
            return value;
    }
    return NULL;
}
