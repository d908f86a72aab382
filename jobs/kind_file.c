/* kind_file.c: work on files as a job: copy, move, remove, checksum, archive, extract, write.
 *
 * The parts: file_roots.h (where), file_target.h (whole or not at all, and once), file_copy.c,
 * file_digest.c, file_archive.c, file_extract.c, file_tree.h (removal). file_job.h says how
 * they run: inside a blocking section that is opened between pieces.
 *
 * F1  whatever an operation makes appears by one rename (K2); what it takes away disappears by
 *     one rename before it is taken apart.
 * F2  an attempt that ends, however, leaves no temporary; one that crashes leaves one whose
 * name the next attempt and the next daemon know. F3  an attempt that repeats one which had
 * done its work says so instead of doing it twice: exactly once in effect. */
#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/own.h"
#include "jobs/file_job.h"
#include "jobs/file_target.h"
#include "jobs/file_tree.h"
#include "jobs/sys.h"
#include "scheduler/block.h"
#include "scheduler/task.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int (*const operations[])(struct file_job *job) = {
    [FILE_COPY] = file_copy,       [FILE_MOVE] = file_move,
    [FILE_REMOVE] = file_remove,   [FILE_CHECKSUM] = file_checksum,
    [FILE_ARCHIVE] = file_archive, [FILE_EXTRACT] = file_extract,
    [FILE_WRITE] = file_write,
};

int file_job_fail(struct file_job *job, int r, const char *what, ...)
{
    va_list ap;

    if (job->error[0] || r == -ECANCELED || r == -ETIMEDOUT)
        return r;
    va_start(ap, what);
    int n = vsnprintf(job->error, sizeof job->error - 100, what, ap);

    va_end(ap);
    if (n < 0)
        return r;
    size_t len = strlen(job->error);
    const char *why = r == -EXDEV ? "outside of the folders where file jobs may work"
                      : r == -EBUSY
                          ? "it is one of the folders where file jobs may work, or in use"
                          : err_text(r);

    snprintf(job->error + len, sizeof job->error - len, ": %s", why);
    return r;
}

int file_job_step(struct file_job *job, uint64_t bytes)
{
    job->bytes += bytes;
    if (job->attempt->progress_bytes)
        *job->attempt->progress_bytes = job->bytes;
    block_leave();
    int r = task_checkpoint();

    if (r == 0)
        r = task_cancelled();
    block_enter(BLOCK_FILE);
    return r < 0 ? r : fault_at("file.step");
}

static int sync_fd(int fd, bool whole)
{
    int r = fault_at("file.sync");

    if (r < 0)
        return r;
    return (whole ? syncfs(fd) : fsync(fd)) < 0 ? sys_error() : 0;
}

int file_job_sync(struct file_job *job, int fd, bool whole)
{
    (void)job;
    block_leave();
    block_enter_long(BLOCK_FILE);
    int r = sync_fd(fd, whole);

    block_leave();
    block_enter(BLOCK_FILE);
    return r;
}

char *file_job_result(const struct file_job *job)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_putf(&b, "{\"bytes\":%llu,", (unsigned long long)job->bytes);
    if (job->digest[0])
        buf_putf(&b, "\"digest\":\"%s\",\"algorithm\":\"%s\",", job->digest, job->algorithm);
    else
        buf_puts(&b, "\"digest\":null,");
    buf_putf(&b, "\"files\":%llu}", (unsigned long long)job->files);
    return buf_take(&b);
}

int file_copy(struct file_job *job)
{
    const struct file_spec *spec = job->spec;
    struct file_target target;
    struct stat st;

    OWN_FD int from_fd = file_roots_open(job->roots, spec->from, O_RDONLY, 0);
    if (from_fd < 0)
        return file_job_fail(job, from_fd, "%s", spec->from);
    if (fstat(from_fd, &st) == 0 && S_ISDIR(st.st_mode) && !spec->recursive)
        return file_job_fail(job, -EISDIR, "%s, and recursive is not set", spec->from);
    int r = file_target_open(job, spec->to, &target);
    if (r == 0 && !file_target_was_done(job, &target.place)) {
        r = file_copy_into(job, from_fd, &target);
        if (r == 0)
            r = file_target_commit(job, &target, spec->overwrite);
    }
    file_target_close(job, &target);
    return r;
}

/* Over a border of file systems: a copy, and the source away once the copy is safe. */
static int move_by_copy(struct file_job *job, struct file_target *target,
                        const struct file_place *from)
{
    job->keep_owner = true;
    OWN_FD int from_fd = file_roots_open(job->roots, job->spec->from, O_RDONLY | O_NOFOLLOW, 0);
    if (from_fd < 0)
        return file_job_fail(job, from_fd, "%s", job->spec->from);
    int r = file_copy_into(job, from_fd, target);
    if (r == 0)
        r = file_target_commit(job, target, job->spec->overwrite);
    if (r == 0)
        r = file_tree_remove(from->dir_fd, from->name, NULL);
    return r < 0 ? file_job_fail(job, r, "cannot move %s", job->spec->from) : 0;
}

static int move_by_name(struct file_job *job, struct file_target *target,
                        const struct file_place *from)
{
    const struct file_place *to = &target->place;
    unsigned flags = job->spec->overwrite ? 0 : RENAME_NOREPLACE;

    if (renameat2(from->dir_fd, from->name, to->dir_fd, to->name, flags) < 0)
        return sys_error();
    job->placed = true;
    int r = file_target_sync_folder(job, to->dir_fd);
    return r < 0 ? r : file_target_sync_folder(job, from->dir_fd);
}

static int move_found(struct file_job *job, struct file_target *target,
                      const struct file_place *from)
{
    struct stat st;
    OWN_FD int fd = openat(from->dir_fd, from->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return file_job_fail(job, sys_error(), "%s", job->spec->from);
    if (fstat(fd, &st) < 0)
        return sys_error();
    job->files = 1;
    job->bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    int r = file_target_note(job, fd);
    if (r == 0)
        r = move_by_name(job, target, from);
    if (r == -EXDEV) {
        job->files = job->bytes = 0;
        return move_by_copy(job, target, from);
    }
    return r < 0 ? file_job_fail(job, r, "cannot move %s to %s", job->spec->from, job->spec->to)
                 : 0;
}

int file_move(struct file_job *job)
{
    struct file_place from = {.dir_fd = -1};
    struct file_target target;

    int r = file_roots_place(job->roots, job->spec->from, &from);
    if (r < 0)
        return file_job_fail(job, r, "%s", job->spec->from);
    r = file_target_open(job, job->spec->to, &target);
    /* Done before: then only a source that was copied may still be there. */
    if (r == 0 && file_target_was_done(job, &target.place))
        r = file_tree_remove(from.dir_fd, from.name, NULL);
    else if (r == 0)
        r = move_found(job, &target, &from);
    file_target_close(job, &target);
    file_place_deinit(&from);
    return r;
}

/* Out of sight in one step, then taken apart; from the step on it is not called off. */
static int remove_folder(struct file_job *job, struct file_target *target)
{
    const struct file_place *place = &target->place;

    if (renameat2(place->dir_fd, place->name, place->dir_fd, target->temp, RENAME_NOREPLACE) <
        0)
        return sys_error();
    block_leave();
    block_enter_long(BLOCK_FILE);
    int r = file_tree_remove(place->dir_fd, target->temp, &job->files);

    block_leave();
    block_enter(BLOCK_FILE);
    return r;
}

static int remove_place(struct file_job *job, struct file_target *target)
{
    const struct file_place *place = &target->place;
    struct stat st;
    int r;

    if (fstatat(place->dir_fd, place->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        r = sys_error();
        /* An earlier attempt may have removed it and crashed before it could say so. */
        return r == -ENOENT && job->attempt->job->fence > 1 ? 0 : r;
    }
    if (!S_ISDIR(st.st_mode)) {
        job->bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
        r = unlinkat(place->dir_fd, place->name, 0) < 0 ? sys_error() : 0;
        job->files = r == 0;
    } else if (job->spec->recursive) {
        r = remove_folder(job, target);
    } else {
        r = unlinkat(place->dir_fd, place->name, AT_REMOVEDIR) < 0 ? sys_error() : 0;
        job->files = r == 0;
    }
    return r < 0 ? r : file_target_sync_folder(job, place->dir_fd);
}

int file_remove(struct file_job *job)
{
    struct file_target target;

    int r = file_target_open(job, job->spec->from, &target);
    if (r == 0) {
        r = remove_place(job, &target);
        if (r < 0)
            file_job_fail(job, r, "cannot remove %s", job->spec->from);
    }
    file_target_close(job, &target);
    return r;
}

static int write_text(struct file_job *job, struct file_target *target)
{
    const struct file_spec *spec = job->spec;
    size_t len = strlen(spec->text);

    int r = file_target_file(job, target, 0600);
    if (r == 0)
        r = io_write_all(target->fd, spec->text, len);
    if (r == 0)
        r = fchmod(target->fd, spec->mode & 0777) < 0 ? sys_error() : 0;
    if (r < 0)
        return file_job_fail(job, r, "cannot write %s", spec->to);
    job->files = 1;
    return file_job_step(job, len);
}

int file_write(struct file_job *job)
{
    struct file_target target;

    int r = file_target_open(job, job->spec->to, &target);
    if (r == 0 && !file_target_was_done(job, &target.place)) {
        r = write_text(job, &target);
        if (r == 0)
            r = file_target_commit(job, &target, job->spec->overwrite);
    }
    file_target_close(job, &target);
    return r;
}

/* What the disk or the moment is to blame for may be better later; all else is as it is. */
static bool is_passing(int r)
{
    switch (r) {
    case -ENOSPC:
    case -EDQUOT:
    case -EIO:
    case -ENOMEM:
    case -EMFILE:
    case -ENFILE:
    case -EAGAIN:
    case -EINTR:
    case -ESTALE:
    case -EROFS:
    case -ETXTBSY:
        return true;
    default:
        return false;
    }
}

static void conclude(struct file_job *job, int r, struct outcome *ret)
{
    if (r == -ECANCELED || r == -ETIMEDOUT) {
        ret->kind = OUTCOME_STOPPED;
        ret->reason = r == -ETIMEDOUT ? REASON_TIMEOUT_ATTEMPT : REASON_NONE;
    } else if (r < 0) {
        outcome_fail(ret, is_passing(r) ? OUTCOME_FAILED : OUTCOME_FAILED_FINAL,
                     REASON_FILE_ERROR, "%s", job->error[0] ? job->error : err_text(r));
    } else {
        ret->kind = OUTCOME_SUCCEEDED;
    }
    ret->result = job->done ? TAKE(job->done) : file_job_result(job);
}

static int work(struct file_job *job)
{
    if (!job->roots || !job->roots[0])
        return file_job_fail(job, -EPERM,
                             "file jobs need a folder to work in: [file] roots is empty");
    job->piece = malloc(FILE_PIECE_BYTES);
    if (!job->piece)
        return -ENOMEM;
    block_enter(BLOCK_FILE);
    int r = operations[job->spec->op](job);

    file_target_settle(job);
    block_leave();
    return r;
}

static void file_run(const struct attempt *attempt, struct outcome *ret)
{
    struct file_job job = {
        .attempt = attempt,
        .spec = &attempt->spec->file,
        .roots = attempt->config->file_roots,
    };
    int r = task_cancelled();

    if (r == 0)
        r = work(&job);
    conclude(&job, r, ret);
    free(job.piece);
    free(job.done);
}

const struct kind kind_file = {"file", file_run};
