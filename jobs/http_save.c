#include "jobs/http_save.h"

#include "base/fault.h"
#include "base/io.h"
#include "base/own.h"
#include "scheduler/block.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#define SAVED_MODE 0644

/* Blocks. An earlier attempt may have left the part, or somebody a link in its place. */
static int make_part(struct http_save *save)
{
    if (unlinkat(save->place.dir_fd, save->part, 0) < 0 && errno != ENOENT)
        return -errno;
    save->fd = openat(save->place.dir_fd, save->part,
                      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, SAVED_MODE);
    return save->fd < 0 ? -errno : 0;
}

/* Blocks. */
static int write_part(struct http_save *save, const void *data, size_t len)
{
    int r = save->fd < 0 ? make_part(save) : 0;

    if (r == 0)
        r = fault_at("http.save");
    return r == 0 ? io_write_all(save->fd, data, len) : r;
}

/* Blocks. */
static int sync_and_rename(struct http_save *save)
{
    if (fsync(save->fd) < 0 ||
        renameat(save->place.dir_fd, save->part, save->place.dir_fd, save->place.name) < 0)
        return -errno;
    save->part[0] = 0;

    OWN_FD int folder = openat(save->place.dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder < 0 || fsync(folder) < 0 ? -errno : 0;
}

int http_save_init(struct http_save *save, char *const *roots, const char *path,
                   uint64_t job_id, uint64_t bytes_max)
{
    *save = (struct http_save){.place.dir_fd = -1, .fd = -1, .bytes_max = bytes_max};
    snprintf(save->part, sizeof save->part, ".stint-%" PRIu64 ".part", job_id);
    if (roots == NULL)
        return -EXDEV;
    block_enter(BLOCK_FILE);
    int r = file_roots_place(roots, path, &save->place);
    block_leave();
    return r;
}

int http_save_write(struct http_save *save, const void *data, size_t len)
{
    if (len > save->bytes_max - save->bytes)
        return -EFBIG;
    block_enter(BLOCK_FILE);
    int r = write_part(save, data, len);
    block_leave();
    if (r == 0)
        save->bytes += len;
    return r;
}

int http_save_commit(struct http_save *save)
{
    block_enter_long(BLOCK_FILE);
    int r = save->fd < 0 ? make_part(save) : 0;
    if (r == 0)
        r = sync_and_rename(save);
    block_leave();
    return r;
}

void http_save_deinit(struct http_save *save)
{
    if (save->fd >= 0) {
        block_enter(BLOCK_FILE);
        close(save->fd);
        if (save->part[0] != 0)
            unlinkat(save->place.dir_fd, save->part, 0);
        block_leave();
        save->fd = -1;
    }
    file_place_deinit(&save->place);
}
