#include "base/err.h"
#include "base/log.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_TIME 25 /* "2026-11-23T15:05:53.120Z " */

static int ends[2];
static char line[8192];

static void start(enum log_format format)
{
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    log_setup(ends[1], format, LOG_DEBUG);
}

/* What one write(2) brought: a pipe gives it back in one read. */
static const char *said(void)
{
    ssize_t n = read(ends[0], line, sizeof line - 1);

    ck_assert_int_gt(n, 0);
    ck_assert_int_le(n, 4096);
    line[n] = 0;
    ck_assert_ptr_eq(strchr(line, '\n'), line + n - 1);
    return line;
}

static json_t *said_json(void)
{
    json_error_t error;
    json_t *json = json_loads(said(), 0, &error);

    ck_assert_msg(json != NULL, "%s: %s", error.text, line);
    return json;
}

START_TEST(a_text_line_has_time_level_event_and_fields)
{
    start(LOG_TEXT);
    log_info("job.started", LOG_U64("id", 7), LOG_STR("queue", "mail"), LOG_I64("off", -3),
             LOG_F64("load", 0.25), LOG_BOOL("late", true));
    ck_assert_str_eq(said() + TEXT_TIME,
                     "info job.started id=7 queue=mail off=-3 load=0.25 late=true\n");
    ck_assert_int_eq(line[4], '-');
    ck_assert_int_eq(line[TEXT_TIME - 2], 'Z');
    log_error("x");
    ck_assert_str_eq(said() + TEXT_TIME, "error x\n");
}
END_TEST

START_TEST(a_journal_line_begins_with_its_priority)
{
    start(LOG_JOURNAL);
    log_error("e");
    ck_assert_str_eq(said(), "<3>e\n");
    log_warn("w", LOG_U64("n", 1));
    ck_assert_str_eq(said(), "<4>w n=1\n");
    log_info("i");
    ck_assert_str_eq(said(), "<6>i\n");
    log_debug("d");
    ck_assert_str_eq(said(), "<7>d\n");
}
END_TEST

START_TEST(values_are_quoted_when_they_could_be_misread)
{
    static const struct {
        const char *in, *out;
    } t[] = {
        {"plain", "plain"},
        {"a/b:c.d-e", "a/b:c.d-e"},
        {"", "\"\""},
        {"-", "\"-\""},
        {"two words", "\"two words\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"a=b", "\"a=b\""},
        {"new\nline\ttab", "\"new\\nline\\ttab\""},
        {"\x1b[31m", "\"\\u001b[31m\""},
        {"\x7f", "\"\\u007f\""},
        {"\xc2\x9b", "\"\\u009b\""},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"bad\xff", "\"bad\xef\xbf\xbd\""},
        {NULL, "-"},
    };

    start(LOG_JOURNAL);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char want[64];

        snprintf(want, sizeof want, "<6>e v=%s\n", t[i].out);
        log_info("e", LOG_STR("v", t[i].in));
        ck_assert_str_eq(said(), want);
    }
}
END_TEST

START_TEST(a_json_line_is_json)
{
    start(LOG_JSON);
    log_warn("job.failed", LOG_U64("id", UINT64_C(1) << 53),
             LOG_STR("note", "a \"b\"\n\xff\x1b"), LOG_STR("none", NULL), LOG_F64("nan", NAN),
             LOG_F64("half", 0.5), LOG_BOOL("again", false), LOG_ERR(-EIO));

    json_t *j = said_json();

    ck_assert_str_eq(json_string_value(json_object_get(j, "level")), "warn");
    ck_assert_str_eq(json_string_value(json_object_get(j, "event")), "job.failed");
    ck_assert_int_eq(json_integer_value(json_object_get(j, "id")), INT64_C(1) << 53);
    ck_assert_str_eq(json_string_value(json_object_get(j, "note")),
                     "a \"b\"\n\xef\xbf\xbd\x1b");
    ck_assert(json_is_null(json_object_get(j, "none")));
    ck_assert(json_is_null(json_object_get(j, "nan")));
    ck_assert(json_real_value(json_object_get(j, "half")) == 0.5);
    ck_assert(json_is_false(json_object_get(j, "again")));
    ck_assert_str_eq(json_string_value(json_object_get(j, "error")), "EIO");
    ck_assert_uint_eq(json_string_length(json_object_get(j, "time")), 24);
    ck_assert_ptr_null(json_object_get(j, "cut"));
    json_decref(j);
}
END_TEST

/* Around the edge each length takes another way: whole, cut in the value, dropped. */
START_TEST(json_of_any_length_stays_json_and_says_when_it_is_cut)
{
    static char value[5000];

    start(LOG_JSON);
    for (size_t len = 3900; len < 4200; len++) {
        memset(value, 'v', len);
        value[len] = 0;
        log_info("e", LOG_STR("s", value), LOG_U64("after", 123456));

        json_t *j = said_json();
        bool whole = json_string_length(json_object_get(j, "s")) == len;
        bool after = json_integer_value(json_object_get(j, "after")) == 123456;

        if (json_is_true(json_object_get(j, "cut")) == (whole && after))
            ck_abort_msg("length %zu: %s", len, line);
        json_decref(j);
    }
}
END_TEST

START_TEST(escapes_at_the_edge_are_not_torn)
{
    static char value[9000];

    start(LOG_JSON);
    for (size_t shift = 0; shift < 8; shift++) {
        memset(value, 'v', shift);
        for (size_t i = shift; i + 4 < sizeof value; i += 4)
            memcpy(value + i, "\x01\xc3\xa9\"", 5);
        log_info("e", LOG_STR("s", value));

        json_t *j = said_json();

        ck_assert(json_is_true(json_object_get(j, "cut")));
        json_decref(j);
    }
}
END_TEST

START_TEST(a_long_text_line_ends_with_an_ellipsis)
{
    static char value[10000];
    struct log_field many[2000];

    start(LOG_JOURNAL);
    memset(value, 'v', sizeof value - 1);
    log_info("e", LOG_STR("s", value), LOG_U64("after", 1));
    ck_assert_ptr_nonnull(strstr(said(), "\xe2\x80\xa6\" \xe2\x80\xa6\n"));
    ck_assert_uint_gt(strlen(line), 4000);

    for (int i = 0; i < 2000; i++)
        many[i] = LOG_U64("number", i);
    log_write(LOG_INFO, "e", 2000, many);
    ck_assert_ptr_nonnull(strstr(said(), " \xe2\x80\xa6\n"));
    /* The last number is whole. */
    char *last = strrchr(line, '='), want[32];
    snprintf(want, sizeof want, "number=%d \xe2\x80\xa6\n", atoi(last + 1));
    ck_assert_ptr_nonnull(strstr(line, want));
    ck_assert_int_gt(atoi(last + 1), 300);
}
END_TEST

START_TEST(levels_above_the_chosen_one_are_silent)
{
    enum log_level level = LOG_DEBUG;

    start(LOG_JOURNAL);
    log_setup(ends[1], LOG_JOURNAL, LOG_WARN);
    ck_assert(log_enabled(LOG_ERROR));
    ck_assert(log_enabled(LOG_WARN));
    ck_assert(!log_enabled(LOG_INFO));
    log_info("hidden");
    log_warn("shown");
    ck_assert_str_eq(said(), "<4>shown\n");

    ck_assert_int_eq(log_level_parse("error", &level), 0);
    ck_assert_int_eq(level, LOG_ERROR);
    ck_assert_int_eq(log_level_parse("debug", &level), 0);
    ck_assert_int_eq(level, LOG_DEBUG);
    ck_assert_int_eq(log_level_parse("loud", &level), -EINVAL);
    ck_assert_int_eq(log_level_parse("", &level), -EINVAL);
    ck_assert_int_eq(level, LOG_DEBUG);
}
END_TEST

START_TEST(a_log_that_is_gone_harms_nobody)
{
    log_setup(-1, LOG_TEXT, LOG_INFO);
    errno = ENOENT;
    log_info("into.the.void");
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

static void *chatter(void *arg)
{
    char text[200];

    memset(text, *(const char *)arg, sizeof text - 1);
    text[sizeof text - 1] = 0;
    for (int i = 0; i < 200; i++)
        log_info("chat", LOG_STR("text", text));
    return NULL;
}

START_TEST(lines_of_threads_never_mix)
{
    char letters[] = "abcd";
    pthread_t threads[4];
    int lines = 0;

    start(LOG_JOURNAL);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, chatter, letters + i), 0);

    FILE *in = fdopen(ends[0], "r");

    for (; lines < 800 && fgets(line, sizeof line, in); lines++) {
        size_t same = strspn(line + 13, (char[]){line[13], 0});

        ck_assert_uint_eq(same, 199);
        ck_assert_int_eq(line[13 + same], '\n');
    }
    ck_assert_int_eq(lines, 800);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    fclose(in);
}
END_TEST

int main(void)
{
    return SUITE_MAIN("base/log", a_text_line_has_time_level_event_and_fields,
                      a_journal_line_begins_with_its_priority,
                      values_are_quoted_when_they_could_be_misread, a_json_line_is_json,
                      json_of_any_length_stays_json_and_says_when_it_is_cut,
                      escapes_at_the_edge_are_not_torn, a_long_text_line_ends_with_an_ellipsis,
                      levels_above_the_chosen_one_are_silent, a_log_that_is_gone_harms_nobody,
                      lines_of_threads_never_mix);
}
