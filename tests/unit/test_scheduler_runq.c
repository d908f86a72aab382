/* The run queues by themselves, with threads of the system as thieves. */
#include "scheduler/core.h"

#include "tests/lib/scheduled.h"

#include <pthread.h>

enum { TASKS = 200000 / SLOWDOWN, THIEVES = 2 };

/* A task is only an address here; its id tells which. */
static struct task *make_tasks(unsigned count)
{
    struct task *tasks = aligned_alloc(
        TASK_BYTES, ((size_t)count * sizeof *tasks + TASK_BYTES - 1) / TASK_BYTES * TASK_BYTES);

    ck_assert_ptr_nonnull(tasks);
    for (unsigned i = 0; i < count; i++)
        tasks[i] = (struct task){.id = i};
    return tasks;
}

static struct runq *make_runq(void)
{
    struct runq *q = aligned_alloc(128, sizeof *q);

    ck_assert_ptr_nonnull(q);
    runq_init(q, false);
    return q;
}

START_TEST(a_queue_gives_in_the_order_it_took)
{
    struct task *tasks = make_tasks(RUNQ_SLOTS + 1);
    struct runq *q = make_runq();

    for (int round = 0; round < 3; round++) {
        ck_assert_ptr_null(runq_pop(q));
        for (unsigned i = 0; i < RUNQ_SLOTS; i++)
            ck_assert(runq_push(q, &tasks[i]));
        ck_assert(!runq_push(q, &tasks[RUNQ_SLOTS]));
        for (unsigned i = 0; i < RUNQ_SLOTS; i++)
            ck_assert_uint_eq(runq_pop(q)->id, i);
    }
    free(q);
    free(tasks);
}
END_TEST

START_TEST(a_queue_without_thieves_gives_the_same)
{
    struct task *tasks = make_tasks(RUNQ_SLOTS + 1);
    struct runq *q = make_runq();

    runq_init(q, true);
    for (unsigned round = 0; round < 3; round++) {
        ck_assert_ptr_null(runq_pop_next(q));
        ck_assert_ptr_null(runq_push_next(q, &tasks[0]));
        ck_assert_ptr_eq(runq_push_next(q, &tasks[RUNQ_SLOTS]), &tasks[0]);
        for (unsigned i = 0; i < RUNQ_SLOTS; i++)
            ck_assert(runq_push(q, &tasks[i]));
        ck_assert(!runq_push(q, &tasks[RUNQ_SLOTS]));
        ck_assert_ptr_eq(runq_pop_next(q), &tasks[RUNQ_SLOTS]);
        ck_assert_ptr_eq(runq_pop_last(q), &tasks[RUNQ_SLOTS - 1]);
        for (unsigned i = 0; i < RUNQ_SLOTS - 1; i++)
            ck_assert_ptr_eq(runq_pop(q), &tasks[i]);
        ck_assert_ptr_null(runq_pop(q));
        ck_assert_ptr_null(runq_pop_last(q));
        ck_assert_uint_eq(runq_len(q), 0);
    }
    free(q);
    free(tasks);
}
END_TEST

START_TEST(a_queue_spills_its_older_half_up_to_a_batch)
{
    const unsigned counts[] = {10, 2 * RUNQ_BATCH, RUNQ_SLOTS};
    struct task *tasks = make_tasks(RUNQ_SLOTS);

    for (int c = 0; c < 3; c++) {
        unsigned half = counts[c] / 2 < RUNQ_BATCH ? counts[c] / 2 : RUNQ_BATCH;
        struct runq *q = make_runq();
        struct task_list spilled = {0};

        for (unsigned i = 0; i < counts[c]; i++)
            ck_assert(runq_push(q, &tasks[i]));
        runq_spill(q, &spilled);
        ck_assert_uint_eq(spilled.len, half);
        for (unsigned i = 0; i < half; i++)
            ck_assert_uint_eq(task_list_pop(&spilled)->id, i);
        ck_assert_uint_eq(runq_pop(q)->id, half);
        free(q);
    }
    free(tasks);
}
END_TEST

START_TEST(a_thief_takes_no_more_than_a_batch)
{
    struct task *tasks = make_tasks(RUNQ_SLOTS);
    struct runq *own = make_runq(), *victim = make_runq();

    for (unsigned i = 0; i < RUNQ_SLOTS; i++)
        ck_assert(runq_push(victim, &tasks[i]));
    ck_assert_uint_eq(runq_steal(own, victim)->id, RUNQ_BATCH - 1);
    ck_assert_uint_eq(runq_len(own), RUNQ_BATCH - 1);
    ck_assert_uint_eq(runq_len(victim), RUNQ_SLOTS - RUNQ_BATCH);
    ck_assert_uint_eq(runq_pop(victim)->id, RUNQ_BATCH);
    free(own);
    free(victim);
    free(tasks);
}
END_TEST

START_TEST(a_thief_takes_half_and_leaves_half)
{
    struct task *tasks = make_tasks(10);
    struct runq *own = make_runq(), *victim = make_runq();

    for (unsigned i = 0; i < 10; i++)
        ck_assert(runq_push(victim, &tasks[i]));
    ck_assert_uint_eq(runq_steal(own, victim)->id, 4);
    ck_assert_uint_eq(runq_len(own), 4);
    ck_assert_uint_eq(runq_len(victim), 5);
    ck_assert_uint_eq(runq_pop(victim)->id, 5);
    ck_assert_uint_eq(runq_pop(own)->id, 0);
    free(own);
    free(victim);
    free(tasks);
}
END_TEST

START_TEST(who_is_put_next_displaces_who_was)
{
    struct task *tasks = make_tasks(2);
    struct runq *q = make_runq();

    ck_assert_ptr_null(runq_push_next(q, &tasks[0]));
    ck_assert_ptr_eq(runq_push_next(q, &tasks[1]), &tasks[0]);
    ck_assert_uint_eq(runq_len(q), 1);
    ck_assert_ptr_eq(runq_pop_next(q), &tasks[1]);
    ck_assert_ptr_null(runq_pop_next(q));
    free(q);
    free(tasks);
}
END_TEST

START_TEST(the_owner_takes_from_the_back_what_nobody_else_took)
{
    struct task *tasks = make_tasks(3);
    struct runq *own = make_runq(), *victim = make_runq();

    for (int round = 0; round < 3; round++) {
        ck_assert_ptr_null(runq_last(victim));
        ck_assert_ptr_null(runq_pop_last(victim));
        for (unsigned i = 0; i < 3; i++)
            ck_assert(runq_push(victim, &tasks[i]));
        ck_assert_ptr_eq(runq_first(victim), &tasks[0]);
        ck_assert_uint_eq(runq_pop_last(victim)->id, 2);
        ck_assert_uint_eq(runq_steal(own, victim)->id, 0);
        ck_assert(runq_push(victim, &tasks[2]));
        ck_assert_uint_eq(runq_pop(victim)->id, 1);
        ck_assert_uint_eq(runq_pop_last(victim)->id, 2);
        ck_assert(runq_ring_is_empty(victim));
    }
    free(own);
    free(victim);
    free(tasks);
}
END_TEST

struct theft {
    struct runq *victim;
    _Atomic unsigned *taken;
    _Atomic bool done;
};

static void *thief(void *arg)
{
    struct theft *theft = arg;
    struct runq *own = make_runq();

    for (;;) {
        bool last = atomic_load(&theft->done);
        for (struct task *t = runq_steal(own, theft->victim); t != NULL; t = runq_pop(own))
            atomic_fetch_add(&theft->taken[t->id], 1);
        if (last && runq_ring_is_empty(theft->victim))
            break;
    }
    free(own);
    return NULL;
}

static void take(struct theft *theft, struct task *t)
{
    if (t != NULL)
        atomic_fetch_add(&theft->taken[t->id], 1);
}

START_TEST(owner_and_thieves_take_each_task_exactly_once)
{
    struct task *tasks = make_tasks(TASKS);
    struct theft theft = {.victim = make_runq()};
    pthread_t thieves[THIEVES];

    theft.taken = calloc(TASKS, sizeof *theft.taken);
    for (unsigned i = 0; i < THIEVES; i++)
        ck_assert_int_eq(pthread_create(&thieves[i], NULL, thief, &theft), 0);
    for (unsigned i = 0; i < TASKS; i++) {
        while (!runq_push(theft.victim, &tasks[i]))
            take(&theft, runq_pop(theft.victim));
        if (i % 3 == 0)
            take(&theft, runq_pop_last(theft.victim));
    }
    atomic_store(&theft.done, true);
    for (unsigned i = 0; i < THIEVES; i++)
        pthread_join(thieves[i], NULL);
    for (unsigned i = 0; i < TASKS; i++)
        ck_assert_uint_eq(atomic_load(&theft.taken[i]), 1);
    free(theft.taken);
    free(theft.victim);
    free(tasks);
}
END_TEST

START_TEST(the_global_queue_is_first_in_first_out)
{
    struct task *tasks = make_tasks(5);
    struct global_queue g = {0};
    struct task_list list = {0};

    for (unsigned i = 0; i < 5; i++)
        task_list_push(&list, &tasks[i]);
    global_push(&g, &list);
    ck_assert_uint_eq(list.len, 0);
    ck_assert_uint_eq(atomic_load(&g.len), 5);
    global_pop(&g, 3, &list);
    ck_assert_uint_eq(list.len, 3);
    ck_assert_uint_eq(task_list_pop(&list)->id, 0);
    global_pop(&g, 9, &list);
    ck_assert_uint_eq(list.len, 4);
    ck_assert_uint_eq(atomic_load(&g.len), 0);
    free(tasks);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_runq");
    TCase *tc = tcase_create("runq");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_queue_gives_in_the_order_it_took);
    tcase_add_test(tc, a_queue_without_thieves_gives_the_same);
    tcase_add_test(tc, a_queue_spills_its_older_half_up_to_a_batch);
    tcase_add_test(tc, a_thief_takes_no_more_than_a_batch);
    tcase_add_test(tc, a_thief_takes_half_and_leaves_half);
    tcase_add_test(tc, who_is_put_next_displaces_who_was);
    tcase_add_test(tc, the_owner_takes_from_the_back_what_nobody_else_took);
    tcase_add_test(tc, owner_and_thieves_take_each_task_exactly_once);
    tcase_add_test(tc, the_global_queue_is_first_in_first_out);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
