/* The write-ahead log: when it is copied into the database file, and how long it may grow.
 *
 * SQLite before 3.51.3 can lose committed frames when two connections write or checkpoint at
 * one time (the WAL-reset race). Here the writer's connection alone does both: automatic
 * checkpoints are off, readers are read-only and do not checkpoint when they close (I2).
 *
 * Idle, the log is copied above WAL_IDLE_BYTES: a copy costs a few milliseconds, which a single
 * client that submits one job after another should meet once in hundreds. Under load nobody is
 * ever idle, so a commit copies first when the log has passed WAL_BOUND_BYTES; a larger log
 * means fewer copies of pages that change often. Above WAL_LONG_BYTES the log was held up by a
 * reader: then it is emptied, waiting up to WAL_WAIT_MS for readers.
 *
 * A log that was emptied by copying is written again from its start. That is worth having:
 * writing over bytes that exist, fdatasync has no new length to record, and a single commit
 * takes 0.6 of the time (ext4). So an idle writer lengthens a short log with zeros, once;
 * frames end where salts do not match, so zeros mean nothing.
 */
#include "storage/sqlite_parts.h"

#include "base/fault.h"
#include "base/list.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#define WAL_WARM_BYTES (8 * 1024 * 1024)
#define WAL_WARM_STEP_BYTES (1024 * 1024) /* so that a commit that comes waits little */
#define WAL_WARM_ROOM 16                  /* the disk must have so many times that */
#define WAL_IDLE_BYTES WAL_WARM_BYTES
#define WAL_BOUND_BYTES (24 * 1024 * 1024)
#define WAL_LONG_BYTES (64 * 1024 * 1024)
#define WAL_STEP_BYTES (8 * 1024 * 1024) /* between two tries against a reader in the way */
#define WAL_WAIT_MS 50
#define WAL_FRAME_HEADER_BYTES 24
#define PAGE_BYTES 4096
#define ZEROS_BYTES 65536
#define ROWS_KEPT 1024 /* of a batch, for the next one */

static int wal_grew(void *ctx, sqlite3 *db, const char *schema, int frames)
{
    struct sqlite_store *s = ctx;

    (void)db;
    (void)schema;
    atomic_store_explicit(&s->wal_bytes,
                          (uint64_t)frames * (PAGE_BYTES + WAL_FRAME_HEADER_BYTES),
                          memory_order_relaxed);
    return SQLITE_OK;
}

static sqlite3_file *file_of(struct sqlite_store *s, int which)
{
    sqlite3_file *file = NULL;
    int rc = sqlite3_file_control(s->db, "main", which, &file);

    return rc == SQLITE_OK && file && file->pMethods ? file : NULL;
}

static uint64_t file_size(sqlite3_file *file)
{
    sqlite3_int64 size = 0;

    if (!file || file->pMethods->xFileSize(file, &size) != SQLITE_OK)
        return 0;
    return (uint64_t)size;
}

/* Reader locks were gone or the copy stopped before them; both are well. A failed sync is not:
 * what the kernel has thrown away, the next sync would call written. The log still has it, so
 * nothing is lost as long as nobody copies again before the next open. */
static void checkpoint(struct sqlite_store *s, int mode)
{
    int in_log = 0, copied = 0;
    int r = fault_at("store.checkpoint");

    if (r == 0) {
        int rc = sqlite3_wal_checkpoint_v2(s->db, "main", mode, &in_log, &copied);

        r = sqlite_errno(s->db, rc);
    }
    if (r == 0 && in_log == copied)
        atomic_store(&s->wal_bytes, 0);
    if (mode == SQLITE_CHECKPOINT_TRUNCATE)
        s->log_is_long = false;
    if (r == -EIO)
        s->refuses = true;
    s->checkpoint_bytes = atomic_load(&s->wal_bytes) + WAL_STEP_BYTES;
    if (s->checkpoint_bytes < WAL_BOUND_BYTES)
        s->checkpoint_bytes = WAL_BOUND_BYTES;
    atomic_store(&s->file_bytes, file_size(file_of(s, SQLITE_FCNTL_FILE_POINTER)));
}

static void checkpoint_waiting(struct sqlite_store *s, int mode)
{
    sqlite3_busy_timeout(s->db, WAL_WAIT_MS);
    checkpoint(s, mode);
    sqlite3_busy_timeout(s->db, 0);
}

static bool has_room(const struct sqlite_store *s)
{
    struct statvfs st;

    return fstatvfs(s->dir_fd, &st) == 0 &&
           (uint64_t)st.f_bavail * st.f_frsize >= (uint64_t)WAL_WARM_BYTES * WAL_WARM_ROOM;
}

/* The length is asked for only until it is enough: since Linux 6.13 a file that was looked at
 * gets a new time with its next write, and that makes another block for fdatasync to write. */
static void wal_warm(struct sqlite_store *s)
{
    static const char zeros[ZEROS_BYTES];
    sqlite3_file *log = s->log_is_long ? NULL : file_of(s, SQLITE_FCNTL_JOURNAL_POINTER);
    uint64_t size = file_size(log);
    int rc = SQLITE_OK;

    s->log_is_long = s->log_is_long || size >= WAL_WARM_BYTES || (size > 0 && !has_room(s));
    if (!log || size == 0 || s->log_is_long)
        return;
    for (uint64_t end = size + WAL_WARM_STEP_BYTES; size < end && rc == SQLITE_OK;
         size += ZEROS_BYTES)
        rc = log->pMethods->xWrite(log, zeros, ZEROS_BYTES, (sqlite3_int64)size);
    if (log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) != SQLITE_OK)
        s->refuses = true;
}

void sqlite_wal_init(struct sqlite_store *s)
{
    s->checkpoint_bytes = WAL_BOUND_BYTES;
    sqlite3_wal_hook(s->db, wal_grew, s);
    atomic_store(&s->file_bytes, file_size(file_of(s, SQLITE_FCNTL_FILE_POINTER)));
    atomic_store(&s->wal_bytes, file_size(file_of(s, SQLITE_FCNTL_JOURNAL_POINTER)));
}

void sqlite_wal_bound(struct sqlite_store *s)
{
    uint64_t bytes = atomic_load_explicit(&s->wal_bytes, memory_order_relaxed);

    if (bytes < s->checkpoint_bytes)
        return;
    if (bytes < WAL_LONG_BYTES)
        checkpoint(s, SQLITE_CHECKPOINT_PASSIVE);
    else
        checkpoint_waiting(s, SQLITE_CHECKPOINT_RESTART);
}

void sqlite_settle(struct store *store, uint64_t log_bytes)
{
    struct sqlite_store *s = container_of(store, struct sqlite_store, base);

    if (!s->refuses && atomic_load_explicit(&s->wal_bytes, memory_order_relaxed) >= log_bytes)
        checkpoint(s, SQLITE_CHECKPOINT_PASSIVE);
}

bool sqlite_tend_due(const struct store *store)
{
    const struct sqlite_store *s = container_of(store, const struct sqlite_store, base);

    return s->rows_cap > ROWS_KEPT || (!s->refuses && !s->log_is_long) ||
           atomic_load_explicit(&s->wal_bytes, memory_order_relaxed) >= WAL_IDLE_BYTES;
}

void sqlite_tend(struct store *store)
{
    struct sqlite_store *s = container_of(store, struct sqlite_store, base);
    uint64_t bytes = atomic_load_explicit(&s->wal_bytes, memory_order_relaxed);

    if (s->refuses)
        return;
    if (bytes >= WAL_LONG_BYTES)
        checkpoint_waiting(s, SQLITE_CHECKPOINT_TRUNCATE);
    else if (bytes >= WAL_IDLE_BYTES)
        checkpoint(s, SQLITE_CHECKPOINT_PASSIVE);
    if (!s->refuses)
        wal_warm(s);
    free(s->rows);
    s->rows = NULL;
    s->rows_cap = 0;
}
