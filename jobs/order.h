/* order.h: a 4-ary heap of entry indices. Three orders use it: the ready jobs of a lane, the
 * due times of all, the expiry times of all. An entry knows its slot in each, so that it can
 * leave from the middle.
 *
 * Ready jobs are ordered by priority and age at once: each point of priority is worth
 * ORDER_POINT_MS of waiting. That is a comparison of two fixed numbers (since when a job could
 * run, less its priority's worth), so the heap stays in order while time passes, and nothing
 * has to be raised by hand. It follows:
 *
 *     a job is passed only by jobs that could run less than ORDER_POINT_MS after it for each
 *     point that they are above it. The lowest priority lets a stream of the highest pass for
 *     200 points, 3 h 20 min, and goes first among all that come later.
 *
 * Strict priority was rejected, as it starves; a periodic raise of what waits long, since with
 * a million waiting it is a million writes into the heap.
 *
 * A slot is 4 bytes where base/heap.h takes 8; with a million waiting jobs that is the reason
 * for a heap of our own. Capacity never shrinks while an update is open: what was taken out
 * can be put back without memory (I7 in core.h). */
#ifndef JOBS_ORDER_H
#define JOBS_ORDER_H

#include "jobs/entry.h"

#define ORDER_POINT_MS INT64_C(60000)

enum order_kind {
    ORDER_READY,  /* run_at_ms less priority * ORDER_POINT_MS, then id */
    ORDER_DUE,    /* run_at_ms, then id */
    ORDER_EXPIRY, /* entry_expiry_ms, then id */
};

struct order {
    uint32_t *slots;
    uint32_t len, cap;
    enum order_kind kind;
};

void order_deinit(struct order *o);
int order_reserve(struct order *o, uint32_t len); /* 0 or -ENOMEM */
/* Never fails within what was reserved. */
void order_push(struct order *o, const struct entries *all, uint32_t index);
void order_remove(struct order *o, const struct entries *all, uint32_t index);
uint32_t order_peek(const struct order *o); /* ENTRY_NONE when empty */
/* Gives memory back when most of it is unused. Not while an update is open. */
void order_trim(struct order *o);
bool order_before(enum order_kind kind, const struct entries *all, uint32_t a, uint32_t b);
/* Every slot is in order and known to its entry. */
bool order_check(const struct order *o, const struct entries *all);

#endif
