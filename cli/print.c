#include "cli/print.h"

#include "base/clock.h"
#include "base/own.h"
#include "base/str.h"
#include "cli/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

static bool color_off;

static const struct {
    const char *word;
    enum output output;
} outputs[] = {
    {"table", OUTPUT_TABLE},   {"wide", OUTPUT_WIDE}, {"json", OUTPUT_JSON},
    {"ndjson", OUTPUT_NDJSON}, {"id", OUTPUT_ID},
};

static const struct {
    const char *state, *color;
} colors[] = {
    {"succeeded", "32"}, {"failed", "31"},   {"cancelled", "33"}, {"expired", "33"},
    {"running", "36"},   {"stopping", "36"}, {"retrying", "35"},  {"held", "33"},
};

bool print_output_parse(const char *s, enum output *ret)
{
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        if (strcmp(s, outputs[i].word) == 0) {
            *ret = outputs[i].output;
            return true;
        }
    }
    fprintf(stderr, "stint: -o %s: must be table, wide, json, ndjson or id\n", s);
    return false;
}

void print_no_color(void)
{
    color_off = true;
}

static bool has_color(FILE *f)
{
    const char *term = getenv("TERM"), *none = getenv("NO_COLOR");

    if (color_off || (none != NULL && none[0] != '\0'))
        return false;
    return isatty(fileno(f)) && term != NULL && strcmp(term, "dumb") != 0;
}

static const char *color_of(const char *cell)
{
    for (size_t i = 0; i < sizeof colors / sizeof *colors; i++) {
        if (strcmp(cell, colors[i].state) == 0)
            return colors[i].color;
    }
    return NULL;
}

/* ---------------------------------------------------------------- tables ------------------ */

#define GAP 2       /* between two columns */
#define LAST_MIN 16 /* of the last column, before others give way to it */
#define HIDDEN SIZE_MAX

static size_t terminal_width(void)
{
    struct winsize size;

    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 ||
        size.ws_col == 0)
        return SIZE_MAX;
    return size.ws_col;
}

void print_table_start(struct table *t, const char *const *heads, unsigned columns,
                       const unsigned char *spare)
{
    *t = (struct table){.heads = heads, .columns = columns, .spare = spare};
}

void print_cell(struct table *t, const char *text)
{
    if (t->count == t->cap) {
        size_t cap = t->cap == 0 ? 256 : 2 * t->cap;
        char **cells = reallocarray(t->cells, cap, sizeof *cells);
        if (cells == NULL)
            return;
        t->cells = cells;
        t->cap = cap;
    }
    t->cells[t->count] = str_dup(text != NULL && text[0] != '\0' ? text : "-");
    t->count += t->cells[t->count] != NULL;
}

/* What does not fit is cut, and nothing is put behind the edge: a line that wraps cannot be
 * read. */
static void put_row(const struct table *t, const char *const *cells, const size_t *widths,
                    bool head, bool color)
{
    size_t left = terminal_width();

    for (unsigned c = 0; c < t->columns && left > 0; c++) {
        bool last = c + 1 == t->columns;
        const char *paint = head ? "1" : color_of(cells[c]);
        size_t width = screen_columns(cells[c]);
        if (widths[c] == HIDDEN)
            continue;
        if (color && paint != NULL)
            printf("\033[%sm", paint);
        screen_put(stdout, cells[c], left);
        if (color && paint != NULL)
            fputs("\033[0m", stdout);
        size_t end = widths[c] + GAP < left ? widths[c] + GAP : left;
        for (; !last && width < end; width++)
            putchar(' ');
        left -= left == SIZE_MAX ? 0 : end;
    }
    putchar('\n');
}

static void measure(const struct table *t, size_t *widths)
{
    for (unsigned c = 0; c < t->columns; c++)
        widths[c] = screen_columns(t->heads[c]);
    for (size_t i = 0; i < t->count; i++) {
        size_t width = screen_columns(t->cells[i]);
        if (width > widths[i % t->columns])
            widths[i % t->columns] = width;
    }
}

/* All columns but the last, of which a part is enough. */
static size_t width_needed(const struct table *t, const size_t *widths)
{
    size_t last = widths[t->columns - 1];
    size_t sum = last < LAST_MIN ? last : LAST_MIN;

    for (unsigned c = 0; c + 1 < t->columns; c++)
        sum += widths[c] == HIDDEN ? 0 : widths[c] + GAP;
    return sum;
}

void print_table_end(struct table *t)
{
    size_t widths[PRINT_COLUMNS_MAX] = {0};
    bool color = has_color(stdout);

    measure(t, widths);
    for (const unsigned char *c = t->spare; *c != 0; c++) {
        if (width_needed(t, widths) > terminal_width())
            widths[*c] = HIDDEN;
    }
    put_row(t, t->heads, widths, true, color);
    for (size_t i = 0; i + t->columns <= t->count; i += t->columns)
        put_row(t, (const char *const *)t->cells + i, widths, false, color);
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
}

/* ---------------------------------------------------------------- jobs -------------------- */

void print_json(const json_t *json, bool indented)
{
    OWN(free)
    char *text = json_dumps(json, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15) |
                                      (indented ? JSON_INDENT(2) : JSON_COMPACT));

    screen_put_json(stdout, text != NULL ? text : "");
    putchar('\n');
}

static const char *text_of(const json_t *job, const char *field)
{
    return json_string_value(json_object_get(job, field));
}

static void print_span(int64_t ms, char *ret)
{
    if (ms < 1000)
        snprintf(ret, 32, "%lldms", (long long)ms);
    else if (ms < 60 * 1000)
        snprintf(ret, 32, "%.1fs", (double)ms / 1000);
    else if (ms < 3600 * 1000)
        snprintf(ret, 32, "%lldm%02llds", (long long)(ms / 60000), (long long)(ms / 1000 % 60));
    else if (ms < 48 * INT64_C(3600000))
        snprintf(ret, 32, "%lldh%02lldm", (long long)(ms / 3600000),
                 (long long)(ms / 60000 % 60));
    else
        snprintf(ret, 32, "%lldd", (long long)(ms / 86400000));
}

void print_ago(const char *time, char *ret)
{
    int64_t at_ms = 0;

    snprintf(ret, 32, "-");
    if (time == NULL || str_time_ms(time, strlen(time), &at_ms) < 0)
        return;

    int64_t ago_ms = clock_wall_ms() - at_ms;
    char span[32];
    print_span(ago_ms < 0 ? -ago_ms : ago_ms, span);
    snprintf(ret, 32, ago_ms < 0 ? "in %.20s" : "%.20s ago", span);
}

static bool took_ms(const json_t *job, int64_t *ret)
{
    const char *from = text_of(job, "started_at"), *to = text_of(job, "finished_at");
    int64_t from_ms, to_ms;

    if (from == NULL || to == NULL || str_time_ms(from, strlen(from), &from_ms) < 0 ||
        str_time_ms(to, strlen(to), &to_ms) < 0)
        return false;
    *ret = to_ms - from_ms;
    return true;
}

/* The payload as it is: the worker knows what it means. */
static void put_payload(const json_t *worker, struct buf *b)
{
    char *text = json_dumps(json_object_get(worker, "payload"),
                            JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));

    if (text != NULL)
        buf_puts(b, text);
    free(text);
}

/* What it does, in one cell: the command, the URL, the file. */
static void put_work(const json_t *job, struct buf *b)
{
    const json_t *exec = json_object_get(job, "exec"), *http = json_object_get(job, "http");
    const json_t *file = json_object_get(job, "file");
    const char *shell = text_of(exec, "shell");
    const char *key;
    json_t *value;
    size_t i;

    if (shell != NULL)
        buf_puts(b, shell);
    json_array_foreach(json_object_get(exec, "argv"), i, value)
        buf_putf(b, "%s%s", i > 0 ? " " : "", json_string_value(value));
    if (http != NULL)
        buf_putf(b, "%s %s", text_of(http, "method") != NULL ? text_of(http, "method") : "GET",
                 text_of(http, "url"));
    json_object_foreach((json_t *)(uintptr_t)file, key, value)
    {
        if (json_is_string(value))
            buf_putf(b, "%s%s", b->len > 0 ? " " : "", json_string_value(value));
        else if (json_is_object(value))
            buf_putf(b, "%s %s %s", key,
                     text_of(value, "from") != NULL ? text_of(value, "from") : "",
                     text_of(value, "to") != NULL ? text_of(value, "to") : "");
    }
    put_payload(json_object_get(job, "worker"), b);
}

static void print_row(struct table *t, const json_t *job, bool wide)
{
    char id[32], ago[32], count[32];
    OWN_BUF struct buf work = BUF_INIT;

    snprintf(id, sizeof id, "%lld", (long long)json_integer_value(json_object_get(job, "id")));
    snprintf(count, sizeof count, "%lld",
             (long long)json_integer_value(json_object_get(job, "attempt")));
    print_cell(t, id);
    print_cell(t, text_of(job, "state"));
    if (wide)
        print_cell(t, text_of(job, "reason"));
    print_cell(t, text_of(job, "kind"));
    print_cell(t, text_of(job, "queue"));
    if (wide) {
        snprintf(ago, sizeof ago, "%lld",
                 (long long)json_integer_value(json_object_get(job, "priority")));
        print_cell(t, ago);
        print_cell(t, text_of(job, "key"));
    }
    print_cell(t, count);
    print_ago(text_of(job, "created_at"), ago);
    print_cell(t, ago);
    print_cell(t, text_of(job, "name"));
    put_work(job, &work);
    print_cell(t, buf_str(&work));
}

static void print_job_table(const json_t *jobs, bool wide)
{
    static const char *const narrow_heads[] = {"ID",      "STATE",   "KIND", "QUEUE",
                                               "ATTEMPT", "CREATED", "NAME", "WORK"};
    static const char *const wide_heads[] = {"ID",      "STATE",    "REASON", "KIND",
                                             "QUEUE",   "PRIORITY", "KEY",    "ATTEMPT",
                                             "CREATED", "NAME",     "WORK"};
    static const unsigned char narrow_spare[] = {4, 3, 2, 5, 6, 0};
    static const unsigned char wide_spare[] = {5, 6, 7, 4, 3, 8, 2, 9, 0};
    struct table t;
    size_t i;
    json_t *job;

    if (json_array_size(jobs) == 0) {
        fputs("no jobs\n", stderr);
        return;
    }
    print_table_start(&t, wide ? wide_heads : narrow_heads, wide ? 11 : 8,
                      wide ? wide_spare : narrow_spare);
    json_array_foreach(jobs, i, job) print_row(&t, job, wide);
    print_table_end(&t);
}

void print_jobs(const json_t *jobs, enum output output)
{
    size_t i;
    json_t *job;

    if (output == OUTPUT_JSON) {
        print_json(jobs, true);
        return;
    }
    if (output == OUTPUT_TABLE || output == OUTPUT_WIDE) {
        print_job_table(jobs, output == OUTPUT_WIDE);
        return;
    }
    json_array_foreach(jobs, i, job)
    {
        if (output == OUTPUT_NDJSON)
            print_json(job, false);
        else
            printf("%lld\n", (long long)json_integer_value(json_object_get(job, "id")));
    }
}

/* ---------------------------------------------------------------- one job ----------------- */

static void print_field(const char *field, const json_t *value)
{
    if (json_is_string(value)) {
        printf("%-18s", field);
        screen_put(stdout, json_string_value(value), SIZE_MAX);
        putchar('\n');
        return;
    }
    OWN(free)
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    printf("%-18s", field);
    screen_put_json(stdout, text != NULL ? text : "");
    putchar('\n');
}

static void print_attempts(const json_t *attempts)
{
    static const char *const heads[] = {"ATTEMPT", "FENCE", "STATE", "REASON",
                                        "STARTED", "TOOK",  "ERROR"};
    static const unsigned char spare[] = {4, 5, 3, 1, 0};
    struct table t;
    size_t i;
    json_t *a;

    print_table_start(&t, heads, 7, spare);
    json_array_foreach(attempts, i, a)
    {
        char text[32];
        int64_t ms;
        snprintf(text, sizeof text, "%lld",
                 (long long)json_integer_value(json_object_get(a, "attempt")));
        print_cell(&t, text);
        snprintf(text, sizeof text, "%lld",
                 (long long)json_integer_value(json_object_get(a, "fence")));
        print_cell(&t, text);
        print_cell(&t, text_of(a, "state"));
        print_cell(&t, text_of(a, "reason"));
        print_ago(text_of(a, "started_at"), text);
        print_cell(&t, text);
        text[0] = '\0';
        if (took_ms(a, &ms))
            print_span(ms, text);
        print_cell(&t, text);
        print_cell(&t, text_of(a, "error"));
    }
    print_table_end(&t);
}

void print_job(const json_t *job, const json_t *attempts)
{
    const char *field;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)job, field, value)
    {
        if (!json_is_null(value))
            print_field(field, value);
    }
    if (json_array_size(attempts) > 0) {
        putchar('\n');
        print_attempts(attempts);
    }
}

void print_end(const json_t *job)
{
    const char *state = text_of(job, "state"), *reason = text_of(job, "reason");
    const char *error = text_of(job, "error");
    char span[32] = "";
    int64_t ms;

    if (took_ms(job, &ms))
        print_span(ms, span);
    fprintf(stderr, "job %lld %s", (long long)json_integer_value(json_object_get(job, "id")),
            state != NULL ? state : "?");
    if (reason != NULL)
        fprintf(stderr, " (%s)", reason);
    if (span[0] != '\0')
        fprintf(stderr, " in %s", span);
    if (error != NULL) {
        fputs(": ", stderr);
        screen_put(stderr, error, SIZE_MAX);
    }
    fputc('\n', stderr);
}
