#include "scheduler/suspects.h"

#include "base/clock.h"
#include "scheduler/chan_parts.h"
#include "scheduler/mutex.h"

#include <stdlib.h>
#include <string.h>

#define SORTED_BYTES_MAX 256

/* What the reasons of wait_park mean here. Whatever is not in the table is alive. */
static const struct {
    const char *reason;
    enum suspect_kind kind;
} kinds[] = {
    {"mutex", ON_MUTEX},       {"end of group", ON_GROUP},   {"place in group", ON_PLACE},
    {"channel send", ON_CHAN}, {"channel receive", ON_CHAN}, {"select", ON_SELECT},
    {"condition", ON_OBJECT},  {"semaphore", ON_OBJECT},     {"wait group", ON_OBJECT},
};

static enum suspect_kind kind_of(const char *reason)
{
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (reason != NULL && strcmp(kinds[i].reason, reason) == 0)
            return kinds[i].kind;
    return NO_SUSPECT;
}

/* What is read so counts only when suspects_confirm finds the task asleep as before. */
SANITIZER_GLANCE static bool copy(struct task *t, struct suspect *ret)
{
    char *stack = get_relaxed(&t->stack);

    ret->task = t;
    ret->id = t->id;
    ret->group = get_relaxed(&t->group);
    ret->arg = (uintptr_t)t->arg;
    ret->open = t->groups_open.next;
    if (stack != NULL) {
        ret->sp = (uintptr_t)t->sp;
        ret->top = (uintptr_t)stack_base(stack) + stack_bytes(t->stack_class);
    }
    return !t->background && !t->outside && !get_relaxed(&t->timed);
}

static void collect_one(struct task *t, void *ctx)
{
    struct suspects *s = ctx;
    unsigned state = get_relaxed(&t->state);
    uint64_t since = get_relaxed(&t->wait_since_ns);

    if (state == TASK_FREE)
        return;
    if (state != TASK_PARKED)
        s->quiet = false;
    if (s->count == SUSPECTS_TASKS_MAX) {
        s->whole = false;
        return;
    }
    struct suspect *x = &s->tasks[s->count++];
    *x = (struct suspect){.object = get_relaxed(&t->wait_object), .at = NOBODY};
    x->dead = copy(t, x) && state == TASK_PARKED && wait_sleeps(t, &x->epoch);
    x->kind = (uint8_t)kind_of(get_relaxed(&t->wait_reason));
    x->dead = x->dead && x->kind != NO_SUSPECT;
    if (x->dead && s->now_ns < since + s->age_ns) {
        s->young++;
        x->dead = false;
    }
    s->suspected += x->dead;
}

void suspects_collect(struct suspects *s, uint64_t age_ns)
{
    s->count = s->groups_count = s->targets_count = s->stacks_count = 0;
    s->suspected = s->young = 0;
    s->quiet = s->whole = true;
    s->now_ns = clock_mono_ns();
    s->age_ns = age_ns;
    task_each(collect_one, s);
}

/* ---- looking up ---- */

typedef int (*compare_fn)(const void *a, const void *b);

static void sift(char *base, size_t i, size_t count, size_t bytes, compare_fn compare)
{
    char held[SORTED_BYTES_MAX];

    memcpy(held, base + i * bytes, bytes);
    for (size_t child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && compare(base + child * bytes, base + (child + 1) * bytes) < 0)
            child++;
        if (compare(held, base + child * bytes) >= 0)
            break;
        memcpy(base + i * bytes, base + child * bytes, bytes);
    }
    memcpy(base + i * bytes, held, bytes);
}

/* In place (heap sort): qsort leaves copies on the heap, which would be read as the program's.
 */
static void sort(void *items, size_t count, size_t bytes, compare_fn compare)
{
    char *base = items, held[SORTED_BYTES_MAX];

    for (size_t i = count / 2; i-- > 0;)
        sift(base, i, count, bytes, compare);
    for (size_t last = count; last-- > 1;) {
        memcpy(held, base + last * bytes, bytes);
        memcpy(base + last * bytes, base, bytes);
        memcpy(base, held, bytes);
        sift(base, 0, last, bytes, compare);
    }
}

static int by_task(const void *a, const void *b)
{
    const struct suspect *x = a, *y = b;

    return x->task < y->task ? -1 : x->task > y->task;
}

static uint32_t index_of(const struct suspects *s, const struct task *t)
{
    const struct suspect *x = bsearch(&(struct suspect){.task = (struct task *)(uintptr_t)t},
                                      s->tasks, s->count, sizeof *s->tasks, by_task);

    return x != NULL ? (uint32_t)(x - s->tasks) : NOBODY;
}

static int by_group(const void *a, const void *b)
{
    const struct suspect_group *x = a, *y = b;

    return x->group < y->group ? -1 : x->group > y->group;
}

/* NOBODY: no suspect is a member of it. */
static uint32_t group_of(const struct suspects *s, const void *group)
{
    const struct suspect_group *x =
        bsearch(&(struct suspect_group){.group = (struct group *)(uintptr_t)group}, s->groups,
                s->groups_count, sizeof *s->groups, by_group);

    return x != NULL ? (uint32_t)(x - s->groups) : NOBODY;
}

static int by_begin(const void *a, const void *b)
{
    const struct suspect_range *x = a, *y = b;

    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

uint32_t suspects_stack_of(const struct suspects *s, uintptr_t at)
{
    unsigned low = 0, high = s->stacks_count;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        if (s->stacks[mid].end <= at)
            low = mid + 1;
        else
            high = mid;
    }
    return low < s->stacks_count && s->stacks[low].begin <= at ? s->stacks[low].suspect
                                                               : NOBODY;
}

/* Frames are linked by the frame pointers of code that keeps them; a function that keeps none
 * counts to the frame of its caller. */
unsigned suspects_frame(const struct suspects *s, const struct suspect *x, uintptr_t at,
                        struct range *ret_range)
{
    uintptr_t words[8], begin = x->sp, frame = 0;
    unsigned i = 0;

    if (reach_peek(&s->reach, (const void *)x->sp, words, sizeof words))
        frame = words[SUSPECTS_FRAME_WORD];
    for (; i < SUSPECTS_FRAMES_MAX - 1; i++) {
        bool linked = frame >= begin && frame + 16 <= x->top && frame % 8 == 0;
        if (!linked || at < frame + 16) {
            *ret_range = (struct range){begin, linked ? frame + 16 : x->top};
            return i;
        }
        begin = frame + 16;
        if (!reach_peek(&s->reach, (const void *)frame, &frame, sizeof frame))
            frame = 0;
    }
    *ret_range = (struct range){begin, x->top};
    return i;
}

/* ---- what they wait for ---- */

/* Thousands may wait for one channel, and a look at it costs as much as a system call. */
static uintptr_t end_of_chan(const struct suspects *s, const void *chan)
{
    const struct suspect_range *last = s->targets + s->targets_count;
    struct chan c;

    if (s->targets_count > 0 && (--last)->begin == (uintptr_t)chan)
        return last->end;
    if (!reach_peek(&s->reach, chan, &c, sizeof c))
        return 0;
    return (uintptr_t)chan + sizeof c + (size_t)c.element_bytes * c.cap;
}

static void add_target(struct suspects *s, uint32_t i, const void *chan)
{
    uintptr_t end = s->targets_count < SUSPECTS_TARGETS_MAX ? end_of_chan(s, chan) : 0;

    if (end == 0)
        s->tasks[i].reached = true;
    else
        s->targets[s->targets_count++] = (struct suspect_range){(uintptr_t)chan, end, i};
}

static void resolve_select(struct suspects *s, uint32_t i)
{
    const struct chan *chans[CHAN_SELECT_MAX];
    unsigned n = select_channels(&s->reach, s->tasks[i].object, chans);

    if (n == 0) /* it waits to be cancelled */
        s->tasks[i].reached = true;
    for (unsigned k = 0; k < n; k++)
        add_target(s, i, chans[k]);
}

/* Elsewhere than in a stack nobody knows how far the thing reaches that it is a part of. */
static void resolve_object(struct suspects *s, struct suspect *x)
{
    struct range frame;

    x->at = suspects_stack_of(s, (uintptr_t)x->object);
    if (x->at == NOBODY)
        x->reached = true;
    else
        x->at_frame =
            (uint8_t)suspects_frame(s, &s->tasks[x->at], (uintptr_t)x->object, &frame);
}

static void resolve_mutex(struct suspects *s, struct suspect *x)
{
    struct mutex m;

    if (reach_peek(&s->reach, x->object, &m, sizeof m))
        x->at = index_of(s, get_relaxed(&m.owner));
    x->reached = x->at == NOBODY;
}

static void resolve_one(struct suspects *s, uint32_t i)
{
    struct suspect *x = &s->tasks[i];

    x->home = group_of(s, x->group);
    s->groups[x->home].dead++;
    switch ((enum suspect_kind)x->kind) {
    case ON_MUTEX:
        resolve_mutex(s, x);
        break;
    case ON_GROUP:
    case ON_PLACE:
        x->at = group_of(s, x->object);
        x->reached = x->at == NOBODY;
        break;
    case ON_CHAN:
        add_target(s, i, x->object);
        break;
    case ON_SELECT:
        resolve_select(s, i);
        break;
    case ON_OBJECT:
        resolve_object(s, x);
        break;
    case NO_SUSPECT:
        break;
    }
}

static void unite_groups(struct suspects *s)
{
    unsigned kept = 0;

    sort(s->groups, s->groups_count, sizeof *s->groups, by_group);
    for (unsigned i = 0; i < s->groups_count; i++)
        if (kept == 0 || s->groups[kept - 1].group != s->groups[i].group)
            s->groups[kept++] = s->groups[i];
    s->groups_count = kept;
}

void suspects_resolve(struct suspects *s)
{
    sort(s->tasks, s->count, sizeof *s->tasks, by_task);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct suspect *x = &s->tasks[i];
        if (!x->dead)
            continue;
        s->groups[s->groups_count++] = (struct suspect_group){.group = x->group};
        s->stacks[s->stacks_count++] = (struct suspect_range){x->sp, x->top, i};
    }
    unite_groups(s);
    sort(s->stacks, s->stacks_count, sizeof *s->stacks, by_begin);
    for (uint32_t i = 0; i < s->count; i++)
        if (s->tasks[i].dead)
            resolve_one(s, i);
    sort(s->targets, s->targets_count, sizeof *s->targets, by_begin);
}

/* ---- the table ---- */

static bool has_place(const struct suspects *s, const struct suspect *x)
{
    struct group g;

    return !reach_peek(&s->reach, x->object, &g, sizeof g) || g.live > s->groups[x->at].dead;
}

static bool may_wake(const struct suspects *s, const struct suspect *x)
{
    if (x->reached)
        return true;
    switch ((enum suspect_kind)x->kind) {
    case ON_MUTEX:
        return !s->tasks[x->at].dead;
    case ON_GROUP:
        return s->groups[x->at].dead == 0;
    case ON_PLACE:
        return has_place(s, x);
    case ON_OBJECT:
        return !s->tasks[x->at].dead || (s->tasks[x->at].frames >> x->at_frame & 1) != 0;
    case ON_CHAN:
    case ON_SELECT:
    case NO_SUSPECT:
        break;
    }
    return false;
}

bool suspects_pass(struct suspects *s)
{
    bool changed = false;

    for (uint32_t i = 0; i < s->count; i++) {
        struct suspect *x = &s->tasks[i];
        if (!x->dead || !may_wake(s, x))
            continue;
        x->dead = false;
        s->groups[x->home].dead--;
        changed = true;
    }
    return changed;
}

enum excused { EXCUSED_UNKNOWN, EXCUSED_NO, EXCUSED_YES };

/* A deadline above its members will end their waits, or a sibling may that can win the group.
 */
static bool excuses(const struct suspects *s, struct group *group)
{
    struct group g = {.parent = group};

    while (g.parent != NULL) {
        uint32_t at = group_of(s, g.parent);
        if (!reach_peek(&s->reach, g.parent, &g, sizeof g) || g.timer != NULL)
            return true;
        uint32_t dead = at != NOBODY ? s->groups[at].dead : 0;
        if (g.policy == GROUP_FIRST_WINS && g.live > dead)
            return true;
    }
    return false;
}

static bool is_excused(struct suspects *s, const struct suspect *x)
{
    struct suspect_group *home = &s->groups[x->home];

    if (home->excused == EXCUSED_UNKNOWN)
        home->excused = excuses(s, x->group) ? EXCUSED_YES : EXCUSED_NO;
    return home->excused == EXCUSED_YES;
}

bool suspects_excuse(struct suspects *s)
{
    bool changed = false;

    for (unsigned i = 0; i < s->groups_count; i++)
        s->groups[i].excused = EXCUSED_UNKNOWN;
    for (uint32_t i = 0; i < s->count; i++) {
        struct suspect *x = &s->tasks[i];
        if (!x->dead || x->reached || !is_excused(s, x))
            continue;
        x->reached = true;
        changed = true;
    }
    return changed;
}

unsigned suspects_dead(const struct suspects *s)
{
    unsigned dead = 0;

    for (uint32_t i = 0; i < s->count; i++)
        dead += s->tasks[i].dead;
    return dead;
}

bool suspects_confirm(const struct suspects *s)
{
    uint64_t epoch;

    for (uint32_t i = 0; i < s->count; i++) {
        const struct suspect *x = &s->tasks[i];
        if (x->dead && (!wait_sleeps(x->task, &epoch) || epoch != x->epoch))
            return false;
    }
    return true;
}
