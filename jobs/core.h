/* core.h: what happens to jobs, as a pure function: an input and the time go in, an update
 * comes out. It has no clock, no lock, no thread and no disk, so whole histories can be played
 * in tests, crashes included, on any seed.
 *
 * How it works. One round of the engine is: core_step for each input, core_tick for what time
 * did, core_start to fill free room, core_rows for the changes to store; then the store says
 * yes and core_keep makes it so, or it says no and core_undo makes it as if nothing had been.
 * Actions (start, stop, tell) may be carried out only after core_keep: nothing of the outside
 * world happens that the store does not know.
 *
 * Why the core changes itself before the store has agreed: the inputs of one round build on
 * each other (submit and start, start and cancel), so the second must see what the first did.
 * A copy of the touched entries is kept as a journal and put back in reverse order.
 *
 * What was rejected: deciding in SQL (a decision would cost a query, and limits would need
 * counts); an object with callbacks for its effects (control flow hides, and no effect can wait
 * for the commit); a whole document per job in memory (a million waiting jobs would be a
 * gigabyte).
 *
 * The invariants, checked by core_check():
 * I1  a job that is not final is in the indexes of its state and no others: queued in its
 *     lane's heap and its queue's list by age; scheduled and retrying in the due heap; waiting
 *     with a bound in time also in the expiry heap, and so is leased; held, blocked and
 *     running in none.
 * I2  every count equals what a walk over the entries finds.
 * I3  no attempt starts beyond the limit of all, of its kind, of its queue, of its key, nor
 *     while paused or draining; a lease does not count for the limit of all, as the daemon does
 *     not run it. (A limit lowered later is obeyed from the next start on.)
 * I4  a lane is in its queue's round exactly while it has ready jobs and its key is below its
 *     limit; a queue in the round of queues exactly while it has such a lane, is not paused,
 *     and is below its limit.
 * I5  every move is in the state table; a final state never changes.
 * I6  the fence rises by one at each start and at no other time; the end of an attempt with
 *     another fence changes nothing.
 * I7  after core_undo all is as before the update but the order in the rounds and the random
 *     numbers; it needs no memory, so it cannot fail.
 * I8  between updates no entry is final and none is touched.
 *
 * I9  a live job of kind worker is leased, until a moment that is stored; core_tick ends what
 *     its worker did not renew. Such jobs outlive the daemon, all other live ones do not.
 *
 * Threads: of the commit task alone. After a crash it is filled again from the store. */
#ifndef JOBS_CORE_H
#define JOBS_CORE_H

#include "jobs/kind.h"
#include "storage/store.h"

struct core;
struct core_update;
struct buf;

enum core_answer {
    CORE_OK = 0,
    CORE_NOT_FOUND, /* not waiting and not live: ask the store */
    CORE_STOPPING,  /* asked to stop, it will end */
    CORE_CONFLICT,  /* not possible in its state */
    CORE_FULL,      /* jobs_waiting_max or QUEUES_MAX */
    CORE_STALE,     /* the fence is not the live attempt's */
};

struct core_limits {
    uint32_t running_max;
    uint32_t kind_max[KIND_COUNT]; /* 0 = never started by the core */
    uint64_t jobs_waiting_max;     /* 0 = none */
    uint32_t crashes_max;
};

enum core_input_kind {
    INPUT_SUBMIT,
    INPUT_FINISHED, /* an attempt ended */
    INPUT_LOST,     /* the daemon that ran it died */
    INPUT_CANCEL,
    INPUT_HOLD,
    INPUT_RELEASE,
    INPUT_RETRY_NOW, /* retrying: its wait ends */
    INPUT_QUEUE_SET,
    INPUT_RENEW, /* the worker that leases it lives */
};

/* What is submitted: a row whose id, state and times the core completes. */
struct core_submission {
    struct job *job; /* stays the caller's; core_rows fills it in */
    bool hold, relaxed;
    bool usual;  /* a worker leases it on spec_usual_terms */
    bool wanted; /* by whoever submitted it, afterwards: its attempt must not take the row */
};

/* Borrowed until the update is kept or undone, with all it points at. */
struct core_input {
    enum core_input_kind kind;
    union {
        struct {
            struct core_submission *items;
            size_t count;
            uint64_t ret_first_id;
        } submit; /* all or none */
        struct {
            uint64_t id;
            uint32_t fence;
            const struct outcome *outcome;
            const struct retry_spec *retry; /* NULL: that of the lease */
            enum job_state ret_state;
            int64_t ret_run_at_ms;
        } finished;
        struct {
            uint64_t id;
            uint32_t fence;
            bool ret_stop; /* it is to stop, and has until then */
            int64_t ret_until_ms;
        } renew;
        struct {
            uint64_t id;
            int64_t grace_ms; /* -1 = the job's own; 0 = kill at once, a lease ends at once */
        } cancel;
        struct {
            const char *name;
            int64_t concurrency;     /* -1 = leave */
            int64_t key_concurrency; /* -1 = leave */
            int paused;              /* -1 = leave */
        } queue;
        uint64_t id;
    };
};

enum core_action_kind {
    ACTION_START,      /* submission: the one it came with, NULL = the job is in the store */
    ACTION_LEASED,     /* a worker has it */
    ACTION_STOP,       /* grace_ms */
    ACTION_ENDED,      /* state is final */
    ACTION_RETRYING,   /* an attempt failed, the next is due at at_ms */
    ACTION_RETURNED,   /* an attempt was lost, shut down or snoozed: the job waits again */
    ACTION_HELD,       /* an attempt asked for a human */
    ACTION_SUPERSEDED, /* an attempt's end came too late */
};

/* What the outside is to do or to be told, once the update is kept. */
struct core_action {
    enum core_action_kind kind;
    enum job_kind job_kind;
    enum job_state state;
    enum job_reason reason;
    uint64_t id;
    uint32_t fence, attempt, attempts_max, crashes;
    int64_t at_ms, grace_ms;
    struct core_submission *submission;
};

int core_new(const struct core_limits *limits, uint64_t epoch, uint64_t seed,
             struct core **ret); /* 0 or -ENOMEM */
void core_free(struct core *core);

/* Filling it from the store: queues, then jobs that are not final in any order, then the end.
 * Live jobs stand as running until INPUT_LOST. 0, -ENOMEM, or -EINVAL for a row that cannot
 * be. */
int core_load_queue(struct core *core, const struct queue_record *record);
int core_load(struct core *core, const struct job *row);
int core_load_end(struct core *core, uint64_t max_id);

int core_update_new(struct core_update **ret);
void core_update_free(struct core_update *update);

/* An enum core_answer or -ENOMEM. Whatever is not CORE_OK, CORE_STOPPING or CORE_STALE has
 * changed nothing. */
int core_step(struct core *core, struct core_input *input, int64_t now_ms,
              struct core_update *update);
/* What is due or has expired by now, leases too, at most CORE_TICK_MAX jobs. 0 or -ENOMEM. */
int core_tick(struct core *core, int64_t now_ms, struct core_update *update);
/* Starts what may start, at most CORE_START_MAX attempts. 0 or -ENOMEM. */
int core_start(struct core *core, int64_t now_ms, struct core_update *update);
#define CORE_TICK_MAX 1000
#define CORE_START_MAX 1000

/* A job for a worker. */
struct core_lease {
    uint64_t id;
    uint32_t fence, attempt, crashes;
    int64_t until_ms;                   /* to be renewed before */
    int64_t deadline_ms;                /* of the attempt, 0 = none */
    struct core_submission *submission; /* the one it came with, NULL = it is in the store */
};
/* The job that a worker would be given from this queue, and whether its terms are the usual
 * ones; false when there is none, or no room. Its lane's turn is over with this. */
bool core_lease_pick(struct core *core, const char *queue, struct core_update *update,
                     struct core_lease *ret, bool *ret_usual);
/* Gives it away. CORE_OK, -ENOMEM, or CORE_NOT_FOUND when its time to start had passed: then it
 * has ended, and another one may be picked. */
int core_lease(struct core *core, const struct lease_terms *terms, int64_t now_ms,
               struct core_update *update, struct core_lease *lease);
bool core_lease_ready(const struct core *core); /* false: nobody would be given anything */
/* After a load: leased jobs by id, 0 ends; and their terms, which rows do not have. */
uint64_t core_leased_next(const struct core *core, uint32_t *pos);
void core_lease_restore(struct core *core, uint64_t id, const struct lease_terms *terms);

/* Completes the changes to store. 0 or -ENOMEM. After it no step until kept or undone. */
int core_rows(struct core *core, struct core_update *update);
void core_keep(struct core *core, struct core_update *update);
void core_undo(struct core *core, struct core_update *update);

/* The changes and actions, valid until the update is used for the next round. */
struct core_changes {
    struct change *items;
    size_t count;
    bool sync; /* one of them must survive a power failure */
};
struct core_changes core_changes(const struct core_update *update);
/* Adds a change of the caller's own (replies). 0 or -ENOMEM. */
int core_change_add(struct core_update *update, const struct change *change, bool sync);
/* The row of change i when it keeps the result and error that the store has, NULL when it
 * brings its own: to be filled in (borrowed) before the commit. */
struct job *core_change_keeps_text(const struct core_update *update, size_t i);
const struct core_action *core_actions(const struct core_update *update, size_t *ret_count);

/* When the next core_tick has something to do; 0 = never. Not later than now when more is to do
 * than one update took. */
int64_t core_next_at_ms(struct core *core, int64_t now_ms);
void core_set_limits(struct core *core, const struct core_limits *limits);
void core_drain(struct core *core, bool draining); /* no start while draining */
/* While a new daemon takes over: no start either, and nothing expires. */
void core_recovering(struct core *core, bool recovering);

/* Looking in. */
const uint64_t *core_counts(const struct core *core); /* by state; final ones ever */
uint64_t core_waiting(const struct core *core);
int64_t core_oldest_at_ms(const struct core *core); /* since when the oldest is queued; 0 */
bool core_job_state(const struct core *core, uint64_t id, enum job_state *ret_state,
                    uint32_t *ret_fence);
/* Ids of live jobs that are not leased, which a new daemon must take back; 0 ends. */
uint64_t core_live_next(const struct core *core, uint32_t *pos);
uint32_t core_running(const struct core *core); /* attempts that are the daemon's own */
size_t core_bytes(const struct core *core);     /* memory of entries, heaps and map */

struct core_queue {
    const struct queue_record *record; /* borrowed until the next step */
    const uint64_t *counts;            /* waiting and live ones */
    int64_t oldest_at_ms;              /* 0 = none is queued */
};
bool core_queue_next(const struct core *core, size_t *pos, struct core_queue *ret);

/* The first broken invariant as a sentence, NULL when all hold. O(everything). */
const char *core_check(const struct core *core);
/* One line a job by id and one a queue by name: equal cores print equal text. */
void core_print(const struct core *core, struct buf *ret);

#endif
