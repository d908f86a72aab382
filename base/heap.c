#include "base/heap.h"

#include "base/err.h"

#include <errno.h>
#include <stdlib.h>

#define CHILDREN 4
#define CAP_FIRST 16

static void place(struct heap *h, uint32_t at, struct heap_node *node)
{
    h->nodes[at] = node;
    node->index = at;
}

/* Both sifts carry the node in a hole, so that each level costs one store, not a swap. */

static uint32_t sift_up(struct heap *h, uint32_t at, struct heap_node *node)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / CHILDREN;

        if (!h->before(node, h->nodes[parent]))
            break;
        place(h, at, h->nodes[parent]);
        at = parent;
    }
    return at;
}

/* The child of at that comes first; at has one. */
static uint32_t child_first(const struct heap *h, uint32_t first)
{
    uint32_t end = h->len - first < CHILDREN ? h->len : first + CHILDREN, best = first;

    for (uint32_t i = first + 1; i < end; i++) {
        if (h->before(h->nodes[i], h->nodes[best]))
            best = i;
    }
    return best;
}

static uint32_t sift_down(struct heap *h, uint32_t at, struct heap_node *node)
{
    while (at < (h->len + CHILDREN - 2) / CHILDREN) {
        uint32_t child = child_first(h, at * CHILDREN + 1);

        if (!h->before(h->nodes[child], node))
            break;
        place(h, at, h->nodes[child]);
        at = child;
    }
    return at;
}

static void settle(struct heap *h, uint32_t at, struct heap_node *node)
{
    place(h, sift_down(h, sift_up(h, at, node), node), node);
}

void heap_init(struct heap *h, heap_before_fn before)
{
    *h = (struct heap){.before = before};
}

void heap_deinit(struct heap *h)
{
    free(h->nodes);
    *h = (struct heap){.before = h->before};
}

int heap_reserve(struct heap *h, uint32_t len)
{
    if (len <= h->cap)
        return 0;
    if (len > HEAP_NONE / 2)
        return -ENOMEM;

    uint32_t cap = h->cap ? h->cap : CAP_FIRST;

    while (cap < len)
        cap *= 2;

    struct heap_node **nodes = reallocarray(h->nodes, cap, sizeof(struct heap_node *));

    if (!nodes)
        return -ENOMEM;
    h->nodes = nodes;
    h->cap = cap;
    return 0;
}

int heap_push(struct heap *h, struct heap_node *node)
{
    int r = heap_reserve(h, h->len + 1);

    if (r < 0)
        return r;
    h->len++;
    place(h, sift_up(h, h->len - 1, node), node);
    return 0;
}

struct heap_node *heap_peek(const struct heap *h)
{
    return h->len ? h->nodes[0] : NULL;
}

struct heap_node *heap_pop(struct heap *h)
{
    struct heap_node *node = heap_peek(h);

    if (node)
        heap_remove(h, node);
    return node;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    uint32_t at = node->index;

    if (at == HEAP_NONE)
        return;
    assert_always(at < h->len && h->nodes[at] == node);
    node->index = HEAP_NONE;

    struct heap_node *last = h->nodes[--h->len];

    if (last != node)
        settle(h, at, last);
}

void heap_moved(struct heap *h, struct heap_node *node)
{
    assert_always(node->index < h->len && h->nodes[node->index] == node);
    settle(h, node->index, node);
}
