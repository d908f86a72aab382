/* entry.h: what the core remembers of a job that is not final: 48 bytes, no document. Entries
 * lie in an arena and are named by its numbers, half the size of pointers; the same numbers
 * fill the heaps and the table from id to entry. What few waiting jobs have (bounds in time, a
 * start, attempts) is apart, in an extra.
 *
 * A million waiting jobs: 48 bytes of entry, 4 to 8 of heap slot, 3 to 5 of table. A key that
 * only one of them has adds 28 bytes and its text (lane.h). */
#ifndef JOBS_ENTRY_H
#define JOBS_ENTRY_H

#include "base/arena.h"
#include "base/table.h"
#include "jobs/spec.h"

#define ENTRY_NONE 0
#define ORDER_NONE UINT32_MAX /* in no heap */

enum entry_flag {
    ENTRY_CANCEL_REQUESTED = 1,
    ENTRY_DEAD_LETTER = 2,
    ENTRY_RELAXED = 4, /* its changes need no sync of the disk */
    ENTRY_USUAL = 8,   /* a worker leases it on the usual terms: no need to read its document */
};

struct entry {
    uint64_t id;
    /* scheduled, retrying: when it is due; queued: since when it could run; else the last */
    int64_t run_at_ms;
    uint32_t lane;
    uint32_t at;           /* its slot in the lane's heap (queued) or in the due heap */
    uint32_t extra;        /* or ENTRY_NONE */
    uint32_t touch;        /* of the open update, + 1; 0 = not touched */
    uint32_t older, newer; /* queued: neighbours in the queue's list by age */
    uint32_t link;         /* of entries.by_id */
    int8_t priority;
    uint8_t state, reason, flags;
};

/* Of a job without one all of this is 0. */
struct extra {
    int64_t started_at_ms, start_by_at_ms, retry_until_at_ms;
    int64_t lease_until_ms;   /* 0 = not leased; then what follows means nothing */
    int64_t timeout_at_ms;    /* of the leased attempt, 0 = none */
    struct lease_terms terms; /* of the lease */
    uint32_t at;              /* its slot in the expiry heap, or ORDER_NONE */
    uint32_t attempt, fence;
    uint16_t crashes;
};

struct entries {
    struct arena entries, extras;
    struct table by_id; /* its len is the count of entries */
};

static inline struct entry *entry_at(const struct entries *all, uint32_t index)
{
    return arena_at(&all->entries, index);
}

static inline struct extra *entry_extra(const struct entries *all, const struct entry *e)
{
    return e->extra == ENTRY_NONE ? NULL : arena_at(&all->extras, e->extra);
}

static inline uint32_t entry_fence(const struct entries *all, const struct entry *e)
{
    return e->extra == ENTRY_NONE ? 0 : entry_extra(all, e)->fence;
}

void entry_deinit(struct entries *all); /* zeroed entries are empty entries */
/* A zeroed entry with this id, found by entry_find from now on. 0 or -ENOMEM. */
int entry_add(struct entries *all, uint64_t id, uint32_t *ret);
/* Gives it a zeroed extra when it has none. 0 or -ENOMEM. */
int entry_extend(struct entries *all, struct entry *e);
void entry_extra_drop(struct entries *all, struct entry *e);
/* The index, ENTRY_NONE when there is none. */
uint32_t entry_find(const struct entries *all, uint64_t id);
void entry_remove(struct entries *all, uint32_t index); /* with its extra */
/* Those that have a state. Start with *pos = 0; ENTRY_NONE ends. As they lie in memory, so
 * entries may come and go meanwhile: a walk may go on later. */
uint32_t entry_next(const struct entries *all, uint32_t *pos);

/* The earliest moment at which time itself ends what the job does. Waiting: its start_by while
 * it has never started, its retry_until. Leased: the end of the lease, of the attempt, or of
 * the grace to stop. 0 = never. */
int64_t entry_expiry_ms(const struct entry *e, const struct extra *x);

#endif
