/* current.c: the only thread-local variable, behind functions that are never inlined. A task
 * may go on in another thread after any switch, so neither the pointer nor the address of the
 * variable may survive one in a register; compilers keep both when they see them. */
#include "scheduler/core.h"

#include <errno.h>

static __thread struct thread *current;

__attribute__((noinline)) SANITIZER_LOCAL struct thread *thread_self(void)
{
    struct thread *m = current;

    __asm__ volatile("" : "+r"(m) : : "memory");
    return m;
}

__attribute__((noinline)) SANITIZER_LOCAL void thread_self_set(struct thread *m)
{
    current = m;
}

__attribute__((noinline)) SANITIZER_LOCAL int errno_now(void)
{
    int error = errno;

    __asm__ volatile("" : "+r"(error) : : "memory");
    return error;
}
