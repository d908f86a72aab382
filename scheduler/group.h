/* group.h: tasks with one end. There is no other way to start a task, so none lives without
 * somebody who waits for it: "only start a task if you know when and how it ends".
 *
 *     struct group g;
 *     group_open(&g, "copy");
 *     r = group_go(&g, copy_one, file);         -> 0, -ECANCELED, -ENOMEM
 *     r = group_wait(&g);                       -> first error of a member, or 0
 *     r = group_close(&g);                      -> cancels what is left, waits, ends the group
 *
 * A group belongs to the task that opened it and lives in that task's frame; it must be closed
 * before the frame ends. Cancelling a task cancels the groups it has open, and so all below.
 * Under GROUP_FAIL_FAST (the default) a member's error cancels its siblings. */
#ifndef SCHEDULER_GROUP_H
#define SCHEDULER_GROUP_H

#include "base/list.h"
#include "scheduler/scheduler.h"

#include <stdatomic.h>

struct task;

enum group_policy {
    GROUP_FAIL_FAST,  /* the first error cancels the others and is the group's result */
    GROUP_COLLECT,    /* errors cancel nobody; the first is the group's result */
    GROUP_FIRST_WINS, /* the first success cancels the others */
};

enum stack_class {
    STACK_SMALL,
    STACK_NORMAL,
    STACK_LARGE,
    STACK_HUGE
}; /* 16 64 256 1024 KiB */

struct task_options {
    const char *name;       /* of static storage; shown in dumps */
    const char *site;       /* "file.c:42"; group_go fills it in */
    enum stack_class stack; /* group_go: STACK_NORMAL */
    bool background; /* does not keep the program alive in the eyes of deadlock detection */
    bool quiet;      /* its starter is about to park: no other processor is told */
};

struct group {
    /* All fields are the scheduler's. */
    const char *name;
    struct task *owner;
    struct group *parent;  /* group of the owner, for reports */
    struct list open_link; /* in the owner's list of open groups; guarded by tree lock */
    struct list members;   /* tasks; guarded by lock */
    _Atomic uint32_t lock;
    uint32_t live;  /* members that have not ended; guarded by lock */
    uint32_t limit; /* 0 = none; guarded by lock */
    enum group_policy policy;
    int result;            /* first error; guarded by lock */
    _Atomic int cancelled; /* 0, or the negative errno that blocking calls answer */
    struct list waiters;   /* parked in wait, close or a full spawn; guarded by lock */
    uint64_t grace_ns;
    struct group_timer *timer; /* of the deadline, or NULL */
    bool won;                  /* under GROUP_FIRST_WINS; guarded by lock */
    bool closed;
};

void group_open(struct group *g, const char *name);
/* Before the first spawn. */
void group_policy(struct group *g, enum group_policy policy);
/* At most n members live at once: group_spawn then parks its caller. Before the first spawn. */
void group_limit(struct group *g, unsigned n);
/* At that time all members are cancelled with -ETIMEDOUT as the group's result. 0 = never. */
int group_deadline(struct group *g, uint64_t at_ns);
/* A close that takes longer than this logs every child by its spawn site. Default 5 s. */
void group_grace(struct group *g, uint64_t ns);

/* Starts fn(arg) as a member. 0; -ECANCELED when the group or caller is cancelled; -ENOMEM;
 * -EAGAIN when no stack could be had. On failure fn never runs and arg stays the caller's. Any
 * member of the group, its owner, or a task below them may call it. It is an operation like any
 * other: after many of them the caller yields. */
int group_spawn(struct group *g, task_fn fn, void *arg, const struct task_options *options);

#define GROUP_STR2(x) #x
#define GROUP_STR(x) GROUP_STR2(x)
#define group_go(g, fn, arg)                                                                   \
    group_spawn((g), (fn), (arg),                                                              \
                &(const struct task_options){.name = #fn,                                      \
                                             .site = __FILE__ ":" GROUP_STR(__LINE__),         \
                                             .stack = STACK_NORMAL})
#define group_go_stack(g, fn, arg, class)                                                      \
    group_spawn((g), (fn), (arg),                                                              \
                &(const struct task_options){                                                  \
                    .name = #fn, .site = __FILE__ ":" GROUP_STR(__LINE__), .stack = (class)})

/* Parks until no member lives; the group stays open for more. First error, 0, or -ECANCELED
 * when the caller itself is cancelled (members are cancelled then too, and still waited for).
 */
int group_wait(struct group *g);
/* Every member's next (or present) blocking call answers reason (-ECANCELED, -ETIMEDOUT). Any
 * thread that knows the group to be open. */
void group_cancel(struct group *g, int reason);
/* Cancels, waits (shielded), and ends the group. Result as group_wait; a second call is
 * harmless. */
int group_close(struct group *g);
/* Waits like group_wait, then ends the group: the usual last line. */
int group_join(struct group *g);

#endif
