#include "jobs/document.h"

#include <string.h>

/* Behind the string that begins at p (a quote). */
static const char *skip_string(const char *p)
{
    for (p++; *p != '\0' && *p != '"'; p++)
        if (*p == '\\' && p[1] != '\0')
            p++;
    return *p == '"' ? p + 1 : p;
}

/* Behind the value that begins at p. */
static const char *skip_value(const char *p)
{
    unsigned depth = 0;

    while (*p != '\0') {
        if (*p == '"') {
            p = skip_string(p);
            if (depth == 0)
                return p;
            continue;
        }
        if (depth == 0 && (*p == ',' || *p == '}' || *p == ']'))
            return p;
        if (*p == '{' || *p == '[')
            depth++;
        if (*p == '}' || *p == ']') {
            p++;
            if (--depth == 0)
                return p;
            continue;
        }
        p++;
    }
    return p;
}

bool document_next(const char **at, struct document_member *ret)
{
    const char *p = *at, *colon;

    if ((*p != '{' && *p != ',') || p[1] != '"')
        return false;
    colon = skip_string(p + 1);
    if (*colon != ':')
        return false;
    *ret = (struct document_member){
        .key = p + 2, .key_len = (size_t)(colon - p) - 3, .value = colon + 1};
    *at = skip_value(ret->value);
    ret->value_len = (size_t)(*at - ret->value);
    return true;
}

bool document_element(const char **at, const char **ret, size_t *ret_len)
{
    const char *p = *at;

    if ((*p != '[' && *p != ',') || p[1] == ']' || p[1] == '\0')
        return false;
    *ret = p + 1;
    *at = skip_value(*ret);
    *ret_len = (size_t)(*at - *ret);
    return true;
}

bool document_key_is(const struct document_member *member, const char *key)
{
    return strlen(key) == member->key_len && memcmp(member->key, key, member->key_len) == 0;
}

bool document_find(const char *object, const char *key, struct document_member *ret)
{
    while (document_next(&object, ret))
        if (document_key_is(ret, key))
            return true;
    return false;
}
