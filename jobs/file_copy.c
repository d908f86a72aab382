/* file_copy.c: bytes, holes and trees from one place to another. */
#include "base/io.h"
#include "base/own.h"
#include "jobs/file_job.h"
#include "jobs/file_target.h"
#include "jobs/folder.h"
#include "jobs/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

struct copy {
    struct file_job *job;
    dev_t top_device; /* the folder that is being filled: never to be copied into itself */
    ino_t top_inode;
};

/* One piece by the shortest way: within the kernel, or through memory where it cannot. */
static ssize_t copy_piece(struct file_job *job, int from_fd, int to_fd, off_t at, size_t len)
{
    off_t in = at, out = at;
    ssize_t n = copy_file_range(from_fd, &in, to_fd, &out, len, 0);

    if (n >= 0 || (sys_error() != -EXDEV && sys_error() != -EINVAL && sys_error() != -ENOSYS &&
                   sys_error() != -EOPNOTSUPP))
        return n < 0 ? sys_error() : n;
    n = pread(from_fd, job->piece, len, at);
    if (n <= 0)
        return n < 0 ? sys_error() : 0;
    int r = io_pwrite_all(to_fd, job->piece, (size_t)n, (uint64_t)at);

    return r < 0 ? r : n;
}

static int copy_range(struct file_job *job, int from_fd, int to_fd, off_t at, off_t end)
{
    while (at < end) {
        size_t len = end - at < (off_t)FILE_PIECE_BYTES ? (size_t)(end - at) : FILE_PIECE_BYTES;
        ssize_t n = copy_piece(job, from_fd, to_fd, at, len);
        if (n <= 0)
            return (int)n; /* 0: it became shorter */
        at += n;
        int r = file_job_step(job, (uint64_t)n);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Data only: a hole stays a hole, or a sparse file would fill the disk. */
static int copy_data(struct file_job *job, int from_fd, int to_fd, off_t size)
{
    if (ioctl(to_fd, FICLONE, from_fd) == 0)
        return file_job_step(job, (uint64_t)size);
    if (ftruncate(to_fd, size) < 0)
        return sys_error();
    for (off_t at = 0; at < size;) {
        off_t data = lseek(from_fd, at, SEEK_DATA);
        if (data < 0 && sys_error() == -ENXIO)
            return 0; /* only a hole is left */
        if (data < 0)
            data = at; /* holes are not told here */
        off_t end = lseek(from_fd, data, SEEK_HOLE);
        if (end <= data || end > size)
            end = size;
        int r = copy_range(job, from_fd, to_fd, data, end);
        if (r < 0)
            return r;
        at = end;
    }
    return 0;
}

/* Permissions and times are part of a copy; the owner only of what is moved. */
static int copy_status(const struct file_job *job, int fd, const struct stat *st)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    mode_t mode = st->st_mode & 0777;

    if (job->keep_owner) {
        if (fchown(fd, st->st_uid, st->st_gid) < 0 && sys_error() != -EPERM)
            return sys_error();
        mode = st->st_mode & 07777;
    }
    if (fchmod(fd, mode) < 0 || futimens(fd, times) < 0)
        return sys_error();
    return 0;
}

static int copy_file(struct file_job *job, int from_fd, int to_fd, const struct stat *st)
{
    int r = copy_data(job, from_fd, to_fd, st->st_size);

    if (r == 0)
        r = copy_status(job, to_fd, st);
    job->files++;
    return r;
}

static int copy_folder(struct copy *copy, int from_fd, int to_fd, unsigned depth);

static int copy_link(int from_dir, int to_dir, const char *name)
{
    char text[PATH_MAX];
    ssize_t n = readlinkat(from_dir, name, text, sizeof text);

    if (n < 0 || n == (ssize_t)sizeof text)
        return n < 0 ? sys_error() : -ENAMETOOLONG;
    text[n] = 0;
    return symlinkat(text, to_dir, name) < 0 ? sys_error() : 0;
}

static int copy_child_folder(struct copy *copy, int from_fd, int to_dir, const char *name,
                             const struct stat *st, unsigned depth)
{
    if (st->st_dev == copy->top_device && st->st_ino == copy->top_inode)
        return file_job_fail(copy->job, -EINVAL, "the target lies inside of what is copied");
    if (mkdirat(to_dir, name, 0700) < 0)
        return sys_error();
    OWN_FD int to_fd = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (to_fd < 0)
        return sys_error();
    int r = copy_folder(copy, from_fd, to_fd, depth + 1);
    if (r == 0)
        r = copy_status(copy->job, to_fd, st);
    copy->job->files++;
    return r;
}

static int copy_child_file(struct file_job *job, int from_fd, int to_dir, const char *name,
                           const struct stat *st)
{
    OWN_FD int to_fd =
        openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    return to_fd < 0 ? sys_error() : copy_file(job, from_fd, to_fd, st);
}

static int copy_child(struct copy *copy, int from_dir, int to_dir, const char *name,
                      unsigned depth)
{
    struct stat st;
    OWN_FD int from_fd =
        openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (from_fd < 0 && sys_error() == -ELOOP) {
        copy->job->files++;
        return copy_link(from_dir, to_dir, name);
    }
    if (from_fd < 0 || fstat(from_fd, &st) < 0)
        return sys_error();
    if (S_ISDIR(st.st_mode))
        return copy_child_folder(copy, from_fd, to_dir, name, &st, depth);
    if (S_ISREG(st.st_mode))
        return copy_child_file(copy->job, from_fd, to_dir, name, &st);
    return file_job_fail(copy->job, -EINVAL, "%s is neither file, folder nor link", name);
}

static int copy_folder(struct copy *copy, int from_fd, int to_fd, unsigned depth)
{
    OWN(folder_close) DIR *dir = folder_open(from_fd);

    if (!dir)
        return sys_error();
    if (depth > FILE_DEPTH_MAX)
        return file_job_fail(copy->job, -ELOOP, "more than %d folders in folders",
                             FILE_DEPTH_MAX);
    for (struct dirent *entry; (entry = folder_next(dir)) != NULL;) {
        int r = copy_child(copy, from_fd, to_fd, entry->d_name, depth);
        if (r < 0)
            return file_job_fail(copy->job, r, "cannot copy %s", entry->d_name);
        r = file_job_step(copy->job, 0);
        if (r < 0)
            return r;
    }
    return sys_error();
}

static int copy_top_folder(struct file_job *job, int from_fd, const struct stat *from,
                           struct file_target *target)
{
    struct copy copy = {.job = job};
    struct stat top;

    int r = file_target_folder(job, target);
    if (r < 0)
        return r;
    if (fstat(target->fd, &top) < 0)
        return sys_error();
    copy.top_device = top.st_dev;
    copy.top_inode = top.st_ino;
    r = copy_folder(&copy, from_fd, target->fd, 1);
    job->files++;
    return r < 0 ? r : copy_status(job, target->fd, from);
}

int file_copy_into(struct file_job *job, int from_fd, struct file_target *target)
{
    struct stat st;

    if (fstat(from_fd, &st) < 0)
        return file_job_fail(job, sys_error(), "%s", job->spec->from);
    if (S_ISDIR(st.st_mode))
        return copy_top_folder(job, from_fd, &st, target);
    if (!S_ISREG(st.st_mode))
        return file_job_fail(job, -EINVAL, "%s is neither file nor folder", job->spec->from);
    int r = file_target_file(job, target, 0600);
    if (r == 0)
        r = copy_file(job, from_fd, target->fd, &st);
    return r < 0 ? file_job_fail(job, r, "cannot copy %s", job->spec->from) : 0;
}
