#include "base/table.h"

#include "base/rand.h"
#include "tests/lib/suite.h"

#include <stdbool.h>

#define ITEMS 40000

static struct item {
    uint64_t hash;
    uint32_t link;
    bool in;
} items[ITEMS + 1];

static unsigned hashed; /* calls since the last look */

static uint32_t *link_of(const void *owner, uint32_t item)
{
    return &((struct item *)(uintptr_t)owner)[item].link;
}

static uint64_t hash_of(const void *owner, uint32_t item)
{
    hashed++;
    return ((const struct item *)owner)[item].hash;
}

static const struct table_items how = {link_of, hash_of};

static bool is_found(const struct table *t, uint32_t item)
{
    uint32_t at = table_chain(t, items[item].hash);

    while (at && at != item)
        at = items[at].link;
    return at == item;
}

static void add(struct table *t, uint32_t item)
{
    ck_assert_int_eq(table_add(t, &how, items, item), 0);
    items[item].in = true;
}

static void take_out(struct table *t, uint32_t item)
{
    table_remove(t, &how, items, item);
    items[item].in = false;
}

static void check(const struct table *t)
{
    uint32_t count = 0, chained = 0;

    for (uint32_t i = 1; i <= ITEMS; i++) {
        if (items[i].in && !is_found(t, i))
            ck_abort_msg("L2: %u is lost", i);
        count += items[i].in;
    }
    for (uint32_t b = 0; b < t->buckets; b++) {
        for (uint32_t i = table_bucket(t, b); i; i = items[i].link)
            chained += items[i].in;
    }
    ck_assert_uint_eq(t->len, count);
    ck_assert_uint_eq(chained, count);
    if (t->buckets == 0)
        return;
    ck_assert_uint_ge(t->mask, t->buckets - 1); /* L1 */
    ck_assert(t->mask == 0 || t->mask >> 1 < t->buckets - 1);
    ck_assert_uint_le(t->buckets, (t->len + 1) * 4 / 3 + 1); /* L3 */
    ck_assert_uint_ge(t->buckets + 1, t->len * 3 / 4);
}

static void reset(uint64_t seed)
{
    struct rand r;

    rand_seed(&r, seed);
    for (uint32_t i = 1; i <= ITEMS; i++)
        items[i] = (struct item){.hash = rand_next(&r)};
}

START_TEST(random_steps_agree_with_a_plain_array)
{
    struct table t = {0};
    struct rand r;

    reset(5);
    rand_seed(&r, 6);
    for (int phase = 0; phase < 8; phase++) {
        uint64_t among = phase < 4 ? 60 : ITEMS; /* small tables have edges too */

        for (int i = 0; i < 30000; i++) {
            uint32_t item = 1 + (uint32_t)rand_below(&r, among);

            if (items[item].in)
                take_out(&t, item);
            else if (phase % 2 == 0 || rand_below(&r, 4) == 0)
                add(&t, item);
            if (phase < 4 && i % 50 == 0)
                check(&t);
        }
        check(&t);
    }
    for (uint32_t i = 1; i <= ITEMS; i++) {
        if (items[i].in)
            take_out(&t, i);
    }
    check(&t);
    ck_assert_uint_eq(t.buckets, 1);
    table_deinit(&t);
    table_deinit(&t);
}
END_TEST

/* The longest step asks for as many hashes as a chain is long, not as there are items. */
START_TEST(no_step_is_long_while_it_grows_and_shrinks)
{
    struct table t = {0};
    unsigned worst = 0;

    reset(7);
    for (uint32_t i = 1; i <= 2 * ITEMS; i++) {
        hashed = 0;
        if (i <= ITEMS)
            add(&t, i);
        else
            take_out(&t, i - ITEMS);
        worst = hashed > worst ? hashed : worst;
    }
    ck_assert_uint_le(worst, 24);
    ck_assert_uint_eq(t.len, 0);
    table_deinit(&t);
}
END_TEST

START_TEST(what_is_given_back_is_what_was_had)
{
    struct table t = {0};
    size_t least, most;

    reset(8);
    add(&t, 1);
    least = table_bytes(&t);
    for (uint32_t i = 2; i <= ITEMS; i++)
        add(&t, i);
    most = table_bytes(&t);
    for (uint32_t i = ITEMS; i > 1; i--)
        take_out(&t, i);
    ck_assert_uint_le(table_bytes(&t), least + 1024); /* the list of segments stays */
    ck_assert_uint_le(most, (size_t)ITEMS * 3 + 32 * 1024);
    table_deinit(&t);
}
END_TEST

/* Removals join two buckets, additions split one: not in turn around one edge. */
START_TEST(items_around_an_edge_move_nothing)
{
    struct table t = {0};

    reset(9);
    for (uint32_t i = 1; i <= 20001; i++)
        add(&t, i);

    uint32_t buckets = t.buckets;

    for (int i = 0; i < 1000; i++) {
        take_out(&t, 20001);
        add(&t, 20001);
        ck_assert_uint_eq(t.buckets, buckets);
    }
    table_deinit(&t);
}
END_TEST

START_TEST(equal_hashes_share_a_chain)
{
    struct table t = {0};

    reset(10);
    for (uint32_t i = 1; i <= 500; i++) {
        items[i].hash = 42;
        add(&t, i);
    }
    check(&t);
    for (uint32_t i = 1; i <= 500; i += 2)
        take_out(&t, i);
    check(&t);
    table_deinit(&t);
}
END_TEST

int main(void)
{
    return SUITE_MAIN("base/table", random_steps_agree_with_a_plain_array,
                      no_step_is_long_while_it_grows_and_shrinks,
                      what_is_given_back_is_what_was_had, items_around_an_edge_move_nothing,
                      equal_hashes_share_a_chain);
}
