#include "base/map.h"
#include "base/rand.h"
#include "tests/lib/suite.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int values[4096];

START_TEST(an_empty_map_finds_nothing)
{
    struct map m = {0};
    size_t pos = 0;

    ck_assert_ptr_null(map_find(&m, 1));
    ck_assert_ptr_null(map_remove(&m, 1));
    ck_assert_ptr_null(map_find_name(&m, "x"));
    ck_assert_ptr_null(map_remove_name(&m, "x"));
    ck_assert_ptr_null(map_next(&m, &pos));
    map_deinit(&m);
    map_deinit(&m);
}
END_TEST

START_TEST(ids_of_every_kind_are_kept_apart)
{
    static const uint64_t ids[] = {0, 1, 2, UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63};
    struct map m = {0};

    for (size_t i = 0; i < 6; i++)
        ck_assert_int_eq(map_put(&m, ids[i], &values[i]), 0);
    for (size_t i = 0; i < 6; i++)
        ck_assert_ptr_eq(map_find(&m, ids[i]), &values[i]);
    ck_assert_ptr_null(map_find(&m, 3));
    ck_assert_uint_eq(m.len, 6);
    map_deinit(&m);
}
END_TEST

START_TEST(putting_again_replaces)
{
    struct map m = {0};
    char name[] = "queue", same[] = "queue";

    map_put(&m, 7, &values[0]);
    map_put(&m, 7, &values[1]);
    ck_assert_uint_eq(m.len, 1);
    ck_assert_ptr_eq(map_remove(&m, 7), &values[1]);
    ck_assert_ptr_null(map_remove(&m, 7));

    map_put_name(&m, name, &values[0]);
    map_put_name(&m, same, &values[1]);
    ck_assert_uint_eq(m.len, 1);
    memset(name, 'x', sizeof name - 1); /* the entry has let go of the first name */
    ck_assert_ptr_eq(map_find_name(&m, "queue"), &values[1]);
    map_deinit(&m);
}
END_TEST

START_TEST(names_of_every_length_are_found_by_content)
{
    static char names[100][100];
    struct map m = {0};

    for (size_t i = 0; i < 100; i++) {
        memset(names[i], 'n', i);
        ck_assert_int_eq(map_put_name(&m, names[i], &values[i]), 0);
    }
    for (size_t i = 0; i < 100; i++) {
        char copy[100] = "";

        memset(copy, 'n', i);
        ck_assert_ptr_eq(map_find_name(&m, copy), &values[i]);
    }
    ck_assert_ptr_null(map_find_name(&m, "nnx"));
    map_deinit(&m);
}
END_TEST

START_TEST(a_walk_meets_every_value_once)
{
    enum { N = 500 };
    bool met[N] = {false};
    struct map m = {0};
    int count = 0;

    for (uint64_t i = 0; i < N; i++)
        map_put(&m, i * 1000, &values[i]);
    size_t pos = 0;
    for (int *v; (v = map_next(&m, &pos)); count++) {
        ck_assert(!met[v - values]);
        met[v - values] = true;
    }
    ck_assert_int_eq(count, N);
    map_deinit(&m);
}
END_TEST

START_TEST(a_map_gives_memory_back_when_its_crowd_leaves)
{
    struct map m = {0};

    for (uint64_t i = 0; i < 4096; i++)
        map_put(&m, i, &values[i]);
    size_t wide = m.cap;
    for (uint64_t i = 0; i < 4090; i++)
        ck_assert_ptr_eq(map_remove(&m, i), &values[i]);
    ck_assert_uint_lt(m.cap, wide / 16);
    for (uint64_t i = 4090; i < 4096; i++)
        ck_assert_ptr_eq(map_find(&m, i), &values[i]);
    map_deinit(&m);
}
END_TEST

/* Puts, finds and removals over few ids, so that runs collide and holes are closed often. */
START_TEST(random_puts_and_removals_agree_with_an_array)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        void *model[512] = {NULL};
        struct map m = {0};
        struct rand r;
        size_t len = 0;

        rand_seed(&r, seed);
        for (int i = 0; i < 20000; i++) {
            size_t id = rand_below(&r, 512);
            void *value = &values[rand_below(&r, 4096)];
            bool put = rand_below(&r, (i / 5000) % 2 ? 4 : 2) == 0;
            void *got = put ? (map_put(&m, id, value) ? NULL : value) : map_remove(&m, id);

            len = len + (put && !model[id]) - (!put && model[id]);
            if (got != (put ? value : model[id]) || m.len != len)
                ck_abort_msg("seed %d step %d", (int)seed, i);
            model[id] = put ? value : NULL;
            for (size_t k = 0; i % 500 == 0 && k < 512; k++)
                ck_assert_msg(map_find(&m, k) == model[k], "seed %d id %zu", (int)seed, k);
        }
        map_deinit(&m);
    }
}
END_TEST

START_TEST(random_names_agree_with_an_array)
{
    static char names[300][32];
    void *model[300] = {NULL};
    struct map m = {0};
    struct rand r;

    map_seed(1, 2);
    rand_seed(&r, 3);
    for (int i = 0; i < 300; i++)
        snprintf(names[i], sizeof names[i], "name-%d", i);
    for (int i = 0; i < 20000; i++) {
        size_t k = rand_below(&r, 300);

        if (rand_below(&r, 2)) {
            ck_assert_int_eq(map_put_name(&m, names[k], &values[i % 4096]), 0);
            model[k] = &values[i % 4096];
        } else {
            if (map_remove_name(&m, names[k]) != model[k])
                ck_abort_msg("step %d", i);
            model[k] = NULL;
        }
    }
    for (size_t k = 0; k < 300; k++)
        ck_assert_ptr_eq(map_find_name(&m, names[k]), model[k]);
    map_deinit(&m);
}
END_TEST

static size_t place_of(const struct map *m, const void *value)
{
    size_t pos = 0;

    while (map_next(m, &pos) != value)
        continue;
    return pos;
}

START_TEST(the_seed_decides_where_names_go)
{
    int moved = 0;

    for (uint64_t secret = 1; secret <= 20; secret++) {
        struct map a = {0}, b = {0};

        map_seed(0, 0);
        map_put_name(&a, "queue", &values[0]);
        map_seed(secret, secret * 3);
        map_put_name(&b, "queue", &values[0]);
        moved += place_of(&a, &values[0]) != place_of(&b, &values[0]);
        map_deinit(&a);
        map_deinit(&b);
    }
    ck_assert_int_gt(moved, 10);
}
END_TEST

int main(void)
{
    return SUITE_MAIN("base/map", an_empty_map_finds_nothing, ids_of_every_kind_are_kept_apart,
                      putting_again_replaces, names_of_every_length_are_found_by_content,
                      a_walk_meets_every_value_once,
                      a_map_gives_memory_back_when_its_crowd_leaves,
                      random_puts_and_removals_agree_with_an_array,
                      random_names_agree_with_an_array, the_seed_decides_where_names_go);
}
