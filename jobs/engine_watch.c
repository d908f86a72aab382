/* engine_watch.c: tasks that wait for the end of a job. They are parked, a few KiB each, and
 * are woken by the commit that ends the job; there is no polling.
 *
 * A waiter enters the table first and reads the store second, so the end cannot slip between:
 * either the store has it already, or the commit that brings it will find the waiter. */
#include "base/own.h"
#include "jobs/engine_internal.h"

#include <errno.h>
#include <stdlib.h>

OWN_DEFINE(struct job, job_free);

/* A job that somebody waits for. */
struct watched {
    uint64_t id;
    struct list waiters;
    struct list link; /* in what engine_watch_ended has taken */
};

struct waiter {
    struct list link; /* guarded by watches.lock */
    struct event event;
    bool taken; /* event will be set; guarded by watches.lock */
};

static struct watched *watched_get(struct watches *watches, uint64_t id)
{
    struct watched *watched = map_find(&watches->by_id, id);

    if (watched)
        return watched;
    watched = malloc(sizeof *watched);
    if (!watched)
        return NULL;
    watched->id = id;
    list_init(&watched->waiters);
    if (map_put(&watches->by_id, id, watched) < 0) {
        free(watched);
        return NULL;
    }
    atomic_fetch_add(&watches->len, 1);
    return watched;
}

static int enter(struct watches *watches, uint64_t id, struct waiter *w)
{
    event_init(&w->event);
    w->taken = false;
    pthread_mutex_lock(&watches->lock);

    struct watched *watched = watched_get(watches, id);

    if (watched)
        list_push_back(&watched->waiters, &w->link);
    pthread_mutex_unlock(&watches->lock);
    return watched ? 0 : -ENOMEM;
}

/* After it nobody sets the event any more: w may go. */
static void leave(struct watches *watches, uint64_t id, struct waiter *w)
{
    pthread_mutex_lock(&watches->lock);

    struct watched *watched = map_find(&watches->by_id, id);
    bool taken = w->taken;

    if (!taken)
        list_remove(&w->link);
    if (watched && list_is_empty(&watched->waiters)) {
        map_remove(&watches->by_id, id);
        atomic_fetch_sub(&watches->len, 1);
        free(watched);
    }
    pthread_mutex_unlock(&watches->lock);
    if (taken)
        event_wait_shielded(&w->event);
}

static bool is_over(int r, const struct job *job)
{
    return r != ENGINE_OK || job_state_is_final(job->state);
}

int engine_wait(struct engine *e, uint64_t id, uint64_t deadline_ns, struct job **ret)
{
    OWN(job_free) struct job *job = NULL;
    struct waiter w;
    int r = enter(&e->watches, id, &w), waited;

    if (r < 0)
        return r;
    r = engine_read_job(e, id, false, &job);
    if (is_over(r, job)) {
        leave(&e->watches, id, &w);
        if (r == ENGINE_OK)
            *ret = TAKE(job);
        return r;
    }
    waited = event_wait(&w.event, deadline_ns);
    if (waited < 0)
        leave(&e->watches, id, &w);
    if (waited < 0 && waited != -ETIMEDOUT)
        return waited;
    job_free(TAKE(job));
    r = engine_read_job(e, id, false, &job);
    if (r != ENGINE_OK)
        return r;
    r = job_state_is_final(job->state) ? ENGINE_OK : ENGINE_TIMEOUT;
    *ret = TAKE(job);
    return r;
}

#define WAKE_BATCH 64

/* The waiters' frames may be gone after event_set_all, and nothing here is touched then. */
static void wake(struct list *waiters)
{
    struct event *events[WAKE_BATCH];
    unsigned count = 0;

    for (struct list *link; (link = list_pop_front(waiters));) {
        events[count++] = &container_of(link, struct waiter, link)->event;
        if (count == WAKE_BATCH || list_is_empty(waiters)) {
            event_set_all(events, count);
            count = 0;
        }
    }
}

static struct watched *take(struct watches *watches, uint64_t id)
{
    struct watched *watched = map_remove(&watches->by_id, id);

    if (!watched)
        return NULL;
    atomic_fetch_sub(&watches->len, 1);
    list_each (link, &watched->waiters)
        container_of(link, struct waiter, link)->taken = true;
    return watched;
}

void engine_watch_ended(struct engine *e, const struct core_action *actions, size_t count)
{
    struct watches *watches = &e->watches;
    struct list ended = LIST_INIT(ended);

    if (atomic_load(&watches->len) == 0)
        return;
    pthread_mutex_lock(&watches->lock);
    for (size_t i = 0; i < count; i++) {
        struct watched *watched =
            actions[i].kind == ACTION_ENDED ? take(watches, actions[i].id) : NULL;

        if (watched)
            list_push_back(&ended, &watched->link);
    }
    pthread_mutex_unlock(&watches->lock);
    for (struct list *link; (link = list_pop_front(&ended));) {
        struct watched *watched = container_of(link, struct watched, link);

        wake(&watched->waiters);
        free(watched);
    }
}
