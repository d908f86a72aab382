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
#define SIM_CRASHES_MAX 3

/* What the model knows of a job; by id. */
struct sim_job {
    bool acknowledged;    /* or found in the store after a crash */
    enum job_state final; /* 0 = not yet */
    uint32_t fence;       /* of its last start */
    uint32_t crashes;
    uint32_t holds; /* attempts that asked for a human, whose release grants one more */
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

struct sim_key {
    uint64_t first_id, fingerprint; /* 0 = not used */
    int64_t at_ms;
};

struct sim {
    uint64_t seed, round;
    struct rand rand;
    int64_t now_ms, latest_ms; /* the latter never goes back: what was forgotten stays so */
    FILE *story;
    char *why;
    bool failed, settling;
    struct sim_totals *totals;
    struct store *store;
    struct commit *commit;
    uint64_t epoch;
    struct core_limits limits;
    struct sim_job jobs[SIM_JOBS_MAX];
    uint64_t ids; /* highest id in the store */
    struct sim_attempt attempts[SIM_ATTEMPTS_MAX];
    struct sim_key keys[SIM_KEYS];
    /* the open round */
    struct commit_item items[SIM_ITEMS_MAX], *list[SIM_ITEMS_MAX];
    struct sim_attempt *item_attempts[SIM_ITEMS_MAX];
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

/* sim_model.c */
void sim_model_actions(struct sim *s); /* after a round that was kept */
void sim_model_answers(struct sim *s);
void sim_model_look(struct sim *s, bool closely); /* V1, V5, V6 */
void sim_model_tell(struct sim *s);               /* what the core holds, into the story */
void sim_model_reload(struct sim *s); /* after a crash: what the store has, stands */

#endif
