#include "base/arena.h"

#include "base/rand.h"
#include "tests/lib/suite.h"

#include <stdbool.h>
#include <string.h>

#define ITEMS 30000

struct item {
    uint32_t ref; /* 0 = none */
    uint8_t bytes, letter;
};

static struct item items[ITEMS];

START_TEST(a_new_item_is_zero_and_lies_as_its_size_says)
{
    static const size_t sizes[] = {1, 4, 8, 28, 48, 104, ARENA_ITEM_MAX};
    static const char zeroes[ARENA_ITEM_MAX];
    struct arena a = {0};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int n = 0; n < 3000; n++) {
            uint32_t ref = arena_add(&a, sizes[i]);

            ck_assert_uint_ne(ref, 0);
            ck_assert_mem_eq(arena_at(&a, ref), zeroes, sizes[i]);
            ck_assert_uint_eq((uintptr_t)arena_at(&a, ref) % (sizes[i] % 8 ? 4 : 8), 0);
            memset(arena_at(&a, ref), 'x', sizes[i]);
        }
    }
    arena_deinit(&a);
    ck_assert_uint_eq(arena_bytes(&a), 0);
}
END_TEST

static bool is_whole(const struct arena *a, const struct item *item)
{
    const char *p = arena_at(a, item->ref);

    for (unsigned i = 0; i < item->bytes; i++) {
        if (p[i] != (char)item->letter)
            return false;
    }
    return true;
}

static void play_one(struct arena *a, struct rand *r, struct item *item, bool more)
{
    if (item->ref) {
        ck_assert(is_whole(a, item));
        arena_drop(a, item->ref);
        item->ref = 0;
    } else if (more) {
        item->bytes = (uint8_t)(1 + rand_below(r, 5) * 50);
        item->letter = (uint8_t)rand_next(r);
        item->ref = arena_add(a, item->bytes);
        ck_assert_uint_ne(item->ref, 0);
        memset(arena_at(a, item->ref), item->letter, item->bytes);
    }
}

/* Each is found as it was left, whatever came and went beside it; and the crowd's memory goes
 * with the crowd. */
START_TEST(items_of_all_sizes_keep_what_they_hold)
{
    struct arena a = {0};
    struct rand r;
    size_t most = 0, whole = 0;

    rand_seed(&r, 11);
    for (int phase = 0; phase < 6; phase++) {
        for (int i = 0; i < 100000; i++)
            play_one(&a, &r, &items[rand_below(&r, ITEMS)], phase % 2 == 0);
        most = arena_bytes(&a) > most ? arena_bytes(&a) : most;
    }
    for (int i = 0; i < ITEMS; i++)
        whole += items[i].ref && is_whole(&a, &items[i]);
    for (int i = 0; i < ITEMS; i++)
        whole -= items[i].ref != 0;
    ck_assert_uint_eq(whole, 0);
    for (int i = 0; i < ITEMS; i++)
        play_one(&a, &r, &items[i], false);
    ck_assert_uint_gt(most, 20 * ARENA_CHUNK_BYTES);
    ck_assert_uint_le(arena_bytes(&a), 5 * ARENA_CHUNK_BYTES); /* R1: one a size */
    arena_deinit(&a);
}
END_TEST

/* R1: the empty chunk that is kept takes part again, and no second one comes. */
START_TEST(a_crowd_around_the_edge_of_a_chunk_asks_for_no_memory)
{
    struct arena a = {0};
    uint32_t refs[2 * ARENA_CHUNK_BYTES / 64 + 1];
    size_t n = 0;

    while (arena_bytes(&a) <= 2 * ARENA_CHUNK_BYTES)
        refs[n++] = arena_add(&a, 64);
    for (int i = 0; i < 1000; i++) {
        arena_drop(&a, refs[--n]);
        ck_assert_uint_eq(arena_bytes(&a), 3 * ARENA_CHUNK_BYTES);
        refs[n++] = arena_add(&a, 64);
    }
    ck_assert_uint_eq(arena_bytes(&a), 3 * ARENA_CHUNK_BYTES);
    while (n > 0)
        arena_drop(&a, refs[--n]);
    ck_assert_uint_eq(arena_bytes(&a), ARENA_CHUNK_BYTES);
    arena_deinit(&a);
}
END_TEST

START_TEST(a_walk_goes_on_while_items_come_and_go)
{
    enum { N = 10000 };
    static uint32_t refs[N];
    static bool seen[N];
    struct arena a = {0};
    uint32_t pos = 0, ref, steps = 0;

    for (uint32_t i = 0; i < N; i++) {
        refs[i] = arena_add(&a, 48);
        ((uint32_t *)arena_at(&a, refs[i]))[1] = i + 1;
    }
    while ((ref = arena_next(&a, &pos))) {
        uint32_t *item = arena_at(&a, ref), other = item[1] + N / 2;

        if (!item[1])
            continue;
        seen[item[1] - 1] = true;
        if (other <= N && steps++ % 2 == 0) { /* one far ahead goes */
            ((uint32_t *)arena_at(&a, refs[other - 1]))[1] = 0;
            arena_drop(&a, refs[other - 1]);
        }
    }
    for (uint32_t i = 0; i < N; i++)
        ck_assert_int_eq(seen[i], i < N / 2 || (i - N / 2) % 2 == 1);
    ck_assert_uint_eq(arena_next(&a, &pos), 0);
    arena_deinit(&a);
    pos = 0;
    ck_assert_uint_eq(arena_next(&a, &pos), 0);
}
END_TEST

int main(void)
{
    return SUITE_MAIN("base/arena", a_new_item_is_zero_and_lies_as_its_size_says,
                      items_of_all_sizes_keep_what_they_hold,
                      a_crowd_around_the_edge_of_a_chunk_asks_for_no_memory,
                      a_walk_goes_on_while_items_come_and_go);
}
