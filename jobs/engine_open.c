/* engine_open.c: the engine's beginning and end. */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rand.h"
#include "jobs/engine_internal.h"
#include "scheduler/block.h"
#include "scheduler/task.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define READERS 2
#define CLOSE_NS (60 * NS_PER_S)

static const struct kind *const usual_kinds[KIND_COUNT] = {
    [KIND_EXEC] = &kind_exec, [KIND_HTTP] = &kind_http, [KIND_FILE] = &kind_file};

/* ----- threads ----- */

int engine_thread(pthread_t *ret, const char *name, void *(*fn)(void *arg), void *arg)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int r = pthread_attr_init(&attr);

    if (r != 0)
        return -r;
    pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(ret, &attr, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (r == 0)
        pthread_setname_np(*ret, name);
    return -r;
}

void engine_thread_join(pthread_t thread)
{
    block_enter_long(BLOCK_FILE);
    pthread_join(thread, NULL);
    block_leave();
}

/* ----- the end ----- */

static void look_drain(struct engine *e, void *ctx)
{
    (void)ctx;
    core_drain(commit_core(e->rounds.commit), true);
    engine_askers_hurry(e);
}

static void drainer_enter(struct engine *e, struct drainer *d)
{
    event_init(&d->event);
    pthread_mutex_lock(&e->inbox.lock);
    e->inbox.draining = true;
    list_push_back(&e->drainers, &d->link);
    pthread_mutex_unlock(&e->inbox.lock);
}

/* After it nobody sets the event any more. */
static void drainer_leave(struct engine *e, struct drainer *d)
{
    pthread_mutex_lock(&e->inbox.lock);
    list_remove(&d->link); /* set under the lock, so not being set now */
    pthread_mutex_unlock(&e->inbox.lock);
}

int engine_drain(struct engine *e, uint64_t deadline_ns)
{
    struct request request = {.kind = REQUEST_LOOK, .look = look_drain};
    struct drainer d;
    bool past = deadline_ns <= clock_mono_ns();
    int r = -ETIMEDOUT;

    drainer_enter(e, &d);
    while (engine_ask(e, &request) != ENGINE_OK)
        task_yield();
    if (!past)
        r = event_wait(&d.event, deadline_ns);
    if (r == -ETIMEDOUT) {
        engine_runner_stop_all(e, past ? 0 : -1);
        r = event_wait(&d.event, 0);
    }
    drainer_leave(e, &d);
    return r;
}

/* ----- open and close ----- */

static void lock_init(pthread_mutex_t *lock)
{
    pthread_mutex_init(lock, NULL);
}

/* Deadlines are monotonic: an operator who sets the clock must not stop the commit task. */
static void wake_init(pthread_cond_t *wake)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(wake, &attr);
    pthread_condattr_destroy(&attr);
}

static void parts_init(struct engine *e)
{
    lock_init(&e->inbox.lock);
    lock_init(&e->runs.lock);
    lock_init(&e->reads.lock);
    lock_init(&e->watches.lock);
    lock_init(&e->keeper.lock);
    lock_init(&e->published_lock);
    wake_init(&e->inbox.wake);
    wake_init(&e->reads.wake);
    list_init(&e->inbox.requests);
    list_init(&e->runs.starting);
    list_init(&e->reads.requests);
    list_init(&e->rounds.kept);
    list_init(&e->rounds.askers);
    list_init(&e->drainers);
    event_init(&e->runs.wake);
    event_init(&e->runs.ended);
    event_init(&e->keeper.wake);
    event_init(&e->keeper.ended);
    event_init(&e->inbox.call);
    event_init(&e->commit_ended);
    event_init(&e->opened);
}

static int seed_take(struct engine *e)
{
    return e->options.seed ? 0 : rand_secret(&e->options.seed, sizeof e->options.seed);
}

/* What attempts of an earlier daemon left is cleared before their jobs may run again. */
static int open_kinds(struct engine *e)
{
    const struct kind_config *config = e->options.kinds;
    int r = joblogs_open(config->state_dir, config->log_bytes_max, &e->logs);

    if (r == 0 && !e->options.kind_table)
        r = kinds_open(config, e->group, &e->kinds);
    return r;
}

static int open_parts(struct engine *e, const char **ret_what)
{
    int r;

    *ret_what = "cannot prepare the kinds of jobs";
    r = open_kinds(e);
    if (r < 0)
        return r;
    *ret_what = "cannot open readers of the store";
    r = engine_read_start(e);
    if (r < 0)
        return r;
    *ret_what = "cannot start a task";
    r = engine_runner_start(e);
    if (r < 0)
        return r;
    *ret_what = "cannot load the jobs from the store (stintd --doctor looks at it)";
    r = engine_commit_start(e);
    if (r < 0)
        return r;
    *ret_what = "cannot start a task";
    return engine_keep_start(e);
}

int engine_open(const struct engine_options *options, struct group *group, struct engine **ret,
                char *why)
{
    struct engine *e = calloc(1, sizeof *e);
    const char *what = "cannot begin";
    int r;

    if (!e)
        return -ENOMEM;
    e->options = *options;
    e->options.readers = options->readers ? options->readers : READERS;
    e->kind_table = options->kind_table ? options->kind_table : usual_kinds;
    e->group = group;
    parts_init(e);
    r = seed_take(e);
    if (r == 0)
        r = open_parts(e, &what);
    if (r < 0) {
        snprintf(why, STORE_WHY_BYTES, "%s: %s", what, err_text(r));
        engine_close(e);
        return r;
    }
    *ret = e;
    return 0;
}

/* After a drain there is nothing to do; without one (the daemon could not open its doors) what
 * runs is stopped at once. */
static void stop_attempts(struct engine *e)
{
    task_shield_begin(clock_mono_ns() + CLOSE_NS);
    if (engine_drain(e, 0) < 0)
        log_error("engine.close_late", LOG_U64("waited_ns", CLOSE_NS));
    task_shield_end();
}

void engine_close(struct engine *e)
{
    if (!e)
        return;
    if (e->commit_started && e->opened_result == 0)
        stop_attempts(e);
    engine_keep_stop(e);
    engine_runner_stop(e);
    engine_commit_stop(e);
    engine_read_stop(e);
    if (e->kinds)
        kinds_close(e->kinds);
    joblogs_close(e->logs);
    map_deinit(&e->runs.live);
    map_deinit(&e->watches.by_id);
    pthread_mutex_destroy(&e->inbox.lock);
    pthread_mutex_destroy(&e->runs.lock);
    pthread_mutex_destroy(&e->reads.lock);
    pthread_mutex_destroy(&e->watches.lock);
    pthread_mutex_destroy(&e->keeper.lock);
    pthread_mutex_destroy(&e->published_lock);
    pthread_cond_destroy(&e->inbox.wake);
    pthread_cond_destroy(&e->reads.wake);
    free(e);
}
