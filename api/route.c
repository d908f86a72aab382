/* route.c: from method and path to the row of the table. */
#include "api/server.h"

#include "base/str.h"

#include <string.h>

static const char *const names[METHOD_COUNT] = {
    [METHOD_OTHER] = "?",       [METHOD_GET] = "GET",         [METHOD_HEAD] = "HEAD",
    [METHOD_POST] = "POST",     [METHOD_PUT] = "PUT",         [METHOD_PATCH] = "PATCH",
    [METHOD_DELETE] = "DELETE", [METHOD_OPTIONS] = "OPTIONS",
};

enum method method_find(const char *word)
{
    for (enum method m = METHOD_GET; m < METHOD_COUNT; m++)
        if (strcmp(names[m], word) == 0)
            return m;
    return METHOD_OTHER;
}

const char *method_name(enum method method)
{
    return names[method];
}

static bool segment_matches(const char *pattern, size_t pattern_len, const char *path,
                            size_t len, struct route_match *ret)
{
    if (pattern[0] != '{')
        return pattern_len == len && memcmp(pattern, path, len) == 0;
    if (len == 0)
        return false;
    /* "{id}" or "{name}" */
    if (pattern[1] == 'i')
        return str_u64(path, len, &ret->id) == 0 && ret->id > 0;
    ret->name = path;
    ret->name_len = len;
    return true;
}

static bool path_matches(const char *pattern, const char *path, struct route_match *ret)
{
    for (;;) {
        size_t pattern_len = strcspn(pattern, "/"), len = strcspn(path, "/");

        if (!segment_matches(pattern, pattern_len, path, len, ret))
            return false;
        pattern += pattern_len;
        path += len;
        if (*pattern == '\0' || *path == '\0')
            return *pattern == *path;
        pattern++;
        path++;
    }
}

void route_find(const struct route *routes, unsigned count, enum method method,
                const char *path, struct route_match *ret)
{
    /* What GET answers, HEAD answers without its body; the library leaves that out. */
    enum method wanted = method == METHOD_HEAD ? METHOD_GET : method;

    *ret = (struct route_match){.route = NULL};
    for (unsigned i = 0; i < count; i++) {
        if (!path_matches(routes[i].pattern, path, ret))
            continue;
        ret->allow |= 1u << routes[i].method;
        if (routes[i].method == wanted) {
            ret->route = &routes[i];
            return;
        }
    }
}
