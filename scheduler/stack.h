/* stack.h: stacks of four sizes, cut from slabs. Below each lies a page that is its guard.
 *
 * With thousands of tasks in turn, a switch costs what the caches have forgotten. So the tops
 * of stacks must not all fall into the same few sets: the guard comes on top of the size, which
 * makes the distance an odd number of pages, for the caches of translations; and a top is
 * shifted by a few lines, another number for each neighbour, for those of data.
 *
 * Three ways to guard, found out once: MADV_GUARD_INSTALL (Linux 6.13; costs no mapping; those
 * of a whole slab in one call since 6.15, unless a filter forbids process_madvise), mprotect
 * (costs two mappings a stack, so it ends at half of vm.max_map_count), and past that a canary
 * of eight words that is looked at whenever the task parks. */
#ifndef SCHEDULER_STACK_H
#define SCHEDULER_STACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STACK_CLASSES 4
#define STACK_CACHE_MAX 32
#define STACK_GUARD_BYTES 4096
/* Added to the pointer of a stack that has no guard but a canary. */
#define STACK_CANARY_MARK 1

/* What was never used yet of a slab. */
struct stack_fresh {
    char *next;
    unsigned left;
    bool guarded; /* all of them */
};

/* A processor's stacks at hand, last in, first out: the hot one comes first. Fresh ones come
 * from a slab of its own, so that no two processors fill in the same table of pages. */
struct stack_cache {
    char *stacks[STACK_CLASSES][STACK_CACHE_MAX];
    _Atomic unsigned len[STACK_CLASSES]; /* one writer; counted by others */
    struct stack_fresh fresh[STACK_CLASSES];
};

/* A stack, or NULL without memory: stack_base() is its lowest byte, where the guard is. Owner
 * of the cache only. */
char *stack_get(struct stack_cache *cache, unsigned class);
void stack_put(struct stack_cache *cache, unsigned class, char *stack);
size_t stack_bytes(unsigned class);           /* guard included */
char *stack_top(char *stack, unsigned class); /* where it begins to grow down */
/* Of one that is guarded by a canary alone: whether nothing wrote over that. */
bool stack_canary_is_whole(const char *stack);
/* For tests, before scheduler_run: as if the kernel offered nothing better. */
enum stack_guards { STACK_GUARDS_LIGHT, STACK_GUARDS_MPROTECT, STACK_GUARDS_CANARY };
void stack_guards_at_best(enum stack_guards best);
static inline bool stack_has_canary(const char *stack)
{
    return ((uintptr_t)stack & STACK_CANARY_MARK) != 0;
}
/* true unless the stack is guarded by a canary alone and something wrote over it. */
static inline bool stack_is_whole(const char *stack)
{
    return !stack_has_canary(stack) || stack_canary_is_whole(stack);
}
static inline char *stack_base(char *stack)
{
    return stack_has_canary(stack) ? stack - STACK_CANARY_MARK : stack;
}
/* Stacks with a canary alone. Any thread. */
uint64_t stack_canaries(void);
/* Stacks cut from slabs so far, and those that lie in the shared store. Any thread. */
void stack_counts(uint64_t *ret_made, uint64_t *ret_stored);
/* A new period begins: what now lies in the shared store untouched until the next call may go.
 * Gives back pages of such stacks, a bounded number a call. true: there is more to give. */
bool stack_trim(bool new_period);
/* Calls fn for the memory that stacks are cut from. Any thread. */
void stack_slabs_each(void (*fn)(void *ctx, const void *at, size_t bytes), void *ctx);
/* Unmaps all; no task may live. */
void stack_slabs_free(void);

#endif
