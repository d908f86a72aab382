/* heap.h: a 4-ary heap of pointers that knows positions, so that any element can be removed
 * or moved. Four children share a cache line of pointers and halve the depth of a binary heap.
 * The element carries its own index (HEAP_NONE when in no heap); one guard for the whole heap
 * is the caller's business. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#define HEAP_NONE UINT32_MAX

struct heap_node {
    uint32_t index;
};

typedef bool (*heap_before_fn)(const struct heap_node *a, const struct heap_node *b);

struct heap {
    struct heap_node **nodes;
    uint32_t len, cap;
    heap_before_fn before;
};

void heap_init(struct heap *h, heap_before_fn before);
void heap_deinit(struct heap *h);
/* Makes room for at least len elements in all; 0 or -ENOMEM. A push within it cannot fail. */
int heap_reserve(struct heap *h, uint32_t len);
int heap_push(struct heap *h, struct heap_node *node); /* 0 or -ENOMEM, nothing changed then */
struct heap_node *heap_peek(const struct heap *h);     /* NULL when empty */
struct heap_node *heap_pop(struct heap *h);            /* NULL when empty */
/* Nothing happens when node->index is HEAP_NONE, so that it may be removed twice. */
void heap_remove(struct heap *h, struct heap_node *node);
void heap_moved(struct heap *h, struct heap_node *node); /* its order changed */

#endif
