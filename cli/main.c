/* stint: how a person speaks to stintd. One table of verbs; each verb's file has its options
 * and help. Exit status: see enum exit_status in verb.h and stint(1). */
#include "base/str.h"
#include "cli/args.h"
#include "cli/print.h"
#include "cli/screen.h"
#include "cli/verb.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct verb *const verbs[] = {
    &verb_run,   &verb_submit, &verb_ls,     &verb_show, &verb_log,
    &verb_wait,  &verb_cancel, &verb_retry,  &verb_hold, &verb_release,
    &verb_queue, &verb_backup, &verb_doctor,
};
#define VERBS (sizeof verbs / sizeof *verbs)

static const struct option_row common[] = {
    {"url", 'u', "URL", "the daemon: unix:///path or http://host:port (STINT_URL)"},
    {"token-file", 0, "PATH", "holds the token for http (STINT_TOKEN_FILE)"},
    {"output", 'o', "FORM", "table, wide, json, ndjson or id"},
    {"quiet", 'q', NULL, "only ids"},
    {"no-color", 0, NULL, "no colour (NO_COLOR)"},
    {"help", 'h', NULL, "this text"},
    {NULL, 0, NULL, NULL},
};

static size_t rows_count(const struct option_row *rows)
{
    size_t n = 0;

    while (rows[n].name != NULL)
        n++;
    return n;
}

/* All but the row named so, if any. */
static void print_options(const struct option_row *rows, const char *but)
{
    for (; rows->name != NULL; rows++) {
        char left[64];
        if (but != NULL && strcmp(rows->name, but) == 0)
            continue;
        snprintf(left, sizeof left, "%c%c%s --%s%s%s", rows->letter != 0 ? '-' : ' ',
                 rows->letter != 0 ? rows->letter : ' ', rows->letter != 0 ? "," : " ",
                 rows->name, rows->argument != NULL ? " " : "",
                 rows->argument != NULL ? rows->argument : "");
        size_t columns = screen_columns(left);
        printf("  %s%*s %s\n", left, columns < 24 ? (int)(24 - columns) : 0, "", rows->text);
    }
}

static int print_help(void)
{
    fputs("stint runs jobs on stintd: commands, HTTP requests, file work.\n\n"
          "  stint run -C . -- make -j4            run it as a job, follow it, exit with its "
          "code\n"
          "  stint submit -- /opt/nightly-report   submit it, print its id\n"
          "  stint ls --state running              what runs now\n"
          "  stint log -f 17                       what it prints\n\n"
          "verbs:\n",
          stdout);
    for (size_t i = 0; i < VERBS; i++)
        printf("  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    puts(
        "  version    print the versions of stint and of the daemon\n\noptions of every verb:");
    print_options(common, NULL);
    puts("\n`stint VERB --help` shows a verb's own. Exit status: 0 done, 1 a job failed, 2 "
         "usage,\n"
         "3 not found, 4 refused, 5 conflict, 69 no daemon, 75 try later, 124 timed out; run "
         "and\n"
         "wait pass the job's own code. See stint(1).");
    return EXIT_OK;
}

static int print_verb_help(const struct verb *verb)
{
    printf("stint %s %s\n\n%s\n\n%s\n", verb->name, verb->usage, verb->summary, verb->examples);
    if (verb->options[0].name != NULL) {
        puts("options:");
        print_options(verb->options, NULL);
        putchar('\n');
    }
    puts("options of every verb:");
    print_options(common, verb->formless ? "output" : NULL);
    return EXIT_OK;
}

/* The daemon need not be there: its line is then missing. */
static int print_version(struct client *client, enum output output)
{
    struct reply reply = {0};
    int r = client != NULL ? client_call(client, "GET", "/healthz", NULL, &reply) : EXIT_OK;
    const char *version = json_string_value(json_object_get(reply.json, "version"));

    if (output > OUTPUT_WIDE) {
        json_t *both = json_pack("{s:s, s:s?}", "stint", STINT_VERSION, "stintd", version);
        print_json(both, output == OUTPUT_JSON);
        json_decref(both);
    } else {
        puts("stint " STINT_VERSION);
        if (version != NULL)
            printf("stintd %s\n", version);
    }
    reply_deinit(&reply);
    return r;
}

static const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    }
    return NULL;
}

static int refuse_verb(const char *name)
{
    const char *names[VERBS];

    for (size_t i = 0; i < VERBS; i++)
        names[i] = verbs[i]->name;
    const char *near = args_nearest(name, names, VERBS);
    if (near != NULL)
        fprintf(stderr, "stint: %s: no such verb; did you mean %s?\n", name, near);
    else
        fprintf(stderr, "stint: %s: no such verb; `stint --help` lists them\n", name);
    return EXIT_USAGE;
}

bool verb_job_id(const char *word, unsigned long long *ret)
{
    const char *digits = word + (word[0] == '#');
    uint64_t id = 0;

    if (str_u64(digits, strlen(digits), &id) == 0 && id > 0) {
        *ret = id;
        return true;
    }
    fprintf(stderr, "stint: %s: is no job's id (a number)\n", word);
    return false;
}

int verb_need_ids(const struct verb_call *call)
{
    unsigned long long id;

    if (call->args->operands_count == 0) {
        fprintf(stderr, "stint: needs the id of a job; `stint ls` shows them\n");
        return EXIT_USAGE;
    }
    for (unsigned i = 0; i < call->args->operands_count; i++) {
        if (!verb_job_id(call->args->operands[i], &id))
            return EXIT_USAGE;
    }
    return 0;
}

static int open_client(const struct args *args, struct client **ret)
{
    struct client_options options = {
        .url = args_value(args, "url"),
        .token_file = args_value(args, "token-file"),
    };

    if (options.url == NULL)
        options.url = getenv("STINT_URL");
    if (options.token_file == NULL)
        options.token_file = getenv("STINT_TOKEN_FILE");
    return client_open(&options, ret);
}

static int refuse_form(const struct verb *verb)
{
    fprintf(stderr, "stint: -o does nothing for %s; it is for version", verb->name);
    for (size_t i = 0; i < VERBS; i++) {
        if (!verbs[i]->formless)
            fprintf(stderr, ", %s", verbs[i]->name);
    }
    fputc('\n', stderr);
    return EXIT_USAGE;
}

static int run_verb(const struct verb *verb, const struct args *args)
{
    struct verb_call call = {.args = args, .output = OUTPUT_TABLE};
    const char *form = args_value(args, "output");

    if (args_has(args, "help"))
        return verb != NULL ? print_verb_help(verb) : print_help();
    if (args_has(args, "no-color"))
        print_no_color();
    if (args_has(args, "quiet"))
        call.output = OUTPUT_ID;
    if (form != NULL && !print_output_parse(form, &call.output))
        return EXIT_USAGE;
    if (form != NULL && verb != NULL && verb->formless)
        return refuse_form(verb);
    if ((verb == NULL || verb->alone) && args->operands_count > 0) {
        fprintf(stderr, "stint: %s: one word too many; add --help to see what is known\n",
                args->operands[0]);
        return EXIT_USAGE;
    }

    int r = open_client(args, &call.client);
    if (r == 0)
        r = verb != NULL ? verb->run(&call) : print_version(call.client, call.output);
    client_close(call.client);
    return r;
}

/* Output that cannot be written (a full disk behind >) is a failure, not silence. */
static int flush(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("stint: standard output");
    return status != 0 ? status : EXIT_SOFTWARE;
}

/* Where the verb stands; argc without one. Options of every verb may stand before it. */
static int verb_at(int argc, char **argv)
{
    int i = 1;

    while (i < argc && argv[i][0] == '-' && argv[i][1] != '\0' && strcmp(argv[i], "--") != 0)
        i += args_wants_value(common, argv[i]) ? 2 : 1;
    return i < argc ? i : argc;
}

/* Runs the verb, or `version` when it is NULL, with words that are the rest of the line. */
static int run_words(const struct verb *verb, int count, char **words)
{
    static const struct option_row none[] = {{NULL, 0, NULL, NULL}};
    const struct option_row *own = verb != NULL ? verb->options : none;
    struct option_row rows[ARGS_OPTIONS_MAX + 1] = {0};
    size_t own_count = rows_count(own);

    memcpy(rows, own, own_count * sizeof *rows);
    memcpy(rows + own_count, common, sizeof common);

    const char **operands = calloc((size_t)count + 1, sizeof *operands);
    struct args *args = calloc(1, sizeof *args);
    int r = operands == NULL || args == NULL ? EXIT_SOFTWARE
                                             : args_parse(args, rows, count, words, operands);
    if (r == 0)
        r = run_verb(verb, args);
    free(args);
    free(operands);
    return r;
}

static int run_without_verb(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return print_help();
        if (strcmp(argv[i], "--version") == 0)
            return print_version(NULL, OUTPUT_TABLE);
    }
    if (argc == 1)
        return print_help();
    fprintf(stderr, "stint: %s: needs a verb; `stint --help` lists them\n", argv[1]);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    int at = verb_at(argc, argv);

    signal(SIGPIPE, SIG_DFL);
    if (at == argc)
        return flush(run_without_verb(argc, argv));
    if (strcmp(argv[at], "help") == 0)
        return flush(print_help());

    const struct verb *verb = verb_find(argv[at]);
    if (verb == NULL && strcmp(argv[at], "version") != 0)
        return refuse_verb(argv[at]);
    memmove(argv + at, argv + at + 1, (size_t)(argc - at) * sizeof *argv);
    return flush(run_words(verb, argc - 2, argv + 1));
}
