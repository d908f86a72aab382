#include "base/heap.h"
#include "base/list.h"
#include "base/rand.h"
#include "tests/lib/suite.h"

#include <stdlib.h>

struct item {
    struct heap_node node;
    uint64_t key;
};

static struct item *item_of(struct heap_node *node)
{
    return node ? container_of(node, struct item, node) : NULL;
}

static bool before(const struct heap_node *a, const struct heap_node *b)
{
    const struct item *x = (const struct item *)(const void *)a;
    const struct item *y = (const struct item *)(const void *)b;

    return x->key < y->key;
}

/* The heap's own rules: each node knows its place, no child comes before its parent. */
static bool is_whole(const struct heap *h)
{
    for (uint32_t i = 0; i < h->len; i++) {
        if (h->nodes[i]->index != i || (i > 0 && before(h->nodes[i], h->nodes[(i - 1) / 4])))
            return false;
    }
    return true;
}

START_TEST(an_empty_heap_gives_nothing)
{
    struct heap h;

    heap_init(&h, before);
    ck_assert_ptr_null(heap_peek(&h));
    ck_assert_ptr_null(heap_pop(&h));
    heap_deinit(&h);
    heap_deinit(&h);
}
END_TEST

START_TEST(elements_come_out_in_order)
{
    enum { N = 1000 };
    static struct item items[N];
    struct heap h;
    struct rand r;

    rand_seed(&r, 1);
    heap_init(&h, before);
    for (int i = 0; i < N; i++) {
        items[i].key = rand_below(&r, 300);
        ck_assert_int_eq(heap_push(&h, &items[i].node), 0);
    }
    ck_assert(is_whole(&h));
    for (uint64_t last = 0, n = 0; n < N; n++) {
        struct item *i = item_of(heap_pop(&h));

        ck_assert_uint_ge(i->key, last);
        ck_assert_uint_eq(i->node.index, HEAP_NONE);
        last = i->key;
    }
    ck_assert_ptr_null(heap_pop(&h));
    heap_deinit(&h);
}
END_TEST

START_TEST(an_element_may_be_removed_twice)
{
    struct item a = {.key = 1}, b = {.key = 2};
    struct heap h;

    heap_init(&h, before);
    heap_push(&h, &a.node);
    heap_push(&h, &b.node);
    heap_remove(&h, &a.node);
    heap_remove(&h, &a.node);
    ck_assert_ptr_eq(heap_peek(&h), &b.node);
    ck_assert_uint_eq(h.len, 1);
    heap_deinit(&h);
}
END_TEST

START_TEST(a_push_within_the_reserve_moves_nothing)
{
    static struct item items[100];
    struct heap h;

    heap_init(&h, before);
    ck_assert_int_eq(heap_reserve(&h, 100), 0);
    struct heap_node **nodes = h.nodes;
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(heap_push(&h, &items[i].node), 0);
    ck_assert_ptr_eq(h.nodes, nodes);
    ck_assert_int_lt(heap_reserve(&h, UINT32_MAX), 0);
    ck_assert_uint_eq(h.len, 100);
    heap_deinit(&h);
}
END_TEST

/* ----- against a model that cannot be wrong: an array searched from end to end ----- */

enum { MODEL = 200 };

struct model {
    struct item items[MODEL];
    struct heap heap;
    struct rand rand;
};

static uint64_t model_min(const struct model *m)
{
    uint64_t min = UINT64_MAX;

    for (int i = 0; i < MODEL; i++) {
        if (m->items[i].node.index != HEAP_NONE && m->items[i].key < min)
            min = m->items[i].key;
    }
    return min;
}

static void model_step(struct model *m)
{
    struct item *i = &m->items[rand_below(&m->rand, MODEL)];
    bool in = i->node.index != HEAP_NONE;
    uint64_t key = rand_below(&m->rand, 50);

    switch (rand_below(&m->rand, 4)) {
    case 0:
        if (in)
            heap_remove(&m->heap, &i->node);
        break;
    case 1:
        i->key = key;
        if (in)
            heap_moved(&m->heap, &i->node);
        break;
    case 2:
        if (rand_below(&m->rand, 3) == 0)
            heap_pop(&m->heap);
        break;
    default:
        if (!in)
            heap_push(&m->heap, &i->node);
    }
}

START_TEST(random_pushes_pops_moves_and_removals_agree_with_a_model)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        static struct model m;

        heap_init(&m.heap, before);
        rand_seed(&m.rand, seed);
        for (int i = 0; i < MODEL; i++)
            m.items[i] = (struct item){.node = {HEAP_NONE}};
        for (int i = 0; i < 5000; i++) {
            model_step(&m);
            struct item *first = item_of(heap_peek(&m.heap));
            if (!is_whole(&m.heap) || (first ? first->key : UINT64_MAX) != model_min(&m))
                ck_abort_msg("seed %d step %d", (int)seed, i);
        }
        heap_deinit(&m.heap);
    }
}
END_TEST

int main(void)
{
    return SUITE_MAIN("base/heap", an_empty_heap_gives_nothing, elements_come_out_in_order,
                      an_element_may_be_removed_twice, a_push_within_the_reserve_moves_nothing,
                      random_pushes_pops_moves_and_removals_agree_with_a_model);
}
