#include "storage/record.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static const char *const kind_names[KIND_COUNT] = {
    [KIND_EXEC] = "exec",
    [KIND_HTTP] = "http",
    [KIND_FILE] = "file",
    [KIND_WORKER] = "worker",
};

static const char *const state_names[JOB_STATE_COUNT] = {
    [JOB_HELD] = "held",           [JOB_BLOCKED] = "blocked",     [JOB_SCHEDULED] = "scheduled",
    [JOB_QUEUED] = "queued",       [JOB_RETRYING] = "retrying",   [JOB_RUNNING] = "running",
    [JOB_STOPPING] = "stopping",   [JOB_SUCCEEDED] = "succeeded", [JOB_FAILED] = "failed",
    [JOB_CANCELLED] = "cancelled", [JOB_EXPIRED] = "expired",     [JOB_SKIPPED] = "skipped",
};

static const char *const reason_names[REASON_COUNT] = {
    [REASON_EXIT_NONZERO] = "exit_nonzero",
    [REASON_EXIT_SIGNAL] = "exit_signal",
    [REASON_OOM] = "oom",
    [REASON_TIMEOUT_ATTEMPT] = "timeout_attempt",
    [REASON_TIMEOUT_TOTAL] = "timeout_total",
    [REASON_SPAWN_FAILED] = "spawn_failed",
    [REASON_HTTP_STATUS] = "http_status",
    [REASON_HTTP_TRANSPORT] = "http_transport",
    [REASON_HTTP_REFUSED] = "http_refused",
    [REASON_LEASE_LOST] = "lease_lost",
    [REASON_POISON] = "poison",
    [REASON_DEPENDENCY_FAILED] = "dependency_failed",
    [REASON_CANCELLED_BY_USER] = "cancelled_by_user",
    [REASON_SUPERSEDED] = "superseded",
    [REASON_SHUTDOWN] = "shutdown",
    [REASON_EXPIRED_IN_QUEUE] = "expired_in_queue",
    [REASON_DEADLOCK] = "deadlock",
    [REASON_FILE_ERROR] = "file_error",
    [REASON_WORKER_FAILED] = "worker_failed",
    [REASON_CRASHED] = "crashed",
    [REASON_SNOOZED] = "snoozed",
};

/* The index of a word, 0 when it is none of them. */
static unsigned word_find(const char *const *names, unsigned count, const char *s, size_t len)
{
    for (unsigned i = 1; i < count; i++) {
        if (names[i] && strlen(names[i]) == len && memcmp(names[i], s, len) == 0)
            return i;
    }
    return 0;
}

/* A copy of a string that may be absent; false without memory. */
static bool text_copy(char **ret, const char *s)
{
    *ret = str_dup(s);
    return *ret || !s;
}

static bool job_copy_texts(struct job *copy, const struct job *job)
{
    return text_copy(&copy->name, job->name) && text_copy(&copy->queue, job->queue) &&
           text_copy(&copy->key, job->key) && text_copy(&copy->tags, job->tags) &&
           text_copy(&copy->spec, job->spec) && text_copy(&copy->result, job->result) &&
           text_copy(&copy->error, job->error);
}

const char *job_kind_name(enum job_kind kind)
{
    return kind < KIND_COUNT ? kind_names[kind] : NULL;
}

const char *job_state_name(enum job_state state)
{
    return state < JOB_STATE_COUNT ? state_names[state] : NULL;
}

const char *job_reason_name(enum job_reason reason)
{
    return reason < REASON_COUNT ? reason_names[reason] : NULL;
}

bool job_kind_parse(const char *s, size_t len, enum job_kind *ret)
{
    unsigned i = word_find(kind_names, KIND_COUNT, s, len);

    if (i)
        *ret = (enum job_kind)i;
    return i;
}

bool job_state_parse(const char *s, size_t len, enum job_state *ret)
{
    unsigned i = word_find(state_names, JOB_STATE_COUNT, s, len);

    if (i)
        *ret = (enum job_state)i;
    return i;
}

bool job_state_is_waiting(enum job_state state)
{
    return state >= JOB_HELD && state <= JOB_RETRYING;
}

bool job_state_is_live(enum job_state state)
{
    return state == JOB_RUNNING || state == JOB_STOPPING;
}

bool job_state_is_final(enum job_state state)
{
    return state >= JOB_SUCCEEDED && state < JOB_STATE_COUNT;
}

void job_free(struct job *job)
{
    if (!job)
        return;
    free(job->name);
    free(job->queue);
    free(job->key);
    free(job->tags);
    free(job->spec);
    free(job->result);
    free(job->error);
    free(job);
}

struct job *job_dup(const struct job *job)
{
    struct job *copy = malloc(sizeof *copy);

    if (!copy)
        return NULL;
    *copy = *job;
    copy->name = copy->queue = copy->key = copy->tags = NULL;
    copy->spec = copy->result = copy->error = NULL;
    if (!job_copy_texts(copy, job)) {
        job_free(copy);
        return NULL;
    }
    return copy;
}

void attempt_record_deinit(struct attempt_record *a)
{
    free(a->result);
    free(a->error);
    a->result = a->error = NULL;
}
