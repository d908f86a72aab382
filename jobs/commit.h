/* commit.h: group commit. One round takes everything that waits: each input is a step of the
 * core, all their changes are one transaction with one sync, and only then is anything
 * answered, started or stopped. While the disk works the next batch gathers, so batches grow
 * with the load, and an idle submission waits for nobody.
 *
 * A round either happens or does not: when the store refuses, the core is put back as it was
 * (core_undo) and every item carries the store's errno. Who must not be lost for that, the end
 * of an attempt above all, is simply given to a later round again.
 *
 * Nothing here has a thread, a lock or a clock: the engine drives it on its commit task, the
 * simulation in a loop. Items are the caller's and stay so.
 *
 * G1  an item's answer is final only after commit_round returned: not a moment earlier is what
 *     it says on the disk.
 * G2  after a round that failed core and store hold what they held before it. (After -EIO the
 *     store is to be opened again, see S2 in store.h.)
 * G3  an Idempotency-Key is found, stepped and stored in one round: two requests with one key
 *     never make two sets of jobs.
 *
 * What asks for jobs to work on (struct lease_ask) comes last in a round, so that what was
 * submitted, returned or freed in it can be given away in the same transaction.
 *
 * Rejected: a timer that lets batches grow (it taxes every idle request for a load that is not
 * there); a transaction per input (its sync is the whole cost). */
#ifndef JOBS_COMMIT_H
#define JOBS_COMMIT_H

#include "base/list.h"
#include "jobs/core.h"

#define COMMIT_REPLY_KEEP_MS (INT64_C(24) * 60 * 60 * 1000)
/* Old replies go a few at a time: twice as many as a round adds, and every now and then some
 * more, so that nobody waits for a day's worth of them. */
#define COMMIT_PRUNE_EVERY_MS INT64_C(1000)
#define COMMIT_PRUNE_FEW 100

struct commit;

/* Beside enum core_answer. */
#define COMMIT_KEY_REUSED 100

struct commit_item {
    struct core_input input;
    /* of a submission with an Idempotency-Key; borrowed, NULL = without */
    const char *key;
    uint64_t fingerprint;
    /* written by the round: an enum core_answer, COMMIT_KEY_REUSED, or a negative errno */
    int answer;
    bool replayed; /* input.submit.ret_first_id is of an earlier answer */
    /* the round's own */
    struct reply_record reply;
    struct attempt_record late;
};

/* A worker that wants jobs. */
struct lease_ask {
    struct list link;          /* in the list that commit_round is given */
    const char *const *queues; /* which take turns */
    uint32_t queues_count;
    uint32_t max;
    uint32_t turn;             /* of the queues; starts at 0 */
    struct core_lease *leases; /* room for max */
    uint32_t count;            /* how many the round gave it */
};
#define LEASE_ASK_MAX 1000    /* jobs of one ask */
#define LEASE_ROUND_MAX 10000 /* and of all in a round; the others wait for the next */

struct commit_options {
    struct store *store; /* borrowed; this is its only writer */
    struct core_limits limits;
    uint64_t epoch, seed;
};

/* Fills a core from the store. *ret_refused counts rows that cannot be; they are left alone.
 * 0 or a negative errno. */
int commit_open(const struct commit_options *options, struct commit **ret,
                uint64_t *ret_refused);
void commit_close(struct commit *c); /* NULL is harmless */

/* One round. 0: every answer stands and is stored. Negative errno: nothing happened, every
 * answer is that errno. asks: in the order in which they came, NULL = none; those with a count
 * have been served and leave the caller's list by the caller. */
int commit_round(struct commit *c, struct commit_item *const *items, size_t count,
                 struct list *asks, int64_t now_ms);
/* Jobs that the last round gave away, and whether it ended at LEASE_ROUND_MAX. */
size_t commit_leased(const struct commit *c, bool *ret_more);
/* Of the last round that returned 0, until the next one. */
const struct core_action *commit_actions(const struct commit *c, size_t *ret_count);
size_t commit_changes(const struct commit *c); /* rows written by the last round */

/* Writes something that only a writable store takes: how the end of a refusal is noticed when
 * nobody else has anything to write. 0 or a negative errno. Not within a round. */
int commit_probe(struct commit *c, int64_t now_ms);

/* After the open: takes back every job that an earlier daemon left live, some a round, and
 * renews the leases of the others, as no worker could while there was no daemon. 1 = go on, 0 =
 * none is left, negative errno. */
int commit_recover(struct commit *c, int64_t now_ms);

struct core *commit_core(struct commit *c);

#endif
