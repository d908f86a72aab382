/* suspects.h: which tasks can only be woken by each other. Internal to deadlock detection.
 *
 * A picture of all tasks is taken, with what each waits for. Whoever runs, can run, waits for
 * something outside or has a deadline is alive. All others are suspects, taken for dead until
 * one of these shows the contrary, again and again until nothing changes:
 *
 *     waits for                       may be woken when
 *     mutex                           its owner may run again, or it has none just now
 *     end of a group                  every member may
 *     place in a group                one member may
 *     channel, select                 somebody who may run knows (one of) the channel(s)
 *     condition, semaphore,           it lies where such a one can come: not in a frame of a
 *     wait group                      suspect's stack that no such one points into
 *
 * The first three are known. "Knows" is decided by memory.c, or not at all: then
 * those are alive. To be cancelled is nobody's right to be woken, or nothing below a server
 * that may still be stopped would ever be dead; but a deadline of a group above is, and so is a
 * sibling that may win a group. */
#ifndef SCHEDULER_SUSPECTS_H
#define SCHEDULER_SUSPECTS_H

#include "scheduler/core.h"
#include "scheduler/reach.h"
#include "scheduler/wait.h"

#define SUSPECTS_TASKS_MAX (1U << 18)
#define SUSPECTS_TARGETS_MAX (1U << 18)
#define SUSPECTS_FRAMES_MAX 64
/* Where switch_context leaves the frame pointer, counted from sp. */
#if defined(__x86_64__)
#define SUSPECTS_FRAME_WORD 6
#else
#define SUSPECTS_FRAME_WORD 0
#endif

enum suspect_kind {
    NO_SUSPECT,
    ON_MUTEX,
    ON_GROUP,
    ON_PLACE,
    ON_CHAN,
    ON_SELECT,
    ON_OBJECT, /* that lies in the program's memory */
};

struct suspect {
    struct task *task;
    uint64_t id, epoch;
    const void *object;
    struct group *group;
    uintptr_t sp, top; /* of its stack; 0 = it has none yet */
    uintptr_t arg;
    const struct list *open; /* groups */
    uint32_t home;           /* its group, in suspects.groups */
    uint32_t at;      /* the mutex's owner, the group waited for, or whose stack holds object */
    uint8_t kind;     /* enum suspect_kind */
    uint8_t at_frame; /* in that stack */
    bool dead;        /* so far */
    bool reached;     /* its object is known to somebody who may run */
    bool read;        /* all of its stack was read */
    /* Frames, from the youngest, that somebody points into, and those that were read. */
    uint64_t frames, frames_read;
};

struct suspect_group {
    struct group *group;
    uint32_t dead;   /* members */
    uint8_t excused; /* enum excused, of all its members in this pass */
};

/* Memory of a suspect: a channel that it waits for, or its stack in use. */
struct suspect_range {
    uintptr_t begin, end;
    uint32_t suspect;
};

#define NOBODY UINT32_MAX

/* Far too large for a stack: mapped, and given back after each look. */
struct suspects {
    struct suspect tasks[SUSPECTS_TASKS_MAX];
    struct suspect_group groups[SUSPECTS_TASKS_MAX];
    struct suspect_range targets[SUSPECTS_TARGETS_MAX]; /* in the order of begin, */
    struct suspect_range stacks[SUSPECTS_TASKS_MAX];    /* as are these */
    unsigned count, groups_count, targets_count, stacks_count;
    unsigned suspected; /* of count */
    unsigned young;     /* sleep not long enough yet to be suspected */
    bool quiet;         /* nobody runs, can run or is in a blocking call */
    bool whole;         /* all tasks found room */
    uint64_t now_ns, age_ns;
    uintptr_t reader_low; /* of the reader's stack; 0 = not known yet */
    struct reach reach;
};

/* Takes the picture: who slept for age_ns without a deadline is suspected. */
void suspects_collect(struct suspects *s, uint64_t age_ns);
/* Finds out what the suspects wait for. */
void suspects_resolve(struct suspects *s);
/* Lets go all whose wait is ended by something else than the table above. true: there were. */
bool suspects_excuse(struct suspects *s);
/* Decides from memory whose channels, and things in frames, somebody knows who may run. 0; or
 * a negative errno, and nothing is decided: -EINTR when go_on did not want it to. */
int suspects_read(struct suspects *s, bool (*go_on)(void *ctx));
/* One pass over the table; true when somebody turned out to be alive. */
bool suspects_pass(struct suspects *s);
/* Suspects that are still taken for dead. */
unsigned suspects_dead(const struct suspects *s);
/* All that are taken for dead sleep as they slept in the picture. */
bool suspects_confirm(const struct suspects *s);
/* In which frame of x's stack `at` lies, counted from the youngest; ret_range: the frame. */
unsigned suspects_frame(const struct suspects *s, const struct suspect *x, uintptr_t at,
                        struct range *ret_range);
/* The task whose stack holds `at`; NOBODY. Only those that have one in use. */
uint32_t suspects_stack_of(const struct suspects *s, uintptr_t at);

#endif
