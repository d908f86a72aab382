#include "tests/schedule/control.h"

#include "base/rand.h"
#include "scheduler/sanitizer.h"
#include "scheduler/switch.h"

#include <stdio.h>
#include <string.h>

/* The real ones, here. */
#undef aligned_alloc
#undef malloc
#undef realloc
#undef free

enum {
    FIBERS_MAX = 48,
    STACK_BYTES = 64 * 1024,
    DEPTH = 4, /* priority changes, and orderings that a bug may need */
    ALONE_MAX = 500,
    STEPS_MAX = 20000,
    BLOCKS_MAX = 512,
};

enum fiber_state { FIBER_FREE, FIBER_READY, FIBER_BLOCKED };

struct fiber {
    void *sp;
    void (*fn)(void *arg);
    void *arg;
    const void *on;
    int64_t priority;
    enum fiber_state state;
    struct sanitizer sanitizer;
};

static _Alignas(4096) char stacks[FIBERS_MAX][STACK_BYTES];

static struct {
    struct fiber fibers[FIBERS_MAX];
    struct fiber *now; /* NULL outside of all */
    void *sp;
    struct sanitizer sanitizer;
    struct rand rand;
    bool random; /* else PCT */
    bool over;
    enum tear tear;
    uint64_t steps, alone;
    uint64_t changes[DEPTH];
    int64_t lowest;
    struct control_result *result;
    void *blocks[BLOCKS_MAX];
} all;

/* ---- switching ---- */

static void to_fiber(struct fiber *f)
{
    all.now = f;
    all.alone = 0;
    sanitizer_jump(&all.sanitizer, &f->sanitizer, false);
    switch_context(&all.sp, f->sp);
    sanitizer_arrived(&all.sanitizer);
    all.now = NULL;
}

static void to_control(bool last)
{
    struct fiber *f = all.now;

    sanitizer_jump(&f->sanitizer, &all.sanitizer, last);
    switch_context(&f->sp, all.sp);
    sanitizer_arrived(&f->sanitizer);
}

static void entry(void *arg)
{
    struct fiber *f = arg;

    sanitizer_arrived(&f->sanitizer);
    f->fn(f->arg);
    f->state = FIBER_FREE;
    to_control(true);
}

void control_start(void (*fn)(void *arg), void *arg)
{
    unsigned i = 0;

    while (i < FIBERS_MAX && (all.fibers[i].state != FIBER_FREE || &all.fibers[i] == all.now))
        i++;
    control_check(i < FIBERS_MAX, "room for a fiber");
    struct fiber *f = &all.fibers[i];
    *f = (struct fiber){.fn = fn, .arg = arg, .state = FIBER_READY};
    f->priority = (int64_t)rand_below(&all.rand, 1 << 20) + DEPTH;
    sanitizer_stack(&f->sanitizer, stacks[i], STACK_BYTES);
    f->sp = switch_prepare(stacks[i] + STACK_BYTES, entry, f);
}

void *control_self(void)
{
    return all.now != NULL ? all.now->arg : NULL;
}

/* ---- who goes on ---- */

static unsigned count_ready(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < FIBERS_MAX; i++)
        n += all.fibers[i].state == FIBER_READY;
    return n;
}

static struct fiber *pick(void)
{
    struct fiber *best = NULL;
    unsigned ready = count_ready();
    uint64_t skip = ready > 0 && all.random ? rand_below(&all.rand, ready) : 0;

    for (unsigned i = 0; i < FIBERS_MAX; i++) {
        struct fiber *f = &all.fibers[i];
        if (f->state != FIBER_READY)
            continue;
        if (all.random && skip-- == 0)
            return f;
        if (best == NULL || f->priority > best->priority)
            best = f;
    }
    return best;
}

static void fall(void)
{
    all.now->priority = --all.lowest;
}

void control_point(void)
{
    if (all.now == NULL || all.over)
        return;
    if (++all.steps > STEPS_MAX)
        control_check(false, "it ends");
    for (unsigned i = 0; i < DEPTH; i++)
        if (all.steps == all.changes[i])
            fall();
    if (++all.alone > ALONE_MAX)
        fall(); /* it waits for something that another has to do */
    struct fiber *next = all.random && rand_below(&all.rand, 3) != 0 ? all.now : pick();
    if (next != all.now)
        to_control(false);
}

int control_yield(void)
{
    fall();
    control_point();
    return 0;
}

void control_block(const void *on)
{
    all.now->on = on;
    all.now->state = FIBER_BLOCKED;
    to_control(false);
}

unsigned control_wake(const void *on)
{
    unsigned n = 0;

    for (unsigned i = 0; i < FIBERS_MAX; i++) {
        struct fiber *f = &all.fibers[i];
        if (f->state != FIBER_BLOCKED || f->on != on)
            continue;
        f->state = FIBER_READY;
        n++;
    }
    return n;
}

/* ---- trouble ---- */

void control_check(bool x, const char *what)
{
    if (x || all.over)
        return;
    all.over = true;
    all.result->failed = true;
    snprintf(all.result->why, sizeof all.result->why, "%s", what);
    if (all.now != NULL)
        to_control(false);
}

void control_broken(const char *what, const char *file, int line)
{
    char text[160];

    snprintf(text, sizeof text, "%s (%s:%d)", what, file, line);
    control_check(false, text);
    abort(); /* not reached: the fiber is left for good */
}

bool control_tears(enum tear what)
{
    return all.tear == what;
}

/* ---- memory, given back even when a schedule is left in the middle ---- */

static void **block_of(const void *memory)
{
    for (unsigned i = 0; i < BLOCKS_MAX; i++)
        if (all.blocks[i] == memory)
            return &all.blocks[i];
    return NULL;
}

void *control_alloc(size_t align, size_t bytes)
{
    void **place = block_of(NULL);

    control_check(place != NULL, "room for a block");
    return *place = aligned_alloc(align, (bytes + align - 1) / align * align);
}

void *control_realloc(void *old, size_t bytes)
{
    void **place = block_of(old);

    control_check(place != NULL, "a block that was allocated");
    return *place = realloc(old, bytes);
}

void control_free(void *memory)
{
    void **place = memory != NULL ? block_of(memory) : NULL;

    if (memory == NULL)
        return;
    control_check(place != NULL, "a block is freed once");
    free(memory);
    *place = NULL;
}

static void free_all(void)
{
    for (unsigned i = 0; i < BLOCKS_MAX; i++) {
        free(all.blocks[i]);
        all.blocks[i] = NULL;
    }
}

/* ---- a schedule ---- */

static void prepare(uint64_t seed, bool torn, const struct control_play *play)
{
    memset(all.fibers, 0, sizeof all.fibers);
    rand_seed(&all.rand, seed);
    all.random = seed % 2 == 0;
    all.over = false;
    all.tear = torn ? play->tear : TEAR_NOTHING;
    all.lowest = DEPTH;
    all.steps = all.alone = 0;
    /* Nobody knows the length beforehand, and a seed may not depend on those before it. */
    uint64_t length = UINT64_C(32) << rand_below(&all.rand, 6);
    for (unsigned i = 0; i < DEPTH; i++)
        all.changes[i] = 1 + rand_below(&all.rand, length);
    sanitizer_thread_init(&all.sanitizer);
}

void control_run(const struct control_play *play, uint64_t seed, bool torn,
                 struct control_result *ret)
{
    struct fiber *f;

    *ret = (struct control_result){.seed = seed};
    all.result = ret;
    prepare(seed, torn, play);
    house_begin();
    play->begin();
    while (!all.over && (f = pick()) != NULL)
        to_fiber(f);
    for (unsigned i = 0; i < FIBERS_MAX; i++)
        control_check(all.fibers[i].state == FIBER_FREE, "nobody sleeps for ever");
    if (!all.over)
        play->end();
    free_all();
    ret->steps = all.steps;
}
