/* lane.h: the jobs of one kind and key within a queue, as queue.h needs them: which of them are
 * ready, how many there are, how many run.
 *
 * Keys may be as many as jobs: each customer with one. So a lane with a single job is small, 28
 * bytes with the key's text behind its end, and remembers of its job no more than that it is
 * there, is ready, or runs. The second job, or a lane of the same key and another kind, gives
 * it a crowd: heap, counts, links. A lane that is alone again gives its crowd back.
 *
 * A waiting job with a key of its own, of 16 letters: 48 bytes of entry, 44 of lane, and 3 to 5
 * in each of two tables, 98 to 102 in all. Below that are the text itself (16), what must be
 * known of a job (id, since when, state, where: 24), its places in the two orders that it is in
 * (age 8, turn 16), and the two ways to it, by id and by key (7 each): 78; the rest is what few
 * jobs use, and its kind and queue.
 *
 * N1  A lane has a crowd if it has two jobs or a sibling; its slot names the crowd then, else
 *     the ready job.
 * N2  A lane is found by its key, or in its queue's plain ones, while it has jobs; whoever gets
 *     one by lane_get and then has no job for it says so with lane_tidy.
 * N3  What an undo needs is not given back while an update is open: lane_leave without trim
 *     takes a crowd only when one job is left, for which there is room without.
 *
 * Of the commit task; nothing here locks. */
#ifndef JOBS_LANE_H
#define JOBS_LANE_H

#include "base/list.h"
#include "base/map.h"
#include "jobs/order.h"

struct queue;
struct queues;

struct lane {
    uint32_t link;       /* of queues.by_key */
    uint32_t next, prev; /* in its queue's round of the kind while ringed; 0 ends */
    uint32_t slot;       /* N1 */
    uint32_t turn_low;   /* queue.turns when it went to the back of the round */
    uint16_t turn_high;
    uint16_t queue; /* number */
    uint8_t kind : 3;
    bool ringed : 1;  /* a job of it may start (I4) */
    bool crowded : 1; /* else its one job, if any … */
    bool has_job : 1;
    bool ready : 1;
    bool running : 1; /* or stopping */
    char key[];       /* "" = none */
};

/* spec.h allows less. */
#define LANE_KEY_MAX (ARENA_ITEM_MAX - offsetof(struct lane, key) - 1)

/* What a lane has that is not alone. */
struct crowd {
    struct order ready;
    uint32_t jobs, running; /* entries that name it; of these running and stopping */
    uint32_t sibling;       /* of the same key, the next kind's, round; itself when alone */
    uint32_t next, prev;    /* the queue's crowded lanes; 0 ends */
};

static inline uint64_t lane_turn(const struct lane *lane)
{
    return (uint64_t)lane->turn_high << 32 | lane->turn_low;
}

static inline void lane_set_turn(struct lane *lane, uint64_t turn)
{
    lane->turn_low = (uint32_t)turn;
    lane->turn_high = (uint16_t)(turn >> 32);
}

/* The lane of kind and key (NULL = none), made when missing, with room for a job more. 0 or
 * -ENOMEM. */
int lane_get(struct queues *all, struct queue *q, enum job_kind kind, const char *key,
             uint32_t *ret);
void lane_tidy(struct queues *all, uint32_t lane); /* frees it when it has no jobs (N2) */
/* A job of it changes its state: room for it to be ready. 0 or -ENOMEM. */
int lane_reserve(struct queues *all, uint32_t lane);

void lane_join(struct queues *all, uint32_t lane); /* one job more */
/* One job less; the last one takes the lane with it. trim: gives unused room back as well; not
 * while an update is open (N3). */
void lane_leave(struct queues *all, uint32_t lane, bool trim);

/* A job of it is ready, or not any more. */
void lane_push(struct queues *all, uint32_t lane, uint32_t index);
void lane_pull(struct queues *all, uint32_t lane, uint32_t index);

void lane_add_running(struct queues *all, struct lane *lane, int n);

void lane_free_crowds(struct queues *all, struct queue *q); /* when all goes */

/* Each lane; 0 ends. Start with zeroes; none may come or go between. */
struct lane_walk {
    uint32_t at, bucket, number;
    unsigned kind;
};
uint32_t lane_next(const struct queues *all, struct lane_walk *walk);

#endif
