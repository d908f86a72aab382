#include "cli/wait.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* A wait is many short ones, so that Ctrl-C is answered at once and a daemon that restarts in
 * between is simply asked again. */

#define SLICE_S 30u
#define SLICE_STOPPABLE_S 1u
#define GONE_MAX_NS (60 * NS_PER_S)
#define ASK_AGAIN_NS (100 * NS_PER_MS)

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

static int ask(struct client *client, unsigned long long id, unsigned wait_s, json_t **ret_job)
{
    char path[96];
    struct reply reply;

    snprintf(path, sizeof path, "/v1/jobs/%llu?wait=%u", id, wait_s);
    int r = client_call(client, "GET", path, NULL, &reply);
    if (r == 0)
        *ret_job = json_incref(reply.json);
    reply_deinit(&reply);
    return r;
}

/* The same; and when a daemon that was there is gone, again and again until it is back. */
static int ask_patiently(struct client *client, unsigned long long id, uint64_t deadline_ns,
                         const volatile bool *stop, json_t **ret_job)
{
    uint64_t give_up_ns = 0;

    client_hush(client, true);
    for (;;) {
        int r = ask(client, id, slice_s(deadline_ns, stop != NULL), ret_job);
        if (r != EXIT_UNREACHABLE || (stop != NULL && *stop))
            return r;
        uint64_t now = clock_mono_ns();
        if (!client_has_met(client) || (give_up_ns != 0 && now >= give_up_ns)) {
            client_tell_unreachable(client);
            return r;
        }
        if (give_up_ns == 0) {
            fprintf(stderr, "stint: the daemon is gone; waiting for it to come back\n");
            give_up_ns = now + GONE_MAX_NS;
        }
        if (deadline_ns != 0 && deadline_ns < give_up_ns)
            give_up_ns = deadline_ns;
        nanosleep(&(struct timespec){.tv_nsec = ASK_AGAIN_NS}, NULL);
    }
}

int wait_for(struct client *client, unsigned long long id, uint64_t deadline_ns,
             const volatile bool *stop, json_t **ret_job)
{
    for (;;) {
        json_t *job = NULL;
        int r = ask_patiently(client, id, deadline_ns, stop, &job);
        client_hush(client, false);
        if (r == 0 && is_final(job)) {
            *ret_job = job;
            return 0;
        }
        json_decref(job);
        if (stop != NULL && *stop)
            return EXIT_INTERRUPTED;
        if (r != 0)
            return r;
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
