#include "cli/print.h"
#include "cli/wait.h"

#include "base/clock.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

static int deadline_of(const struct args *args, uint64_t *ret)
{
    const char *text = args_value(args, "timeout");
    int64_t ms = 0;

    *ret = 0;
    if (text == NULL)
        return 0;
    if (str_duration_ms(text, strlen(text), &ms) < 0) {
        fprintf(stderr, "stint: --timeout %s: must be a span such as 90s or 5m\n", text);
        return EXIT_USAGE;
    }
    *ret = clock_mono_ns() + (uint64_t)ms * NS_PER_MS;
    return 0;
}

static int run_wait(const struct verb_call *call)
{
    uint64_t deadline_ns;
    int status = 0, r = verb_need_ids(call);

    if (r == 0)
        r = deadline_of(call->args, &deadline_ns);
    for (unsigned i = 0; i < call->args->operands_count && r == 0; i++) {
        unsigned long long id = 0;
        json_t *job = NULL;
        verb_job_id(call->args->operands[i], &id);
        r = wait_for(call->client, id, deadline_ns, NULL, &job);
        if (r == EXIT_TIMED_OUT)
            fprintf(stderr, "stint: job %llu has not ended yet; `stint show %llu` says why\n",
                    id, id);
        if (r != 0)
            break;
        if (call->output == OUTPUT_TABLE)
            print_end(job);
        else
            print_json(job, call->output == OUTPUT_JSON);
        status = status != 0 ? status : wait_status(job);
        json_decref(job);
    }
    return r != 0 ? r : status;
}

static const struct option_row options[] = {
    {"timeout", 0, "SPAN", "give up after it, with exit status 124"},
    {NULL, 0, NULL, NULL},
};

const struct verb verb_wait = {
    .name = "wait",
    .usage = "ID…",
    .summary = "wait until jobs end; exit as the first that did not succeed",
    .examples = "  stint wait 17 18 19\n  stint wait --timeout 5m 17 && echo done\n",
    .options = options,
    .run = run_wait,
};
