/* The small grammars of request lines and headers. */
#include "api/query.h"

#include "tests/lib/suite.h"

#include <errno.h>
#include <string.h>

static int decode(const char *text, bool plus, char *ret)
{
    strcpy(ret, text);
    return query_decode(ret, plus);
}

START_TEST(escapes_are_decoded)
{
    char text[64];

    ck_assert_int_eq(decode("a%20b+c%2Fd", true, text), 7);
    ck_assert_str_eq(text, "a b c/d");
    ck_assert_int_eq(decode("a+b", false, text), 3);
    ck_assert_str_eq(text, "a+b");
    ck_assert_int_eq(decode("%c3%A4", false, text), 2);
    ck_assert_str_eq(text, "\xc3\xa4");
}
END_TEST

START_TEST(broken_escapes_are_refused)
{
    static const char *const broken[] = {"%", "%2", "a%2", "%zz", "%00", "%ff", "%c3", "x%-1"};
    char text[64];

    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        ck_assert_int_eq(decode(broken[i], true, text), -EINVAL);
}
END_TEST

START_TEST(a_query_is_split_into_parameters)
{
    char text[] = "state=queued%2Crunning&&limit=5&flag&a=b=c&state=held";
    struct query query;
    static const char *const some[] = {"state", "limit", "flag", NULL};
    static const char *const all[] = {"state", "limit", "flag", "a", NULL};

    ck_assert_int_eq(query_parse(text, &query), 0);
    ck_assert_uint_eq(query.count, 5);
    ck_assert_str_eq(query_get(&query, "state"), "queued,running");
    ck_assert_str_eq(query_get(&query, "limit"), "5");
    ck_assert_str_eq(query_get(&query, "flag"), "");
    ck_assert_str_eq(query_get(&query, "a"), "b=c");
    ck_assert_ptr_null(query_get(&query, "sta"));
    ck_assert_str_eq(query_unknown(&query, some), "a");
    ck_assert_ptr_null(query_unknown(&query, all));
}
END_TEST

START_TEST(too_many_parameters_are_refused)
{
    char text[4 * QUERY_PARAMS_MAX + 8] = "";
    struct query query;

    for (int i = 0; i < QUERY_PARAMS_MAX; i++)
        strcat(text, "a=1&");
    ck_assert_int_eq(query_parse(strdupa(text), &query), 0);
    strcat(text, "b");
    ck_assert_int_eq(query_parse(text, &query), -E2BIG);
}
END_TEST

START_TEST(words_for_true_and_false)
{
    bool b = false;

    ck_assert_int_eq(query_bool("", &b), 0);
    ck_assert(b);
    ck_assert_int_eq(query_bool("False", &b), 0);
    ck_assert(!b);
    ck_assert_int_eq(query_bool("1", &b), 0);
    ck_assert(b);
    ck_assert_int_eq(query_bool("maybe", &b), -EINVAL);
    ck_assert(b);
}
END_TEST

START_TEST(ranges_as_rfc_9110_has_them)
{
    static const struct {
        const char *header;
        uint64_t size;
        enum range_answer answer;
        uint64_t first, length;
    } rows[] = {
        {NULL, 100, RANGE_NONE, 0, 0},
        {"bytes=0-0", 100, RANGE_PART, 0, 1},
        {"bytes=10-19", 100, RANGE_PART, 10, 10},
        {"bytes=90-", 100, RANGE_PART, 90, 10},
        {"bytes=90-1000", 100, RANGE_PART, 90, 10},
        {"bytes=-10", 100, RANGE_PART, 90, 10},
        {"bytes=-1000", 100, RANGE_PART, 0, 100},
        {"Bytes=5-6", 100, RANGE_PART, 5, 2},
        {"bytes=100-", 100, RANGE_OUTSIDE, 0, 0},
        {"bytes=-0", 100, RANGE_OUTSIDE, 0, 0},
        {"bytes=0-", 0, RANGE_OUTSIDE, 0, 0},
        {"bytes=-5", 0, RANGE_OUTSIDE, 0, 0},
        {"bytes=99999999999999999999-", 100, RANGE_OUTSIDE, 0, 0},
        {"bytes=0-99999999999999999999", 100, RANGE_PART, 0, 100},
        {"bytes=-99999999999999999999", 100, RANGE_PART, 0, 100},
        /* not ours to read: the whole is sent */
        {"bytes=5-4", 100, RANGE_NONE, 0, 0},
        {"bytes=0-1,5-6", 100, RANGE_NONE, 0, 0},
        {"bytes=a-b", 100, RANGE_NONE, 0, 0},
        {"bytes=-", 100, RANGE_NONE, 0, 0},
        {"bytes=", 100, RANGE_NONE, 0, 0},
        {"items=0-1", 100, RANGE_NONE, 0, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct range range = {0};

        ck_assert_msg(range_parse(rows[i].header, rows[i].size, &range) == rows[i].answer,
                      "%s of %d", rows[i].header, (int)rows[i].size);
        if (rows[i].answer != RANGE_PART)
            continue;
        ck_assert_uint_eq(range.first, rows[i].first);
        ck_assert_uint_eq(range.length, rows[i].length);
    }
}
END_TEST

START_TEST(preferences_as_rfc_7240_has_them)
{
    int64_t ms = -1;

    ck_assert_int_eq(prefer_wait("wait=10", &ms), 0);
    ck_assert_int_eq(ms, 10000);
    ck_assert_int_eq(prefer_wait("respond-async, Wait = \"3\" ;x=y", &ms), 0);
    ck_assert_int_eq(ms, 3000);
    ck_assert_int_eq(prefer_wait("return=minimal", &ms), -ENOENT);
    ck_assert_int_eq(prefer_wait("wait", &ms), -ENOENT);
    ck_assert_int_eq(prefer_wait("wait=soon", &ms), -ENOENT);
    ck_assert_int_eq(prefer_wait("await=10", &ms), -ENOENT);
    ck_assert_int_eq(prefer_wait("", &ms), -ENOENT);
    ck_assert(prefer_minimal("wait=1, return=minimal"));
    ck_assert(!prefer_minimal("return=representation"));
    ck_assert(!prefer_minimal("wait=1"));
}
END_TEST

START_TEST(tags_are_found_in_lists)
{
    ck_assert(etag_listed("\"a\"", "\"a\""));
    ck_assert(etag_listed("\"b\", W/\"a\"", "\"a\""));
    ck_assert(etag_listed("*", "\"a\""));
    ck_assert(!etag_listed("\"b\", \"c\"", "\"a\""));
    ck_assert(!etag_listed("\"ab\"", "\"a\""));
    ck_assert(!etag_listed("\"open", "\"a\""));
    ck_assert(!etag_listed("", "\"a\""));
}
END_TEST

START_TEST(media_types_are_compared_without_parameters)
{
    ck_assert(media_type_is("application/json", "application/json"));
    ck_assert(media_type_is("Application/JSON ; charset=utf-8", "application/json"));
    ck_assert(!media_type_is("application/jsonx", "application/json"));
    ck_assert(!media_type_is("", "application/json"));
}
END_TEST

int main(void)
{
    return SUITE_MAIN("api_query", escapes_are_decoded, broken_escapes_are_refused,
                      a_query_is_split_into_parameters, too_many_parameters_are_refused,
                      words_for_true_and_false, ranges_as_rfc_9110_has_them,
                      preferences_as_rfc_7240_has_them, tags_are_found_in_lists,
                      media_types_are_compared_without_parameters);
}
