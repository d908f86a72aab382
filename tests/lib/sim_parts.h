/* sim_parts.h: the world and its model, for sim*.c. */
#ifndef TESTS_LIB_SIM_PARTS_H
#define TESTS_LIB_SIM_PARTS_H

#include "base/rand.h"
#include "jobs/commit.h"
#include "tests/lib/sim.h"

#define SIM_JOBS_MAX 512
#define SIM_ATTEMPTS_MAX 16
#define SIM_ITEMS_MAX 24
#define SIM_QUEUES 3
#define SIM_ATTEMPT_MS 3000
#define SIM_KEYS 6
#define SIM_MAX_ATTEMPTS 3
#define SIM_WORKERS 6
#define SIM_ASKS 2
#define SIM_ASK_MAX 3
#define SIM_WORKER_USUAL "{\"worker\":{}}"
#define SIM_WORKER_BRIEF                                                                       \
    "{\"worker\":{\"lease\":\"2s\"},\"timeout\":\"4s\","                                       \
    "\"retry\":{\"max_attempts\":3,\"base\":\"500ms\",\"cap\":\"5s\"}}"
#define SIM_CRASHES_MAX 3

/* What the model knows of a job; by id. */
struct sim_job {
    bool acknowledged;    /* or found in the store after a crash */
    enum job_state final; /* 0 = not yet */
    uint32_t fence;       /* of its last start */
    uint32_t crashes;
    bool leased;            /* as far as was told */
    bool stopping;          /* its worker may be given up at any time */
    int64_t lease_until_ms; /* at least */
    uint32_t holds;         /* attempts that asked for a human, whose release grants one more */
};

struct sim_attempt {
    bool live, ending; /* ending: its end was given to a round, and not yet taken */
    uint64_t id;
    uint32_t fence;
    enum job_kind kind;
    unsigned queue;
    char key; /* of the job's key the first letter, 0 = none */
    int64_t ends_at_ms;
    struct outcome outcome;
};

/* A program elsewhere, and the job it thinks it has. */
struct sim_worker {
    bool busy;
    bool unanswered; /* what it said last may have been heard */
    uint64_t id;
    uint32_t fence;
    int64_t until_ms, deadline_ms, ends_at_ms;
    struct outcome outcome;
};

struct sim_key {
    uint64_t first_id, fingerprint; /* 0 = not used */
    int64_t at_ms;
};

struct sim {
    uint64_t seed, round;
    struct rand rand;
    int64_t now_ms, latest_ms; /* the latter never goes back: what was forgotten stays so */
    int64_t round_ms;          /* when the last round began, which knew of no later time */
    FILE *story;
    char *why;
    bool failed, settling;
    bool kept; /* the last round happened, and there was no crash since */
    struct sim_totals *totals;
    struct store *store;
    struct commit *commit;
    uint64_t epoch;
    struct core_limits limits;
    struct sim_job jobs[SIM_JOBS_MAX];
    uint64_t ids; /* highest id in the store */
    struct sim_attempt attempts[SIM_ATTEMPTS_MAX];
    struct sim_key keys[SIM_KEYS];
    struct sim_worker workers[SIM_WORKERS];
    struct list asks; /* of the open round */
    struct lease_ask ask[SIM_ASKS];
    struct core_lease leases[SIM_ASKS][SIM_ASK_MAX];
    /* the open round */
    struct commit_item items[SIM_ITEMS_MAX], *list[SIM_ITEMS_MAX];
    struct sim_attempt *item_attempts[SIM_ITEMS_MAX];
    struct sim_worker *item_workers[SIM_ITEMS_MAX];
    int item_keys[SIM_ITEMS_MAX]; /* -1 = none */
    size_t items_len;
    struct job rows[SIM_ITEMS_MAX * 4];
    struct core_submission submissions[SIM_ITEMS_MAX * 4];
    size_t rows_len;
};

void sim_say(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The first failure stands. */
void sim_fail(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint64_t sim_below(struct sim *s, uint64_t bound);
bool sim_chance(struct sim *s, unsigned percent);
extern const char *const sim_queues[SIM_QUEUES];

struct commit_item *sim_item_add(struct sim *s, struct core_input input);

/* sim_lease.c */
const char *sim_lease_document(struct sim *s, bool *ret_usual);
uint32_t sim_lease_attempts_max(const struct job *job);
void sim_lease_ask(struct sim *s);     /* fills asks */
void sim_lease_speak(struct sim *s);   /* adds items */
void sim_lease_given(struct sim *s);   /* after a round that was kept and answered */
void sim_lease_refused(struct sim *s); /* after one that failed */
void sim_lease_answered(struct sim *s, struct sim_worker *w, const struct commit_item *item);
void sim_lease_unanswered(struct sim_worker *w);

/* sim_model.c */
struct job *sim_model_row(struct sim *s, uint64_t id); /* NULL: V1, and said so */
/* A job that was just leased: bounds of its queue and of time (V4). */
void sim_model_lease_limits(struct sim *s, const struct job *job);
void sim_model_actions(struct sim *s); /* after a round that was kept */
void sim_model_answers(struct sim *s);
void sim_model_look(struct sim *s, bool closely); /* V1, V5, V6 */
void sim_model_tell(struct sim *s);               /* what the core holds, into the story */
void sim_model_reload(struct sim *s); /* after a crash: what the store has, stands */

#endif
