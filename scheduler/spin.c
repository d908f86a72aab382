/* spin.c: the lock below everything else: 0 free, 1 held, 2 held and somebody sleeps. */
#include "scheduler/wait.h"

#include "scheduler/futex.h"

#define SPINS_MAX 64

static void spin_lock_slow(_Atomic uint32_t *lock)
{
    for (unsigned i = 0; i < SPINS_MAX; i++) {
        uint32_t free = 0;
        if (atomic_load_explicit(lock, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_weak_explicit(lock, &free, 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return;
        cpu_relax();
    }
    while (atomic_exchange_explicit(lock, 2, memory_order_acquire) != 0)
        futex_wait(lock, 2, 0);
}

void spin_lock(_Atomic uint32_t *lock)
{
    uint32_t free = 0;

    if (!atomic_compare_exchange_strong_explicit(lock, &free, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        spin_lock_slow(lock);
}

void spin_unlock(_Atomic uint32_t *lock)
{
    /* The word may be gone once it reads 0. The wake below only names its address. */
    if (atomic_exchange_explicit(lock, 0, memory_order_release) == 2)
        futex_wake(lock, 1);
}
