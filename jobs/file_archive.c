/* file_archive.c: a folder or a file becomes an archive. Names in it are relative to the
 * folder, sorted, and no time of the making is kept, so the same content makes the same bytes;
 * extracting into an empty place gives the folder back. */
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
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef int (*setup_fn)(struct archive *a);

static const struct {
    const char *name;
    setup_fn format, filter;
} formats[] = {
    {"tar.gz", archive_write_set_format_pax_restricted, archive_write_add_filter_gzip},
    {"tar", archive_write_set_format_pax_restricted, archive_write_add_filter_none},
    {"tar.zst", archive_write_set_format_pax_restricted, archive_write_add_filter_zstd},
    {"tar.xz", archive_write_set_format_pax_restricted, archive_write_add_filter_xz},
    {"zip", archive_write_set_format_zip, archive_write_add_filter_none},
    {"cpio", archive_write_set_format_cpio_newc, archive_write_add_filter_none},
};

struct packing {
    struct file_job *job;
    struct archive *archive;
    struct archive_entry *entry;
    struct file_digest *digest;
    int fd;          /* of the archive being made */
    bool abandoned;  /* it will not be: nothing more is written */
    struct stat own; /* it, should the walk meet it */
    char path[PATH_MAX];
};

/* libarchive's own text, which names the cause better than errno does. */
static int pack_fail(struct packing *p, const char *what)
{
    int error = archive_errno(p->archive);
    const char *text = archive_error_string(p->archive);

    if (!p->job->error[0])
        snprintf(p->job->error, sizeof p->job->error, "cannot %s %.120s: %.160s", what,
                 p->path[0] ? p->path : "the archive", text ? text : "unknown reason");
    return error > 0 ? -error : -EIO;
}

static la_ssize_t write_out(struct archive *a, void *ctx, const void *data, size_t len)
{
    struct packing *p = ctx;
    /* The rest of a file that was not read is not to be filled up with zeros. */
    int r = p->abandoned ? -ECANCELED : io_write_all(p->fd, data, len);

    if (r == 0)
        r = file_digest_add(p->digest, data, len);
    if (r == 0)
        return (la_ssize_t)len;
    archive_set_error(a, -r, "%s", strerror(-r));
    return -1;
}

static int set_up(struct packing *p, const char *format)
{
    size_t i = 0;

    while (strcmp(formats[i].name, format) != 0) {
        if (++i == sizeof formats / sizeof *formats)
            return file_job_fail(p->job, -EINVAL, "archive format %s", format);
    }
    if (formats[i].format(p->archive) != ARCHIVE_OK ||
        formats[i].filter(p->archive) != ARCHIVE_OK)
        return pack_fail(p, "make");
    /* Other filters have no such option and say so. */
    archive_write_set_filter_option(p->archive, "gzip", "timestamp", NULL);
    archive_write_set_bytes_in_last_block(p->archive, 1);
    return archive_write_open2(p->archive, p, NULL, write_out, NULL, NULL) == ARCHIVE_OK
               ? 0
               : pack_fail(p, "make");
}

static int put_header(struct packing *p, const struct stat *st, const char *link)
{
    archive_entry_clear(p->entry);
    archive_entry_copy_stat(p->entry, st);
    archive_entry_set_pathname(p->entry, p->path);
    if (link)
        archive_entry_set_symlink(p->entry, link);
    p->job->files++;
    int r = archive_write_header(p->archive, p->entry);

    /* A warning is about a name in no known encoding: its bytes are kept. */
    return r < ARCHIVE_WARN ? pack_fail(p, "add") : 0;
}

static int put_data(struct packing *p, int fd, off_t size)
{
    for (off_t done = 0; done < size;) {
        ssize_t n = read(fd, p->job->piece, FILE_PIECE_BYTES);
        if (n < 0)
            return file_job_fail(p->job, sys_error(), "cannot read %s", p->path);
        if (n > size - done)
            n = (ssize_t)(size - done);
        if (n == 0)
            return file_job_fail(p->job, -EAGAIN, "%s became shorter while it was read",
                                 p->path);
        if (archive_write_data(p->archive, p->job->piece, (size_t)n) != n)
            return pack_fail(p, "add");
        done += n;
        int r = file_job_step(p->job, (uint64_t)n);
        if (r < 0)
            return r;
    }
    return 0;
}

static int put_link(struct packing *p, int dir_fd, const char *name, const struct stat *st)
{
    char text[PATH_MAX];
    ssize_t n = readlinkat(dir_fd, name, text, sizeof text - 1);

    if (n < 0)
        return file_job_fail(p->job, sys_error(), "cannot read %s", p->path);
    text[n] = 0;
    return put_header(p, st, text);
}

static int put_folder(struct packing *p, int fd, unsigned depth);

static int put_open(struct packing *p, int fd, const struct stat *st, unsigned depth)
{
    if (S_ISREG(st->st_mode) && st->st_dev == p->own.st_dev && st->st_ino == p->own.st_ino)
        return 0;
    if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
        return file_job_fail(p->job, -EINVAL, "%s is neither file, folder nor link", p->path);
    int r = put_header(p, st, NULL);
    if (r < 0)
        return r;
    return S_ISDIR(st->st_mode) ? put_folder(p, fd, depth + 1) : put_data(p, fd, st->st_size);
}

static int put_child(struct packing *p, int dir_fd, const char *name, unsigned depth)
{
    struct stat st;
    OWN_FD int fd =
        openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd >= 0)
        return fstat(fd, &st) < 0 ? sys_error() : put_open(p, fd, &st, depth);
    int r = sys_error();
    if (r != -ELOOP || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return file_job_fail(p->job, r, "cannot open %s", p->path);
    return put_link(p, dir_fd, name, &st);
}

/* p->path is the folder's name in the archive, "" for the top. */
static int put_folder(struct packing *p, int fd, unsigned depth)
{
    struct file_names names = {0};
    size_t len = strlen(p->path);

    if (depth > FILE_DEPTH_MAX)
        return file_job_fail(p->job, -ELOOP, "more than %d folders in folders", FILE_DEPTH_MAX);
    int r = file_names_read(p->job, fd, &names);

    for (size_t i = 0; r == 0 && i < names.count; i++) {
        int n = snprintf(p->path + len, sizeof p->path - len, "%s%s", len ? "/" : "",
                         names.items[i]);
        r = n < 0 || (size_t)n >= sizeof p->path - len
                ? -ENAMETOOLONG
                : put_child(p, fd, names.items[i], depth);
        if (r == 0)
            r = file_job_step(p->job, 0);
    }
    p->path[len] = 0;
    file_names_deinit(&names);
    return r;
}

static int put_top(struct packing *p, int from_fd)
{
    struct stat st;

    if (fstat(from_fd, &st) < 0)
        return sys_error();
    if (S_ISDIR(st.st_mode))
        return put_folder(p, from_fd, 1);
    const char *slash = strrchr(p->job->spec->from, '/');
    snprintf(p->path, sizeof p->path, "%s", slash ? slash + 1 : p->job->spec->from);
    return put_open(p, from_fd, &st, 1);
}

static int pack(struct packing *p, int from_fd)
{
    int r = set_up(p, p->job->spec->format);

    if (r == 0)
        r = put_top(p, from_fd);
    p->path[0] = 0;
    /* Closed in any case: a compressor that is not closed is not freed either. */
    p->abandoned = r < 0;
    if (archive_write_close(p->archive) != ARCHIVE_OK && r == 0)
        r = pack_fail(p, "finish");
    return r == 0 ? file_digest_end(p->job, p->digest) : r;
}

static int pack_into(struct file_job *job, int from_fd, struct file_target *target)
{
    OWN(free) struct packing *p = calloc(1, sizeof *p);
    int r = p ? 0 : -ENOMEM;

    if (r < 0)
        return r;
    p->job = job;
    p->fd = target->fd;
    r = file_digest_new(job, "sha256", &p->digest);
    p->archive = archive_write_new();
    p->entry = archive_entry_new();
    if (r == 0)
        r = p->archive && p->entry && fstat(p->fd, &p->own) == 0 ? pack(p, from_fd) : -ENOMEM;
    archive_entry_free(p->entry);
    archive_write_free(p->archive);
    file_digest_free(p->digest);
    return r;
}

int file_archive(struct file_job *job)
{
    struct file_target target;
    struct stat st;

    if (!file_late_load())
        return file_job_fail(job, -ELIBACC, "libarchive");
    OWN_FD int from_fd = file_roots_open(job->roots, job->spec->from, O_RDONLY, 0);
    if (from_fd < 0)
        return file_job_fail(job, from_fd, "%s", job->spec->from);
    int r = file_target_open(job, job->spec->to, &target);
    if (r == 0 && !file_target_was_done(job, &target.place)) {
        r = file_target_file(job, &target, 0644);
        if (r == 0)
            r = pack_into(job, from_fd, &target);
        /* What counts is what was made, not what was read. */
        if (r == 0 && fstat(target.fd, &st) == 0)
            job->bytes = (uint64_t)st.st_size;
        if (r == 0)
            r = file_target_commit(job, &target, job->spec->overwrite);
    }
    file_target_close(job, &target);
    return r;
}
