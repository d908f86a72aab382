#include "scheduler/stack.h"

#include "base/buf.h"
#include "base/io.h"
#include "scheduler/core.h"
#include "scheduler/wait.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef PIDFD_SELF
#define PIDFD_SELF (-10000)
#endif

#define SLAB_BYTES (UINT64_C(4) << 20)
#define SLAB_STACKS_MAX 256
#define COLOURS 16
#define COLOUR_BYTES 64
#define CANARY_WORDS 8
#define CANARY UINT64_C(0x5374696e74437279)
#define MAPS_DEFAULT 65530
#define MAPS_RESERVE 4096
#define TRIM_AT_ONCE 64

_Static_assert(SLAB_BYTES / (16384 + STACK_GUARD_BYTES) <= SLAB_STACKS_MAX, "all in one call");

struct slab {
    struct slab *next;
    char *base;
};

/* Stacks that lie in no processor's cache. Those below `untouched` have not been taken since
 * the period began; those below `trimmed` have no pages. */
struct store {
    _Atomic uint32_t lock; /* guards all below; len is also read without it */
    char **stacks;
    _Atomic size_t len;
    size_t cap, untouched, trimmed;
    struct slab *slabs;
    _Atomic uint64_t made; /* without the lock */
};

static struct store stores[STACK_CLASSES];
static _Atomic int guard_best; /* enum stack_guards */
static _Atomic int guard_mode; /* likewise + 1; 0 = not known yet */
static _Atomic int64_t mprotect_budget;
static _Atomic uint64_t canaries;

size_t stack_bytes(unsigned class)
{
    return STACK_GUARD_BYTES + ((size_t)16384 << (2 * class));
}

char *stack_top(char *stack, unsigned class)
{
    uintptr_t page = (uintptr_t)stack_base(stack) / STACK_GUARD_BYTES;

    return stack_base(stack) + stack_bytes(class) - page % COLOURS * COLOUR_BYTES;
}

static int64_t maps_max(void)
{
    struct buf b = BUF_INIT;
    int64_t n = MAPS_DEFAULT;

    if (io_file_read(-1, "/proc/sys/vm/max_map_count", 64, &b) == 0 && b.len > 0)
        n = strtoll(buf_str(&b), NULL, 10);
    buf_deinit(&b);
    return n;
}

void stack_guards_at_best(enum stack_guards best)
{
    atomic_store(&guard_best, best);
    atomic_store(&guard_mode, 0);
}

uint64_t stack_canaries(void)
{
    return get_relaxed(&canaries);
}

/* Emulators answer 0 to advice that they do not know. A guard cannot be filled in. */
static bool page_is_shut(char *page)
{
    return madvise(page, STACK_GUARD_BYTES, MADV_POPULATE_READ) < 0;
}

static bool guard_holds(char *page)
{
    return madvise(page, STACK_GUARD_BYTES, MADV_GUARD_INSTALL) == 0 && page_is_shut(page);
}

/* Which guard this kernel offers. page is the guard of the first stack ever made. */
static void guard_probe(char *page)
{
    int mode = atomic_load(&guard_best);

    if (mode == STACK_GUARDS_LIGHT && (!SANITIZER_LIGHT_GUARDS || !guard_holds(page)))
        mode = STACK_GUARDS_MPROTECT;
    atomic_store(&mprotect_budget,
                 mode == STACK_GUARDS_CANARY ? 0 : (maps_max() - MAPS_RESERVE) / 2);
    atomic_store(&guard_mode, mode + 1);
}

static char *canary_write(char *stack)
{
    uint64_t *word = (uint64_t *)(void *)stack;

    for (unsigned i = 0; i < CANARY_WORDS; i++)
        word[i] = CANARY;
    atomic_fetch_add(&canaries, 1);
    return stack + STACK_CANARY_MARK;
}

static char *guard_set(char *stack)
{
    if (atomic_load(&guard_mode) == STACK_GUARDS_LIGHT + 1 &&
        madvise(stack, STACK_GUARD_BYTES, MADV_GUARD_INSTALL) == 0)
        return stack;
    if (atomic_fetch_sub(&mprotect_budget, 1) > 0 &&
        mprotect(stack, STACK_GUARD_BYTES, PROT_NONE) == 0)
        return stack;
    return canary_write(stack);
}

/* All guards of a slab in one call, which is a fifth of what they cost one by one. false: they
 * are to be set one by one, as some may be already. */
static bool guard_all(char *stack, unsigned count, size_t bytes)
{
    struct iovec guards[SLAB_STACKS_MAX];

    if (atomic_load(&guard_mode) == 0)
        guard_probe(stack);
    if (atomic_load(&guard_mode) != STACK_GUARDS_LIGHT + 1)
        return false;
    for (unsigned i = 0; i < count; i++)
        guards[i] = (struct iovec){stack + i * bytes, STACK_GUARD_BYTES};
    return syscall(SYS_process_madvise, PIDFD_SELF, guards, count, MADV_GUARD_INSTALL, 0) ==
               (long)count * STACK_GUARD_BYTES &&
           page_is_shut(guards[count - 1].iov_base);
}

SANITIZER_LOCAL bool stack_canary_is_whole(const char *stack)
{
    const uint64_t *word = (const uint64_t *)(const void *)(stack - STACK_CANARY_MARK);

    for (unsigned i = 0; i < CANARY_WORDS; i++)
        if (word[i] != CANARY)
            return false;
    return true;
}

/* Mapped and known to the tools; NULL without memory. */
static char *slab_new(struct store *s)
{
    struct slab *slab = malloc(sizeof *slab);

    if (slab == NULL)
        return NULL;
    slab->base = mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (slab->base == MAP_FAILED) {
        free(slab);
        return NULL;
    }
    /* A huge page would turn a stack that uses 8 KiB into 2 MiB. */
    madvise(slab->base, SLAB_BYTES, MADV_NOHUGEPAGE);
    sanitizer_slab_add(slab->base, SLAB_BYTES);
    char *base = slab->base;
    spin_lock(&s->lock);
    slab->next = s->slabs;
    s->slabs = slab;
    spin_unlock(&s->lock);
    return base;
}

/* One that was never used, of the cache's own slab. */
static char *fresh_stack(struct stack_cache *cache, unsigned class)
{
    struct stack_fresh *fresh = &cache->fresh[class];
    size_t bytes = stack_bytes(class);

    if (fresh->left == 0) {
        char *base = slab_new(&stores[class]);
        if (base == NULL)
            return NULL;
        fresh->next = base;
        fresh->left = (unsigned)(SLAB_BYTES / bytes);
        fresh->guarded = guard_all(base, fresh->left, bytes);
    }
    char *stack = fresh->next;
    fresh->next += bytes;
    fresh->left--;
    atomic_fetch_add_explicit(&stores[class].made, 1, memory_order_relaxed);
    sanitizer_stack_born(stack + STACK_GUARD_BYTES, bytes - STACK_GUARD_BYTES);
    return fresh->guarded ? stack : guard_set(stack);
}

/* Fills ret with up to max stored stacks. */
static unsigned store_take(struct store *s, char **ret, unsigned max)
{
    unsigned n = 0;

    if (get_relaxed(&s->len) == 0)
        return 0;
    spin_lock(&s->lock);
    size_t len = get_relaxed(&s->len);
    while (n < max && len > 0)
        ret[n++] = s->stacks[--len];
    set_relaxed(&s->len, len);
    if (s->untouched > len)
        s->untouched = len;
    if (s->trimmed > len)
        s->trimmed = len;
    spin_unlock(&s->lock);
    return n;
}

/* Under the store's lock. Without memory for the list the stack is lost until the end. */
static void store_put(struct store *s, char *stack)
{
    size_t len = get_relaxed(&s->len);

    if (len == s->cap) {
        size_t cap = s->cap == 0 ? 256 : s->cap * 2;
        char **stacks = realloc(s->stacks, cap * sizeof *stacks);
        if (stacks == NULL)
            return;
        s->stacks = stacks;
        s->cap = cap;
    }
    s->stacks[len] = stack;
    set_relaxed(&s->len, len + 1);
}

static unsigned cache_len(const struct stack_cache *cache, unsigned class)
{
    return atomic_load_explicit(&cache->len[class], memory_order_relaxed);
}

static void cache_len_set(struct stack_cache *cache, unsigned class, unsigned len)
{
    atomic_store_explicit(&cache->len[class], len, memory_order_relaxed);
}

SANITIZER_LOCAL static char *cache_at(struct stack_cache *cache, unsigned class, unsigned i)
{
    return cache->stacks[class][i];
}

SANITIZER_LOCAL static void cache_set(struct stack_cache *cache, unsigned class, unsigned i,
                                      char *stack)
{
    cache->stacks[class][i] = stack;
}

static char *cache_pop(struct stack_cache *cache, unsigned class)
{
    unsigned len = cache_len(cache, class);

    if (len == 0)
        return NULL;
    cache_len_set(cache, class, len - 1);
    return cache_at(cache, class, len - 1);
}

static bool cache_push(struct stack_cache *cache, unsigned class, char *stack)
{
    unsigned len = cache_len(cache, class);

    if (len == STACK_CACHE_MAX)
        return false;
    cache_set(cache, class, len, stack);
    cache_len_set(cache, class, len + 1);
    return true;
}

char *stack_get(struct stack_cache *cache, unsigned class)
{
    char *stack = cache_pop(cache, class);

    if (stack != NULL)
        return stack;

    char *taken[STACK_CACHE_MAX / 2];
    unsigned n = store_take(&stores[class], taken, STACK_CACHE_MAX / 2);
    if (n == 0)
        return fresh_stack(cache, class);
    while (n > 1)
        cache_push(cache, class, taken[--n]);
    return taken[0];
}

void stack_put(struct stack_cache *cache, unsigned class, char *stack)
{
    struct store *s = &stores[class];

    if (cache_push(cache, class, stack))
        return;
    spin_lock(&s->lock);
    for (unsigned i = 0; i < STACK_CACHE_MAX / 2; i++)
        store_put(s, cache_pop(cache, class));
    spin_unlock(&s->lock);
    cache_push(cache, class, stack);
}

void stack_counts(uint64_t *ret_made, uint64_t *ret_stored)
{
    *ret_made = *ret_stored = 0;
    for (unsigned i = 0; i < STACK_CLASSES; i++) {
        *ret_made += get_relaxed(&stores[i].made);
        *ret_stored += get_relaxed(&stores[i].len);
    }
}

/* Under the store's lock. */
static bool store_trim(struct store *s, unsigned class, bool new_period)
{
    size_t end = s->untouched;

    for (unsigned i = 0; i < TRIM_AT_ONCE && s->trimmed < end; i++)
        madvise(stack_base(s->stacks[s->trimmed++]) + STACK_GUARD_BYTES,
                stack_bytes(class) - STACK_GUARD_BYTES, MADV_DONTNEED);
    if (new_period && s->trimmed >= end)
        s->untouched = get_relaxed(&s->len);
    return s->trimmed < s->untouched;
}

bool stack_trim(bool new_period)
{
    bool more = false;

    for (unsigned i = 0; i < STACK_CLASSES; i++) {
        spin_lock(&stores[i].lock);
        more |= store_trim(&stores[i], i, new_period);
        spin_unlock(&stores[i].lock);
    }
    return more;
}

void stack_slabs_each(void (*fn)(void *ctx, const void *at, size_t bytes), void *ctx)
{
    for (unsigned i = 0; i < STACK_CLASSES; i++) {
        spin_lock(&stores[i].lock);
        for (const struct slab *slab = stores[i].slabs; slab != NULL; slab = slab->next)
            fn(ctx, slab->base, SLAB_BYTES);
        spin_unlock(&stores[i].lock);
    }
}

void stack_slabs_free(void)
{
    for (unsigned i = 0; i < STACK_CLASSES; i++) {
        struct store *s = &stores[i];
        while (s->slabs != NULL) {
            struct slab *slab = s->slabs;
            s->slabs = slab->next;
            sanitizer_slab_remove(slab->base, SLAB_BYTES);
            munmap(slab->base, SLAB_BYTES);
            free(slab);
        }
        free(s->stacks);
        memset(s, 0, sizeof *s);
    }
    atomic_store(&canaries, 0);
}
