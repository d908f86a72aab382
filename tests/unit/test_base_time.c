/* Points in time and the clocks that tell them. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/str.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

START_TEST(times_read_as_rfc_3339_has_them)
{
    static const struct {
        const char *s;
        int64_t ms;
    } t[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.001Z", 1},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2026-11-23T15:05:53.120Z", INT64_C(1795446353120)},
        {"2026-11-23t15:05:53.120z", INT64_C(1795446353120)},
        {"2026-11-23 15:05:53.12Z", INT64_C(1795446353120)},
        {"2026-11-23T16:05:53.120+01:00", INT64_C(1795446353120)},
        {"2026-11-23T09:35:53.120-05:30", INT64_C(1795446353120)},
        {"2026-11-23T15:05:53.1209999999999Z", INT64_C(1795446353120)},
        {"2026-11-23T15:05:53.120+00:00", INT64_C(1795446353120)},
        {"2000-02-29T00:00:00Z", INT64_C(951782400000)},
        {"2024-02-29T12:00:00Z", INT64_C(1709208000000)},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800000)},
        {"0000-01-01T00:00:00Z", INT64_C(-62167219200000)},
        {"0000-02-29T00:00:00Z", INT64_C(-62162121600000)},
        {"9999-12-31T23:59:59.999Z", INT64_C(253402300799999)},
        {"2038-01-19T03:14:08Z", INT64_C(2147483648000)},
    };

    for (size_t i = 0; i < COUNT(t); i++) {
        int64_t ms = 42;

        ck_assert_msg(str_time_ms(t[i].s, strlen(t[i].s), &ms) == 0, "%s", t[i].s);
        ck_assert_msg(ms == t[i].ms, "%s is %lld", t[i].s, (long long)ms);
    }
}
END_TEST

START_TEST(times_that_are_none_are_refused)
{
    static const char *const bad[] = {
        "",
        "2026",
        "2026-11-23",
        "2026-11-23T15:05",
        "2026-11-23T15:05Z",
        "2026-11-23T15:05:53",
        "2026-11-23T15:05:53.Z",
        "2026-11-23T15:05:53.1",
        "2026-11-23T15:05:53ZZ",
        "2026-11-23T15:05:53Z ",
        " 2026-11-23T15:05:53Z",
        "26-11-23T15:05:53Z",
        "02026-11-23T15:05:53Z",
        "2026-1-23T15:05:53Z",
        "2026-00-23T15:05:53Z",
        "2026-13-23T15:05:53Z",
        "2026-11-00T15:05:53Z",
        "2026-11-31T15:05:53Z",
        "2026-02-29T15:05:53Z",
        "1900-02-29T15:05:53Z",
        "2100-02-29T15:05:53Z",
        "2024-02-30T15:05:53Z",
        "2026-11-23T24:05:53Z",
        "2026-11-23T15:60:53Z",
        "2026-11-23T15:05:61Z",
        "2026-11-23T15:05:53+24:00",
        "2026-11-23T15:05:53+01:60",
        "2026-11-23T15:05:53+0100",
        "2026-11-23T15:05:53+01",
        "2026-11-23T15:05:53 Z",
        "2026/11/23T15:05:53Z",
        "2026-11-23_15:05:53Z",
        "-026-11-23T15:05:53Z",
        "2026-11-2xT15:05:53Z",
    };
    int64_t ms = 42;

    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(str_time_ms(bad[i], strlen(bad[i]), &ms) == -EINVAL, "%s", bad[i]);
    ck_assert_int_eq(str_time_ms("2026-11-23\0", 11, &ms), -EINVAL);
    ck_assert_int_eq(ms, 42);
}
END_TEST

static void agrees_with_gmtime(int64_t at_ms)
{
    char want[64], got[STR_TIME_BYTES];
    time_t s = (time_t)((at_ms - ((at_ms % 1000) + 1000) % 1000) / 1000);
    struct tm tm;
    int64_t back;

    gmtime_r(&s, &tm);
    snprintf(want, sizeof want, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
             (int)(at_ms - (int64_t)s * 1000));
    str_time_text(got, at_ms);
    /* Not an assertion each: Check writes down every one of them. */
    if (strcmp(got, want) != 0 || str_time_ms(got, strlen(got), &back) < 0 || back != at_ms)
        ck_abort_msg("%lld is %s, not %s", (long long)at_ms, got, want);
}

START_TEST(every_day_of_eight_centuries_agrees_with_the_library)
{
    for (int64_t day = -200000; day < 100000; day++) {
        agrees_with_gmtime(day * 86400000);
        agrees_with_gmtime(day * 86400000 - 1);
    }
}
END_TEST

START_TEST(random_instants_agree_with_the_library)
{
    struct rand r;

    rand_seed(&r, 7);
    for (int i = 0; i < 100000; i++)
        agrees_with_gmtime((int64_t)rand_below(&r, UINT64_C(315569520000000)) -
                           INT64_C(62167219200000));
}
END_TEST

START_TEST(instants_beyond_four_digits_show_the_nearest)
{
    OWN_BUF struct buf b = BUF_INIT;

    str_put_time(&b, INT64_MAX);
    buf_putc(&b, ' ');
    str_put_time(&b, INT64_MIN);
    ck_assert_str_eq(buf_str(&b), "9999-12-31T23:59:59.999Z 0000-01-01T00:00:00.000Z");
}
END_TEST

START_TEST(the_machines_clock_is_today_and_goes_forward)
{
    int64_t wall_ms = clock_wall_ms();
    uint64_t mono_ns = clock_mono_ns();

    ck_assert_int_gt(wall_ms, INT64_C(1700000000000));
    ck_assert_int_le(llabs((long long)wall_ms - (long long)time(NULL) * 1000), 2000);
    for (int i = 0; i < 1000; i++) {
        uint64_t now_ns = clock_real.mono_ns(&clock_real);

        ck_assert_uint_ge(now_ns, mono_ns);
        mono_ns = now_ns;
    }
    ck_assert_int_ge(clock_real.wall_ms(&clock_real), wall_ms);
}
END_TEST

START_TEST(a_virtual_clock_stands_until_moved)
{
    struct clock_virtual v;
    const struct clock *c = &v.clock;

    clock_virtual_init(&v, 5000);
    uint64_t start_ns = c->mono_ns(c);
    ck_assert_int_eq(c->wall_ms(c), 5000);
    ck_assert_uint_gt(start_ns, 0);
    clock_virtual_advance(&v, 250);
    ck_assert_int_eq(c->wall_ms(c), 5250);
    ck_assert_uint_eq(c->mono_ns(c), start_ns + 250 * NS_PER_MS);
}
END_TEST

START_TEST(a_step_moves_the_wall_clock_alone)
{
    struct clock_virtual v;
    const struct clock *c = &v.clock;

    clock_virtual_init(&v, 5000);
    uint64_t start_ns = c->mono_ns(c);
    clock_virtual_step(&v, -3600000);
    ck_assert_int_eq(c->wall_ms(c), 5000 - 3600000);
    ck_assert_uint_eq(c->mono_ns(c), start_ns);
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "base/time", times_read_as_rfc_3339_has_them, times_that_are_none_are_refused,
        every_day_of_eight_centuries_agrees_with_the_library,
        random_instants_agree_with_the_library, instants_beyond_four_digits_show_the_nearest,
        the_machines_clock_is_today_and_goes_forward, a_virtual_clock_stands_until_moved,
        a_step_moves_the_wall_clock_alone);
}
