#include "tests/lib/stored_script.h"

#include "tests/lib/stored.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_JOBS_MAX 5
#define SPEC_BYTES 1500

/* Batch b has 1 to 5 jobs, with ids of its own. */
static unsigned batch_jobs(unsigned b)
{
    return 1 + b * 3 % BATCH_JOBS_MAX;
}

static uint64_t job_id(unsigned b, unsigned i)
{
    return (uint64_t)b * BATCH_JOBS_MAX + i + 1;
}

static int batch_insert(struct store *store, unsigned b)
{
    static char spec[SPEC_BYTES];
    struct job jobs[BATCH_JOBS_MAX];
    struct change changes[BATCH_JOBS_MAX];
    char name[32];

    memset(spec, 'x', sizeof spec - 1);
    snprintf(name, sizeof name, "batch-%u", b);
    for (unsigned i = 0; i < batch_jobs(b); i++) {
        jobs[i] = stored_job(job_id(b, i));
        jobs[i].name = name;
        jobs[i].spec = spec;
        changes[i] = (struct change){.kind = CHANGE_JOB_INSERT, .job = &jobs[i]};
    }
    return store_commit(store, changes, batch_jobs(b), true);
}

static int batch_update(struct store *store, unsigned b, enum job_state state)
{
    struct job jobs[BATCH_JOBS_MAX];
    struct attempt_record attempts[BATCH_JOBS_MAX];
    struct change changes[2 * BATCH_JOBS_MAX];
    size_t count = 0;

    for (unsigned i = 0; i < batch_jobs(b); i++) {
        jobs[i] = stored_job(job_id(b, i));
        jobs[i].state = state;
        jobs[i].fence = 1;
        changes[count++] = (struct change){.kind = CHANGE_JOB_UPDATE, .job = &jobs[i]};
        attempts[i] = (struct attempt_record){.job_id = jobs[i].id, .fence = 1, .state = state};
        if (job_state_is_final(state))
            changes[count++] = (struct change){.kind = CHANGE_ATTEMPT, .attempt = &attempts[i]};
    }
    return store_commit(store, changes, count, true);
}

static int stage_run(struct store *store, unsigned b, enum script_stage stage)
{
    switch (stage) {
    case SCRIPT_INSERTED:
        return batch_insert(store, b);
    case SCRIPT_STARTED:
        return batch_update(store, b, JOB_RUNNING);
    default:
        return batch_update(store, b, b % 2 ? JOB_SUCCEEDED : JOB_FAILED);
    }
}

/* Batches overlap: while one is inserted, the one before starts, and the one before that ends.
 */
int script_step(struct script *s, struct store *store, unsigned step)
{
    unsigned round = step / 3, back = step % 3;
    enum script_stage stage = SCRIPT_INSERTED + back;

    if (back > round || s->stages[round - back] != stage - 1)
        return 0;

    int r = stage_run(store, round - back, stage);

    if (r == 0)
        s->stages[round - back] = stage;
    else if (r == -EIO)
        s->unknown = true;
    return r;
}

static enum script_stage stage_of(const struct job *job)
{
    if (job->state == JOB_QUEUED)
        return SCRIPT_INSERTED;
    return job->state == JOB_RUNNING ? SCRIPT_STARTED : SCRIPT_ENDED;
}

static int attempt_count(void *ctx, const struct attempt_record *a)
{
    (void)a;
    ++*(unsigned *)ctx;
    return 0;
}

/* All jobs of the batch stand at one stage, with their attempts; which is returned. */
static enum script_stage batch_stage(struct store_reader *reader, unsigned b)
{
    enum script_stage stages[BATCH_JOBS_MAX] = {SCRIPT_NONE};

    for (unsigned i = 0; i < batch_jobs(b); i++) {
        struct job *job = NULL;
        int r = store_job_get(reader, job_id(b, i), &job);
        unsigned attempts = 0;

        ck_assert_int_ge(r, 0);
        stages[i] = r == 1 ? stage_of(job) : SCRIPT_NONE;
        ck_assert_msg(stages[i] == stages[0], "batch %u: job %u is at %d, job 0 at %d", b, i,
                      (int)stages[i], (int)stages[0]);
        job_free(job);
        ck_assert_int_eq(store_attempt_each(reader, job_id(b, i), attempt_count, &attempts), 0);
        ck_assert_uint_eq(attempts, stages[i] == SCRIPT_ENDED);
    }
    return stages[0];
}

static int finding_fail(void *ctx, const char *sentence)
{
    (void)ctx;
    ck_abort_msg("the check found: %s", sentence);
    return 0;
}

/* What was not acknowledged may be there only where an answer was lost; then one step ahead. */
void script_judge(const struct script *s, struct store *store)
{
    struct store_reader *reader = store_writer_reader(store);
    unsigned ahead = 0;

    for (unsigned b = 0; b < SCRIPT_BATCHES; b++) {
        enum script_stage stage = batch_stage(reader, b);

        ck_assert_msg(stage >= s->stages[b], "batch %u is at %d, acknowledged was %d", b,
                      (int)stage, (int)s->stages[b]);
        ck_assert_uint_le(stage, s->stages[b] + 1);
        ahead += stage > s->stages[b];
    }
    ck_assert_msg(ahead <= s->unknown, "%u batches are there that were refused", ahead);
    ck_assert_int_eq(store_check(reader, finding_fail, NULL), 0);
}
