/* controlled.h: included before everything else into the scheduler's sources when they are
 * built for the controlled schedules. Each atomic operation is preceded by a point at which
 * another thread may go on. All "threads" are fibers of one real thread, so between two points
 * nothing comes in between, and plain reads and writes are as atomic as can be.
 *
 * A torn operation is the mutant: it lets others come in between where the real one does not.
 */
#ifndef TESTS_SCHEDULE_CONTROLLED_H
#define TESTS_SCHEDULE_CONTROLLED_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum tear { TEAR_NOTHING, TEAR_CAS, TEAR_EXCHANGE, TEAR_OR, TEAR_LOCK, TEAR_SWITCH };

void control_point(void);
/* Whether operations of that kind are torn in this schedule. */
bool control_tears(enum tear what);
/* As sched_yield: who waits in a loop lets all others go first. */
int control_yield(void);
_Noreturn void control_broken(const char *what, const char *file, int line);
void *control_alloc(size_t align, size_t bytes);
void *control_realloc(void *old, size_t bytes);
void control_free(void *memory);
uint64_t control_clock_ns(void);

#define RUNQ_SLOTS 4
#define RUNQ_BATCH 2

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_exchange_explicit
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and
#undef atomic_fetch_and_explicit
#undef atomic_thread_fence

#define CONTROLLED_TORN(what) (control_tears(what) ? control_point() : (void)0)

#define atomic_load(p) (control_point(), *(p))
#define atomic_load_explicit(p, order) atomic_load(p)
#define atomic_store(p, v) (control_point(), (void)(*(p) = (v)))
#define atomic_store_explicit(p, v, order) atomic_store((p), (v))
#define atomic_exchange(p, v)                                                                  \
    __extension__({                                                                            \
        control_point();                                                                       \
        __auto_type controlled_p = (p);                                                        \
        __typeof__((void)0, *controlled_p) controlled_old = *controlled_p;                     \
        CONTROLLED_TORN(TEAR_EXCHANGE);                                                        \
        *controlled_p = (v);                                                                   \
        controlled_old;                                                                        \
    })
#define atomic_exchange_explicit(p, v, order) atomic_exchange((p), (v))
#define atomic_compare_exchange_strong(p, expected, v)                                         \
    __extension__({                                                                            \
        control_point();                                                                       \
        __auto_type controlled_p = (p);                                                        \
        __auto_type controlled_e = (expected);                                                 \
        bool controlled_same = *controlled_p == *controlled_e;                                 \
        CONTROLLED_TORN(TEAR_CAS);                                                             \
        if (controlled_same)                                                                   \
            *controlled_p = (v);                                                               \
        else                                                                                   \
            *controlled_e = *controlled_p;                                                     \
        controlled_same;                                                                       \
    })
#define atomic_compare_exchange_weak(p, e, v) atomic_compare_exchange_strong((p), (e), (v))
#define atomic_compare_exchange_strong_explicit(p, e, v, yes, no)                              \
    atomic_compare_exchange_strong((p), (e), (v))
#define atomic_compare_exchange_weak_explicit(p, e, v, yes, no)                                \
    atomic_compare_exchange_strong((p), (e), (v))
#define CONTROLLED_FETCH(p, op, v)                                                             \
    __extension__({                                                                            \
        control_point();                                                                       \
        __auto_type controlled_p = (p);                                                        \
        __typeof__((void)0, *controlled_p) controlled_old = *controlled_p;                     \
        CONTROLLED_TORN(TEAR_OR);                                                              \
        *controlled_p = (__typeof__(controlled_old))(controlled_old op(v));                    \
        controlled_old;                                                                        \
    })
#define atomic_fetch_add(p, v) CONTROLLED_FETCH(p, +, v)
#define atomic_fetch_sub(p, v) CONTROLLED_FETCH(p, -, v)
#define atomic_fetch_or(p, v) CONTROLLED_FETCH(p, |, v)
#define atomic_fetch_and(p, v) CONTROLLED_FETCH(p, &, v)
#define atomic_fetch_add_explicit(p, v, order) atomic_fetch_add((p), (v))
#define atomic_fetch_sub_explicit(p, v, order) atomic_fetch_sub((p), (v))
#define atomic_fetch_or_explicit(p, v, order) atomic_fetch_or((p), (v))
#define atomic_fetch_and_explicit(p, v, order) atomic_fetch_and((p), (v))
#define atomic_thread_fence(order) control_point()

#define sched_yield control_yield
#define err_broken control_broken
#define aligned_alloc control_alloc
#define malloc(bytes) control_alloc(16, (bytes))
#define realloc control_realloc
#define free control_free
#define clock_mono_ns control_clock_ns

#endif
