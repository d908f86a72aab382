/* queue.h: who is next. A queue has lanes, one for each kind and key that its jobs name; a lane
 * has a heap of ready jobs. Three levels choose:
 *
 *     queues with something ready, round and round       no queue starves another
 *       keys of the queue, round and round               no key starves another
 *         heap by priority and age                       within a key the important first
 *
 * Jobs without a key share one turn, so a queue without keys runs by priority and age alone.
 * The lanes of a key, one a kind, are siblings: they share the key's limit, and the best head
 * among them goes first.
 *
 * The round of keys: each kind has a ring of lanes, and a lane takes a number when it goes to
 * the back (turn). The lowest number among the heads of the rings belongs to the key that has
 * waited longest, whatever its kinds. So every key with something ready starts a job in each
 * round, and a round has as many starts as keys: that is deficit round robin where each job
 * costs one. What a job will cost in time nobody knows before.
 *
 * What is at its limit is skipped, never waited on: a queue at its limit or paused leaves the
 * round of queues, a key at its limit the rings (I4), a kind at its limit is masked; its lanes
 * keep their turns meanwhile. A choice costs O(kinds), and O(queues) at worst when all that is
 * ready is of masked kinds. How lanes are remembered is lane.h's matter.
 *
 * One heap a queue was rejected: a limited kind or key at its head would hold up the rest, and
 * keys would share by arrival instead of fairly. One ring for all kinds: to skip those of a
 * masked kind would cost a walk.
 *
 * Of the commit task; nothing here locks. */
#ifndef JOBS_QUEUE_H
#define JOBS_QUEUE_H

#include "jobs/lane.h"

#define QUEUES_MAX 10000

struct ring {
    uint32_t first, last; /* lanes; 0 = none */
};

struct queue {
    struct queue_record record;       /* as stored, or to be stored by the open update */
    uint64_t counts[JOB_STATE_COUNT]; /* waiting and live ones */
    struct list ring;                 /* in queues.open while something may start here (I4) */
    struct ring rings[KIND_COUNT];    /* lanes whose jobs may start, by turn */
    uint64_t turns;                   /* given out so far */
    uint32_t ready_kinds;             /* bit 1 << kind: its ring is not empty */
    uint32_t running;                 /* running and stopping */
    uint32_t oldest, newest;          /* ends of the list of queued jobs by age */
    uint32_t plain[KIND_COUNT];       /* lanes without a key; 0 = none */
    uint32_t crowded;                 /* the first of its crowded lanes */
    uint32_t lanes;                   /* how many it has */
    uint16_t number;                  /* in queues.numbered */
    bool dirty;                       /* the open update stores its record */
};

struct queues {
    struct entries entries;
    struct arena lanes;  /* and their crowds */
    struct table by_key; /* lanes that have one */
    struct map by_name;
    struct queue **numbered; /* as lanes name them */
    uint32_t numbered_cap;
    struct list open;
    uint32_t ready[KIND_COUNT]; /* queued jobs of a kind */
};

void queue_init(struct queues *all);
void queue_deinit(struct queues *all);
struct queue *queue_find(const struct queues *all, const char *name);
/* A queue without settings. 0, -ENOMEM, or -ENOSPC at QUEUES_MAX. */
int queue_add(struct queues *all, const char *name, struct queue **ret);
void queue_remove(struct queues *all, struct queue *q); /* it has no lanes any more */
/* Its settings or its running count changed: takes it into the round or out. */
void queue_refresh(struct queues *all, struct queue *q);
/* Its limit per key changed as well. O(crowded lanes of the queue): a job that is alone waits
 * for no other. */
void queue_refresh_keys(struct queues *all, struct queue *q);
/* n more jobs of the lane run, or fewer. */
void queue_running(struct queues *all, uint32_t lane, int n);

/* A job becomes ready; its lane has room (lane_reserve). It comes at the end of the
 * queue's list by age or where its run_at_ms belongs; or exactly between its older and newer as
 * they stand in the entry. */
void queue_ready(struct queues *all, uint32_t index);
void queue_ready_again(struct queues *all, uint32_t index);
void queue_unready(struct queues *all, uint32_t index);

/* The ready job that starts next among kinds (bit 1 << kind); its key and queue go to the back
 * of their rounds. ENTRY_NONE when nothing may start. */
uint32_t queue_pick(struct queues *all, uint32_t kinds);

/* The same within one queue, which must be in the round. */
uint32_t queue_pick_in(struct queues *all, struct queue *q, uint32_t kinds);

/* A job of this lane may start as far as its key goes. */
bool queue_lane_open(const struct queues *all, uint32_t lane);

/* After a load: puts the list by age in order of run_at_ms. 0 or -ENOMEM. */
int queue_sort_ages(struct queues *all, struct queue *q);

static inline struct lane *lane_at(const struct queues *all, uint32_t lane)
{
    return arena_at(&all->lanes, lane);
}

static inline struct lane *queue_lane_of(const struct queues *all, const struct entry *e)
{
    return lane_at(all, e->lane);
}

static inline struct queue *queue_of_lane(const struct queues *all, const struct lane *lane)
{
    return all->numbered[lane->queue];
}

static inline struct crowd *lane_crowd(const struct queues *all, const struct lane *lane)
{
    return arena_at(&all->lanes, lane->slot);
}

/* Its heap; NULL when it is alone. */
static inline struct order *lane_ready(const struct queues *all, const struct lane *lane)
{
    return lane->crowded ? &lane_crowd(all, lane)->ready : NULL;
}

/* The ready job that goes first; ENTRY_NONE when none is. */
static inline uint32_t lane_head(const struct queues *all, const struct lane *lane)
{
    return lane->crowded ? order_peek(&lane_crowd(all, lane)->ready) : lane->slot;
}

static inline uint32_t lane_jobs(const struct queues *all, const struct lane *lane)
{
    return lane->crowded ? lane_crowd(all, lane)->jobs : lane->has_job;
}

static inline uint32_t lane_running(const struct queues *all, const struct lane *lane)
{
    return lane->crowded ? lane_crowd(all, lane)->running : lane->running;
}

/* Itself when there is none. */
static inline uint32_t lane_sibling(const struct queues *all, uint32_t at)
{
    const struct lane *lane = lane_at(all, at);

    return lane->crowded ? lane_crowd(all, lane)->sibling : at;
}

#endif
