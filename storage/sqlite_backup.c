/* A copy of the store while it is at work. SQLite's backup reads through the writer's own
 * connection: pages that commits change meanwhile are written to the copy as well, so that it
 * needs no read transaction, holds up no checkpoint, and is the state of the last commit. */
#include "storage/sqlite_parts.h"

#include "base/fault.h"
#include "base/list.h"
#include "base/own.h"
#include "storage/schema.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct sqlite_backup {
    struct store_backup base;
    sqlite3 *from; /* the writer's */
    sqlite3 *to;
    sqlite3_backup *work;
    char *path, *partial;
    int lock_fd; /* of the partial file: who has it locked still works on it */
    bool made;   /* the partial file is ours to take away */
};

#define HEADER_BYTES 100 /* of a database */
#define HEADER_APPLICATION_AT 68

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

/* Whether a copy of ours can have left the file: its first page is a store's, or was not
 * written yet. */
static bool header_is_ours(int fd)
{
    static const char magic[] = "SQLite format 3"; /* with its end: 16 bytes */
    static const unsigned char zeros[HEADER_BYTES];
    unsigned char head[HEADER_BYTES] = {0};
    unsigned application;

    if (pread(fd, head, sizeof head, 0) < 0)
        return false;
    memcpy(&application, head + HEADER_APPLICATION_AT, sizeof application);
    return memcmp(head, zeros, sizeof head) == 0 ||
           (memcmp(head, magic, sizeof magic) == 0 &&
            application == htobe32(SCHEMA_APPLICATION_ID));
}

/* Takes away what a copy left that was cut off with its daemon; -EEXIST when it may be anything
 * else, -EBUSY when the copy still goes on. The name is looked at again under the lock:
 * somebody else may have taken the file away and begun anew. */
static int stale_remove(const char *partial)
{
    OWN_FD int fd = open(partial, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat found, named;

    if (fd < 0)
        return errno == ENOENT ? 0 : -EEXIST;
    if (fstat(fd, &found) < 0 || !S_ISREG(found.st_mode) || found.st_uid != geteuid() ||
        !header_is_ours(fd))
        return -EEXIST;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -EBUSY;
    if (lstat(partial, &named) < 0 || named.st_ino != found.st_ino ||
        named.st_dev != found.st_dev)
        return -EBUSY;
    return unlink(partial) < 0 ? -errno : 0;
}

static int partial_make(struct sqlite_backup *b)
{
    int r = stale_remove(b->partial);

    if (r < 0)
        return r;
    b->lock_fd = open(b->partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (b->lock_fd < 0)
        return -errno;
    if (flock(b->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return -EBUSY;
    b->made = true;
    return 0;
}

/* A journal of the cut copy is not minded: SQLite drops that of an empty file. */
static int copy_open(struct sqlite_backup *b)
{
    int made = partial_make(b);

    if (made < 0)
        return made;

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
    if (r < 0)
        return r;

    int rc = sqlite3_close(b->to);

    if (rc != SQLITE_OK) /* then it is not closed, and can be asked why */
        return sqlite_errno(b->to, rc);
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
    b->lock_fd = -1;
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
    if (b->lock_fd >= 0)
        close(b->lock_fd);
    free(b->partial);
    free(b->path);
    free(b);
}
