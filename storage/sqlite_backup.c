/* A copy of the store while it is at work. SQLite's backup reads through the writer's own
 * connection: pages that commits change meanwhile are written to the copy as well, so that it
 * needs no read transaction, holds up no checkpoint, and is the state of the last commit. */
#include "storage/sqlite_parts.h"

#include "base/fault.h"
#include "base/list.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sqlite_backup {
    struct store_backup base;
    sqlite3 *from; /* the writer's */
    sqlite3 *to;
    sqlite3_backup *work;
    char *path, *partial;
    bool made; /* the partial file is ours to take away */
};

/* The new name must survive a power loss too. */
static int folder_sync(const char *path)
{
    char *copy = strdup(path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int r = fd < 0 ? -errno : 0;

    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (fd >= 0)
        close(fd);
    free(copy);
    return r;
}

static int copy_open(struct sqlite_backup *b)
{
    int fd = open(b->partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return -errno;
    close(fd);
    b->made = true;

    int rc =
        sqlite3_open_v2(b->partial, &b->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    int r = sqlite_errno(b->to, rc);

    if (r < 0)
        return r;
    b->work = sqlite3_backup_init(b->to, "main", b->from, "main");
    return b->work ? 0 : sqlite_errno(b->to, sqlite3_errcode(b->to));
}

/* Closing the copy's connection ends its last transaction, synced, before it gets its name. */
static int copy_finish(struct sqlite_backup *b)
{
    int r = sqlite_errno(b->to, sqlite3_backup_finish(b->work));

    b->work = NULL;
    if (r == 0)
        r = sqlite_errno(b->to, sqlite3_close(b->to));
    if (r < 0)
        return r;
    b->to = NULL;
    if (access(b->path, F_OK) == 0)
        return -EEXIST;
    if (rename(b->partial, b->path) < 0)
        return -errno;
    b->made = false;
    return folder_sync(b->path);
}

int sqlite_backup_open(struct store *store, const char *path, struct store_backup **ret)
{
    struct sqlite_store *s = container_of(store, struct sqlite_store, base);
    struct sqlite_backup *b = access(path, F_OK) == 0 ? NULL : calloc(1, sizeof *b);

    if (!b)
        return access(path, F_OK) == 0 ? -EEXIST : -ENOMEM;
    b->base.ops = store->ops;
    b->from = s->db;
    b->path = strdup(path);
    if (!b->path || asprintf(&b->partial, "%s.partial", path) < 0)
        b->partial = NULL;

    int r = b->partial ? copy_open(b) : -ENOMEM;

    if (r < 0)
        sqlite_backup_close(&b->base);
    else
        *ret = &b->base;
    return r;
}

int sqlite_backup_step(struct store_backup *backup, unsigned pages)
{
    struct sqlite_backup *b = container_of(backup, struct sqlite_backup, base);
    int r = fault_at("store.backup");

    if (r < 0 || !b->work)
        return r;

    int rc = sqlite3_backup_step(b->work, (int)pages);

    if (rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
        return 1;
    return rc == SQLITE_DONE ? copy_finish(b) : sqlite_errno(b->to, rc);
}

void sqlite_backup_close(struct store_backup *backup)
{
    struct sqlite_backup *b = container_of(backup, struct sqlite_backup, base);

    if (b->work)
        sqlite3_backup_finish(b->work);
    sqlite3_close(b->to);
    if (b->made)
        unlink(b->partial);
    free(b->partial);
    free(b->path);
    free(b);
}
