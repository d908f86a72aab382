#include "cli/print.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* backup FILE | doctor */

static const struct option_row none[] = {{NULL, 0, NULL, NULL}};

/* The daemon works in another folder: what is meant from here is told from the root. */
static int put_body(struct buf *b, const char *file)
{
    OWN_BUF struct buf path = BUF_INIT;
    char *here = file[0] == '/' ? NULL : getcwd(NULL, 0);

    if (file[0] != '/' && here == NULL) {
        perror("stint: this folder");
        return EXIT_SOFTWARE;
    }
    if (here != NULL)
        buf_putf(&path, "%s/", here);
    free(here);
    buf_puts(&path, file);
    buf_puts(b, "{\"path\":");
    buf_put_json(b, path.data, path.len);
    buf_putc(b, '}');
    return buf_failed(b) || buf_failed(&path) ? EXIT_SOFTWARE : 0;
}

static int run_backup(const struct verb_call *call)
{
    OWN_BUF struct buf body = BUF_INIT;
    struct reply reply;

    if (call->args->operands_count != 1) {
        fprintf(stderr, "stint: backup: needs one file, which must not be there yet\n");
        return EXIT_USAGE;
    }
    int r = put_body(&body, call->args->operands[0]);
    if (r != 0)
        return r;
    r = client_call(call->client, "POST", "/v1/backup", buf_str(&body), &reply);
    if (r == 0 && call->output <= OUTPUT_WIDE)
        printf("%s: %lld bytes in %.3fs\n",
               json_string_value(json_object_get(reply.json, "path")),
               (long long)json_integer_value(json_object_get(reply.json, "bytes")),
               json_number_value(json_object_get(reply.json, "seconds")));
    else if (r == 0)
        print_json(reply.json, call->output == OUTPUT_JSON);
    reply_deinit(&reply);
    return r;
}

const struct verb verb_backup = {
    .name = "backup",
    .usage = "FILE",
    .summary = "copy the daemon's store to a file while it works",
    .examples = "  stint backup /var/lib/stint/copy.db\n",
    .options = none,
    .run = run_backup,
};

static void print_lines(FILE *to, const json_t *list)
{
    size_t i;
    json_t *line;

    json_array_foreach(list, i, line) fprintf(to, "%s\n", json_string_value(line));
}

static int run_doctor(const struct verb_call *call)
{
    struct reply reply;
    int r = client_call(call->client, "GET", "/v1/doctor", NULL, &reply);
    bool healthy = json_is_true(json_object_get(reply.json, "healthy"));

    if (r == 0 && call->output > OUTPUT_WIDE) {
        print_json(reply.json, call->output == OUTPUT_JSON);
    } else if (r == 0) {
        print_lines(stdout, json_object_get(reply.json, "findings"));
        print_lines(stderr, json_object_get(reply.json, "skipped"));
        puts(healthy ? "the store is sound"
                     : "the store is not sound: restore a backup, see stintd(8)");
    }
    if (r == 0 && !healthy)
        r = EXIT_JOB_FAILED;
    reply_deinit(&reply);
    return r;
}

const struct verb verb_doctor = {
    .name = "doctor",
    .alone = true,
    .usage = "",
    .summary = "check the daemon's store, say what is wrong",
    .examples = "  stint doctor\n",
    .options = none,
    .run = run_doctor,
};
