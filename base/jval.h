/* jval.h: JSON read into one block of memory: a row of values, each container before what is in
 * it, and behind them the bytes of their strings. free() of the first value frees all; until
 * then the strings are the owner's.
 *
 *     [1, {"a": "b"}]   →   array 2, span 5 | 1 | object 1, span 3 | "a" | "b"
 *
 * A library's tree costs an allocation for every value, and that was half of what a job in a
 * batch cost from the socket to the store. Here a document costs one, nothing is recursive, so
 * that a task's small stack is enough for any text, and every value knows where it was written,
 * so that a part of a document is passed on as it came.
 *
 * RFC 8259 and no more: UTF-8, no byte 0, an array or an object outermost; a name twice in one
 * object is refused, for readers differ in which one they take, and so are numbers that neither
 * int64_t nor double holds, and a name with \u0000 in it. Pure; any thread. */
#ifndef BASE_JVAL_H
#define BASE_JVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JVAL_DEPTH_MAX 32
#define JVAL_COUNT_MAX 500000 /* values and names of one text: 16 MB */
#define JVAL_ERROR_BYTES 200

enum jval_type {
    JVAL_NULL,
    JVAL_FALSE,
    JVAL_TRUE,
    JVAL_INTEGER,
    JVAL_REAL,
    JVAL_STRING,
    JVAL_ARRAY,
    JVAL_OBJECT
};

struct jval {
    enum jval_type type;
    uint32_t count;      /* items, members, or bytes of the string */
    uint32_t span;       /* values from this one to behind all that is in it */
    uint32_t source_len; /* as it was written, in the text that was read */
    const char *source;
    union {
        int64_t integer;
        double real;
        char *string; /* with a 0 behind it, and maybe within */
    };
};

/* Reads text, which must stay as long as any source is looked at. 0 and *ret, to be freed;
 * -EINVAL and a sentence with the place in error ("is not JSON: …"); -ENOMEM. */
int jval_read(const char *text, size_t len, struct jval **ret, char error[JVAL_ERROR_BYTES]);

/* The items of an array; nothing for other values. */
#define jval_each(item, array)                                                                 \
    for (const struct jval *item = (array) + 1; item < (array) + (array)->span;                \
         item += item->span)
/* The members of an object, by their names; the value of a name is jval_named(name). */
#define jval_each_name(name, object)                                                           \
    for (const struct jval *name = (object) + 1; name < (object) + (object)->span;             \
         name += 1 + name[1].span)

static inline const struct jval *jval_named(const struct jval *name)
{
    return name + 1;
}

/* NULL when v is no object, or has no such member. */
const struct jval *jval_find(const struct jval *v, const char *name);

static inline bool jval_is(const struct jval *v, enum jval_type type)
{
    return v != NULL && v->type == type;
}

/* Bytes of a string, items of an array, members of an object; 0 when it is of another type. */
static inline size_t jval_count(const struct jval *v, enum jval_type type)
{
    return jval_is(v, type) ? v->count : 0;
}

static inline bool jval_is_flag(const struct jval *v)
{
    return jval_is(v, JVAL_TRUE) || jval_is(v, JVAL_FALSE);
}

static inline bool jval_is_number(const struct jval *v)
{
    return jval_is(v, JVAL_INTEGER) || jval_is(v, JVAL_REAL);
}

/* 0 when it is no number. */
static inline double jval_number(const struct jval *v)
{
    return jval_is(v, JVAL_REAL) ? v->real : jval_is(v, JVAL_INTEGER) ? (double)v->integer : 0;
}

static inline int64_t jval_integer(const struct jval *v)
{
    return jval_is(v, JVAL_INTEGER) ? v->integer : 0;
}

/* NULL when it is no string. */
static inline char *jval_string(const struct jval *v)
{
    return jval_is(v, JVAL_STRING) ? v->string : NULL;
}

/* The value as it was written, without the white space between its tokens; to be freed. NULL
 * without memory. */
char *jval_text(const struct jval *v, size_t *ret_len);

#endif
