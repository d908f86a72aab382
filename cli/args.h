/* args.h: words of the command line against a table of options. Options may stand anywhere
 * before "--"; what is no option is an operand; what follows "--" is operands whatever it looks
 * like.
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#define ARGS_OPTIONS_MAX 48
#define ARGS_REPEAT_MAX 256

struct option_row {
    const char *name;     /* without dashes */
    char letter;          /* 0 = none */
    const char *argument; /* NULL = a switch; shown in help */
    const char *text;
};

struct args {
    const struct option_row *rows; /* ends with a NULL name */
    /* Values in the order of the command line, by row; a switch counts. */
    struct {
        const char *values[ARGS_REPEAT_MAX];
        unsigned count;
    } given[ARGS_OPTIONS_MAX];
    const char **operands;
    unsigned operands_count;
    int dashes_at; /* operands before "--", or -1 without one */
};

/* 0, or 2 (EXIT_USAGE) after saying on standard error what is wrong. operands must have room
 * for argc. */
int args_parse(struct args *args, const struct option_row *rows, int argc, char **argv,
               const char **operands);
/* Whether the word is an option of the table whose value is the next word. */
bool args_wants_value(const struct option_row *rows, const char *word);
/* The last value given, NULL when none. The name must be in the table. */
const char *args_value(const struct args *args, const char *name);
bool args_has(const struct args *args, const char *name);
/* Value number i, NULL behind the last. */
const char *args_each(const struct args *args, const char *name, unsigned i);
/* The word of the list nearest to what was typed, NULL when none is near. */
const char *args_nearest(const char *typed, const char *const *words, size_t count);

#endif
