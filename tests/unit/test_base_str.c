#include "base/buf.h"
#include "base/str.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ----- numbers ----- */

START_TEST(u64_reads_exactly_what_fits)
{
    static const struct {
        const char *s;
        int r;
        uint64_t v;
    } t[] = {
        {"0", 0, 0},
        {"007", 0, 7},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", -ERANGE, 0},
        {"99999999999999999999999", -ERANGE, 0},
        {"99999999999999999999999x", -EINVAL, 0},
        {"", -EINVAL, 0},
        {"+1", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1 ", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
        {"1.0", -EINVAL, 0},
    };

    for (size_t i = 0; i < COUNT(t); i++) {
        uint64_t v = 42;

        ck_assert_msg(str_u64(t[i].s, strlen(t[i].s), &v) == t[i].r, "%s", t[i].s);
        ck_assert_uint_eq(v, t[i].r ? 42 : t[i].v);
    }
}
END_TEST

START_TEST(a_parser_reads_len_bytes_and_no_more)
{
    uint64_t v;
    int64_t ms;

    ck_assert_int_eq(str_u64("123", 2, &v), 0);
    ck_assert_uint_eq(v, 12);
    ck_assert_int_eq(str_u64("1\0", 2, &v), -EINVAL);
    ck_assert_int_eq(str_duration_ms("5ms", 2, &ms), 0);
    ck_assert_int_eq(ms, 300000);
    ck_assert_int_eq(str_size("5K\0", 3, &v), -EINVAL);
}
END_TEST

START_TEST(i64_reads_both_ends)
{
    static const struct {
        const char *s;
        int r;
        int64_t v;
    } t[] = {
        {"0", 0, 0},
        {"-0", 0, 0},
        {"-1", 0, -1},
        {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN},
        {"9223372036854775808", -ERANGE, 0},
        {"-9223372036854775809", -ERANGE, 0},
        {"-", -EINVAL, 0},
        {"--1", -EINVAL, 0},
        {"", -EINVAL, 0},
    };

    for (size_t i = 0; i < COUNT(t); i++) {
        int64_t v = 42;

        ck_assert_msg(str_i64(t[i].s, strlen(t[i].s), &v) == t[i].r, "%s", t[i].s);
        ck_assert_int_eq(v, t[i].r ? 42 : t[i].v);
    }
}
END_TEST

START_TEST(doubles_have_one_grammar)
{
    static const char *const good[] = {"0", "-0.5", "1e3", "1.25E-2", "00.5", "1e-999", "2e+2"};
    static const char *const bad[] = {"",      ".5", "1.",  "1e",   "1e+", "nan",  "inf",
                                      "0x1p3", "+1", "1,5", "1.5 ", "--1", "1.2.3"};
    double v = 42;

    for (size_t i = 0; i < COUNT(good); i++) {
        ck_assert_msg(str_double(good[i], strlen(good[i]), &v) == 0, "%s", good[i]);
        ck_assert_msg(v == strtod(good[i], NULL), "%s", good[i]);
    }
    v = 42;
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(str_double(bad[i], strlen(bad[i]), &v) == -EINVAL, "%s", bad[i]);
    ck_assert_int_eq(str_double("1e999", 5, &v), -ERANGE);
    ck_assert(v == 42);
}
END_TEST

START_TEST(a_double_of_too_much_text_is_out_of_range)
{
    char s[300];
    double v = 42;

    memset(s, '1', sizeof s);
    ck_assert_int_eq(str_double(s, sizeof s, &v), -ERANGE);
    ck_assert_int_eq(str_double(s, 128, &v), 0);
    ck_assert_int_eq(str_double(s, 129, &v), -ERANGE);
    s[200] = 'x';
    ck_assert_int_eq(str_double(s, sizeof s, &v), -EINVAL);
}
END_TEST

/* ----- spans ----- */

START_TEST(durations_read_as_people_write_them)
{
    static const struct {
        const char *s;
        int64_t ms;
    } t[] = {
        {"90", 90000},
        {"1.5", 1500},
        {"0", 0},
        {"250ms", 250},
        {"90s", 90000},
        {"5m", 300000},
        {"2h", 7200000},
        {"1d", 86400000},
        {"1h30m", 5400000},
        {"1d2h3m4s5ms", 93784005},
        {"1.5h", 5400000},
        {"0.1h", 360000},
        {"1m0.5s", 60500},
        {"0.001", 1},
        {"0.0001", 1},
        {"0.000000000", 0},
        {"1.0000000009", 1000},
        {"0.5ms", 1},
        {"0s", 0},
        {"9223372036854775807ms", INT64_MAX},
        {"106751991167d", INT64_C(9223372036828800000)},
    };

    for (size_t i = 0; i < COUNT(t); i++) {
        int64_t ms = -1;

        ck_assert_msg(str_duration_ms(t[i].s, strlen(t[i].s), &ms) == 0, "%s", t[i].s);
        ck_assert_msg(ms == t[i].ms, "%s is %lld", t[i].s, (long long)ms);
    }
}
END_TEST

START_TEST(durations_that_are_none_are_refused)
{
    static const char *const bad[] = {
        "",     "s",     "-5s",   "+5s",  " 5s",  "5s ",    "5 s",   "5S",
        "5w",   "5us",   "30m1h", "1h1h", "1h30", "1.5h3m", "1.",    ".5",
        "1..5", "1.5.5", "ms",    "1sm",  "1e3",  "5mss",   "1h-3m", "inf",
    };
    int64_t ms = 42;

    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(str_duration_ms(bad[i], strlen(bad[i]), &ms) == -EINVAL, "%s", bad[i]);
    ck_assert_int_eq(ms, 42);
}
END_TEST

START_TEST(durations_that_overflow_are_out_of_range)
{
    static const char *const far[] = {
        "9223372036854775808ms",   "106751991168d",          "99999999999999999999999d",
        "18446744073709551615",    "106751991167d23h59m59s", "9223372036854775807ms0.1ms",
        "9223372036854775807.1ms", "213503982334601.5d",
    };
    int64_t ms = 42;

    for (size_t i = 0; i < COUNT(far); i++) {
        int r = str_duration_ms(far[i], strlen(far[i]), &ms);
        /* The one with ms twice is no duration at all. */
        int want = i == 5 ? -EINVAL : -ERANGE;

        ck_assert_msg(r == want, "%s: %d", far[i], r);
    }
    ck_assert_int_eq(ms, 42);
}
END_TEST

START_TEST(a_written_duration_is_the_shortest_exact_one)
{
    static const struct {
        int64_t ms;
        const char *want;
    } t[] = {
        {0, "0s"},
        {1, "1ms"},
        {250, "250ms"},
        {1500, "1500ms"},
        {90000, "90s"},
        {300000, "5m"},
        {7200000, "2h"},
        {86400000, "1d"},
        {90000000, "25h"},
        {-5000, "-5s"},
        {INT64_MAX, "9223372036854775807ms"},
        {INT64_MIN, "-9223372036854775808ms"},
    };

    for (size_t i = 0; i < COUNT(t); i++) {
        OWN_BUF struct buf b = BUF_INIT;
        int64_t back;

        str_put_duration(&b, t[i].ms);
        ck_assert_str_eq(buf_str(&b), t[i].want);
        if (t[i].ms >= 0) {
            ck_assert_int_eq(str_duration_ms(b.data, b.len, &back), 0);
            ck_assert_int_eq(back, t[i].ms);
        }
    }
}
END_TEST

/* ----- sizes ----- */

START_TEST(sizes_are_powers_of_1024)
{
    static const struct {
        const char *s;
        int r;
        uint64_t v;
    } t[] = {
        {"0", 0, 0},
        {"1048576", 0, 1048576},
        {"512K", 0, 524288},
        {"512M", 0, UINT64_C(536870912)},
        {"4G", 0, UINT64_C(4294967296)},
        {"1T", 0, UINT64_C(1099511627776)},
        {"16777215T", 0, UINT64_C(16777215) << 40},
        {"16777216T", -ERANGE, 0},
        {"18446744073709551616", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"K", -EINVAL, 0},
        {"1k", -EINVAL, 0},
        {"1KB", -EINVAL, 0},
        {"1.5G", -EINVAL, 0},
        {"-1", -EINVAL, 0},
    };

    for (size_t i = 0; i < COUNT(t); i++) {
        uint64_t v = 42;

        ck_assert_msg(str_size(t[i].s, strlen(t[i].s), &v) == t[i].r, "%s", t[i].s);
        ck_assert_uint_eq(v, t[i].r ? 42 : t[i].v);
    }
}
END_TEST

START_TEST(a_written_size_reads_back)
{
    static const struct {
        uint64_t v;
        const char *want;
    } t[] = {
        {0, "0"},
        {1023, "1023"},
        {1024, "1K"},
        {1536, "1536"},
        {UINT64_C(536870912), "512M"},
        {UINT64_C(1) << 50, "1024T"},
        {UINT64_MAX, "18446744073709551615"},
    };

    for (size_t i = 0; i < COUNT(t); i++) {
        OWN_BUF struct buf b = BUF_INIT;
        uint64_t back;

        str_put_size(&b, t[i].v);
        ck_assert_str_eq(buf_str(&b), t[i].want);
        ck_assert_int_eq(str_size(b.data, b.len, &back), 0);
        ck_assert_uint_eq(back, t[i].v);
    }
}
END_TEST

/* ----- characters and whole strings ----- */

START_TEST(utf8_is_what_unicode_calls_well_formed)
{
    static const char *const good[] = {
        "",
        "ascii and more ascii",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "12345678\xc3\xa9",
        "1234567\xc3\xa9",
    };
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc3",
        "\xc3(",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xe2\x82",
        "\xe2(\xac",
        "\xf0\x8f\xbf\xbf",
        "\xf0\x9f\x98",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xfe",
        "\xff",
        "1234567\xc3",
        "12345678\xff",
        "\xe2\x82\xc0",
    };

    for (size_t i = 0; i < COUNT(good); i++)
        ck_assert_msg(str_is_utf8(good[i], strlen(good[i])), "good %zu", i);
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(!str_is_utf8(bad[i], strlen(bad[i])), "bad %zu", i);
    ck_assert(str_is_utf8("\0", 1));
}
END_TEST

/* All code points against an encoder: each is one character of its length, none but them. */
START_TEST(utf8_length_agrees_with_every_code_point)
{
    for (unsigned c = 0; c < 0x120000; c++) {
        char s[4];
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
        bool good = c < 0xd800 || (c > 0xdfff && c < 0x110000);

        for (size_t i = n; i-- > 1;)
            s[i] = (char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3f));
        s[0] = (char)(marks[n] | c >> 6 * (n - 1));
        /* Not an assertion each: Check writes down every one of them. */
        if (str_utf8_len(s, n) != (good ? n : 0) || str_utf8_len(s, n - 1) != 0)
            ck_abort_msg("U+%04X", c);
    }
    ck_assert_uint_eq(str_utf8_len("x", 0), 0);
}
END_TEST

START_TEST(names_have_an_alphabet_and_a_length)
{
    char long_name[129];

    memset(long_name, 'n', sizeof long_name);
    ck_assert(str_is_name("a", 1));
    ck_assert(str_is_name("Az09_.:@/-", 10));
    ck_assert(str_is_name(long_name, 128));
    ck_assert(!str_is_name(long_name, 129));
    ck_assert(!str_is_name("", 0));
    ck_assert(!str_is_name("a b", 3));
    ck_assert(!str_is_name("a\0", 2));
    ck_assert(!str_is_name("\xc3\xa9", 2));
    ck_assert(!str_is_name("a\n", 2));
}
END_TEST

START_TEST(equal_knows_null)
{
    char copy[] = "a";

    ck_assert(str_equal(NULL, NULL));
    ck_assert(!str_equal(NULL, ""));
    ck_assert(!str_equal("", NULL));
    ck_assert(str_equal("a", copy));
    ck_assert(!str_equal("a", "b"));
}
END_TEST

START_TEST(secrets_are_equal_only_as_a_whole)
{
    ck_assert(str_equal_secret("", 0, "", 0));
    ck_assert(str_equal_secret("a\0b", 3, "a\0b", 3));
    ck_assert(!str_equal_secret("a\0b", 3, "a\0c", 3));
    ck_assert(!str_equal_secret("abc", 3, "abcd", 4));
    ck_assert(!str_equal_secret("abcd", 4, "abc", 3));
    ck_assert(!str_equal_secret("\x80", 1, "", 0));
    ck_assert(!str_equal_secret("\x01", 1, "\x81", 1));
}
END_TEST

START_TEST(copies_are_terminated)
{
    char *s = str_dup_len("abcdef", 3);

    ck_assert_str_eq(s, "abc");
    free(s);
    s = str_dup("xyz");
    ck_assert_str_eq(s, "xyz");
    free(s);
    ck_assert_ptr_null(str_dup(NULL));
    ck_assert_ptr_null(str_dup_len(NULL, 0));
    ck_assert_ptr_null(str_dup_len("x", SIZE_MAX));
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "base/str", u64_reads_exactly_what_fits, a_parser_reads_len_bytes_and_no_more,
        i64_reads_both_ends, doubles_have_one_grammar,
        a_double_of_too_much_text_is_out_of_range, durations_read_as_people_write_them,
        durations_that_are_none_are_refused, durations_that_overflow_are_out_of_range,
        a_written_duration_is_the_shortest_exact_one, sizes_are_powers_of_1024,
        a_written_size_reads_back, utf8_is_what_unicode_calls_well_formed,
        utf8_length_agrees_with_every_code_point, names_have_an_alphabet_and_a_length,
        equal_knows_null, secrets_are_equal_only_as_a_whole, copies_are_terminated);
}
