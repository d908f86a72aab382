/* engine_keep.c: retention. A task walks the ended jobs by id on a reading thread, page by
 * page; what is older than its state may become loses its logs and is then deleted by the
 * commit task, a small batch between two rounds.
 *
 * Logs go first: after a crash in between the job is found again, whereas a log without its job
 * would stay for ever. A deletion is synced, and the store's log copied early, although a power
 * failure might undo it without harm: what is left unwritten, the next submission would wait
 * for, and all of it shall be in the time of the batch, by which the next one is sized.
 *
 * Rejected: deleting by time in one statement (it holds up everybody for as long as the history
 * is long); an index by the end of jobs (every job would pay for it at its end, to spare a walk
 * that nobody waits for). */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/own.h"
#include "jobs/engine_admin.h"
#include "jobs/engine_internal.h"
#include "scheduler/task.h"

#include <errno.h>
#include <string.h>

#define BATCH_MAX 500
#define BATCH_FIRST 50
#define BATCH_MIN 32 /* what is slow with so few is not slow for their number */
#define SETTLE_BYTES (1024 * 1024)
#define BATCH_SLOW_NS (4 * NS_PER_MS) /* then the next one is half as large */
#define BATCH_FAST_NS (1 * NS_PER_MS) /* then twice */
/* Pauses between batches: so many times as long as the batch has taken. While others wait for
 * the commit task it is theirs for four fifths of the time. */
#define PAUSE_PART 1
#define PAUSE_BUSY_PART 4
#define PAUSE_MIN_MS 1
/* Between walks: a part of the shortest time to keep, so that it is kept to by so much. */
#define REST_PART 60
#define REST_MIN_MS 100
#define REST_MAX_MS (10 * 60 * 1000)

/* States that are kept for the same time share a walk. */
struct walk {
    uint32_t states;
    int64_t keep_ms;
};

struct page {
    struct engine *engine;
    struct final_filter filter;
    uint64_t ids[BATCH_MAX];
    uint32_t fences[BATCH_MAX];
    uint32_t count;
    uint64_t next;
    int result;
    bool busy;        /* others waited for the commit task */
    uint64_t took_ns; /* of the commit task */
};

/* ----- looking ----- */

/* A job's fence says how many logs it may have. */
static int page_add(void *ctx, uint64_t id, enum job_state state, uint32_t fence)
{
    struct page *page = ctx;

    (void)state;
    page->ids[page->count] = id;
    page->fences[page->count++] = fence;
    return 0;
}

/* On a reading thread. */
static void page_read(struct store_reader *reader, void *ctx)
{
    struct page *page = ctx;

    page->result = store_final_each(reader, &page->filter, page_add, page, &page->next);
}

/* ----- removing ----- */

/* How long others were kept waiting. */
static void note_time(struct page *page, uint64_t took_ns)
{
    struct keeper *keeper = &page->engine->keeper;

    page->took_ns += took_ns;
    if (took_ns > atomic_load(&keeper->slowest_ns))
        atomic_store(&keeper->slowest_ns, took_ns);
}

/* On the commit task, apart from the batch, so that a round comes between the two. */
static void look_settle(struct engine *e, void *ctx)
{
    uint64_t began_ns = clock_mono_ns();

    if (!e->rounds.refused)
        store_settle(e->options.store, SETTLE_BYTES);
    note_time(ctx, clock_mono_ns() - began_ns);
}

/* On the commit task, between rounds. */
static void look_remove(struct engine *e, void *ctx)
{
    struct page *page = ctx;
    struct keeper *keeper = &e->keeper;
    struct change changes[BATCH_MAX];
    uint64_t began_ns = clock_mono_ns(), took_ns;

    page->result = -EAGAIN;
    if (e->rounds.refused)
        return;
    for (uint32_t i = 0; i < page->count; i++)
        changes[i] = (struct change){.kind = CHANGE_JOB_DELETE, .id = page->ids[i]};
    page->result = store_commit(e->options.store, changes, page->count, true);
    took_ns = clock_mono_ns() - began_ns;
    note_time(page, took_ns);
    if (took_ns > BATCH_SLOW_NS && keeper->batch / 2 >= BATCH_MIN)
        keeper->batch /= 2;
    else if (took_ns < BATCH_FAST_NS && keeper->batch * 2 <= BATCH_MAX)
        keeper->batch *= 2;
    if (page->result == 0)
        atomic_fetch_add(&keeper->removed, page->count);
    pthread_mutex_lock(&e->inbox.lock);
    page->busy = !list_is_empty(&e->inbox.requests);
    pthread_mutex_unlock(&e->inbox.lock);
}

static int page_remove(struct engine *e, struct page *page)
{
    struct request request = {.kind = REQUEST_LOOK, .look = look_remove, .ctx = page};
    struct request settle = {.kind = REQUEST_LOOK, .look = look_settle, .ctx = page};
    int r;

    if (page->count == 0)
        return 0;
    for (uint32_t i = 0; i < page->count; i++)
        joblog_remove(e->logs, page->ids[i], page->fences[i]);
    r = engine_ask(e, &request);
    if (r == ENGINE_OK)
        r = engine_ask(e, &settle);
    return r == ENGINE_OK ? page->result : -EAGAIN;
}

/* ----- walking ----- */

/* 0 when the time is over, 1 when there is news (settings, the end), or the cancel reason. */
static int rest(struct keeper *keeper, int64_t ms)
{
    int r = event_wait(&keeper->wake, clock_mono_ns() + (uint64_t)ms * NS_PER_MS);

    return r == -ETIMEDOUT ? 0 : r == 0 ? 1 : r;
}

static int64_t pause_ms(const struct page *page)
{
    uint64_t part = page->busy ? PAUSE_BUSY_PART : PAUSE_PART;
    int64_t ms = (int64_t)(page->took_ns * part / NS_PER_MS);

    return ms < PAUSE_MIN_MS ? PAUSE_MIN_MS : ms;
}

/* As rest; a failure is not told to anybody but the log: the next walk tries again. */
static int walk(struct engine *e, const struct walk *walk)
{
    OWN(free) struct page *page = calloc(1, sizeof *page);
    uint64_t after_id = 0;
    int r = 0;

    if (!page)
        return 0;
    do {
        *page = (struct page){.engine = e};
        page->filter = (struct final_filter){.states = walk->states,
                                             .before_ms = clock_wall_ms() - walk->keep_ms,
                                             .after_id = after_id,
                                             .limit = e->keeper.batch};
        r = engine_read(e, page_read, page, false);
        if (r == ENGINE_OK)
            r = page->result < 0 ? page->result : page_remove(e, page);
        if (r != 0) {
            log_debug("keep.put_off", LOG_ERR(r < 0 ? r : -EAGAIN));
            return 0;
        }
        after_id = page->next;
        r = rest(&e->keeper, pause_ms(page));
    } while (r == 0 && after_id != 0);
    return r;
}

/* How many walks the settings ask for, and the shortest time to keep. */
static unsigned walks_of(const struct keep_settings *settings, struct walk *walks,
                         int64_t *ret_shortest_ms)
{
    unsigned count = 0;

    for (enum job_state s = JOB_HELD; s < JOB_STATE_COUNT; s++) {
        int64_t keep_ms = settings->keep_ms[s];
        unsigned i = 0;

        if (!job_state_is_final(s) || keep_ms <= 0)
            continue;
        while (i < count && walks[i].keep_ms != keep_ms)
            i++;
        if (i == count)
            walks[count++] = (struct walk){.keep_ms = keep_ms};
        walks[i].states |= 1u << s;
        if (count == 1 || keep_ms < *ret_shortest_ms)
            *ret_shortest_ms = keep_ms;
    }
    return count;
}

/* False: the end. Otherwise wake is unset, and will tell of later settings. */
static bool settings_get(struct keeper *keeper, struct keep_settings *ret)
{
    pthread_mutex_lock(&keeper->lock);

    bool stop = keeper->stop;

    if (!stop)
        event_init(&keeper->wake);
    *ret = keeper->settings;
    pthread_mutex_unlock(&keeper->lock);
    return !stop;
}

static int64_t rest_of(int64_t shortest_ms, unsigned count)
{
    int64_t ms = shortest_ms / REST_PART;

    if (count == 0 || ms > REST_MAX_MS)
        return REST_MAX_MS;
    return ms < REST_MIN_MS ? REST_MIN_MS : ms;
}

static int keep(void *arg)
{
    struct engine *e = arg;
    struct keep_settings settings;
    struct walk walks[JOB_STATE_COUNT];
    int r = 0;

    while (r >= 0 && settings_get(&e->keeper, &settings)) {
        int64_t shortest_ms = 0;
        unsigned count = walks_of(&settings, walks, &shortest_ms);

        r = 0;
        for (unsigned i = 0; i < count && r == 0; i++)
            r = walk(e, &walks[i]);
        if (r == 0)
            r = rest(&e->keeper, rest_of(shortest_ms, count));
    }
    event_set(&e->keeper.ended);
    return 0;
}

/* ----- public ----- */

int engine_keep_start(struct engine *e)
{
    int r;

    e->keeper.batch = BATCH_FIRST;
    r = group_spawn(e->group, keep, e,
                    &(const struct task_options){.name = "remove old jobs",
                                                 .site = __FILE__ ":" GROUP_STR(__LINE__),
                                                 .stack = STACK_NORMAL,
                                                 .background = true});
    e->keeper.started = r == 0;
    return r;
}

void engine_keep_stop(struct engine *e)
{
    struct keeper *keeper = &e->keeper;

    if (!keeper->started)
        return;
    pthread_mutex_lock(&keeper->lock);
    keeper->stop = true;
    event_set(&keeper->wake);
    pthread_mutex_unlock(&keeper->lock);
    event_wait_shielded(&keeper->ended);
    keeper->started = false;
}

void engine_keep(struct engine *e, const struct keep_settings *settings)
{
    struct keeper *keeper = &e->keeper;

    pthread_mutex_lock(&keeper->lock);
    keeper->settings = *settings;
    event_set(&keeper->wake);
    pthread_mutex_unlock(&keeper->lock);
}

uint64_t engine_removed_slowest_ns(struct engine *e)
{
    return atomic_load(&e->keeper.slowest_ns);
}

uint64_t engine_removed(struct engine *e)
{
    return atomic_load(&e->keeper.removed);
}
