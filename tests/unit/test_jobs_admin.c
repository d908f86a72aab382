/* Retention, copies and the doctor, on an engine whose store is a file. */
#include "jobs/engine_admin.h"

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "tests/lib/folder.h"
#include "tests/lib/scheduled.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

OWN_DEFINE(struct job, job_free);

#define OK "{\"exec\":{\"argv\":[\"ok\"]}}"
#define FAIL "{\"exec\":{\"argv\":[\"fail\"]},\"retry\":{\"max_attempts\":1}}"
#define HELD "{\"exec\":{\"argv\":[\"ok\"]},\"hold\":true}"
#define LONG (clock_mono_ns() + 30 * NS_PER_S)

static void fake_run(const struct attempt *attempt, struct outcome *ret)
{
    const char *word = attempt->spec->exec.argv[0];

    joblog_write(attempt->log, STREAM_STDOUT, word, strlen(word));
    if (strcmp(word, "fail") == 0)
        outcome_fail(ret, OUTCOME_FAILED, REASON_EXIT_NONZERO, "it said no");
}

static const struct kind fake = {"exec", fake_run};
static const struct kind *const fakes[KIND_COUNT] = {[KIND_EXEC] = &fake};

static char *folder;
static struct engine *engine;

struct story {
    void (*fn)(void);
    struct engine_options options;
};

static int tell(void *arg)
{
    struct story *story = arg;
    struct group attempts;
    char why[STORE_WHY_BYTES];

    group_open(&attempts, "attempts");
    group_policy(&attempts, GROUP_COLLECT);
    ck_assert_int_eq(engine_open(&story->options, &attempts, &engine, why), 0);
    story->fn();
    ck_assert_int_eq(engine_drain(engine, 0), 0);
    engine_close(engine);
    group_close(&attempts);
    return 0;
}

static void story_in(const char *dir, void (*fn)(void))
{
    struct kind_config config = {.state_dir = dir, .log_bytes_max = 1 << 20};
    struct story story = {fn, {.kinds = &config, .kind_table = fakes, .seed = 1, .readers = 1}};
    char why[STORE_WHY_BYTES];
    struct store *store;

    ck_assert_msg(store_open_sqlite(dir, &store, why) == 0, "%s", why);
    story.options.store = store;
    scheduled(2, tell, &story);
    store_close(store);
}

static void story_run(void (*fn)(void))
{
    log_setup(2, LOG_TEXT, LOG_ERROR);
    folder = folder_new();
    story_in(folder, fn);
    folder_remove(folder);
}

#define STORY(name)                                                                            \
    static void name##_story(void);                                                            \
    START_TEST(name)                                                                           \
    {                                                                                          \
        story_run(name##_story);                                                               \
    }                                                                                          \
    END_TEST                                                                                   \
    static void name##_story(void)

static uint64_t submit(const char *text)
{
    struct spec_fault fault;
    struct spec *spec = NULL;
    uint64_t id;
    bool replayed;

    ck_assert_int_eq(spec_from_text(text, strlen(text), &spec, &fault), 0);
    ck_assert_int_eq(engine_submit(engine, &spec, 1, NULL, &id, &replayed), ENGINE_OK);
    return id;
}

static uint64_t run(const char *text)
{
    OWN(job_free) struct job *job = NULL;
    uint64_t id = submit(text);

    ck_assert_int_eq(engine_wait(engine, id, LONG, &job), ENGINE_OK);
    return id;
}

static bool is_there(uint64_t id)
{
    OWN(job_free) struct job *job = NULL;
    int r = engine_get(engine, id, &job);

    ck_assert(r == ENGINE_OK || r == ENGINE_NOT_FOUND);
    return r == ENGINE_OK;
}

static const char *path_in(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static bool has_log(uint64_t id)
{
    char name[64];

    snprintf(name, sizeof name, "log/%llu.1.log", (unsigned long long)id);
    return access(path_in(name), F_OK) == 0;
}

/* ----- retention ----- */

static void keep(int64_t succeeded_ms, int64_t failed_ms)
{
    struct keep_settings settings = {
        .keep_ms = {[JOB_SUCCEEDED] = succeeded_ms, [JOB_FAILED] = failed_ms}};

    engine_keep(engine, &settings);
}

static void removed_reaches(uint64_t count)
{
    uint64_t until_ns = LONG;

    while (engine_removed(engine) < count && clock_mono_ns() < until_ns)
        ck_assert_int_eq(task_sleep_ns(NS_PER_MS), 0);
    ck_assert_uint_eq(engine_removed(engine), count);
}

/* The time to keep is to pass before the walk; the walk that follows must come by itself. */
STORY(old_jobs_go_with_their_logs_and_others_stay)
{
    enum { COUNT = 300 / SLOWDOWN };
    uint64_t held = submit(HELD), failed = run(FAIL), done[COUNT];

    for (int i = 0; i < COUNT; i++)
        done[i] = run(OK);
    ck_assert(has_log(done[0]) && has_log(failed));
    ck_assert_uint_eq(engine_removed(engine), 0);
    keep(1, 3600 * 1000);
    removed_reaches(COUNT);
    for (int i = 0; i < COUNT; i++)
        ck_assert(!is_there(done[i]) && !has_log(done[i]));
    ck_assert(is_there(held) && is_there(failed) && has_log(failed));
    ck_assert_uint_gt(run(OK), done[COUNT - 1]);
    removed_reaches(COUNT + 1);
}

STORY(new_settings_count_at_once)
{
    uint64_t done = run(OK), failed = run(FAIL);

    keep(3600 * 1000, 3600 * 1000);
    run(OK);
    ck_assert_uint_eq(engine_removed(engine), 0);
    keep(0, 1);
    removed_reaches(1);
    ck_assert(is_there(done));
    ck_assert(!is_there(failed));
}

/* ----- copies ----- */

static atomic_bool enough;
static _Atomic uint64_t newest;

static int submit_until_enough(void *arg)
{
    (void)arg;
    while (!atomic_load(&enough)) {
        atomic_store(&newest, submit(HELD));
        ck_assert_int_eq(task_yield(), 0);
    }
    return 0;
}

static uint64_t acknowledged;

static void copy_story(void)
{
    struct backup_result result = {0};
    struct group g;

    group_open(&g, "load");
    ck_assert_int_eq(group_go(&g, submit_until_enough, NULL), 0);
    while (atomic_load(&newest) < 200)
        ck_assert_int_eq(task_sleep_ns(NS_PER_MS), 0);
    acknowledged = atomic_load(&newest);
    ck_assert_int_eq(engine_backup(engine, path_in("restored/stint.db"), &result), 0);
    ck_assert_uint_gt(result.bytes, 4096);
    ck_assert_uint_gt(result.took_ns, 0);
    atomic_store(&enough, true);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_int_ne(access(path_in("restored/stint.db.partial"), F_OK), 0);
}

static void restored_story(void)
{
    struct doctor_report report;

    for (uint64_t id = 1; id <= acknowledged; id++)
        ck_assert_msg(is_there(id), "job %llu", (unsigned long long)id);
    ck_assert_int_eq(engine_doctor(engine, &report), ENGINE_OK);
    ck_assert_uint_eq(report.findings_count, 0);
    doctor_report_deinit(&report);
    ck_assert_uint_gt(submit(HELD), acknowledged);
}

START_TEST(a_copy_under_load_has_all_that_was_acknowledged)
{
    log_setup(2, LOG_TEXT, LOG_ERROR);
    folder = folder_new();
    ck_assert_int_eq(mkdir(path_in("restored"), 0700), 0);
    story_in(folder, copy_story);
    OWN(free) char *restored = str_dup(path_in("restored"));
    story_in(restored, restored_story);
    folder_remove(folder);
}
END_TEST

STORY(a_copy_overwrites_nothing)
{
    struct backup_result result;
    int fd = open(path_in("mine"), O_WRONLY | O_CREAT, 0600);

    ck_assert_int_eq(write(fd, "x", 1), 1);
    close(fd);
    ck_assert_int_eq(engine_backup(engine, path_in("mine"), &result), -EEXIST);
    ck_assert_int_eq(engine_backup(engine, path_in("none/copy"), &result), -ENOENT);
    ck_assert_int_eq(engine_backup(engine, path_in("copy"), &result), 0);
    ck_assert_int_eq(engine_backup(engine, path_in("copy"), &result), -EEXIST);
}

/* ----- the doctor ----- */

STORY(a_sound_store_has_no_findings)
{
    struct doctor_report report;

    run(OK);
    run(FAIL);
    submit(HELD);
    ck_assert_int_eq(engine_doctor(engine, &report), ENGINE_OK);
    ck_assert_uint_eq(report.findings_count, 0);
    ck_assert_uint_eq(report.skipped_count, 0);
    ck_assert_uint_gt(report.took_ns, 0);
    doctor_report_deinit(&report);
}

int main(void)
{
    return SUITE_MAIN("jobs_admin", old_jobs_go_with_their_logs_and_others_stay,
                      new_settings_count_at_once,
                      a_copy_under_load_has_all_that_was_acknowledged,
                      a_copy_overwrites_nothing, a_sound_store_has_no_findings);
}
