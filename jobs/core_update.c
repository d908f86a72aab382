/* core_update.c: an update on its way to the store and back. */
#include "jobs/change.h"

#include <errno.h>
#include <stdlib.h>

#define ROOM(u, items, count)                                                                  \
    change_room(&(u)->items, (u)->items##_len, &(u)->items##_cap, (count), sizeof *(u)->items)

static void row_fill(const struct core *core, const struct change_touch *t, struct job *row)
{
    const struct entry *e = core_entry(core, t->index);
    const struct extra *x = core_extra(core, e);

    row->id = e->id;
    row->kind = queue_lane_of(&core->queues, e)->kind;
    row->state = e->state;
    row->reason = e->reason;
    row->priority = e->priority;
    row->attempt = x ? x->attempt : 0;
    row->crashes = x ? x->crashes : 0;
    row->fence = x ? x->fence : 0;
    row->dead_letter = e->flags & ENTRY_DEAD_LETTER;
    row->cancel_requested = e->flags & ENTRY_CANCEL_REQUESTED;
    row->run_at_ms = e->run_at_ms;
    row->finished_at_ms = t->finished_at_ms;
    row->started_at_ms = x ? x->started_at_ms : 0;
    row->start_by_at_ms = x ? x->start_by_at_ms : 0;
    row->retry_until_at_ms = x ? x->retry_until_at_ms : 0;
    row->lease_until_ms = x ? x->lease_until_ms : 0;
    row->epoch = job_state_is_live(row->state) ? core->epoch : 0;
}

static void change_put(struct core_update *u, const struct change *change, uint32_t touch)
{
    u->change_touches[u->changes_len] = touch;
    u->changes[u->changes_len++] = *change;
}

/* Texts of an update's row are borrowed; those of a submission stay as they are: none. */
static void row_put(const struct core *core, struct core_update *u, uint32_t i)
{
    const struct change_touch *t = &u->touches[i];
    struct job *row = t->insert ? t->submission->job : &u->rows[i];

    if (!t->insert)
        *row = (struct job){.result = (char *)t->result, .error = (char *)t->error};
    row_fill(core, t, row);
    change_put(
        u,
        &(struct change){.kind = t->insert ? CHANGE_JOB_INSERT : CHANGE_JOB_UPDATE, .job = row},
        i + 1);
}

/* One more than is needed now, for core_change_add. */
static int changes_reserve(struct core_update *u, size_t count)
{
    if (ROOM(u, changes, count) < 0)
        return -ENOMEM;
    return change_room(&u->change_touches, u->changes_len, &u->change_touches_cap, count,
                       sizeof *u->change_touches);
}

static void touch_keep(struct core *core, const struct change_touch *t)
{
    struct entry *e = core_entry(core, t->index);

    e->touch = 0;
    if (!job_state_is_final(e->state))
        return;
    lane_leave(&core->queues, e->lane, true);
    entry_remove(&core->queues.entries, t->index);
}

int core_update_new(struct core_update **ret)
{
    struct core_update *u = calloc(1, sizeof *u);

    if (!u)
        return -ENOMEM;
    *ret = u;
    return 0;
}

void core_update_free(struct core_update *u)
{
    if (!u)
        return;
    free(u->ops);
    free(u->touches);
    free(u->queues);
    free(u->attempts);
    free(u->actions);
    free(u->rows);
    free(u->changes);
    free(u->change_touches);
    free(u);
}

int core_rows(struct core *core, struct core_update *u)
{
    change_open(core, u);
    if (changes_reserve(u, u->queues_len + u->touches_len + u->attempts_len) < 0 ||
        change_room(&u->rows, 0, &u->rows_cap, u->touches_len, sizeof *u->rows) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < u->queues_len; i++)
        change_put(
            u, &(struct change){.kind = CHANGE_QUEUE_PUT, .queue = &u->queues[i]->record}, 0);
    for (uint32_t i = 0; i < u->touches_len; i++)
        row_put(core, u, i);
    for (size_t i = 0; i < u->attempts_len; i++)
        change_put(u, &(struct change){.kind = CHANGE_ATTEMPT, .attempt = &u->attempts[i]}, 0);
    return 0;
}

void core_keep(struct core *core, struct core_update *u)
{
    if (!u->open)
        return;
    for (size_t i = 0; i < u->touches_len; i++)
        touch_keep(core, &u->touches[i]);
    for (size_t i = 0; i < u->queues_len; i++)
        u->queues[i]->dirty = false;
    order_trim(&core->due);
    order_trim(&core->expiry);
    u->open = false;
}

void core_undo(struct core *core, struct core_update *u)
{
    if (!u->open)
        return;
    change_undo(core, u, &(struct change_mark){.next_id = u->next_id});
    u->open = false;
}

struct core_changes core_changes(const struct core_update *u)
{
    return (struct core_changes){u->changes, u->changes_len, u->sync};
}

int core_change_add(struct core_update *u, const struct change *change, bool sync)
{
    if (changes_reserve(u, 1) < 0)
        return -ENOMEM;
    change_put(u, change, 0);
    u->sync = u->sync || sync;
    return 0;
}

/* Only a job that has begun once can have a text in the store. */
struct job *core_change_keeps_text(const struct core_update *u, size_t i)
{
    uint32_t touch = u->change_touches[i];

    if (!touch || !u->touches[touch - 1].keeps_text || u->rows[touch - 1].fence == 0)
        return NULL;
    return &u->rows[touch - 1];
}

const struct core_action *core_actions(const struct core_update *u, size_t *ret_count)
{
    *ret_count = u->actions_len;
    return u->actions;
}
