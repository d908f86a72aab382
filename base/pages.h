/* pages.h: memory straight from the kernel, for what comes and goes by the megabyte. malloc
 * keeps what was freed for the next who asks; a backlog that has drained asks for nothing. */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include <stddef.h>

void *pages_new(size_t bytes); /* zeroed, or NULL */
void pages_free(void *pages, size_t bytes);

#endif
