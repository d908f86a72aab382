#include "jobs/spec_parts.h"

#include "base/buf.h"

#include <stddef.h>

/* The document, field by field. The order is the manual's. Spans are milliseconds, sizes are
 * bytes; what an absent field means stands in fallback and is set in spec.c. */

#define ROWS(rows) (rows), sizeof(rows) / sizeof *(rows)
#define AT(type, member) .offset = offsetof(struct type, member)
#define COUNT(type, member) .count_offset = offsetof(struct type, member)
#define SPAN_MS(seconds) (INT64_C(1000) * (seconds))
#define MIB(n) (INT64_C(1048576) * (n))

static const char *const kill_modes[] = {"group", "mixed", NULL};
static const char *const methods[] = {"GET",   "HEAD",   "POST",    "PUT",
                                      "PATCH", "DELETE", "OPTIONS", NULL};
static const char *const file_ops[] = {"copy",    "move",    "remove", "checksum",
                                       "archive", "extract", "write",  NULL};
static const char *const formats[] = {"tar.gz", "tar",  "tar.zst", "tar.xz",
                                      "zip",    "cpio", NULL};
static const char *const algorithms[] = {
    "sha256",   "sha1",     "sha224",     "sha384",     "sha512", "sha512-256", "sha3-256",
    "sha3-384", "sha3-512", "blake2b512", "blake2s256", "md5",    NULL};

/* ---- exec -------------------------------------------------------------------------------- */

static const struct spec_field limits_rows[] = {
    {.name = "memory",
     .type = SPEC_SIZE,
     AT(exec_spec, memory_bytes),
     .min = MIB(1),
     .max = MIB(1) << 30,
     .help =
         "memory of all its processes; beyond it the kernel kills one of them (reason oom)"},
    {.name = "cpu",
     .type = SPEC_REAL,
     AT(exec_spec, cpu),
     .min = 1,
     .max = 1024 * 100,
     .help = "processor cores, 1.5 is one and a half"},
    {.name = "pids",
     .type = SPEC_U64,
     AT(exec_spec, pids),
     .min = 1,
     .max = 4194304,
     .help = "processes and threads at once"},
};
static const struct spec_table limits_table = {ROWS(limits_rows), NULL};

static const struct spec_field exec_rows[] = {
    {.name = "argv",
     .type = SPEC_CUSTOM,
     .read = spec_read_argv,
     .shape = "an array of 1 to 1024 strings",
     .max = SPEC_ARGV_MAX,
     .help = "the program and its arguments, exactly as they are; no shell looks at them"},
    {.name = "shell",
     .type = SPEC_CUSTOM,
     .read = spec_read_shell,
     .shape = "a string of 1 to 131071 bytes",
     .max = SPEC_ARG_BYTES_MAX,
     .help = "a command line for /bin/sh -c, instead of argv"},
    {.name = "cwd",
     .type = SPEC_PATH,
     AT(exec_spec, cwd),
     .fallback = "a scratch folder of the daemon",
     .help = "working folder"},
    {.name = "env",
     .type = SPEC_PAIRS,
     AT(exec_spec, env),
     COUNT(exec_spec, env_count),
     .max = SPEC_ENV_MAX,
     .pair = spec_pair_env,
     .help = "environment besides the STINT_ variables; nothing is inherited"},
    {.name = "stdin",
     .type = SPEC_TEXT,
     AT(exec_spec, stdin_text),
     .max = SPEC_TEXT_BYTES_MAX,
     .fallback = "the null device",
     .help = "text for standard input"},
    {.name = "stop_signal",
     .type = SPEC_CUSTOM,
     AT(exec_spec, stop_signal),
     .read = spec_read_signal,
     .shape = "a signal's name or number, as \"TERM\" or 15",
     .fallback = "TERM",
     .help = "sent first when it has to stop"},
    {.name = "stop_grace",
     .type = SPEC_SPAN,
     AT(exec_spec, stop_grace_ms),
     .max = SPAN_MS(24 * 3600),
     .fallback = "10s",
     .help = "from that signal to the kill"},
    {.name = "kill_mode",
     .type = SPEC_WORD,
     AT(exec_spec, kill_mode),
     .more = kill_modes,
     .fallback = "group",
     .help = "who gets the stop signal: all its processes (group) or the first alone (mixed); "
             "the kill is for all"},
    {.name = "limits",
     .type = SPEC_OBJECT,
     .more = &limits_table,
     .help = "what it may use, all its processes together"},
    {.name = "success_codes",
     .type = SPEC_CODES,
     AT(exec_spec, success_codes),
     COUNT(exec_spec, success_count),
     .max = 255,
     .fallback = "0",
     .help = "exit codes that mean success"},
    {.name = "fail_codes",
     .type = SPEC_CODES,
     AT(exec_spec, fail_codes),
     COUNT(exec_spec, fail_count),
     .max = 255,
     .help = "exit codes that mean failure without another try"},
    {.name = "hold_codes",
     .type = SPEC_CODES,
     AT(exec_spec, hold_codes),
     COUNT(exec_spec, hold_count),
     .max = 255,
     .help = "exit codes after which a person must look"},
    {.name = "retry_codes",
     .type = SPEC_CODES,
     AT(exec_spec, retry_codes),
     COUNT(exec_spec, retry_count),
     .max = 255,
     .help = "exit codes to try again on, also where the usual table says failure"},
};
static const struct spec_table exec_table = {ROWS(exec_rows), spec_check_exec};

/* ---- http -------------------------------------------------------------------------------- */

static const struct spec_field http_rows[] = {
    {.name = "method",
     .type = SPEC_CHOICE,
     AT(http_spec, method),
     .more = methods,
     .fallback = "POST with a body, else GET",
     .help = "request method"},
    {.name = "url",
     .type = SPEC_CUSTOM,
     .read = spec_read_url,
     .shape = "a URL of http or https",
     .max = SPEC_URL_BYTES_MAX,
     .help = "where to; no user or password in it"},
    {.name = "headers",
     .type = SPEC_PAIRS,
     AT(http_spec, headers),
     COUNT(http_spec, headers_count),
     .max = SPEC_HEADERS_MAX,
     .pair = spec_pair_header,
     .help = "request headers"},
    {.name = "body",
     .type = SPEC_BYTES,
     AT(http_spec, body),
     COUNT(http_spec, body_len),
     .max = SPEC_TEXT_BYTES_MAX,
     .help = "request body as text"},
    {.name = "json",
     .type = SPEC_CUSTOM,
     .read = spec_read_body_json,
     .shape = "any JSON",
     .help = "request body as JSON, sent compact with its content type, instead of body"},
    {.name = "expect",
     .type = SPEC_CODES,
     AT(http_spec, expect),
     COUNT(http_spec, expect_count),
     .min = 200,
     .max = 599,
     .fallback = "200 to 299",
     .help = "status codes that mean success"},
    {.name = "retry_status",
     .type = SPEC_CODES,
     AT(http_spec, retry_status),
     COUNT(http_spec, retry_status_count),
     .min = 200,
     .max = 599,
     .help = "status codes to try again on besides 408, 425, 429, 500, 502, 503, 504"},
    {.name = "follow",
     .type = SPEC_U32,
     AT(http_spec, follow),
     .max = SPEC_FOLLOW_MAX,
     .fallback = "0",
     .help = "redirects to follow; each target is checked like the first"},
    {.name = "save_to",
     .type = SPEC_PATH,
     AT(http_spec, save_to),
     .help =
         "file for the response body, below a configured root; replaced whole or not at all"},
    {.name = "response_bytes_max",
     .type = SPEC_SIZE,
     AT(http_spec, response_bytes_max),
     .min = 1,
     .max = SPEC_SAVED_BYTES_MAX,
     .fallback = "the daemon's setting",
     .help = "of the response body: kept in the result (at most 16M), or written to save_to"},
};
static const struct spec_table http_table = {ROWS(http_rows), spec_check_http};

/* ---- file -------------------------------------------------------------------------------- */

static const struct spec_field file_rows[] = {
    {.name = "op",
     .type = SPEC_WORD,
     AT(file_spec, op),
     .more = file_ops,
     .help = "what to do"},
    {.name = "from",
     .type = SPEC_PATH,
     AT(file_spec, from),
     .help = "what is read, moved or removed"},
    {.name = "to", .type = SPEC_PATH, AT(file_spec, to), .help = "what is written"},
    {.name = "algorithm",
     .type = SPEC_CHOICE,
     AT(file_spec, algorithm),
     .more = algorithms,
     .fallback = "sha256",
     .help = "checksum: the digest"},
    {.name = "expect",
     .type = SPEC_TEXT,
     AT(file_spec, expect),
     .min = 32,
     .max = 128,
     .help = "checksum: the digest in hex that must come out"},
    {.name = "format",
     .type = SPEC_CHOICE,
     AT(file_spec, format),
     .more = formats,
     .fallback = "tar.gz",
     .help = "archive: its format; extract finds out by itself"},
    {.name = "text",
     .type = SPEC_TEXT,
     AT(file_spec, text),
     .max = SPEC_TEXT_BYTES_MAX,
     .help = "write: the content"},
    {.name = "mode",
     .type = SPEC_MODE,
     AT(file_spec, mode),
     .fallback = "0644",
     .help = "write: permissions"},
    {.name = "recursive",
     .type = SPEC_FLAG,
     AT(file_spec, recursive),
     .fallback = "false",
     .help = "copy, remove: folders with all that is in them"},
    {.name = "overwrite",
     .type = SPEC_FLAG,
     AT(file_spec, overwrite),
     .fallback = "false",
     .help = "replace what is there"},
};
static const struct spec_table file_table = {ROWS(file_rows), spec_check_file};

/* ---- worker ------------------------------------------------------------------------------ */

static const struct spec_field worker_rows[] = {
    {.name = "payload",
     .type = SPEC_CUSTOM,
     .read = spec_read_payload,
     .shape = "any JSON",
     .help = "what the worker is given; nobody else looks at it"},
    {.name = "lease",
     .type = SPEC_SPAN,
     AT(worker_spec, lease_ms),
     .min = SPAN_MS(1),
     .max = SPAN_MS(24 * 3600),
     .fallback = "30s",
     .help = "a worker that is not heard of for so long has lost the job"},
};
static const struct spec_table worker_table = {ROWS(worker_rows), NULL};

/* ---- common ------------------------------------------------------------------------------ */

static const struct spec_field retry_rows[] = {
    {.name = "max_attempts",
     .type = SPEC_U32,
     AT(retry_spec, max_attempts),
     .min = 1,
     .max = 10000,
     .fallback = "10",
     .help = "attempts in all; 1 = never again"},
    {.name = "base",
     .type = SPEC_SPAN,
     AT(retry_spec, base_ms),
     .min = 1,
     .max = SPEC_SPAN_MS_MAX,
     .fallback = "5s",
     .help = "wait after the first failure"},
    {.name = "factor",
     .type = SPEC_REAL,
     AT(retry_spec, factor),
     .min = 100,
     .max = 100 * 100,
     .fallback = "2",
     .help = "each further wait is so many times the last"},
    {.name = "cap",
     .type = SPEC_SPAN,
     AT(retry_spec, cap_ms),
     .min = 1,
     .max = SPEC_SPAN_MS_MAX,
     .fallback = "1h",
     .help = "no wait is longer"},
};
const struct spec_table spec_table_retry = {ROWS(retry_rows), NULL};

static const struct spec_field job_rows[] = {
    {.name = "exec",
     .type = SPEC_OBJECT,
     AT(spec, exec),
     .more = &exec_table,
     .help = "run a program"},
    {.name = "http",
     .type = SPEC_OBJECT,
     AT(spec, http),
     .more = &http_table,
     .help = "send an HTTP request"},
    {.name = "file",
     .type = SPEC_OBJECT,
     AT(spec, file),
     .more = &file_table,
     .help = "copy, move, remove, checksum, archive, extract or write files"},
    {.name = "worker",
     .type = SPEC_OBJECT,
     AT(spec, worker),
     .more = &worker_table,
     .help = "wait for a program elsewhere that leases it over HTTP"},
    {.name = "name",
     .type = SPEC_NAME,
     AT(spec, name),
     .help = "for people and filters; need not be unique"},
    {.name = "queue",
     .type = SPEC_NAME,
     AT(spec, queue),
     .fallback = "default",
     .help = "where it waits"},
    {.name = "priority",
     .type = SPEC_I32,
     AT(spec, priority),
     .min = -100,
     .max = 100,
     .fallback = "0",
     .help = "within its key or queue, higher first; a point is worth a minute of waiting"},
    {.name = "key",
     .type = SPEC_NAME,
     AT(spec, key),
     .help = "whom it is for: limits and fairness within a queue"},
    {.name = "tags",
     .type = SPEC_NAMES,
     AT(spec, tags),
     COUNT(spec, tags_count),
     .max = SPEC_TAGS_MAX,
     .help = "for filters"},
    {.name = "delay",
     .type = SPEC_SPAN,
     AT(spec, delay_ms),
     .max = SPEC_SPAN_MS_MAX,
     .fallback = "0s",
     .help = "not before so long from now"},
    {.name = "run_at",
     .type = SPEC_TIME,
     AT(spec, run_at_ms),
     .help = "not before this time, instead of delay"},
    {.name = "timeout",
     .type = SPEC_SPAN,
     AT(spec, timeout_ms),
     .max = SPEC_SPAN_MS_MAX,
     .fallback = "1h",
     .help = "of one attempt; 0 = none"},
    {.name = "start_by",
     .type = SPEC_SPAN,
     AT(spec, start_by_ms),
     .max = SPEC_SPAN_MS_MAX,
     .help = "not started so long after submission: expired; 0 = never"},
    {.name = "retry",
     .type = SPEC_CUSTOM,
     AT(spec, retry),
     .read = spec_read_retry,
     .more = &spec_table_retry,
     .shape = "an object, or a number of attempts from 1 to 10000",
     .help = "what happens after a failed attempt"},
    {.name = "retry_for",
     .type = SPEC_SPAN,
     AT(spec, retry_for_ms),
     .max = SPEC_SPAN_MS_MAX,
     .help = "no attempt begins so long after submission; 0 = no such limit"},
    {.name = "hold",
     .type = SPEC_FLAG,
     AT(spec, hold),
     .fallback = "false",
     .help = "wait for a release"},
    {.name = "durability",
     .type = SPEC_CUSTOM,
     .read = spec_read_durability,
     .shape = "full or relaxed",
     .fallback = "full",
     .help =
         "full: on disk before the answer; relaxed: survives a crash of the daemon, but the "
         "last moments may be lost with the machine"},
};
const struct spec_table spec_table_job = {ROWS(job_rows), spec_check_job};

static void describe(struct buf *b, const struct spec_table *table, const char *prefix)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct spec_field *field = &table->fields[i];
        OWN_BUF struct buf path = BUF_INIT;

        buf_putf(&path, "%s%s", prefix, field->name);
        buf_putf(b, "%s\t", buf_str(&path));
        spec_put_shape(b, field);
        buf_putf(b, "\t%s\t%s\n", field->fallback != NULL ? field->fallback : "-", field->help);
        if (field->type == SPEC_OBJECT || field->more == &spec_table_retry) {
            buf_putc(&path, '.');
            describe(b, field->more, buf_str(&path));
        }
    }
}

void spec_describe(struct buf *ret)
{
    describe(ret, &spec_table_job, "");
}
