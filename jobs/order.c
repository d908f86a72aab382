#include "jobs/order.h"

#include "base/err.h"

#include <errno.h>
#include <stdlib.h>

#define CHILDREN 4
#define CAP_FIRST 4
#define TRIM_MIN 64

static uint32_t *slot_of(enum order_kind kind, const struct entries *all, uint32_t index)
{
    struct entry *e = entry_at(all, index);

    return kind == ORDER_EXPIRY ? &entry_extra(all, e)->at : &e->at;
}

static void place(struct order *o, const struct entries *all, uint32_t at, uint32_t index)
{
    o->slots[at] = index;
    *slot_of(o->kind, all, index) = at;
}

static uint32_t sift_up(struct order *o, const struct entries *all, uint32_t at, uint32_t index)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / CHILDREN;

        if (!order_before(o->kind, all, index, o->slots[parent]))
            break;
        place(o, all, at, o->slots[parent]);
        at = parent;
    }
    return at;
}

static uint32_t child_first(const struct order *o, const struct entries *all, uint32_t first)
{
    uint32_t end = o->len - first < CHILDREN ? o->len : first + CHILDREN, best = first;

    for (uint32_t i = first + 1; i < end; i++) {
        if (order_before(o->kind, all, o->slots[i], o->slots[best]))
            best = i;
    }
    return best;
}

static uint32_t sift_down(struct order *o, const struct entries *all, uint32_t at,
                          uint32_t index)
{
    while (at * CHILDREN + 1 < o->len) {
        uint32_t child = child_first(o, all, at * CHILDREN + 1);

        if (!order_before(o->kind, all, o->slots[child], index))
            break;
        place(o, all, at, o->slots[child]);
        at = child;
    }
    return at;
}

void order_deinit(struct order *o)
{
    free(o->slots);
    *o = (struct order){.kind = o->kind};
}

int order_reserve(struct order *o, uint32_t len)
{
    if (len <= o->cap)
        return 0;

    uint32_t cap = o->cap ? o->cap : CAP_FIRST;

    while (cap < len)
        cap *= 2;

    uint32_t *slots = reallocarray(o->slots, cap, sizeof *slots);

    if (!slots)
        return -ENOMEM;
    o->slots = slots;
    o->cap = cap;
    return 0;
}

void order_push(struct order *o, const struct entries *all, uint32_t index)
{
    assert_always(o->len < o->cap);
    o->len++;
    place(o, all, sift_up(o, all, o->len - 1, index), index);
}

void order_remove(struct order *o, const struct entries *all, uint32_t index)
{
    uint32_t at = *slot_of(o->kind, all, index);

    assert_always(at < o->len && o->slots[at] == index);
    *slot_of(o->kind, all, index) = ORDER_NONE;

    uint32_t last = o->slots[--o->len];

    if (last == index)
        return;
    at = sift_down(o, all, sift_up(o, all, at, last), last);
    place(o, all, at, last);
}

uint32_t order_peek(const struct order *o)
{
    return o->len ? o->slots[0] : ENTRY_NONE;
}

void order_trim(struct order *o)
{
    if (o->cap < TRIM_MIN || o->len > o->cap / 4)
        return;

    uint32_t *slots = reallocarray(o->slots, o->cap / 2, sizeof *slots);

    if (!slots)
        return;
    o->slots = slots;
    o->cap /= 2;
}

bool order_before(enum order_kind kind, const struct entries *all, uint32_t a, uint32_t b)
{
    const struct entry *x = entry_at(all, a), *y = entry_at(all, b);
    int64_t p, q;

    switch (kind) {
    case ORDER_READY:
        p = x->run_at_ms - x->priority * ORDER_POINT_MS;
        q = y->run_at_ms - y->priority * ORDER_POINT_MS;
        break;
    case ORDER_DUE:
        p = x->run_at_ms;
        q = y->run_at_ms;
        break;
    default:
        p = entry_expiry_ms(x, entry_extra(all, x));
        q = entry_expiry_ms(y, entry_extra(all, y));
    }
    return p != q ? p < q : x->id < y->id;
}

bool order_check(const struct order *o, const struct entries *all)
{
    for (uint32_t at = 0; at < o->len; at++) {
        if (*slot_of(o->kind, all, o->slots[at]) != at)
            return false;
        if (at > 0 && order_before(o->kind, all, o->slots[at], o->slots[(at - 1) / CHILDREN]))
            return false;
    }
    return true;
}
