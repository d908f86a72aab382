#include "scheduler/spin.h"

#include "base/clock.h"
#include "scheduler/futex.h"

/* About as long as a wake-up takes: longer than any lock is held by a thread that runs. */
#define SPINS 500
#define NAP_NS (50 * NS_PER_US)

void spin_lock_slow(_Atomic uint32_t *lock)
{
    for (;;) {
        for (unsigned i = 0; i < SPINS; i++) {
            if (atomic_load_explicit(lock, memory_order_relaxed) == 0 && spin_try_lock(lock))
                return;
            cpu_relax();
        }
        futex_wait(lock, 1, NAP_NS);
    }
}
