#include "base/region.h"

#include <stdlib.h>

#define ALIGN ((size_t)16) /* malloc's */
#define CHUNK_BYTES_MIN 1024
#define CHUNK_BYTES_MAX (64 * 1024)

#if defined(__SANITIZE_ADDRESS__)
#define WATCHED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED true
#endif
#endif
#ifndef WATCHED
#define WATCHED false
#endif

struct chunk {
    size_t live; /* pieces, and one while it is at work */
    size_t used, size;
    _Alignas(ALIGN) char data[];
};

/* Before each piece. */
struct head {
    _Alignas(ALIGN) struct chunk *chunk; /* NULL: the piece is malloc's own */
};

/* Of who runs on this thread between begin and end. */
static __thread struct { /* nobody parks while it is set */
    struct chunk *chunk;
    size_t next_bytes; /* 0: outside of begin and end */
    bool failed;
} at_work;

/* Tasks that take turns on a thread are threads to TSan, and know nothing of each other. */
#if defined(__clang__)
#define THREADS_OWN __attribute__((no_sanitize("thread")))
#else
#define THREADS_OWN __attribute__((no_sanitize_thread))
#endif

static void let_go(struct chunk *c)
{
    if (c != NULL && --c->live == 0)
        free(c);
}

THREADS_OWN static bool renew(void)
{
    struct chunk *c = malloc(sizeof *c + at_work.next_bytes);

    if (c == NULL)
        return false;
    *c = (struct chunk){.live = 1, .size = at_work.next_bytes};
    let_go(at_work.chunk);
    at_work.chunk = c;
    at_work.next_bytes = CHUNK_BYTES_MAX;
    return true;
}

static bool fits(const struct chunk *c, size_t bytes)
{
    return c != NULL && bytes <= c->size - c->used;
}

/* From malloc comes what would leave much of a chunk empty, and all of it in a build that
 * watches over the ends of each piece. */
THREADS_OWN static bool stands_alone(size_t bytes)
{
    return WATCHED || at_work.next_bytes == 0 || bytes > CHUNK_BYTES_MIN / 2;
}

THREADS_OWN void region_begin(size_t first_bytes)
{
    at_work.next_bytes = first_bytes < CHUNK_BYTES_MIN   ? CHUNK_BYTES_MIN
                         : first_bytes > CHUNK_BYTES_MAX ? CHUNK_BYTES_MAX
                                                         : first_bytes;
}

THREADS_OWN bool region_end(void)
{
    bool good = !at_work.failed;

    let_go(at_work.chunk);
    at_work.chunk = NULL;
    at_work.next_bytes = 0;
    at_work.failed = false;
    return good;
}

/* Room for a piece with its head, or NULL. */
THREADS_OWN static struct head *cut(size_t whole)
{
    struct head *head;

    if (stands_alone(whole)) {
        head = malloc(whole);
        if (head != NULL)
            head->chunk = NULL;
        return head;
    }
    if (!fits(at_work.chunk, whole) && !renew())
        return NULL;
    struct chunk *c = at_work.chunk;
    head = (struct head *)(void *)((char *)c->data + c->used);
    c->used += whole;
    c->live++;
    head->chunk = c;
    return head;
}

THREADS_OWN void *region_alloc(size_t bytes)
{
    size_t whole = sizeof(struct head) + ((bytes + ALIGN - 1) & ~(ALIGN - 1));
    struct head *head = whole < bytes ? NULL : cut(whole);

    if (head != NULL)
        return head + 1;
    at_work.failed = at_work.next_bytes > 0;
    return NULL;
}

void region_free(void *piece)
{
    if (piece == NULL)
        return;
    struct head *head = (struct head *)piece - 1;
    if (head->chunk == NULL)
        free(head);
    else
        let_go(head->chunk);
}
