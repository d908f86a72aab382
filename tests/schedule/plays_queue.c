/* Run queues and timers: threads that touch them, without tasks that park. */
#include "tests/schedule/controlled.h" /* the queues' operations are inline */

#include "tests/schedule/plays.h"

#include "scheduler/core.h"

enum { ITEMS = 7, THIEVES = 2 };

static struct {
    struct runq own, stolen[THIEVES];
    struct global_queue global;
    struct task items[ITEMS];
    unsigned taken[ITEMS];
} queue;

static void take(struct task *t)
{
    if (t != NULL)
        queue.taken[t - queue.items]++;
}

static void queue_begin(void)
{
    runq_init(&queue.own, false);
    for (unsigned i = 0; i < THIEVES; i++)
        runq_init(&queue.stolen[i], false);
    queue.global = (struct global_queue){.len = 0};
    for (unsigned i = 0; i < ITEMS; i++)
        queue.taken[i] = 0;
}

/* What still stands in a queue was taken by nobody. */
static void queue_end(void)
{
    struct task_list rest = {0};

    for (struct task *t; (t = runq_pop(&queue.own)) != NULL;)
        take(t);
    take(runq_pop_next(&queue.own));
    for (unsigned i = 0; i < THIEVES; i++)
        for (struct task *t; (t = runq_pop(&queue.stolen[i])) != NULL;)
            take(t);
    global_pop(&queue.global, ITEMS, &rest);
    for (struct task *t; (t = task_list_pop(&rest)) != NULL;)
        take(t);
    for (unsigned i = 0; i < ITEMS; i++)
        CONTROL_HOLDS(queue.taken[i] == 1);
}

/* Pushes all of them and pops one, and two from the back; a full ring gives half to everybody.
 */
static void own(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ITEMS; i++) {
        struct task_list spilled = {0};
        if (!runq_push(&queue.own, &queue.items[i])) {
            runq_spill(&queue.own, &spilled);
            if (!runq_push(&queue.own, &queue.items[i]))
                task_list_push(&spilled, &queue.items[i]);
            global_push(&queue.global, &spilled);
        }
        if (i == 2)
            take(runq_pop(&queue.own));
        if (i == 3 || i == 5)
            take(runq_pop_last(&queue.own));
    }
}

static void steal(void *arg)
{
    struct runq *mine = arg;

    for (unsigned i = 0; i < 3; i++) {
        take(runq_steal(mine, &queue.own));
        take(runq_pop(mine));
    }
}

static void runq_begin(void)
{
    queue_begin();
    control_start(own, NULL);
    for (unsigned i = 0; i < THIEVES; i++)
        control_start(steal, &queue.stolen[i]);
}

const struct control_play play_runq = {"runq", runq_begin, queue_end, TEAR_CAS};

static void own_next(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ITEMS; i++) {
        struct task *displaced = runq_push_next(&queue.own, &queue.items[i]);
        if (displaced != NULL && !runq_push(&queue.own, displaced))
            take(displaced);
        if (i % 2 == 1)
            take(runq_pop_next(&queue.own));
    }
}

static void steal_next(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 3; i++)
        take(runq_pop_next(&queue.own));
}

static void runq_next_begin(void)
{
    queue_begin();
    control_start(own_next, NULL);
    control_start(steal_next, NULL);
    control_start(steal, &queue.stolen[0]);
}

const struct control_play play_runq_next = {"runq_next", runq_next_begin, queue_end,
                                            TEAR_EXCHANGE};

/* ---- timers ---- */

static struct {
    struct timer timers[2];
    unsigned fired[2];
    bool stopped[2], done;
} watch;

static void fire(struct timer *t)
{
    control_point();
    watch.fired[t - watch.timers]++;
    CONTROL_HOLDS(!watch.done); /* the timer may be gone by then */
}

static int stop_timers(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 2; i++)
        watch.stopped[i] = timer_stop(&watch.timers[i]);
    watch.done = true;
    return 0;
}

static int start_timers(void *arg)
{
    (void)arg;
    CONTROL_HOLDS(timer_start(&watch.timers[0], 20) == 0);
    CONTROL_HOLDS(timer_start(&watch.timers[1], 30) == 0);
    CONTROL_HOLDS(timer_start(&watch.timers[1], 15) == 0); /* moved, unless it was due */
    return stop_timers(NULL);
}

static void timer_begin(void)
{
    watch.done = false;
    for (unsigned i = 0; i < 2; i++) {
        timer_init(&watch.timers[i], fire);
        watch.fired[i] = 0;
    }
    house_start(start_timers, NULL);
    house_clock(6, 10);
}

static void timer_end(void)
{
    CONTROL_HOLDS(watch.fired[0] + watch.stopped[0] == 1);
    CONTROL_HOLDS(watch.fired[1] + watch.stopped[1] >= 1); /* one that fired may be started */
}

const struct control_play play_timer = {"timer", timer_begin, timer_end, TEAR_OR};

/* It is started again once its callback has begun, so that two threads may be at its callback.
 */

static struct {
    struct timer timer;
    unsigned begun, inside;
    bool done;
} again;

static void fire_again(struct timer *t)
{
    (void)t;
    again.begun++;
    again.inside++;
    control_point();
    again.inside--;
    CONTROL_HOLDS(!again.done);
}

static int start_again(void *arg)
{
    (void)arg;
    for (unsigned i = 1; i <= 2; i++) {
        CONTROL_HOLDS(timer_start(&again.timer, 10) == 0);
        while (again.begun < i)
            control_yield();
    }
    timer_stop(&again.timer);
    again.done = true;
    CONTROL_HOLDS(again.inside == 0);
    return 0;
}

static void timer_again_begin(void)
{
    again.done = false;
    again.begun = again.inside = 0;
    timer_init(&again.timer, fire_again);
    house_start(start_again, NULL);
    house_clock(6, 10);
    house_clock(6, 10);
}

static void timer_again_end(void)
{
    CONTROL_HOLDS(again.begun == 2);
}

const struct control_play play_timer_again = {"timer_again", timer_again_begin, timer_again_end,
                                              TEAR_OR};
