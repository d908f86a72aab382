/* engine_internal.h: the engine's body, for engine*.c.
 *
 * Threads and who owns what:
 *   tasks            make requests in their frames and wait, shielded, for the answer
 *   commit task      owns commit and core; takes requests, answers them, makes runs
 *   dispatcher task  turns runs into attempt tasks, since only a task can start tasks
 *   asking tasks     have an asker in their frames, which the commit task keeps in a list
 *                    until there are jobs for it, or until the task takes it out by a look
 *   attempt tasks    own their run until its end is posted, then the commit task does
 *   reading threads  one store_reader each
 *   keeper task      walks through ended jobs, and has the old ones removed
 *
 * Locks, none held while another is taken, none over a switch:
 *   inbox.lock       requests and the flags of the commit task
 *   runs.lock        live runs by id, runs to dispatch, run->group
 *   reads.lock       reading requests
 *   watches.lock     who waits for which job
 *   keeper.lock      the settings of retention
 *   published_lock   the copy of the counters */
#ifndef JOBS_ENGINE_INTERNAL_H
#define JOBS_ENGINE_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "jobs/commit.h"
#include "jobs/engine_admin.h"
#include "scheduler/event.h"
#include "scheduler/group.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREAD_STACK_BYTES (512 * 1024)
#define ROUND_REQUESTS_MAX 4096 /* requests in one transaction */
#define ROUND_JOBS_MAX 20000    /* and submitted jobs, the last request apart */
#define ROUND_ITEMS_MAX (ROUND_JOBS_MAX + ENGINE_WORDS_MAX)
#define ASKERS_MAX 10000        /* workers that wait for jobs */
#define ASKERS_JOBS_MAX 1000000 /* and what they ask for, which each has room for */
#define READERS_MAX 64
#define READ_BACKLOG_MAX 65536

enum request_kind {
    REQUEST_STEP, /* an input of the core */
    REQUEST_LOOK, /* a function on the commit task, between rounds */
    REQUEST_ASK,  /* a worker wants jobs: it may wait for many rounds */
};

/* In the frame of the task that asks. */
struct asker {
    struct lease_ask ask;
    struct lease *leases; /* room for ask.max; filled in before done is set */
    struct event done;
    int refused; /* 0, or the errno of the store */
    /* Of the commit task: */
    bool waits;    /* goes on when there is nothing */
    bool answered; /* done is set */
};

struct request {
    struct list link;
    enum request_kind kind;
    struct commit_item item;
    struct commit_item *items; /* instead of item, count of them; NULL = item alone */
    size_t count;
    struct asker *asker;
    /* Looks at the core, or sets what is not stored; writes what the requester reads. */
    void (*look)(struct engine *engine, void *ctx);
    void *ctx;
    struct run *run;   /* the attempt whose end this is: internal, must not be lost; or NULL */
    struct event done; /* of the others */
};

/* One attempt. */
struct run {
    struct list link;       /* in runs.starting */
    struct request request; /* its end */
    struct engine *engine;
    uint64_t id;
    uint32_t fence;
    enum job_kind kind;
    struct job *row; /* owned; NULL = to be read from the store */
    struct spec *spec;
    struct retry_spec retry;
    struct outcome outcome;
    struct group *group;      /* of the attempt while it is open; guarded by runs.lock */
    _Atomic int64_t grace_ms; /* of the stop */
    _Atomic int stop;         /* enum job_reason it is stopped for, 0 = it is not */
    enum job_reason deadline_reason;
};

struct reading {
    struct list link;
    void (*fn)(struct store_reader *reader, void *ctx);
    void *ctx;
    struct event done;
};

struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* of the commit task in its section */
    struct event call;   /* and outside of it */
    struct list requests;
    uint32_t len; /* without ends of attempts */
    bool draining, stop;
    bool parked, sleeps; /* the commit task waits for call, or for wake */
};

struct runs {
    pthread_mutex_t lock;
    struct map live;      /* by job id */
    struct list starting; /* runs */
    struct event wake;    /* of the dispatcher */
    struct event ended;   /* the dispatcher has */
    bool stop, dispatching;
};

struct reads {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list requests;
    uint32_t len;
    bool stop;
    pthread_t threads[READERS_MAX];
    struct store_reader *readers[READERS_MAX];
    uint32_t count;
};

struct watches {
    pthread_mutex_t lock;
    struct map by_id; /* struct watched */
    atomic_size_t len;
};

/* Of the commit task, engine_pace.c. */
struct pace {
    enum {
        COMMIT_OUTSIDE, /* a task like others */
        COMMIT_ALONE,   /* in a blocking section, with the processor if the monitor let it */
        COMMIT_APART,   /* and without: as good as a thread */
    } place;
    unsigned calm; /* rounds since two requests met */
};

/* Of the commit task alone. */
struct rounds {
    struct commit *commit;
    struct list kept; /* ends of attempts that the store has not taken yet */
    uint32_t kept_len;
    bool refused;                /* the last round was */
    bool broken;                 /* -EIO: no round may succeed any more */
    struct store_backup *backup; /* of engine_backup while it is made */
    uint64_t retry_at_ns;
    uint64_t tended; /* rounds since store_tend */
    struct pace pace;
    uint64_t oldest_at_ns; /* when the oldest job was last looked for */
    struct list askers;    /* who has asked for jobs; their asks by link */
    uint32_t askers_len, askers_jobs;
    _Atomic uint32_t askers_waiting; /* those that are not only looking; read by anybody */
    bool asked;                      /* somebody among them has not been in a round yet */
    bool more_to_lease;              /* the last round ended at its bound */
    struct commit_item *items[ROUND_ITEMS_MAX];
    struct event *events[ROUND_REQUESTS_MAX + 1];
};

/* Retention, engine_keep.c. */
struct keeper {
    pthread_mutex_t lock;
    struct keep_settings settings; /* guarded by lock */
    struct event wake;             /* the settings are new, or stop; set under the lock */
    bool stop;                     /* guarded by lock */
    bool started;
    struct event ended; /* the task has */
    uint32_t batch;     /* jobs at once: of the task, and of the commit task for it */
    _Atomic uint64_t removed, slowest_ns;
};

/* A task in engine_drain. */
struct drainer {
    struct list link; /* guarded by inbox.lock */
    struct event event;
};

struct engine {
    struct engine_options options;
    const struct kind *const *kind_table;
    struct group *group;
    struct kinds *kinds;
    struct joblogs *logs;
    struct inbox inbox;
    struct runs runs;
    struct reads reads;
    struct watches watches;
    struct rounds rounds;
    struct keeper keeper;
    atomic_bool examined; /* an engine_doctor is at work */
    struct event commit_ended;
    bool commit_started;
    uint64_t epoch;
    int opened_result; /* written before opened is set */
    struct event opened;
    struct list drainers; /* told when nothing runs any more; guarded by inbox.lock */
    pthread_mutex_t published_lock;
    struct engine_stats published; /* guarded by published_lock */
};

/* engine.c */
struct core_limits engine_core_limits(const struct engine_options *options,
                                      const struct kind *const *kind_table);
/* Hands a request to the commit task. ENGINE_OK, or why it was not taken. Any thread. */
int engine_post(struct engine *e, struct request *request);
/* The same, and parks until it is answered: shielded, since the request lives in the caller's
 * frame. */
int engine_ask(struct engine *e, struct request *request);
int engine_answer_of(
    int answer); /* of a commit_item, as enum engine_answer or negative errno */

/* engine_commit.c */
int engine_commit_start(struct engine *e); /* parks until the store is loaded */
void engine_commit_stop(struct engine *e);

/* engine_pace.c, of the commit task */
bool engine_inbox_is_empty(struct inbox *inbox); /* any task or thread */
void engine_pace_enter(struct pace *pace);       /* before anything that may block */
void engine_pace_leave(struct pace *pace);
/* After a commit, before it is told: who comes alone is woken on this thread. */
void engine_pace_stored(struct engine *e);
void engine_pace_note(struct engine *e, bool little); /* after a round of that */
void engine_pace_calm(struct pace *pace);             /* nothing goes on */
/* Under inbox.lock, given back meanwhile: until at_ns (0 = none), a post, or for no reason. */
void engine_pace_wait(struct engine *e, uint64_t at_ns);

/* engine_runner.c */
int engine_runner_start(struct engine *e);
void engine_runner_stop(struct engine *e);
/* On the commit task, once the start is stored. */
void engine_runner_begin(struct engine *e, const struct core_action *start);
void engine_runner_wake(struct engine *e); /* after the last begin of a round */
void engine_runner_cancel(struct engine *e, uint64_t id, uint32_t fence, int64_t grace_ms);
void engine_runner_stop_all(struct engine *e, int64_t grace_ms); /* for a shutdown */
void engine_runner_free(struct run *run);

/* engine_read.c */
int engine_read_start(struct engine *e);
void engine_read_stop(struct engine *e);
/* Runs fn on a reading thread and parks until it is done; urgent ones go first. ENGINE_OK or
 * ENGINE_FULL. */
int engine_read(struct engine *e, void (*fn)(struct store_reader *reader, void *ctx), void *ctx,
                bool urgent);
/* One job: ENGINE_OK, ENGINE_NOT_FOUND, or a negative errno. */
int engine_read_job(struct engine *e, uint64_t id, bool urgent, struct job **ret);

/* engine_tell.c */
void engine_tell(const struct core_action *action, int64_t now_ms); /* to the log */
void engine_tell_count(struct engine_stats *s, const struct core_action *action);

/* engine_watch.c */
/* On the commit task: wakes who waits for the end of these jobs. */
void engine_watch_ended(struct engine *e, const struct core_action *actions, size_t count);

/* engine_lease.c, on the commit task */
void engine_asker_enter(struct engine *e, struct asker *asker);
/* After a round: those that have something, or need not wait, go. */
void engine_askers_answer(struct engine *e);
/* After a round that failed: a store that cannot be written gives nothing away; who can wait
 * waits on. */
void engine_askers_refuse(struct engine *e, int r);
/* Nobody waits any more: the next round answers all. */
void engine_askers_hurry(struct engine *e);

/* engine_keep.c */
int engine_keep_start(struct engine *e); /* after the commit task's */
void engine_keep_stop(struct engine *e); /* before it */

/* A thread with a stack for SQLite and no signals. 0 or a negative errno. */
int engine_thread(pthread_t *ret, const char *name, void *(*fn)(void *arg), void *arg);
void engine_thread_join(pthread_t thread);

#endif
