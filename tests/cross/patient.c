/* patient.c: tasks sleep, then the program aborts: tests/integration/aarch64.sh has gdb look at
 * it, alive and as a core. */
#include "tests/lib/ward.h"

#include "scheduler/scheduler.h"
#include "scheduler/task.h"

#include <stdlib.h>

static int lie_down(void *arg)
{
    struct chan *c = chan_new(0, 0);
    struct group g;

    (void)arg;
    if (c == NULL || ward_open(&g, c) < 0)
        return -ENOMEM;
    for (int i = 0; i < 8; i++)
        (void)task_yield();
    abort();
}

int main(void)
{
    const struct scheduler_options options = {.processors = 1};

    return scheduler_run(&options, lie_down, NULL) == 0 ? 0 : 1;
}
