/* file_extract.c: an archive becomes a folder, and nothing else.
 *
 * Archives come from strangers. All is made below the temporary folder by openat2 without
 * following any link, and an entry is refused when its name is absolute or has "..", when it is
 * neither file, folder nor link, when a hard link names something outside, or when a symbolic
 * link could lead out: an absolute one, one that climbs higher than its own folder is deep, or
 * one that climbs after it descended (the way down may be a link, so the way up is unknown).
 *
 * X1  no entry is made through a link, so the folder an entry is in is as deep as it looks; by
 * X1 and the rule above no link of the result leads out of it. X2  bytes and entries are
 * counted as they come out: a bomb ends at the bound, with nothing left, since the temporary
 * folder goes as a whole. */
#include "base/io.h"
#include "base/own.h"
#include "jobs/file_job.h"
#include "jobs/file_late.h"
#include "jobs/file_target.h"
#include "jobs/sys.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define READ_BLOCK_BYTES 65536

struct unpacking {
    struct file_job *job;
    struct archive *archive;
    int top_fd;
    uint64_t bytes_max;
    char path[PATH_MAX];   /* of the entry, cleaned */
    char folder[PATH_MAX]; /* its folder, "." for the top */
    char target[PATH_MAX]; /* of a hard link, cleaned */
};

static int refuse(struct unpacking *u, const char *why)
{
    if (!u->job->error[0])
        snprintf(u->job->error, sizeof u->job->error, "the archive is refused: %.150s %s",
                 u->path, why);
    return -EBADMSG;
}

static int read_fail(struct unpacking *u)
{
    const char *text = archive_error_string(u->archive);
    int error = archive_errno(u->archive);

    if (!u->job->error[0])
        snprintf(u->job->error, sizeof u->job->error, "cannot read the archive: %.200s",
                 text ? text : "unknown reason");
    /* Only a disk that fails is worth another try. */
    return error == EIO ? -EIO : -EBADMSG;
}

/* Drops "." and doubled slashes; false for what is absolute, climbs, or does not fit. */
static bool clean(const char *name, char ret[PATH_MAX])
{
    size_t len = 0;

    if (*name == '/')
        return false;
    while (*name) {
        size_t part = strcspn(name, "/");

        if (part == 2 && name[0] == '.' && name[1] == '.')
            return false;
        if (part > 0 && !(part == 1 && name[0] == '.')) {
            if (len + part + 2 > PATH_MAX)
                return false;
            if (len > 0)
                ret[len++] = '/';
            memcpy(ret + len, name, part);
            len += part;
        }
        name += part;
        name += *name == '/';
    }
    ret[len] = 0;
    return true;
}

static unsigned depth_of(const char *path)
{
    unsigned depth = 0;

    for (; *path; path++)
        depth += *path == '/';
    return depth;
}

/* The rule at the head of this file. */
static bool link_stays(const char *path, const char *target)
{
    unsigned climbs = 0, most = depth_of(path);
    bool descended = false;

    if (*target == '/' || !*target)
        return false;
    while (*target) {
        size_t part = strcspn(target, "/");

        if (part == 2 && target[0] == '.' && target[1] == '.') {
            if (descended || ++climbs > most)
                return false;
        } else if (part > 0 && !(part == 1 && target[0] == '.')) {
            descended = true;
        }
        target += part;
        target += *target == '/';
    }
    return true;
}

static int open_in(const struct unpacking *u, const char *path, int flags, mode_t mode)
{
    return file_roots_beneath(u->top_fd, path, flags, mode, RESOLVE_NO_SYMLINKS);
}

static int make_folder(struct unpacking *u, const char *path, mode_t mode)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');

    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) : 1,
             slash ? path : ".");
    OWN_FD int fd = open_in(u, parent, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    /* Its owner must be able to fill it. */
    if (mkdirat(fd, slash ? slash + 1 : path, (mode & 0777) | 0700) == 0)
        return 0;
    return sys_error();
}

/* Every folder on the way; those that are there already stay. */
static int make_folders(struct unpacking *u, char *path)
{
    for (char *slash = path;; *slash++ = '/') {
        slash = strchr(slash, '/');
        if (slash)
            *slash = 0;
        int r = make_folder(u, path, 0755);
        if (!slash)
            return r == -EEXIST ? 0 : r;
        if (r < 0 && r != -EEXIST) {
            *slash = '/';
            return r;
        }
    }
}

/* The entry's folder, made when an archive does not list it; its last name in *ret_name. */
static int open_folder(struct unpacking *u, const char **ret_name)
{
    const char *slash = strrchr(u->path, '/');

    *ret_name = slash ? slash + 1 : u->path;
    snprintf(u->folder, sizeof u->folder, "%.*s", slash ? (int)(slash - u->path) : 1,
             slash ? u->path : ".");
    int fd = open_in(u, u->folder, O_PATH | O_DIRECTORY, 0);
    if (fd != -ENOENT)
        return fd;
    int r = make_folders(u, u->folder);
    return r < 0 ? r : open_in(u, u->folder, O_PATH | O_DIRECTORY, 0);
}

static int count_bytes(struct unpacking *u, uint64_t bytes)
{
    if (bytes > u->bytes_max || u->job->bytes > u->bytes_max - bytes) {
        snprintf(u->job->error, sizeof u->job->error,
                 "the archive is refused: more than %llu bytes come out of it",
                 (unsigned long long)u->bytes_max);
        return -EFBIG;
    }
    return 0;
}

static int copy_out(struct unpacking *u, int fd)
{
    const void *data;
    size_t len;
    la_int64_t offset;
    uint64_t end = 0;

    for (;;) {
        int r = archive_read_data_block(u->archive, &data, &len, &offset);
        if (r == ARCHIVE_EOF)
            return 0;
        if (r < ARCHIVE_WARN)
            return read_fail(u);
        /* A hole counts as what it looks like: it is read back as that. */
        if (offset < 0 || (uint64_t)offset < end)
            return refuse(u, "has pieces out of order");
        r = count_bytes(u, (uint64_t)offset - end + len);
        if (r == 0)
            r = io_pwrite_all(fd, data, len, (uint64_t)offset);
        if (r == 0)
            r = file_job_step(u->job, (uint64_t)offset - end + len);
        if (r < 0)
            return r;
        end = (uint64_t)offset + len;
    }
}

/* A file that ends in a hole has no piece there. */
static int set_length(struct unpacking *u, int fd, struct archive_entry *entry)
{
    struct stat st;

    if (!archive_entry_size_is_set(entry) || fstat(fd, &st) < 0)
        return 0;
    la_int64_t size = archive_entry_size(entry);
    if (size <= st.st_size)
        return 0;
    int r = count_bytes(u, (uint64_t)(size - st.st_size));
    if (r == 0)
        r = ftruncate(fd, size) < 0 ? sys_error() : 0;
    return r < 0 ? r : file_job_step(u->job, (uint64_t)(size - st.st_size));
}

static int put_file(struct unpacking *u, int dir_fd, const char *name,
                    struct archive_entry *entry)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

    /* An archive that was appended to has newer entries of the same name behind. */
    unlinkat(dir_fd, name, 0);
    OWN_FD int fd =
        openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return sys_error();
    int r = copy_out(u, fd);
    if (r == 0)
        r = set_length(u, fd, entry);
    if (r < 0)
        return r;
    if (archive_entry_mtime_is_set(entry))
        times[1] =
            (struct timespec){archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)};
    if (fchmod(fd, archive_entry_perm(entry) & 0777) < 0 || futimens(fd, times) < 0)
        return sys_error();
    return 0;
}

static int put_symlink(struct unpacking *u, int dir_fd, const char *name, const char *target)
{
    if (!target || !link_stays(u->path, target))
        return refuse(u, "is a link that could lead out");
    unlinkat(dir_fd, name, 0);
    return symlinkat(target, dir_fd, name) < 0 ? sys_error() : 0;
}

static int put_hard_link(struct unpacking *u, int dir_fd, const char *name, const char *target)
{
    char proc[40];

    if (!clean(target, u->target) || !u->target[0])
        return refuse(u, "is a link that leads out");
    OWN_FD int fd = open_in(u, u->target, O_PATH, 0);
    if (fd < 0)
        return refuse(u, "is a link to what is not in the archive");
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return refuse(u, "is a link to what is not a file");
    unlinkat(dir_fd, name, 0);
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, proc, dir_fd, name, AT_SYMLINK_FOLLOW) < 0 ? sys_error() : 0;
}

static int put_folder(struct unpacking *u, struct archive_entry *entry)
{
    int r = make_folders(u, u->path);
    if (r < 0)
        return r;
    OWN_FD int fd = open_in(u, u->path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    return fchmod(fd, (archive_entry_perm(entry) & 0777) | 0700) < 0 ? sys_error() : 0;
}

static int put_entry(struct unpacking *u, struct archive_entry *entry)
{
    const char *name, *hard_link = archive_entry_hardlink(entry);
    mode_t type = archive_entry_filetype(entry);

    if (type == AE_IFDIR)
        return put_folder(u, entry);
    if (!hard_link && type != AE_IFREG && type != AE_IFLNK)
        return refuse(u, "is neither file, folder nor link");
    OWN_FD int dir_fd = open_folder(u, &name);
    if (dir_fd == -ELOOP || dir_fd == -ENOTDIR)
        return refuse(u, "goes through a link or a file");
    if (dir_fd < 0)
        return dir_fd;
    if (hard_link)
        return put_hard_link(u, dir_fd, name, hard_link);
    if (type == AE_IFLNK)
        return put_symlink(u, dir_fd, name, archive_entry_symlink(entry));
    return put_file(u, dir_fd, name, entry);
}

static int name_entry(struct unpacking *u, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);

    /* In the C locale a name that is not ASCII has only this form. */
    if (!name)
        name = archive_entry_pathname_utf8(entry);
    if (!name)
        return refuse(u, "has an entry without a name");
    snprintf(u->path, sizeof u->path, "%s", name);
    if (!clean(name, u->target))
        return refuse(u, "leads out of the folder");
    memcpy(u->path, u->target, sizeof u->path);
    return 0;
}

static int unpack(struct unpacking *u)
{
    struct archive_entry *entry;

    for (;;) {
        int r = archive_read_next_header(u->archive, &entry);
        if (r == ARCHIVE_EOF)
            return 0;
        if (r < ARCHIVE_WARN)
            return read_fail(u);
        r = name_entry(u, entry);
        if (r == 0 && ++u->job->files > FILE_EXTRACT_ENTRIES_MAX)
            r = file_job_fail(u->job, -EFBIG, "the archive has too many entries");
        if (r == 0 && u->path[0])
            r = put_entry(u, entry);
        if (r < 0)
            return file_job_fail(u->job, r, "cannot extract %s", u->path);
        r = file_job_step(u->job, 0);
        if (r < 0)
            return r;
    }
}

/* Those that read what strangers send; formats that name other files (mtree) or call other
 * programs are left out. */
static int set_up(struct unpacking *u, int from_fd)
{
    struct archive *a = u->archive;

    archive_read_support_filter_gzip(a);
    archive_read_support_filter_bzip2(a);
    archive_read_support_filter_xz(a);
    archive_read_support_filter_lzma(a);
    archive_read_support_filter_zstd(a);
    archive_read_support_format_tar(a);
    archive_read_support_format_cpio(a);
    archive_read_support_format_zip(a);
    return archive_read_open_fd(a, from_fd, READ_BLOCK_BYTES) == ARCHIVE_OK ? 0 : read_fail(u);
}

static int unpack_into(struct file_job *job, int from_fd, struct file_target *target)
{
    uint64_t bytes_max = job->attempt->config->extract_bytes_max;
    OWN(free) struct unpacking *u = calloc(1, sizeof *u);
    int r = u ? 0 : -ENOMEM;

    if (r < 0)
        return r;
    u->job = job;
    u->top_fd = target->fd;
    u->bytes_max = bytes_max > 0 ? bytes_max : FILE_EXTRACT_BYTES_MAX;
    u->archive = archive_read_new();
    r = u->archive ? set_up(u, from_fd) : -ENOMEM;
    if (r == 0)
        r = unpack(u);
    archive_read_free(u->archive);
    if (r == 0 && fchmod(target->fd, 0755) < 0)
        r = sys_error();
    return r;
}

int file_extract(struct file_job *job)
{
    struct file_target target;

    if (!file_late_load())
        return file_job_fail(job, -ELIBACC, "libarchive");
    OWN_FD int from_fd = file_roots_open(job->roots, job->spec->from, O_RDONLY, 0);
    if (from_fd < 0)
        return file_job_fail(job, from_fd, "%s", job->spec->from);
    int r = file_target_open(job, job->spec->to, &target);
    if (r == 0 && !file_target_was_done(job, &target.place)) {
        r = file_target_folder(job, &target);
        if (r == 0)
            r = unpack_into(job, from_fd, &target);
        if (r == 0)
            r = file_target_commit(job, &target, job->spec->overwrite);
    }
    file_target_close(job, &target);
    return r;
}
