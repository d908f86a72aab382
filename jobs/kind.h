/* kind.h: the seam between the engine and what jobs do. A kind is a function that runs one
 * attempt as a task and says how it ended; stopping is the task's cancellation, so a kind has
 * no states of its own: it blocks in the scheduler's calls, gets -ECANCELED or -ETIMEDOUT,
 * cleans up in a shield, and returns.
 *
 * K1  when run returns, nothing of the attempt is left: no process, no open file, no transfer.
 * K2  whatever run wrote is visible whole or not at all (file jobs: temporary, sync, rename).
 * K3  run never decides about retries: it says what happened, the core decides. */
#ifndef JOBS_KIND_H
#define JOBS_KIND_H

#include "jobs/spec.h"

struct joblog;

#define KIND_STOP_LOOK_MS 100

enum outcome_kind {
    OUTCOME_SUCCEEDED,
    OUTCOME_FAILED,       /* may be tried again */
    OUTCOME_FAILED_FINAL, /* trying again is useless: usage, not found, 4xx */
    OUTCOME_HOLD,         /* a human must look */
    OUTCOME_STOPPED,      /* ended because the task was cancelled; the engine knows why */
    OUTCOME_SNOOZED,      /* put off by its worker; does not count */
};

struct outcome {
    enum outcome_kind kind;
    enum job_reason reason;
    char *result;            /* JSON, owned; NULL = none */
    char *error;             /* one sentence, owned; NULL = none */
    int64_t retry_after_ms;  /* asked for by the target; 0 = none */
    int64_t snooze_until_ms; /* OUTCOME_SNOOZED: not before it */
};

void outcome_deinit(struct outcome *o);
/* Fills error by format; false without memory. */
void outcome_fail(struct outcome *o, enum outcome_kind kind, enum job_reason reason,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* What an attempt is given; all borrowed for its duration. */
struct attempt {
    const struct job *job;
    const struct spec *spec;
    struct joblog *log;
    const struct kind_config *config;
    int64_t deadline_at_ms; /* wall clock, for STINT_DEADLINE; 0 = none */
    /* Grace between the polite and the certain kill: -1 = the spec's own, 0 = kill at once.
     * Written before the attempt's task is cancelled; it may fall to 0 while the attempt is
     * stopping (a second cancel with force), so a kind that waits for a grace to pass looks
     * again every KIND_STOP_LOOK_MS. Never NULL. */
    const _Atomic int64_t *stop_grace_ms;
    void *kinds; /* struct kinds *: what the kinds share while the daemon runs */
    _Atomic uint64_t *progress_bytes; /* file jobs: bytes done so far; NULL = nobody looks */
};

/* Of the configuration, for kinds. Borrowed strings live as long as the daemon. */
struct kind_config {
    const char *state_dir;   /* absolute */
    const char *socket_path; /* for STINT_SOCKET; NULL = none */
    char *const *file_roots; /* absolute, NULL-terminated; NULL = file jobs are refused */
    char *const *http_allow; /* CIDRs let through although private; NULL-terminated or NULL */
    uint64_t http_response_bytes_max; /* kept in the result */
    uint64_t log_bytes_max;           /* of one attempt; the rest is cut and said so */
    bool cgroups;                     /* use them where the system lets us */
    /* Run a job whose limits cannot be enforced, and say so in its result, not refuse it. */
    bool limits_optional;
    uint64_t extract_bytes_max; /* of one extracted archive; 0 = 64 GiB */
};

struct kind {
    const char *name;
    /* Runs one attempt to its end in the calling task (STACK_LARGE). *ret starts zeroed. */
    void (*run)(const struct attempt *attempt, struct outcome *ret);
};

extern const struct kind kind_exec, kind_http, kind_file;

/* What the kinds share: the libcurl pump, the cgroup root. Opened in the root task before the
 * first attempt; clears what an earlier daemon left behind: processes of its jobs (by cgroup,
 * and by the STINT_STATE mark in their environment where there is none), temporary files. */
struct kinds;
struct group;
int kinds_open(const struct kind_config *config, struct group *group, struct kinds **ret);
void kinds_close(struct kinds *kinds); /* after the last attempt; parks */
struct buf;
void kinds_describe(const struct kinds *kinds,
                    struct buf *ret); /* one line for the log: cgroups or not, why */

#endif
