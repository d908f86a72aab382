/* http_save.h: a response body on its way into a file: written beside its target under a name
 * of the job's own, synced, and renamed over it. After a crash the target is the old or the new
 * file, whole; what an interrupted attempt left beside it, the job's next attempt writes over.
 *
 * All calls are a task's; they announce that they block. */
#ifndef JOBS_HTTP_SAVE_H
#define JOBS_HTTP_SAVE_H

#include "jobs/file_roots.h"

#include <stdint.h>

struct http_save {
    struct file_place place; /* of the target */
    char part[64];           /* the name beside it */
    int fd;                  /* of the part, -1 = not made yet */
    uint64_t bytes, bytes_max;
};

/* Finds the folder; nothing is made. 0, or a negative errno as file_roots_place(); deinit is
 * harmless after both. */
int http_save_init(struct http_save *save, char *const *roots, const char *path,
                   uint64_t job_id, uint64_t bytes_max);
/* -EFBIG beyond bytes_max. */
int http_save_write(struct http_save *save, const void *data, size_t len);
/* The part becomes the target; without a write before, an empty file does. */
int http_save_commit(struct http_save *save);
/* Removes the part unless it was committed. */
void http_save_deinit(struct http_save *save);

#endif
