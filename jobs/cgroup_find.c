#include "jobs/cgroup_find.h"

#include "base/buf.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define PROC_TEXT_BYTES_MAX (1u << 20)
#define MOUNTINFO_ROOT 3 /* fields, counted from 0 */
#define MOUNTINFO_POINT 4

struct span {
    const char *at;
    size_t len;
};

static struct span field(const char *line, const char *end, unsigned index)
{
    for (; index > 0; index--) {
        const char *space = memchr(line, ' ', (size_t)(end - line));
        if (!space)
            return (struct span){0};
        line = space + 1;
    }
    const char *space = memchr(line, ' ', (size_t)(end - line));

    return (struct span){line, (size_t)((space ? space : end) - line)};
}

/* The first mount of type cgroup2: what it shows (root) and where (point). */
static int find_mount(const char *mountinfo, struct span *ret_root, struct span *ret_point)
{
    for (const char *line = mountinfo; *line;) {
        const char *end = strchrnul(line, '\n');
        const char *type = memmem(line, (size_t)(end - line), " - cgroup2 ", 11);

        if (type) {
            *ret_root = field(line, type, MOUNTINFO_ROOT);
            *ret_point = field(line, type, MOUNTINFO_POINT);
            return ret_point->len > 0 ? 0 : -ENOENT;
        }
        line = *end ? end + 1 : end;
    }
    return -ENOENT;
}

/* The line "0::/path". */
static int find_path(const char *self_cgroup, struct span *ret)
{
    const char *line = self_cgroup;

    if (strncmp(line, "0::/", 4) != 0) {
        line = strstr(self_cgroup, "\n0::/");
        if (!line)
            return -ENOENT;
        line++;
    }
    line += 3;
    *ret = (struct span){line, (size_t)(strchrnul(line, '\n') - line)};
    return 0;
}

static void drop_suffix(struct span *s, const char *suffix)
{
    size_t len = strlen(suffix);

    if (s->len >= len && memcmp(s->at + s->len - len, suffix, len) == 0)
        s->len -= len;
}

int cgroup_find_base(const char *mountinfo, const char *self_cgroup, char *ret,
                     size_t ret_bytes)
{
    struct span root, point, path;

    int r = find_mount(mountinfo, &root, &point);
    if (r == 0)
        r = find_path(self_cgroup, &path);
    if (r < 0)
        return r;
    /* A mount may show only a part of the tree, as in a container. */
    if (root.len > 1) {
        if (path.len < root.len || memcmp(path.at, root.at, root.len) != 0)
            return -ENOENT;
        path.at += root.len;
        path.len -= root.len;
    }
    drop_suffix(&path, "/" CGROUP_LEAF);
    while (path.len > 0 && path.at[path.len - 1] == '/')
        path.len--;
    int n =
        snprintf(ret, ret_bytes, "%.*s%.*s", (int)point.len, point.at, (int)path.len, path.at);

    return n < 0 || (size_t)n >= ret_bytes ? -ENAMETOOLONG : 0;
}

int cgroup_find_own(char *ret, size_t ret_bytes)
{
    OWN_BUF struct buf mountinfo = BUF_INIT;
    OWN_BUF struct buf self_cgroup = BUF_INIT;

    int r = io_file_read(AT_FDCWD, "/proc/self/mountinfo", PROC_TEXT_BYTES_MAX, &mountinfo);
    if (r == 0)
        r = io_file_read(AT_FDCWD, "/proc/self/cgroup", PROC_TEXT_BYTES_MAX, &self_cgroup);
    return r < 0 ? r
                 : cgroup_find_base(buf_str(&mountinfo), buf_str(&self_cgroup), ret, ret_bytes);
}
