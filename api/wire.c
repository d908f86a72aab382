#include "api/wire.h"

#include <stddef.h>
#include <string.h>

/* What went wrong on the wire, in the order of the status. The words are a promise: programs
 * compare them. Add at the end of a status, never rename. */
static const struct wire_problem problems[] = {
    {"bad-request", 400, 2, "The request cannot be understood"},
    {"bad-parameter", 400, 2, "A query parameter is unknown or has no such value"},
    {"invalid-json", 400, 2, "The body is not JSON"},
    {"no-token", 401, 4, "A token is needed here"},
    {"bad-token", 401, 4, "The token is not valid"},
    {"forbidden", 403, 4, "The caller may not do this"},
    {"cross-site", 403, 4, "Requests from pages of another site are refused"},
    {"not-found", 404, 3, "There is no such thing"},
    {"no-such-route", 404, 3, "There is nothing at this path"},
    {"method-not-allowed", 405, 2, "The path does not know this method"},
    {"timeout", 408, 75, "The request took too long to arrive"},
    {"conflict", 409, 5, "Not possible in the present state"},
    {"superseded", 409, 5, "The lease is over"},
    {"already-final", 409, 5, "The job has ended"},
    {"body-too-large", 413, 2, "The body is too large"},
    {"unsupported-media-type", 415, 2, "The body is of a kind that is not read here"},
    {"range-not-satisfiable", 416, 2, "The range lies outside of what there is"},
    {"misdirected", 421, 4, "The server is not known under this name"},
    {"invalid-job", 422, 2, "The job is not valid"},
    {"invalid-settings", 422, 2, "The settings are not valid"},
    {"key-reused", 422, 5, "The Idempotency-Key came with another request"},
    {"internal", 500, 1, "The server failed"},
    {"busy", 503, 75, "Too much is waiting already"},
    {"unwritable", 503, 75, "The store cannot be written"},
    {"draining", 503, 75, "The daemon is about to stop"},
    {"not-ready", 503, 75, "The daemon is not ready"},
};

const struct wire_problem *wire_problem_find(const char *type)
{
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
        if (strcmp(problems[i].type, type) == 0)
            return &problems[i];
    return NULL;
}
