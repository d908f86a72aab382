/* region.h: memory of what is made at one go and given back bit by bit, in any order and by any
 * thread: a library's tree of small values. Between begin and end what is asked for is cut from
 * chunks; a chunk goes when the last that was cut from it was freed. So a value costs an
 * addition, not a search for a hole, and whoever frees need not know where it came from.
 *
 * Begin and end stand around calls that do not park: the chunk at work belongs to the thread.
 */
#ifndef BASE_REGION_H
#define BASE_REGION_H

#include <stdbool.h>
#include <stddef.h>

/* first_bytes: what will about be needed; a wrong guess costs some memory for a while. Not
 * nested. */
void region_begin(size_t first_bytes);
/* false: something that was asked for since could not be had. Whoever asked may have passed
 * over that, as jansson's reader does with the letters of a string. */
bool region_end(void);

/* As malloc and free, which they are outside of begin and end; for each other alone. The same
 * chunk's pieces may be freed by one thread at a time. */
void *region_alloc(size_t bytes);
void region_free(void *piece);

#endif
