/* I3 of base/err.h: what fails for want of memory has changed nothing. The sources are compiled
 * into this test with allocators that fail at the n-th call; each scenario runs with n = 1, 2,
 * … until it needs fewer allocations than that. */
#include "base/pages.h"

#include <stdbool.h>
#include <stdlib.h>

static unsigned left; /* allocations until the one that fails */
static bool failed;

static bool fails_now(void)
{
    failed |= left == 1;
    return left > 0 && --left == 0;
}

static void *test_realloc(void *p, size_t bytes)
{
    return fails_now() ? NULL : realloc(p, bytes);
}

static void *test_reallocarray(void *p, size_t count, size_t bytes)
{
    return fails_now() ? NULL : reallocarray(p, count, bytes);
}

static void *test_calloc(size_t count, size_t bytes)
{
    return fails_now() ? NULL : calloc(count, bytes);
}

static void *test_pages_new(size_t bytes)
{
    return fails_now() ? NULL : pages_new(bytes);
}

#define realloc test_realloc
#define reallocarray test_reallocarray
#define calloc test_calloc
#define pages_new test_pages_new
#include "base/arena.c"
#include "base/buf.c"
#undef CAP_FIRST
#include "base/heap.c"
#include "base/map.c"
#include "base/table.c"
#undef realloc
#undef reallocarray
#undef calloc
#undef pages_new

#include "tests/lib/suite.h"

#define EVERY_FAILURE(n) for (unsigned n = 1; failed = false, left = n, n == 1 || more; n++)

static bool more; /* the last run still met a failure */

START_TEST(a_buf_without_memory_keeps_what_it_had)
{
    EVERY_FAILURE(n)
    {
        struct buf b = BUF_INIT;
        size_t kept = 0;

        for (int i = 0; i < 500; i++) {
            buf_puts(&b, "0123456789");
            kept = failed ? kept : b.len;
        }
        more = failed;
        ck_assert_int_eq(buf_failed(&b), failed);
        ck_assert_uint_eq(b.len, kept);
        ck_assert_uint_eq(strlen(buf_str(&b)), kept);
        left = 0;
        char *s = buf_take(&b);
        ck_assert_int_eq(s == NULL, failed);
        free(s);
    }
}
END_TEST

static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
    return a < b;
}

START_TEST(a_push_without_memory_leaves_the_heap_as_it_was)
{
    enum { N = 200 };
    static struct heap_node nodes[N];

    EVERY_FAILURE(n)
    {
        struct heap h;
        uint32_t pushed = 0;

        heap_init(&h, is_before);
        for (int i = 0; i < N; i++) {
            nodes[i].index = HEAP_NONE;
            int r = heap_push(&h, &nodes[i]);

            ck_assert(r == 0 || (r == -ENOMEM && nodes[i].index == HEAP_NONE));
            pushed += r == 0;
        }
        more = failed;
        ck_assert_uint_eq(pushed, failed ? N - 1 : N);
        ck_assert_uint_eq(h.len, pushed);
        for (struct heap_node *last = NULL, *node; (node = heap_pop(&h)); last = node)
            ck_assert(!last || is_before(last, node));
        heap_deinit(&h);
    }
}
END_TEST

START_TEST(a_put_without_memory_leaves_the_map_as_it_was)
{
    enum { N = 200 };

    EVERY_FAILURE(n)
    {
        struct map m = {0};
        bool in[N];

        for (uint64_t i = 0; i < N; i++) {
            int r = map_put(&m, i, &m);

            ck_assert(r == 0 || r == -ENOMEM);
            in[i] = r == 0;
        }
        /* Giving memory back needs some for a moment; the map does without. */
        for (uint64_t i = 0; i < N; i++)
            ck_assert_int_eq(map_remove(&m, i) != NULL, in[i]);
        more = failed;
        ck_assert_uint_eq(m.len, 0);
        map_deinit(&m);
    }
}
END_TEST

START_TEST(an_arena_without_memory_keeps_its_items)
{
    enum { N = 4000 };
    static uint32_t refs[N];

    EVERY_FAILURE(n)
    {
        struct arena a = {0};
        unsigned none = 0;

        for (uint32_t i = 0; i < N; i++) {
            refs[i] = arena_add(&a, 200);
            none += !refs[i];
            if (refs[i])
                memcpy(arena_at(&a, refs[i]), &i, sizeof i);
        }
        more = failed;
        ck_assert_uint_eq(none, failed);
        for (uint32_t i = 0; i < N; i++)
            ck_assert(!refs[i] || memcmp(arena_at(&a, refs[i]), &i, sizeof i) == 0);
        for (uint32_t i = 0; i < N; i++) {
            if (refs[i])
                arena_drop(&a, refs[i]);
        }
        ck_assert_uint_eq(arena_bytes(&a), ARENA_CHUNK_BYTES);
        arena_deinit(&a);
    }
}
END_TEST

static uint32_t links[20001];

static uint32_t *test_link(const void *owner, uint32_t item)
{
    (void)owner;
    return &links[item];
}

static uint64_t test_hash(const void *owner, uint32_t item)
{
    (void)owner;
    return table_mix(item);
}

static const struct table_items test_items = {test_link, test_hash};

static bool table_has(const struct table *t, uint32_t item)
{
    uint32_t at = table_chain(t, table_mix(item));

    while (at && at != item)
        at = links[at];
    return at == item;
}

/* The first item fails, and every later one finds a place in a longer chain. */
START_TEST(a_table_without_memory_grows_later)
{
    enum { N = 20000 };

    EVERY_FAILURE(n)
    {
        struct table t = {0};
        uint32_t refused = 0;

        for (uint32_t i = 1; i <= N; i++) {
            if (table_add(&t, &test_items, NULL, i) < 0)
                refused = i;
        }
        more = failed;
        ck_assert_uint_le(refused, 1);
        ck_assert_uint_eq(t.len, N - refused);
        ck_assert_uint_ge(t.buckets + 1, t.len / 4 * 3); /* L3 again, soon */
        for (uint32_t i = 1; i <= N; i++)
            ck_assert_int_eq(table_has(&t, i), i != refused);
        for (uint32_t i = refused + 1; i <= N; i++)
            table_remove(&t, &test_items, NULL, i);
        ck_assert_uint_eq(t.len, 0);
        table_deinit(&t);
    }
}
END_TEST

int main(void)
{
    return SUITE_MAIN("base/memory", an_arena_without_memory_keeps_its_items,
                      a_table_without_memory_grows_later,
                      a_buf_without_memory_keeps_what_it_had,
                      a_push_without_memory_leaves_the_heap_as_it_was,
                      a_put_without_memory_leaves_the_map_as_it_was);
}
