#include "jobs/file_target.h"

#include "base/err.h"
#include "base/log.h"
#include "jobs/file_tree.h"
#include "jobs/folder.h"
#include "jobs/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LEFTOVERS_MAX 1000 /* earlier fences whose temporary is looked for by name */
#define NOTE_BYTES_MAX 4095
#define IDENTITY_BYTES 128

static uint64_t job_id(const struct file_job *job)
{
    return job->attempt->job->id;
}

static int scratch_fd(const struct file_job *job)
{
    return ((const struct kinds *)job->attempt->kinds)->scratch_fd;
}

static void temp_name(char ret[64], uint64_t id, uint32_t fence)
{
    snprintf(ret, 64, ".stint-%llu.%u.tmp", (unsigned long long)id, fence);
}

static void done_name(char ret[64], uint64_t id)
{
    snprintf(ret, 64, "done.%llu", (unsigned long long)id);
}

/* Of attempts whose daemon died; those of the living clean up themselves. */
static int remove_leftovers(struct file_job *job, int dir_fd)
{
    uint32_t fence = job->attempt->job->fence;
    uint32_t first = fence > LEFTOVERS_MAX ? fence - LEFTOVERS_MAX : 1;

    for (uint32_t f = first; f < fence; f++) {
        char name[64];

        temp_name(name, job_id(job), f);
        int r = file_tree_remove(dir_fd, name, NULL);
        if (r < 0)
            return file_job_fail(job, r, "cannot remove what an earlier attempt left, %s",
                                 name);
    }
    return 0;
}

/* The note is a help for the next daemon: without it the next attempt finds the temporary. */
static void note_temp(struct file_job *job, const char *path, const struct file_target *target)
{
    char text[PATH_MAX + 64];
    size_t len = strlen(path);

    while (len > 0 && path[len - 1] == '/')
        len--;
    while (len > 0 && path[len - 1] != '/')
        len--;
    int n = snprintf(text, sizeof text, "%.*s%s", (int)len, path, target->temp);
    if (n > 0 && n <= NOTE_BYTES_MAX && symlinkat(text, scratch_fd(job), target->note) < 0)
        log_debug("file.note", LOG_ERR(sys_error()));
}

int file_target_open(struct file_job *job, const char *path, struct file_target *ret)
{
    uint32_t fence = job->attempt->job->fence;

    *ret = (struct file_target){.place.dir_fd = -1, .fd = -1};
    int r = file_roots_place(job->roots, path, &ret->place);
    if (r < 0)
        return file_job_fail(job, r, "%s", path);
    temp_name(ret->temp, job_id(job), fence);
    snprintf(ret->note, sizeof ret->note, "file.%llu.%u", (unsigned long long)job_id(job),
             fence);
    r = remove_leftovers(job, ret->place.dir_fd);
    if (r == 0)
        note_temp(job, path, ret);
    return r;
}

int file_target_file(struct file_job *job, struct file_target *target, mode_t mode)
{
    target->made = true;
    target->fd = openat(target->place.dir_fd, target->temp,
                        O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0777);
    return target->fd < 0
               ? file_job_fail(job, sys_error(), "cannot make a file in the folder of %s",
                               target->place.name)
               : 0;
}

int file_target_folder(struct file_job *job, struct file_target *target)
{
    target->made = true;
    if (mkdirat(target->place.dir_fd, target->temp, 0700) == 0)
        target->fd = openat(target->place.dir_fd, target->temp,
                            O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return target->fd < 0 ? file_job_fail(job, sys_error(), "cannot make a folder beside %s",
                                          target->place.name)
                          : 0;
}

/* Where nothing is. -EINVAL: the file system cannot promise that in one step. */
static int rename_new(const struct file_target *target)
{
    const struct file_place *place = &target->place;
    struct stat st;

    if (renameat2(place->dir_fd, target->temp, place->dir_fd, place->name, RENAME_NOREPLACE) ==
        0)
        return 0;
    if (sys_error() == -EINVAL) {
        if (fstatat(place->dir_fd, place->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            return -EEXIST;
        return renameat(place->dir_fd, target->temp, place->dir_fd, place->name) < 0
                   ? sys_error()
                   : 0;
    }
    if (sys_error() != -EEXIST)
        return sys_error();
    /* A folder takes the place of an empty one in one step, and of nothing else. */
    if (fstat(target->fd, &st) == 0 && S_ISDIR(st.st_mode) &&
        renameat(place->dir_fd, target->temp, place->dir_fd, place->name) == 0)
        return 0;
    return -EEXIST;
}

/* Whatever is there. A folder is swapped with ours in one step, and the old one then removed.
 */
static int rename_over(const struct file_target *target)
{
    const struct file_place *place = &target->place;

    if (renameat(place->dir_fd, target->temp, place->dir_fd, place->name) == 0)
        return 0;
    if (sys_error() != -EISDIR && sys_error() != -ENOTDIR && sys_error() != -ENOTEMPTY &&
        sys_error() != -EEXIST)
        return sys_error();
    if (renameat2(place->dir_fd, target->temp, place->dir_fd, place->name, RENAME_EXCHANGE) < 0)
        return sys_error();
    return file_tree_remove(place->dir_fd, target->temp, NULL);
}

/* A freed inode number may be given to another file: size and time make it the same one. */
static void identity(char ret[IDENTITY_BYTES], const struct stat *st)
{
    snprintf(ret, IDENTITY_BYTES, "%llx:%llx:%llx:%llx.%lx:", (unsigned long long)st->st_dev,
             (unsigned long long)st->st_ino, (unsigned long long)st->st_size,
             (unsigned long long)st->st_mtim.tv_sec, (unsigned long)st->st_mtim.tv_nsec);
}

int file_target_note(struct file_job *job, int fd)
{
    char name[64], text[NOTE_BYTES_MAX + 1];
    OWN(free) char *result = file_job_result(job);
    struct stat st;

    if (!result)
        return -ENOMEM;
    if (fstat(fd, &st) < 0)
        return sys_error();
    done_name(name, job_id(job));
    identity(text, &st);
    size_t len = strlen(text);
    snprintf(text + len, sizeof text - len, "%s", result);
    unlinkat(scratch_fd(job), name, 0);
    return symlinkat(text, scratch_fd(job), name) < 0
               ? file_job_fail(job, sys_error(), "cannot write to the state folder")
               : 0;
}

int file_target_sync_folder(struct file_job *job, int dir_fd)
{
    OWN_FD int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? sys_error() : file_job_sync(job, fd, false);
}

int file_target_commit(struct file_job *job, struct file_target *target, bool overwrite)
{
    struct stat st;

    if (fstat(target->fd, &st) < 0)
        return sys_error();
    int r = file_job_sync(job, target->fd, S_ISDIR(st.st_mode));
    if (r < 0)
        return file_job_fail(job, r, "cannot write %s to the disk", target->place.name);
    r = file_target_note(job, target->fd);
    if (r < 0)
        return r;
    r = overwrite ? rename_over(target) : rename_new(target);
    if (r == -EEXIST)
        return file_job_fail(job, r, "%s is there already, and overwrite is not set",
                             target->place.name);
    if (r < 0)
        return file_job_fail(job, r, "cannot rename to %s", target->place.name);
    target->made = false;
    job->placed = true;
    r = file_target_sync_folder(job, target->place.dir_fd);
    return r < 0 ? file_job_fail(job, r, "cannot write the folder of %s to the disk",
                                 target->place.name)
                 : 0;
}

void file_target_close(struct file_job *job, struct file_target *target)
{
    if (target->fd >= 0)
        close(target->fd);
    target->fd = -1;
    if (target->place.dir_fd < 0)
        return;
    if (target->made) {
        int r = file_tree_remove(target->place.dir_fd, target->temp, NULL);
        if (r < 0)
            log_warn("file.temporary_left", LOG_U64("id", job_id(job)),
                     LOG_STR("name", target->temp), LOG_ERR(r));
    }
    unlinkat(scratch_fd(job), target->note, 0);
    file_place_deinit(&target->place);
}

bool file_target_was_done(struct file_job *job, const struct file_place *place)
{
    char name[64], text[NOTE_BYTES_MAX + 1], now[IDENTITY_BYTES];
    struct stat st;

    if (job->attempt->job->fence < 2)
        return false;
    done_name(name, job_id(job));
    ssize_t n = readlinkat(scratch_fd(job), name, text, sizeof text - 1);
    if (n < 0 || fstatat(place->dir_fd, place->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    text[n] = 0;
    identity(now, &st);
    if (strncmp(text, now, strlen(now)) != 0)
        return false;
    free(job->done);
    job->done = strdup(text + strlen(now));
    job->placed = true;
    return job->done != NULL;
}

static void forget(const struct kinds *kinds, uint64_t id)
{
    char name[64];

    if (id == 0)
        return;
    done_name(name, id);
    unlinkat(kinds->scratch_fd, name, 0);
}

static void remember(struct kinds *kinds, uint64_t id)
{
    pthread_mutex_lock(&kinds->done_lock);
    uint64_t *slot = &kinds->done_ids[kinds->done_count++ % KINDS_DONE_MAX], oldest = *slot;

    *slot = id;
    pthread_mutex_unlock(&kinds->done_lock);
    if (oldest != id)
        forget(kinds, oldest);
}

void file_target_settle(struct file_job *job)
{
    struct kinds *kinds = job->attempt->kinds;

    if (job->placed)
        remember(kinds, job_id(job));
    else
        forget(kinds, job_id(job));
}

void file_target_forget(struct kinds *kinds)
{
    for (size_t i = 0; i < KINDS_DONE_MAX; i++)
        forget(kinds, kinds->done_ids[i]);
}

static void clear_one(const struct kinds *kinds, const char *note)
{
    char text[NOTE_BYTES_MAX + 1];
    struct file_place place = {.dir_fd = -1};
    ssize_t n = readlinkat(kinds->scratch_fd, note, text, sizeof text - 1);

    if (n < 0)
        return;
    text[n] = 0;
    /* Confined as the job was: the roots may have been changed since. */
    int r = file_roots_place(kinds->config->file_roots, text, &place);
    if (r == 0 && strncmp(place.name, ".stint-", 7) == 0)
        r = file_tree_remove(place.dir_fd, place.name, NULL);
    if (r < 0 && r != -ENOENT)
        log_warn("file.temporary_left", LOG_STR("path", text), LOG_ERR(r));
    file_place_deinit(&place);
    unlinkat(kinds->scratch_fd, note, 0);
}

void file_target_clear(struct kinds *kinds)
{
    OWN(folder_close) DIR *dir = folder_open(kinds->scratch_fd);

    for (struct dirent *entry; dir && (entry = folder_next(dir)) != NULL;) {
        if (strncmp(entry->d_name, "file.", 5) == 0)
            clear_one(kinds, entry->d_name);
        else if (strncmp(entry->d_name, "done.", 5) == 0)
            remember(kinds, strtoull(entry->d_name + 5, NULL, 10));
    }
}
