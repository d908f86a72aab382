/* engine_pace.c: where the commit task runs, and how it waits.
 *
 * It is a task, so that a submission that comes alone is committed on the very thread that read
 * it: the request posts and parks, the commit task is next there, keeps the processor while the
 * disk works, and wakes the request, which is next again. No thread is woken on the way, where
 * each would cost some 20 us, as much as all the rest but the disk. What may want the processor
 * meanwhile gets it from the monitor, should the disk be slow.
 *
 * Under load that would be wrong: while the disk works the processor is wanted, for reading
 * what comes next. So once requests meet, the task hands its processor over and stays in its
 * blocking section, where it is as good as a thread of its own: it waits by a condition, and
 * nothing that runs can delay it. It comes back when so many requests in a row have come alone,
 * or none for a while. */
#include "base/clock.h"
#include "jobs/engine_internal.h"
#include "scheduler/block.h"

#include <errno.h>

#define CALM_ROUNDS 8
#define QUIET_NS (10 * NS_PER_MS)

bool engine_inbox_is_empty(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);

    bool empty = list_is_empty(&inbox->requests);

    pthread_mutex_unlock(&inbox->lock);
    return empty;
}

static bool is_calm(const struct pace *pace)
{
    return pace->calm >= CALM_ROUNDS;
}

static void leave_if_kept(struct pace *pace)
{
    if (pace->place == COMMIT_ALONE)
        pace->place = block_leave_if_kept() ? COMMIT_OUTSIDE : COMMIT_APART;
}

void engine_pace_enter(struct pace *pace)
{
    if (!is_calm(pace))
        leave_if_kept(pace);
    if (pace->place != COMMIT_OUTSIDE)
        return;
    pace->place = is_calm(pace) ? COMMIT_ALONE : COMMIT_APART;
    if (pace->place == COMMIT_ALONE)
        block_enter_alone(BLOCK_STORE);
    else
        block_enter_apart(BLOCK_STORE);
}

void engine_pace_leave(struct pace *pace)
{
    if (pace->place != COMMIT_OUTSIDE)
        block_leave();
    pace->place = COMMIT_OUTSIDE;
}

void engine_pace_stored(struct engine *e)
{
    struct pace *pace = &e->rounds.pace;

    if (pace->place != COMMIT_ALONE || !is_calm(pace) || !engine_inbox_is_empty(&e->inbox))
        return;
    leave_if_kept(pace);
    if (pace->place == COMMIT_APART)
        pace->calm = 0; /* others wanted the processor, or the disk is slow */
}

void engine_pace_note(struct engine *e, bool little)
{
    struct pace *pace = &e->rounds.pace;

    if (!little || !engine_inbox_is_empty(&e->inbox))
        pace->calm = 0;
    else if (!is_calm(pace))
        pace->calm++;
}

void engine_pace_calm(struct pace *pace)
{
    pace->calm = CALM_ROUNDS;
}

/* Under the lock. */
static void sleep_until(struct inbox *inbox, struct pace *pace, uint64_t at_ns)
{
    uint64_t quiet_ns = clock_mono_ns() + QUIET_NS;
    uint64_t until_ns = at_ns && at_ns < quiet_ns ? at_ns : quiet_ns;
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S),
                             .tv_nsec = (long)(until_ns % NS_PER_S)};

    inbox->sleeps = true;
    if (pthread_cond_timedwait(&inbox->wake, &inbox->lock, &until) == ETIMEDOUT &&
        until_ns == quiet_ns)
        engine_pace_calm(pace);
    inbox->sleeps = false;
}

/* Under the lock, which is given back meanwhile. */
static void park_until(struct inbox *inbox, uint64_t at_ns)
{
    inbox->parked = true;
    pthread_mutex_unlock(&inbox->lock);
    event_wait(&inbox->call, at_ns);
    pthread_mutex_lock(&inbox->lock);
    inbox->parked = false;
}

void engine_pace_wait(struct engine *e, uint64_t at_ns)
{
    struct pace *pace = &e->rounds.pace;
    struct inbox *inbox = &e->inbox;

    if (pace->place == COMMIT_OUTSIDE) {
        park_until(inbox, at_ns);
    } else if (pace->place == COMMIT_APART && !is_calm(pace)) {
        sleep_until(inbox, pace, at_ns);
    } else {
        pthread_mutex_unlock(&inbox->lock);
        if (is_calm(pace))
            engine_pace_leave(pace);
        else
            leave_if_kept(pace);
        pthread_mutex_lock(&inbox->lock);
    }
}
