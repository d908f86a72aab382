#include "base/buf.h"
#include "base/fault.h"
#include "base/own.h"
#include "jobs/joblog.h"
#include "scheduler/group.h"
#include "scheduler/task.h"
#include "tests/lib/folder.h"
#include "tests/lib/scheduled.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct logged {
    char *dir;
    struct joblogs *logs;
    uint64_t bytes_max;
    void (*body)(struct logged *l);
};

static int root(void *arg)
{
    struct logged *l = arg;

    ck_assert_int_eq(joblogs_open(l->dir, l->bytes_max, &l->logs), 0);
    l->body(l);
    joblogs_close(l->logs);
    return 0;
}

static void with_logs(uint64_t bytes_max, void (*body)(struct logged *l))
{
    struct logged l = {.dir = folder_new(), .bytes_max = bytes_max, .body = body};

    scheduled(2, root, &l);
    folder_remove(l.dir);
}

static void view_close(struct joblog_view *view)
{
    if (view->fd >= 0)
        close(view->fd);
    if (view->index_fd >= 0)
        close(view->index_fd);
}

static void check_stream(struct logged *l, uint64_t id, enum log_stream stream, uint64_t offset,
                         uint64_t len, const char *want)
{
    OWN_BUF struct buf b = BUF_INIT;
    struct joblog_view view;

    ck_assert_int_eq(joblog_view(l->logs, id, 1, &view), 0);
    ck_assert_int_eq(joblog_read_stream(&view, stream, offset, len, &b), 0);
    ck_assert_str_eq(buf_str(&b), want);
    view_close(&view);
}

static struct joblog *start(struct logged *l, uint64_t id)
{
    struct joblog *log;

    ck_assert_int_eq(joblog_start(l->logs, id, 1, &log), 0);
    return log;
}

static void say(struct joblog *log, enum log_stream stream, const char *text)
{
    ck_assert_int_eq(joblog_write(log, stream, text, strlen(text)), 0);
}

static void silent(struct logged *l)
{
    struct joblog_view view;
    struct joblog *log = start(l, 7);

    ck_assert_int_eq(joblog_view(l->logs, 7, 1, &view), 0);
    ck_assert(view.live && view.fd == -1 && view.bytes == 0);
    joblog_end(log);
    ck_assert_int_eq(joblog_view(l->logs, 7, 1, &view), 0);
    ck_assert(!view.live && view.fd == -1 && view.index_fd == -1);
}

START_TEST(a_silent_job_leaves_no_file)
{
    with_logs(0, silent);
}
END_TEST

static void two_lives(struct logged *l)
{
    struct joblog_view view;
    struct joblog *log = start(l, 7);

    say(log, STREAM_STDOUT, "of the job that had this id before a restore");
    joblog_end(log);
    log = start(l, 7);
    ck_assert_int_eq(joblog_view(l->logs, 7, 1, &view), 0);
    ck_assert(view.live && view.fd == -1 && view.bytes == 0);
    joblog_end(log);
    ck_assert_int_eq(joblog_view(l->logs, 7, 1, &view), 0);
    ck_assert(view.fd == -1 && view.bytes == 0);
}

START_TEST(a_silent_job_has_not_the_log_of_a_former_one)
{
    with_logs(0, two_lives);
}
END_TEST

static void two_streams(struct logged *l)
{
    struct joblog *log = start(l, 7);

    say(log, STREAM_STDOUT, "one ");
    say(log, STREAM_STDERR, "ERR");
    say(log, STREAM_STDOUT, "two");
    ck_assert_uint_eq(joblog_bytes(log), 10);
    joblog_end(log);
    check_stream(l, 7, STREAM_NONE, 0, 100, "one ERRtwo");
    check_stream(l, 7, STREAM_STDOUT, 0, 100, "one two");
    check_stream(l, 7, STREAM_STDERR, 0, 100, "ERR");
    check_stream(l, 7, STREAM_STDOUT, 2, 6, "e t");
    check_stream(l, 7, STREAM_STDERR, 5, 1, "R");
    check_stream(l, 7, STREAM_STDOUT, 10, 5, "");
    check_stream(l, 7, STREAM_STDOUT, 9, UINT64_MAX, "o");
}

START_TEST(the_streams_can_be_told_apart_in_any_range)
{
    with_logs(0, two_streams);
}
END_TEST

static void many_chunks(struct logged *l)
{
    struct joblog *log = start(l, 9);
    OWN_BUF struct buf out = BUF_INIT;
    OWN_BUF struct buf got = BUF_INIT;
    struct joblog_view view;

    for (int i = 0; i < 3000; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d,", i);
        say(log, i % 3 == 0 ? STREAM_STDERR : STREAM_STDOUT, text);
        if (i % 3 != 0)
            buf_puts(&out, text);
    }
    ck_assert_int_eq(joblog_view(l->logs, 9, 1, &view), 0);
    ck_assert(view.live);
    ck_assert_int_eq(joblog_read_stream(&view, STREAM_STDOUT, 0, UINT64_MAX, &got), 0);
    ck_assert_str_eq(buf_str(&got), buf_str(&out));
    /* Piece by piece it is the same. */
    buf_clear(&got);
    for (uint64_t at = 0; at < view.bytes; at += 100)
        ck_assert_int_eq(joblog_read_stream(&view, STREAM_STDOUT, at, 100, &got), 0);
    ck_assert_str_eq(buf_str(&got), buf_str(&out));
    view_close(&view);
    joblog_end(log);
}

START_TEST(thousands_of_chunks_are_found_by_halving)
{
    with_logs(0, many_chunks);
}
END_TEST

static void cut(struct logged *l)
{
    struct joblog *log = start(l, 3);
    struct joblog_view view;

    say(log, STREAM_STDOUT, "12345678");
    say(log, STREAM_STDOUT, "90AB");
    say(log, STREAM_STDERR, "never seen");
    joblog_end(log);
    check_stream(l, 3, STREAM_STDOUT, 0, 1000, "1234567890");
    check_stream(l, 3, STREAM_STDERR, 0, 1000, "");
    ck_assert_int_eq(joblog_view(l->logs, 3, 1, &view), 0);
    ck_assert_uint_gt(view.bytes, 10);
    ck_assert_uint_lt(view.bytes, 100);
    view_close(&view);
    check_stream(l, 3, STREAM_NONE, 10, 1000,
                 "\n[stint: output beyond 10 bytes was dropped]\n");
}

START_TEST(beyond_the_bound_one_line_says_that_the_rest_is_missing)
{
    with_logs(10, cut);
}
END_TEST

struct follower {
    struct logged *l;
    uint64_t bytes;
    _Atomic int result;
};

static int follow(void *arg)
{
    struct follower *f = arg;

    f->result = joblog_follow(f->l->logs, 5, 1, f->bytes, 0);
    return 0;
}

static void followed(struct logged *l)
{
    struct follower first = {l, 0, 1}, second = {l, 5, 1};
    struct joblog *log = start(l, 5);
    struct group g;

    group_open(&g, "followers");
    ck_assert_int_eq(group_go(&g, follow, &first), 0);
    ck_assert_int_eq(group_go(&g, follow, &second), 0);
    let_others_run();
    say(log, STREAM_STDOUT, "12345");
    while (first.result == 1)
        task_yield();
    ck_assert_int_eq(first.result, 0);
    ck_assert_int_eq(second.result, 1);
    ck_assert_int_eq(joblog_follow(l->logs, 5, 1, 5, clock_mono_ns() + NS_PER_MS), -ETIMEDOUT);
    joblog_end(log);
    ck_assert_int_eq(group_join(&g), 0);
    ck_assert_int_eq(second.result, 0);
    ck_assert_int_eq(joblog_follow(l->logs, 5, 1, 5, 0), 0);
    ck_assert_int_eq(joblog_follow(l->logs, 99, 1, 0, 0), 0);
}

START_TEST(followers_wake_for_more_bytes_and_for_the_end)
{
    with_logs(0, followed);
}
END_TEST

static void cancelled_follower(struct logged *l)
{
    struct follower f = {l, 0, 1};
    struct joblog *log = start(l, 5);
    struct group g;

    group_open(&g, "followers");
    ck_assert_int_eq(group_go(&g, follow, &f), 0);
    let_others_run();
    group_close(&g);
    ck_assert_int_eq(f.result, -ECANCELED);
    joblog_end(log);
}

START_TEST(a_cancelled_follower_goes_at_once)
{
    with_logs(0, cancelled_follower);
}
END_TEST

static void full_disk(struct logged *l)
{
    struct joblog *log = start(l, 4);

    say(log, STREAM_STDOUT, "before ");
    fault_arm("joblog.write", 1, -ENOSPC, false);
    ck_assert_int_eq(joblog_write(log, STREAM_STDOUT, "lost", 4), -ENOSPC);
    fault_disarm_all();
    say(log, STREAM_STDOUT, "after");
    joblog_end(log);
    check_stream(l, 4, STREAM_STDOUT, 0, 100, "before after");
}

START_TEST(a_full_disk_costs_the_chunk_and_not_the_log)
{
    with_logs(0, full_disk);
}
END_TEST

static void garbage(struct logged *l)
{
    char path[512];
    struct joblog *log = start(l, 6);

    say(log, STREAM_STDOUT, "good");
    joblog_end(log);
    snprintf(path, sizeof path, "%s/log/6.1.idx", l->dir);
    int fd = open(path, O_WRONLY | O_APPEND);
    unsigned char junk[80];
    memset(junk, 0xff, sizeof junk);
    ck_assert_int_eq(write(fd, junk, sizeof junk), sizeof junk);
    close(fd);
    check_stream(l, 6, STREAM_STDOUT, 0, UINT64_MAX, "good");
    ck_assert_int_eq(truncate(path, 9), 0);
    check_stream(l, 6, STREAM_STDOUT, 0, UINT64_MAX, "");
    check_stream(l, 6, STREAM_NONE, 0, UINT64_MAX, "good");
}

START_TEST(a_broken_index_is_survived)
{
    with_logs(0, garbage);
}
END_TEST

static void removed(struct logged *l)
{
    struct joblog *log;
    struct joblog_view view;

    for (uint32_t fence = 1; fence <= 3; fence++) {
        ck_assert_int_eq(joblog_start(l->logs, 8, fence, &log), 0);
        say(log, STREAM_STDOUT, "x");
        joblog_end(log);
    }
    joblog_remove(l->logs, 8, 2);
    ck_assert_int_eq(joblog_view(l->logs, 8, 2, &view), 0);
    ck_assert_int_eq(view.fd, -1);
    ck_assert_int_eq(joblog_view(l->logs, 8, 3, &view), 0);
    ck_assert_int_ge(view.fd, 0);
    view_close(&view);
}

START_TEST(removal_takes_the_attempts_up_to_a_fence)
{
    with_logs(0, removed);
}
END_TEST

static void two_fences(struct logged *l)
{
    struct joblog *first, *second;

    ck_assert_int_eq(joblog_start(l->logs, 8, 1, &first), 0);
    ck_assert_int_eq(joblog_start(l->logs, 8, 2, &second), 0);
    say(first, STREAM_STDOUT, "old");
    say(second, STREAM_STDOUT, "new");
    joblog_end(first);
    check_stream(l, 8, STREAM_STDOUT, 0, 9, "old");
    ck_assert_int_eq(joblog_follow(l->logs, 8, 2, 3, clock_mono_ns() + NS_PER_MS), -ETIMEDOUT);
    joblog_end(second);
}

START_TEST(two_attempts_of_one_job_write_apart)
{
    with_logs(0, two_fences);
}
END_TEST

struct writer {
    struct joblog *log;
    enum log_stream stream;
};

static int write_lines(void *arg)
{
    struct writer *w = arg;
    char line[32];

    for (int i = 0; i < 500; i++) {
        snprintf(line, sizeof line, "%d-%04d\n", w->stream, i);
        if (joblog_write(w->log, w->stream, line, strlen(line)) < 0)
            return -EIO;
    }
    return 0;
}

static void two_writers(struct logged *l)
{
    struct joblog *log = start(l, 2);
    struct writer out = {log, STREAM_STDOUT}, err = {log, STREAM_STDERR};
    OWN_BUF struct buf want = BUF_INIT;
    struct group g;

    group_open(&g, "writers");
    ck_assert_int_eq(group_go(&g, write_lines, &out), 0);
    ck_assert_int_eq(group_go(&g, write_lines, &err), 0);
    ck_assert_int_eq(group_join(&g), 0);
    joblog_end(log);
    for (int i = 0; i < 500; i++)
        buf_putf(&want, "1-%04d\n", i);
    check_stream(l, 2, STREAM_STDOUT, 0, UINT64_MAX, buf_str(&want));
}

START_TEST(two_tasks_that_write_at_once_do_not_mix)
{
    with_logs(0, two_writers);
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "joblog", a_silent_job_leaves_no_file, a_silent_job_has_not_the_log_of_a_former_one,
        the_streams_can_be_told_apart_in_any_range, thousands_of_chunks_are_found_by_halving,
        beyond_the_bound_one_line_says_that_the_rest_is_missing,
        followers_wake_for_more_bytes_and_for_the_end, a_cancelled_follower_goes_at_once,
        a_full_disk_costs_the_chunk_and_not_the_log, a_broken_index_is_survived,
        removal_takes_the_attempts_up_to_a_fence, two_attempts_of_one_job_write_apart,
        two_tasks_that_write_at_once_do_not_mix);
}
