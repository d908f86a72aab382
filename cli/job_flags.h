/* job_flags.h: a job described by flags, for run and submit. */
#ifndef CLI_JOB_FLAGS_H
#define CLI_JOB_FLAGS_H

#include "cli/verb.h"

/* Rows for a table of options: settings every kind has. */
#define JOB_FLAG_ROWS                                                                          \
    {"name", 'n', "NAME", "a name to find it by"},                                             \
        {"queue", 'Q', "NAME", "the queue it waits in (default)"},                             \
        {"priority", 'p', "N", "-100 to 100, higher first (0)"},                               \
        {"key", 0, "KEY", "who it is for: limits and fairness go by it"},                      \
        {"tag", 't', "TAG", "a tag; may be given again"},                                      \
        {"delay", 0, "SPAN", "start after it"}, {"run-at", 0, "TIME", "start at that time"},   \
        {"timeout", 0, "SPAN", "of one attempt (1h)"},                                         \
        {"start-by", 0, "SPAN", "expires when not started by then"},                           \
        {"attempts", 0, "N", "tries in all (10; of run 1)"},                                   \
        {"retry-for", 0, "SPAN", "no try begins after it"},                                    \
    {                                                                                          \
        "hold", 0, NULL, "do not start it yet"                                                 \
    }

/* Rows of a command. */
#define JOB_FLAG_ROWS_EXEC                                                                     \
    {"env", 'e', "NAME=VALUE", "for the command; may be given again"},                         \
        {"cwd", 'C', "DIR", "where it runs (a folder of its own); . is here"},                 \
        {"memory", 0, "SIZE", "limit, such as 512M"},                                          \
        {"cpu", 0, "CORES", "limit, such as 1.5"},                                             \
    {                                                                                          \
        "pids", 0, "N", "limit of processes"                                                   \
    }

/* A new object, or NULL after saying what is wrong. words: the command (may be none). */
json_t *job_from_flags(const struct args *args, const char *const *words, unsigned count);
/* The value of an option that takes a whole number, or NULL after saying what is wrong. */
json_t *job_flags_integer(const char *flag, const char *text);

#endif
