/* The reader of documents: what is refused, where and in which words. */
#include "base/buf.h"
#include "base/str.h"
#include "jobs/spec.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <string.h>

#define EXEC "\"exec\":{\"argv\":[\"true\"]}"
#define HTTP(more) "{\"http\":{\"url\":\"http://h/\"" more "}}"
#define FILES(fields) "{\"file\":{" fields "}}"
#define WITH(more) "{" EXEC "," more "}"

/* A refused document: where, and words that must be in the reason. */
struct bad {
    const char *text, *pointer, *words;
};

static const struct bad bad_common[] = {
    {"", "", "is not JSON"},
    {"{", "", "is not JSON"},
    {"{\"exec\":}", "", "is not JSON"},
    {"5", "", "is not JSON"},
    {"[]", "", "must be an object"},
    {"{} {}", "", "is not JSON"},
    {"{\"exec\":{\"argv\":[\"a\"]},\"priority\":99999999999999999999}", "", "is not JSON"},
    {"{\"exec\":{\"argv\":[\"\xff\"]}}", "", "not valid UTF-8"},
    {"{\"exec\":{\"argv\":[\"\xc3\"]}}", "", "not valid UTF-8"},
    {"{\"exec\":{\"argv\":[\"\xed\xa0\x80\"]}}", "", "not valid UTF-8"},
    {"{\"name\":\"a\",\"name\":\"b\"," EXEC "}", "", "names a field twice"},
    {"{\"exec\":{\"argv\":[\"a\"],\"argv\":[\"b\"]}}", "", "names a field twice"},
    {"{\"na\\u0000me\":1}", "", "is not JSON"},
    {"{}", "", "says no kind of work: exactly one of exec, http, file, worker"},
    {"{\"name\":\"a\"}", "", "exactly one of exec, http, file"},
    {"{\"exec\":null}", "", "exactly one of exec, http, file"},
    {"{" EXEC ",\"http\":{\"url\":\"http://h/\"}}", "",
     "names exec and http: exactly one of exec, http, file, worker"},
    {WITH("\"worker\":{}"), "", "names exec and worker: exactly one of"},
    {"{\"file\":{\"op\":\"remove\",\"from\":\"/a\"},\"http\":{\"url\":\"http://h/\"}}", "",
     "names http and file: exactly one of"},
    {"{\"exce\":{\"argv\":[\"a\"]}}", "/exce",
     "unknown field \"exce\", did you mean \"exec\"?"},
    {WITH("\"nmae\":\"a\""), "/nmae", "did you mean \"name\"?"},
    {WITH("\"priorty\":1"), "/priorty", "did you mean \"priority\"?"},
    {WITH("\"maxattempts\":1"), "/maxattempts",
     "unknown field \"maxattempts\"; known are exec,"},
    {WITH("\"x/y~z\":1"), "/x~1y~0z", "unknown field"},
    {WITH("\"\":1"), "/", "unknown field"},
    {"{\"worker\":5}", "/worker", "must be an object, not 5"},
    {"{\"worker\":{\"paylod\":1}}", "/worker/paylod", "did you mean \"payload\"?"},
    {"{\"worker\":{\"lease\":\"999ms\"}}", "/worker/lease", "a duration from 1s to 1d"},
    {"{\"worker\":{\"lease\":\"25h\"}}", "/worker/lease", "a duration from 1s to 1d"},
    {"{\"worker\":{\"lease\":true}}", "/worker/lease", "a duration from 1s to 1d"},
    {"{\"exec\":[]}", "/exec", "must be an object, not an array of 0"},
    {"{\"exec\":\"ls\"}", "/exec", "must be an object, not \"ls\""},
    {WITH("\"name\":5"), "/name", "must be a name of 1 to 128"},
    {WITH("\"name\":\"\""), "/name", "not an empty string"},
    {WITH("\"name\":\"a b\""), "/name", "must be a name"},
    {WITH("\"queue\":[\"q\"]"), "/queue", "must be a name"},
    {WITH("\"key\":\"a\\u0000b\""), "/key", "must be a name"},
    {WITH("\"priority\":101"), "/priority", "must be an integer from -100 to 100, not 101"},
    {WITH("\"priority\":-101"), "/priority", "an integer from -100 to 100"},
    {WITH("\"priority\":\"high\""), "/priority", "an integer from -100 to 100, not \"high\""},
    {WITH("\"priority\":1.5"), "/priority", "an integer from -100 to 100, not 1.5"},
    {WITH("\"tags\":\"web\""), "/tags", "must be an array of up to 16 names"},
    {WITH("\"tags\":[\"web\",\"a,b\"]"), "/tags/1", "must be a name"},
    {WITH("\"tags\":[\"web\",5]"), "/tags/1", "must be a name"},
    {WITH("\"tags\":[\"web\",\"img\",\"web\"]"), "/tags/2", "is there twice: \"web\""},
    {WITH("\"tags\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\","
          "\"12\",\"13\",\"14\",\"15\",\"16\",\"17\"]"),
     "/tags", "up to 16 names, not an array of 17"},
    {WITH("\"delay\":\"soon\""), "/delay", "must be a duration"},
    {WITH("\"delay\":-1"), "/delay", "a duration from 0"},
    {WITH("\"delay\":1e300"), "/delay", "must be a duration"},
    {WITH("\"delay\":\"4000d\""), "/delay", "must be a duration"},
    {WITH("\"delay\":true"), "/delay", "must be a duration"},
    {WITH("\"run_at\":\"tomorrow\""), "/run_at", "must be a time with its zone"},
    {WITH("\"run_at\":\"2026-11-23T15:05:53\""), "/run_at", "must be a time with its zone"},
    {WITH("\"run_at\":1763910353"), "/run_at", "must be a time with its zone"},
    {WITH("\"run_at\":\"2026-11-23T15:05:53Z\",\"delay\":1"), "/run_at", "goes without delay"},
    {WITH("\"timeout\":\"5 minutes\""), "/timeout", "must be a duration"},
    {WITH("\"start_by\":[]"), "/start_by", "must be a duration"},
    {WITH("\"retry_for\":\"-1d\""), "/retry_for", "must be a duration"},
    {WITH("\"hold\":\"yes\""), "/hold", "must be true or false, not \"yes\""},
    {WITH("\"hold\":1"), "/hold", "must be true or false, not 1"},
    {WITH("\"durability\":\"none\""), "/durability", "must be full or relaxed"},
    {WITH("\"retry\":0"), "/retry", "a number of attempts from 1 to 10000, not 0"},
    {WITH("\"retry\":\"3\""), "/retry", "must be an object, or a number of attempts"},
    {WITH("\"retry\":{\"max_attempts\":0}"), "/retry/max_attempts", "from 1 to 10000, not 0"},
    {WITH("\"retry\":{\"attempts\":3}"), "/retry/attempts", "unknown field \"attempts\""},
    {WITH("\"retry\":{\"base\":0}"), "/retry/base", "must be a duration from 1ms"},
    {WITH("\"retry\":{\"factor\":0.5}"), "/retry/factor", "must be a number from 1 to 100"},
    {WITH("\"retry\":{\"cap\":\"x\"}"), "/retry/cap", "must be a duration"},
    {NULL, NULL, NULL},
};

static const struct bad bad_exec[] = {
    {"{\"exec\":{}}", "/exec", "takes exactly one of argv, shell"},
    {"{\"exec\":{\"argv\":[]}}", "/exec/argv",
     "must be an array of 1 to 1024 strings, not an array of 0"},
    {"{\"exec\":{\"argv\":\"ls -l\"}}", "/exec/argv", "must be an array of 1 to 1024 strings"},
    {"{\"exec\":{\"argv\":[\"\"]}}", "/exec/argv/0", "must not be empty"},
    {"{\"exec\":{\"argv\":[\"ls\",5]}}", "/exec/argv/1", "must be a string"},
    {"{\"exec\":{\"argv\":[\"ls\",null]}}", "/exec/argv/1", "must be a string"},
    {"{\"exec\":{\"argv\":[\"ls\",\"a\\u0000b\"]}}", "/exec/argv/1", "NUL byte"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"shell\":\"ls\"}}", "/exec",
     "takes exactly one of argv, shell"},
    {"{\"exec\":{\"shell\":\"ls\",\"argv\":[\"ls\"]}}", "/exec",
     "takes exactly one of argv, shell"},
    {"{\"exec\":{\"shell\":\"\"}}", "/exec/shell", "must not be empty"},
    {"{\"exec\":{\"shell\":[\"ls\"]}}", "/exec/shell", "must be a string of 1 to 131071 bytes"},
    {"{\"exec\":{\"agrv\":[\"ls\"]}}", "/exec/agrv", "did you mean \"argv\"?"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"cwd\":\"tmp\"}}", "/exec/cwd", "must be an absolute path"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"cwd\":\"/a/../b\"}}", "/exec/cwd", "without .."},
    {"{\"exec\":{\"argv\":[\"ls\"],\"cwd\":\"/a\\u0000b\"}}", "/exec/cwd", "NUL byte"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"env\":[\"A=1\"]}}", "/exec/env",
     "must be an object of up"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"env\":{\"A\":1}}}", "/exec/env/A", "must be a string"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"env\":{\"A=B\":\"1\"}}}", "/exec/env/A=B",
     "is not a variable's name"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"env\":{\"\":\"1\"}}}", "/exec/env/",
     "is not a variable's name"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"env\":{\"A\":\"1\\u00002\"}}}", "/exec/env/A", "NUL byte"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"stdin\":5}}", "/exec/stdin", "must be a string"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"stdin\":\"a\\u0000\"}}", "/exec/stdin", "NUL byte"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"stop_signal\":\"TERMINATE\"}}", "/exec/stop_signal",
     "must be a signal's name or number"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"stop_signal\":0}}", "/exec/stop_signal",
     "must be a signal"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"stop_signal\":65}}", "/exec/stop_signal",
     "must be a signal"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"stop_grace\":\"2d\"}}", "/exec/stop_grace",
     "must be a duration"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"kill_mode\":\"all\"}}", "/exec/kill_mode",
     "must be group or mixed, not \"all\""},
    {"{\"exec\":{\"argv\":[\"ls\"],\"limits\":{\"memory\":\"1K\"}}}", "/exec/limits/memory",
     "must be a size from 1M"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"limits\":{\"memory\":-1}}}", "/exec/limits/memory",
     "must be a size"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"limits\":{\"cpu\":0}}}", "/exec/limits/cpu",
     "must be a number from 0.01 to 1024, not 0"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"limits\":{\"cpu\":\"two\"}}}", "/exec/limits/cpu",
     "must be a number"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"limits\":{\"pids\":0}}}", "/exec/limits/pids",
     "must be an integer from 1"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"limits\":{\"mem\":1}}}", "/exec/limits/mem",
     "unknown field \"mem\"; known are memory, cpu, pids"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"success_codes\":[256]}}", "/exec/success_codes/0",
     "must be an integer from 0 to 255"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"hold_codes\":\"3\"}}", "/exec/hold_codes",
     "must be an integer from 0 to 255, or an array"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"fail_codes\":-1}}", "/exec/fail_codes", "from 0 to 255"},
    {"{\"exec\":{\"argv\":[\"ls\"],\"fail_codes\":[3],\"retry_codes\":[4,3]}}",
     "/exec/retry_codes", "names 3, which is in fail_codes already"},
    {NULL, NULL, NULL},
};

static const struct bad bad_http[] = {
    {"{\"http\":{}}", "/http/url", "is missing"},
    {"{\"http\":{\"url\":5}}", "/http/url", "must be a URL of http or https"},
    {"{\"http\":{\"url\":\"\"}}", "/http/url", "must begin with http://"},
    {"{\"http\":{\"url\":\"example.org/a\"}}", "/http/url", "must begin with http://"},
    {"{\"http\":{\"url\":\"ftp://example.org/a\"}}", "/http/url", "must begin with http://"},
    {"{\"http\":{\"url\":\"file:///etc/passwd\"}}", "/http/url", "http"},
    {"{\"http\":{\"url\":\"gopher://h:70/_x\"}}", "/http/url", "must begin with http://"},
    {"{\"http\":{\"url\":\"http://\"}}", "/http/url", "is not a URL with a host"},
    {"{\"http\":{\"url\":\"http:///x\"}}", "/http/url", "host"},
    {"{\"http\":{\"url\":\"http://u:p@h/\"}}", "/http/url",
     "must not carry a user or password"},
    {"{\"http\":{\"url\":\"http://u@h/\"}}", "/http/url", "must not carry a user or password"},
    {"{\"http\":{\"url\":\"http://h:99999/\"}}", "/http/url", "is not a URL"},
    {"{\"http\":{\"url\":\"http://h/a b\"}}", "/http/url",
     "must not contain spaces or control"},
    {"{\"http\":{\"url\":\"http://h/\\r\\nX: y\"}}", "/http/url", "control characters"},
    {"{\"http\":{\"url\":\"http://h/\\u0000\"}}", "/http/url", "control characters"},
    {HTTP(",\"method\":\"FETCH\""), "/http/method", "GET, HEAD, POST, PUT, PATCH, DELETE or"},
    {HTTP(",\"method\":\"get\""), "/http/method", "not \"get\""},
    {HTTP(",\"method\":\"HEAD\",\"body\":\"x\""), "/http/method", "HEAD goes without a body"},
    {HTTP(",\"method\":\"HEAD\",\"save_to\":\"/a\""), "/http/method", "HEAD goes without"},
    {HTTP(",\"headers\":{\"A b\":\"1\"}"), "/http/headers/A b", "is not a header's name"},
    {HTTP(",\"headers\":{\"\":\"1\"}"), "/http/headers/", "is not a header's name"},
    {HTTP(",\"headers\":{\"A\":\"1\\r\\nB: 2\"}"), "/http/headers/A", "control characters"},
    {HTTP(",\"headers\":{\"A\":1}"), "/http/headers/A", "must be a string"},
    {HTTP(",\"headers\":{\"content-length\":\"1\"}"), "/http/headers/content-length",
     "stint sets by itself"},
    {HTTP(",\"headers\":{\"Stint-Fence\":\"1\"}"), "/http/headers/Stint-Fence",
     "stint sets by itself"},
    {HTTP(",\"headers\":[]"), "/http/headers", "must be an object of up to 64 strings"},
    {HTTP(",\"body\":5"), "/http/body", "must be a string"},
    {HTTP(",\"body\":\"a\",\"json\":{}"), "/http", "takes at most one of body, json"},
    {HTTP(",\"json\":{},\"body\":\"a\""), "/http", "takes at most one of body, json"},
    {HTTP(",\"expect\":[200,99]"), "/http/expect/1", "must be an integer from 200 to 599"},
    {HTTP(",\"expect\":600"), "/http/expect", "must be an integer from 200 to 599"},
    {HTTP(",\"expect\":\"2xx\""), "/http/expect", "must be an integer from 200 to 599, or"},
    {HTTP(",\"follow\":21"), "/http/follow", "must be an integer from 0 to 20, not 21"},
    {HTTP(",\"follow\":true"), "/http/follow", "must be an integer from 0 to 20"},
    {HTTP(",\"save_to\":\"out\""), "/http/save_to", "must be an absolute path"},
    {HTTP(",\"response_bytes_max\":0"), "/http/response_bytes_max", "must be a size from 1"},
    {HTTP(",\"response_bytes_max\":\"17M\""), "/http/response_bytes_max", "use save_to"},
    {HTTP(",\"uri\":1"), "/http/uri", "unknown field"},
    {NULL, NULL, NULL},
};

static const struct bad bad_file[] = {
    {FILES(""), "/file/op", "is missing: one of copy, move, remove"},
    {FILES("\"op\":\"link\""), "/file/op", "must be copy, move, remove, checksum, archive, "},
    {FILES("\"op\":5"), "/file/op", "must be copy"},
    {FILES("\"op\":\"copy\""), "/file/from", "is missing: copy needs it"},
    {FILES("\"op\":\"copy\",\"from\":\"/a\""), "/file/to", "is missing: copy needs it"},
    {FILES("\"op\":\"copy\",\"from\":\"a\",\"to\":\"/b\""), "/file/from", "absolute path"},
    {FILES("\"op\":\"copy\",\"from\":\"/a\",\"to\":\"/b/..\""), "/file/to", "without .."},
    {FILES("\"op\":\"copy\",\"from\":\"/a\",\"to\":\"\""), "/file/to", "absolute path"},
    {FILES("\"op\":\"copy\",\"from\":\"/a\",\"to\":\"/b\",\"text\":\"x\""), "/file/text",
     "has no meaning for copy"},
    {FILES("\"op\":\"move\",\"from\":\"/a\",\"to\":\"/b\",\"recursive\":true"),
     "/file/recursive", "has no meaning for move"},
    {FILES("\"op\":\"remove\",\"from\":\"/a\",\"to\":\"/b\""), "/file/to",
     "has no meaning for remove"},
    {FILES("\"op\":\"checksum\",\"from\":\"/a\",\"algorithm\":\"crc32\""), "/file/algorithm",
     "must be sha256, sha1"},
    {FILES("\"op\":\"checksum\",\"from\":\"/a\",\"expect\":\"abc\""), "/file/expect",
     "must have 32 to 128 bytes"},
    {FILES("\"op\":\"checksum\",\"from\":\"/a\",\"expect\":"
           "\"0123456789abcdef0123456789abcdef\""),
     "/file/expect", "must be 64 hex digits for sha256"},
    {FILES("\"op\":\"checksum\",\"from\":\"/a\",\"algorithm\":\"md5\",\"expect\":"
           "\"0123456789abcdef0123456789abcdeg\""),
     "/file/expect", "must be 32 hex digits for md5"},
    {FILES("\"op\":\"archive\",\"from\":\"/a\",\"to\":\"/b\",\"format\":\"rar\""),
     "/file/format", "must be tar.gz, tar,"},
    {FILES("\"op\":\"write\",\"to\":\"/b\""), "/file/text", "is missing: write needs it"},
    {FILES("\"op\":\"write\",\"to\":\"/b\",\"text\":\"\",\"mode\":420"), "/file/mode",
     "must be permissions in octal"},
    {FILES("\"op\":\"write\",\"to\":\"/b\",\"text\":\"\",\"mode\":\"0888\""), "/file/mode",
     "must be permissions in octal"},
    {FILES("\"op\":\"write\",\"to\":\"/b\",\"text\":\"\",\"mode\":\"77777\""), "/file/mode",
     "must be permissions in octal"},
    {FILES("\"copy\":{\"from\":\"/a\",\"to\":\"/b\"}"), "/file/copy", "unknown field"},
    {NULL, NULL, NULL},
};

static void check_bad(const struct bad *rows)
{
    for (; rows->text != NULL; rows++) {
        struct spec *spec = NULL;
        struct spec_fault fault = {{0}, {0}};
        int r = spec_from_text(rows->text, strlen(rows->text), &spec, &fault);

        if (r != -EINVAL || spec != NULL || strcmp(fault.pointer, rows->pointer) != 0 ||
            strstr(fault.what, rows->words) == NULL)
            ck_abort_msg("%s\n  result %d, \"%s\": %s\n  wanted \"%s\": %s", rows->text, r,
                         fault.pointer, fault.what, rows->pointer, rows->words);
    }
}

START_TEST(bad_common_fields_are_refused_with_place_and_reason)
{
    check_bad(bad_common);
}
END_TEST

START_TEST(bad_exec_fields_are_refused_with_place_and_reason)
{
    check_bad(bad_exec);
}
END_TEST

START_TEST(bad_http_fields_are_refused_with_place_and_reason)
{
    check_bad(bad_http);
}
END_TEST

START_TEST(bad_file_fields_are_refused_with_place_and_reason)
{
    check_bad(bad_file);
}
END_TEST

static void check_refused(const struct buf *text, const char *words)
{
    struct spec *spec = NULL;
    struct spec_fault fault;

    ck_assert_int_eq(spec_from_text(text->data, text->len, &spec, &fault), -EINVAL);
    ck_assert_msg(strstr(fault.what, words) != NULL, "%s", fault.what);
}

START_TEST(size_depth_and_number_of_values_are_bounded_before_parsing)
{
    OWN_BUF struct buf b = BUF_INIT;

    for (int i = 0; i < 40; i++)
        buf_puts(&b, "[");
    check_refused(&b, "is nested 40 levels deep, at most 32 are taken");

    buf_clear(&b);
    buf_puts(&b, "[1");
    for (int i = 0; i < SPEC_JSON_VALUES_MAX; i++)
        buf_puts(&b, ",1");
    buf_puts(&b, "]");
    check_refused(&b, "holds more than 500000 values");

    buf_clear(&b);
    buf_puts(&b, "{\"exec\":{\"argv\":[\"");
    for (unsigned i = 0; i < SPEC_DOCUMENT_BYTES_MAX; i++)
        buf_putc(&b, 'a');
    buf_puts(&b, "\"]}}");
    check_refused(&b, "at most 1048576 are taken");
}
END_TEST

START_TEST(an_argument_longer_than_the_kernel_takes_is_refused)
{
    OWN_BUF struct buf b = BUF_INIT;

    buf_puts(&b, "{\"exec\":{\"argv\":[\"echo\",\"");
    for (int i = 0; i < 131072; i++)
        buf_putc(&b, 'a');
    buf_puts(&b, "\"]}}");
    check_refused(&b, "must have at most 131071 bytes, not 131072");

    buf_clear(&b);
    buf_puts(&b, "{\"exec\":{\"argv\":[\"echo\"");
    for (int i = 0; i < SPEC_ARGV_MAX; i++)
        buf_puts(&b, ",\"\"");
    buf_puts(&b, "]}}");
    check_refused(&b, "not an array of 1025");
}
END_TEST

START_TEST(a_byte_of_0_is_refused_wherever_it_stands)
{
    static const char *const spaces[] = {"%c{'worker':{}}",
                                         "{%c'worker':{}}",
                                         "{'worker':%c{}}",
                                         "{'worker':{'payload':{'a':1%c}}}",
                                         "{'worker':{'payload':'a%c'}}",
                                         "{'worker':{}}%c"};

    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        OWN_BUF struct buf b = BUF_INIT;

        for (const char *at = spaces[i]; *at != 0; at++)
            buf_putc(&b, *at == '\'' ? '"' : *at);
        char *mark = memchr(b.data, '%', b.len);
        mark[0] = ' ';
        mark[1] = 0;
        check_refused(&b, "is not JSON: byte");
    }
}
END_TEST

START_TEST(a_long_unknown_name_is_cut_between_characters)
{
    OWN_BUF struct buf b = BUF_INIT;
    struct spec *spec = NULL;
    struct spec_fault fault;

    buf_puts(&b, "{\"a");
    for (int i = 0; i < 1000; i++)
        buf_puts(&b, "\xc3\xa9");
    buf_puts(&b, "\":1}");
    ck_assert_int_eq(spec_from_text(b.data, b.len, &spec, &fault), -EINVAL);
    ck_assert(str_is_utf8(fault.pointer, strlen(fault.pointer)));
    ck_assert(str_is_utf8(fault.what, strlen(fault.what)));
    ck_assert_uint_ge(strlen(fault.pointer), sizeof fault.pointer - 3);
}
END_TEST

int main(void)
{
    return SUITE_MAIN("jobs/spec bad", bad_common_fields_are_refused_with_place_and_reason,
                      bad_exec_fields_are_refused_with_place_and_reason,
                      bad_http_fields_are_refused_with_place_and_reason,
                      bad_file_fields_are_refused_with_place_and_reason,
                      size_depth_and_number_of_values_are_bounded_before_parsing,
                      an_argument_longer_than_the_kernel_takes_is_refused,
                      a_byte_of_0_is_refused_wherever_it_stands,
                      a_long_unknown_name_is_cut_between_characters);
}
