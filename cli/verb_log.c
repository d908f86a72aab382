#include "cli/verb.h"

#include "base/buf.h"

#include <stdio.h>
#include <unistd.h>

/* log: without a choice of stream both come in the order in which they were written. */

static int run_log(const struct verb_call *call)
{
    unsigned long long id = 0;
    bool only_out = args_has(call->args, "stdout"), only_err = args_has(call->args, "stderr");
    const char *attempt = args_value(call->args, "attempt");
    const char *fence = args_value(call->args, "fence");
    OWN_BUF struct buf path = BUF_INIT;

    if (call->args->operands_count != 1 || !verb_job_id(call->args->operands[0], &id)) {
        fprintf(stderr, "stint: log: needs one job's id\n");
        return EXIT_USAGE;
    }
    if (only_out && only_err) {
        fprintf(stderr,
                "stint: log: --stdout or --stderr, not both (without one, both come)\n");
        return EXIT_USAGE;
    }
    buf_putf(&path, "/v1/jobs/%llu/log?follow=%d", id, args_has(call->args, "follow"));
    if (only_out || only_err)
        buf_putf(&path, "&stream=%s", only_out ? "stdout" : "stderr");
    if (attempt != NULL) {
        buf_puts(&path, "&attempt=");
        client_put_escaped(&path, attempt);
    }
    if (fence != NULL) {
        buf_puts(&path, "&fence=");
        client_put_escaped(&path, fence);
    }
    struct client_stream stream = {.path = buf_str(&path), .fd = STDOUT_FILENO};
    int r = client_stream(call->client, &stream, 1, NULL);
    if (r == EXIT_UNREACHABLE && client_has_met(call->client))
        fprintf(stderr, "  `stint log -f %llu` shows the rest when it is back\n", id);
    return r;
}

static const struct option_row options[] = {
    {"follow", 'f', NULL, "go on until the job ends"},
    {"stdout", 0, NULL, "only what it wrote to standard output"},
    {"stderr", 0, NULL, "only what it wrote to standard error"},
    {"attempt", 0, "N", "of that attempt (the last)"},
    {"fence", 0, "N", "of the try with that fence, as `stint show` has them"},
    {NULL, 0, NULL, NULL},
};

const struct verb verb_log = {
    .name = "log",
    .usage = "ID [-f]",
    .summary = "print what a job printed",
    .examples = "  stint log 17\n  stint log -f 17            until it ends\n"
                "  stint log 17 --stderr\n",
    .formless = true,
    .options = options,
    .run = run_log,
};
