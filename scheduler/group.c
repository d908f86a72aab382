/* group.c: structured concurrency.
 *
 * Groups and tasks make a tree: a task has open groups, a group has members. Locks are taken
 * from the top down: group.lock, then a member's tree_lock, then the lock of a group it has
 * open. A member leaves its group under group.lock, a group leaves its owner's list under the
 * owner's tree_lock: so whatever a canceller sees below a lock it holds is alive.
 *
 * G1  live counts the members that have not ended; whoever saw live == 0 under the lock may end
 *     the group: nobody touches it after.
 * G2  a task's cancel word is written once (the first reason stays) and before it is woken.
 * G3  a group opened by a cancelled task is cancelled from the start.
 * G4  a member that returned may stay in its group while the thread it ran on goes from one
 *     member that begins to the next (run.c): until those leave, the group cannot end, and
 *     nothing else waits for one member, unless it came to an error, a limit keeps others out,
 *     or the first success decides. A member that leaves its stack otherwise tells before. So
 *     processors that share out a group's members do not meet at its lock for each of them. */
#include "scheduler/group.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "scheduler/core.h"
#include "scheduler/hog.h"
#include "scheduler/processor.h"
#include "scheduler/task.h"
#include "scheduler/threads.h"
#include "scheduler/wait.h"

#include <errno.h>
#include <stdlib.h>

#define GRACE_NS (5 * NS_PER_S)
/* Deeper levels are cancelled by the tasks on this one, when they wake. */
#define CANCEL_DEPTH_MAX 64
#define REPORT_MAX 64

enum { WAITS_FOR_END, WAITS_FOR_PLACE };

struct group_timer {
    struct timer timer;
    struct group *group;
};

static void cancel_locked(struct group *g, int reason, unsigned depth);

static void cancel_task(struct task *t, int reason, unsigned depth)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&t->cancel, &none, reason))
        return;
    wait_cancel(t, reason);
    if (depth >= CANCEL_DEPTH_MAX)
        return;
    spin_lock(&t->tree_lock);
    list_each (link, &t->groups_open) {
        struct group *g = container_of(link, struct group, open_link);
        spin_lock(&g->lock);
        cancel_locked(g, reason, depth + 1);
        spin_unlock(&g->lock);
    }
    spin_unlock(&t->tree_lock);
}

/* Under the group's lock. */
static void cancel_locked(struct group *g, int reason, unsigned depth)
{
    if (atomic_load(&g->cancelled) != 0)
        return;
    atomic_store(&g->cancelled, reason);
    list_each (link, &g->members)
        cancel_task(container_of(link, struct task, member), reason, depth);
}

void group_cancel(struct group *g, int reason)
{
    spin_lock(&g->lock);
    cancel_locked(g, reason, 0);
    spin_unlock(&g->lock);
}

void group_fail(struct group *g, int reason)
{
    spin_lock(&g->lock);
    if (g->result == 0)
        g->result = reason;
    cancel_locked(g, reason, 0);
    spin_unlock(&g->lock);
}

static void deadline_passed(struct timer *timer)
{
    group_fail(container_of(timer, struct group_timer, timer)->group, -ETIMEDOUT);
}

static void group_init(struct group *g, const char *name, struct task *owner)
{
    *g = (struct group){.name = name, .owner = owner, .grace_ns = GRACE_NS};
    g->parent = owner != NULL ? get_relaxed(&owner->group) : NULL;
    list_init(&g->open_link);
    list_init(&g->members);
    list_init(&g->waiters);
}

void group_open(struct group *g, const char *name)
{
    struct task *self = task_self();

    group_init(g, name, self);
    spin_lock(&self->tree_lock);
    list_push_back(&self->groups_open, &g->open_link);
    atomic_store(&g->cancelled, atomic_load(&self->cancel));
    spin_unlock(&self->tree_lock);
}

void group_policy(struct group *g, enum group_policy policy)
{
    g->policy = policy;
}

void group_limit(struct group *g, unsigned n)
{
    g->limit = n;
}

void group_grace(struct group *g, uint64_t ns)
{
    g->grace_ns = ns;
}

static void deadline_drop(struct group *g)
{
    if (g->timer == NULL)
        return;
    timer_stop(&g->timer->timer);
    free(g->timer);
    g->timer = NULL;
}

int group_deadline(struct group *g, uint64_t at_ns)
{
    if (at_ns == 0) {
        deadline_drop(g);
        return 0;
    }
    if (g->timer == NULL) {
        struct group_timer *timer = malloc(sizeof *timer);
        if (timer == NULL)
            return -ENOMEM;
        timer_init(&timer->timer, deadline_passed);
        timer->group = g;
        g->timer = timer;
    }
    return timer_start(&g->timer->timer, at_ns);
}

/* Under the lock, which is released while parked and held again after. */
static int wait_locked(struct group *g, uint32_t what, bool shielded, uint64_t deadline_ns)
{
    struct wait w;
    const char *reason = what == WAITS_FOR_END ? "end of group" : "place in group";
    int r;

    wait_begin(&w);
    w.index = what;
    list_push_back(&g->waiters, &w.link);
    if (!shielded)
        r = wait_park(&w, &g->lock, reason, g, deadline_ns);
    else if (deadline_ns > 0)
        r = wait_park_until(&w, &g->lock, reason, g, deadline_ns);
    else
        r = wait_park_shielded(&w, &g->lock, reason, g);
    spin_lock(&g->lock);
    list_remove(&w.link);
    return r;
}

/* Takes one waiter out that what concerns, claimed. */
static struct wait *claim_waiter(struct group *g, uint32_t what)
{
    for (struct list *link = g->waiters.next, *next; link != &g->waiters; link = next) {
        struct wait *w = container_of(link, struct wait, link);
        next = link->next;
        if (w->index != what || !wait_claim(w))
            continue;
        list_remove(link);
        return w;
    }
    return NULL;
}

static int enter(struct group *g, struct task *t)
{
    int r = 0;

    spin_lock(&g->lock);
    while (r == 0 && g->limit > 0 && g->live >= g->limit && atomic_load(&g->cancelled) == 0)
        r = wait_locked(g, WAITS_FOR_PLACE, false, 0);
    if (r < 0 || atomic_load(&g->cancelled) != 0) {
        spin_unlock(&g->lock);
        return -ECANCELED;
    }
    set_relaxed(&t->group, g);
    t->may_linger = g->limit == 0 && g->policy != GROUP_FIRST_WINS;
    set_relaxed(&t->group_name, g->name);
    list_push_back(&g->members, &t->member);
    g->live++;
    spin_unlock(&g->lock);
    return 0;
}

void group_root(struct group *g, struct task *t)
{
    group_init(g, "root", NULL);
    enter(g, t);
    sanitizer_task_init(&t->sanitizer, get_relaxed(&t->name));
    sanitizer_give(t);
}

int group_spawn(struct group *g, task_fn fn, void *arg, const struct task_options *options)
{
    if (task_cancelled() != 0)
        return -ECANCELED;

    struct thread *m = inside_begin_surely();
    struct task *t = task_new(get_relaxed(&m->processor), fn, arg, options);
    inside_end(m);
    if (t == NULL)
        return -ENOMEM;
    int r = enter(g, t);
    if (r < 0) {
        m = inside_begin_surely();
        task_free(get_relaxed(&m->processor), t);
        inside_end(m);
        return r;
    }
    sanitizer_task_init(&t->sanitizer, options->name);
    sanitizer_give(t);
    processor_spawn(t, !options->quiet);
    /* Who starts a million tasks lets them run in between: they end, sleep or park on stacks
     * that are in use already, and nobody who is woken meanwhile stands behind all of them. */
    task_spend();
    return 0;
}

/* Under the lock. */
static void take_result(struct group *g, int result)
{
    bool success_cancels = g->policy == GROUP_FIRST_WINS && result >= 0 && !g->won;
    bool error_cancels = g->policy == GROUP_FAIL_FAST && result < 0;

    g->won |= success_cancels;
    if (result < 0 && g->result == 0)
        g->result = result;
    if (success_cancels || error_cancels)
        cancel_locked(g, -ECANCELED, 0);
}

void group_members_ended(struct task *ended, int result)
{
    struct group *g = get_relaxed(&ended->group);
    struct wait *joins = NULL, *placed = NULL;

    if (ended == sched.root)
        sched.root_result = result;
    spin_lock(&g->lock);
    for (struct task *t = ended; t != NULL; t = get_relaxed(&t->next)) {
        list_remove(&t->member);
        g->live--;
    }
    take_result(g, result);
    if (g->live == 0)
        joins = claim_waiter(g, WAITS_FOR_END);
    if (g->limit > 0)
        placed = claim_waiter(g, WAITS_FOR_PLACE);
    spin_unlock(&g->lock);
    /* The group is alive as long as a claimed waiter has not been let go. */
    if (placed != NULL)
        wait_ready(placed, 0);
    if (joins != NULL)
        wait_ready(joins, 0);
}

/* The only member is not worth a search, and who is not is told by its own descriptor: the
 * group's lines stay with who adds to it. A hint: it is read without the lock. */
bool group_lets_linger(const struct task *t, int result)
{
    const struct list *next = __atomic_load_n(&t->member.next, __ATOMIC_RELAXED);
    const struct list *prev = __atomic_load_n(&t->member.prev, __ATOMIC_RELAXED);

    return t->may_linger && result >= 0 && next != prev;
}

static int result_of(const struct group *g)
{
    return g->policy == GROUP_FIRST_WINS && g->won ? 0 : g->result;
}

int group_wait(struct group *g)
{
    int r = 0;

    spin_lock(&g->lock);
    while (g->live > 0) {
        int ended = wait_locked(g, WAITS_FOR_END, r < 0, 0);
        if (ended < 0 && r == 0) {
            r = ended;
            cancel_locked(g, r, 0);
        }
    }
    int result = result_of(g);
    spin_unlock(&g->lock);
    return r < 0 ? -ECANCELED : result;
}

struct late_member {
    uint64_t id;
    const char *name, *site, *reason; /* of static storage */
};

/* Under the lock. */
static unsigned copy_members(const struct group *g, struct late_member *ret)
{
    unsigned n = 0;

    list_each (link, &g->members) {
        const struct task *t = container_of(link, struct task, member);
        if (n == REPORT_MAX)
            break;
        ret[n++] = (struct late_member){t->id, get_relaxed(&t->name), get_relaxed(&t->site),
                                        get_relaxed(&t->wait_reason)};
    }
    return n;
}

/* Under the lock, but for the time that it writes: that may last, and members end meanwhile. */
static __attribute__((noinline)) void report_members(struct group *g)
{
    struct late_member members[REPORT_MAX];
    unsigned n = copy_members(g, members), live = g->live;

    spin_unlock(&g->lock);
    for (unsigned i = 0; i < n; i++)
        log_warn("group.late", LOG_STR("group", g->name), LOG_U64("task", members[i].id),
                 LOG_STR("name", members[i].name), LOG_STR("site", members[i].site),
                 LOG_STR("waits", members[i].reason), LOG_U64("live", live));
    spin_lock(&g->lock);
}

static void group_end(struct group *g)
{
    struct task *owner = g->owner;

    deadline_drop(g);
    spin_lock(&owner->tree_lock);
    list_remove(&g->open_link);
    spin_unlock(&owner->tree_lock);
    g->closed = true;
}

int group_close(struct group *g)
{
    uint64_t late_at_ns = clock_mono_ns() + g->grace_ns;

    if (g->closed)
        return result_of(g);
    spin_lock(&g->lock);
    cancel_locked(g, -ECANCELED, 0);
    while (g->live > 0)
        if (wait_locked(g, WAITS_FOR_END, true, late_at_ns) == -ETIMEDOUT && late_at_ns > 0) {
            report_members(g);
            late_at_ns = 0;
        }
    int result = result_of(g);
    spin_unlock(&g->lock);
    group_end(g);
    return result;
}

int group_join(struct group *g)
{
    if (g->closed)
        return result_of(g);

    int r = group_wait(g);
    group_end(g);
    return r;
}
