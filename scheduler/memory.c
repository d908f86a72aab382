/* memory.c: whom somebody knows who may run, found out by reading memory, after Go's search for
 * leaked goroutines. All that the program can write, and the stacks in use of those who may
 * run, are read word by word. A word that points into a suspect's channel shows that somebody
 * who may run knows it; one that points into a suspect's stack adds that frame to what is read;
 * whoever may run by that is read too, until nothing changes.
 *
 * No sizes of blocks are known, so whatever lies on the heap counts as known to the living. A
 * stale word makes this miss a dead part. Nothing makes it find one that is not dead, provided
 * that no pointer moves while it reads: the caller sees to that. */
#include "scheduler/chan_parts.h"
#include "scheduler/mutex.h"
#include "scheduler/suspects.h"

#include <errno.h>

#define OPEN_GROUPS_MAX 1024

static bool point_at_target(struct suspects *s, uintptr_t word)
{
    unsigned low = 0, high = s->targets_count;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        if (s->targets[mid].end <= word)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == s->targets_count || s->targets[low].begin > word)
        return false;
    for (uintptr_t begin = s->targets[low].begin;
         low < s->targets_count && s->targets[low].begin == begin; low++)
        s->tasks[s->targets[low].suspect].reached = true;
    return true;
}

static void look_at_word(struct suspects *s, uintptr_t word)
{
    struct range frame;

    if (word == 0 || point_at_target(s, word))
        return;
    uint32_t i = suspects_stack_of(s, word);
    if (i == NOBODY || !s->tasks[i].dead)
        return;
    s->tasks[i].frames |= UINT64_C(1) << suspects_frame(s, &s->tasks[i], word, &frame);
}

static void look_at_words(void *ctx, const uintptr_t *words, size_t count)
{
    struct suspects *s = ctx;
    uintptr_t low = UINTPTR_MAX, high = 0;

    if (s->targets_count > 0) {
        low = s->targets[0].begin;
        high = s->targets[s->targets_count - 1].end;
    }
    if (s->stacks_count > 0) {
        uintptr_t end = s->stacks[s->stacks_count - 1].end;
        low = s->stacks[0].begin < low ? s->stacks[0].begin : low;
        high = end > high ? end : high;
    }
    for (size_t i = 0; i < count; i++)
        if (words[i] - low < high - low)
            look_at_word(s, words[i]);
}

static int read_frames(struct suspects *s, struct suspect *x)
{
    struct range frame = {.end = x->sp};
    int r = 0;

    for (unsigned i = 0; r == 0 && i < SUSPECTS_FRAMES_MAX && frame.end < x->top; i++) {
        (void)suspects_frame(s, x, frame.end, &frame);
        if ((x->frames & ~x->frames_read) >> i & 1)
            r = reach_part(&s->reach, frame.begin, frame.end);
    }
    x->frames_read = x->frames;
    return r;
}

static int read_task(struct suspects *s, struct suspect *x)
{
    x->read = true;
    look_at_words(s, &x->arg, 1);
    return x->sp != 0 ? reach_part(&s->reach, x->sp, x->top) : 0;
}

/* What became alive is read too, until nothing becomes alive. */
static int read_stacks(struct suspects *s)
{
    bool more = true;
    int r = 0;

    while (more && r == 0) {
        more = false;
        while (suspects_pass(s))
            continue;
        for (uint32_t i = 0; r == 0 && i < s->count; i++) {
            struct suspect *x = &s->tasks[i];
            if (x->dead ? x->frames == x->frames_read : x->read)
                continue;
            more = true;
            r = x->dead ? read_frames(s, x) : read_task(s, x);
        }
    }
    return r;
}

/* ---- what is not the program's ---- */

static void hide(void *ctx, const void *at, size_t bytes)
{
    struct suspects *s = ctx;

    s->whole = reach_hide(&s->reach, at, bytes) && s->whole;
}

static void hide_below(struct suspects *s, const char *frame, uintptr_t *low)
{
    if (*low == 0)
        *low = reach_mapping(frame);
    hide(s, (const void *)*low, (uintptr_t)frame - *low);
}

static void hide_threads(struct suspects *s)
{
    spin_lock(&sched.threads_lock);
    list_each (link, &sched.threads) {
        struct thread *m = container_of(link, struct thread, all_link);
        hide(s, m, sizeof *m);
        if (atomic_load(&m->frame) != NULL)
            hide_below(s, atomic_load(&m->frame), &m->stack_low);
    }
    spin_unlock(&sched.threads_lock);
}

/* A group names its waiters and its parent. */
static void hide_groups(struct suspects *s, const struct suspect *x)
{
    const struct list *end = &x->task->groups_open, *link = x->open;
    struct group g;

    for (unsigned i = 0; i < OPEN_GROUPS_MAX && link != end && link != NULL; i++) {
        const struct group *at = container_of(link, struct group, open_link);
        if (!reach_peek(&s->reach, at, &g, sizeof g))
            break;
        hide(s, at, sizeof g);
        link = g.open_link.next;
    }
}

static void hide_all_groups(struct suspects *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        hide_groups(s, &s->tasks[i]);
}

/* The scheduler's lists lead from everything to everything; no task can follow them. */
static void hide_ours(struct suspects *s)
{
    hide(s, s, sizeof *s);
    hide(s, sched.processors, sched.count * sizeof *sched.processors);
    for (unsigned i = 0; i < sched.count; i++) {
        struct timers *timers = &sched.processors[i].timers;
        spin_lock(&timers->lock);
        hide(s, timers->slots, timers->cap * sizeof *timers->slots);
        spin_unlock(&timers->lock);
    }
    task_slabs_each(hide, s);
    stack_slabs_each(hide, s);
    hide_threads(s);
    hide_below(s, __builtin_frame_address(0), &s->reader_low);
    for (uint32_t i = 0; i < s->count; i++)
        if (s->tasks[i].dead && s->tasks[i].kind == ON_MUTEX)
            hide(s, s->tasks[i].object, sizeof(struct mutex));
    for (unsigned i = 0; i < s->targets_count; i++)
        hide(s, (const void *)s->targets[i].begin, sizeof(struct chan));
}

int suspects_read(struct suspects *s, bool (*go_on)(void *ctx))
{
    s->reach.ctx = s;
    s->reach.words = look_at_words;
    s->reach.go_on = go_on;
    s->reach.hidden_len = 0;
    hide_ours(s);
    hide_all_groups(s);
    if (!s->whole)
        return -E2BIG;
    reach_seal(&s->reach);
    int r = reach_all(&s->reach);
    if (r < 0)
        return r;

    /* Stacks are read one by one, as far as they are in use. */
    s->reach.hidden_len = 0;
    hide_all_groups(s);
    reach_seal(&s->reach);
    return read_stacks(s);
}
