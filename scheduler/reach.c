#include "scheduler/reach.h"

#include "scheduler/sanitizer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REACH_BYTES_MAX (UINT64_C(1) << 30)
#define PAGE_BYTES 4096U
#define PAGES_AT_ONCE 512U
#define PAGE_HAS_CONTENT (UINT64_C(3) << 62) /* present or swapped */

/* What the tools keep for themselves: shadows, and under TSan a word for each lock it saw. */
static bool is_the_tools(const struct range *m, bool file)
{
#if defined(SANITIZER_TSAN)
    bool program = m->begin >= 0x550000000000 && m->end <= 0x568000000000;
    bool heap = m->begin >= 0x7b0000000000 && m->end <= 0x7c0000000000;
    return !program && !heap && !file;
#elif defined(SANITIZER_ASAN)
    (void)file;
    return m->end <= 0x100080000000 && m->begin >= 0x7fff0000;
#else
    (void)m, (void)file;
    return false;
#endif
}

int reach_open(struct reach *r)
{
    r->mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    r->pages = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    r->hidden_len = 0;
    if (r->mem >= 0 && r->pages >= 0)
        return 0;
    int error = -errno;
    reach_close(r);
    return error;
}

void reach_close(struct reach *r)
{
    if (r->mem >= 0)
        close(r->mem);
    if (r->pages >= 0)
        close(r->pages);
    r->mem = r->pages = -1;
}

bool reach_hide(struct reach *r, const void *at, size_t bytes)
{
    if (r->hidden_len == REACH_HIDDEN_MAX)
        return false;
    r->hidden[r->hidden_len++] = (struct range){(uintptr_t)at, (uintptr_t)at + bytes};
    return true;
}

static int by_begin(const void *a, const void *b)
{
    const struct range *x = a, *y = b;

    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

void reach_seal(struct reach *r)
{
    unsigned kept = 0;

    qsort(r->hidden, r->hidden_len, sizeof *r->hidden, by_begin);
    for (unsigned i = 0; i < r->hidden_len; i++) {
        if (kept > 0 && r->hidden[i].begin <= r->hidden[kept - 1].end) {
            if (r->hidden[i].end > r->hidden[kept - 1].end)
                r->hidden[kept - 1].end = r->hidden[i].end;
        } else {
            r->hidden[kept++] = r->hidden[i];
        }
    }
    r->hidden_len = kept;
}

bool reach_peek(const struct reach *r, const void *at, void *ret, size_t bytes)
{
    return pread(r->mem, ret, bytes, (off_t)(uintptr_t)at) == (ssize_t)bytes;
}

/* A page that cannot be read (a device's, or gone meanwhile) holds no pointer of the program.
 */
static int deliver(struct reach *r, uintptr_t begin, uintptr_t end)
{
    uintptr_t at = (begin + sizeof(uintptr_t) - 1) & ~(sizeof(uintptr_t) - 1);

    while (at < end) {
        size_t bytes = end - at < sizeof r->chunk ? end - at : sizeof r->chunk;
        if (!r->go_on(r->ctx))
            return -EINTR;
        ssize_t n = pread(r->mem, r->chunk, bytes, (off_t)at);
        if (n < 0 && errno != EIO && errno != EFAULT)
            return -errno;
        size_t words = n > 0 ? (size_t)n / sizeof(uintptr_t) : 0;
        r->words(r->ctx, r->chunk, words);
        at = words > 0 ? at + words * sizeof(uintptr_t) : (at | (PAGE_BYTES - 1)) + 1;
    }
    return 0;
}

/* The first hidden range that ends behind `at`. */
static unsigned hidden_from(const struct reach *r, uintptr_t at)
{
    unsigned low = 0, high = r->hidden_len;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        if (r->hidden[mid].end <= at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

int reach_part(struct reach *r, uintptr_t begin, uintptr_t end)
{
    int error = 0;

    for (unsigned i = hidden_from(r, begin); begin < end && error == 0; i++) {
        bool more = i < r->hidden_len && r->hidden[i].begin < end;
        uintptr_t to = more ? r->hidden[i].begin : end;
        if (to > begin)
            error = deliver(r, begin, to);
        begin = more ? r->hidden[i].end : end;
    }
    return error;
}

/* Runs of pages that were ever touched: a reserved stack is mostly none. */
static int read_mapping(struct reach *r, const struct range *m)
{
    uint64_t entries[PAGES_AT_ONCE];

    for (uintptr_t at = m->begin; at < m->end; at += PAGES_AT_ONCE * PAGE_BYTES) {
        size_t want = (m->end - at) / PAGE_BYTES;
        want = want < PAGES_AT_ONCE ? want : PAGES_AT_ONCE;
        ssize_t n = pread(r->pages, entries, want * sizeof *entries,
                          (off_t)(at / PAGE_BYTES * sizeof *entries));
        if (n < 0)
            return -errno;
        size_t pages = (size_t)n / sizeof *entries;
        for (size_t i = 0, run; i < pages; i = run + 1) {
            for (run = i; run < pages && (entries[run] & PAGE_HAS_CONTENT) != 0;)
                run++;
            r->bytes += (run - i) * PAGE_BYTES;
            int error = r->bytes > REACH_BYTES_MAX
                            ? -E2BIG
                            : reach_part(r, at + i * PAGE_BYTES, at + run * PAGE_BYTES);
            if (error < 0)
                return error;
        }
    }
    return 0;
}

/* A line of /proc/self/maps. */
static bool parse(const char *line, struct range *ret, bool *ret_writable, bool *ret_file)
{
    unsigned long begin, end, inode;
    char rights[5];

    if (sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu", &begin, &end, rights, &inode) != 4)
        return false;
    *ret = (struct range){begin, end};
    *ret_writable = rights[0] == 'r' && rights[1] == 'w';
    *ret_file = inode != 0;
    return true;
}

int reach_all(struct reach *r)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    struct range m;
    bool writable, file;
    char line[512];
    int error = 0;

    if (maps == NULL)
        return -errno;
    r->bytes = 0;
    while (error == 0 && fgets(line, sizeof line, maps) != NULL)
        if (parse(line, &m, &writable, &file) && writable && !is_the_tools(&m, file))
            error = read_mapping(r, &m);
    fclose(maps);
    return error;
}

uintptr_t reach_mapping(const void *at)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    uintptr_t begin = 0;
    struct range m;
    bool writable, file;
    char line[512];

    if (maps == NULL)
        return 0;
    while (begin == 0 && fgets(line, sizeof line, maps) != NULL)
        if (parse(line, &m, &writable, &file) && m.begin <= (uintptr_t)at &&
            (uintptr_t)at < m.end)
            begin = m.begin;
    fclose(maps);
    return begin;
}
