#include "cli/print.h"

#include "base/buf.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ls and show. A list is fetched page by page; people get the newest 50 unless they ask. */

#define PAGE 200u
#define LIMIT_DEFAULT 50u

static const char *const filters[] = {"state", "queue", "kind", "name", "key", "tag", "since"};

static void put_path(struct buf *b, const struct args *args, uint64_t limit, const char *cursor)
{
    buf_putf(b, "/v1/jobs?limit=%u", limit < PAGE ? (unsigned)limit : PAGE);
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        const char *value = args_value(args, filters[i]);
        if (value == NULL)
            continue;
        buf_putf(b, "&%s=", filters[i]);
        client_put_escaped(b, value);
    }
    if (cursor != NULL) {
        buf_puts(b, "&cursor=");
        client_put_escaped(b, cursor);
    }
}

static int fetch(const struct verb_call *call, uint64_t limit, json_t *jobs)
{
    char cursor[128] = "";

    while (json_array_size(jobs) < limit) {
        OWN_BUF struct buf path = BUF_INIT;
        struct reply reply;
        put_path(&path, call->args, limit - json_array_size(jobs), cursor[0] ? cursor : NULL);
        int r = client_call(call->client, "GET", buf_str(&path), NULL, &reply);
        if (r == 0) {
            const char *next = json_string_value(json_object_get(reply.json, "next"));
            json_array_extend(jobs, json_object_get(reply.json, "items"));
            snprintf(cursor, sizeof cursor, "%s", next != NULL ? next : "");
        }
        reply_deinit(&reply);
        if (r != 0 || cursor[0] == '\0')
            return r;
    }
    return 0;
}

static int run_ls(const struct verb_call *call)
{
    const char *text = args_value(call->args, "limit");
    uint64_t limit = LIMIT_DEFAULT;

    if (text != NULL && (str_u64(text, strlen(text), &limit) < 0 || limit == 0)) {
        fprintf(stderr, "stint: --limit %s: must be a number above 0\n", text);
        return EXIT_USAGE;
    }
    if (args_has(call->args, "all"))
        limit = UINT64_MAX;

    json_t *jobs = json_array();
    int r = fetch(call, limit, jobs);
    if (r == 0)
        print_jobs(jobs, call->output);
    json_decref(jobs);
    return r;
}

static int show_one(const struct verb_call *call, unsigned long long id)
{
    char path[64];
    struct reply job, attempts = {0};

    snprintf(path, sizeof path, "/v1/jobs/%llu", id);
    int r = client_call(call->client, "GET", path, NULL, &job);
    if (r == 0 && call->output <= OUTPUT_WIDE) {
        snprintf(path, sizeof path, "/v1/jobs/%llu/attempts", id);
        r = client_call(call->client, "GET", path, NULL, &attempts);
        if (r == 0)
            print_job(job.json, json_object_get(attempts.json, "items"));
    } else if (r == 0 && call->output == OUTPUT_ID) {
        printf("%llu\n", id);
    } else if (r == 0) {
        print_json(job.json, call->output == OUTPUT_JSON);
    }
    reply_deinit(&job);
    reply_deinit(&attempts);
    return r;
}

static int run_show(const struct verb_call *call)
{
    int r = verb_need_ids(call);

    for (unsigned i = 0; i < call->args->operands_count && r == 0; i++) {
        unsigned long long id = 0;
        verb_job_id(call->args->operands[i], &id);
        if (i > 0 && call->output == OUTPUT_TABLE)
            putchar('\n');
        r = show_one(call, id);
    }
    return r;
}

static const struct option_row ls_options[] = {
    {"state", 's', "STATE,…", "only these: queued, running, retrying, succeeded, failed …"},
    {"queue", 'Q', "NAME", "only of this queue"},
    {"kind", 'k', "KIND", "only exec, http, file or worker"},
    {"name", 'n', "NAME", "only with this name"},
    {"key", 0, "KEY", "only with this key"},
    {"tag", 't', "TAG", "only with this tag"},
    {"since", 0, "WHEN", "only made since then: a time, or a span such as 1h"},
    {"limit", 0, "N", "at most so many, newest first (50)"},
    {"all", 'a', NULL, "all of them"},
    {NULL, 0, NULL, NULL},
};

static const struct option_row no_options[] = {{NULL, 0, NULL, NULL}};

const struct verb verb_ls = {
    .name = "ls",
    .alone = true,
    .usage = "[--state STATE] [--queue NAME] …",
    .summary = "list jobs, newest first",
    .examples = "  stint ls                          the newest 50\n"
                "  stint ls --state failed --all     everything that failed\n"
                "  stint ls -o id -s queued | xargs -r stint cancel\n",
    .options = ls_options,
    .run = run_ls,
};

const struct verb verb_show = {
    .name = "show",
    .usage = "ID…",
    .summary = "show everything known of a job, with its attempts",
    .examples = "  stint show 17\n  stint show 17 -o json | jq .result\n",
    .options = no_options,
    .run = run_show,
};
