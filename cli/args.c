#include "cli/args.h"

#include "cli/verb.h"

#include <stdio.h>
#include <string.h>

#define WORD_MAX 32

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein's distance in one row; words longer than WORD_MAX are far from all. */
static size_t distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b), row[WORD_MAX + 1];

    if (la > WORD_MAX || lb > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[lb];
}

const char *args_nearest(const char *typed, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t best_at = 3;

    for (size_t i = 0; i < count; i++) {
        size_t d = distance(typed, words[i]);
        if (d < best_at) {
            best = words[i];
            best_at = d;
        }
    }
    return best;
}

static int row_named(const struct option_row *rows, const char *name, size_t len)
{
    for (int i = 0; rows[i].name != NULL; i++) {
        if (strlen(rows[i].name) == len && strncmp(rows[i].name, name, len) == 0)
            return i;
    }
    return -1;
}

static int row_lettered(const struct option_row *rows, char letter)
{
    for (int i = 0; rows[i].name != NULL; i++) {
        if (rows[i].letter == letter)
            return i;
    }
    return -1;
}

/* "--name=value", "-nvalue": the row of the option, or -1; and the value, NULL without one. */
static int row_of(const struct option_row *rows, const char *word, const char **ret_value)
{
    if (word[1] != '-') {
        *ret_value = word[2] != '\0' ? word + 2 : NULL;
        return row_lettered(rows, word[1]);
    }
    size_t len = strcspn(word + 2, "=");
    *ret_value = word[2 + len] == '=' ? word + 3 + len : NULL;
    return row_named(rows, word + 2, len);
}

bool args_wants_value(const struct option_row *rows, const char *word)
{
    const char *value;
    int row = row_of(rows, word, &value);

    return row >= 0 && rows[row].argument != NULL && value == NULL;
}

static int refuse_unknown(const struct args *args, const char *word)
{
    const char *names[ARGS_OPTIONS_MAX];
    size_t count = 0;

    for (; args->rows[count].name != NULL; count++)
        names[count] = args->rows[count].name;

    const char *near = args_nearest(word + strspn(word, "-"), names, count);
    if (near != NULL)
        fprintf(stderr, "stint: %s: no such option; did you mean --%s?\n", word, near);
    else
        fprintf(stderr, "stint: %s: no such option; add --help to see them\n", word);
    return EXIT_USAGE;
}

static int take(struct args *args, int row, const char *word, const char *value)
{
    if (args->rows[row].argument != NULL && value == NULL) {
        fprintf(stderr, "stint: %s: needs %s\n", word, args->rows[row].argument);
        return EXIT_USAGE;
    }
    if (args->given[row].count == ARGS_REPEAT_MAX) {
        fprintf(stderr, "stint: %s: given more than %d times\n", word, ARGS_REPEAT_MAX);
        return EXIT_USAGE;
    }
    args->given[row].values[args->given[row].count++] = value;
    return 0;
}

/* "--name=value", "--name value", "-n value", "-nvalue". */
static int take_option(struct args *args, int argc, char **argv, int *at)
{
    const char *word = argv[*at], *value;
    int row = row_of(args->rows, word, &value);

    if (row < 0)
        return refuse_unknown(args, word);
    if (args->rows[row].argument == NULL && value != NULL) {
        fprintf(stderr, "stint: %s: takes no value\n", word);
        return EXIT_USAGE;
    }
    if (args->rows[row].argument != NULL && value == NULL && *at + 1 < argc)
        value = argv[++*at];
    return take(args, row, word, value);
}

int args_parse(struct args *args, const struct option_row *rows, int argc, char **argv,
               const char **operands)
{
    memset(args, 0, sizeof *args);
    args->rows = rows;
    args->operands = operands;
    args->dashes_at = -1;

    for (int i = 0; i < argc; i++) {
        if (args->dashes_at < 0 && strcmp(argv[i], "--") == 0) {
            args->dashes_at = (int)args->operands_count;
        } else if (args->dashes_at < 0 && argv[i][0] == '-' && argv[i][1] != '\0') {
            int r = take_option(args, argc, argv, &i);
            if (r != 0)
                return r;
        } else {
            operands[args->operands_count++] = argv[i];
        }
    }
    return 0;
}

const char *args_each(const struct args *args, const char *name, unsigned i)
{
    int row = row_named(args->rows, name, strlen(name));

    if (row < 0 || i >= args->given[row].count)
        return NULL;
    return args->given[row].values[i];
}

const char *args_value(const struct args *args, const char *name)
{
    int row = row_named(args->rows, name, strlen(name));

    if (row < 0 || args->given[row].count == 0)
        return NULL;
    return args->given[row].values[args->given[row].count - 1];
}

bool args_has(const struct args *args, const char *name)
{
    int row = row_named(args->rows, name, strlen(name));
    return row >= 0 && args->given[row].count > 0;
}
