/* change.h: how an update changes the core so that it can be undone. Every change of a job goes
 * change_begin, assignments to the entry, change_end: begin writes the entry into the journal
 * and takes it out of the indexes of its state, end puts it into those of its new one.
 *
 * The journal is undone backwards. So when an operation is undone the lists are as they were
 * right after it, an entry's neighbours by age stand where it had left them, and heaps have
 * the room they had: nothing is allocated (I7). Entries of ended jobs, and with them their
 * lanes, are freed only when the update is kept, for the same reason. */
#ifndef JOBS_CHANGE_H
#define JOBS_CHANGE_H

#include "jobs/core_internal.h"

enum change_op_kind { OP_JOB, OP_JOB_NEW, OP_QUEUE, OP_QUEUE_NEW };

struct change_op {
    enum change_op_kind kind;
    uint32_t index; /* of the entry */
    union {
        struct {
            struct entry entry;
            struct extra extra;
        } job; /* as before */
        struct {
            struct queue *queue;
            uint32_t concurrency, key_concurrency;
            bool paused, configured;
        } queue; /* as before */
    };
};

/* A job that the update changes: what its row gets beyond the entry. */
struct change_touch {
    uint32_t index;
    bool insert, keeps_text;
    struct core_submission *submission; /* insert: where the row is */
    const char *result, *error;         /* of the outcome; borrowed */
    int64_t finished_at_ms;
};

struct core_update {
    struct change_op *ops;
    size_t ops_len, ops_cap;
    struct change_touch *touches;
    size_t touches_len, touches_cap;
    struct queue **queues; /* dirty ones */
    size_t queues_len, queues_cap;
    struct attempt_record *attempts; /* strings borrowed */
    size_t attempts_len, attempts_cap;
    struct core_action *actions;
    size_t actions_len, actions_cap;
    struct job *rows; /* of updates; strings borrowed */
    size_t rows_cap;
    struct change *changes;
    size_t changes_len, changes_cap;
    uint32_t *change_touches; /* by change: touch + 1, 0 = none */
    size_t change_touches_cap;
    uint64_t next_id; /* the core's before the update */
    bool open, sync;
};

/* Room for count more items behind len; 0 or -ENOMEM. items: address of the array's pointer. */
int change_room(void *items, size_t len, size_t *cap, size_t count, size_t item_bytes);

/* Opens the update at its first use. */
void change_open(struct core *core, struct core_update *u);
/* Room for changing one job to a state, with an action and an attempt's record: after it
 * change_begin … change_end and the adds below cannot fail. 0 or -ENOMEM. */
int change_reserve(struct core *core, struct core_update *u, uint32_t lane);
struct change_touch *change_begin(struct core *core, struct core_update *u, uint32_t index);
void change_end(struct core *core, struct core_update *u, uint32_t index, enum job_state to,
                enum job_reason reason);
/* Instead of change_end: its state stays what it is, which must be a live one. */
void change_stay(struct core *core, struct core_update *u, uint32_t index);
/* A new job of the lane; room was reserved. 0 or -ENOMEM. Ends with change_end. */
int change_new(struct core *core, struct core_update *u, uint32_t lane, uint64_t id,
               uint32_t *ret_index);
/* The queue of this name, made when missing. 0, -ENOMEM, -ENOSPC. */
int change_queue(struct core *core, struct core_update *u, const char *name,
                 struct queue **ret);
/* Before its settings change; they are assigned after. 0 or -ENOMEM. */
int change_queue_begin(struct core *core, struct core_update *u, struct queue *q);

struct core_action *change_action(struct core *core, struct core_update *u,
                                  enum core_action_kind kind, uint32_t index);
struct attempt_record *change_attempt(struct core_update *u);

/* Puts an entry into the indexes of its state, or takes it out. Heaps have room. */
void change_link(struct core *core, uint32_t index);
void change_unlink(struct core *core, uint32_t index);

/* Marks to return to when a step fails half way. */
struct change_mark {
    size_t ops, touches, queues, attempts, actions;
    uint64_t next_id;
};
struct change_mark change_mark(const struct core *core, const struct core_update *u);
void change_undo(struct core *core, struct core_update *u, const struct change_mark *mark);

#endif
