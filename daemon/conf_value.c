#include "daemon/conf_value.h"

#include "base/buf.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *conf_value_field(struct conf *conf, const struct conf_row *row)
{
    return (char *)conf + row->offset;
}

static void list_free(char **list)
{
    for (char **s = list; s != NULL && *s != NULL; s++)
        free(*s);
    free(list);
}

static bool fits(const struct conf_row *row, const char *text)
{
    return row->form == NULL || row->form->fits(text);
}

int conf_value_text(char **field, const char *value)
{
    char *copy = str_dup(value);
    if (copy == NULL)
        return -ENOMEM;

    free(*field);
    *field = copy;
    return 0;
}

/* Appends the words of value to the list; -ERANGE when they are too many, -EINVAL. */
static int list_add(const struct conf_row *row, char **list, const char *value)
{
    unsigned count = 0;

    while (list[count] != NULL)
        count++;
    for (const char *s = value;;) {
        s += strspn(s, " \t\n,");
        size_t len = strcspn(s, " \t\n,");
        if (len == 0)
            return 0;
        if (count == CONF_LIST_MAX)
            return -ERANGE;
        list[count] = str_dup_len(s, len);
        if (list[count] == NULL)
            return -ENOMEM;
        if (!fits(row, list[count++]))
            return -EINVAL;
        s += len;
    }
}

static int set_list(const struct conf_row *row, char ***field, const char *value)
{
    char **list = calloc(CONF_LIST_MAX + 1, sizeof *list);
    int r = list == NULL ? -ENOMEM : list_add(row, list, value);

    if (r < 0) {
        list_free(list);
        return r;
    }
    list_free(*field);
    *field = list;
    return 0;
}

int conf_value_bool(bool *field, const char *value)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};

    for (size_t i = 0; i < 4; i++) {
        if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
            *field = strcmp(value, yes[i]) == 0;
            return 0;
        }
    }
    return -EINVAL;
}

static bool is_word(const char *words, const char *value)
{
    size_t len = strlen(value);

    if (strchr(value, '|') != NULL)
        return false;
    for (const char *w = words; len > 0 && w != NULL; w = strchr(w, '|')) {
        w += *w == '|';
        if (strncmp(w, value, len) == 0 && (w[len] == '|' || w[len] == '\0'))
            return true;
    }
    return false;
}

static int set_number(const struct conf_row *row, void *field, const char *value)
{
    size_t len = strlen(value);
    uint64_t n = 0;
    int64_t span_ms = 0;
    int r = row->type == CONF_COUNT  ? str_u64(value, len, &n)
            : row->type == CONF_SIZE ? str_size(value, len, &n)
                                     : str_duration_ms(value, len, &span_ms);
    if (r < 0)
        return r;

    if (row->type == CONF_SPAN)
        n = (uint64_t)span_ms;
    if (n < row->min || n > row->max)
        return -ERANGE;
    if (row->type == CONF_SPAN)
        *(int64_t *)field = span_ms;
    else
        *(uint64_t *)field = n;
    return 0;
}

static int set_value(struct conf *conf, const struct conf_row *row, const char *value)
{
    void *field = conf_value_field(conf, row);

    switch (row->type) {
    case CONF_TEXT:
        return fits(row, value) ? conf_value_text(field, value) : -EINVAL;
    case CONF_WORD:
        return is_word(row->words, value) ? conf_value_text(field, value) : -EINVAL;
    case CONF_LIST:
        return set_list(row, field, value);
    case CONF_BOOL:
        return conf_value_bool(field, value);
    case CONF_COUNT:
    case CONF_SIZE:
    case CONF_SPAN:
        return set_number(row, field, value);
    }
    return -EINVAL;
}

static void put_bounds(const struct conf_row *row, struct buf *b)
{
    switch (row->type) {
    case CONF_COUNT:
        buf_putf(b, "a number from %llu to %llu", (unsigned long long)row->min,
                 (unsigned long long)row->max);
        break;
    case CONF_SIZE:
        buf_puts(b, "a size such as 512M, from ");
        str_put_size(b, row->min);
        buf_puts(b, " to ");
        str_put_size(b, row->max);
        break;
    case CONF_SPAN:
        buf_puts(b, "a span such as 90s or 5m, from ");
        str_put_duration(b, (int64_t)row->min);
        buf_puts(b, " to ");
        str_put_duration(b, (int64_t)row->max);
        break;
    case CONF_BOOL:
        buf_puts(b, "true or false");
        break;
    case CONF_WORD:
        buf_putf(b, "one of %s", row->words);
        break;
    case CONF_TEXT:
    case CONF_LIST:
        buf_puts(b, row->form != NULL ? row->form->what : "words");
        if (row->type == CONF_LIST)
            buf_putf(b, ", at most %d", CONF_LIST_MAX);
        break;
    }
}

static int refuse_value(const struct conf_row *row, const char *place, const char *value,
                        char *why)
{
    OWN_BUF struct buf bounds = BUF_INIT;

    put_bounds(row, &bounds);
    snprintf(why, CONF_WHY_BYTES, "%s%s[%s] %s = %.80s: must be %s", place != NULL ? place : "",
             place != NULL ? ": " : "", row->section, row->key, value, buf_str(&bounds));
    return -EINVAL;
}

int conf_value_set(struct conf *conf, const struct conf_row *row, const char *place,
                   const char *value, char *why)
{
    int r = set_value(conf, row, value);
    if (r == -ENOMEM)
        return r;

    return r < 0 ? refuse_value(row, place, value, why) : 0;
}

int conf_value_add(struct conf *conf, const struct conf_row *row, const char *value, char *why)
{
    int r = list_add(row, *(char ***)conf_value_field(conf, row), value);

    return r < 0 && r != -ENOMEM ? refuse_value(row, NULL, value, why) : r;
}

void conf_value_put(const struct conf *conf, const struct conf_row *row, struct buf *b)
{
    const void *field = (const char *)conf + row->offset;

    switch (row->type) {
    case CONF_TEXT:
    case CONF_WORD:
        buf_puts(b, *(char *const *)field);
        break;
    case CONF_LIST:
        for (char **s = *(char **const *)field; s != NULL && *s != NULL; s++)
            buf_putf(b, "%s%s", s == *(char **const *)field ? "" : " ", *s);
        break;
    case CONF_BOOL:
        buf_puts(b, *(const bool *)field ? "true" : "false");
        break;
    case CONF_COUNT:
        buf_put_u64(b, *(const uint64_t *)field);
        break;
    case CONF_SIZE:
        str_put_size(b, *(const uint64_t *)field);
        break;
    case CONF_SPAN:
        str_put_duration(b, *(const int64_t *)field);
        break;
    }
}

void conf_value_free(struct conf *conf, const struct conf_row *row)
{
    void *field = conf_value_field(conf, row);

    if (row->type == CONF_LIST)
        list_free(*(char ***)field);
    else if (row->type == CONF_TEXT || row->type == CONF_WORD)
        free(*(char **)field);
}
