#include "tests/lib/shim_vfs.h"

#include "base/rand.h"
#include "storage/sqlite_parts.h"

#include <check.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX 16
#define NAME_BYTES 64
#define SECTOR_BYTES 512
#define PATH_BYTES 512

struct shim_file {
    sqlite3_file base;
    unsigned index; /* in names */
    sqlite3_file *real;
};

struct op {
    enum shim_op kind; /* WRITE, TRUNCATE, SYNC or DELETE */
    unsigned file;
    uint64_t offset; /* or the length after a TRUNCATE */
    size_t len;
    char *data;
};

static sqlite3_vfs *real_vfs;
static sqlite3_mem_methods real_memory;
static char names[FILES_MAX][NAME_BYTES];
static unsigned names_count;
static struct op *ops;
static uint64_t ops_count, ops_cap;
static bool remembers, paused;
static uint64_t counts[SHIM_OP_COUNT], fail_at[SHIM_OP_COUNT];
static int fail_rc[SHIM_OP_COUNT];

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct shim_file *)file)->real;
}

/* Counts an operation: SQLITE_OK, or the result it must answer. */
static int op_fails(enum shim_op kind)
{
    if (paused)
        return SQLITE_OK;
    return ++counts[kind] == fail_at[kind] ? fail_rc[kind] : SQLITE_OK;
}

static unsigned name_index(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    for (unsigned i = 0; i < names_count; i++) {
        if (strcmp(names[i], name) == 0)
            return i;
    }
    ck_assert_uint_lt(names_count, FILES_MAX);
    snprintf(names[names_count], NAME_BYTES, "%s", name);
    return names_count++;
}

static void op_remember(enum shim_op kind, unsigned file, uint64_t offset, const void *data,
                        size_t len)
{
    if (!remembers || paused)
        return;
    if (ops_count == ops_cap) {
        ops_cap = ops_cap ? ops_cap * 2 : 256;
        ops = reallocarray(ops, ops_cap, sizeof *ops);
    }

    struct op *op = &ops[ops_count++];

    *op = (struct op){.kind = kind, .file = file, .offset = offset, .len = len};
    if (len) {
        op->data = malloc(len);
        memcpy(op->data, data, len);
    }
}

static int shim_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int shim_read(sqlite3_file *file, void *data, int len, sqlite3_int64 offset)
{
    int rc = op_fails(SHIM_READ);

    return rc ? rc : real_of(file)->pMethods->xRead(real_of(file), data, len, offset);
}

/* A write that fails has half happened, as on a disk that fills up. */
static int shim_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 offset)
{
    int fails = op_fails(SHIM_WRITE);
    int some = fails ? len / 2 : len;
    int rc = real_of(file)->pMethods->xWrite(real_of(file), data, some, offset);

    op_remember(SHIM_WRITE, ((struct shim_file *)file)->index, (uint64_t)offset, data,
                (size_t)some);
    return fails ? fails : rc;
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int rc = op_fails(SHIM_TRUNCATE);

    if (rc)
        return rc;
    op_remember(SHIM_TRUNCATE, ((struct shim_file *)file)->index, (uint64_t)size, NULL, 0);
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

/* What a failed sync was to write is gone, and no later one brings it back: the kernel takes
 * the pages for clean. */
static void unsynced_lose(unsigned file)
{
    for (uint64_t i = ops_count; i-- > 0;) {
        if (ops[i].file == file && ops[i].kind == SHIM_SYNC)
            return;
        if (ops[i].file == file)
            ops[i].len = 0;
    }
}

static int shim_sync(sqlite3_file *file, int flags)
{
    int rc = op_fails(SHIM_SYNC);

    if (rc) {
        unsynced_lose(((struct shim_file *)file)->index);
        return rc;
    }
    rc = real_of(file)->pMethods->xSync(real_of(file), flags);
    op_remember(SHIM_SYNC, ((struct shim_file *)file)->index, 0, NULL, 0);
    return rc;
}

static int shim_file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), ret);
}

static int shim_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int shim_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int shim_check_lock(sqlite3_file *file, int *ret)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret);
}

static int shim_control(sqlite3_file *file, int op, void *arg)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int shim_sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int shim_characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int shim_shm_map(sqlite3_file *file, int region, int size, int extend,
                        void volatile **ret)
{
    int rc = op_fails(SHIM_SHM);

    return rc ? rc : real_of(file)->pMethods->xShmMap(real_of(file), region, size, extend, ret);
}

static int shim_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void shim_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int shim_shm_unmap(sqlite3_file *file, int delete)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), delete);
}

static const sqlite3_io_methods shim_methods = {
    .iVersion = 2,
    .xClose = shim_close,
    .xRead = shim_read,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_file_size,
    .xLock = shim_lock,
    .xUnlock = shim_unlock,
    .xCheckReservedLock = shim_check_lock,
    .xFileControl = shim_control,
    .xSectorSize = shim_sector_size,
    .xDeviceCharacteristics = shim_characteristics,
    .xShmMap = shim_shm_map,
    .xShmLock = shim_shm_lock,
    .xShmBarrier = shim_shm_barrier,
    .xShmUnmap = shim_shm_unmap,
};

static int shim_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
                     int *ret_flags)
{
    struct shim_file *f = (struct shim_file *)file;
    int rc = op_fails(SHIM_OPEN);

    (void)vfs;
    f->base.pMethods = NULL;
    if (rc)
        return rc;
    f->real = (sqlite3_file *)(f + 1);
    rc = real_vfs->xOpen(real_vfs, path, f->real, flags, ret_flags);
    if (rc != SQLITE_OK)
        return rc;
    f->index = name_index(path ? path : "temporary");
    f->base.pMethods = &shim_methods;
    return SQLITE_OK;
}

static int shim_delete(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
    int rc = op_fails(SHIM_DELETE);

    (void)vfs;
    if (rc)
        return rc;
    rc = real_vfs->xDelete(real_vfs, path, sync_dir);
    if (rc == SQLITE_OK)
        op_remember(SHIM_DELETE, name_index(path), (uint64_t)sync_dir, NULL, 0);
    return rc;
}

static void *shim_malloc(int size)
{
    return op_fails(SHIM_MEMORY) ? NULL : real_memory.xMalloc(size);
}

static void *shim_realloc(void *old, int size)
{
    return op_fails(SHIM_MEMORY) ? NULL : real_memory.xRealloc(old, size);
}

void shim_install(void)
{
    static sqlite3_vfs shim;
    static sqlite3_mem_methods memory;

    if (real_vfs)
        return;
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
    memory = real_memory;
    memory.xMalloc = shim_malloc;
    memory.xRealloc = shim_realloc;
    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_MALLOC, &memory), SQLITE_OK);
    real_vfs = sqlite3_vfs_find(SQLITE_VFS);
    shim = *real_vfs; /* with its name, so that the store finds this one first */
    shim.szOsFile += (int)sizeof(struct shim_file);
    shim.xOpen = shim_open;
    shim.xDelete = shim_delete;
    ck_assert_int_eq(sqlite3_vfs_register(&shim, 1), SQLITE_OK);
}

void shim_reset(int remember)
{
    for (uint64_t i = 0; i < ops_count; i++)
        free(ops[i].data);
    ops_count = 0;
    names_count = 0;
    remembers = remember;
    memset(counts, 0, sizeof counts);
    memset(fail_at, 0, sizeof fail_at);
}

void shim_pause(int pause)
{
    paused = pause;
}

void shim_fail(enum shim_op op, uint64_t nth, int rc)
{
    fail_at[op] = nth ? counts[op] + nth : 0;
    fail_rc[op] = rc;
}

uint64_t shim_count(enum shim_op op)
{
    return counts[op];
}

uint64_t shim_ops(void)
{
    return ops_count;
}

/* A file that is being rebuilt. */
struct image {
    char *data;
    uint64_t len, cap;
    bool exists;
};

static void image_resize(struct image *image, uint64_t len)
{
    if (len > image->cap) {
        image->cap = len * 2;
        image->data = realloc(image->data, image->cap);
    }
    if (len > image->len)
        memset(image->data + image->len, 0, len - image->len);
    image->len = len;
}

static void image_write(struct image *image, const struct op *op, struct rand *tear)
{
    for (size_t at = 0; at < op->len; at += SECTOR_BYTES) {
        size_t len = op->len - at < SECTOR_BYTES ? op->len - at : SECTOR_BYTES;

        if (tear && rand_below(tear, 2))
            continue;
        if (op->offset + at + len > image->len)
            image_resize(image, op->offset + at + len);
        memcpy(image->data + op->offset + at, op->data + at, len);
    }
    image->exists = true;
}

static void image_apply(struct image *image, const struct op *op, struct rand *tear)
{
    if (op->kind == SHIM_WRITE)
        image_write(image, op, tear);
    else if (op->kind == SHIM_TRUNCATE)
        image_resize(image, op->offset);
    else if (op->kind == SHIM_DELETE)
        *image = (struct image){.data = image->data, .cap = image->cap};
}

/* The place of the file's last sync before cut, plus one; a delete that was synced counts. */
static uint64_t durable_until(unsigned file, uint64_t cut)
{
    while (cut > 0) {
        const struct op *op = &ops[--cut];

        if (op->file == file &&
            (op->kind == SHIM_SYNC || (op->kind == SHIM_DELETE && op->offset)))
            return cut + 1;
    }
    return 0;
}

static void image_build(struct image *image, unsigned file, uint64_t cut, struct rand *rand)
{
    uint64_t durable = durable_until(file, cut);

    for (uint64_t i = 0; i < cut; i++) {
        uint64_t fate = i < durable ? 1 : rand_below(rand, 3); /* lost, there, torn */

        if (ops[i].file == file && fate > 0)
            image_apply(image, &ops[i], fate == 2 ? rand : NULL);
    }
}

void shim_rebuild(const char *dir, uint64_t cut, uint64_t seed)
{
    struct rand rand;

    rand_seed(&rand, seed);
    for (unsigned file = 0; file < names_count; file++) {
        struct image image = {.len = 0};
        char path[PATH_BYTES];

        image_build(&image, file, cut, &rand);
        snprintf(path, sizeof path, "%s/%s", dir, names[file]);
        unlink(path);
        if (image.exists) {
            int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

            ck_assert_int_ge(fd, 0);
            ck_assert_int_eq(write(fd, image.data, image.len), (ssize_t)image.len);
            close(fd);
        }
        free(image.data);
    }
}
