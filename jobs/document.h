/* document.h: looking into a stored document without reading it into a tree. It was written by
 * us, compact and checked, so its members can be found and copied as they stand; a tree would
 * cost more than all the rest of a job.
 *
 * Keys are compared as they are written: one that was sent with escapes for plain letters is
 * not found, and who cannot live with that reads the document the long way. Pure; any thread.
 */
#ifndef JOBS_DOCUMENT_H
#define JOBS_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

/* Borrowed from the text; the key is without its quotes. */
struct document_member {
    const char *key, *value;
    size_t key_len, value_len;
};

/* The members of an object one after another: *at is its text at first. False at its end. */
bool document_next(const char **at, struct document_member *ret);
/* The elements of an array in the same way. */
bool document_element(const char **at, const char **ret, size_t *ret_len);
bool document_find(const char *object, const char *key, struct document_member *ret);
bool document_key_is(const struct document_member *member, const char *key);

#endif
