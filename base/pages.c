#include "base/pages.h"

#include <sys/mman.h>

void *pages_new(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return pages == MAP_FAILED ? NULL : pages;
}

/* A hole needs one mapping more, of which there may be too many: then the addresses stay. */
void pages_free(void *pages, size_t bytes)
{
    if (pages && munmap(pages, bytes) < 0)
        (void)madvise(pages, bytes, MADV_DONTNEED);
}
