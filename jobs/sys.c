#include "jobs/sys.h"

#include <errno.h>

/* Many tasks are on a thread one after the other: no race, although it looks like one to the
 * sanitizer, which knows tasks only. */
__attribute__((noinline, no_sanitize("thread"))) int sys_error(void)
{
    int error = errno;

    /* Never computed ahead of the call. */
    __asm__ volatile("" : "+r"(error) : : "memory");
    return -error;
}
