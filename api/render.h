/* render.h: records as JSON, the one place for each. Appends; errors are the buf's. */
#ifndef API_RENDER_H
#define API_RENDER_H

#include "storage/record.h"

struct attempt_record;
struct buf;
struct lease;
struct lease_word;
struct queue_view;

/* The fields of DESIGN's job, in a fixed order; then what the document says besides. */
void render_job(struct buf *b, const struct job *job);
void render_attempt(struct buf *b, const struct attempt_record *attempt);
void render_queue(struct buf *b, const struct queue_view *queue);

/* What a worker is given; and the fields that answer its word, behind those that name it. */
void render_lease(struct buf *b, const struct lease *lease, int64_t now_ms);
void render_lease_told(struct buf *b, const struct lease_word *word, int64_t now_ms,
                       bool drain);
/* ,"key":29.998 */
void render_seconds(struct buf *b, const char *key, int64_t ms);

/* A tag that changes whenever render_job's text does, with its quotes. */
#define RENDER_TAG_BYTES 24
void render_job_tag(const struct job *job, char ret[RENDER_TAG_BYTES]);

#endif
