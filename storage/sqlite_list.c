/* A list, newest first: paths yield ids downwards, the newest of them is looked at, filtered by
 * the rule that both stores share, and shown.
 *
 * A path is a walk down one index or table. Which ones a filter needs: by name or key, if it
 * asks for one; else by rare states (all but queued and succeeded), one path a state; else by
 * queue, among the live alone when no ended ones are wanted, as history may be long; else
 * through everything.
 *
 * A name, key or queue together with states of which few jobs are has two kinds of paths, and
 * either may be long: a customer's million that succeeded, a million that failed of others. So
 * the one by word is a gate beside those by state: only what both name is loaded, and where
 * one is behind it is sought forward to the other's row instead of walked.
 *
 * A row whose state is known from the path and not wanted costs a tenth of one that must be
 * loaded, one that is sought a fifth; the sum is bounded by STORE_LOOK_MAX loads. */
#include "storage/sqlite_parts.h"

#include "base/list.h"

#include <errno.h>

#define LOOK_COST 10
#define SEEK_COST 2
#define SKIP_COST 1

#define LIVE_STATES                                                                            \
    (1u << JOB_HELD | 1u << JOB_BLOCKED | 1u << JOB_SCHEDULED | 1u << JOB_QUEUED |             \
     1u << JOB_RETRYING | 1u << JOB_RUNNING | 1u << JOB_STOPPING)
#define FINAL_STATES                                                                           \
    (1u << JOB_SUCCEEDED | 1u << JOB_FAILED | 1u << JOB_CANCELLED | 1u << JOB_EXPIRED |        \
     1u << JOB_SKIPPED)
#define ALL_STATES (LIVE_STATES | FINAL_STATES)
#define COMMON_STATES (1u << JOB_QUEUED | 1u << JOB_SUCCEEDED)

struct path {
    sqlite3_stmt *stmt;
    uint64_t id;          /* its newest row not looked at yet; 0 = none left */
    enum job_state state; /* 0 = not known from the path */
};

struct walk {
    struct sqlite_reader *reader;
    const struct job_filter *filter;
    uint32_t states; /* ALL_STATES when the filter says all */
    struct path paths[JOB_STATE_COUNT];
    unsigned count;
    struct path gate; /* no stmt = there is none */
    uint32_t cost;
};

static int path_step(struct path *p)
{
    int r = sqlite_row(p->stmt);

    p->id = r == 1 ? (uint64_t)sqlite3_column_int64(p->stmt, 0) : 0;
    p->state = r == 1 ? (enum job_state)sqlite3_column_int(p->stmt, 1) : 0;
    return r < 0 ? r : 0;
}

/* Forward to the first row at id or below it. It is often the next one. */
static int path_seek(struct walk *w, struct path *p, uint64_t id)
{
    int r = path_step(p);

    w->cost += SEEK_COST;
    if (r < 0 || p->id <= id)
        return r;
    sqlite3_reset(p->stmt);
    sqlite3_bind_int64(p->stmt, 1, (sqlite3_int64)(id + 1));
    return path_step(p);
}

static int path_open(struct walk *w, struct path *p, enum sqlite_read_sql sql, const char *text,
                     int state)
{
    int r = sqlite_cache_get(&w->reader->cache, sql, &p->stmt);

    if (r < 0)
        return r;
    sqlite3_bind_int64(p->stmt, 1, (sqlite3_int64)w->filter->before_id);
    if (text)
        sqlite3_bind_text(p->stmt, 2, text, -1, SQLITE_STATIC);
    if (state)
        sqlite3_bind_int(p->stmt, 2, state);
    return path_step(p);
}

static int path_add(struct walk *w, enum sqlite_read_sql sql, const char *text, int state)
{
    return path_open(w, &w->paths[w->count++], sql, text, state);
}

/* The paths for the wanted states of one table: one for each rare state, or one through all of
 * it when the common state is wanted too. */
static int paths_add_states(struct walk *w, uint32_t table_states, enum sqlite_read_sql whole)
{
    uint32_t states = w->states & table_states;
    int r = 0;

    if (states & COMMON_STATES)
        return path_add(w, whole, NULL, 0);
    for (unsigned state = 1; state < JOB_STATE_COUNT && r == 0; state++) {
        if (states >> state & 1)
            r = path_add(w, READ_PATH_STATE + state, NULL, (int)state);
    }
    return r;
}

static int paths_add_all_states(struct walk *w)
{
    int r = paths_add_states(w, LIVE_STATES, READ_PATH_LIVE);

    return r < 0 ? r : paths_add_states(w, FINAL_STATES, READ_PATH_DONE);
}

/* By word alone when the states are common ones: most rows match. */
static int paths_add_word(struct walk *w, enum sqlite_read_sql sql, const char *word,
                          uint32_t common)
{
    if (w->states & common)
        return path_add(w, sql, word, 0);

    int r = path_open(w, &w->gate, sql, word, 0);

    return r < 0 ? r : paths_add_all_states(w);
}

static int walk_open(struct walk *w)
{
    const struct job_filter *f = w->filter;

    if (f->name)
        return paths_add_word(w, READ_PATH_NAME, f->name, 1u << JOB_SUCCEEDED);
    if (f->key)
        return paths_add_word(w, READ_PATH_KEY, f->key, 1u << JOB_SUCCEEDED);
    if (f->queue && w->states & 1u << JOB_QUEUED && !(w->states & FINAL_STATES))
        return path_add(w, READ_PATH_LIVE_QUEUE, f->queue, 0);
    if (f->queue)
        return paths_add_word(w, READ_PATH_QUEUE, f->queue, COMMON_STATES);
    if (w->states == ALL_STATES)
        return path_add(w, READ_PATH_ALL, NULL, 0);
    return paths_add_all_states(w);
}

static void walk_close(struct walk *w)
{
    for (unsigned i = 0; i < w->count; i++)
        sqlite3_reset(w->paths[i].stmt);
    sqlite3_reset(w->gate.stmt);
}

/* The path whose next row is the newest; NULL at the end of all. */
static struct path *walk_newest(struct walk *w)
{
    struct path *newest = NULL;

    for (unsigned i = 0; i < w->count; i++) {
        if (w->paths[i].id && (!newest || w->paths[i].id > newest->id))
            newest = &w->paths[i];
    }
    return newest;
}

/* Whether the gate lets this row pass; if not, its path is taken forward to the gate's. The end
 * of the gate is the end of all paths. */
static int gate_pass(struct walk *w, struct path *p, bool *ret_passes)
{
    struct path *gate = &w->gate;
    int r = gate->id > p->id ? path_seek(w, gate, p->id) : 0;

    *ret_passes = gate->id == p->id;
    if (r < 0 || *ret_passes)
        return r;
    if (gate->id)
        return path_seek(w, p, gate->id);
    p->id = 0;
    return 0;
}

/* Looks at one job. A job that vanished between path and load cannot be: both are one read. */
static int job_look(struct walk *w, uint64_t id, store_job_fn fn, void *ctx,
                    enum store_match *ret_match)
{
    struct sqlite_job_row row;
    int r = sqlite_job_load(w->reader, id, &row);

    if (r <= 0)
        return r < 0 ? r : -EIO;
    *ret_match = store_filter_match(w->filter, &row.job);
    r = *ret_match == MATCH_YES ? fn(ctx, &row.job) : 0;
    sqlite_job_release(&row);
    return r;
}

/* The row of a path, and to the next one. */
static int row_look(struct walk *w, struct path *p, store_job_fn fn, void *ctx,
                    enum store_match *ret_match)
{
    bool skip = p->state && !(w->states >> p->state & 1), passes = true;
    int r = 0;

    if (!skip && w->gate.stmt) {
        r = gate_pass(w, p, &passes);
        if (r < 0 || !passes)
            return r;
    }
    w->cost += skip ? SKIP_COST : LOOK_COST;
    if (!skip)
        r = job_look(w, p->id, fn, ctx, ret_match);
    return r ? r : path_step(p);
}

static int walk_page(struct walk *w, store_job_fn fn, void *ctx, uint64_t *ret_next)
{
    enum store_match match = MATCH_NO;
    uint32_t found = 0;
    uint64_t last = 0;
    struct path *p;

    while (match != MATCH_END && (p = walk_newest(w))) {
        uint64_t id = p->id;
        int r;

        if (found == w->filter->limit || w->cost >= STORE_LOOK_MAX * LOOK_COST) {
            *ret_next = last;
            return 0;
        }
        match = MATCH_NO;
        r = row_look(w, p, fn, ctx, &match);
        if (r)
            return r;
        last = id;
        found += match == MATCH_YES;
    }
    *ret_next = 0;
    return 0;
}

int sqlite_job_list(struct store_reader *reader, const struct job_filter *filter,
                    store_job_fn fn, void *ctx, uint64_t *ret_next)
{
    struct walk w = {
        .reader = container_of(reader, struct sqlite_reader, base),
        .filter = filter,
        .states = filter->states ? filter->states & ALL_STATES : ALL_STATES,
    };
    int r;

    if (filter->dead_letter)
        w.states &= 1u << JOB_FAILED;
    r = walk_open(&w);
    if (r == 0)
        r = walk_page(&w, fn, ctx, ret_next);
    walk_close(&w);
    return r;
}
