/* What the ABI lets a caller keep in registers over a call stays there over a switch: so many
 * values are alive over task_yield that they fill the registers that a callee must save. And
 * what else goes with a task, or is not left to the next one. */
#include "scheduler/core.h"

#include "tests/lib/scheduled.h"

#include <errno.h>
#include <fenv.h>

enum { TASKS = 7, ROUNDS = 500 };

static uint64_t step(uint64_t x)
{
    return x * UINT64_C(6364136223846793005) + 1442695040888963407U;
}

/* Ten whole numbers and eight of floating point, over as many calls. */
static __attribute__((noinline)) double mix(uint64_t seed, int rounds, int (*between)(void))
{
    uint64_t a = step(seed), b = step(a), c = step(b), d = step(c), e = step(d), f = step(e),
             g = step(f), h = step(g), i = step(h), j = step(i);
    double p = 1.5, q = 2.5, r = 3.5, s = 4.5, t = 5.5, u = 6.5, v = 7.5, w = 8.5;

    for (int n = 0; n < rounds; n++) {
        ck_assert_int_eq(between(), 0);
        a ^= b, b += c, c ^= d, d += e, e ^= f, f += g, g ^= h, h += i, i ^= j, j = step(a);
        p += q * 0.5, q = r - p * 0.25, r = s * 0.75, s = t + p * 0.125, t = u - q * 0.5,
                      u = v * 0.5 + r, v = w - s * 0.25, w = (double)(a % 1000) + t * 0.5;
    }
    return (double)((a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ i ^ j) % 1000003) + p + q + r + s + t + u +
           v + w;
}

static int stay(void)
{
    return 0;
}

static int mix_beside_others(void *arg)
{
    uint64_t seed = *(uint64_t *)arg;

    ck_assert(mix(seed, ROUNDS, task_yield) == mix(seed, ROUNDS, stay));
    return 0;
}

static int mix_all(void *arg)
{
    uint64_t seeds[TASKS];
    struct group g;

    (void)arg;
    group_open(&g, "mixers");
    for (int i = 0; i < TASKS; i++) {
        seeds[i] = (uint64_t)i;
        ck_assert_int_eq(group_go(&g, mix_beside_others, &seeds[i]), 0);
    }
    return group_join(&g);
}

START_TEST(registers_that_a_callee_must_save_survive_a_switch)
{
    scheduled((unsigned)_i, mix_all, NULL);
}
END_TEST

SANITIZER_LOCAL __attribute__((noinline)) static void set_errno(int error)
{
    errno = error;
}

static int errno_task(void *arg)
{
    int mine = (int)(intptr_t)arg;

    set_errno(mine);
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(task_yield(), 0);
        ck_assert_int_eq(errno_now(), mine);
    }
    return 0;
}

static int keep_errno(void *arg)
{
    struct group g;

    (void)arg;
    group_open(&g, "errno");
    for (int i = 1; i <= 16; i++)
        ck_assert_int_eq(group_go(&g, errno_task, (void *)(intptr_t)i), 0);
    return group_join(&g);
}

START_TEST(errno_goes_with_its_task)
{
    scheduled((unsigned)_i + 1, keep_errno, NULL);
}
END_TEST

static int rounding_task(void *arg)
{
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    int mine = modes[(intptr_t)arg % 4];

    ck_assert_int_eq(fegetround(), FE_TONEAREST); /* a new task starts plain */
    fesetround(mine);
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(task_yield(), 0);
        ck_assert_int_eq(fegetround(), mine);
    }
    fesetround(FE_TONEAREST);
    return 0;
}

static int keep_rounding(void *arg)
{
    struct group g;

    (void)arg;
    group_open(&g, "rounding");
    for (intptr_t i = 0; i < 16; i++)
        ck_assert_int_eq(group_go(&g, rounding_task, (void *)i), 0);
    return group_join(&g);
}

START_TEST(the_rounding_mode_goes_with_its_task)
{
    scheduled((unsigned)_i + 1, keep_rounding, NULL);
}
END_TEST

/* Leaves errno and rounding as the next one on its stack must not find them. */
static int untidy_task(void *arg)
{
    ck_assert_int_eq(fegetround(), FE_TONEAREST);
    ck_assert_int_eq(errno_now(), 0);
    set_errno(EIO);
    fesetround(FE_UPWARD);
    atomic_fetch_add((_Atomic unsigned *)arg, 1);
    return 0;
}

static int spawn_untidy(void *arg)
{
    _Atomic unsigned done = 0;
    struct group g;

    (void)arg;
    group_open(&g, "untidy");
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_int_eq(group_go(&g, untidy_task, &done), 0);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_uint_eq(atomic_load(&done), 1000);
    ck_assert_int_eq(fegetround(), FE_TONEAREST);
    return 0;
}

START_TEST(who_begins_finds_nothing_of_who_ended_on_its_stack)
{
    scheduled((unsigned)_i + 1, spawn_untidy, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_switch");
    TCase *tc = tcase_create("switch");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, registers_that_a_callee_must_save_survive_a_switch, 1, 3);
    tcase_add_loop_test(tc, errno_goes_with_its_task, 0, 2);
    tcase_add_loop_test(tc, the_rounding_mode_goes_with_its_task, 0, 2);
    tcase_add_loop_test(tc, who_begins_finds_nothing_of_who_ended_on_its_stack, 0, 2);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
