/* The reader of JSON. That it agrees with another reader on any text is tests/fuzz/fuzz_jval.c.
 */
#include "base/buf.h"
#include "base/jval.h"
#include "base/own.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* In single quotes, for the eye; no text here needs one. */
static char *unquoted(const char *text)
{
    char *copy = strdup(text);

    ck_assert_ptr_nonnull(copy);
    for (char *at = copy; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    return copy;
}

static struct jval *read_good(const char *text)
{
    char error[JVAL_ERROR_BYTES] = "";
    struct jval *v = NULL;

    ck_assert_msg(jval_read(text, strlen(text), &v, error) == 0, "%s", error);
    return v;
}

static void check_refused(const char *text, size_t len, const char *words)
{
    char error[JVAL_ERROR_BYTES] = "";
    struct jval *v = NULL;

    ck_assert_int_eq(jval_read(text, len, &v, error), -EINVAL);
    ck_assert_ptr_null(v);
    ck_assert_msg(strstr(error, words) != NULL, "wanted \"%s\": %s", words, error);
}

START_TEST(values_of_each_type_are_read)
{
    OWN(free)
    char *text = unquoted(" [ null , true,false, -9223372036854775808,9223372036854775807, "
                          "0.5,-1e2, 'a', [], {} ] ");
    OWN(free) struct jval *v = read_good(text);
    static const enum jval_type types[] = {JVAL_NULL,    JVAL_TRUE,  JVAL_FALSE, JVAL_INTEGER,
                                           JVAL_INTEGER, JVAL_REAL,  JVAL_REAL,  JVAL_STRING,
                                           JVAL_ARRAY,   JVAL_OBJECT};
    size_t i = 0;

    ck_assert_uint_eq(jval_count(v, JVAL_ARRAY), 10);
    ck_assert_uint_eq(v->span, 11);
    jval_each(item, v) ck_assert_int_eq(item->type, types[i++]);
    ck_assert_uint_eq(i, 10);
    ck_assert_int_eq(jval_integer(&v[4]), INT64_MIN);
    ck_assert_int_eq(jval_integer(&v[5]), INT64_MAX);
    ck_assert(jval_number(&v[6]) > 0.49 && jval_number(&v[6]) < 0.51);
    ck_assert(jval_number(&v[7]) < -99);
    ck_assert_str_eq(jval_string(&v[8]), "a");
}
END_TEST

START_TEST(members_are_found_and_walked_in_order)
{
    OWN(free) char *text = unquoted("{'a':{'x':[1,2]},'b':'c','d':null}");
    OWN(free) struct jval *v = read_good(text);
    char names[8] = "";

    jval_each_name(name, v) strcat(names, name->string);
    ck_assert_str_eq(names, "abd");
    ck_assert_uint_eq(jval_count(jval_find(jval_find(v, "a"), "x"), JVAL_ARRAY), 2);
    ck_assert_str_eq(jval_string(jval_find(v, "b")), "c");
    ck_assert_int_eq(jval_find(v, "d")->type, JVAL_NULL);
    ck_assert_ptr_null(jval_find(v, "e"));
    ck_assert_ptr_null(jval_find(jval_find(v, "e"), "a"));
    ck_assert_ptr_null(jval_string(v));
}
END_TEST

START_TEST(escapes_are_decoded_and_strings_may_hold_a_zero)
{
    OWN(free)
    char *text = unquoted(
        "['\\\"\\\\\\/\\b\\f\\n\\r\\t','\\u0041\\u00e9\\u20aC\\ud83d\\uDE00','a\\u0000b']");
    OWN(free) struct jval *v = read_good(text);

    ck_assert_str_eq(v[1].string, "\"\\/\b\f\n\r\t");
    ck_assert_str_eq(v[2].string, "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    ck_assert_uint_eq(v[3].count, 3);
    ck_assert_mem_eq(v[3].string, "a\0b", 4);
}
END_TEST

START_TEST(a_value_is_given_back_as_it_was_written_without_space)
{
    OWN(free) char *text = unquoted("{ 'a' : [ 1.50 , '\\u0041 \\\" b' ,\n{ } ] }");
    OWN(free) char *expected = unquoted("[1.50,'\\u0041 \\\" b',{}]");
    OWN(free) struct jval *v = read_good(text);
    size_t len = 0;
    OWN(free) char *part = jval_text(jval_find(v, "a"), &len);

    ck_assert_str_eq(part, expected);
    ck_assert_uint_eq(len, strlen(expected));
}
END_TEST

START_TEST(what_is_no_json_is_refused_with_its_place)
{
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"", "it ends where '{' or '[' is expected (line 1, column 1)"},
        {"5", "'5' where '{' or '['"},
        {"[", "ends where a value"},
        {"[1", "ends where ',' or ']'"},
        {"[1,]", "']' where a value"},
        {"[1 2]", "'2' where ',' or ']'"},
        {"[1}", "'}' where ',' or ']'"},
        {"{'a':1]", "']' where ',' or '}'"},
        {"{,}", "',' where a name in quotes"},
        {"{'a'}", "'}' where ':'"},
        {"{'a':}", "'}' where a value"},
        {"[]\n []", "'[' where the end is expected (line 2, column 2)"},
        {"[01]", "'1' where ','"},
        {"[-]", "']' where a digit"},
        {"[1.]", "']' where a digit"},
        {"[1e+]", "']' where a digit"},
        {"[.5]", "'.' where a value"},
        {"[tru]", "'t' where a value"},
        {"[9223372036854775808]", "number too large"},
        {"[1e999]", "number too large"},
        {"['a", "ends where the rest of a string"},
        {"['a\nb']", "byte 0x0a where the rest of a string"},
        {"['\\", "unknown escape"},
        {"['\\x41']", "unknown escape"},
        {"['\\u12g4']", "four hex digits"},
        {"['\\u12", "four hex digits"},
        {"['\\ud800']", "surrogate"},
        {"['\\ud800\\u0041']", "surrogate"},
        {"['\\udc00']", "surrogate"},
        {"['\xff']", "is not valid UTF-8 at byte 2"},
        {"['ab\xc3']", "is not valid UTF-8 at byte 4"},
        {"['\xed\xa0\x80']", "is not valid UTF-8 at byte 2"},
        {"[\xc2\xa0]", "byte 0xc2 where a value"},
        {"{'a':1,'b':2,'\\u0061':3}", "names a field twice: a (line 1, column 14)"},
        {"{'a\\u0000':1}", "\\u0000 in a name"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        OWN(free) char *text = unquoted(rows[i].text);

        check_refused(text, strlen(text), rows[i].words);
    }
    check_refused("[1,\0 2]", 7, "byte 3 is 0");
}
END_TEST

START_TEST(a_name_twice_is_found_among_many)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_putc(&b, '{');
    for (int i = 0; i < 1000; i++)
        buf_putf(&b, "\"%d\":%d,", i * 7919 % 1000, i);
    buf_puts(&b, "\"x\":0}");
    free(read_good(buf_str(&b)));
    b.len -= strlen("\"x\":0}");
    buf_puts(&b, "\"500\":0}");
    check_refused(buf_str(&b), b.len, "names a field twice: 500");
}
END_TEST

START_TEST(depth_and_number_are_bounded)
{
    OWN_BUF struct buf b = BUF_INIT;

    for (int i = 0; i < JVAL_DEPTH_MAX; i++)
        buf_puts(&b, "[");
    for (int i = 0; i < JVAL_DEPTH_MAX; i++)
        buf_puts(&b, "]");
    free(read_good(buf_str(&b)));
    buf_clear(&b);
    for (int i = 0; i <= JVAL_DEPTH_MAX; i++)
        buf_puts(&b, "[");
    check_refused(buf_str(&b), b.len, "nested more than 32 levels");

    buf_clear(&b);
    buf_puts(&b, "[1");
    for (int i = 1; i < JVAL_COUNT_MAX; i++)
        buf_puts(&b, ",1");
    buf_puts(&b, "]");
    free(read_good(buf_str(&b)));
    b.len--;
    buf_puts(&b, ",1]");
    check_refused(buf_str(&b), b.len, "more than 500000 values");
}
END_TEST

START_TEST(marks_within_strings_cost_no_values)
{
    OWN(free) char *text = unquoted("{'a':',,,,[[[[::::{{{{'}");
    OWN(free) struct jval *v = read_good(text);

    ck_assert_uint_eq(v->span, 3);
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "base/jval", values_of_each_type_are_read, members_are_found_and_walked_in_order,
        escapes_are_decoded_and_strings_may_hold_a_zero,
        a_value_is_given_back_as_it_was_written_without_space,
        what_is_no_json_is_refused_with_its_place, a_name_twice_is_found_among_many,
        depth_and_number_are_bounded, marks_within_strings_cost_no_values);
}
