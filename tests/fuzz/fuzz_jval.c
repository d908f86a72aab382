/* Any bytes: read as jansson reads them, value by value, or refused as jansson refuses them;
 * and what was read, written compactly, reads the same again. */
#include "base/err.h"
#include "base/jval.h"
#include "base/str.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_same(const struct jval *v, json_t *other);

static void check_members(const struct jval *v, json_t *other)
{
    void *i = json_object_iter(other);

    assert_always(v->count == json_object_size(other));
    jval_each_name(name, v)
    {
        assert_always(name->count == json_object_iter_key_len(i));
        assert_always(memcmp(name->string, json_object_iter_key(i), name->count + 1) == 0);
        assert_always(jval_find(v, name->string) == jval_named(name));
        check_same(jval_named(name), json_object_iter_value(i));
        i = json_object_iter_next(other, i);
    }
}

static void check_items(const struct jval *v, json_t *other)
{
    size_t i = 0;

    jval_each(item, v) check_same(item, json_array_get(other, i++));
    assert_always(i == v->count && i == json_array_size(other));
}

static void check_same(const struct jval *v, json_t *other)
{
    static const json_type types[] = {
        [JVAL_NULL] = JSON_NULL,       [JVAL_FALSE] = JSON_FALSE,  [JVAL_TRUE] = JSON_TRUE,
        [JVAL_INTEGER] = JSON_INTEGER, [JVAL_REAL] = JSON_REAL,    [JVAL_STRING] = JSON_STRING,
        [JVAL_ARRAY] = JSON_ARRAY,     [JVAL_OBJECT] = JSON_OBJECT};

    assert_always(types[v->type] == json_typeof(other));
    if (v->type == JVAL_OBJECT)
        check_members(v, other);
    else if (v->type == JVAL_ARRAY)
        check_items(v, other);
    else if (v->type == JVAL_STRING)
        assert_always(v->count == json_string_length(other) &&
                      memcmp(v->string, json_string_value(other), v->count + 1) == 0);
    else if (v->type == JVAL_INTEGER)
        assert_always(v->integer == json_integer_value(other));
    else if (v->type == JVAL_REAL)
        assert_always(memcmp(&v->real, &(double){json_real_value(other)}, sizeof v->real) == 0);
}

static void check_again(const struct jval *v, json_t *other)
{
    char error[JVAL_ERROR_BYTES];
    struct jval *again = NULL;
    size_t text_len = 0;
    char *text = jval_text(v, &text_len);

    assert_always(text != NULL && jval_read(text, text_len, &again, error) == 0);
    check_same(again, other);
    free(again);
    free(text);
}

/* What is refused for its size, and bytes of 0, which jansson passes over between tokens. */
static bool is_ours_alone(const uint8_t *data, size_t len, const char *error)
{
    return memchr(data, 0, len) != NULL || strstr(error, "nested") != NULL ||
           strstr(error, "more than") != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char error[JVAL_ERROR_BYTES] = "";
    struct jval *v = NULL;
    char *text = malloc(len > 0 ? len : 1); /* so that a byte too far is seen */

    assert_always(text != NULL);
    memcpy(text, data, len);

    int r = jval_read(text, len, &v, error);
    json_t *other =
        json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &(json_error_t){0});

    if (r == 0) {
        assert_always(other != NULL);
        check_same(v, other);
        check_again(v, other);
    } else {
        assert_always(r == -ENOMEM || (str_is_utf8(error, strlen(error)) && error[0] != '\0'));
        assert_always(other == NULL || is_ours_alone(data, len, error));
    }
    json_decref(other);
    free(v);
    free(text);
    return 0;
}
