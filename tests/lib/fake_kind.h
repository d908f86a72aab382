/* fake_kind.h: an engine on a real scheduler and the store in memory, whose jobs do what their
 * first word says: ok, fail, useless, wait (at a gate, until they are let through or stopped).
 */
#ifndef TESTS_LIB_FAKE_KIND_H
#define TESTS_LIB_FAKE_KIND_H

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "jobs/engine.h"
#include "scheduler/semaphore.h"
#include "tests/lib/folder.h"
#include "tests/lib/scheduled.h"

#include <string.h>

OWN_DEFINE(struct job, job_free);

/* ----- a kind that does what its first word says ----- */

static struct semaphore gate, began;
static atomic_int running, running_most;
static _Atomic int64_t grace_seen;

static inline void note_start(void)
{
    int now = atomic_fetch_add(&running, 1) + 1, most = atomic_load(&running_most);

    while (now > most && !atomic_compare_exchange_weak(&running_most, &most, now))
        ;
    semaphore_give(&began, 1);
}

/* Until the gate lets it through, or it is stopped. */
static inline void wait_at_gate(const struct attempt *attempt, struct outcome *ret)
{
    if (semaphore_take(&gate, 0) == 0)
        return;
    ret->kind = OUTCOME_STOPPED;
    atomic_store(&grace_seen, atomic_load(attempt->stop_grace_ms));
}

static inline void fake_run(const struct attempt *attempt, struct outcome *ret)
{
    const char *word = attempt->spec->exec.argv[0];

    note_start();
    joblog_write(attempt->log, STREAM_STDOUT, word, strlen(word));
    if (strcmp(word, "fail") == 0)
        outcome_fail(ret, OUTCOME_FAILED, REASON_EXIT_NONZERO, "it said no");
    else if (strcmp(word, "useless") == 0)
        outcome_fail(ret, OUTCOME_FAILED_FINAL, REASON_EXIT_NONZERO, "never");
    else if (strcmp(word, "wait") == 0)
        wait_at_gate(attempt, ret);
    if (ret->kind == OUTCOME_SUCCEEDED)
        ret->result = str_dup("{\"exit_code\":0}");
    atomic_fetch_sub(&running, 1);
}

static const struct kind fake = {"exec", fake_run};
static const struct kind *const fakes[KIND_COUNT] = {[KIND_EXEC] = &fake};

/* ----- a scheduler, a store, an engine ----- */

static char *folder;
static struct store *store;
static struct kind_config config;
static struct engine_options options;
static struct engine *engine;
static struct group attempts;

static inline void engine_begin(void)
{
    char why[STORE_WHY_BYTES];

    group_open(&attempts, "attempts");
    group_policy(&attempts, GROUP_COLLECT);
    int r = engine_open(&options, &attempts, &engine, why);
    ck_assert_msg(r == 0, "%s", why);
}

static inline void engine_end(void)
{
    ck_assert_int_eq(engine_drain(engine, 0), 0);
    engine_close(engine);
    group_close(&attempts);
}

struct story {
    void (*fn)(void);
};

static inline int tell(void *arg)
{
    struct story *story = arg;

    engine_begin();
    story->fn();
    engine_end();
    return 0;
}

/* Where stories are remembered: in memory, unless a test wants a file. */
static bool story_on_disk;

static inline void story_store_open(void)
{
    char why[STORE_WHY_BYTES] = "";
    int r = story_on_disk ? store_open_sqlite(folder, &store, why) : store_open_memory(&store);

    ck_assert_msg(r == 0, "%s", why);
}

static inline void story_run(unsigned processors, void (*fn)(void))
{
    struct story story = {fn};

    log_setup(2, LOG_TEXT, LOG_ERROR);
    folder = folder_new();
    story_store_open();
    config = (struct kind_config){.state_dir = folder, .log_bytes_max = 1 << 20};
    options.store = store;
    options.kinds = &config;
    options.kind_table = fakes;
    options.seed = 1;
    semaphore_init(&gate, 0);
    semaphore_init(&began, 0);
    scheduled(processors, tell, &story);
    store_close(store);
    folder_remove(folder);
}

#define STORY(name)                                                                            \
    static void name##_story(void);                                                            \
    START_TEST(name)                                                                           \
    {                                                                                          \
        story_run(2, name##_story);                                                            \
    }                                                                                          \
    END_TEST                                                                                   \
    static void name##_story(void)

static inline struct spec *spec(const char *text)
{
    struct spec_fault fault;
    struct spec *ret = NULL;
    int r = spec_from_text(text, strlen(text), &ret, &fault);

    ck_assert_msg(r == 0, "%s %s", fault.pointer, fault.what);
    return ret;
}

static inline int try_submit(const char *text, uint64_t *ret)
{
    struct spec *one = spec(text);
    bool replayed;

    return engine_submit(engine, &one, 1, NULL, ret, &replayed);
}

static inline uint64_t submit(const char *text)
{
    uint64_t id;

    ck_assert_int_eq(try_submit(text, &id), ENGINE_OK);
    return id;
}

#define OK "{\"exec\":{\"argv\":[\"ok\"]}}"
#define WAIT "{\"exec\":{\"argv\":[\"wait\"]}}"
#define FAIL_TWICE                                                                             \
    "{\"exec\":{\"argv\":[\"fail\"]},\"retry\":{\"max_attempts\":2,\"base\":\"1ms\"}}"
#define USELESS "{\"exec\":{\"argv\":[\"useless\"]}}"

#define LONG (clock_mono_ns() + 30 * NS_PER_S)

static inline void began_wait(void)
{
    ck_assert_int_eq(semaphore_take(&began, LONG), 0);
}

/* The job once it has ended. */
static inline struct job *ended(uint64_t id)
{
    struct job *job = NULL;

    ck_assert_int_eq(engine_wait(engine, id, LONG, &job), ENGINE_OK);
    return job;
}

static inline void ends_as(uint64_t id, enum job_state state, enum job_reason reason)
{
    OWN(job_free) struct job *job = ended(id);

    ck_assert_str_eq(job_state_name(job->state), job_state_name(state));
    ck_assert_int_eq(job->reason, reason);
}

static inline void is_now(uint64_t id, enum job_state state)
{
    OWN(job_free) struct job *job = NULL;

    ck_assert_int_eq(engine_get(engine, id, &job), ENGINE_OK);
    ck_assert_str_eq(job_state_name(job->state), job_state_name(state));
}

#endif
