#include "base/buf.h"
#include "tests/lib/suite.h"

#include <stdlib.h>
#include <string.h>

START_TEST(an_empty_buf_is_an_empty_string)
{
    OWN_BUF struct buf b = BUF_INIT;

    ck_assert_str_eq(buf_str(&b), "");
    ck_assert_uint_eq(b.len, 0);
    ck_assert(!buf_failed(&b));
    buf_put(&b, NULL, 0);
    ck_assert_str_eq(buf_str(&b), "");
}
END_TEST

START_TEST(writes_line_up_and_stay_terminated)
{
    OWN_BUF struct buf b = BUF_INIT;

    for (int i = 0; i < 1000; i++) {
        buf_putc(&b, 'x');
        ck_assert_uint_eq(b.len, (size_t)i + 1);
        ck_assert_int_eq(b.data[b.len], 0);
        ck_assert_uint_gt(b.cap, b.len);
    }
    buf_puts(&b, "end");
    ck_assert_str_eq(b.data + 1000, "end");
}
END_TEST

START_TEST(content_may_hold_zero_bytes)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_put(&b, "a\0b", 3);
    ck_assert_uint_eq(b.len, 3);
    ck_assert_mem_eq(b.data, "a\0b", 4);
}
END_TEST

START_TEST(numbers_of_every_size_are_written_in_full)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_put_u64(&b, 0);
    buf_putc(&b, ' ');
    buf_put_u64(&b, UINT64_MAX);
    buf_putc(&b, ' ');
    buf_put_i64(&b, INT64_MIN);
    buf_putc(&b, ' ');
    buf_put_i64(&b, INT64_MAX);
    buf_putc(&b, ' ');
    buf_put_i64(&b, -1);
    ck_assert_str_eq(buf_str(&b),
                     "0 18446744073709551615 -9223372036854775808 9223372036854775807 -1");
}
END_TEST

START_TEST(formatted_text_of_any_length_fits)
{
    OWN_BUF struct buf b = BUF_INIT;

    for (int width = 0; width < 300; width += 7) {
        buf_clear(&b);
        buf_putf(&b, "<%*s>", width, "");
        ck_assert_uint_eq(b.len, (size_t)width + 2);
        ck_assert_int_eq(b.data[b.len - 1], '>');
        ck_assert_int_eq(b.data[b.len], 0);
    }
}
END_TEST

START_TEST(a_write_that_cannot_fit_fails_for_good_until_cleared)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_puts(&b, "kept");
    ck_assert_ptr_null(buf_reserve(&b, PTRDIFF_MAX));
    ck_assert(buf_failed(&b));
    buf_puts(&b, "dropped");
    buf_putf(&b, "%d", 1);
    ck_assert_str_eq(buf_str(&b), "kept");
    buf_clear(&b);
    ck_assert(!buf_failed(&b));
    buf_puts(&b, "again");
    ck_assert_str_eq(buf_str(&b), "again");
}
END_TEST

START_TEST(a_failed_buf_is_never_taken)
{
    struct buf b = BUF_INIT;

    buf_puts(&b, "half");
    ck_assert_ptr_null(buf_reserve(&b, SIZE_MAX));
    ck_assert_ptr_null(buf_take(&b));
    ck_assert_ptr_null(b.data);
}
END_TEST

START_TEST(taking_leaves_an_empty_buf)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_puts(&b, "mine");
    char *s = buf_take(&b);
    ck_assert_str_eq(s, "mine");
    free(s);
    ck_assert_ptr_null(b.data);
    ck_assert_uint_eq(b.len, 0);

    s = buf_take(&b);
    ck_assert_str_eq(s, "");
    free(s);
}
END_TEST

START_TEST(reserved_room_becomes_content_when_committed)
{
    OWN_BUF struct buf b = BUF_INIT;
    char *room = buf_reserve(&b, 5000);

    ck_assert_ptr_nonnull(room);
    memset(room, 'r', 5000);
    buf_commit(&b, 4999);
    ck_assert_uint_eq(b.len, 4999);
    ck_assert_uint_eq(strlen(buf_str(&b)), 4999);
}
END_TEST

static void json_is(const char *in, size_t len, const char *want)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_put_json(&b, in, len);
    ck_assert_str_eq(buf_str(&b), want);
}

START_TEST(json_escapes_what_json_demands)
{
    json_is("", 0, "\"\"");
    json_is("plain text, longer than a word", 30, "\"plain text, longer than a word\"");
    json_is("\"\\/", 3, "\"\\\"\\\\/\"");
    json_is("\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"");
    json_is("\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\x7f\"");
}
END_TEST

START_TEST(json_keeps_good_utf8_and_replaces_bad)
{
    json_is("h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80", 15,
            "\"h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80\"");
    json_is("a\xff"
            "b",
            3,
            "\"a\xef\xbf\xbd"
            "b\"");
    json_is("\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    json_is("\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    json_is("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}
END_TEST

/* Every byte at every place of a word, so that the word-wise search hides nothing. */
START_TEST(json_finds_special_bytes_at_every_offset)
{
    for (unsigned c = 0; c < 128; c++) {
        for (size_t at = 0; at < 24; at++) {
            OWN_BUF struct buf b = BUF_INIT;
            char in[24];
            bool special = c < 0x20 || c == '"' || c == '\\';

            memset(in, 'x', sizeof in);
            in[at] = (char)c;
            buf_put_json(&b, in, sizeof in);
            ck_assert_int_eq(b.data[at + 1] == '\\', special);
            ck_assert_uint_eq(b.len == sizeof in + 2, !special);
        }
    }
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "base/buf", an_empty_buf_is_an_empty_string, writes_line_up_and_stay_terminated,
        content_may_hold_zero_bytes, numbers_of_every_size_are_written_in_full,
        formatted_text_of_any_length_fits, a_write_that_cannot_fit_fails_for_good_until_cleared,
        a_failed_buf_is_never_taken, taking_leaves_an_empty_buf,
        reserved_room_becomes_content_when_committed, json_escapes_what_json_demands,
        json_keeps_good_utf8_and_replaces_bad, json_finds_special_bytes_at_every_offset);
}
