/* Records as JSON. What is written is read again, and compared. */
#include "api/render.h"

#include "base/buf.h"
#include "jobs/engine.h"
#include "tests/lib/suite.h"

#include <jansson.h>
#include <string.h>

static struct job example(void)
{
    return (struct job){
        .id = UINT64_C(9007199254740993), /* no double holds it */
        .kind = KIND_EXEC,
        .state = JOB_FAILED,
        .reason = REASON_EXIT_NONZERO,
        .priority = -7,
        .attempt = 3,
        .crashes = 1,
        .fence = 4,
        .dead_letter = true,
        .retry_of = 12,
        .created_at_ms = 1795446353120,
        .finished_at_ms = 1795446353121,
        .name = (char *)"n",
        .queue = (char *)"default",
        .tags = (char *)",web,img,",
        .result = (char *)"{\"exit_code\":1}",
        .error = (char *)"said \"no\"\n\xff",
        .spec = (char *)"{\"exec\":{\"argv\":[\"a\\\"b,}\",\"\\\\\"],\"env\":{\"}\":\"]\"}},"
                        "\"name\":\"n\",\"tags\":[\"web\",\"img\"],\"delay\":1.5,"
                        "\"retry\":{\"base\":\"5s\"},\"hold\":false}",
    };
}

static json_t *rendered(const struct job *job)
{
    OWN_BUF struct buf b = BUF_INIT;
    json_error_t error;

    render_job(&b, job);
    ck_assert(!buf_failed(&b));
    json_t *json = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(json != NULL, "%s: %s", error.text, b.data);
    return json;
}

START_TEST(a_job_has_all_its_fields_once)
{
    struct job job = example();
    json_t *json = rendered(&job);
    json_t *spec = json_loads(job.spec, 0, NULL);

    ck_assert_int_eq(json_integer_value(json_object_get(json, "id")), (json_int_t)job.id);
    ck_assert_str_eq(json_string_value(json_object_get(json, "created_at")),
                     "2026-11-23T15:05:53.120Z");
    ck_assert(json_is_null(json_object_get(json, "started_at")));
    ck_assert_int_eq(json_integer_value(json_object_get(json, "retry_of")), 12);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "priority")), -7);
    ck_assert_str_eq(json_string_value(json_object_get(json, "error")),
                     "said \"no\"\n\xef\xbf\xbd");
    ck_assert(json_equal(json_object_get(json, "exec"), json_object_get(spec, "exec")));
    ck_assert(json_equal(json_object_get(json, "retry"), json_object_get(spec, "retry")));
    ck_assert(json_equal(json_object_get(json, "delay"), json_object_get(spec, "delay")));
    ck_assert(json_is_false(json_object_get(json, "hold")));
    ck_assert_str_eq(json_string_value(json_object_get(json, "timeout")), "1h");
    json_decref(json);
    json_decref(spec);
}
END_TEST

START_TEST(a_timeout_of_the_document_is_kept)
{
    struct job job = example();
    json_t *json;

    job.spec = (char *)"{\"timeout\":30,\"http\":{\"url\":\"http://x/?a=1,2\"}}";
    job.kind = KIND_HTTP;
    json = rendered(&job);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "timeout")), 30);
    ck_assert(json_is_object(json_object_get(json, "http")));
    json_decref(json);
}
END_TEST

/* A store is a file, and files can be damaged: what is no document must not run away. */
START_TEST(a_broken_document_does_no_harm)
{
    static const char *const broken[] = {
        "",         "{",        "{\"",       "{\"a",        "{\"a\"",
        "{\"a\":",  "{\"a\":[", "{\"a\":\"", "{\"a\":\"\\", "{\"a\":[{\"b\":",
        "nonsense", "{}",       "{\"a\":1",
    };
    struct job job = example();

    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        OWN_BUF struct buf b = BUF_INIT;

        job.spec = (char *)broken[i];
        render_job(&b, &job);
        ck_assert(!buf_failed(&b));
        ck_assert_uint_lt(b.len, 1000);
    }
    job.spec = NULL;
    json_decref(rendered(&job));
}
END_TEST

START_TEST(a_tag_changes_with_the_job)
{
    struct job job = example(), same = example();
    char a[RENDER_TAG_BYTES], b[RENDER_TAG_BYTES];

    render_job_tag(&job, a);
    render_job_tag(&same, b);
    ck_assert_str_eq(a, b);
    ck_assert_uint_eq(strlen(a), 18);
    same.fence++;
    render_job_tag(&same, b);
    ck_assert_str_ne(a, b);
    same = example();
    same.state = JOB_RETRYING;
    render_job_tag(&same, b);
    ck_assert_str_ne(a, b);
    same = example();
    same.cancel_requested = true;
    render_job_tag(&same, b);
    ck_assert_str_ne(a, b);
}
END_TEST

START_TEST(queues_and_attempts_are_json)
{
    struct queue_view queue = {
        .record = {.name = (char *)"q", .concurrency = 4, .paused = true},
        .counts = {[JOB_QUEUED] = 7},
        .oldest_ms = 1234,
    };
    const struct attempt_record attempt = {.fence = 2, .attempt = 1, .state = JOB_CANCELLED};
    OWN_BUF struct buf b = BUF_INIT;
    json_t *json;

    render_queue(&b, &queue);
    json = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_int_eq(
        json_integer_value(json_object_get(json_object_get(json, "counts"), "queued")), 7);
    ck_assert_double_eq(json_real_value(json_object_get(json, "oldest_seconds")), 1.234);
    json_decref(json);
    buf_clear(&b);
    render_attempt(&b, &attempt);
    json = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(json, "state")), "cancelled");
    json_decref(json);
}
END_TEST

int main(void)
{
    return SUITE_MAIN("api_render", a_job_has_all_its_fields_once,
                      a_timeout_of_the_document_is_kept, a_broken_document_does_no_harm,
                      a_tag_changes_with_the_job, queues_and_attempts_are_json);
}
