/* spin.h: the lock below everything else, for a few instructions' hold time. 0 free, 1 held.
 *
 * Taking it is one locked instruction, giving it back a plain store: half of what a channel
 * operation costs are locked instructions. The price is that nobody can be woken by who gives
 * it back. There is no need: a lock that is held for longer than a waiter spins is held by a
 * thread that the kernel has put aside, for a time that only the kernel knows, so the waiter
 * naps and looks again.
 *
 * Never held over a switch except by wait_park, which gives it back. The word may be gone once
 * it reads 0: giving it back touches nothing after. */
#ifndef SCHEDULER_SPIN_H
#define SCHEDULER_SPIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

void spin_lock_slow(_Atomic uint32_t *lock);

static inline bool spin_try_lock(_Atomic uint32_t *lock)
{
    uint32_t unlocked = 0;

    return atomic_compare_exchange_strong_explicit(lock, &unlocked, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static inline void spin_lock(_Atomic uint32_t *lock)
{
    if (!spin_try_lock(lock))
        spin_lock_slow(lock);
}

static inline void spin_unlock(_Atomic uint32_t *lock)
{
    atomic_store_explicit(lock, 0, memory_order_release);
}

#endif
