/* sleepers.c: who has slept for long, summed up by where it was spawned and what it waits for.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "scheduler/core.h"
#include "scheduler/scheduler.h"

#define ROWS_MAX 256

struct row {
    const char *site, *name, *reason;
    uint64_t count, longest_ns;
};

struct table {
    struct row rows[ROWS_MAX];
    unsigned len;
    uint64_t now_ns, least_ns, others;
};

/* The texts are of static storage: the same place has the same pointers. */
static struct row *row_of(struct table *table, const struct row *like)
{
    for (unsigned i = 0; i < table->len; i++) {
        struct row *r = &table->rows[i];
        if (r->site == like->site && r->name == like->name && r->reason == like->reason)
            return r;
    }
    if (table->len == ROWS_MAX)
        return NULL;
    table->rows[table->len] = *like;
    return &table->rows[table->len++];
}

static void add(struct task *t, void *ctx)
{
    struct table *table = ctx;
    uint64_t since = get_relaxed(&t->wait_since_ns);
    uint64_t slept = table->now_ns > since ? table->now_ns - since : 0;
    struct row like = {.site = get_relaxed(&t->site),
                       .name = get_relaxed(&t->name),
                       .reason = get_relaxed(&t->wait_reason)};

    if (get_relaxed(&t->state) != TASK_PARKED || get_relaxed(&t->timed) || sleeps_outside(t) ||
        like.reason == NULL || slept < table->least_ns)
        return;
    struct row *r = row_of(table, &like);
    if (r == NULL) {
        table->others++;
        return;
    }
    r->count++;
    if (slept > r->longest_ns)
        r->longest_ns = slept;
}

void scheduler_sleepers(struct buf *ret, uint64_t ns)
{
    struct table table = {.now_ns = clock_mono_ns(), .least_ns = ns};

    if (!look_begin())
        return;
    task_each(add, &table);
    look_end();
    for (unsigned i = 0; i < table.len; i++) {
        const struct row *r = &table.rows[i];
        buf_putf(ret, "%llu \"%s\" on %s for up to ", (unsigned long long)r->count, r->name,
                 r->reason);
        str_put_duration(ret, (int64_t)(r->longest_ns / NS_PER_MS));
        buf_putf(ret, ", spawned at %s\n", r->site);
    }
    if (table.others > 0)
        buf_putf(ret, "%llu more of other places\n", (unsigned long long)table.others);
}
