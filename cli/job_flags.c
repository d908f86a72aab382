#include "cli/job_flags.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum flag_type { FLAG_STRING, FLAG_INTEGER };

static const struct {
    const char *flag, *field;
    enum flag_type type;
} fields[] = {
    {"name", "name", FLAG_STRING},           {"queue", "queue", FLAG_STRING},
    {"priority", "priority", FLAG_INTEGER},  {"key", "key", FLAG_STRING},
    {"delay", "delay", FLAG_STRING},         {"run-at", "run_at", FLAG_STRING},
    {"timeout", "timeout", FLAG_STRING},     {"start-by", "start_by", FLAG_STRING},
    {"retry-for", "retry_for", FLAG_STRING},
};

json_t *job_flags_integer(const char *flag, const char *text)
{
    char *end;

    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0) {
        fprintf(stderr, "stint: --%s %s: must be a whole number\n", flag, text);
        return NULL;
    }
    return json_integer(n);
}

static bool put_common(const struct args *args, json_t *job)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *text = args_value(args, fields[i].flag);
        if (text == NULL)
            continue;
        json_t *value = fields[i].type == FLAG_STRING ? json_string(text)
                                                      : job_flags_integer(fields[i].flag, text);
        if (value == NULL)
            return false;
        json_object_set_new(job, fields[i].field, value);
    }
    if (args_has(args, "hold"))
        json_object_set_new(job, "hold", json_true());
    return true;
}

static bool put_lists(const struct args *args, json_t *job)
{
    const char *attempts = args_value(args, "attempts");
    json_t *tags = json_array();

    for (unsigned i = 0; args_each(args, "tag", i) != NULL; i++)
        json_array_append_new(tags, json_string(args_each(args, "tag", i)));
    if (json_array_size(tags) > 0)
        json_object_set(job, "tags", tags);
    json_decref(tags);
    if (attempts == NULL)
        return true;

    json_t *n = job_flags_integer("attempts", attempts);
    if (n != NULL)
        json_object_set_new(job, "retry", json_pack("{s:o}", "max_attempts", n));
    return n != NULL;
}

static bool put_env(const struct args *args, json_t *exec)
{
    json_t *env = json_object();
    bool good = true;

    for (unsigned i = 0; good && args_each(args, "env", i) != NULL; i++) {
        const char *pair = args_each(args, "env", i), *eq = strchr(pair, '=');
        good = eq != NULL && eq != pair;
        if (!good)
            fprintf(stderr, "stint: --env %s: must be NAME=VALUE\n", pair);
        else
            json_object_setn_new(env, pair, (size_t)(eq - pair), json_string(eq + 1));
    }
    if (json_object_size(env) > 0)
        json_object_set(exec, "env", env);
    json_decref(env);
    return good;
}

static bool put_limits(const struct args *args, json_t *exec)
{
    const char *memory = args_value(args, "memory"), *cpu = args_value(args, "cpu");
    const char *pids = args_value(args, "pids");
    json_t *limits = json_object();
    bool good = true;

    if (memory != NULL)
        json_object_set_new(limits, "memory", json_string(memory));
    if (cpu != NULL)
        json_object_set_new(limits, "cpu", json_string(cpu));
    if (pids != NULL) {
        json_t *n = job_flags_integer("pids", pids);
        good = n != NULL;
        json_object_set_new(limits, "pids", n);
    }
    if (json_object_size(limits) > 0)
        json_object_set(exec, "limits", limits);
    json_decref(limits);
    return good;
}

/* A relative folder is meant from here; the daemon stands elsewhere. */
static bool put_cwd(const struct args *args, json_t *exec)
{
    const char *cwd = args_value(args, "cwd");

    if (cwd == NULL)
        return true;
    char *path = cwd[0] == '/' ? strdup(cwd) : realpath(cwd, NULL);
    if (path == NULL)
        fprintf(stderr, "stint: --cwd %s: %s\n", cwd, strerrordesc_np(errno));
    else
        json_object_set_new(exec, "cwd", json_string(path));
    free(path);
    return path != NULL;
}

static json_t *exec_of(const struct args *args, const char *const *words, unsigned count)
{
    json_t *exec = json_object(), *argv = json_array();

    for (unsigned i = 0; i < count; i++)
        json_array_append_new(argv, json_string(words[i]));
    json_object_set_new(exec, "argv", argv);
    if (!put_cwd(args, exec) || !put_env(args, exec) || !put_limits(args, exec)) {
        json_decref(exec);
        return NULL;
    }
    return exec;
}

json_t *job_from_flags(const struct args *args, const char *const *words, unsigned count)
{
    json_t *job = json_object();
    json_t *exec = count > 0 ? exec_of(args, words, count) : NULL;

    if ((count > 0 && exec == NULL) || !put_common(args, job) || !put_lists(args, job)) {
        json_decref(exec);
        json_decref(job);
        return NULL;
    }
    if (exec != NULL)
        json_object_set_new(job, "exec", exec);
    return job;
}
