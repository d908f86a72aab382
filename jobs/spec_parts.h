/* spec_parts.h: what the reader of documents is made of. Internal to spec*.c.
 *
 * A table describes one JSON object: a row a field, with its type, its bounds, the place in the
 * struct where the value goes, and the sentence for the manual. spec_read.c knows the types,
 * spec_shape.c their words, spec_table.c holds the rows, spec_kinds.c holds what no row can say
 * (exactly one of two, what an operation needs), spec_json.c turns bytes into JSON and back. A
 * new field is a new row. */
#ifndef JOBS_SPEC_PARTS_H
#define JOBS_SPEC_PARTS_H

#include "jobs/spec.h"

#define SPEC_ARG_BYTES_MAX 131071     /* the kernel refuses longer ones: MAX_ARG_STRLEN */
#define SPEC_PATH_BYTES_MAX 4095      /* PATH_MAX without its 0 */
#define SPEC_TEXT_BYTES_MAX (1 << 20) /* a document has no more anyway */
#define SPEC_URL_BYTES_MAX 8000
#define SPEC_HEADER_BYTES_MAX 8000
#define SPEC_NAME_BYTES_MAX 128
#define SPEC_CODES_MAX 64
#define SPEC_FOLLOW_MAX 20
#define SPEC_SPAN_MS_MAX (INT64_C(3650) * 24 * 3600 * 1000) /* ten years */
#define SPEC_RESPONSE_BYTES_MAX (16 << 20)                  /* kept in a result */
#define SPEC_SAVED_BYTES_MAX (INT64_C(1) << 40)             /* written to a file */

/* Where the reader is: a chain of frames from the value up to the document. */
struct spec_place {
    const struct spec_place *up; /* NULL = the document itself */
    const char *key;             /* NULL = an element of an array, number index */
    size_t index;
};

enum spec_type {
    SPEC_TEXT,   /* char *, min … max bytes, no NUL */
    SPEC_BYTES,  /* char * and size_t at count_offset */
    SPEC_NAME,   /* char * */
    SPEC_PATH,   /* char * */
    SPEC_FLAG,   /* bool */
    SPEC_I32,    /* int32_t, min … max */
    SPEC_U32,    /* uint32_t, min … max */
    SPEC_U64,    /* uint64_t, min … max */
    SPEC_REAL,   /* double, min … max hundredths */
    SPEC_SPAN,   /* int64_t ms, min … max */
    SPEC_SIZE,   /* uint64_t bytes, min … max */
    SPEC_TIME,   /* int64_t ms since 1970 */
    SPEC_NAMES,  /* char ** and unsigned at count_offset, up to max */
    SPEC_CODES,  /* int * and unsigned at count_offset, each min … max */
    SPEC_PAIRS,  /* struct spec_pair * and unsigned at count_offset, up to max */
    SPEC_WORD,   /* an enum, whose words in order are more */
    SPEC_CHOICE, /* char *, one of the words of more */
    SPEC_MODE,   /* unsigned, octal permissions */
    SPEC_OBJECT, /* a struct read by the table that more points at */
    SPEC_CUSTOM, /* read says how, shape says what */
    SPEC_TYPES
};

struct spec_field;

/* Reads value into object (the struct that the table fills). 0, -EINVAL with *fault filled, or
 * -ENOMEM. */
typedef int (*spec_read_fn)(const struct spec_field *field, const json_t *value, void *object,
                            const struct spec_place *place, struct spec_fault *fault);
/* Checks one name and value of a SPEC_PAIRS: NULL, or what is wrong with it. */
typedef const char *(*spec_pair_fn)(const char *name, const char *value);
/* After all fields were read. */
typedef int (*spec_check_fn)(const json_t *json, void *object, const struct spec_place *place,
                             struct spec_fault *fault);

struct spec_field {
    const char *name;
    enum spec_type type;
    size_t offset, count_offset;
    int64_t min, max;
    const void *more; /* words, or the table of an object */
    spec_read_fn read;
    spec_pair_fn pair;
    const char *shape;    /* of SPEC_CUSTOM: "a string or …" */
    const char *fallback; /* what holds when it is absent, for the manual; NULL = nothing */
    const char *help;
};

struct spec_table {
    const struct spec_field *fields;
    size_t count;
    spec_check_fn check; /* NULL = none */
};

extern const struct spec_table spec_table_job;
extern const struct spec_table spec_table_retry;

/* spec_shape.c */

/* Fills *fault; -EINVAL always, so that a reader can return it. */
int spec_refuse(const struct spec_place *place, struct spec_fault *fault, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "must be an integer from 1 to 9, not a string": the row's own words, and what came. */
int spec_refuse_shape(const struct spec_field *field, const json_t *value,
                      const struct spec_place *place, struct spec_fault *fault);
/* place is that of a field which no row names: suggests one that is spelled almost so. */
int spec_refuse_unknown(const struct spec_table *table, const struct spec_place *place,
                        struct spec_fault *fault);
/* The words of a row's type and bounds: "an integer from 1 to 9". */
void spec_put_shape(struct buf *b, const struct spec_field *field);

/* spec_read.c */
int spec_read_table(const struct spec_table *table, const json_t *json, void *object,
                    const struct spec_place *place, struct spec_fault *fault);
/* One value by the reader of its type. */
int spec_read_field(const struct spec_field *field, const json_t *value, void *object,
                    const struct spec_place *place, struct spec_fault *fault);
/* spec_kinds.c: the custom readers and checks that the tables name. */
int spec_read_argv(const struct spec_field *field, const json_t *value, void *object,
                   const struct spec_place *place, struct spec_fault *fault);
int spec_read_shell(const struct spec_field *field, const json_t *value, void *object,
                    const struct spec_place *place, struct spec_fault *fault);
int spec_read_signal(const struct spec_field *field, const json_t *value, void *object,
                     const struct spec_place *place, struct spec_fault *fault);
int spec_read_retry(const struct spec_field *field, const json_t *value, void *object,
                    const struct spec_place *place, struct spec_fault *fault);
int spec_read_url(const struct spec_field *field, const json_t *value, void *object,
                  const struct spec_place *place, struct spec_fault *fault);
int spec_read_body_json(const struct spec_field *field, const json_t *value, void *object,
                        const struct spec_place *place, struct spec_fault *fault);
int spec_read_payload(const struct spec_field *field, const json_t *value, void *object,
                      const struct spec_place *place, struct spec_fault *fault);
int spec_read_durability(const struct spec_field *field, const json_t *value, void *object,
                         const struct spec_place *place, struct spec_fault *fault);
const char *spec_pair_env(const char *name, const char *value);
const char *spec_pair_header(const char *name, const char *value);
int spec_check_job(const json_t *json, void *object, const struct spec_place *place,
                   struct spec_fault *fault);
int spec_check_exec(const json_t *json, void *object, const struct spec_place *place,
                    struct spec_fault *fault);
int spec_check_http(const json_t *json, void *object, const struct spec_place *place,
                    struct spec_fault *fault);
int spec_check_file(const json_t *json, void *object, const struct spec_place *place,
                    struct spec_fault *fault);

/* The digests that checksum knows, by OpenSSL's names. */
struct spec_digest {
    const char *name;
    unsigned bytes;
};
extern const struct spec_digest spec_digests[];

/* spec_json.c */

/* Appends value as compact JSON; a value nested deeper than SPEC_JSON_DEPTH_MAX: -EINVAL. */
int spec_json_put(struct buf *b, const json_t *value);

#endif
