#include "scheduler/waiters.h"

unsigned waiters_pop_batch(struct list *queue, struct wait **ret)
{
    unsigned count = 0;

    while (count < WAITERS_BATCH) {
        struct wait *w = waiters_pop(queue);

        if (w == NULL)
            break;
        ret[count++] = w;
    }
    return count;
}

void waiters_leave(struct wait *w, _Atomic uint32_t *lock)
{
    spin_lock(lock);
    list_remove(&w->link);
    spin_unlock(lock);
}
