#include "tests/lib/rig.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/own.h"
#include "jobs/spec.h"
#include "scheduler/scheduler.h"
#include "scheduler/task.h"
#include "tests/lib/folder.h"

#include <check.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AWAIT_NS (10 * NS_PER_S)

static int root(void *arg)
{
    struct rig *rig = arg;

    ck_assert_int_eq(joblogs_open(rig->dir, rig->config.log_bytes_max, &rig->logs), 0);
    group_open(&rig->group, "kinds");
    ck_assert_int_eq(kinds_open(&rig->config, &rig->group, &rig->kinds), 0);
    rig->body(rig);
    kinds_close(rig->kinds);
    group_close(&rig->group);
    joblogs_close(rig->logs);
    return 0;
}

void rig_run(const char *dir, const struct kind_config *config, void (*body)(struct rig *rig))
{
    const struct scheduler_options options = {.processors = 2, .seed = 20261123};
    char *own = dir ? NULL : folder_new();
    struct rig rig = {
        .dir = own ? own : (char *)(uintptr_t)dir, .config = *config, .body = body};

    rig.config.state_dir = rig.dir;
    setlocale(LC_CTYPE, "C.UTF-8"); /* as the daemon does: names in archives */
    ck_assert_int_eq(scheduler_run(&options, root, &rig), 0);
    folder_remove(own);
}

static int shoot(void *arg)
{
    struct shot *shot = arg;
    static const struct kind *const kinds[KIND_COUNT] = {
        [KIND_EXEC] = &kind_exec, [KIND_FILE] = &kind_file};

    kinds[shot->spec->kind]->run(&shot->attempt, &shot->outcome);
    event_set(&shot->ended);
    return 0;
}

void shot_start(struct rig *rig, struct shot *shot, const char *document, uint64_t id,
                uint32_t fence)
{
    struct spec_fault fault = {0};

    memset(shot, 0, sizeof *shot);
    shot->rig = rig;
    int r = spec_from_text(document, strlen(document), &shot->spec, &fault);
    ck_assert_msg(r == 0, "%s %s: %s", document, fault.pointer, fault.what);
    shot->job = (struct job){.id = id,
                             .kind = shot->spec->kind,
                             .attempt = fence,
                             .fence = fence,
                             .queue = shot->spec->queue};
    shot->grace_ms = -1;
    ck_assert_int_eq(joblog_start(rig->logs, id, fence, &shot->log), 0);
    shot->attempt = (struct attempt){
        .job = &shot->job,
        .spec = shot->spec,
        .log = shot->log,
        .config = &rig->config,
        .stop_grace_ms = &shot->grace_ms,
        .progress_bytes = &shot->progress_bytes,
        .kinds = rig->kinds,
    };
    event_init(&shot->ended);
    group_open(&shot->group, "shot");
    ck_assert_int_eq(group_go_stack(&shot->group, shoot, shot, STACK_LARGE), 0);
}

void shot_cancel(struct shot *shot, int reason)
{
    group_cancel(&shot->group, reason);
}

void shot_wait(struct shot *shot)
{
    event_wait_shielded(&shot->ended);
    group_close(&shot->group);
    joblog_end(shot->log);
    shot->log = NULL;
}

void shot_end(struct shot *shot)
{
    outcome_deinit(&shot->outcome);
    spec_free(shot->spec);
}

void shot_fire(struct rig *rig, struct shot *shot, const char *document)
{
    static _Atomic uint64_t id;

    shot_start(rig, shot, document, ++id, 1);
    shot_wait(shot);
}

char *shot_output(struct shot *shot, enum log_stream stream)
{
    OWN_BUF struct buf b = BUF_INIT;
    struct joblog_view view;

    ck_assert_int_eq(joblog_view(shot->rig->logs, shot->job.id, shot->job.fence, &view), 0);
    ck_assert_int_eq(joblog_read_stream(&view, stream, 0, view.bytes, &b), 0);
    if (view.fd >= 0)
        close(view.fd);
    if (view.index_fd >= 0)
        close(view.index_fd);
    buf_puts(&b, "");
    char *text = buf_take(&b);
    return text ? text : strdup("");
}

void rig_await(const char *path)
{
    uint64_t deadline_ns = clock_mono_ns() + AWAIT_NS;

    while (access(path, F_OK) < 0) {
        ck_assert_msg(clock_mono_ns() < deadline_ns, "%s never came", path);
        task_sleep_ns(NS_PER_MS);
    }
}

int64_t shot_int(const struct shot *shot, const char *key)
{
    json_t *json = json_loads(shot->outcome.result ? shot->outcome.result : "{}", 0, NULL);
    const json_t *value = json_object_get(json, key);

    ck_assert_msg(json_is_integer(value), "%s in %s", key, shot->outcome.result);
    int64_t number = json_integer_value(value);
    json_decref(json);
    return number;
}
