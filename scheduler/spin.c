#include "scheduler/spin.h"

#include "base/clock.h"
#include "scheduler/futex.h"

/* Looks grow apart: a lock that two processors want all the time would else change hands with
 * each operation, and its cache line with it; so one of them gets several done in a row. All of
 * them together last about as long as a wake-up takes: longer than any lock is held by a thread
 * that runs. */
#define PAUSES_FIRST 8
#define PAUSES_LAST 256
#define NAP_NS (50 * NS_PER_US)

void spin_lock_slow(_Atomic uint32_t *lock)
{
    for (;;) {
        for (unsigned pauses = PAUSES_FIRST; pauses <= PAUSES_LAST; pauses *= 2) {
            for (unsigned i = 0; i < pauses; i++)
                cpu_relax();
            if (atomic_load_explicit(lock, memory_order_relaxed) == 0 && spin_try_lock(lock))
                return;
        }
        futex_wait(lock, 1, NAP_NS);
    }
}
