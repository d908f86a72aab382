/* engine_doctor.c: is what the engine holds sound? The store is read from end to end on a
 * thread and with a reader of its own, so that no list waits for it; the core is walked on the
 * commit task, the only one that may, and only while it is small. */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "jobs/engine_admin.h"
#include "jobs/engine_internal.h"
#include "scheduler/task.h"

#include <errno.h>
#include <stdlib.h>

/* A walk over so many jobs takes the commit task some 10 ms. */
#define LOOK_JOBS_MAX 20000

struct examination {
    struct engine *engine;
    struct doctor_report *report;
    int result;
    struct event done;
};

static int sentence_add(char ***list, size_t *count, const char *sentence)
{
    char **grown = reallocarray(*list, *count + 1, sizeof(char *));
    char *copy = grown ? str_dup(sentence) : NULL;

    if (grown)
        *list = grown;
    if (!copy)
        return -ENOMEM;
    grown[(*count)++] = copy;
    return 0;
}

int doctor_report_find(void *ctx, const char *sentence)
{
    struct doctor_report *report = ctx;

    return sentence_add(&report->findings, &report->findings_count, sentence);
}

static int check_store(struct examination *x)
{
    struct store_reader *reader;
    int r = store_reader_open(x->engine->options.store, &reader);

    if (r < 0)
        return r;
    r = store_check(reader, doctor_report_find, x->report);
    store_reader_close(reader);
    return r;
}

static void *examine(void *arg)
{
    struct examination *x = arg;

    x->result = check_store(x);
    event_set(&x->done);
    return NULL;
}

/* On the commit task. */
static void look_core(struct engine *e, void *ctx)
{
    struct examination *x = ctx;
    struct core *core = commit_core(e->rounds.commit);
    const char *broken;

    if (core_waiting(core) > LOOK_JOBS_MAX) {
        x->result = sentence_add(&x->report->skipped, &x->report->skipped_count,
                                 "the jobs in memory were not looked at: too many wait; "
                                 "stintd --doctor looks at them while the daemon is stopped");
        return;
    }
    broken = core_check(core);
    x->result = broken ? doctor_report_find(x->report, broken) : 0;
}

static int examine_both(struct examination *x)
{
    struct request request = {.kind = REQUEST_LOOK, .look = look_core, .ctx = x};
    pthread_t thread;
    int r;

    event_init(&x->done);
    r = engine_thread(&thread, "doctor", examine, x);
    if (r < 0)
        return r;
    event_wait_shielded(&x->done);
    engine_thread_join(thread);
    if (x->result < 0)
        return x->result;
    while (engine_ask(x->engine, &request) != ENGINE_OK)
        task_yield();
    return x->result;
}

int engine_doctor(struct engine *e, struct doctor_report *ret)
{
    struct doctor_report report = {.findings = NULL};
    struct examination x = {.engine = e, .report = &report};
    uint64_t began_ns = clock_mono_ns();
    int r;

    if (atomic_exchange(&e->examined, true))
        return ENGINE_CONFLICT;
    r = examine_both(&x);
    atomic_store(&e->examined, false);
    if (r < 0) {
        doctor_report_deinit(&report);
        return r;
    }
    for (size_t i = 0; i < report.findings_count; i++)
        log_error("doctor.found", LOG_STR("what", report.findings[i]));
    report.took_ns = clock_mono_ns() - began_ns;
    *ret = report;
    return ENGINE_OK;
}

static void sentences_free(char **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

void doctor_report_deinit(struct doctor_report *report)
{
    sentences_free(report->findings, report->findings_count);
    sentences_free(report->skipped, report->skipped_count);
    *report = (struct doctor_report){.findings = NULL};
}
