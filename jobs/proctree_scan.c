#include "jobs/proctree_scan.h"

#include "base/buf.h"
#include "base/io.h"
#include "jobs/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define ENVIRON_BYTES_MAX (256u << 10) /* ours come first, but a shell sorts them anew */
#define STAT_BYTES 1024

static uint64_t read_mark(pid_t pid)
{
    uint64_t limit[2];

    return syscall(SYS_prlimit64, pid, RLIMIT_LOCKS, NULL, limit) < 0 ? 0 : limit[0];
}

/* "NAME=value" among the 0-terminated words. */
static bool has_word(const struct buf *words, const char *word)
{
    size_t len = strlen(word) + 1;

    for (const char *at = words->data, *end = at + words->len; at && at < end;) {
        size_t left = (size_t)(end - at);

        if (left >= len && memcmp(at, word, len) == 0)
            return true;
        const char *next = memchr(at, 0, left);
        at = next ? next + 1 : end;
    }
    return false;
}

static void read_environ(pid_t pid, struct buf *ret)
{
    char path[48];

    buf_clear(ret);
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *room = fd < 0 ? NULL : buf_reserve(ret, ENVIRON_BYTES_MAX);
    if (!room)
        return;
    /* What is beyond the bound is not looked at; the mark and descent are there besides. */
    ssize_t n = io_read_full(fd, room, ENVIRON_BYTES_MAX);
    if (n > 0)
        buf_commit(ret, (size_t)n);
}

static bool has_words(const struct proctree_ident *ident, pid_t pid, struct buf *words)
{
    char word[64];

    read_environ(pid, words);
    snprintf(word, sizeof word, "STINT_STATE=%016llx", (unsigned long long)ident->state_id);
    if (!has_word(words, word))
        return false;
    if (ident->mark == 0)
        return true;
    snprintf(word, sizeof word, "STINT_JOB_ID=%llu", (unsigned long long)ident->job_id);
    if (!has_word(words, word))
        return false;
    snprintf(word, sizeof word, "STINT_FENCE=%u", ident->fence);
    return has_word(words, word);
}

static bool has_mark(const struct proctree_ident *ident, pid_t pid)
{
    uint64_t mark = read_mark(pid);

    if (ident->mark != 0)
        return mark == ident->mark;
    /* Recovery: any attempt of this state folder. "Unlimited" has all bits, and is no mark. */
    return mark != UINT64_MAX && mark >> 32 == proctree_scan_mark(ident->state_id, 0) >> 32;
}

/* words is room for an environment, kept from process to process. */
static bool belongs(const struct proctree_ident *ident, pid_t pid, enum proctree_depth depth,
                    struct buf *words)
{
    if (has_mark(ident, pid))
        return true;
    if (ident->leader > 0 && getsid(pid) == ident->leader)
        return true;
    return depth == PROCTREE_DEEP && has_words(ident, pid, words);
}

bool proctree_scan_is_member(const struct proctree_ident *ident, pid_t pid,
                             enum proctree_depth depth)
{
    OWN_BUF struct buf words = BUF_INIT;

    return belongs(ident, pid, depth, &words);
}

/* State and parent follow the name, which is in brackets and may hold anything. */
static bool read_stat(pid_t pid, struct proctree_seen *ret)
{
    char path[48], text[STAT_BYTES + 1], state;
    int parent;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = io_read_full(fd, text, STAT_BYTES);
    if (n <= 0)
        return false;
    text[n] = 0;
    const char *name_end = strrchr(text, ')');
    if (!name_end || sscanf(name_end + 1, " %c %d", &state, &parent) != 2)
        return false;
    ret->parent = parent;
    ret->zombie = state == 'Z' || state == 'X';
    return true;
}

static struct proctree_seen *seen_add(struct proctree_scan *scan)
{
    if (scan->count == scan->cap) {
        size_t cap = scan->cap ? scan->cap * 2 : 256;
        struct proctree_seen *seen = reallocarray(scan->seen, cap, sizeof *seen);
        if (!seen)
            return NULL;
        scan->seen = seen;
        scan->cap = cap;
    }
    scan->seen[scan->count] = (struct proctree_seen){0};
    return &scan->seen[scan->count++];
}

static int look_at(const struct proctree_ident *ident, pid_t pid, enum proctree_depth depth,
                   struct buf *words, struct proctree_scan *scan)
{
    struct proctree_seen seen = {.pid = pid};

    seen.member = ident && (pid == ident->leader || belongs(ident, pid, depth, words));
    /* A quick scan keeps members alone. */
    if (depth == PROCTREE_QUICK && !seen.member)
        return 0;
    if (!read_stat(pid, &seen))
        return 0; /* it has gone meanwhile */
    struct proctree_seen *room = seen_add(scan);
    if (!room)
        return -ENOMEM;
    *room = seen;
    return 0;
}

static int by_pid(const void *a, const void *b)
{
    const struct proctree_seen *left = a, *right = b;

    return (left->pid > right->pid) - (left->pid < right->pid);
}

static struct proctree_seen *find(struct proctree_scan *scan, pid_t pid)
{
    const struct proctree_seen key = {.pid = pid};

    return bsearch(&key, scan->seen, scan->count, sizeof key, by_pid);
}

/* Children of members are members, until nothing changes. Parents mostly have the lower number,
 * so this is two passes nearly always. */
static void add_descendants(struct proctree_scan *scan)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < scan->count; i++) {
            struct proctree_seen *seen = &scan->seen[i];
            const struct proctree_seen *parent = seen->member ? NULL : find(scan, seen->parent);

            if (parent && parent->member)
                changed = seen->member = true;
        }
    }
}

/* A daemon that one of its own jobs started again must not kill itself. */
static void remove_ancestors(struct proctree_scan *scan)
{
    pid_t pid = getppid();

    for (size_t steps = scan->count; steps > 0; steps--) {
        struct proctree_seen *seen = find(scan, pid);
        if (!seen)
            return;
        seen->member = false;
        pid = seen->parent;
    }
}

static int scan_all(const struct proctree_ident *ident, enum proctree_depth depth,
                    struct proctree_scan *scan)
{
    OWN(folder_close) DIR *dir = opendir("/proc");
    OWN_BUF struct buf words = BUF_INIT;
    pid_t self = getpid();

    if (!dir)
        return -errno;
    for (struct dirent *entry; (entry = folder_next(dir)) != NULL;) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);

        if (pid <= 1 || *end || pid == self)
            continue;
        int r = look_at(ident, (pid_t)pid, depth, &words, scan);
        if (r < 0)
            return r;
    }
    return 0;
}

int proctree_scan(const struct proctree_ident *ident, enum proctree_depth depth,
                  struct proctree_scan *ret)
{
    struct proctree_scan scan = {0};

    int r = scan_all(ident, depth, &scan);
    if (r < 0) {
        proctree_scan_deinit(&scan);
        return r;
    }
    if (scan.count > 0)
        qsort(scan.seen, scan.count, sizeof *scan.seen, by_pid);
    if (ident && depth == PROCTREE_DEEP) {
        if (ident->mark == 0)
            remove_ancestors(&scan);
        add_descendants(&scan);
    }
    *ret = scan;
    return 0;
}

void proctree_scan_deinit(struct proctree_scan *scan)
{
    free(scan->seen);
    *scan = (struct proctree_scan){0};
}

bool proctree_scan_parent_is(pid_t pid, pid_t parent)
{
    struct proctree_seen seen = {.pid = pid};

    return read_stat(pid, &seen) && seen.parent == parent;
}

bool proctree_scan_has_marks(void)
{
    uint64_t limit[2];

    return syscall(SYS_prlimit64, 0, RLIMIT_LOCKS, NULL, limit) == 0 && limit[1] == UINT64_MAX;
}
