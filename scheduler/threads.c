#include "scheduler/threads.h"

#include "base/clock.h"
#include "base/err.h"
#include "scheduler/futex.h"
#include "scheduler/hog.h"
#include "scheduler/overflow.h"
#include "scheduler/poller.h"
#include "scheduler/probe.h"
#include "scheduler/processor.h"
#include "scheduler/run.h"
#include "scheduler/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREAD_STACK_BYTES (512 * 1024)

static struct thread *thread_alloc(void)
{
    struct thread *m = aligned_alloc(CACHE_LINE_BYTES, sizeof *m);

    if (m == NULL)
        return NULL;
    *m = (struct thread){.place = PLACE_SPARE};
    list_init(&m->spare_link);
    list_init(&m->all_link);
    return m;
}

static void enlist(struct thread *m)
{
    spin_lock(&sched.threads_lock);
    list_push_back(&sched.threads, &m->all_link);
    unsigned count = get_relaxed(&sched.threads_count) + 1;
    set_relaxed(&sched.threads_count, count);
    spin_unlock(&sched.threads_lock);
    rand_seed(&m->rand, sched.options.seed + count);
}

static void delist(struct thread *m)
{
    spin_lock(&sched.threads_lock);
    list_remove(&m->all_link);
    set_relaxed(&sched.threads_count, get_relaxed(&sched.threads_count) - 1);
    spin_unlock(&sched.threads_lock);
}

static void begin(struct thread *m)
{
    thread_self_set(m);
    m->tid = (uint32_t)gettid();
    m->error = &errno;
    sanitizer_thread_init(&m->sanitizer);
    overflow_thread_begin(m);
}

static void end(struct thread *m)
{
    overflow_thread_end(m);
    trace_thread_end();
    thread_self_set(NULL);
}

int thread_adopt(void)
{
    struct thread *m = thread_alloc();

    if (m == NULL)
        return -ENOMEM;
    m->main = true;
    atomic_store(&m->frame, __builtin_frame_address(0));
    m->id = pthread_self();
    m->place = PLACE_RUNNING;
    enlist(m);
    begin(m);
    return 0;
}

static void *thread_main(void *arg)
{
    struct thread *m = arg;

    atomic_store(&m->frame, __builtin_frame_address(0));
    begin(m);
    /* Made while all others were told to stop, it may be told nothing. */
    if (!atomic_load(&sched.stopping))
        thread_wait_token(m);
    run_loop(m);
    end(m);
    return NULL;
}

/* The caller's mask is inherited: scheduler_run has blocked what tasks must not see. A caller
 * that is not ours (event_set never makes threads) cannot come here. */
static int thread_start(struct thread *m)
{
    pthread_attr_t attr;
    int r = pthread_attr_init(&attr);

    if (r != 0)
        return -r;
    pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    r = pthread_create(&m->id, &attr, thread_main, m);
    pthread_attr_destroy(&attr);
    return -r;
}

struct thread *thread_new(void)
{
    struct thread *m = thread_alloc();

    if (m == NULL)
        return NULL;
    enlist(m);
    if (thread_start(m) < 0) {
        delist(m);
        free(m);
        return NULL;
    }
    return m;
}

struct thread *thread_get_spare(void)
{
    spin_lock(&sched.idle_lock);
    struct list *link = list_pop_front(&sched.spare);
    if (link != NULL)
        sched.spare_count--;
    spin_unlock(&sched.idle_lock);
    return link != NULL ? container_of(link, struct thread, spare_link) : thread_new();
}

void thread_make_spare(struct thread *m)
{
    m->place = PLACE_SPARE;
    list_push_front(&sched.spare, &m->spare_link);
    sched.spare_count++;
}

void thread_put_spare(struct thread *m)
{
    spin_lock(&sched.idle_lock);
    thread_make_spare(m);
    spin_unlock(&sched.idle_lock);
}

/* A thread that comes here itself: it may have been put into the list by who took its
 * processor, or been told to stop meanwhile. */
void thread_rest(struct thread *m)
{
    /* Its task may have parked, and been the last that ran: a processor looks again. */
    if (hog_is_back(m) && atomic_load(&sched.idle_count) == sched.count)
        processor_wake();
    spin_lock(&sched.idle_lock);
    bool listed = m->place == PLACE_SPARE;
    if (!listed)
        thread_make_spare(m);
    spin_unlock(&sched.idle_lock);
    if (!atomic_load(&sched.stopping))
        thread_wait_token(m);
}

static void trim_one(void)
{
    struct thread *m = NULL;

    spin_lock(&sched.idle_lock);
    if (sched.spare_count > THREADS_SPARE_KEPT) {
        m = container_of(sched.spare.prev, struct thread, spare_link);
        if (m->main) {
            list_remove(&m->spare_link);
            list_push_front(&sched.spare, &m->spare_link);
            m = NULL;
        } else {
            list_remove(&m->spare_link);
            sched.spare_count--;
            m->place = PLACE_GONE;
            atomic_store(&m->token, TOKEN_STOP);
        }
    }
    spin_unlock(&sched.idle_lock);
    if (m == NULL)
        return;
    thread_notify(m, false);
    pthread_join(m->id, NULL);
    delist(m);
    free(m);
}

static unsigned surplus(void)
{
    spin_lock(&sched.idle_lock);
    unsigned count = sched.spare_count;
    spin_unlock(&sched.idle_lock);
    return count > THREADS_SPARE_KEPT ? count - THREADS_SPARE_KEPT : 0;
}

bool threads_trim(void)
{
    for (unsigned half = (surplus() + 1) / 2; half > 0; half--)
        trim_one();
    return surplus() > 0;
}

void thread_notify(struct thread *m, bool polling)
{
    if (polling)
        poller_kick();
    else
        futex_wake(&m->token, 1);
}

void thread_wait_token(struct thread *m)
{
    uint32_t token;

    probe_sleep(m);
    while ((token = atomic_exchange(&m->token, TOKEN_NONE)) == TOKEN_NONE)
        futex_wait(&m->token, TOKEN_NONE, 0);
    probe_awake(m);
    m->spinning = token == TOKEN_SPINNING;
    m->ending = token == TOKEN_STOP;
}

void threads_stop(void)
{
    atomic_store(&sched.stopping, true);
    spin_lock(&sched.threads_lock);
    list_each (link, &sched.threads) {
        struct thread *m = container_of(link, struct thread, all_link);
        atomic_store(&m->token, TOKEN_STOP);
        futex_wake(&m->token, 1);
    }
    spin_unlock(&sched.threads_lock);
    poller_kick();
}

void threads_join(void)
{
    struct thread *self = thread_self();

    /* All of them first: who stops the others still goes through the list. */
    list_each (link, &sched.threads) {
        const struct thread *m = container_of(link, struct thread, all_link);
        if (m != self)
            pthread_join(m->id, NULL);
    }
    if (self != NULL)
        end(self);
}

void threads_free(void)
{
    for (struct list *link; (link = list_pop_front(&sched.threads)) != NULL;)
        free(container_of(link, struct thread, all_link));
    set_relaxed(&sched.threads_count, 0);
}
