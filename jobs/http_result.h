/* http_result.h: what is told of an answer: {"status", "bytes", "headers", "body"}. */
#ifndef JOBS_HTTP_RESULT_H
#define JOBS_HTTP_RESULT_H

struct buf;
struct http_response;

/* Where the answer came from and went, beside what is in the response. */
struct http_result_notes {
    const char *url;      /* the last one after redirects; NULL = the job's own */
    const char *saved_to; /* NULL: the body is in the result */
};

/* Appends JSON. The body is text when it is UTF-8 without NUL, else "body_base64". Names of
 * headers are in lower case, repeated ones joined by commas; the values of cookies are not
 * kept, they are secrets. */
void http_result_put(struct buf *b, const struct http_response *response,
                     const struct http_result_notes *notes);

#endif
