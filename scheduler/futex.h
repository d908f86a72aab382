/* futex.h: the two calls behind every sleeping thread, and the pause of a spinning one. */
#ifndef SCHEDULER_FUTEX_H
#define SCHEDULER_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

/* Sleeps while *word is value, at most ns (0 = for ever). May return early. */
void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t ns);
void futex_wake(_Atomic uint32_t *word, int count);

#endif
