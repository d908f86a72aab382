#include "scheduler/event.h"

#include "base/err.h"
#include "scheduler/core.h"
#include "scheduler/processor.h"
#include "scheduler/wait.h"

#define EVENT_SET 1U

void event_init(struct event *e)
{
    atomic_init(&e->word, 0);
}

/* The exchange is the last touch of the event: after it the waiter may return and its frame
 * end. Everything else is in the tag. */
static bool set(struct event *e, struct task **ret)
{
    uintptr_t before = atomic_exchange(&e->word, EVENT_SET);

    return before > EVENT_SET && wait_tag_finish(before, 0, ret);
}

void event_set(struct event *e)
{
    struct task *t;

    if (set(e, &t))
        processor_ready(t);
}

void event_set_all(struct event *const *events, unsigned count)
{
    struct task_list woken = {0};
    struct task *t;

    for (unsigned i = 0; i < count; i++)
        if (set(events[i], &t))
            task_list_push(&woken, t);
    processor_ready_list(&woken);
}

bool event_is_set(const struct event *e)
{
    return atomic_load(&e->word) == EVENT_SET;
}

static int wait_for(struct event *e, uint64_t deadline_ns, bool shielded)
{
    struct wait w;
    uintptr_t word, tag;

    wait_begin(&w);
    tag = wait_tag(&w);
    do {
        word = EVENT_SET;
        if (atomic_compare_exchange_strong(&e->word, &word, 0))
            return 0;
        assert_always(word == 0); /* one waiter at a time */
    } while (!atomic_compare_exchange_strong(&e->word, &word, tag));

    int r = wait_park_outside(&w, "event", e, deadline_ns, shielded);
    if (r < 0)
        atomic_compare_exchange_strong(&e->word, &tag, 0);
    else
        atomic_store(&e->word, 0);
    return r;
}

int event_wait(struct event *e, uint64_t deadline_ns)
{
    return wait_for(e, deadline_ns, false);
}

void event_wait_shielded(struct event *e)
{
    wait_for(e, 0, true);
}
