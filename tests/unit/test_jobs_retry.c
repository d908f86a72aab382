#include "jobs/retry.h"

#include "base/rand.h"
#include "tests/lib/suite.h"

static const struct retry_spec usual = {
    .max_attempts = 10, .base_ms = 5000, .factor = 2, .cap_ms = 3600000};

START_TEST(one_half_is_certain_the_other_drawn_by_lot)
{
    struct rand rand;
    int64_t low = INT64_MAX, high = 0;

    rand_seed(&rand, 1);
    for (int i = 0; i < 10000; i++) {
        int64_t ms = retry_delay_ms(&usual, 3, &rand);

        ck_assert_int_ge(ms, 10000);
        ck_assert_int_le(ms, 20000);
        low = ms < low ? ms : low;
        high = ms > high ? ms : high;
    }
    ck_assert_int_lt(low, 10100); /* and it uses the whole of it */
    ck_assert_int_gt(high, 19900);
}
END_TEST

START_TEST(it_doubles_up_to_the_cap)
{
    struct rand rand;
    int64_t before = 0;

    rand_seed(&rand, 2);
    for (uint32_t n = 1; n <= 10; n++) {
        int64_t span = n < 11 ? usual.base_ms << (n - 1) : 0;
        int64_t ms = retry_delay_ms(&usual, n, &rand);

        span = span < usual.cap_ms ? span : usual.cap_ms;
        ck_assert_int_ge(ms, span / 2);
        ck_assert_int_le(ms, span);
        ck_assert_int_ge(ms, before);
        before = span / 2;
    }
}
END_TEST

START_TEST(thousands_of_failures_stay_at_the_cap)
{
    struct rand rand;

    rand_seed(&rand, 3);
    for (uint32_t n = 100; n < UINT32_MAX / 2; n *= 7) {
        ck_assert_int_ge(retry_delay_ms(&usual, n, &rand), usual.cap_ms / 2);
        ck_assert_int_le(retry_delay_ms(&usual, n, &rand), usual.cap_ms);
    }
}
END_TEST

START_TEST(a_delay_is_never_nothing)
{
    struct retry_spec none = {.max_attempts = 3, .base_ms = 0, .factor = 0.5, .cap_ms = 0};
    struct rand rand;

    rand_seed(&rand, 4);
    for (uint32_t n = 1; n < 5000; n++)
        ck_assert_int_eq(retry_delay_ms(&none, n, &rand), 1);
}
END_TEST

START_TEST(a_fixed_delay_has_factor_one)
{
    struct retry_spec fixed = {
        .max_attempts = 3, .base_ms = 1000, .factor = 1, .cap_ms = 3600000};
    struct rand rand;

    rand_seed(&rand, 5);
    ck_assert_int_le(retry_delay_ms(&fixed, UINT32_MAX, &rand), 1000);
    ck_assert_int_ge(retry_delay_ms(&fixed, UINT32_MAX, &rand), 500);
}
END_TEST

START_TEST(the_same_seed_gives_the_same_delays)
{
    struct rand a, b;

    rand_seed(&a, 6);
    rand_seed(&b, 6);
    for (uint32_t n = 1; n < 20; n++)
        ck_assert_int_eq(retry_delay_ms(&usual, n, &a), retry_delay_ms(&usual, n, &b));
}
END_TEST

START_TEST(retry_after_counts_when_it_is_larger_and_within_a_day)
{
    ck_assert_int_eq(retry_after_ms(5000, 0), 5000);
    ck_assert_int_eq(retry_after_ms(5000, 4000), 5000);
    ck_assert_int_eq(retry_after_ms(5000, 60000), 60000);
    ck_assert_int_eq(retry_after_ms(5000, INT64_MAX), RETRY_AFTER_MS_MAX);
    ck_assert_int_eq(retry_after_ms(5000, -1), 5000);
}
END_TEST

int main(void)
{
    return SUITE_MAIN("jobs_retry", one_half_is_certain_the_other_drawn_by_lot,
                      it_doubles_up_to_the_cap, thousands_of_failures_stay_at_the_cap,
                      a_delay_is_never_nothing, a_fixed_delay_has_factor_one,
                      the_same_seed_gives_the_same_delays,
                      retry_after_counts_when_it_is_larger_and_within_a_day);
}
