/* HTTP jobs over time: bodies saved to files, attempts that are cancelled in every state or run
 * out of time, and what a thousand slow transfers cost. */
#include "base/buf.h"
#include "base/own.h"
#include "scheduler/event.h"
#include "tests/lib/folder.h"
#include "tests/lib/http_house.h"
#include "tests/lib/http_server.h"
#include "tests/lib/scheduled.h"
#include "tests/lib/suite.h"

#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

OWN_DEFINE(json_t, json_decref);

/* ---- save_to ----------------------------------------------------------------------------- */

static unsigned count_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    unsigned count = 0;

    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static off_t size_of(const char *folder, const char *name)
{
    char path[4096];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static void attempt_save(struct http_try *t, struct http_house *house, const char *path,
                         const char *name, const char *more)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_putf(&b, "%s\",\"save_to\":\"%s/%s\"%s", path, house->roots[0], name, more);
    http_house_try_path(t, house, buf_str(&b));
}

HTTP_HOUSE_TEST(a_body_is_saved_whole_or_not_at_all)
{
    char *folder = folder_new();
    struct http_house house = {.allow = {"127.0.0.0/8"}, .roots = {folder}};
    struct http_try t;

    http_house_open(&house);
    attempt_save(&t, &house, "/big?bytes=3000000", "big", "");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    OWN(json_decref) json_t *result = http_house_result(&t);
    ck_assert_int_eq(json_integer_value(json_object_get(result, "bytes")), 3000000);
    ck_assert_ptr_nonnull(strstr(http_house_text(result, "saved_to"), "/big"));
    ck_assert_ptr_null(json_object_get(result, "body"));
    ck_assert_int_eq(size_of(folder, "big"), 3000000);
    http_house_deinit_try(&t);

    /* Replaced, also by nothing; not touched by an answer that is no success. */
    attempt_save(&t, &house, "/status/204", "big", "");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    http_house_deinit_try(&t);
    attempt_save(&t, &house, "/ok", "big", "");
    ck_assert_int_eq(size_of(folder, "big"), 5);
    http_house_deinit_try(&t);
    attempt_save(&t, &house, "/status/404", "big", "");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED_FINAL);
    ck_assert_ptr_nonnull(strstr(t.outcome.result, "\"body\":\"why\""));
    http_house_deinit_try(&t);
    attempt_save(&t, &house, "/short", "big", "");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED);
    http_house_deinit_try(&t);
    ck_assert_int_eq(size_of(folder, "big"), 5);
    ck_assert_uint_eq(count_entries(folder), 1);
    http_house_close(&house);
    folder_remove(folder);
    return 0;
}

HTTP_HOUSE_TEST(what_cannot_be_saved_says_why)
{
    char *folder = folder_new();
    struct http_house house = {.allow = {"127.0.0.0/8"}, .roots = {folder}};
    struct http_try t;

    http_house_open(&house);
    attempt_save(&t, &house, "/big?bytes=100000", "big", ",\"response_bytes_max\":50000");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED_FINAL);
    ck_assert_int_eq(t.outcome.reason, REASON_FILE_ERROR);
    ck_assert_ptr_nonnull(strstr(t.outcome.error, "more than response_bytes_max, 50000 bytes"));
    http_house_deinit_try(&t);
    ck_assert_uint_eq(count_entries(folder), 0);

    http_house_try_path(&t, &house, "/ok\",\"save_to\":\"/etc/passwd\"");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED_FINAL);
    ck_assert_int_eq(t.outcome.reason, REASON_FILE_ERROR);
    ck_assert_ptr_nonnull(strstr(t.outcome.error, "not below a folder named by roots"));
    http_house_deinit_try(&t);

    attempt_save(&t, &house, "/ok", "no/such", "");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_FAILED_FINAL);
    ck_assert_int_eq(t.outcome.reason, REASON_FILE_ERROR);
    http_house_deinit_try(&t);
    /* None of the last two was sent. */
    ck_assert_uint_eq(http_server_requests(house.server), 1);
    http_house_close(&house);
    folder_remove(folder);
    return 0;
}

/* ---- stopping ---------------------------------------------------------------------------- */

/* Cancels an attempt in the state that path puts it into. */
static void check_cancelled(struct http_house *house, const char *fields, unsigned requests)
{
    struct group group;
    struct http_try t;

    http_house_init_try(&t, house, fields);
    group_open(&group, "attempt");
    ck_assert_int_eq(group_go_stack(&group, http_house_run_try, &t, STACK_LARGE), 0);
    if (requests > 0)
        http_server_await(house->server, requests);
    else
        let_others_run();
    group_cancel(&group, -ECANCELED);
    group_close(&group);
    ck_assert(event_is_set(&t.ended));
    ck_assert_int_eq(t.outcome.kind, OUTCOME_STOPPED);
    http_house_deinit_try(&t);
}

#define FILLERS 4

/* A listener whose queue is full: connecting to it goes on for ever. fds are to be closed. */
static unsigned short listen_full(int fds[1 + FILLERS])
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;

    for (int i = 0; i < 1 + FILLERS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ck_assert_int_ge(fds[i], 0);
    }
    ck_assert_int_eq(bind(fds[0], (struct sockaddr *)&addr, len), 0);
    ck_assert_int_eq(listen(fds[0], 0), 0);
    ck_assert_int_eq(getsockname(fds[0], (struct sockaddr *)&addr, &len), 0);
    for (int i = 1; i < 1 + FILLERS; i++)
        (void)connect(fds[i], (struct sockaddr *)&addr, len);
    return ntohs(addr.sin_port);
}

HTTP_HOUSE_TEST(a_cancelled_attempt_lets_go_at_once)
{
    char *folder = folder_new();
    struct http_house house = {.allow = {"127.0.0.0/8"}, .roots = {folder}};
    OWN_BUF struct buf b = BUF_INIT, connecting = BUF_INIT;
    int fds[1 + FILLERS];
    uint64_t from_ns;

    http_house_open(&house);
    from_ns = clock_mono_ns();
    /* While it waits for the answer, for the connection, within the body, while it saves. */
    check_cancelled(&house, "\"url\":\"http://127.0.0.1:PORT/hold\"", 1);
    buf_putf(&connecting, "\"url\":\"http://127.0.0.1:%u/\"", (unsigned)listen_full(fds));
    check_cancelled(&house, buf_str(&connecting), 0);
    check_cancelled(&house, "\"url\":\"http://127.0.0.1:PORT/chunked?bytes=9000000000\"", 2);
    buf_putf(&b,
             "\"url\":\"http://127.0.0.1:PORT/chunked?bytes=9000000000\",\"save_to\":\"%s/x\"",
             folder);
    check_cancelled(&house, buf_str(&b), 3);
    ck_assert_uint_lt(clock_mono_ns() - from_ns, 10 * NS_PER_S);
    ck_assert_uint_eq(count_entries(folder), 0);
    for (int i = 0; i < 1 + FILLERS; i++)
        close(fds[i]);
    http_house_close(&house);
    folder_remove(folder);
    return 0;
}

HTTP_HOUSE_TEST(an_attempt_ends_at_its_deadline)
{
    struct http_house house = HTTP_HOUSE;
    struct group group;
    struct http_try t;

    http_house_open(&house);
    http_house_init_try(&t, &house, "\"url\":\"http://127.0.0.1:PORT/hold\"");
    group_open(&group, "attempt");
    ck_assert_int_eq(group_deadline(&group, clock_mono_ns() + 20 * NS_PER_MS), 0);
    ck_assert_int_eq(group_go_stack(&group, http_house_run_try, &t, STACK_LARGE), 0);
    ck_assert_int_eq(group_join(&group), -ETIMEDOUT);
    ck_assert_int_eq(t.outcome.kind, OUTCOME_STOPPED);
    http_house_deinit_try(&t);
    http_house_close(&house);
    return 0;
}

/* ---- a crowd ----------------------------------------------------------------------------- */

#define CROWD (1000 / (SLOWDOWN > 1 ? 5 : 1))

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0, resident = 0;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%lu %lu", &pages, &resident), 2);
    fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

HTTP_HOUSE_TEST(a_thousand_slow_transfers_cost_little_memory_and_no_threads)
{
    static struct http_try tries[CROWD];
    struct http_house house = HTTP_HOUSE;
    struct scheduler_stats stats;
    struct group group;

    http_house_open(&house);
    uint64_t before_bytes = resident_bytes();
    group_open(&group, "crowd");
    for (int i = 0; i < CROWD; i++) {
        http_house_init_try(&tries[i], &house, "\"url\":\"http://127.0.0.1:PORT/hold\"");
        ck_assert_int_eq(group_go_stack(&group, http_house_run_try, &tries[i], STACK_LARGE), 0);
    }
    http_server_await(house.server, CROWD);
    uint64_t cost_bytes = resident_bytes() - before_bytes;
    scheduler_stats(&stats);
    ck_assert_uint_eq(http_server_connections(house.server), CROWD);
    printf("http.crowd %d transfers with their server: %.1f MB, %llu threads\n", CROWD,
           (double)cost_bytes / 1e6, (unsigned long long)stats.threads);
    if (SLOWDOWN == 1)
        ck_assert_uint_lt(cost_bytes, 50000000);
    ck_assert_uint_lt(stats.threads, 12);

    http_server_release(house.server);
    ck_assert_int_eq(group_join(&group), 0);
    for (int i = 0; i < CROWD; i++) {
        ck_assert_int_eq(tries[i].outcome.kind, OUTCOME_SUCCEEDED);
        http_house_deinit_try(&tries[i]);
    }
    http_house_close(&house);
    return 0;
}

HTTP_HOUSE_TEST(a_crowd_that_is_cancelled_goes_at_once)
{
    static struct http_try tries[CROWD];
    struct http_house house = HTTP_HOUSE;
    struct group group;

    http_house_open(&house);
    group_open(&group, "crowd");
    for (int i = 0; i < CROWD; i++) {
        http_house_init_try(&tries[i], &house,
                            i % 3 == 0
                                ? "\"url\":\"http://127.0.0.1:PORT/chunked?bytes=100000\""
                                : "\"url\":\"http://127.0.0.1:PORT/hold\"");
        ck_assert_int_eq(group_go_stack(&group, http_house_run_try, &tries[i], STACK_LARGE), 0);
    }
    http_server_await(house.server, CROWD / 2);
    group_cancel(&group, -ECANCELED);
    group_close(&group);
    for (int i = 0; i < CROWD; i++)
        http_house_deinit_try(&tries[i]);

    struct http_try t; /* and the pump is well */
    http_house_try_path(&t, &house, "/ok\"");
    ck_assert_int_eq(t.outcome.kind, OUTCOME_SUCCEEDED);
    http_house_deinit_try(&t);
    http_house_close(&house);
    return 0;
}
int main(void)
{
    return SUITE_MAIN("jobs/http load", a_body_is_saved_whole_or_not_at_all,
                      what_cannot_be_saved_says_why, a_cancelled_attempt_lets_go_at_once,
                      an_attempt_ends_at_its_deadline,
                      a_thousand_slow_transfers_cost_little_memory_and_no_threads,
                      a_crowd_that_is_cancelled_goes_at_once);
}
