#include "cli/job_flags.h"
#include "cli/print.h"
#include "cli/wait.h"

#include "base/buf.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* submit: a document (file or standard input: an object, an array, or one object a line), a
 * command behind --, or a URL. What was accepted is printed, an id a line. */

#define DOCUMENT_BYTES_MAX (64u << 20)

static int read_document(const char *path, struct buf *ret)
{
    int r = 0;

    if (strcmp(path, "-") != 0) {
        r = io_file_read(AT_FDCWD, path, DOCUMENT_BYTES_MAX, ret);
    } else {
        for (ssize_t n = 1; n > 0 && r == 0;) {
            char *room = buf_reserve(ret, 65536);
            n = room != NULL ? io_read_full(STDIN_FILENO, room, 65536) : -ENOMEM;
            r = n < 0 ? (int)n : ret->len > DOCUMENT_BYTES_MAX ? -EFBIG : 0;
            ret->len += n > 0 ? (size_t)n : 0;
        }
        buf_putc(ret, '\n');
    }
    if (r < 0) {
        fprintf(stderr, "stint: %s: %s\n", path, strerrordesc_np(-r));
        return EXIT_USAGE;
    }
    /* It is sent as a string: what stands behind the byte would be left out. */
    if (strlen(buf_str(ret)) != ret->len) {
        fprintf(stderr, "stint: %s: has a byte of 0, as no JSON has\n", path);
        return EXIT_USAGE;
    }
    return 0;
}

static int document_of(const struct verb_call *call, struct buf *ret)
{
    const struct args *args = call->args;
    unsigned before = args->dashes_at >= 0 ? (unsigned)args->dashes_at : args->operands_count;
    unsigned words = args->operands_count - before;
    const char *url = args_value(args, "http");

    if (before > 1 || before + (words > 0) + (url != NULL) != 1) {
        fprintf(stderr, "stint: submit: one of FILE (- for standard input), --http URL, or "
                        "-- COMMAND…\n");
        return EXIT_USAGE;
    }
    if (before == 1)
        return read_document(args->operands[0], ret);

    json_t *job = job_from_flags(args, args->operands + before, words);
    if (job == NULL)
        return EXIT_USAGE;
    if (url != NULL)
        json_object_set_new(job, "http", json_pack("{s:s}", "url", url));
    char *text = json_dumps(job, JSON_COMPACT);
    buf_puts(ret, text != NULL ? text : "");
    free(text);
    json_decref(job);
    return 0;
}

static int wait_all(const struct verb_call *call, const json_t *items)
{
    int status = 0;
    size_t i;
    json_t *item;

    json_array_foreach(items, i, item)
    {
        json_t *job = NULL;
        int r = wait_for(call->client,
                         (unsigned long long)json_integer_value(json_object_get(item, "id")), 0,
                         NULL, &job);
        if (r != 0)
            return r;
        print_end(job);
        status = status != 0 ? status : wait_status(job);
        json_decref(job);
    }
    return status;
}

/* One line an accepted job; refused items of a batch go to standard error. */
static int tell(const struct verb_call *call, const json_t *items)
{
    int status = 0;
    size_t i;
    json_t *item;

    json_array_foreach(items, i, item)
    {
        const json_t *id = json_object_get(item, "id");
        if (id == NULL) {
            const json_t *error = json_object_get(item, "error");
            const char *detail = json_string_value(json_object_get(error, "detail"));
            fprintf(stderr, "stint: item %zu: %s\n", i, detail != NULL ? detail : "refused");
            status = EXIT_USAGE;
        } else if (call->output == OUTPUT_TABLE || call->output == OUTPUT_ID) {
            printf("%lld\n", (long long)json_integer_value(id));
        } else {
            print_json(item, call->output == OUTPUT_JSON);
        }
    }
    return status;
}

static int run_submit(const struct verb_call *call)
{
    OWN_BUF struct buf document = BUF_INIT;
    struct reply reply;
    int r = document_of(call, &document);

    if (r != 0)
        return r;
    r = client_call(call->client, "POST", "/v1/jobs", buf_str(&document), &reply);
    if (r == 0) {
        json_t *items = json_object_get(reply.json, "items");
        json_t *all = items != NULL ? json_incref(items) : json_pack("[O]", reply.json);
        r = tell(call, all);
        if (r == 0 && args_has(call->args, "wait"))
            r = wait_all(call, all);
        json_decref(all);
    }
    reply_deinit(&reply);
    return r;
}

static const struct option_row options[] = {
    {"http", 0, "URL", "request this URL instead of running a command"},
    {"wait", 'w', NULL, "until it has ended, and exit as it did"},
    JOB_FLAG_ROWS,
    JOB_FLAG_ROWS_EXEC,
    {NULL, 0, NULL, NULL},
};

const struct verb verb_submit = {
    .name = "submit",
    .usage = "FILE | --http URL | -- COMMAND…",
    .summary = "submit jobs and print their ids",
    .examples = "  stint submit -C . -Q images -- convert in.png out.jpg\n"
                "  stint submit --http https://example.org/hook --delay 5m\n"
                "  stint submit jobs.json         an object, an array, or an object a line\n"
                "  echo '{\"exec\":{\"argv\":[\"date\"]}}' | stint submit -\n",
    .options = options,
    .run = run_submit,
};
