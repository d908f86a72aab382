/* The reader of documents: what every field becomes, what an absent one means, what is stored.
 */
#include "base/buf.h"
#include "base/own.h"
#include "jobs/document.h"
#include "jobs/spec.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

OWN_DEFINE(struct spec, spec_free);
OWN_DEFINE(struct job, job_free);
OWN_DEFINE(json_t, json_decref);

#define EXEC "\"exec\":{\"argv\":[\"true\"]}"
#define HTTP(more) "{\"http\":{\"url\":\"http://h/\"" more "}}"
#define FILES(fields) "{\"file\":{" fields "}}"
#define WITH(more) "{" EXEC "," more "}"

static struct spec *read_good(const char *text)
{
    struct spec *spec = NULL;
    struct spec_fault fault = {{0}, {0}};
    int r = spec_from_text(text, strlen(text), &spec, &fault);

    ck_assert_msg(r == 0, "%s: %d \"%s\" %s", text, r, fault.pointer, fault.what);
    return spec;
}

START_TEST(absent_fields_have_their_defaults)
{
    OWN(spec_free) struct spec *s = read_good("{" EXEC "}");

    ck_assert_int_eq(s->kind, KIND_EXEC);
    ck_assert_ptr_null(s->name);
    ck_assert_ptr_null(s->key);
    ck_assert_str_eq(s->queue, "default");
    ck_assert_uint_eq(s->tags_count, 0);
    ck_assert_int_eq(s->priority, 0);
    ck_assert(!s->hold && !s->relaxed);
    ck_assert_int_eq(s->delay_ms, 0);
    ck_assert_int_eq(s->run_at_ms, 0);
    ck_assert_int_eq(s->timeout_ms, 3600000);
    ck_assert_int_eq(s->start_by_ms, 0);
    ck_assert_int_eq(s->retry_for_ms, 0);
    ck_assert_uint_eq(s->retry.max_attempts, 10);
    ck_assert_int_eq(s->retry.base_ms, 5000);
    ck_assert_double_eq(s->retry.factor, 2);
    ck_assert_int_eq(s->retry.cap_ms, 3600000);
    ck_assert_ptr_null(s->exec.cwd);
    ck_assert_ptr_null(s->exec.stdin_text);
    ck_assert_int_eq(s->exec.stop_signal, SIGTERM);
    ck_assert_int_eq(s->exec.stop_grace_ms, 10000);
    ck_assert_int_eq(s->exec.kill_mode, STOP_GROUP);
    ck_assert_uint_eq(s->exec.memory_bytes, 0);
    ck_assert_uint_eq(s->exec.pids, 0);
    ck_assert_double_eq(s->exec.cpu, 0);
    ck_assert_uint_eq(s->exec.success_count, 0);
    ck_assert_str_eq(s->document, "{" EXEC "}");
}
END_TEST

START_TEST(null_is_absent)
{
    OWN(spec_free)
    struct spec *s =
        read_good("{\"http\":null,\"exec\":{\"argv\":[\"a\"],\"shell\":null},\"name\":null,"
                  "\"retry\":null,\"timeout\":null}");

    ck_assert_int_eq(s->kind, KIND_EXEC);
    ck_assert_ptr_null(s->name);
    ck_assert_int_eq(s->timeout_ms, 3600000);
}
END_TEST

START_TEST(every_common_field_arrives)
{
    OWN(spec_free)
    struct spec *s = read_good(
        "{\"exec\":{\"argv\":[\"a\"]},\"name\":\"thumb\",\"queue\":\"images\",\"priority\":-5,"
        "\"key\":\"customer-17\",\"tags\":[\"web\",\"img\"],\"delay\":\"30s\",\"timeout\":"
        "\"5m\","
        "\"start_by\":600,\"retry\":{\"max_attempts\":3,\"base\":1.5,\"factor\":3,\"cap\":"
        "\"2h\"},"
        "\"retry_for\":\"1d\",\"hold\":true,\"durability\":\"relaxed\"}");

    ck_assert_str_eq(s->name, "thumb");
    ck_assert_str_eq(s->queue, "images");
    ck_assert_int_eq(s->priority, -5);
    ck_assert_str_eq(s->key, "customer-17");
    ck_assert_uint_eq(s->tags_count, 2);
    ck_assert_str_eq(s->tags[0], "web");
    ck_assert_str_eq(s->tags[1], "img");
    ck_assert_int_eq(s->delay_ms, 30000);
    ck_assert_int_eq(s->timeout_ms, 300000);
    ck_assert_int_eq(s->start_by_ms, 600000);
    ck_assert_uint_eq(s->retry.max_attempts, 3);
    ck_assert_int_eq(s->retry.base_ms, 1500);
    ck_assert_double_eq(s->retry.factor, 3);
    ck_assert_int_eq(s->retry.cap_ms, 7200000);
    ck_assert_int_eq(s->retry_for_ms, 86400000);
    ck_assert(s->hold && s->relaxed);
}
END_TEST

START_TEST(retry_may_be_a_number_and_run_at_a_time)
{
    OWN(spec_free)
    struct spec *s =
        read_good(WITH("\"retry\":4,\"run_at\":\"2026-11-23T15:05:53.120Z\",\"timeout\":0"));

    ck_assert_uint_eq(s->retry.max_attempts, 4);
    ck_assert_int_eq(s->retry.base_ms, 5000);
    ck_assert_int_eq(s->run_at_ms, INT64_C(1795446353120));
    ck_assert_int_eq(s->timeout_ms, 0);
}
END_TEST

START_TEST(every_exec_field_arrives)
{
    OWN(spec_free)
    struct spec *s = read_good(
        "{\"exec\":{\"argv\":[\"convert\",\"\",\"o\\u00fc\"],\"cwd\":\"/srv/"
        "img\",\"env\":{\"Q\":"
        "\"80\",\"E\":\"\"},\"stdin\":\"hello\\n\",\"stop_signal\":\"SIGINT\",\"stop_grace\":3,"
        "\"kill_mode\":\"mixed\",\"limits\":{\"memory\":\"512M\",\"cpu\":\"1.5\",\"pids\":64},"
        "\"success_codes\":[0,3],\"fail_codes\":4,\"hold_codes\":[5],\"retry_codes\":[6,7]}}");
    const struct exec_spec *e = &s->exec;

    ck_assert_str_eq(e->argv[0], "convert");
    ck_assert_str_eq(e->argv[1], "");
    ck_assert_str_eq(e->argv[2], "o\xc3\xbc");
    ck_assert_ptr_null(e->argv[3]);
    ck_assert_str_eq(e->cwd, "/srv/img");
    ck_assert_uint_eq(e->env_count, 2);
    ck_assert_str_eq(e->env[0].name, "Q");
    ck_assert_str_eq(e->env[0].value, "80");
    ck_assert_str_eq(e->env[1].value, "");
    ck_assert_str_eq(e->stdin_text, "hello\n");
    ck_assert_int_eq(e->stop_signal, SIGINT);
    ck_assert_int_eq(e->stop_grace_ms, 3000);
    ck_assert_int_eq(e->kill_mode, STOP_MIXED);
    ck_assert_uint_eq(e->memory_bytes, 512 << 20);
    ck_assert_double_eq(e->cpu, 1.5);
    ck_assert_uint_eq(e->pids, 64);
    ck_assert_uint_eq(e->success_count, 2);
    ck_assert_int_eq(e->success_codes[1], 3);
    ck_assert_uint_eq(e->fail_count, 1);
    ck_assert_int_eq(e->fail_codes[0], 4);
    ck_assert_int_eq(e->hold_codes[0], 5);
    ck_assert_uint_eq(e->retry_count, 2);
    ck_assert_int_eq(e->retry_codes[1], 7);
}
END_TEST

START_TEST(shell_is_sh_with_one_argument)
{
    OWN(spec_free)
    struct spec *s = read_good("{\"exec\":{\"shell\":\"a | b\",\"stop_signal\":2}}");

    ck_assert_str_eq(s->exec.argv[0], "/bin/sh");
    ck_assert_str_eq(s->exec.argv[1], "-c");
    ck_assert_str_eq(s->exec.argv[2], "a | b");
    ck_assert_ptr_null(s->exec.argv[3]);
    ck_assert_int_eq(s->exec.stop_signal, 2);
}
END_TEST

START_TEST(every_http_field_arrives)
{
    OWN(spec_free)
    struct spec *s = read_good(
        "{\"http\":{\"method\":\"PUT\",\"url\":\"https://h:8443/"
        "a?b=c\",\"headers\":{\"X-A\":\"1\"},"
        "\"body\":\"a\\u0000b\",\"expect\":[200,404],\"retry_status\":409,\"follow\":3,"
        "\"save_to\":\"/srv/x\",\"response_bytes_max\":\"1G\"}}");
    const struct http_spec *h = &s->http;

    ck_assert_int_eq(s->kind, KIND_HTTP);
    ck_assert_str_eq(h->method, "PUT");
    ck_assert_str_eq(h->url, "https://h:8443/a?b=c");
    ck_assert_uint_eq(h->headers_count, 1);
    ck_assert_str_eq(h->headers[0].name, "X-A");
    ck_assert_uint_eq(h->body_len, 3);
    ck_assert_mem_eq(h->body, "a\0b", 4);
    ck_assert_uint_eq(h->expect_count, 2);
    ck_assert_int_eq(h->expect[1], 404);
    ck_assert_int_eq(h->retry_status[0], 409);
    ck_assert_uint_eq(h->follow, 3);
    ck_assert_str_eq(h->save_to, "/srv/x");
    ck_assert_uint_eq(h->response_bytes_max, 1u << 30);
}
END_TEST

START_TEST(json_becomes_a_body_with_its_content_type)
{
    OWN(spec_free)
    struct spec *s = read_good(HTTP(",\"json\":{\"a\": [1, 2.5, true, null, \"\\u0001x\"]}"));
    OWN(spec_free)
    struct spec *own =
        read_good(HTTP(",\"json\":[],\"headers\":{\"content-type\":\"text/x\"}"));

    ck_assert_str_eq(s->http.method, "POST");
    ck_assert_str_eq(s->http.body, "{\"a\":[1,2.5,true,null,\"\\u0001x\"]}");
    ck_assert_uint_eq(s->http.body_len, strlen(s->http.body));
    ck_assert_uint_eq(s->http.headers_count, 1);
    ck_assert_str_eq(s->http.headers[0].name, "Content-Type");
    ck_assert_str_eq(s->http.headers[0].value, "application/json");
    ck_assert_uint_eq(own->http.headers_count, 1);
    ck_assert_str_eq(own->http.headers[0].value, "text/x");
}
END_TEST

START_TEST(a_request_without_body_is_a_get)
{
    OWN(spec_free) struct spec *get = read_good(HTTP(""));
    OWN(spec_free) struct spec *post = read_good(HTTP(",\"body\":\"\""));

    ck_assert_str_eq(get->http.method, "GET");
    ck_assert_str_eq(post->http.method, "POST");
    ck_assert_uint_eq(post->http.body_len, 0);
    ck_assert_ptr_nonnull(post->http.body);
}
END_TEST

START_TEST(every_file_operation_arrives)
{
    static const char *const texts[] = {
        [FILE_COPY] = FILES("\"op\":\"copy\",\"from\":\"/a\",\"to\":\"/b\",\"recursive\":true"),
        [FILE_MOVE] = FILES("\"op\":\"move\",\"from\":\"/a\",\"to\":\"/b\",\"overwrite\":true"),
        [FILE_REMOVE] = FILES("\"op\":\"remove\",\"from\":\"/a\""),
        [FILE_CHECKSUM] = FILES("\"op\":\"checksum\",\"from\":\"/a\""),
        [FILE_ARCHIVE] = FILES("\"op\":\"archive\",\"from\":\"/a\",\"to\":\"/b\""),
        [FILE_EXTRACT] = FILES("\"op\":\"extract\",\"from\":\"/a\",\"to\":\"/b\""),
        [FILE_WRITE] =
            FILES("\"op\":\"write\",\"to\":\"/b\",\"text\":\"hi\",\"mode\":\"0600\""),
    };

    for (enum file_op op = FILE_COPY; op <= FILE_WRITE; op++) {
        OWN(spec_free) struct spec *s = read_good(texts[op]);

        ck_assert_int_eq(s->kind, KIND_FILE);
        ck_assert_int_eq(s->file.op, op);
        ck_assert_uint_eq(s->file.mode, op == FILE_WRITE ? 0600 : 0644);
        ck_assert_int_eq(s->file.recursive, op == FILE_COPY);
        ck_assert_int_eq(s->file.overwrite, op == FILE_MOVE);
        ck_assert_str_eq(op == FILE_WRITE ? s->file.to : s->file.from,
                         op == FILE_WRITE ? "/b" : "/a");
        if (op == FILE_CHECKSUM)
            ck_assert_str_eq(s->file.algorithm, "sha256");
        if (op == FILE_ARCHIVE)
            ck_assert_str_eq(s->file.format, "tar.gz");
    }
}
END_TEST

START_TEST(a_job_for_a_worker_arrives)
{
    static const char *const payloads[] = {"{\"a\":[1,2.5,null]}", "[]", "\"x\"", "7", "false"};

    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        OWN_BUF struct buf text = BUF_INIT;

        buf_putf(&text, "{\"worker\":{\"payload\":%s}}", payloads[i]);

        OWN(spec_free) struct spec *s = read_good(buf_str(&text));

        ck_assert_int_eq(s->kind, KIND_WORKER);
        ck_assert_int_eq(s->worker.lease_ms, 30000);
        ck_assert_str_eq(s->document, buf_str(&text));
    }

    OWN(spec_free) struct spec *bare = read_good("{\"worker\":{}}");
    OWN(spec_free) struct spec *brief = read_good("{\"worker\":{\"lease\":\"2m\"}}");

    ck_assert_int_eq(bare->kind, KIND_WORKER);
    ck_assert_int_eq(brief->worker.lease_ms, 120000);
}
END_TEST

/* What is not said counts as the usual; each of these is something else. */
START_TEST(terms_are_usual_unless_the_document_says_otherwise)
{
    static const char *const unusual[] = {
        "{\"worker\":{\"lease\":31}}",
        "{\"worker\":{},\"timeout\":\"2h\"}",
        "{\"worker\":{},\"timeout\":0}",
        "{\"worker\":{},\"retry\":3}",
        "{\"worker\":{},\"retry\":{\"base\":1}}",
        "{\"worker\":{},\"retry\":{\"factor\":3}}",
        "{\"worker\":{},\"retry\":{\"cap\":\"2h\"}}",
    };
    OWN(spec_free)
    struct spec *usual =
        read_good("{\"worker\":{\"lease\":30,\"payload\":1},\"timeout\":3600,\"retry\":10}");
    struct lease_terms terms;

    ck_assert(spec_terms_are_usual(usual));
    spec_terms(usual, &terms);
    ck_assert_int_eq(terms.lease_ms, spec_usual_terms.lease_ms);
    ck_assert_int_eq(terms.timeout_ms, spec_usual_terms.timeout_ms);
    for (size_t i = 0; i < sizeof unusual / sizeof *unusual; i++) {
        OWN(spec_free) struct spec *s = read_good(unusual[i]);

        ck_assert_msg(!spec_terms_are_usual(s), "%s", unusual[i]);
    }
}
END_TEST

START_TEST(the_document_is_compact_and_reads_back_the_same)
{
    static const char text[] =
        " {\n  \"exec\" : { \"argv\" : [ \"a b\", \"c \\\" d\\\\\" ] } ,\t"
        "\"tags\":[ \"x\" , \"y\" ], \"delay\" : 1.50 }\r\n";
    static const char compact[] = "{\"exec\":{\"argv\":[\"a b\",\"c \\\" "
                                  "d\\\\\"]},\"tags\":[\"x\",\"y\"],\"delay\":1.50}";
    OWN(spec_free) struct spec *first = read_good(text);
    OWN(spec_free) struct spec *second = read_good(first->document);

    ck_assert_str_eq(first->document, compact);
    ck_assert_uint_eq(first->document_len, strlen(compact));
    ck_assert_str_eq(second->document, first->document);
    ck_assert_str_eq(second->exec.argv[1], "c \" d\\");
    ck_assert_int_eq(second->delay_ms, 1500);
}
END_TEST

START_TEST(an_element_of_an_array_keeps_its_text_as_document)
{
    static const char text[] = "[ {\"exec\":{\"argv\":[\"] , \\\"}\"]}, \"delay\": 3.0} ,\n"
                               "{\"worker\":{\"payload\":[[], {}, 1e2]}}, 7, [], \"\" ]";
    static const char *const items[] = {"{\"exec\":{\"argv\":[\"] , \\\"}\"]},\"delay\":3.0}",
                                        "{\"worker\":{\"payload\":[[],{},1e2]}}", "7", "[]",
                                        "\"\""};
    OWN(json_decref) json_t *array = NULL;
    struct spec_fault fault;
    const char *item;
    size_t len, i = 0;

    ck_assert_int_eq(spec_json(text, strlen(text), 1000, &array, &fault), 0);
    OWN(free) char *compact = spec_text_compact(text, strlen(text), &len);
    for (const char *at = compact; document_element(&at, &item, &len); i++) {
        OWN(spec_free) struct spec *s = NULL;
        int r = spec_from_json(json_array_get(array, i), item, len, &s, &fault);

        ck_assert(strlen(items[i]) == len && memcmp(item, items[i], len) == 0);
        ck_assert_int_eq(r, i < 2 ? 0 : -EINVAL);
        if (r == 0)
            ck_assert_str_eq(s->document, items[i]);
    }
    ck_assert_uint_eq(i, sizeof items / sizeof *items);
    ck_assert_int_eq(spec_json(text, strlen(text), 10, &array, &fault), -EINVAL);
    ck_assert_ptr_nonnull(strstr(fault.what, "at most 10 are taken"));
}
END_TEST

START_TEST(a_row_holds_points_in_time_and_takes_the_document)
{
    OWN(spec_free)
    struct spec *s =
        read_good("{" EXEC ",\"name\":\"n\",\"queue\":\"q\",\"key\":\"k\",\"tags\":[\"web\","
                  "\"img\"],\"priority\":9,\"delay\":2,\"start_by\":10,\"retry_for\":60}");
    OWN(job_free) struct job *job = spec_job(s, 1000000);

    ck_assert_ptr_nonnull(job);
    ck_assert_uint_eq(job->id, 0);
    ck_assert_int_eq(job->kind, KIND_EXEC);
    ck_assert_int_eq(job->priority, 9);
    ck_assert_str_eq(job->name, "n");
    ck_assert_str_eq(job->queue, "q");
    ck_assert_str_eq(job->key, "k");
    ck_assert_str_eq(job->tags, ",web,img,");
    ck_assert_int_eq(job->created_at_ms, 1000000);
    ck_assert_int_eq(job->run_at_ms, 1002000);
    ck_assert_int_eq(job->start_by_at_ms, 1010000);
    ck_assert_int_eq(job->retry_until_at_ms, 1060000);
    ck_assert_int_eq(strncmp(job->spec, "{\"exec\"", 7), 0);
    ck_assert_ptr_null(s->document);
}
END_TEST

START_TEST(a_row_without_extras_has_none)
{
    OWN(spec_free) struct spec *s = read_good(WITH("\"run_at\":\"2026-11-23T15:05:53Z\""));
    OWN(job_free) struct job *job = spec_job(s, 1000);

    ck_assert_ptr_nonnull(job);
    ck_assert_ptr_null(job->name);
    ck_assert_ptr_null(job->tags);
    ck_assert_int_eq(job->run_at_ms, INT64_C(1795446353000));
    ck_assert_int_eq(job->start_by_at_ms, 0);
    ck_assert_int_eq(job->retry_until_at_ms, 0);
}
END_TEST

START_TEST(every_field_is_described_in_one_line_of_four_columns)
{
    static const char *const paths[] = {"exec.argv\t", "exec.limits.memory\t", "http.url\t",
                                        "file.op\t",   "retry.max_attempts\t", "durability\t"};
    OWN_BUF struct buf b = BUF_INIT;
    unsigned lines = 0;

    spec_describe(&b);
    for (char *line = strtok(b.data, "\n"); line != NULL; line = strtok(NULL, "\n"), lines++) {
        unsigned tabs = 0;
        for (const char *c = line; *c != 0; c++)
            tabs += *c == '\t';
        ck_assert_msg(tabs == 3, "%s", line);
    }
    ck_assert_uint_gt(lines, 50);
    buf_clear(&b);
    spec_describe(&b);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        ck_assert_ptr_nonnull(strstr(b.data, paths[i]));
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "jobs/spec", absent_fields_have_their_defaults, null_is_absent,
        every_common_field_arrives, retry_may_be_a_number_and_run_at_a_time,
        every_exec_field_arrives, shell_is_sh_with_one_argument, every_http_field_arrives,
        json_becomes_a_body_with_its_content_type, a_request_without_body_is_a_get,
        every_file_operation_arrives, a_job_for_a_worker_arrives,
        terms_are_usual_unless_the_document_says_otherwise,
        the_document_is_compact_and_reads_back_the_same,
        an_element_of_an_array_keeps_its_text_as_document,
        a_row_holds_points_in_time_and_takes_the_document, a_row_without_extras_has_none,
        every_field_is_described_in_one_line_of_four_columns);
}
