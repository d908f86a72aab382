/* engine_backup.c: a copy of the store while it works. The copy belongs to the commit task,
 * which makes a few pages of it between two rounds; the task that wants it asks for step after
 * step, and syncs what is there now and then, so that the last step, which syncs the rest, has
 * little to wait for. */
#include "base/clock.h"
#include "base/log.h"
#include "jobs/engine_admin.h"
#include "jobs/engine_internal.h"
#include "scheduler/block.h"
#include "scheduler/task.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP_PAGES_FIRST 16
#define STEP_PAGES_MAX 1024
#define STEP_SLOW_NS (4 * NS_PER_MS) /* then the next one is half as large */
#define STEP_FAST_NS (1 * NS_PER_MS) /* then twice */
#define SYNC_PAGES 1024

struct copying {
    const char *path;
    unsigned pages;    /* of the next step */
    unsigned unsynced; /* pages since the last sync */
    int result;
};

/* ----- on the commit task ----- */

static void look_open(struct engine *e, void *ctx)
{
    struct copying *copying = ctx;

    if (e->rounds.backup)
        copying->result = ENGINE_CONFLICT;
    else
        copying->result = store_backup_open(e->options.store, copying->path, &e->rounds.backup);
}

static void look_step(struct engine *e, void *ctx)
{
    struct copying *copying = ctx;
    uint64_t began_ns = clock_mono_ns(), took_ns;

    copying->result = store_backup_step(e->rounds.backup, copying->pages);
    copying->unsynced += copying->pages;
    took_ns = clock_mono_ns() - began_ns;
    if (took_ns > STEP_SLOW_NS && copying->pages > 1)
        copying->pages /= 2;
    else if (took_ns < STEP_FAST_NS && copying->pages < STEP_PAGES_MAX)
        copying->pages *= 2;
}

static void look_close(struct engine *e, void *ctx)
{
    (void)ctx;
    store_backup_close(e->rounds.backup);
    e->rounds.backup = NULL;
}

/* ----- in the task ----- */

/* Whatever the backlog: what was begun must be gone on with, and ended. */
static int ask(struct engine *e, struct copying *copying,
               void (*look)(struct engine *engine, void *ctx))
{
    struct request request = {.kind = REQUEST_LOOK, .look = look, .ctx = copying};

    while (engine_ask(e, &request) != ENGINE_OK)
        task_yield();
    return copying->result;
}

/* No other process knows the file, so that the locks which SQLite loses with this descriptor
 * are missed by nobody. A sync that fails will fail again in the last step. */
static void sync_partial(const char *path)
{
    char partial[4096];
    int fd;

    snprintf(partial, sizeof partial, "%s.partial", path);
    block_enter_long(BLOCK_FILE);
    fd = open(partial, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0) {
        fdatasync(fd);
        close(fd);
    }
    block_leave();
}

static int copy(struct engine *e, struct copying *copying)
{
    int r;

    while ((r = ask(e, copying, look_step)) == 1) {
        if (copying->unsynced >= SYNC_PAGES) {
            sync_partial(copying->path);
            copying->unsynced = 0;
        }
        r = task_cancelled();
        if (r < 0)
            return r;
    }
    return r;
}

static int size_of(const char *path, uint64_t *ret)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return -errno;
    *ret = (uint64_t)st.st_size;
    return 0;
}

int engine_backup(struct engine *e, const char *path, struct backup_result *ret)
{
    struct copying copying = {.path = path, .pages = STEP_PAGES_FIRST};
    uint64_t began_ns = clock_mono_ns();
    int r = ask(e, &copying, look_open);

    if (r != 0)
        return r;
    r = copy(e, &copying);
    ask(e, &copying, look_close);
    if (r < 0)
        return r;
    block_enter(BLOCK_FILE);
    r = size_of(path, &ret->bytes);
    block_leave();
    ret->took_ns = clock_mono_ns() - began_ns;
    if (r == 0)
        log_info("store.copied", LOG_STR("path", path), LOG_U64("bytes", ret->bytes),
                 LOG_U64("took_ms", ret->took_ns / NS_PER_MS));
    return r;
}
