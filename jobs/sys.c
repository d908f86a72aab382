#include "jobs/sys.h"

#include <errno.h>

__attribute__((noinline)) int sys_error(void)
{
    int error = errno;

    /* Never computed ahead of the call. */
    __asm__ volatile("" : "+r"(error) : : "memory");
    return -error;
}
