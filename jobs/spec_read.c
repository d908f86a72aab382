#include "jobs/spec_parts.h"

#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one reader a type ------------------------------------------------------------------- */

#define READER_ARGS                                                                            \
    const struct spec_field *field, const json_t *value, void *object,                         \
        const struct spec_place *place, struct spec_fault *fault

static void *target(const struct spec_field *field, void *object)
{
    return (char *)object + field->offset;
}

static unsigned *target_count(const struct spec_field *field, void *object)
{
    return (unsigned *)(void *)((char *)object + field->count_offset);
}

static bool has_nul(const json_t *string)
{
    return memchr(json_string_value(string), 0, json_string_length(string)) != NULL;
}

/* A string as C takes it, or a refusal at place. */
static int take_text(const json_t *value, int64_t bytes_min, int64_t bytes_max, char **ret,
                     const struct spec_place *place, struct spec_fault *fault)
{
    if (!json_is_string(value))
        return spec_refuse(place, fault, "must be a string");

    size_t len = json_string_length(value);
    if (has_nul(value))
        return spec_refuse(place, fault, "must not contain a NUL byte");
    if (len < (size_t)bytes_min || len > (size_t)bytes_max)
        return spec_refuse(place, fault, "must have %lld to %lld bytes, not %zu",
                           (long long)bytes_min, (long long)bytes_max, len);
    *ret = str_dup_len(json_string_value(value), len);
    return *ret != NULL ? 0 : -ENOMEM;
}

static int read_text(READER_ARGS)
{
    if (!json_is_string(value))
        return spec_refuse_shape(field, value, place, fault);
    return take_text(value, field->min, field->max, target(field, object), place, fault);
}

static int read_bytes(READER_ARGS)
{
    size_t len = json_is_string(value) ? json_string_length(value) : 0;
    char **to = target(field, object);

    if (!json_is_string(value) || len > (size_t)field->max)
        return spec_refuse_shape(field, value, place, fault);
    free(*to); /* of another field for the same place, which the object's check refuses */
    *to = str_dup_len(json_string_value(value), len);
    if (*to == NULL)
        return -ENOMEM;
    *(size_t *)(void *)((char *)object + field->count_offset) = len;
    return 0;
}

static int read_name(READER_ARGS)
{
    if (!json_is_string(value) ||
        !str_is_name(json_string_value(value), json_string_length(value)))
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
    if (!json_is_string(value) || !path_is_plain(json_string_value(value)))
        return spec_refuse_shape(field, value, place, fault);
    return take_text(value, 1, SPEC_PATH_BYTES_MAX, target(field, object), place, fault);
}

static int read_flag(READER_ARGS)
{
    if (!json_is_boolean(value))
        return spec_refuse_shape(field, value, place, fault);
    *(bool *)target(field, object) = json_is_true(value);
    return 0;
}

static int read_integer(READER_ARGS)
{
    json_int_t i = json_integer_value(value);

    if (!json_is_integer(value) || i < field->min || i > field->max)
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
    double d = json_number_value(value);

    if (json_is_string(value) &&
        str_double(json_string_value(value), json_string_length(value), &d) < 0)
        return spec_refuse_shape(field, value, place, fault);
    if (!(json_is_number(value) || json_is_string(value)) || !isfinite(d) ||
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

    if (json_is_string(value))
        good = str_duration_ms(json_string_value(value), json_string_length(value), &ms) == 0;
    else
        good = json_is_number(value) && number_ms(json_number_value(value), field->max, &ms);
    if (!good || ms < field->min || ms > field->max)
        return spec_refuse_shape(field, value, place, fault);
    *(int64_t *)target(field, object) = ms;
    return 0;
}

static int read_size(READER_ARGS)
{
    uint64_t bytes;
    bool good;

    if (json_is_string(value)) {
        good = str_size(json_string_value(value), json_string_length(value), &bytes) == 0;
    } else {
        good = json_is_integer(value) && json_integer_value(value) >= 0;
        bytes = (uint64_t)json_integer_value(value);
    }
    if (!good || bytes < (uint64_t)field->min || bytes > (uint64_t)field->max)
        return spec_refuse_shape(field, value, place, fault);
    *(uint64_t *)target(field, object) = bytes;
    return 0;
}

static int read_time(READER_ARGS)
{
    if (!json_is_string(value) ||
        str_time_ms(json_string_value(value), json_string_length(value),
                    target(field, object)) < 0)
        return spec_refuse_shape(field, value, place, fault);
    return 0;
}

static int read_names(READER_ARGS)
{
    size_t count = json_array_size(value);
    unsigned *done = target_count(field, object);
    const struct spec_field one = {.type = SPEC_NAME};

    if (!json_is_array(value) || count > (size_t)field->max)
        return spec_refuse_shape(field, value, place, fault);

    char **names = calloc(count + 1, sizeof *names);
    if (names == NULL)
        return -ENOMEM;
    *(char ***)target(field, object) = names;
    for (size_t i = 0; i < count; i++, (*done)++) {
        const struct spec_place at = {.up = place, .index = i};
        int r = read_name(&one, json_array_get(value, i), &names[i], &at, fault);
        if (r < 0)
            return r;
        for (size_t other = 0; other < i; other++)
            if (strcmp(names[other], names[i]) == 0) {
                (*done)++; /* so that it is freed with the rest */
                return spec_refuse(&at, fault, "is there twice: \"%s\"", names[i]);
            }
    }
    return 0;
}

static int read_codes(READER_ARGS)
{
    bool single = json_is_integer(value);
    size_t count = single ? 1 : json_array_size(value);

    if ((!single && !json_is_array(value)) || count > SPEC_CODES_MAX)
        return spec_refuse_shape(field, value, place, fault);

    int *codes = calloc(count + 1, sizeof *codes);
    if (codes == NULL)
        return -ENOMEM;
    *(int **)target(field, object) = codes;
    *target_count(field, object) = (unsigned)count;
    for (size_t i = 0; i < count; i++) {
        const struct spec_place at = {.up = place, .index = i};
        const json_t *code = single ? value : json_array_get(value, i);

        if (!json_is_integer(code) || json_integer_value(code) < field->min ||
            json_integer_value(code) > field->max)
            return spec_refuse(single ? place : &at, fault,
                               "must be an integer from %lld to %lld", (long long)field->min,
                               (long long)field->max);
        codes[i] = (int)json_integer_value(code);
    }
    return 0;
}

static int read_pair(const struct spec_field *field, const char *name, const json_t *value,
                     struct spec_pair *ret, const struct spec_place *place,
                     struct spec_fault *fault)
{
    int r = take_text(value, 0, SPEC_ARG_BYTES_MAX, &ret->value, place, fault);
    if (r < 0)
        return r;

    const char *wrong = field->pair(name, ret->value);
    if (wrong != NULL)
        return spec_refuse(place, fault, "%s", wrong);
    ret->name = str_dup(name);
    return ret->name != NULL ? 0 : -ENOMEM;
}

static int read_pairs(READER_ARGS)
{
    size_t count = json_object_size(value);
    unsigned *done = target_count(field, object);

    if (!json_is_object(value) || count > (size_t)field->max)
        return spec_refuse_shape(field, value, place, fault);

    struct spec_pair *pairs = calloc(count + 1, sizeof *pairs);
    if (pairs == NULL)
        return -ENOMEM;
    *(struct spec_pair **)target(field, object) = pairs;

    json_t *unconst = (json_t *)(uintptr_t)value; /* iteration changes nothing */
    void *i = json_object_iter(unconst);
    for (; i != NULL; i = json_object_iter_next(unconst, i)) {
        const char *name = json_object_iter_key(i);
        const struct spec_place at = {.up = place, .key = name};
        struct spec_pair *pair = &pairs[(*done)++]; /* freed whole or half */
        int r = read_pair(field, name, json_object_iter_value(i), pair, &at, fault);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The index of value among the words, or -1. */
static int find_word(const struct spec_field *field, const json_t *value)
{
    const char *const *words = field->more;

    for (int i = 0; json_is_string(value) && words[i] != NULL; i++)
        if (strcmp(words[i], json_string_value(value)) == 0 && !has_nul(value))
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
    char **to = target(field, object);

    if (find_word(field, value) < 0)
        return spec_refuse_shape(field, value, place, fault);
    *to = str_dup(json_string_value(value));
    return *to != NULL ? 0 : -ENOMEM;
}

static int read_mode(READER_ARGS)
{
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t len = strlen(text);

    if (len < 3 || len > 4 || strspn(text, "01234567") != len || has_nul(value))
        return spec_refuse_shape(field, value, place, fault);
    *(unsigned *)target(field, object) = (unsigned)strtoul(text, NULL, 8);
    return 0;
}

static int read_object(READER_ARGS)
{
    if (!json_is_object(value))
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

int spec_read_field(const struct spec_field *field, const json_t *value, void *object,
                    const struct spec_place *place, struct spec_fault *fault)
{
    spec_read_fn read = field->type == SPEC_CUSTOM ? field->read : readers[field->type];

    return read(field, value, object, place, fault);
}

int spec_read_table(const struct spec_table *table, const json_t *json, void *object,
                    const struct spec_place *place, struct spec_fault *fault)
{
    json_t *unconst = (json_t *)(uintptr_t)json; /* iteration changes nothing */
    void *i = json_object_iter(unconst);

    for (; i != NULL; i = json_object_iter_next(unconst, i)) {
        const char *key = json_object_iter_key(i);
        const json_t *value = json_object_iter_value(i);
        const struct spec_place at = {.up = place, .key = key};
        const struct spec_field *field = find_field(table, key);

        if (field == NULL)
            return spec_refuse_unknown(table, &at, fault);
        if (json_is_null(value))
            continue; /* null is absent, so that what is shown of a job can be sent again */
        int r = spec_read_field(field, value, object, &at, fault);
        if (r < 0)
            return r;
    }
    return table->check != NULL ? table->check(json, object, place, fault) : 0;
}
