#include "jobs/exec_result.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "jobs/exec_env.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define SIGNAL_CODE 128 /* of shells: 128 + N for a child that signal N ended */
#define SIGNAL_MAX 64
#define RETRY_IN_MS_MAX (INT64_C(366) * 24 * 3600 * 1000)

/* sysexits.h: what trying again cannot mend. All other failures are tried again, among them 69
 * (service unavailable), 71 (system), 74 (input/output) and 75 (try later). */
static const struct {
    int from, to;
    enum job_reason reason;
    const char *text;
} useless[] = {
    {64, 68, REASON_EXIT_NONZERO, "usage, data, input, user or host is wrong"},
    {70, 70, REASON_EXIT_NONZERO, "internal error of the program"},
    {72, 73, REASON_EXIT_NONZERO, "a system file is missing, or output cannot be made"},
    {76, 78, REASON_EXIT_NONZERO, "protocol, permission or configuration is wrong"},
    {126, 126, REASON_SPAWN_FAILED, "the command cannot be executed"},
    {127, 127, REASON_SPAWN_FAILED, "the command was not found"},
};

static bool listed(const int *codes, unsigned count, int code)
{
    for (unsigned i = 0; i < count; i++) {
        if (codes[i] == code)
            return true;
    }
    return false;
}

/* The lists of the job; false when none has it. First match wins, in this order. */
static bool judge_listed(const struct exec_spec *spec, int code, enum outcome_kind *ret)
{
    if (listed(spec->success_codes, spec->success_count, code))
        *ret = OUTCOME_SUCCEEDED;
    else if (listed(spec->hold_codes, spec->hold_count, code))
        *ret = OUTCOME_HOLD;
    else if (listed(spec->fail_codes, spec->fail_count, code))
        *ret = OUTCOME_FAILED_FINAL;
    else if (listed(spec->retry_codes, spec->retry_count, code))
        *ret = OUTCOME_FAILED;
    else
        return false;
    return true;
}

static void judge_signal(const struct exec_end *end, int signal, enum outcome_kind kind,
                         struct outcome *ret)
{
    const char *name = sigabbrev_np(signal);

    if (end->oom)
        outcome_fail(ret, kind, REASON_OOM,
                     "killed by the system: out of memory within its limit");
    else
        outcome_fail(ret, kind, REASON_EXIT_SIGNAL, "%s signal %d (%s%s)%s",
                     end->signalled ? "killed by" : "a child was killed by", signal,
                     name ? "SIG" : "", name ? name : "real-time",
                     end->dumped ? ", would have dumped core" : "");
}

static void judge_useless(int code, struct outcome *ret)
{
    for (size_t i = 0; i < sizeof useless / sizeof *useless; i++) {
        if (code < useless[i].from || code > useless[i].to)
            continue;
        outcome_fail(ret, OUTCOME_FAILED_FINAL, useless[i].reason, "exited with code %d: %s",
                     code, useless[i].text);
        return;
    }
    outcome_fail(ret, OUTCOME_FAILED, REASON_EXIT_NONZERO, "exited with code %d", code);
}

void exec_result_judge(const struct exec_spec *spec, const struct exec_end *end,
                       struct outcome *ret)
{
    int code = end->signalled ? SIGNAL_CODE + end->status : end->status;
    enum outcome_kind kind = OUTCOME_FAILED;
    bool known = judge_listed(spec, code, &kind);
    bool signalled = end->signalled || (code > SIGNAL_CODE && code <= SIGNAL_CODE + SIGNAL_MAX);

    if (known && kind == OUTCOME_SUCCEEDED)
        ret->kind = OUTCOME_SUCCEEDED;
    else if (signalled)
        judge_signal(end, code - SIGNAL_CODE, kind, ret);
    else if (!known && code == 0)
        ret->kind = OUTCOME_SUCCEEDED;
    else if (end->oom)
        outcome_fail(ret, kind, REASON_OOM,
                     "exited with code %d after the system killed a child: out of memory",
                     code);
    else if (known)
        outcome_fail(ret, kind, REASON_EXIT_NONZERO, "exited with code %d", code);
    else
        judge_useless(code, ret);
}

int exec_result_read(int scratch_fd, struct buf *ret)
{
    struct stat st;
    /* The job may have put anything there: a link out, a FIFO that nobody writes to. */
    OWN_FD int fd =
        openat(scratch_fd, EXEC_RESULT_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (st.st_size > EXEC_RESULT_BYTES_MAX)
        return -EFBIG;
    char *room = buf_reserve(ret, EXEC_RESULT_BYTES_MAX);
    if (!room)
        return -ENOMEM;
    ssize_t n = io_read_full(fd, room, EXEC_RESULT_BYTES_MAX);
    if (n < 0)
        return (int)n;
    buf_commit(ret, (size_t)n);
    return 0;
}

/* Seconds, or "90s". */
static int64_t retry_in_ms(const json_t *value)
{
    int64_t ms = 0;

    if (json_is_number(value)) {
        double wanted = json_number_value(value) * 1000;
        ms = wanted > 0 && wanted <= (double)RETRY_IN_MS_MAX ? (int64_t)wanted : 0;
    } else if (json_is_string(value)) {
        if (str_duration_ms(json_string_value(value), json_string_length(value), &ms) < 0)
            return 0;
    }
    return ms > 0 && ms <= RETRY_IN_MS_MAX ? ms : 0;
}

static void put_json_value(struct buf *b, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

    buf_puts(b, text ? text : "null");
    free(text);
}

/* ,"result":… of the child, or ,"result_error":"why it does not count". */
static void put_child(struct buf *b, int read, const struct buf *text, struct outcome *ret)
{
    struct spec_fault fault = {0};
    json_t *json = NULL;

    if (read == 0 && text->len == 0)
        return;
    int r = read < 0 ? read
                     : spec_json(text->data, text->len, EXEC_RESULT_BYTES_MAX, &json, &fault);
    if (r == 0 && !json_is_object(json))
        snprintf(fault.what, sizeof fault.what, "must be an object");
    if (r < 0 || !json_is_object(json)) {
        const char *why = fault.what[0] ? fault.what : strerror(-r);

        buf_puts(b, ",\"result_error\":");
        buf_put_json(b, why, strlen(why));
        json_decref(json);
        return;
    }
    const json_t *value = json_object_get(json, "result");
    if (value) {
        buf_puts(b, ",\"result\":");
        put_json_value(b, value);
    }
    ret->retry_after_ms = retry_in_ms(json_object_get(json, "retry_in"));
    json_decref(json);
}

void exec_result_write(const struct exec_end *end, bool limits_ignored, int read,
                       const struct buf *text, struct outcome *ret)
{
    OWN_BUF struct buf b = BUF_INIT;

    if (end->signalled)
        buf_putf(&b, "{\"exit_code\":null,\"signal\":%d", end->status);
    else
        buf_putf(&b, "{\"exit_code\":%d,\"signal\":null", end->status);
    if (end->max_rss_bytes > 0)
        buf_putf(&b, ",\"max_rss_bytes\":%llu", (unsigned long long)end->max_rss_bytes);
    else
        buf_puts(&b, ",\"max_rss_bytes\":null");
    buf_putf(&b, ",\"cpu_seconds\":%.6f", end->cpu_seconds);
    if (limits_ignored)
        buf_puts(&b, ",\"limits_enforced\":false");
    put_child(&b, read, text, ret);
    buf_putc(&b, '}');
    ret->result = buf_take(&b);
}

void exec_result_not_run(int r, struct outcome *ret)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_putf(&b, "{\"exit_code\":%d,\"signal\":null,\"max_rss_bytes\":null,\"cpu_seconds\":0}",
             r == -ENOENT ? 127 : 126);
    ret->result = buf_take(&b);
}
