/* core.h: what the scheduler is made of. Internal to scheduler/; the essay is in scheduler.c.
 *
 *     task         a function with a stack of its own, a wait word, and a place in a group
 *     processor    the right to run tasks: a run queue, timers, caches. As many as cores
 *     thread       an OS thread; runs tasks while it holds a processor
 *     scheduler    the only one: idle set, spare threads, global queue, poller role
 *
 * Fields that a task's stack and its thread's scheduler stack both touch are relaxed atomics:
 * it is one OS thread, so order is given, but the tools and the compiler must not guess. */
#ifndef SCHEDULER_CORE_H
#define SCHEDULER_CORE_H

#include "base/list.h"
#include "base/rand.h"
#include "scheduler/group.h"
#include "scheduler/observe.h"
#include "scheduler/runq.h"
#include "scheduler/sanitizer.h"
#include "scheduler/stack.h"
#include "scheduler/timers.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROCESSORS_MAX 256
#define THREADS_SPARE_KEPT 2
#define TASK_CACHE_MAX 64
#define TASK_BUDGET 128
/* What lies on a stack between a switch and who waits, in lines of 64 bytes. */
#define LINES_YIELD 3
#define LINES_PARK 7
#define CACHE_LINE_BYTES 128

struct processor;
struct scheduler;
struct thread;
struct wait;

#define get_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define set_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
/* A counter with one writer at a time: no locked instruction. */
#define count_add(p, n) set_relaxed((p), get_relaxed(p) + (n))

enum task_state { TASK_FREE, TASK_READY, TASK_RUNNING, TASK_PARKED, TASK_BLOCKED };

/* Aligned to TASK_BYTES, so that a pointer has 24 bits to spare for a tag (wait.c). What each
 * switch touches comes first, in one cache line: with thousands of tasks in turn, lines are
 * what a switch costs. */
enum { TASK_BYTES = 256 };
struct task {
    void *sp;              /* while it does not run */
    _Atomic uint64_t wait; /* the wait word; see wait.c */
    struct thread *_Atomic thread;
    struct task *_Atomic next; /* in a batch, the global queue, or a cache */
    char *_Atomic stack;       /* NULL before the first run and after the end */
    _Atomic int cancel;        /* 0 or the reason */
    int saved_errno;
    uint8_t shields;       /* own */
    _Atomic bool young;    /* went into the ring from `next`: not behind the others there */
    uint8_t budget;        /* own */
    uint8_t lines;         /* of its stack, that it reads at once when it goes on; see below */
    _Atomic uint8_t state; /* enum task_state, for reports */
    bool background;
    bool outside;       /* parked where something outside can wake it; counted in a processor */
    _Atomic bool timed; /* parked with a deadline */
    _Atomic uint64_t ready_at_ns; /* 0: its latency is not asked for */

    task_fn fn;
    void *arg;
    struct group *_Atomic group;
    struct list member;      /* guarded by the group's lock */
    struct list groups_open; /* guarded by tree_lock */
    _Atomic uint32_t tree_lock;
    uint8_t stack_class;
    uint8_t lane;             /* own; of the blocking call */
    bool may_linger;          /* G4 in group.c */
    uint64_t shield_until_ns; /* own */
    uint64_t id;
    const char *_Atomic name;
    const char *_Atomic site;
    const char *_Atomic wait_reason;
    const void *_Atomic wait_object;
    _Atomic uint64_t wait_since_ns;
    struct processor *lent; /* own; in a blocking call: to be asked back */
    const char *_Atomic group_name;
    struct sanitizer sanitizer;
};
_Static_assert(sizeof(struct task) <= TASK_BYTES, "a task fills its slot");
_Static_assert(offsetof(struct task, fn) <= 64, "a switch touches one line of a task");

/* A hint, which does no harm when it is old: not a step that a schedule could turn on. */
static inline void lines_set(struct task *t, uint8_t lines)
{
    __atomic_store_n(&t->lines, lines, __ATOMIC_RELAXED);
}
static inline uint8_t lines_get(const struct task *t)
{
    return __atomic_load_n(&t->lines, __ATOMIC_RELAXED);
}

/* Runs once the task has left its stack, on the scheduler's or on the next task's: so it is
 * brief and its frames are small. true: it is to run again. */
typedef bool (*task_commit_fn)(struct thread *m, struct task *t, void *arg);

enum thread_place { PLACE_RUNNING, PLACE_IDLE, PLACE_POLLING, PLACE_SPARE, PLACE_GONE };
enum thread_token { TOKEN_NONE, TOKEN_SPINNING, TOKEN_PLAIN, TOKEN_STOP };

struct thread {
    void *sp; /* of the scheduler's stack, while a task runs */
    struct task *_Atomic task;
    struct processor *_Atomic processor; /* NULL in a blocking call; see H3 in hog.c */
    struct task *_Atomic left;           /* its commit is still to be done; see run.c */
    task_commit_fn _Atomic commit;
    void *_Atomic commit_arg;
    struct task *_Atomic chosen; /* taken out of the queue to be the next */
    struct task *ended;          /* own; by `next`: still to leave their group; G4 in group.c */
    int *error;                  /* errno of this thread */
    _Atomic uint32_t asked;      /* enum asked, by the monitor */
    _Atomic bool inside;         /* uses its processor on a task's stack */
    bool away;                   /* own; counted in scheduler.blocked */
    bool hog;                    /* own; counted in scheduler.taken */
    bool spinning;               /* counted in scheduler.spinning */
    bool ending;
    uint16_t ended_len;             /* own */
    uint16_t in_row;                /* how often the front of the queue was passed */
    uint64_t unbound, unbound_runs; /* tasks in a row that no stack could be had for */
    struct rand rand;
    _Atomic uint64_t dice; /* of select, whose tasks share it; 0 = not seeded yet */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t token; /* enum thread_token; a futex */
    enum thread_place place;                           /* guarded by idle_lock */
    struct list spare_link;                            /* guarded by idle_lock */
    struct list all_link;                              /* guarded by threads_lock */
    pthread_t id;
    bool main;           /* the caller of scheduler_run */
    char *_Atomic frame; /* what lies below it on its stack is the scheduler's */
    uintptr_t stack_low; /* the monitor's note; 0 = not known yet */
    uint32_t tid;
    struct trace_ring *_Atomic trace; /* NULL before the first event */
    stack_t old_altstack;
    void *altstack;
    struct sanitizer sanitizer;
};

struct processor_counters {
    _Atomic uint64_t created, ended, runs, steals, steal_attempts, parks, yields, handoffs,
        overflows, polls, timers_fired, blocking_calls, retakes, takes;
    _Atomic int64_t outside; /* tasks parked here minus tasks resumed here: the sum counts */
};

/* From runnable to running; see probe.h. */
struct latency {
    _Atomic uint64_t buckets[SCHEDULER_LATENCY_BUCKETS];
    _Atomic uint64_t total_ns;
};

struct processor {
    struct runq runq;
    struct timers timers;
    unsigned index;
    _Atomic uint32_t tick;
    _Atomic uintptr_t blocked_by; /* the thread inside a blocking call, or 0 */
    struct thread *thread;        /* guarded by idle_lock */
    uint64_t id_next, id_end;
    struct task *tasks_free;
    unsigned tasks_free_len;
    struct stack_cache stacks;
    struct processor_counters counters;
    struct latency latency;
    /* The monitor's notes. */
    uint64_t seen_runs, seen_blocked, seen_since_ns;
    _Atomic uint64_t stalled_since_ns;
};

struct scheduler {
    unsigned count; /* processors */
    struct processor *processors;
    struct scheduler_options options;

    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t spinning;
    _Atomic uint32_t idle_count;
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t idle_lock;
    uint64_t idle_set[PROCESSORS_MAX / 64]; /* guarded by idle_lock */
    struct list spare;                      /* guarded by idle_lock; last in, first out */
    unsigned spare_count;                   /* guarded by idle_lock */

    struct global_queue global;

    struct thread *_Atomic poller; /* who blocks in epoll */
    _Atomic uint64_t poll_until_ns;
    _Atomic uint64_t polls;   /* by anybody */
    _Atomic uint32_t watched; /* descriptors */

    _Atomic uint64_t wakes;        /* of threads */
    _Atomic uint32_t blocked;      /* threads that run a task without a processor */
    _Atomic uint32_t taken;        /* of these: whose processor was taken, see hog.c */
    _Atomic int64_t outside_stray; /* as counters.outside: parked by such threads */
    _Atomic uint32_t foreign;      /* foreign threads inside one of our calls */
    _Atomic uint32_t outside;      /* promises of scheduler_outside_begin */
    _Atomic bool stopping;
    _Atomic bool running;

    _Atomic uint32_t threads_lock; /* guards both */
    struct list threads;
    _Atomic unsigned threads_count;
    /* The time as somebody read it last: good enough for "waits since". */
    _Atomic uint64_t coarse_ns;

    struct task *root;
    struct group root_group;
    int root_result;
    _Atomic bool dead_told; /* since a task last ran that is not in the background */
    bool dead_cancelled;
};

extern struct scheduler sched;

/* Keep the scheduler from ending while a foreign thread looks at it. false: none runs. */
static inline bool look_begin(void)
{
    atomic_fetch_add(&sched.foreign, 1);
    if (atomic_load(&sched.running))
        return true;
    atomic_fetch_sub(&sched.foreign, 1);
    return false;
}
static inline void look_end(void)
{
    atomic_fetch_sub(&sched.foreign, 1);
}

/* Plain fields of a descriptor are its owner's, who may write them just now: for reports. */
#if defined(__clang__)
#define SANITIZER_GLANCE __attribute__((no_sanitize("address", "thread"), noinline))
#else
#define SANITIZER_GLANCE __attribute__((no_sanitize_address, no_sanitize_thread, noinline))
#endif
/* dump.c. true: it is parked where something outside may wake it. */
bool sleeps_outside(const struct task *t);

/* The calling OS thread if it is ours, else NULL. Out of line and in a file of its own: the
 * compiler may keep neither the value nor the address over a switch. */
struct thread *thread_self(void);
void thread_self_set(struct thread *m);
/* errno of the calling thread, for code that runs in tasks: the address behind the macro may
 * be kept over a switch by the compiler. */
int errno_now(void);

/* observe.c */
/* A line a processor. */
void processors_dump(struct buf *b);

/* task.c */
struct task *task_new(struct processor *p, task_fn fn, void *arg,
                      const struct task_options *options);
/* p == NULL: by who has none. */
void task_free(struct processor *p, struct task *t);
/* Counts an operation that went through without parking; yields when there were many. */
void task_spend(void);
/* Yields, where the caller is a task and not inside a blocking call. */
void task_let_run(void);
/* Frees all descriptors; no task may live. */
void task_slabs_free(void);
/* Calls fn for each descriptor that was ever used, free ones included. */
void task_each(void (*fn)(struct task *t, void *ctx), void *ctx);
/* Calls fn for the memory that descriptors lie in. */
void task_slabs_each(void (*fn)(void *ctx, const void *at, size_t bytes), void *ctx);

/* run.c */
/* Leaves the task's stack, and commits that. */
void task_leave(struct task *t, task_commit_fn commit, void *arg);

/* group.c */
/* Makes t the member of a group without an owner, before anything runs. */
void group_root(struct group *g, struct task *t);
/* These, one group's and listed by `next`, have returned: they leave it. The result is of the
 * first; the others came to none that matters. Between two tasks. */
void group_members_ended(struct task *ended, int result);
/* t, which returned result, may stay in its group for a while if others are found to follow. */
bool group_lets_linger(const struct task *t, int result);
/* Cancels the group with reason, which becomes its result unless it has one. */
void group_fail(struct group *g, int reason);

/* wait.c */
struct wait_timer {
    struct timer timer; /* fn == NULL marks it */
    struct task *task;
    uint64_t epoch;
};
struct task_list {
    struct task *head, *tail;
    unsigned len;
};
static inline void task_list_push(struct task_list *l, struct task *t)
{
    set_relaxed(&t->next, NULL);
    if (l->tail != NULL)
        set_relaxed(&l->tail->next, t);
    else
        l->head = t;
    l->tail = t;
    l->len++;
}
static inline struct task *task_list_pop(struct task_list *l)
{
    struct task *t = l->head;

    if (t == NULL)
        return NULL;
    l->head = get_relaxed(&t->next);
    if (l->head == NULL)
        l->tail = NULL;
    l->len--;
    return t;
}
/* As wait_park; outside = something outside the scheduler can end it. */
int wait_park_outside(struct wait *w, const char *reason, const void *object,
                      uint64_t deadline_ns, bool shielded);
/* Shielded against cancellation, yet with a deadline. */
int wait_park_until(struct wait *w, _Atomic uint32_t *lock, const char *reason,
                    const void *object, uint64_t deadline_ns);
/* Claims the wait of that epoch of t and lets it end with result. true: t must be made
 * runnable by the caller. Any thread; t may be long gone. */
bool wait_finish(struct task *t, uint64_t epoch, int result);
/* Ends the present wait of t, if it may be cancelled, with reason; makes t runnable. */
void wait_cancel(struct task *t, int reason);
/* true: t is parked, and nobody has ended its wait yet. */
bool wait_sleeps(const struct task *t, uint64_t *ret_epoch);
/* Claims the wait of that epoch of t if it may be cancelled. t stays parked, and nobody else
 * can end its wait, until wait_let_go. */
bool wait_seize(struct task *t, uint64_t epoch);
void wait_let_go(struct task *t, uint64_t epoch, int result);
/* {task, low bits of epoch} in one word, for an object with room for one waiter. Never 0 or 1.
 */
uintptr_t wait_tag(const struct wait *w);
/* Claims the wait behind a tag. true: *ret is to be made runnable by the caller. */
bool wait_tag_finish(uintptr_t tag, int result, struct task **ret);

#endif
