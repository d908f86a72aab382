#include "cli/print.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

/* cancel, retry, hold, release: one POST a job, all of them idempotent. The first refusal
 * decides the exit status, the others are still tried. */

static int act(const struct verb_call *call, const char *verb, const char *body)
{
    int status = verb_need_ids(call);

    if (status != 0)
        return status;
    for (unsigned i = 0; i < call->args->operands_count; i++) {
        unsigned long long id = 0;
        char path[96];
        struct reply reply;
        verb_job_id(call->args->operands[i], &id);
        snprintf(path, sizeof path, "/v1/jobs/%llu/%s", id, verb);
        int r = client_call(call->client, "POST", path, body, &reply);
        if (r == 0 && call->output == OUTPUT_TABLE)
            printf("job %lld %s\n",
                   (long long)json_integer_value(json_object_get(reply.json, "id")),
                   json_string_value(json_object_get(reply.json, "state")));
        else if (r == 0 && call->output == OUTPUT_ID)
            printf("%lld\n", (long long)json_integer_value(json_object_get(reply.json, "id")));
        else if (r == 0)
            print_json(reply.json, call->output == OUTPUT_JSON);
        reply_deinit(&reply);
        status = status != 0 ? status : r;
    }
    return status;
}

static int run_cancel(const struct verb_call *call)
{
    const char *grace = args_value(call->args, "grace");
    json_t *options = json_object();
    int64_t ms;

    if (grace != NULL && str_duration_ms(grace, strlen(grace), &ms) < 0) {
        fprintf(stderr, "stint: --grace %s: must be a span such as 30s\n", grace);
        json_decref(options);
        return EXIT_USAGE;
    }
    if (grace != NULL)
        json_object_set_new(options, "grace", json_string(grace));
    if (args_has(call->args, "force"))
        json_object_set_new(options, "force", json_true());

    char *body = json_dumps(options, JSON_COMPACT);
    int r = act(call, "cancel", body != NULL ? body : "{}");
    free(body);
    json_decref(options);
    return r;
}

static int run_retry(const struct verb_call *call)
{
    return act(call, "retry", "");
}

static int run_hold(const struct verb_call *call)
{
    return act(call, "hold", "");
}

static int run_release(const struct verb_call *call)
{
    return act(call, "release", "");
}

static const struct option_row cancel_options[] = {
    {"grace", 0, "SPAN", "between asking and killing (the job's own)"},
    {"force", 0, NULL, "kill at once"},
    {NULL, 0, NULL, NULL},
};
static const struct option_row no_options[] = {{NULL, 0, NULL, NULL}};

const struct verb verb_cancel = {
    .name = "cancel",
    .usage = "ID…",
    .summary = "stop jobs, with every process they started",
    .examples = "  stint cancel 17\n  stint cancel --force 17\n",
    .options = cancel_options,
    .run = run_cancel,
};
const struct verb verb_retry = {
    .name = "retry",
    .usage = "ID…",
    .summary = "run ended jobs again as new ones; end the wait of retrying ones",
    .examples = "  stint retry 17\n  stint ls -o id -s failed | xargs -r stint retry\n",
    .options = no_options,
    .run = run_retry,
};
const struct verb verb_hold = {
    .name = "hold",
    .usage = "ID…",
    .summary = "keep waiting jobs from starting",
    .examples = "  stint hold 17\n",
    .options = no_options,
    .run = run_hold,
};
const struct verb verb_release = {
    .name = "release",
    .usage = "ID…",
    .summary = "let held jobs start",
    .examples = "  stint release 17\n",
    .options = no_options,
    .run = run_release,
};
