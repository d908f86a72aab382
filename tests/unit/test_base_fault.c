/* Fault points, and the errors that they make. */
#include "base/err.h"
#include "base/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

START_TEST(nothing_fails_unless_armed)
{
    ck_assert_int_eq(fault_at("a"), 0);
    ck_assert_int_eq(fault_hit("a"), 0);
    ck_assert_uint_eq(fault_passes("a"), 0);
}
END_TEST

START_TEST(the_nth_pass_fails_once)
{
    fault_arm("a", 3, -EIO, false);
    ck_assert_int_eq(fault_at("a"), 0);
    ck_assert_int_eq(fault_at("a"), 0);
    ck_assert_int_eq(fault_at("b"), 0);
    ck_assert_int_eq(fault_at("a"), -EIO);
    ck_assert_int_eq(fault_at("a"), 0);
    ck_assert_uint_eq(fault_passes("a"), 4);
    ck_assert_uint_eq(fault_passes("b"), 0);
}
END_TEST

START_TEST(every_pass_from_the_nth_on_fails)
{
    fault_arm("a", 2, -ENOSPC, true);
    ck_assert_int_eq(fault_at("a"), 0);
    ck_assert_int_eq(fault_at("a"), -ENOSPC);
    ck_assert_int_eq(fault_at("a"), -ENOSPC);
}
END_TEST

START_TEST(a_point_armed_at_zero_only_counts)
{
    fault_arm("a", 0, -EIO, true);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(fault_at("a"), 0);
    ck_assert_uint_eq(fault_passes("a"), 5);
}
END_TEST

START_TEST(arming_again_starts_the_count_anew)
{
    fault_arm("a", 1, -EIO, true);
    ck_assert_int_eq(fault_at("a"), -EIO);
    fault_arm("a", 2, -ENOMEM, false);
    ck_assert_uint_eq(fault_passes("a"), 0);
    ck_assert_int_eq(fault_at("a"), 0);
    ck_assert_int_eq(fault_at("a"), -ENOMEM);
}
END_TEST

START_TEST(disarming_ends_all_faults)
{
    fault_arm("a", 1, -EIO, true);
    fault_disarm_all();
    ck_assert(!fault_armed);
    ck_assert_int_eq(fault_at("a"), 0);
    ck_assert_uint_eq(fault_passes("a"), 0);
}
END_TEST

START_TEST(the_environment_arms_several)
{
    ck_assert_int_eq(fault_arm_env("store.commit:2:EIO,file.write:1+:ENOSPC"), 0);
    ck_assert_int_eq(fault_at("store.commit"), 0);
    ck_assert_int_eq(fault_at("store.commit"), -EIO);
    ck_assert_int_eq(fault_at("store.commit"), 0);
    ck_assert_int_eq(fault_at("file.write"), -ENOSPC);
    ck_assert_int_eq(fault_at("file.write"), -ENOSPC);
    ck_assert_int_eq(fault_arm_env(""), 0);
}
END_TEST

START_TEST(an_environment_that_makes_no_sense_arms_nothing)
{
    static const char *const bad[] = {
        "a",
        "a:1",
        "a:1:",
        "a::EIO",
        ":1:EIO",
        "a:0:EIO",
        "a:1:eio",
        "a:x:EIO",
        "a:-1:EIO",
        "a:1:EIO,",
        "a:1:EIO,b",
        ",a:1:EIO",
        "a:1:EIO:x",
        "a:+:EIO",
        "a:1++:EIO",
        "a:1:5",
        "a:1:EIO b:1:EIO",
        "a:18446744073709551616:EIO",
        "0123456789012345678901234567890123456789012345678901234567890123:1:EIO",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(fault_arm_env(bad[i]) == -EINVAL, "%s", bad[i]);
    ck_assert(!fault_armed);
}
END_TEST

START_TEST(more_points_than_the_table_holds_are_refused)
{
    char text[1024];
    int len = 0;

    for (int i = 0; i <= FAULT_POINTS_MAX; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, "%sp%d:1:EIO", i ? "," : "", i);
    ck_assert_int_eq(fault_arm_env(text), -EINVAL);
    ck_assert(!fault_armed);
}
END_TEST

static void *pass_often(void *arg)
{
    int *failures = arg;

    for (int i = 0; i < 1000; i++)
        *failures += fault_at("shared") < 0;
    return NULL;
}

START_TEST(threads_share_one_count)
{
    pthread_t threads[4];
    int failures[4] = {0};

    fault_arm("shared", 2500, -EIO, false);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, pass_often, &failures[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(fault_passes("shared"), 4000);
    ck_assert_int_eq(failures[0] + failures[1] + failures[2] + failures[3], 1);
}
END_TEST

/* ----- err.h ----- */

START_TEST(errors_have_names_and_sentences)
{
    ck_assert_str_eq(err_name(-EIO), "EIO");
    ck_assert_str_eq(err_name(-ECANCELED), "ECANCELED");
    ck_assert_str_eq(err_text(-ENOENT), "No such file or directory");
    ck_assert_str_eq(err_name(-99999), "E?");
    ck_assert_str_eq(err_name(5), "E?");
    ck_assert_str_eq(err_text(-99999), "Unknown error");
    ck_assert_str_eq(err_text(1), "Unknown error");
}
END_TEST

START_TEST(a_broken_invariant_ends_the_process)
{
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
    assert_always(1 + 1 == 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/err");
    TCase *tcase = tcase_create("abort");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tcase);
    tcase_add_test_raise_signal(tcase, a_broken_invariant_ends_the_process, SIGABRT);
    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    failed |= SUITE_MAIN("base/fault", nothing_fails_unless_armed, the_nth_pass_fails_once,
                         every_pass_from_the_nth_on_fails, a_point_armed_at_zero_only_counts,
                         arming_again_starts_the_count_anew, disarming_ends_all_faults,
                         the_environment_arms_several,
                         an_environment_that_makes_no_sense_arms_nothing,
                         more_points_than_the_table_holds_are_refused, threads_share_one_count,
                         errors_have_names_and_sentences);
    return failed != 0;
}
