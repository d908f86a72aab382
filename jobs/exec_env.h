/* exec_env.h: what an exec job finds when it starts: a clean environment (an allow-list, the
 * job's own words, and ours), and where its program may be. Never anything of the daemon's own
 * environment, which may hold secrets. */
#ifndef JOBS_EXEC_ENV_H
#define JOBS_EXEC_ENV_H

#include "jobs/kinds_internal.h"

#include <stdbool.h>
#include <stddef.h>

struct strings {
    char **items; /* owned, NULL-terminated once something was added */
    size_t count, cap;
    bool failed; /* without memory; sticky */
};

void strings_add(struct strings *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strings_deinit(struct strings *s);

struct exec_env {
    struct strings words; /* "NAME=value"; ours first, which recovery relies on */
    struct strings paths; /* where argv[0] may be, in the order in which to try */
};

/* scratch: absolute path of the attempt's folder. 0 or -ENOMEM. */
int exec_env_init(struct exec_env *env, const struct attempt *attempt, const char *scratch);
void exec_env_deinit(struct exec_env *env);

#define EXEC_RESULT_NAME "stint-result.json" /* STINT_RESULT, in the scratch folder */

#endif
