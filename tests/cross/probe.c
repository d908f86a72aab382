/* probe.c: what compilers make of thread-local data around a switch. Never run:
 * tests/lint/tls.sh reads what comes out. A task may go on in another thread after task_yield,
 * so what stands for the thread must be fetched again behind it.
 *
 * The ways that the scheduler has must hold with every compiler on every machine; the traps are
 * what it keeps away from, and at least one compiler falls into each: else this finds nothing.
 */
#include "scheduler/core.h"
#include "scheduler/task.h"

#include <errno.h>
#include <unistd.h>

void *self_around(void **ret_before);
int errno_around(int fd, void *data);
int trap_errno(int fd, void *data);
int trap_variable(void);

static __thread int variable;

void *self_around(void **ret_before)
{
    *ret_before = thread_self();
    (void)task_yield();
    return thread_self();
}

int errno_around(int fd, void *data)
{
    while (read(fd, data, 1) < 0 && errno_now() == EAGAIN)
        (void)task_yield();
    return errno_now();
}

int trap_errno(int fd, void *data)
{
    while (read(fd, data, 1) < 0 && errno == EAGAIN)
        (void)task_yield();
    return errno;
}

int trap_variable(void)
{
    variable = 1;
    (void)task_yield();
    return variable;
}
