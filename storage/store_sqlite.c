/* The store on disk: SQLite in WAL mode, one folder, one process.
 *
 * What is in DIR: stint.db (the database), stint.db-wal (the log: commits not yet copied into
 * the database), stint.db-shm (the log's index, shared memory), lock (flock, the owner's pid
 * inside).
 *
 * How it works. One connection writes, commits and checkpoints, all on the engine's commit
 * thread; readers have connections of their own that cannot write. A commit is one transaction:
 * its pages are appended to the log and the log is synced (PRAGMA synchronous=FULL); a relaxed
 * one leaves the sync to the next full commit. schema.h says how a job is laid out,
 * sqlite_wal.c when the log is copied, sqlite_write.c what a commit does.
 *
 * Rejected. Own log file: SQLite's is as fast as the disk at our batch sizes, and people can
 * look into the database with tools they have. Several writers: SQLite has one write lock, so
 * they would only wait inside SQLite rather than in our queue; and see I2. mmap: an IO error
 * would be a SIGBUS instead of an answer. Pages of 8 KiB: a single submission writes twice as
 * much, batches gain little. A check of every page at each open: a crash does not damage the
 * database, and reading all of it would make recovery as slow as history is long; only a small
 * store that was not closed is checked, the rest is for doctor.
 *
 * Invariants
 * I1  Every job has one row in doc and one in either live or done.
 * I2  One connection in one process writes and checkpoints (WAL-reset race, sqlite_wal.c). The
 *     lock file holds other daemons off and says who it is; SQLite's VFS "unix-excl" holds off
 *     everybody else: to them the database is locked as long as the daemon runs. It also keeps
 *     the log's index in memory and its locks in the process, which saves six fcntl a commit
 * and a file that could meet a full disk in the middle of one. I3  No read transaction outlives
 * a call. I4  After a sync that failed nothing is written any more, not even by closing: the
 * kernel may have thrown pages away, and the log must stay as it is for the next open to judge.
 * I5  The files are never opened past SQLite while it has them open: closing any descriptor of
 *     a file drops all POSIX locks that the process has on it.
 *
 * A crash leaves the log, complete up to the last synced commit at least; the next open reads
 * it back. A transaction that was under way has no commit mark in the log and is not there. A
 * migration is one transaction too; before it, a store with data is copied to stint.db.vN. */
#include "storage/store.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/list.h"
#include "base/own.h"
#include "storage/schema.h"
#include "storage/sqlite_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define DB_NAME "stint.db"
#define LOCK_NAME "lock"
#define CHECK_BYTES_MAX (16 * 1024 * 1024) /* read and checked in some 50 ms */
#define PATH_BYTES_MAX 4096
#define PID_BYTES_MAX 32
#define LOCK_LEFT_NS_MAX NS_PER_S

/* EXTRA first: a new file gets its WAL mode by way of a rollback journal, and if a power loss
 * brought that back, the next open would roll back to the empty file and drop the log with all
 * that was acknowledged since. EXTRA syncs the folder when the journal is deleted. */
#define WRITER_SETUP_SQL                                                                       \
    "PRAGMA synchronous=EXTRA; PRAGMA page_size=4096; PRAGMA auto_vacuum=NONE;"                \
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"                                        \
    "PRAGMA wal_autocheckpoint=0; PRAGMA mmap_size=0;"                                         \
    "PRAGMA cache_size=-4096; PRAGMA temp_store=MEMORY; PRAGMA secure_delete=OFF;"             \
    "PRAGMA trusted_schema=OFF;"

/* One sentence for people; the result is passed through. */
__attribute__((format(printf, 3, 4))) static int explain(char *why, int r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, STORE_WHY_BYTES, fmt, ap);
    va_end(ap);
    return r;
}

static int explain_errno(char *why, int r, const char *what, const char *dir)
{
    return explain(why, r, "cannot %s in %s: %s", what, dir, strerrordesc_np(-r));
}

/* Before SQLite's first use in the process: without its global count of memory, an allocation
 * takes no global mutex. */
static void sqlite_prepare_process(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_initialize();
}

/* Who signed the lock file; 0 when nobody did. */
static pid_t lock_owner(int dir_fd)
{
    OWN_BUF struct buf pid = BUF_INIT;

    if (io_file_read(dir_fd, LOCK_NAME, PID_BYTES_MAX, &pid) < 0)
        return 0;
    return (pid_t)strtol(buf_str(&pid), NULL, 10);
}

static bool is_gone(pid_t pid)
{
    return pid > 0 && kill(pid, 0) < 0 && errno == ESRCH;
}

static int explain_locked(int dir_fd, const char *dir, char *why)
{
    pid_t pid = lock_owner(dir_fd);

    if (pid <= 0)
        return explain(why, STORE_LOCKED, "another process uses %s: stop it first", dir);
    if (is_gone(pid))
        return explain(why, STORE_LOCKED,
                       "process %ld is gone, but a child of it (or stintd --doctor) still uses "
                       "%s: stop that first",
                       (long)pid, dir);
    return explain(why, STORE_LOCKED, "process %ld uses %s: stop it first", (long)pid, dir);
}

/* The pid is for people to read; on a full disk it may be missing. */
static void lock_sign(int fd)
{
    char pid[PID_BYTES_MAX];
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) == 0)
        (void)io_pwrite_all(fd, pid, (size_t)len, 0);
}

/* An owner that was killed while it started a command leaves the lock to the child until that
 * has closed what it inherited, which is soon: there is no reason to refuse a restart. */
static int lock_wait(const struct sqlite_store *s)
{
    const struct timespec pause = {.tv_nsec = 2 * NS_PER_MS};
    uint64_t end_ns = clock_mono_ns() + LOCK_LEFT_NS_MAX;

    while (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return -errno;
        if (!is_gone(lock_owner(s->dir_fd)) || clock_mono_ns() > end_ns)
            return STORE_LOCKED;
        nanosleep(&pause, NULL);
    }
    return 0;
}

static int lock_take(struct sqlite_store *s, const char *dir, char *why)
{
    s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0)
        return explain_errno(why, -errno, "open the folder of the store", dir);
    s->lock_fd = openat(s->dir_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0)
        return explain_errno(why, -errno, "write the lock file", dir);

    int r = lock_wait(s);
    if (r == STORE_LOCKED)
        return explain_locked(s->dir_fd, dir, why);
    if (r < 0)
        return explain_errno(why, r, "lock the lock file", dir);
    lock_sign(s->lock_fd);
    return 0;
}

/* Creates the file with a mode of its own, which SQLite gives to the log too, and makes its
 * name durable. */
static int file_create(struct sqlite_store *s, const char *dir, char *why)
{
    OWN_FD int fd = openat(s->dir_fd, DB_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return explain_errno(why, -errno, "open " DB_NAME, dir);
    if (fsync(s->dir_fd) < 0)
        return explain_errno(why, -errno, "sync the folder", dir);
    return 0;
}

/* A log with something in it: the last owner did not close. */
static bool was_not_closed(int dir_fd)
{
    struct stat st;

    return fstatat(dir_fd, DB_NAME "-wal", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > 0;
}

static bool is_small(int dir_fd)
{
    struct stat st;

    return fstatat(dir_fd, DB_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           st.st_size <= CHECK_BYTES_MAX;
}

static int explain_sqlite(struct sqlite_store *s, int r, const char *dir, char *why)
{
    int code = s->db ? sqlite3_errcode(s->db) & 0xff : SQLITE_OK;

    if (code == SQLITE_NOTADB)
        return explain(why, STORE_BROKEN, "%s/" DB_NAME " is not a database: restore a backup",
                       dir);
    if (code == SQLITE_CORRUPT)
        return explain(why, STORE_BROKEN, "%s/" DB_NAME " is damaged (%s): restore a backup",
                       dir, sqlite3_errmsg(s->db));
    return explain(why, r, "cannot open %s/" DB_NAME ": %s (%s)", dir, strerrordesc_np(-r),
                   s->db ? sqlite3_errmsg(s->db) : "no connection");
}

static int connect_to(struct sqlite_store *s, const char *name, int flags, const char *vfs)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, sqlite_prepare_process);
    return sqlite_errno(s->db, sqlite3_open_v2(name, &s->db, flags | SQLITE_OPEN_NOMUTEX, vfs));
}

static int connection_open(struct sqlite_store *s, const char *dir, char *why)
{
    char path[PATH_BYTES_MAX];
    int len = snprintf(path, sizeof path, "%s/" DB_NAME, dir);

    if (len < 0 || len >= PATH_BYTES_MAX)
        return explain(why, -ENAMETOOLONG, "the name of the store's folder is too long");

    int r = connect_to(s, path, SQLITE_OPEN_READWRITE, SQLITE_VFS);

    if (r < 0)
        return explain_sqlite(s, r, dir, why);
    sqlite3_extended_result_codes(s->db, 1);
    s->path = sqlite3_db_filename(s->db, "main");
    return 0;
}

/* The version that is there, if this build may touch it. */
static int version_read(struct sqlite_store *s, const char *dir, unsigned *ret, char *why)
{
    int r = schema_read(s->db, ret);

    if (r < 0)
        return explain_sqlite(s, r, dir, why);
    if (r == SCHEMA_FOREIGN)
        return explain(why, STORE_BROKEN,
                       "%s/" DB_NAME " belongs to another program: choose another folder", dir);
    if (*ret > SCHEMA_VERSION)
        return explain(why, STORE_NEWER,
                       "the store in %s has version %u, this program knows up to %u: "
                       "use the newer program",
                       dir, *ret, SCHEMA_VERSION);
    return 0;
}

/* A copy of the store as it was, kept for the day when somebody wants to go back. */
static int copy_before(struct sqlite_store *s, unsigned version)
{
    char name[64], partial[80];

    snprintf(name, sizeof name, DB_NAME ".v%u", version);
    snprintf(partial, sizeof partial, "%s.partial", name);
    if (unlinkat(s->dir_fd, partial, 0) < 0 && errno != ENOENT)
        return -errno;

    char *sql = sqlite3_mprintf("VACUUM INTO '%.*q%q'",
                                (int)(strlen(s->path) - strlen(DB_NAME)), s->path, partial);
    int r = sql ? sqlite_run(s->db, sql) : -ENOMEM;

    sqlite3_free(sql);
    if (r == 0 && renameat(s->dir_fd, partial, s->dir_fd, name) < 0)
        r = -errno;
    return r == 0 && fsync(s->dir_fd) < 0 ? -errno : r;
}

static int migrate(struct sqlite_store *s, unsigned from, unsigned to)
{
    int r = from && from != to ? copy_before(s, from) : 0;

    s->schema = to;
    return r < 0 || from == to ? r : schema_migrate(s->db, to);
}

/* A file that we must not touch is left before anything is set, as the WAL mode is written. */
static int version_bring(struct sqlite_store *s, const char *dir, unsigned to, char *why)
{
    unsigned from;
    int r = version_read(s, dir, &from, why);

    if (r != 0)
        return r;
    r = sqlite_run(s->db, WRITER_SETUP_SQL);
    if (r < 0)
        return explain_sqlite(s, r, dir, why);
    r = migrate(s, from, to);
    if (r < 0)
        return explain(
            why, r, "cannot bring the store in %s from version %u to %u, it is as it was: %s",
            dir, from, to, strerrordesc_np(-r));
    return 0;
}

/* Pages of a small store after a crash. */
static int check_quickly(struct sqlite_store *s, const char *dir, char *why)
{
    int64_t troubles = 0;
    int r = sqlite_ask(s->db,
                       "SELECT count(*) FROM pragma_quick_check(1) WHERE quick_check <> 'ok'",
                       &troubles);

    if (r < 0)
        return explain_sqlite(s, r, dir, why);
    if (troubles > 0)
        return explain(why, STORE_BROKEN,
                       "%s/" DB_NAME " is damaged: restore a backup or ask stint doctor", dir);
    return 0;
}

static void sqlite_close_store(struct store *store)
{
    struct sqlite_store *s = container_of(store, struct sqlite_store, base);

    sqlite_reader_deinit(&s->writer_view);
    sqlite_cache_deinit(&s->cache);
    if (s->db && s->refuses)
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(s->db);
    free(s->rows);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    free(s);
}

static struct store_reader *sqlite_writer_reader(struct store *store)
{
    return &container_of(store, struct sqlite_store, base)->writer_view.base;
}

static void sqlite_info(struct store *store, struct store_info *ret)
{
    struct sqlite_store *s = container_of(store, struct sqlite_store, base);

    *ret = (struct store_info){
        .engine = s->engine,
        .schema = s->schema,
        .schema_newest = SCHEMA_VERSION,
        .file_bytes = atomic_load_explicit(&s->file_bytes, memory_order_relaxed),
        .wal_bytes = atomic_load_explicit(&s->wal_bytes, memory_order_relaxed),
        .commits = atomic_load_explicit(&s->commits, memory_order_relaxed),
        .changes = atomic_load_explicit(&s->changes, memory_order_relaxed),
        .syncs = atomic_load_explicit(&s->syncs, memory_order_relaxed),
    };
}

static const struct store_ops sqlite_ops = {
    .close = sqlite_close_store,
    .commit = sqlite_commit,
    .tend = sqlite_tend,
    .tend_due = sqlite_tend_due,
    .settle = sqlite_settle,
    .max_id = sqlite_max_id,
    .next_epoch = sqlite_next_epoch,
    .reply_find = sqlite_reply_find,
    .writer_reader = sqlite_writer_reader,
    .reader_open = sqlite_reader_open,
    .reader_close = sqlite_reader_close,
    .job_get = sqlite_job_get,
    .spec_get = sqlite_spec_get,
    .live_each = sqlite_live_each,
    .job_list = sqlite_job_list,
    .attempt_each = sqlite_attempt_each,
    .queue_each = sqlite_queue_each,
    .final_each = sqlite_final_each,
    .check = sqlite_check,
    .backup_open = sqlite_backup_open,
    .backup_step = sqlite_backup_step,
    .backup_close = sqlite_backup_close,
    .info = sqlite_info,
};

static struct sqlite_store *store_new(void)
{
    struct sqlite_store *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->base.ops = &sqlite_ops;
    s->dir_fd = s->lock_fd = -1;
    s->syncs_commits = true;
    snprintf(s->engine, sizeof s->engine, "sqlite %s", sqlite3_libversion());
    return s;
}

/* Folder, lock, connection, version; then the store can be migrated or used. */
static int store_begin(struct sqlite_store *s, const char *dir, unsigned schema, char *why)
{
    int r = fault_at("store.open");

    if (r < 0)
        return explain_errno(why, r, "open the store", dir);
    r = lock_take(s, dir, why);
    if (r == 0)
        r = file_create(s, dir, why);

    bool check = r == 0 && was_not_closed(s->dir_fd) && is_small(s->dir_fd);

    if (r == 0)
        r = connection_open(s, dir, why);
    if (r == 0)
        r = version_bring(s, dir, schema, why);
    if (r == 0 && check)
        r = check_quickly(s, dir, why);
    return r;
}

static int ready(struct sqlite_store *s, const char *dir, char *why)
{
    int r = sqlite_writer_init(s);

    if (r == 0)
        r = sqlite_reader_init(&s->writer_view, &sqlite_ops, s->db, false);
    return r < 0 ? explain_sqlite(s, r, dir, why) : 0;
}

static void own_store_close(struct store **store)
{
    store_close(*store);
}

int store_open_sqlite(const char *dir, struct store **ret, char *why)
{
    struct sqlite_store *s = store_new();

    if (!s)
        return explain(why, -ENOMEM, "no memory for the store");

    __attribute__((cleanup(own_store_close))) struct store *store = &s->base;
    int r = store_begin(s, dir, SCHEMA_VERSION, why);

    if (r == 0)
        sqlite_wal_init(s);
    if (r == 0)
        r = ready(s, dir, why);
    if (r == 0)
        *ret = TAKE(store);
    return r;
}

/* --- looking, for doctors: nothing on the disk changes --- */

/* Keeps daemons off as long as we look, and each other's looks on. A folder without a lock file
 * has had no daemon since its files were put there, and ours could be in the way of the first:
 * whoever looks may be another user than who works. */
static int lock_share(struct sqlite_store *s, const char *dir, char *why)
{
    s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0)
        return explain_errno(why, -errno, "open the folder of the store", dir);
    s->lock_fd = openat(s->dir_fd, LOCK_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (s->lock_fd < 0 && errno != ENOENT)
        return explain_errno(why, -errno, "open the lock file", dir);
    if (s->lock_fd >= 0 && flock(s->lock_fd, LOCK_SH | LOCK_NB) < 0)
        return explain_locked(s->dir_fd, dir, why);
    return 0;
}

/* With a log, what it has is read from it; its index is kept in memory, as SQLite's locks are
 * left out and the connection says that it is alone. Without one, SQLite would make an empty
 * log: then the database is the whole of it, and stands still as long as we have the lock. The
 * folder is named by its descriptor, as a name in a URI would have to be escaped. */
static int look_open(struct sqlite_store *s, const char *dir, char *why)
{
    char uri[96];
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;

    snprintf(uri, sizeof uri, "file:/proc/self/fd/%d/" DB_NAME "%s", s->dir_fd,
             was_not_closed(s->dir_fd) ? "" : "?immutable=1");

    int r = connect_to(s, uri, flags, "unix-none");

    s->refuses = true; /* whatever would be written, also by closing */
    if (r == 0)
        r = sqlite_run(s->db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA query_only=1;"
                              "PRAGMA trusted_schema=OFF;");
    if (r < 0)
        return explain_sqlite(s, r, dir, why);
    sqlite3_extended_result_codes(s->db, 1);
    return version_read(s, dir, &s->schema, why);
}

int store_look_sqlite(const char *dir, struct store **ret, char *why)
{
    struct sqlite_store *s = store_new();

    if (!s)
        return explain(why, -ENOMEM, "no memory for the store");

    __attribute__((cleanup(own_store_close))) struct store *store = &s->base;
    int r = lock_share(s, dir, why);

    if (r == 0)
        r = look_open(s, dir, why);
    if (r == 0)
        r = ready(s, dir, why);
    if (r == 0)
        *ret = TAKE(store);
    return r;
}

int store_migrate_sqlite(const char *dir, unsigned schema, char *why)
{
    if (schema == 0 || schema > SCHEMA_VERSION)
        return explain(why, -EINVAL, "this program knows versions 1 to %u", SCHEMA_VERSION);

    struct sqlite_store *s = store_new();

    if (!s)
        return explain(why, -ENOMEM, "no memory for the store");

    int r = store_begin(s, dir, schema, why);

    store_close(&s->base);
    return r;
}
