/* The command line's words against a table of options. */
#include "cli/args.h"
#include "cli/verb.h"
#include "tests/lib/suite.h"

#include <string.h>

static const struct option_row rows[] = {
    {"name", 'n', "NAME", "a name"},
    {"tag", 't', "TAG", "tags"},
    {"force", 0, NULL, "a switch"},
    {NULL, 0, NULL, NULL},
};

static struct args args;
static const char *operands[32];

static int parse(int count, char **words)
{
    return args_parse(&args, rows, count, words, operands);
}
#define PARSE(...)                                                                             \
    parse((int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)), (char *[]){__VA_ARGS__})

START_TEST(options_stand_anywhere_in_every_spelling)
{
    ck_assert_int_eq(PARSE("17", "--name=a", "-t", "x", "18", "-ty", "--tag", "z", "--force"),
                     0);
    ck_assert_str_eq(args_value(&args, "name"), "a");
    ck_assert_str_eq(args_each(&args, "tag", 0), "x");
    ck_assert_str_eq(args_each(&args, "tag", 1), "y");
    ck_assert_str_eq(args_value(&args, "tag"), "z");
    ck_assert_ptr_null(args_each(&args, "tag", 3));
    ck_assert(args_has(&args, "force"));
    ck_assert_uint_eq(args.operands_count, 2);
    ck_assert_str_eq(operands[1], "18");
}
END_TEST

START_TEST(it_is_known_which_options_take_the_next_word)
{
    ck_assert(args_wants_value(rows, "--name"));
    ck_assert(args_wants_value(rows, "-t"));
    ck_assert(!args_wants_value(rows, "--name=a"));
    ck_assert(!args_wants_value(rows, "-tx"));
    ck_assert(!args_wants_value(rows, "--force"));
    ck_assert(!args_wants_value(rows, "--bogus"));
}
END_TEST

START_TEST(after_two_dashes_nothing_is_an_option)
{
    ck_assert_int_eq(PARSE("a", "--", "ls", "--name", "-t", "--"), 0);
    ck_assert_int_eq(args.dashes_at, 1);
    ck_assert_uint_eq(args.operands_count, 5);
    ck_assert_str_eq(operands[2], "--name");
    ck_assert_str_eq(operands[4], "--");
    ck_assert(!args_has(&args, "name"));
}
END_TEST

START_TEST(one_dash_is_an_operand)
{
    ck_assert_int_eq(PARSE("-"), 0);
    ck_assert_str_eq(operands[0], "-");
}
END_TEST

START_TEST(what_is_wrong_is_usage)
{
    ck_assert_int_eq(PARSE("--nothing"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("-z"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("--name"), EXIT_USAGE);
    ck_assert_int_eq(PARSE("--force=yes"), EXIT_USAGE);
}
END_TEST

START_TEST(a_near_word_is_offered_and_a_far_one_is_not)
{
    static const char *const words[] = {"submit", "show", "cancel"};

    ck_assert_str_eq(args_nearest("sbmit", words, 3), "submit");
    ck_assert_str_eq(args_nearest("cancle", words, 3), "cancel");
    ck_assert_ptr_null(args_nearest("purge", words, 3));
    ck_assert_ptr_null(args_nearest("a-word-longer-than-any-that-is-looked-at", words, 3));
}
END_TEST

int main(void)
{
    return SUITE_MAIN("cli args", options_stand_anywhere_in_every_spelling,
                      it_is_known_which_options_take_the_next_word,
                      after_two_dashes_nothing_is_an_option, one_dash_is_an_operand,
                      what_is_wrong_is_usage, a_near_word_is_offered_and_a_far_one_is_not);
}
