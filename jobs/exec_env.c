#include "jobs/exec_env.h"

#include "base/own.h"
#include "base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void strings_add(struct strings *s, const char *fmt, ...)
{
    va_list ap;
    char *item;

    if (s->failed)
        return;
    if (s->count + 1 >= s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 32;
        char **items = reallocarray(s->items, cap, sizeof *items);
        if (!items) {
            s->failed = true;
            return;
        }
        s->items = items;
        s->cap = cap;
    }
    va_start(ap, fmt);
    int n = vasprintf(&item, fmt, ap);

    va_end(ap);
    if (n < 0) {
        s->failed = true;
        return;
    }
    s->items[s->count++] = item;
    s->items[s->count] = NULL;
}

void strings_deinit(struct strings *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->items[i]);
    free(s->items);
    *s = (struct strings){0};
}

static bool has_name(const struct strings *words, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < words->count; i++) {
        if (strncmp(words->items[i], name, len) == 0 && words->items[i][len] == '=')
            return true;
    }
    return false;
}

static void add_time(struct strings *words, const char *name, int64_t at_ms)
{
    char text[STR_TIME_BYTES];

    if (at_ms == 0)
        return;
    str_time_text(text, at_ms);
    strings_add(words, "%s=%s", name, text);
}

/* STINT_STATE, STINT_JOB_ID and STINT_FENCE are how proctree finds a process again: first, so
 * that they are within what it reads. */
static void add_ours(struct strings *words, const struct attempt *attempt, const char *scratch)
{
    const struct job *job = attempt->job;
    const struct kinds *kinds = attempt->kinds;

    strings_add(words, "STINT_STATE=%016llx", (unsigned long long)kinds->state_id);
    strings_add(words, "STINT_JOB_ID=%llu", (unsigned long long)job->id);
    strings_add(words, "STINT_FENCE=%u", job->fence);
    strings_add(words, "STINT_ATTEMPT=%u", job->attempt);
    strings_add(words, "STINT_MAX_ATTEMPTS=%u", attempt->spec->retry.max_attempts);
    strings_add(words, "STINT_CRASHES=%u", job->crashes);
    strings_add(words, "STINT_QUEUE=%s", job->queue ? job->queue : "default");
    strings_add(words, "STINT_KIND=exec");
    if (job->name)
        strings_add(words, "STINT_NAME=%s", job->name);
    add_time(words, "STINT_DEADLINE", attempt->deadline_at_ms);
    add_time(words, "STINT_SCHEDULED_FOR", job->run_at_ms);
    if (job->retry_of != 0)
        strings_add(words, "STINT_PARENT=%llu", (unsigned long long)job->retry_of);
    strings_add(words, "STINT_RESULT=%s/" EXEC_RESULT_NAME, scratch);
    if (attempt->config->socket_path)
        strings_add(words, "STINT_SOCKET=%s", attempt->config->socket_path);
}

/* Nobody overrides ours; everybody overrides the defaults. */
static void add_theirs(struct strings *words, const struct exec_spec *spec, const char *home)
{
    for (unsigned i = 0; i < spec->env_count; i++) {
        if (!has_name(words, spec->env[i].name))
            strings_add(words, "%s=%s", spec->env[i].name, spec->env[i].value);
    }
    if (!has_name(words, "PATH"))
        strings_add(words, "PATH=" PATH_DEFAULT);
    if (!has_name(words, "HOME"))
        strings_add(words, "HOME=%s", home);
    if (!has_name(words, "LANG"))
        strings_add(words, "LANG=C.UTF-8");
}

static const char *find_path(const struct strings *words)
{
    for (size_t i = 0; i < words->count; i++) {
        if (strncmp(words->items[i], "PATH=", 5) == 0)
            return words->items[i] + 5;
    }
    return PATH_DEFAULT;
}

/* As execvp: a name with a slash is a path, any other is looked for along PATH; an empty part
 * of PATH is the working folder. */
static void add_paths(struct strings *paths, const char *program, const char *path)
{
    if (strchr(program, '/') || !*program) {
        strings_add(paths, "%s", program);
        return;
    }
    for (;;) {
        const char *end = strchrnul(path, ':');

        if (end == path)
            strings_add(paths, "./%s", program);
        else
            strings_add(paths, "%.*s/%s", (int)(end - path), path, program);
        if (!*end)
            return;
        path = end + 1;
    }
}

int exec_env_init(struct exec_env *env, const struct attempt *attempt, const char *scratch)
{
    const struct exec_spec *spec = &attempt->spec->exec;
    const struct kinds *kinds = attempt->kinds;

    *env = (struct exec_env){0};
    add_ours(&env->words, attempt, scratch);
    add_theirs(&env->words, spec, kinds->home);
    if (!env->words.failed)
        add_paths(&env->paths, spec->argv[0], find_path(&env->words));
    return env->words.failed || env->paths.failed ? -ENOMEM : 0;
}

void exec_env_deinit(struct exec_env *env)
{
    strings_deinit(&env->words);
    strings_deinit(&env->paths);
}
