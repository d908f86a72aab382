/* problem.h: errors as bodies (RFC 9457). What kinds there are stands in wire.c; what one says
 * about this request stands here: what failed, on what, why, and what to do. */
#ifndef API_PROBLEM_H
#define API_PROBLEM_H

#include "base/buf.h"

struct request;

/* Answers with the problem of that type (a word of wire.c). */
void problem(struct request *q, const char *type, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with one place in the document: errors[0].pointer. */
void problem_at(struct request *q, const char *type, const char *pointer, const char *what);
/* The answer for a negative errno of the engine or the store. */
void problem_errno(struct request *q, int r);
/* The answer for a positive enum engine_answer; job (may be NULL) is shown with a conflict. */
struct job;
void problem_engine(struct request *q, int answer, const struct job *job);

/* One place in a document that is wrong. */
struct problem_error {
    const char *pointer; /* JSON pointer */
    const char *detail;
};
/* A problem object without what belongs to a whole answer, for an item of a batch. */
void problem_put_item(struct buf *b, const char *type, const struct problem_error *error);
/* The same for an answer of the engine: positive, or a negative errno. */
void problem_put_engine(struct buf *b, int answer);
/* The same as an answer, with several places. */
void problem_list(struct request *q, const char *type, const struct problem_error *errors,
                  unsigned count, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#endif
