#include "jobs/spec_parts.h"

#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one reader a type ------------------------------------------------------------------- */

#define READER_ARGS                                                                            \
    const struct spec_field *field, const struct jval *value, void *object,                    \
        const struct spec_place *place, struct spec_fault *fault

static void *target(const struct spec_field *field, void *object)
{
    return (char *)object + field->offset;
}

static unsigned *target_count(const struct spec_field *field, void *object)
{
    return (unsigned *)(void *)((char *)object + field->count_offset);
}

static bool has_nul(const struct jval *string)
{
    return memchr(jval_string(string), 0, jval_count(string, JVAL_STRING)) != NULL;
}

/* A string as C takes it, or a refusal at place. */
static int take_text(const struct jval *value, int64_t bytes_min, int64_t bytes_max,
                     const char **ret, const struct spec_place *place, struct spec_fault *fault)
{
    if (!jval_is(value, JVAL_STRING))
        return spec_refuse(place, fault, "must be a string");

    size_t len = jval_count(value, JVAL_STRING);
    if (has_nul(value))
        return spec_refuse(place, fault, "must not contain a NUL byte");
    if (len < (size_t)bytes_min || len > (size_t)bytes_max)
        return spec_refuse(place, fault, "must have %lld to %lld bytes, not %zu",
                           (long long)bytes_min, (long long)bytes_max, len);
    *ret = jval_string(value);
    return 0;
}

static int read_text(READER_ARGS)
{
    if (!jval_is(value, JVAL_STRING))
        return spec_refuse_shape(field, value, place, fault);
    return take_text(value, field->min, field->max, target(field, object), place, fault);
}

static int read_bytes(READER_ARGS)
{
    size_t len = jval_is(value, JVAL_STRING) ? jval_count(value, JVAL_STRING) : 0;
    const char **to = target(field, object);

    if (!jval_is(value, JVAL_STRING) || len > (size_t)field->max)
        return spec_refuse_shape(field, value, place, fault);
    *to = jval_string(value);
    *(size_t *)(void *)((char *)object + field->count_offset) = len;
    return 0;
}

static int read_name(READER_ARGS)
{
    if (!jval_is(value, JVAL_STRING) ||
        !str_is_name(jval_string(value), jval_count(value, JVAL_STRING)))
        return spec_refuse_shape(field, value, place, fault);
    return take_text(value, 1, SPEC_NAME_BYTES_MAX, target(field, object), place, fault);
}

static bool path_is_plain(const char *path)
{
    if (path[0] != '/')
        return false;
    for (const char *c = path; (c = strstr(c, "/..")) != NULL; c += 3)
        if (c[3] == '/' || c[3] == 0)
            return false;
    return true;
}

static int read_path(READER_ARGS)
{
    if (!jval_is(value, JVAL_STRING) || !path_is_plain(jval_string(value)))
        return spec_refuse_shape(field, value, place, fault);
    return take_text(value, 1, SPEC_PATH_BYTES_MAX, target(field, object), place, fault);
}

static int read_flag(READER_ARGS)
{
    if (!jval_is_flag(value))
        return spec_refuse_shape(field, value, place, fault);
    *(bool *)target(field, object) = jval_is(value, JVAL_TRUE);
    return 0;
}

static int read_integer(READER_ARGS)
{
    int64_t i = jval_integer(value);

    if (!jval_is(value, JVAL_INTEGER) || i < field->min || i > field->max)
        return spec_refuse_shape(field, value, place, fault);
    if (field->type == SPEC_I32)
        *(int32_t *)target(field, object) = (int32_t)i;
    else if (field->type == SPEC_U32)
        *(uint32_t *)target(field, object) = (uint32_t)i;
    else
        *(uint64_t *)target(field, object) = (uint64_t)i;
    return 0;
}

static int read_real(READER_ARGS)
{
    double d = jval_number(value);

    if (jval_is(value, JVAL_STRING) &&
        str_double(jval_string(value), jval_count(value, JVAL_STRING), &d) < 0)
        return spec_refuse_shape(field, value, place, fault);
    if (!(jval_is_number(value) || jval_is(value, JVAL_STRING)) || !isfinite(d) ||
        d * 100 < (double)field->min || d * 100 > (double)field->max)
        return spec_refuse_shape(field, value, place, fault);
    *(double *)target(field, object) = d;
    return 0;
}

/* Compares before it converts: a double beyond int64_t must not reach llround. */
static bool number_ms(double seconds, int64_t ms_max, int64_t *ret)
{
    if (!isfinite(seconds) || seconds < 0 || seconds * 1000 > (double)ms_max)
        return false;
    *ret = llround(seconds * 1000);
    return true;
}

static int read_span(READER_ARGS)
{
    int64_t ms;
    bool good;

    if (jval_is(value, JVAL_STRING))
        good = str_duration_ms(jval_string(value), jval_count(value, JVAL_STRING), &ms) == 0;
    else
        good = jval_is_number(value) && number_ms(jval_number(value), field->max, &ms);
    if (!good || ms < field->min || ms > field->max)
        return spec_refuse_shape(field, value, place, fault);
    *(int64_t *)target(field, object) = ms;
    return 0;
}

static int read_size(READER_ARGS)
{
    uint64_t bytes;
    bool good;

    if (jval_is(value, JVAL_STRING)) {
        good = str_size(jval_string(value), jval_count(value, JVAL_STRING), &bytes) == 0;
    } else {
        good = jval_is(value, JVAL_INTEGER) && jval_integer(value) >= 0;
        bytes = (uint64_t)jval_integer(value);
    }
    if (!good || bytes < (uint64_t)field->min || bytes > (uint64_t)field->max)
        return spec_refuse_shape(field, value, place, fault);
    *(uint64_t *)target(field, object) = bytes;
    return 0;
}

static int read_time(READER_ARGS)
{
    if (!jval_is(value, JVAL_STRING) ||
        str_time_ms(jval_string(value), jval_count(value, JVAL_STRING), target(field, object)) <
            0)
        return spec_refuse_shape(field, value, place, fault);
    return 0;
}

static int read_names(READER_ARGS)
{
    size_t count = jval_count(value, JVAL_ARRAY);
    unsigned *done = target_count(field, object);
    const struct spec_field one = {.type = SPEC_NAME};

    if (!jval_is(value, JVAL_ARRAY) || count > (size_t)field->max)
        return spec_refuse_shape(field, value, place, fault);

    const char **names = calloc(count + 1, sizeof *names);
    if (names == NULL)
        return -ENOMEM;
    *(const char ***)target(field, object) = names;
    jval_each(item, value)
    {
        const struct spec_place at = {.up = place, .index = *done};
        const char *name = NULL;
        int r = read_name(&one, item, &name, &at, fault);
        if (r < 0)
            return r;
        for (unsigned i = 0; i < *done; i++)
            if (strcmp(names[i], name) == 0)
                return spec_refuse(&at, fault, "is there twice: \"%s\"", name);
        names[(*done)++] = name;
    }
    return 0;
}

static int read_code(const struct spec_field *field, const struct jval *value, int *ret,
                     const struct spec_place *place, struct spec_fault *fault)
{
    if (!jval_is(value, JVAL_INTEGER) || jval_integer(value) < field->min ||
        jval_integer(value) > field->max)
        return spec_refuse(place, fault, "must be an integer from %lld to %lld",
                           (long long)field->min, (long long)field->max);
    *ret = (int)jval_integer(value);
    return 0;
}

static int read_codes(READER_ARGS)
{
    bool single = jval_is(value, JVAL_INTEGER);
    size_t count = single ? 1 : jval_count(value, JVAL_ARRAY);

    if ((!single && !jval_is(value, JVAL_ARRAY)) || count > SPEC_CODES_MAX)
        return spec_refuse_shape(field, value, place, fault);

    int *codes = calloc(count + 1, sizeof *codes);
    if (codes == NULL)
        return -ENOMEM;
    *(int **)target(field, object) = codes;
    *target_count(field, object) = (unsigned)count;
    if (single)
        return read_code(field, value, codes, place, fault);

    struct spec_place at = {.up = place};
    int r = 0;
    jval_each(item, value)
    {
        if (r == 0)
            r = read_code(field, item, &codes[at.index], &at, fault);
        at.index++;
    }
    return r;
}

static int read_pair(const struct spec_field *field, const char *name, const struct jval *value,
                     struct spec_pair *ret, const struct spec_place *place,
                     struct spec_fault *fault)
{
    int r = take_text(value, 0, SPEC_ARG_BYTES_MAX, &ret->value, place, fault);
    if (r < 0)
        return r;

    const char *wrong = field->pair(name, ret->value);
    if (wrong != NULL)
        return spec_refuse(place, fault, "%s", wrong);
    ret->name = name;
    return 0;
}

static int read_pairs(READER_ARGS)
{
    size_t count = jval_count(value, JVAL_OBJECT);
    unsigned *done = target_count(field, object);

    if (!jval_is(value, JVAL_OBJECT) || count > (size_t)field->max)
        return spec_refuse_shape(field, value, place, fault);

    struct spec_pair *pairs = calloc(count + 1, sizeof *pairs);
    if (pairs == NULL)
        return -ENOMEM;
    *(struct spec_pair **)target(field, object) = pairs;

    jval_each_name(name, value)
    {
        const struct spec_place at = {.up = place, .key = name->string};
        int r = read_pair(field, name->string, jval_named(name), &pairs[(*done)++], &at, fault);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The index of value among the words, or -1. */
static int find_word(const struct spec_field *field, const struct jval *value)
{
    const char *const *words = field->more;

    for (int i = 0; jval_is(value, JVAL_STRING) && words[i] != NULL; i++)
        if (strcmp(words[i], jval_string(value)) == 0 && !has_nul(value))
            return i;
    return -1;
}

static int read_word(READER_ARGS)
{
    int word = find_word(field, value);

    if (word < 0)
        return spec_refuse_shape(field, value, place, fault);
    memcpy(target(field, object), &word, sizeof word);
    return 0;
}

static int read_choice(READER_ARGS)
{
    const char **to = target(field, object);

    if (find_word(field, value) < 0)
        return spec_refuse_shape(field, value, place, fault);
    *to = jval_string(value);
    return 0;
}

static int read_mode(READER_ARGS)
{
    const char *text = jval_is(value, JVAL_STRING) ? jval_string(value) : "";
    size_t len = strlen(text);

    if (len < 3 || len > 4 || strspn(text, "01234567") != len || has_nul(value))
        return spec_refuse_shape(field, value, place, fault);
    *(unsigned *)target(field, object) = (unsigned)strtoul(text, NULL, 8);
    return 0;
}

static int read_object(READER_ARGS)
{
    if (!jval_is(value, JVAL_OBJECT))
        return spec_refuse_shape(field, value, place, fault);
    return spec_read_table(field->more, value, target(field, object), place, fault);
}

static const spec_read_fn readers[SPEC_TYPES] = {
    [SPEC_TEXT] = read_text,     [SPEC_BYTES] = read_bytes,   [SPEC_NAME] = read_name,
    [SPEC_PATH] = read_path,     [SPEC_FLAG] = read_flag,     [SPEC_I32] = read_integer,
    [SPEC_U32] = read_integer,   [SPEC_U64] = read_integer,   [SPEC_REAL] = read_real,
    [SPEC_SPAN] = read_span,     [SPEC_SIZE] = read_size,     [SPEC_TIME] = read_time,
    [SPEC_NAMES] = read_names,   [SPEC_CODES] = read_codes,   [SPEC_PAIRS] = read_pairs,
    [SPEC_WORD] = read_word,     [SPEC_CHOICE] = read_choice, [SPEC_MODE] = read_mode,
    [SPEC_OBJECT] = read_object,
};

/* ---- the doors --------------------------------------------------------------------------- */

static const struct spec_field *find_field(const struct spec_table *table, const char *key)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->fields[i].name[0] == key[0] && strcmp(table->fields[i].name, key) == 0)
            return &table->fields[i];
    return NULL;
}

int spec_read_field(const struct spec_field *field, const struct jval *value, void *object,
                    const struct spec_place *place, struct spec_fault *fault)
{
    spec_read_fn read = field->type == SPEC_CUSTOM ? field->read : readers[field->type];

    return read(field, value, object, place, fault);
}

int spec_read_table(const struct spec_table *table, const struct jval *json, void *object,
                    const struct spec_place *place, struct spec_fault *fault)
{
    jval_each_name(name, json)
    {
        const struct jval *value = jval_named(name);
        const struct spec_place at = {.up = place, .key = name->string};
        const struct spec_field *field = find_field(table, name->string);

        if (field == NULL)
            return spec_refuse_unknown(table, &at, fault);
        if (jval_is(value, JVAL_NULL))
            continue; /* null is absent, so that what is shown of a job can be sent again */
        int r = spec_read_field(field, value, object, &at, fault);
        if (r < 0)
            return r;
    }
    return table->check != NULL ? table->check(json, object, place, fault) : 0;
}
