#include "cli/job_flags.h"
#include "cli/print.h"
#include "cli/wait.h"

#include "base/buf.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* run: as if the command ran here. Its output comes as it is written, both streams apart; the
 * first Ctrl-C cancels the job, the second leaves it to itself. */

static volatile bool interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    if (interrupted)
        _exit(EXIT_INTERRUPTED);
    interrupted = true;
}

static int submit(const struct verb_call *call, unsigned long long *ret_id)
{
    json_t *job = job_from_flags(call->args, call->args->operands, call->args->operands_count);
    struct reply reply;

    if (job == NULL)
        return EXIT_USAGE;
    /* A command at a terminal fails when it fails: more tries only when asked for. */
    if (!args_has(call->args, "attempts"))
        json_object_set_new(job, "retry", json_pack("{s:i}", "max_attempts", 1));
    char *text = json_dumps(job, JSON_COMPACT);
    int r = client_call(call->client, "POST", "/v1/jobs", text != NULL ? text : "", &reply);
    if (r == 0)
        *ret_id = (unsigned long long)json_integer_value(json_object_get(reply.json, "id"));
    reply_deinit(&reply);
    free(text);
    json_decref(job);
    return r;
}

static int follow(const struct verb_call *call, unsigned long long id)
{
    char out[96], err[96];

    snprintf(out, sizeof out, "/v1/jobs/%llu/log?follow=1&stream=stdout", id);
    snprintf(err, sizeof err, "/v1/jobs/%llu/log?follow=1&stream=stderr", id);
    const struct client_stream streams[] = {{out, STDOUT_FILENO}, {err, STDERR_FILENO}};
    return client_stream(call->client, streams, 2, &interrupted);
}

static int cancel(const struct verb_call *call, unsigned long long id)
{
    char path[96];
    struct reply reply;

    fprintf(stderr, "stint: cancelling job %llu; Ctrl-C again leaves it to itself\n", id);
    snprintf(path, sizeof path, "/v1/jobs/%llu/cancel", id);
    int r = client_call_but(call->client, "POST", path, "", 409, &reply);
    reply_deinit(&reply);
    return r;
}

static int run_run(const struct verb_call *call)
{
    unsigned long long id = 0;
    json_t *job = NULL;

    if (call->args->operands_count == 0) {
        fprintf(stderr, "stint: run: needs a command, as in `stint run -C . -- make`\n");
        return EXIT_USAGE;
    }
    int r = submit(call, &id);
    if (r != 0)
        return r;
    if (!args_has(call->args, "quiet"))
        fprintf(stderr, "job %llu\n", id);

    signal(SIGINT, on_interrupt);
    r = follow(call, id);
    if (r == EXIT_UNREACHABLE)
        fprintf(stderr, "  `stint log -f %llu` shows what else it prints\n", id);
    if (r == 0 || r == EXIT_UNREACHABLE)
        r = wait_for(call->client, id, 0, &interrupted, &job);
    if (r == EXIT_INTERRUPTED)
        r = cancel(call, id);
    if (r == 0 && job == NULL)
        r = wait_for(call->client, id, 0, NULL, &job);
    if (r != 0)
        return r;
    int status = interrupted ? EXIT_INTERRUPTED : wait_status(job);
    if (status != 0)
        print_end(job);
    json_decref(job);
    return status;
}

static const struct option_row options[] = {
    JOB_FLAG_ROWS,
    JOB_FLAG_ROWS_EXEC,
    {NULL, 0, NULL, NULL},
};

const struct verb verb_run = {
    .name = "run",
    .usage = "[OPTION…] -- COMMAND…",
    .summary = "run a command as a job, follow it, exit with its code",
    .examples =
        "  stint run -C . -- make -j4\n  stint run --memory 512M --timeout 10m -- /opt/report\n"
        "  stint run -C . -Q images --attempts 3 -- convert in.png out.jpg\n",
    .formless = true,
    .options = options,
    .run = run_run,
};
