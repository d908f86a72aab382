/* spec.h: the document a user submits, read into a struct, or refused with the place and the
 * reason. The same code reads it again from the store when the job starts. One table per object
 * says field, type, bounds and where it goes; the manual's list is written from it.
 *
 *     {"exec": {"argv": ["convert", "in.png", "out.jpg"]}, "queue": "images", "retry": 3}
 *     {"http": {"url": "https://example.org/hook", "json": {"n": 1}}, "timeout": "30s"}
 *     {"file": {"op": "copy", "from": "/srv/a", "to": "/srv/b", "recursive": true}}
 *     {"worker": {"payload": {"photo": 17}, "lease": "30s"}, "queue": "thumbs"}
 *
 * Exactly one of exec, http, file, worker says the kind. A file job names its operation by "op"
 * beside its other fields, and not as {"file": {"copy": {…}}}: it is one level less to type and
 * to balance, "from" and "to" mean the same in every operation, and a wrong operation can be
 * answered with the list of right ones.
 *
 * null is absent, so that what is shown of a job can be sent again. Unknown fields are refused
 * by name, and so is a field that has no meaning for its operation: what is silently ignored is
 * a misunderstanding that nobody notices. A name twice in one object is refused too, since
 * readers of JSON differ in which one they take.
 *
 * S1  what spec_from_text accepted once, it accepts again from the store, by a newer version
 *     too: bounds may be widened, never narrowed.
 * S2  a refusal has freed all it made and written nothing but *fault.
 *
 * Nothing here parks, takes a lock or reads a clock. It needs a few KiB of stack: the depth of
 * a document is known before jansson, which recurses, sees it. */
#ifndef JOBS_SPEC_H
#define JOBS_SPEC_H

#include "storage/record.h"

#include <jansson.h>

#define SPEC_DOCUMENT_BYTES_MAX (1u << 20)
#define SPEC_JSON_DEPTH_MAX 32
#define SPEC_JSON_VALUES_MAX 500000 /* in one body: bounds what jansson may cost */
#define SPEC_ARGV_MAX 1024
#define SPEC_ENV_MAX 256
#define SPEC_TAGS_MAX 16
#define SPEC_HEADERS_MAX 64

struct spec_pair {
    char *name, *value;
};

enum stop_mode { STOP_GROUP, STOP_MIXED };

struct exec_spec {
    char **argv; /* NULL-terminated; with shell: {"/bin/sh", "-c", text, NULL} */
    char *cwd;   /* NULL = the state folder's scratch */
    struct spec_pair *env;
    unsigned env_count;
    char *stdin_text;      /* NULL = the null device */
    int stop_signal;       /* SIGTERM */
    int64_t stop_grace_ms; /* 10 s */
    enum stop_mode kill_mode;
    uint64_t memory_bytes, pids; /* 0 = no limit */
    double cpu;                  /* cores; 0 = no limit */
    int *success_codes, *fail_codes, *hold_codes, *retry_codes;
    unsigned success_count, fail_count, hold_count, retry_count;
};

struct http_spec {
    char *method, *url;
    struct spec_pair *headers;
    unsigned headers_count;
    char *body; /* NULL = none; "json" in the document becomes text and a content type here */
    size_t body_len;
    int *expect; /* status codes; none = 200 … 299 */
    unsigned expect_count;
    int *retry_status; /* status codes to try again on, besides the usual ones */
    unsigned retry_status_count;
    unsigned follow;             /* redirects allowed */
    char *save_to;               /* file below a configured root; NULL = in the result */
    uint64_t response_bytes_max; /* 0 = the kind's default */
};

enum file_op {
    FILE_COPY,
    FILE_MOVE,
    FILE_REMOVE,
    FILE_CHECKSUM,
    FILE_ARCHIVE,
    FILE_EXTRACT,
    FILE_WRITE
};

struct file_spec {
    enum file_op op;
    char *from, *to; /* absolute; what each op needs is checked when it is read */
    char *algorithm; /* checksum: sha256 (default), sha1, sha512, md5 … as OpenSSL names them */
    char *expect;    /* checksum: hex digest that must come out; NULL = any */
    char *format;    /* archive: tar.gz (default), tar, tar.zst, tar.xz, zip, cpio */
    char *text;      /* write */
    unsigned mode;   /* write: permissions, 0644 */
    bool recursive, overwrite;
};

/* The payload, any JSON, is not looked at: it stays in the document, from where it goes to the
 * worker that leases the job. */
struct worker_spec {
    int64_t lease_ms; /* 30 s */
};

struct retry_spec {
    uint32_t max_attempts; /* 10 */
    int64_t base_ms;       /* 5 s */
    double factor;         /* 2 */
    int64_t cap_ms;        /* 1 h */
};

struct spec {
    enum job_kind kind;
    char *name, *queue, *key; /* queue is never NULL: "default" */
    char **tags;
    unsigned tags_count;
    int32_t priority;
    bool hold;            /* submitted held */
    bool relaxed;         /* durability: relaxed */
    int64_t delay_ms;     /* 0 = none */
    int64_t run_at_ms;    /* 0 = none; not together with delay */
    int64_t timeout_ms;   /* of one attempt; 0 = none. Default 1 h */
    int64_t start_by_ms;  /* span from submission; 0 = none */
    int64_t retry_for_ms; /* span from submission over all attempts; 0 = none */
    struct retry_spec retry;
    struct exec_spec exec; /* only the one that kind names is filled */
    struct http_spec http;
    struct file_spec file;
    struct worker_spec worker;
    char *document; /* compact JSON of the whole submission, to be stored */
    size_t document_len;
};

/* What is wrong and where: "/exec/argv", "must be an array of 1 to 1024 strings". */
struct spec_fault {
    char pointer[160];
    char what[240];
};

/* Reads one object, which stands compact in text. 0; -EINVAL with *fault filled; -ENOMEM. Any
 * thread, any task. */
int spec_from_json(const json_t *object, const char *text, size_t len, struct spec **ret,
                   struct spec_fault *fault);
/* As above from text; refuses depth and size beyond the bounds before parsing. */
int spec_from_text(const char *text, size_t len, struct spec **ret, struct spec_fault *fault);
/* Once, before the first JSON of the process: its trees come from regions (base/region.h). */
void spec_json_prepare(void);
/* Parses a body with the bounds (UTF-8, depth, size) into JSON; for arrays of jobs. The caller
 * owns *ret. */
int spec_json(const char *text, size_t len, size_t bytes_max, json_t **ret,
              struct spec_fault *fault);
/* A copy of a well-formed text without the white space between its tokens, in a fifth of the
 * time that it takes to write it from its tree. NULL without memory; the caller frees it. */
char *spec_text_compact(const char *text, size_t len, size_t *ret_len);
void spec_free(struct spec *spec);
/* The row of a job submitted now; id 0, state not yet decided. NULL without memory. Takes
 * spec->document. */
struct job *spec_job(struct spec *spec, int64_t now_ms);

/* What the core needs to know of a leased job. */
struct lease_terms {
    int64_t lease_ms, timeout_ms; /* the latter of one attempt; 0 = none */
    struct retry_spec retry;
};
extern const struct lease_terms spec_usual_terms; /* of a document that says nothing else */
void spec_terms(const struct spec *spec, struct lease_terms *ret);
bool spec_terms_are_usual(const struct spec *spec);

/* For manuals and help: one line a field. */
struct buf;
void spec_describe(struct buf *ret);

#endif
