/* verb.h: what every verb gets and what the program's exit status means. One verb a row in
 * main.c's table; a verb's file has its options, its help and its work. */
#ifndef CLI_VERB_H
#define CLI_VERB_H

#include "cli/args.h"
#include "cli/client.h"

enum exit_status {
    EXIT_OK = 0,
    EXIT_JOB_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_REFUSED = 4,
    EXIT_CONFLICT = 5,
    EXIT_UNREACHABLE = 69,
    EXIT_SOFTWARE = 70,
    EXIT_LATER = 75,
    EXIT_TIMED_OUT = 124,
    EXIT_INTERRUPTED = 130,
};

enum output { OUTPUT_TABLE, OUTPUT_WIDE, OUTPUT_JSON, OUTPUT_NDJSON, OUTPUT_ID };

struct verb_call {
    struct client *client;
    const struct args *args;
    enum output output;
};

struct verb {
    const char *name, *usage, *summary;
    const char *examples;             /* first thing in its help */
    bool alone;                       /* takes no operands */
    bool formless;                    /* what it prints has one form: -o means nothing */
    const struct option_row *options; /* its own; the common ones are added */
    int (*run)(const struct verb_call *call);
};

extern const struct verb verb_run, verb_submit, verb_ls, verb_show, verb_log, verb_wait,
    verb_cancel, verb_retry, verb_hold, verb_release, verb_queue, verb_backup, verb_doctor;

/* "17" or "#17"; false after a line on standard error. */
bool verb_job_id(const char *word, unsigned long long *ret);
/* At least one operand, all of them ids; 0 or EXIT_USAGE. */
int verb_need_ids(const struct verb_call *call);

#endif
