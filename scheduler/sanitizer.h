/* sanitizer.h: the one place that tells the tools about stacks of our own. Each tool that is
 * not compiled in costs nothing.
 *
 * TSan: a task is a fiber. The way from a task to its thread synchronises, the way back does
 * not: otherwise TSan would believe that all tasks of one thread are ordered and would report
 * no race between them. State of a processor that tasks reach in program order
 * only (its caches) is marked SANITIZER_LOCAL: such a function must contain no atomics that
 * order.
 *
 * ASan: both ends of a switch are announced, and a stack is unpoisoned before it is used again.
 * LSan: a slab of stacks is a root region, or every pointer held by a parked task alone would
 * be a leak. Valgrind: a slab's stacks are registered one by one. */
#ifndef SCHEDULER_SANITIZER_H
#define SCHEDULER_SANITIZER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define SANITIZER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZER_TSAN 1
#endif
#endif

/* A word that the tasks of one thread write in turn, each to publish something: who reads what
 * the last one wrote must see what all of them published. To TSan a plain store would forget
 * the others; an exchange adds to them. */
static inline void sanitizer_publish(_Atomic uint64_t *word, uint64_t value)
{
#if defined(SANITIZER_TSAN)
    (void)atomic_exchange_explicit(word, value, memory_order_release);
#else
    atomic_store_explicit(word, value, memory_order_release);
#endif
}

/* What a task or a thread carries for the tools. */
struct sanitizer {
#if defined(SANITIZER_TSAN)
    void *_Atomic fiber;
#endif
#if defined(SANITIZER_ASAN)
    void *fake;
    const void *bottom;
    size_t size;
#endif
    char none[1];
};

#if defined(SANITIZER_TSAN)
#include <sanitizer/tsan_interface.h>
#define SANITIZER_LOCAL __attribute__((no_sanitize("thread"), noinline))

static inline void sanitizer_thread_init(struct sanitizer *thread)
{
    thread->fiber = __tsan_get_current_fiber();
    /* Its thread-local memory, errno for one, is set up: every task that comes here knows. */
    __tsan_release(thread);
}
/* A fiber costs 800 KB of memset: it stays with its descriptor. */
static inline void sanitizer_task_init(struct sanitizer *task, const char *name)
{
    if (task->fiber == NULL)
        task->fiber = __tsan_create_fiber(0);
    if (name != NULL)
        __tsan_set_fiber_name(task->fiber, name);
}
static inline void sanitizer_task_deinit(struct sanitizer *task)
{
    if (task->fiber != NULL)
        __tsan_destroy_fiber(task->fiber);
    task->fiber = NULL;
}
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);

/* From a task to its thread and back, in the eyes of TSan alone: what happens between two tasks
 * is the thread's doing, on whoever's stack. Of that the stack's owner must not be told, or all
 * tasks of the thread were ordered; so plain accesses are not looked at, up to sanitizer_left:
 * frames there would be races with the owner's own. Atomics order as ever. */
static inline __attribute__((always_inline)) void sanitizer_leave(struct sanitizer *thread)
{
    __tsan_switch_to_fiber(thread->fiber, 0);
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}
static inline __attribute__((always_inline)) void sanitizer_left(void)
{
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}
static inline __attribute__((always_inline)) void sanitizer_enter(struct sanitizer *thread,
                                                                  struct sanitizer *task)
{
    __tsan_release(&thread->none);
    __tsan_switch_to_fiber(task->fiber, __tsan_switch_to_fiber_no_sync);
    __tsan_acquire(thread);
}
/* A task hands its thread's processor on: what the thread did to it before is known to the next
 * owner. */
static inline void sanitizer_lend(struct sanitizer *thread)
{
    __tsan_acquire(&thread->none);
}
static inline void sanitizer_jump(struct sanitizer *from, struct sanitizer *to, bool last)
{
    (void)from, (void)to, (void)last;
}
static inline void sanitizer_arrived(struct sanitizer *here)
{
    (void)here;
}
static inline void sanitizer_stack(struct sanitizer *task, void *base, size_t size)
{
    (void)task, (void)base, (void)size;
}

/* A thing passes from hand to hand through a processor's cache, in the order of one thread. */
static inline void sanitizer_give(void *thing)
{
    __tsan_release(thing);
}
static inline void sanitizer_take(void *thing)
{
    __tsan_acquire(thing);
}

#elif defined(SANITIZER_ASAN)
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SANITIZER_LOCAL

static inline void sanitizer_thread_init(struct sanitizer *thread)
{
    pthread_attr_t attr;
    void *base = NULL;

    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &base, &thread->size);
    pthread_attr_destroy(&attr);
    thread->bottom = base;
}
static inline void sanitizer_task_init(struct sanitizer *task, const char *name)
{
    (void)name;
    task->fake = NULL;
}
static inline void sanitizer_task_deinit(struct sanitizer *task)
{
    (void)task;
}
/* To another stack, in the eyes of ASan alone. */
static inline __attribute__((always_inline)) void
sanitizer_jump(struct sanitizer *from, struct sanitizer *to, bool last)
{
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake, to->bottom, to->size);
}
static inline void sanitizer_arrived(struct sanitizer *here)
{
    __sanitizer_finish_switch_fiber(here->fake, NULL, NULL);
}
static inline void sanitizer_stack(struct sanitizer *task, void *base, size_t size)
{
    __asan_unpoison_memory_region(base, size);
    task->bottom = base;
    task->size = size;
    task->fake = NULL;
}

#else
#define SANITIZER_LOCAL

static inline void sanitizer_thread_init(struct sanitizer *thread)
{
    (void)thread;
}
static inline void sanitizer_task_init(struct sanitizer *task, const char *name)
{
    (void)task, (void)name;
}
static inline void sanitizer_task_deinit(struct sanitizer *task)
{
    (void)task;
}
static inline void sanitizer_jump(struct sanitizer *from, struct sanitizer *to, bool last)
{
    (void)from, (void)to, (void)last;
}
static inline void sanitizer_arrived(struct sanitizer *here)
{
    (void)here;
}
static inline void sanitizer_stack(struct sanitizer *task, void *base, size_t size)
{
    (void)task, (void)base, (void)size;
}
#endif

#if !defined(SANITIZER_TSAN)
static inline void sanitizer_leave(struct sanitizer *thread)
{
    (void)thread;
}
static inline void sanitizer_left(void)
{
}
static inline void sanitizer_enter(struct sanitizer *thread, struct sanitizer *task)
{
    (void)thread, (void)task;
}
static inline void sanitizer_lend(struct sanitizer *thread)
{
    (void)thread;
}
static inline void sanitizer_give(void *thing)
{
    (void)thing;
}
static inline void sanitizer_take(void *thing)
{
    (void)thing;
}
#endif

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define SANITIZER_VALGRIND 1
#endif
#endif
/* Once in a stack's life: valgrind then knows a switch from a very deep call. */
static inline void sanitizer_stack_born(void *base, size_t size)
{
#if defined(SANITIZER_VALGRIND)
    (void)VALGRIND_STACK_REGISTER(base, (char *)base + size);
#else
    (void)base, (void)size;
#endif
}

#if defined(SANITIZER_ASAN)
#include <sanitizer/lsan_interface.h>
/* LSan reads whole root regions: light guards look readable in the map and would kill it. */
#define SANITIZER_LIGHT_GUARDS false
static inline void sanitizer_slab_add(void *base, size_t size)
{
    __lsan_register_root_region(base, size);
}
static inline void sanitizer_slab_remove(void *base, size_t size)
{
    __asan_unpoison_memory_region(base, size);
    __lsan_unregister_root_region(base, size);
}
#else
#define SANITIZER_LIGHT_GUARDS true
static inline void sanitizer_slab_add(void *base, size_t size)
{
    (void)base, (void)size;
}
static inline void sanitizer_slab_remove(void *base, size_t size)
{
    (void)base, (void)size;
}
#endif

#endif
