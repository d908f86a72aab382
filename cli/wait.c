#include "cli/wait.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

/* A wait is many short ones, so that Ctrl-C is answered at once and a daemon that restarts in
 * between is simply asked again. */

#define SLICE_S 30u
#define SLICE_STOPPABLE_S 1u

static bool is_final(const json_t *job)
{
    static const char *const final[] = {"succeeded", "failed", "cancelled", "expired",
                                        "skipped"};
    const char *state = json_string_value(json_object_get(job, "state"));

    for (size_t i = 0; state != NULL && i < sizeof final / sizeof *final; i++) {
        if (strcmp(state, final[i]) == 0)
            return true;
    }
    return false;
}

static unsigned slice_s(uint64_t deadline_ns, bool stoppable)
{
    unsigned slice = stoppable ? SLICE_STOPPABLE_S : SLICE_S;
    uint64_t now = clock_mono_ns();

    if (deadline_ns == 0)
        return slice;
    uint64_t left = deadline_ns > now ? (deadline_ns - now + NS_PER_S - 1) / NS_PER_S : 0;
    return left < slice ? (unsigned)left : slice;
}

int wait_for(struct client *client, unsigned long long id, uint64_t deadline_ns,
             const volatile bool *stop, json_t **ret_job)
{
    for (;;) {
        char path[96];
        struct reply reply;
        snprintf(path, sizeof path, "/v1/jobs/%llu?wait=%u", id,
                 slice_s(deadline_ns, stop != NULL));
        int r = client_call(client, "GET", path, NULL, &reply);
        bool ended = r == 0 && is_final(reply.json);
        if (ended)
            *ret_job = json_incref(reply.json);
        reply_deinit(&reply);
        if (r != 0 || ended)
            return r;
        if (stop != NULL && *stop)
            return EXIT_INTERRUPTED;
        if (deadline_ns != 0 && clock_mono_ns() >= deadline_ns)
            return EXIT_TIMED_OUT;
    }
}

int wait_status(const json_t *job)
{
    const char *state = json_string_value(json_object_get(job, "state"));
    const json_t *result = json_object_get(job, "result");
    const json_t *code = json_object_get(result, "exit_code");
    const json_t *sig = json_object_get(result, "signal");

    if (state != NULL && strcmp(state, "succeeded") == 0)
        return EXIT_OK;
    if (json_is_integer(sig) && json_integer_value(sig) > 0)
        return 128 + (int)json_integer_value(sig);
    if (json_is_integer(code) && json_integer_value(code) > 0)
        return (int)json_integer_value(code);
    return EXIT_JOB_FAILED;
}
