#include "cli/job_flags.h"
#include "cli/print.h"

#include "base/buf.h"
#include "base/own.h"

#include <stdio.h>
#include <string.h>

/* queue ls | set NAME | pause NAME | resume NAME */

static void cell_count(struct table *t, const json_t *counts, const char *state)
{
    char text[32];

    snprintf(text, sizeof text, "%lld",
             (long long)json_integer_value(json_object_get(counts, state)));
    print_cell(t, text);
}

static void cell_limit(struct table *t, const json_t *queue, const char *name)
{
    long long limit = (long long)json_integer_value(json_object_get(queue, name));
    char text[32];

    snprintf(text, sizeof text, "%lld", limit);
    print_cell(t, limit > 0 ? text : "none");
}

static void print_queues(const json_t *queues)
{
    static const char *const heads[] = {"QUEUE",   "LIMIT",    "PER KEY",   "QUEUED",
                                        "RUNNING", "RETRYING", "SCHEDULED", "SUCCEEDED",
                                        "FAILED",  "OLDEST"};
    static const unsigned char spare[] = {6, 5, 2, 7, 8, 1, 0};
    struct table t;
    size_t i;
    json_t *q;

    if (json_array_size(queues) == 0) {
        fputs("no queues: a queue appears with its first job\n", stderr);
        return;
    }
    print_table_start(&t, heads, 10, spare);
    json_array_foreach(queues, i, q)
    {
        const json_t *counts = json_object_get(q, "counts");
        char text[64];
        print_cell(&t, json_string_value(json_object_get(q, "name")));
        if (json_is_true(json_object_get(q, "paused")))
            print_cell(&t, "paused");
        else
            cell_limit(&t, q, "concurrency");
        cell_limit(&t, q, "key_concurrency");
        cell_count(&t, counts, "queued");
        cell_count(&t, counts, "running");
        cell_count(&t, counts, "retrying");
        cell_count(&t, counts, "scheduled");
        cell_count(&t, counts, "succeeded");
        cell_count(&t, counts, "failed");
        const json_t *oldest = json_object_get(q, "oldest_seconds");
        snprintf(text, sizeof text, "%.1fs", json_number_value(oldest));
        print_cell(&t, json_is_number(oldest) ? text : NULL);
    }
    print_table_end(&t);
}

/* A line a queue. What an id is to a job, its name is to a queue. */
static void print_lines(const json_t *queues, enum output output)
{
    size_t i;
    json_t *q;

    json_array_foreach(queues, i, q)
    {
        if (output == OUTPUT_NDJSON)
            print_json(q, false);
        else
            puts(json_string_value(json_object_get(q, "name")));
    }
}

static int list(const struct verb_call *call)
{
    struct reply reply;
    int r = client_call(call->client, "GET", "/v1/queues", NULL, &reply);
    const json_t *items = json_object_get(reply.json, "items");

    if (r == 0 && call->output <= OUTPUT_WIDE)
        print_queues(items);
    else if (r == 0 && call->output == OUTPUT_JSON)
        print_json(items, true);
    else if (r == 0)
        print_lines(items, call->output);
    reply_deinit(&reply);
    return r;
}

static int set(const struct verb_call *call, const char *name, const char *body)
{
    OWN_BUF struct buf path = BUF_INIT;
    struct reply reply;

    buf_puts(&path, "/v1/queues/");
    client_put_escaped(&path, name);
    int r = client_call(call->client, "PATCH", buf_str(&path), body, &reply);
    if (r == 0 && call->output <= OUTPUT_WIDE)
        fprintf(stderr, "queue %s set\n", name);
    else if (r == 0 && call->output == OUTPUT_ID)
        puts(name);
    else if (r == 0)
        print_json(reply.json, call->output == OUTPUT_JSON);
    reply_deinit(&reply);
    return r;
}

/* false when it was given and is no number, which was told; the daemon knows the bounds. */
static bool put_limit(json_t *settings, const struct args *args, const char *option,
                      const char *field)
{
    const char *text = args_value(args, option);
    json_t *limit = text != NULL ? job_flags_integer(option, text) : NULL;

    if (limit != NULL)
        json_object_set_new(settings, field, limit);
    return text == NULL || limit != NULL;
}

static int set_limits(const struct verb_call *call, const char *name)
{
    json_t *settings = json_object();
    bool good = put_limit(settings, call->args, "concurrency", "concurrency") &&
                put_limit(settings, call->args, "key-concurrency", "key_concurrency");
    OWN(free) char *body = json_dumps(settings, JSON_COMPACT);
    size_t count = json_object_size(settings);

    json_decref(settings);
    if (good && count == 0)
        fprintf(stderr, "stint: queue set: needs --concurrency N or --key-concurrency N\n");
    return good && count > 0 ? set(call, name, body) : EXIT_USAGE;
}

static int pause_queue(const struct verb_call *call, const char *name)
{
    return set(call, name, "{\"paused\":true}");
}

static int resume_queue(const struct verb_call *call, const char *name)
{
    return set(call, name, "{\"paused\":false}");
}

static const struct {
    const char *word;
    int (*run)(const struct verb_call *call, const char *name);
} words[] = {{"set", set_limits}, {"pause", pause_queue}, {"resume", resume_queue}};

static int run_queue(const struct verb_call *call)
{
    const struct args *args = call->args;
    const char *word = args->operands_count > 0 ? args->operands[0] : "ls";

    bool lists = strcmp(word, "ls") == 0;

    if (args->operands_count > (lists ? 1 : 2)) {
        fprintf(stderr, "stint: queue %s: %s: one word too many\n", word,
                args->operands[args->operands_count - 1]);
        return EXIT_USAGE;
    }
    if (lists)
        return list(call);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, words[i].word) != 0)
            continue;
        if (args->operands_count > 1)
            return words[i].run(call, args->operands[1]);
        fprintf(stderr, "stint: queue %s: needs a queue's name\n", word);
        return EXIT_USAGE;
    }
    fprintf(stderr, "stint: queue: ls, pause NAME, resume NAME, or set NAME --concurrency N\n");
    return EXIT_USAGE;
}

static const struct option_row options[] = {
    {"concurrency", 0, "N", "of set: jobs running at once, 0 for no limit"},
    {"key-concurrency", 0, "N", "of set: jobs of one key running at once, 0 for no limit"},
    {NULL, 0, NULL, NULL},
};

const struct verb verb_queue = {
    .name = "queue",
    .usage = "ls | set NAME [--concurrency N] [--key-concurrency N] | pause NAME | resume NAME",
    .summary = "show and set queues",
    .examples = "  stint queue ls\n  stint queue set images --concurrency 4\n"
                "  stint queue set scrape --key-concurrency 1\n"
                "  stint queue pause mail\n",
    .options = options,
    .run = run_queue,
};
