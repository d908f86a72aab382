/* list.h: an intrusive, circular, doubly linked list. A node that is in no list points at
 * itself, so list_remove() may be called twice. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(name)                                                                        \
    {                                                                                          \
        &(name), &(name)                                                                       \
    }
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_insert(struct list *prev, struct list *node, struct list *next)
{
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

static inline void list_push_back(struct list *l, struct list *node)
{
    list_insert(l->prev, node, l);
}

static inline void list_push_front(struct list *l, struct list *node)
{
    list_insert(l, node, l->next);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The first node, taken out; NULL when empty. */
static inline struct list *list_pop_front(struct list *l)
{
    if (list_is_empty(l))
        return NULL;

    struct list *node = l->next;
    list_remove(node);
    return node;
}

#define list_each(node, l) for (struct list *node = (l)->next; node != (l); node = node->next)

#endif
