/* record.h: what is remembered of a job, in the words that code, API, CLI, log and database
 * share.
 *
 * Numbers of enumerators are stored: never change one, add at the end.
 * Times are milliseconds since 1970 UTC, 0 = none; strings are owned by the record, NULL =
 * none. */
#ifndef STORAGE_RECORD_H
#define STORAGE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum job_kind {
    KIND_NONE = 0,
    KIND_EXEC = 1,
    KIND_HTTP = 2,
    KIND_FILE = 3,
    KIND_WORKER = 4,
    KIND_COUNT
};

/* Waiting, live, final; the order is part of the meaning: see job_state_is_final. */
enum job_state {
    JOB_HELD = 1,
    JOB_BLOCKED = 2,
    JOB_SCHEDULED = 3,
    JOB_QUEUED = 4,
    JOB_RETRYING = 5,
    JOB_RUNNING = 6,
    JOB_STOPPING = 7,
    JOB_SUCCEEDED = 8,
    JOB_FAILED = 9,
    JOB_CANCELLED = 10,
    JOB_EXPIRED = 11,
    JOB_SKIPPED = 12,
    JOB_STATE_COUNT
};

enum job_reason {
    REASON_NONE = 0,
    REASON_EXIT_NONZERO = 1,
    REASON_EXIT_SIGNAL = 2,
    REASON_OOM = 3,
    REASON_TIMEOUT_ATTEMPT = 4,
    REASON_TIMEOUT_TOTAL = 5,
    REASON_SPAWN_FAILED = 6,
    REASON_HTTP_STATUS = 7,
    REASON_HTTP_TRANSPORT = 8,
    REASON_HTTP_REFUSED = 9,
    REASON_LEASE_LOST = 10,
    REASON_POISON = 11,
    REASON_DEPENDENCY_FAILED = 12,
    REASON_CANCELLED_BY_USER = 13,
    REASON_SUPERSEDED = 14,
    REASON_SHUTDOWN = 15,
    REASON_EXPIRED_IN_QUEUE = 16,
    REASON_DEADLOCK = 17,
    REASON_FILE_ERROR = 18,
    REASON_WORKER_FAILED = 19,
    REASON_CRASHED = 20, /* the daemon died under it; it runs again */
    REASON_SNOOZED = 21, /* its worker put it off; it runs again */
    REASON_COUNT
};

/* The words; NULL and false for what is not one. Any thread. */
const char *job_kind_name(enum job_kind kind);
const char *job_state_name(enum job_state state);
const char *job_reason_name(enum job_reason reason); /* NULL for REASON_NONE */
bool job_kind_parse(const char *s, size_t len, enum job_kind *ret);
bool job_state_parse(const char *s, size_t len, enum job_state *ret);
bool job_state_is_waiting(enum job_state state);
bool job_state_is_live(enum job_state state);
bool job_state_is_final(enum job_state state);

struct job {
    uint64_t id;
    enum job_kind kind;
    enum job_state state;
    enum job_reason reason;
    int32_t priority; /* -100 … 100, higher first */
    uint32_t attempt; /* counted when it starts; a shutdown or crash gives it back */
    uint32_t crashes; /* times the daemon died under it */
    uint32_t fence;   /* rises with every start; every write of an attempt carries it */
    bool dead_letter; /* failed for good, waits for somebody to look */
    bool cancel_requested;
    uint64_t retry_of; /* the job this one was made from by hand, 0 = none */
    int64_t created_at_ms, run_at_ms, started_at_ms, finished_at_ms;
    int64_t start_by_at_ms;    /* not started then: expired; 0 = never */
    int64_t retry_until_at_ms; /* no attempt begins after it; 0 = never */
    uint64_t epoch;            /* the boot of the daemon that runs it; 0 when not live */
    int64_t lease_until_ms;    /* a worker has it until then; 0 = not leased, or final */
    char *name, *queue, *key;
    char *tags;   /* ",web,img," */
    char *spec;   /* the document as accepted, compact JSON */
    char *result; /* JSON */
    char *error;  /* one sentence */
};

void job_free(struct job *job);
struct job *job_dup(const struct job *job); /* NULL without memory */

/* One try of a job, written when it ends. */
struct attempt_record {
    uint64_t job_id;
    uint32_t fence, attempt;
    int64_t started_at_ms, finished_at_ms;
    enum job_state state; /* what the attempt came to: succeeded, failed, cancelled */
    enum job_reason reason;
    char *result, *error;
};

void attempt_record_deinit(struct attempt_record *a);

struct queue_record {
    char *name;
    uint32_t concurrency;     /* running at once; 0 = no limit of its own */
    uint32_t key_concurrency; /* running at once of one key; 0 = no limit of its own */
    bool paused;
    bool configured;                    /* set by somebody, not just mentioned by a job */
    uint64_t finished[JOB_STATE_COUNT]; /* jobs that ended so, ever; only final states count */
};

#endif
