/* A task goes on in another thread after each leaving, not now and then: the thread it left
 * does nothing else until another has it. What stands for a thread must be right behind each
 * one, whatever the compiler made of it. */
#include "scheduler/core.h"
#include "scheduler/processor.h"
#include "scheduler/sanitizer.h"

#include "tests/lib/measure.h"

#include <fenv.h>
#include <unistd.h>

enum { MOVES = 2000 / SLOWDOWN };

struct mover {
    struct thread *at; /* where it was left */
    _Atomic unsigned arrived;
};

/* Puts it where others may steal it, and stays until somebody has. */
static bool commit_move(struct thread *m, struct task *t, void *arg)
{
    struct mover *mover = arg;
    unsigned before = atomic_load(&mover->arrived);

    set_relaxed(&t->state, TASK_READY);
    processor_requeue(get_relaxed(&m->processor), t);
    for (uint64_t until_ns = clock_mono_ns() + 30 * NS_PER_S;
         atomic_load(&mover->arrived) == before;)
        HOLDS(clock_mono_ns() < until_ns);
    return false;
}

/* As task_yield, but to another thread. Out of line, as the real one: the caller's compiler
 * must not see that the thread changes. */
static __attribute__((noinline)) void move(struct mover *mover)
{
    struct task *t = task_self();

    mover->at = thread_self();
    task_leave(t, commit_move, mover);
    HOLDS(thread_self() != mover->at);
    atomic_fetch_add(&mover->arrived, 1);
}

SANITIZER_LOCAL __attribute__((noinline)) static void set_errno(int error)
{
    errno = error;
}

/* The thread it left makes errno another's meanwhile. */
static int keep_all(void *arg)
{
    struct mover *mover = arg;

    fesetround(FE_UPWARD);
    for (int i = 1; i <= MOVES; i++) {
        struct thread *before = thread_self();
        pid_t tid = gettid();

        set_errno(i);
        move(mover);
        HOLDS(errno_now() == i);
        HOLDS(thread_self() != before && gettid() != tid);
        HOLDS(get_relaxed(&thread_self()->task) == task_self());
        HOLDS(fegetround() == FE_UPWARD);
        set_errno(-i);
        HOLDS(errno_now() == -i);
    }
    fesetround(FE_TONEAREST);
    return 0;
}

static int one_moves(void *arg)
{
    struct mover mover = {.at = NULL};
    struct group g;

    (void)arg;
    group_open(&g, "moving");
    HOLDS(group_go(&g, keep_all, &mover) == 0);
    HOLDS(group_join(&g) == 0);
    HOLDS(atomic_load(&mover.arrived) == MOVES);
    return 0;
}

START_TEST(a_task_that_changes_its_thread_at_each_switch_sees_nothing_of_the_old_one)
{
    scheduled(2, one_moves, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_migrate");
    TCase *tc = tcase_create("migrate");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc,
                   a_task_that_changes_its_thread_at_each_switch_sees_nothing_of_the_old_one);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
