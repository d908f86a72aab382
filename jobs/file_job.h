/* file_job.h: what the parts of kind_file.c share: one attempt under way. Internal to file_*.c
 * and kind_file.c.
 *
 * The whole attempt runs inside block_enter(BLOCK_FILE); file_job_step opens the section for a
 * moment between pieces of at most FILE_PIECE_BYTES, where others run and a cancellation is
 * seen. Functions return 0 or a negative errno, after file_job_fail has written the sentence;
 * -ECANCELED and -ETIMEDOUT are the cancel reason and need none. */
#ifndef JOBS_FILE_JOB_H
#define JOBS_FILE_JOB_H

#include "jobs/file_roots.h"
#include "jobs/kinds_internal.h"

#define FILE_PIECE_BYTES (1u << 20)
#define FILE_DEPTH_MAX 128               /* folders in folders */
#define FILE_FOLDER_ENTRIES_MAX 1000000u /* in one folder: their names are held */
#define FILE_EXTRACT_ENTRIES_MAX UINT64_C(1000000)
#define FILE_EXTRACT_BYTES_MAX (UINT64_C(64) << 30)
#define FILE_DIGEST_BYTES_MAX 64

struct file_job {
    const struct attempt *attempt;
    const struct file_spec *spec;
    char *const *roots;
    bool placed;     /* the note is true: what it names is the target */
    bool keep_owner; /* a move that has to copy */
    uint64_t bytes, files;
    char digest[FILE_DIGEST_BYTES_MAX * 2 + 1]; /* hex, "" = none */
    const char *algorithm;                      /* of the digest */
    char error[400];                            /* one sentence */
    char *done;  /* result of an earlier attempt that had done it all and crashed; owned */
    void *piece; /* FILE_PIECE_BYTES for reading and writing */
};

/* Writes "what: why r" as the error, unless there is one already; returns r. */
int file_job_fail(struct file_job *job, int r, const char *what, ...)
    __attribute__((format(printf, 3, 4)));
/* bytes more are done. Others run now; 0 or the cancel reason. */
int file_job_step(struct file_job *job, uint64_t bytes);
/* fsync, with the processor handed over at once; whole = the file system of fd (syncfs). */
int file_job_sync(struct file_job *job, int fd, bool whole);
/* The result document; NULL without memory. */
char *file_job_result(const struct file_job *job);

/* --- the operations --- */
int file_copy(struct file_job *job);
int file_move(struct file_job *job);
int file_remove(struct file_job *job);
int file_checksum(struct file_job *job);
int file_archive(struct file_job *job);
int file_extract(struct file_job *job);
int file_write(struct file_job *job);

/* --- pieces of them --- */
/* Copies what is open as from_fd (file or folder) into the target's temporary name. */
struct file_target;
int file_copy_into(struct file_job *job, int from_fd, struct file_target *target);

/* A digest that is fed. */
struct file_digest;
int file_digest_new(struct file_job *job, const char *algorithm, struct file_digest **ret);
int file_digest_add(struct file_digest *digest, const void *data, size_t len);
/* Into job->digest and job->algorithm. */
int file_digest_end(struct file_job *job, struct file_digest *digest);
void file_digest_free(struct file_digest *digest);

/* Names of a folder, sorted, so that an archive of the same content is the same bytes. */
struct file_names {
    char **items;
    size_t count, cap;
};
int file_names_read(struct file_job *job, int dir_fd, struct file_names *ret);
void file_names_deinit(struct file_names *names);

#endif
