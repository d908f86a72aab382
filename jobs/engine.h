/* engine.h: the shell round the core. Tasks call it; it feeds events to the core on the commit
 * thread, carries the core's update through storage, and only then answers, starts and stops.
 *
 * How it works. A request is a node in the frame of the task that asks. It goes into the inbox,
 * and the task parks. The commit task, with a large stack and in a blocking section for the
 * store's sake (engine_pace.c), takes all that waits and gives it to one round (commit.h): one
 * transaction, one sync.
 * Then it acts: answers every request at once, makes a run for every start, cancels the group
 * of every attempt that is to stop, wakes who waits for a job's end. The end of an attempt is
 * an input of a later round. Reading goes past all that, to threads with readers of their own,
 * and sees the newest commit.
 *
 * What was rejected. A lock round the core, so that any task may step it: the answer has to
 * wait for the disk anyway, and one task that batches needs no lock. A thread for the commit:
 * who submits one job after the other waited for two threads to wake, a fifth of each round. A
 * thread for each attempt or each waiter: ten thousand of either are tasks. A timer that lets
 * batches grow: an idle submission would pay for a load that is not there. A job's row in
 * memory: the attempt reads it when it starts, unless the submission that brought it is still
 * in hand.
 *
 * E1  nothing is answered, started, stopped or told before the commit that says so is durable.
 * E2  every request that was taken is answered, also when the store refuses or the daemon
 * stops; so its task may wait shielded. E3  the end of an attempt is never dropped while the
 * daemon lives: when the store refuses it is kept, and given to a round again every 250 ms. E4
 * an attempt that was started ends before engine_drain returns, and nothing of it is left (K1
 * of kind.h). E5  a waiter sees the end: it is in the table before it reads the store.
 *
 * What a crash leaves behind: jobs that are running in the store. Those that workers lease stay
 * with them; the others the next engine takes back in its first rounds, counts the crash, and
 * gives the attempt back; the kinds have killed what was left of it before (kinds_open). Time
 * for that is as the jobs that live, not as the history. Threads and locks stand in
 * engine_internal.h.
 *
 * Every call here parks the calling task until its answer is durable, unless it says otherwise.
 * They answer 0 (ENGINE_OK), another positive enum engine_answer, or a negative errno. */
#ifndef JOBS_ENGINE_H
#define JOBS_ENGINE_H

#include "jobs/joblog.h"
#include "jobs/kind.h"
#include "storage/store.h"

struct engine;
struct group;

enum engine_answer {
    ENGINE_OK = 0,
    ENGINE_NOT_FOUND,
    ENGINE_FINAL,      /* it has ended: the job in ret says how */
    ENGINE_STOPPING,   /* asked to stop, it will end; the job in ret says until when */
    ENGINE_CONFLICT,   /* not possible in this state: the job in ret says which */
    ENGINE_FULL,       /* bounded backlog of requests or jobs: try later */
    ENGINE_UNWRITABLE, /* the store cannot be written now (disk full, read-only): try later */
    ENGINE_DRAINING,   /* the daemon is about to stop */
    ENGINE_KEY_REUSED, /* this Idempotency-Key came with another request */
    ENGINE_TIMEOUT,    /* of engine_wait */
    ENGINE_SUPERSEDED, /* the fence is not that of the present lease */
};

struct engine_options {
    struct store *store; /* borrowed; its writer is the engine's alone from now on */
    const struct kind_config *kinds; /* borrowed */
    /* By enum job_kind, KIND_COUNT of them, borrowed; NULL = exec, http and file. With a table
     * of its own (tests) the engine opens no struct kinds. */
    const struct kind *const *kind_table;
    uint32_t running_max;          /* attempts at once, all kinds; 0 = 10,000 */
    uint32_t kind_max[KIND_COUNT]; /* at once of a kind; 0 = the kind's default */
    uint32_t backlog_max;          /* requests not yet committed; 0 = 4,096 */
    uint64_t jobs_waiting_max;     /* 0 = no limit */
    uint32_t readers;              /* reading threads; 0 = 2 */
    uint32_t crashes_max;          /* then poison; 0 = 3 */
    uint64_t seed;                 /* of the jitter; 0 = from the kernel */
    /* Told once, on the commit task, when the store lost track of what it holds (-EIO at a
     * sync): from then on every write is answered ENGINE_UNWRITABLE, and only a new start of
     * the daemon on what is there mends it. NULL: nobody is told. */
    void (*failed)(void *ctx, int error);
    void *failed_ctx;
};

/* Most jobs of one engine_submit. */
#define ENGINE_SUBMIT_MAX 10000

/* In the root task. Loads live jobs, takes back those of a dead epoch (their crash counted),
 * clears what their attempts left, starts the threads, and begins to run jobs. Attempts are
 * tasks of group. */
int engine_open(const struct engine_options *options, struct group *group, struct engine **ret,
                char *why /* STORE_WHY_BYTES */);
/* No attempt starts any more; running ones have until deadline_ns, are then stopped and go back
 * to the queue with reason shutdown, not counted. Submissions answer ENGINE_DRAINING. Parks
 * until no attempt is left. With a deadline that has passed already the stop has no grace. May
 * be called again, by another task too, with an earlier deadline. 0 or the cancel reason. */
int engine_drain(struct engine *engine, uint64_t deadline_ns);
void engine_close(struct engine *engine); /* after the drain; stops the threads */
/* New limits at a reload. Any task. */
void engine_limits(struct engine *engine, const struct engine_options *options);

/* Submits all or none. specs are taken (freed) whatever the answer. ids are consecutive from
 * *ret_first_id. key: Idempotency-Key or NULL; *ret_replayed says that an earlier answer is
 * given again. */
struct submit_options {
    const char *key;
    uint64_t fingerprint;
};
int engine_submit(struct engine *engine, struct spec **specs, size_t count,
                  const struct submit_options *options, uint64_t *ret_first_id,
                  bool *ret_replayed);

/* Submits one. spec is taken whatever the answer; *ret is the caller's: the job as it was
 * stored, or as it is now when replayed, which may be ENGINE_NOT_FOUND. */
int engine_submit_one(struct engine *engine, struct spec *spec,
                      const struct submit_options *options, struct job **ret,
                      bool *ret_replayed);

/* One job by id, with the newest commit; *ret is the caller's. */
int engine_get(struct engine *engine, uint64_t id, struct job **ret);
/* Parks until it is final or deadline_ns: ENGINE_OK or ENGINE_TIMEOUT, *ret is the job as it
 * then is. */
int engine_wait(struct engine *engine, uint64_t id, uint64_t deadline_ns, struct job **ret);

struct cancel_options {
    int64_t grace_ms; /* -1 = the job's own */
    bool force;       /* kill at once */
};
int engine_cancel(struct engine *engine, uint64_t id, const struct cancel_options *options,
                  struct job **ret);
int engine_hold(struct engine *engine, uint64_t id, struct job **ret);
int engine_release(struct engine *engine, uint64_t id, struct job **ret);
/* Final: a new job like it, linked by retry_of. Retrying: its wait ends now. */
int engine_retry(struct engine *engine, uint64_t id, struct job **ret);

struct job_page {
    struct job **jobs; /* spec and result included */
    size_t count;
    uint64_t next; /* cursor, 0 = the end */
};
int engine_list(struct engine *engine, const struct job_filter *filter, struct job_page *ret);
void job_page_deinit(struct job_page *page);

struct attempt_list {
    struct attempt_record *items;
    size_t count;
};
int engine_attempts(struct engine *engine, uint64_t id, struct attempt_list *ret);
void attempt_list_deinit(struct attempt_list *list);

struct queue_view {
    struct queue_record record;
    uint64_t counts[JOB_STATE_COUNT]; /* waiting and live ones now; finished ones ever */
    int64_t oldest_ms;                /* how long the oldest queued job waits; 0 = none */
};
struct queue_list {
    struct queue_view *items;
    size_t count;
};
int engine_queues(struct engine *engine, struct queue_list *ret); /* by name */
void queue_list_deinit(struct queue_list *list);
struct queue_settings {
    int64_t concurrency;     /* -1 = leave; 0 = no limit */
    int64_t key_concurrency; /* of each key; -1 = leave; 0 = no limit */
    int paused;              /* -1 = leave */
};
int engine_queue_set(struct engine *engine, const char *name,
                     const struct queue_settings *settings);

/* ----- jobs for workers, engine_lease.c ----- */

/* A job that a worker has from now on. */
struct lease {
    uint64_t id;
    uint32_t fence, attempt, crashes;
    int64_t until_ms;    /* wall clock: to be renewed before */
    int64_t deadline_ms; /* of the attempt, 0 = none */
    char *spec;          /* its document; owned */
};
struct lease_list {
    struct lease *items;
    size_t count;
};
/* Leases up to max (LEASE_ASK_MAX) jobs of kind worker from these queues, which take turns.
 * With none ready it parks until there is one, or until wait_until_ns (0 = not at all): then
 * the list is empty, and it is ENGINE_OK. A caller that is cancelled has nothing: what it was
 * given goes back. */
int engine_lease(struct engine *engine, const char *const *queues, uint32_t queues_count,
                 uint32_t max, uint64_t wait_until_ns, struct lease_list *ret);
/* Back to their queues: of a worker that went before it heard of them. */
void engine_lease_return(struct engine *engine, const struct lease_list *list);
void lease_list_deinit(struct lease_list *list);

/* What a worker says about one of its jobs, and what it is told. */
struct lease_word {
    uint64_t id;
    uint32_t fence;
    bool renew;             /* else it has ended, as outcome says */
    struct outcome outcome; /* stays the caller's */
    int answer;             /* ENGINE_OK, NOT_FOUND, SUPERSEDED, or a negative errno */
    /* renew: */
    bool stop; /* cancelled: it has until then to end */
    int64_t until_ms;
    /* else: */
    enum job_state state; /* that the job is in now */
    int64_t run_at_ms;    /* when it comes again, 0 = never */
};
#define ENGINE_WORDS_MAX 10000
/* Says count things in one transaction; each has its own answer. ENGINE_OK, or why nothing was
 * said (then no answer is written). *ret_drain: the daemon is about to stop. */
int engine_lease_tell(struct engine *engine, struct lease_word *words, size_t count,
                      bool *ret_drain);

struct joblogs *engine_logs(struct engine *engine);

/* Counters; any thread, does not park. */
struct engine_stats {
    uint64_t counts[JOB_STATE_COUNT]; /* waiting and live ones now; finished ones ever */
    uint64_t submitted, started[KIND_COUNT], ended[REASON_COUNT], attempts_failed;
    uint64_t commits, commit_changes, commit_failures, commit_ns_total, commit_ns_max;
    uint64_t backlog, superseded, recovered, poisoned;
    uint64_t workers_waiting; /* for jobs to lease */
    uint64_t waiting_since_ms_oldest;
    bool writable, draining, failed;
    uint64_t epoch;
    struct store_info store;
};
void engine_stats(struct engine *engine, struct engine_stats *ret);

#endif
