#include "jobs/spec_parts.h"

#include "base/buf.h"
#include "base/str.h"
#include "jobs/http_url.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The refusal of a field beside others: at is the object, key the field in it. */
#define REFUSE_IN(at, field_name, ...)                                                         \
    spec_refuse(&(const struct spec_place){.up = (at), .key = (field_name)}, fault, __VA_ARGS__)

static bool given(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return value != NULL && !json_is_null(value);
}

/* ---- exec -------------------------------------------------------------------------------- */

static int take_arg(const json_t *value, size_t bytes_min, char **ret,
                    const struct spec_place *place, struct spec_fault *fault)
{
    size_t len = json_string_length(value);
    const char *text = json_string_value(value);

    if (text == NULL)
        return spec_refuse(place, fault, "must be a string");
    if (memchr(text, 0, len) != NULL)
        return spec_refuse(place, fault, "must not contain a NUL byte");
    if (len < bytes_min)
        return spec_refuse(place, fault, "must not be empty");
    if (len > SPEC_ARG_BYTES_MAX)
        return spec_refuse(place, fault, "must have at most %d bytes, not %zu",
                           SPEC_ARG_BYTES_MAX, len);
    *ret = str_dup_len(text, len);
    return *ret != NULL ? 0 : -ENOMEM;
}

/* argv and shell fill the same field: the second to come is one too many. */
static int claim_argv(struct exec_spec *exec, size_t count, const struct spec_place *place,
                      struct spec_fault *fault)
{
    if (exec->argv != NULL)
        return spec_refuse(place->up, fault, "takes exactly one of argv, shell");
    exec->argv = calloc(count + 1, sizeof *exec->argv);
    return exec->argv != NULL ? 0 : -ENOMEM;
}

int spec_read_argv(const struct spec_field *field, const json_t *value, void *object,
                   const struct spec_place *place, struct spec_fault *fault)
{
    struct exec_spec *exec = object;
    size_t count = json_array_size(value);

    if (!json_is_array(value) || count == 0 || count > (size_t)field->max)
        return spec_refuse_shape(field, value, place, fault);

    int r = claim_argv(exec, count, place, fault);
    for (size_t i = 0; i < count && r == 0; i++) {
        const struct spec_place at = {.up = place, .index = i};
        r = take_arg(json_array_get(value, i), i == 0, &exec->argv[i], &at, fault);
    }
    return r;
}

int spec_read_shell(const struct spec_field *field, const json_t *value, void *object,
                    const struct spec_place *place, struct spec_fault *fault)
{
    static const char *const before[] = {"/bin/sh", "-c"};
    struct exec_spec *exec = object;

    if (!json_is_string(value))
        return spec_refuse_shape(field, value, place, fault);

    int r = claim_argv(exec, 3, place, fault);
    for (size_t i = 0; i < 2 && r == 0; i++) {
        exec->argv[i] = str_dup(before[i]);
        r = exec->argv[i] != NULL ? 0 : -ENOMEM;
    }
    return r == 0 ? take_arg(value, 1, &exec->argv[2], place, fault) : r;
}

static int find_signal(const char *name)
{
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    for (int number = 1; number < SIGRTMIN; number++) {
        const char *abbreviation = sigabbrev_np(number);
        if (abbreviation != NULL && strcasecmp(abbreviation, name) == 0)
            return number;
    }
    return 0;
}

int spec_read_signal(const struct spec_field *field, const json_t *value, void *object,
                     const struct spec_place *place, struct spec_fault *fault)
{
    struct exec_spec *exec = object;
    json_int_t number = json_integer_value(value);

    if (json_is_string(value))
        number = find_signal(json_string_value(value));
    if (number < 1 || number > SIGRTMAX)
        return spec_refuse_shape(field, value, place, fault);
    exec->stop_signal = (int)number;
    return 0;
}

const char *spec_pair_env(const char *name, const char *value)
{
    if (name[0] == 0 || strchr(name, '=') != NULL)
        return "is not a variable's name: it must not be empty or contain =";
    /* Name, '=' and value become one string, and the kernel bounds that. */
    if (strlen(name) + 1 + strlen(value) > SPEC_ARG_BYTES_MAX)
        return "is longer than 131071 bytes with its name";
    return NULL;
}

struct code_list {
    const char *name;
    const int *codes;
    unsigned count;
};

int spec_check_exec(const json_t *json, void *object, const struct spec_place *place,
                    struct spec_fault *fault)
{
    const struct exec_spec *exec = object;
    const struct code_list lists[] = {
        {"success_codes", exec->success_codes, exec->success_count},
        {"fail_codes", exec->fail_codes, exec->fail_count},
        {"hold_codes", exec->hold_codes, exec->hold_count},
        {"retry_codes", exec->retry_codes, exec->retry_count},
    };
    unsigned char owner[256] = {0}; /* of a code: its list, counted from 1 */

    (void)json;
    if (exec->argv == NULL)
        return spec_refuse(place, fault, "takes exactly one of argv, shell");
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (unsigned c = 0; c < lists[i].count; c++) {
            int code = lists[i].codes[c];
            if (owner[code] != 0)
                return REFUSE_IN(place, lists[i].name, "names %d, which is in %s already", code,
                                 lists[owner[code] - 1].name);
            owner[code] = (unsigned char)(i + 1);
        }
    return 0;
}

/* ---- http -------------------------------------------------------------------------------- */

int spec_read_url(const struct spec_field *field, const json_t *value, void *object,
                  const struct spec_place *place, struct spec_fault *fault)
{
    struct http_spec *http = object;
    const char *text = json_string_value(value);
    struct http_url url;

    if (text == NULL)
        return spec_refuse_shape(field, value, place, fault);
    if (json_string_length(value) > (size_t)field->max)
        return spec_refuse(place, fault, "must have at most %lld bytes, not %zu",
                           (long long)field->max, json_string_length(value));
    for (size_t i = 0; i < json_string_length(value); i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] == 0x7f)
            return spec_refuse(place, fault,
                               "must not contain spaces or control characters: write them as "
                               "%%20 and so on");

    const char *wrong = http_url_parse(text, &url);
    if (wrong != NULL)
        return spec_refuse(place, fault, "%s", wrong);
    http->url = str_dup(text);
    return http->url != NULL ? 0 : -ENOMEM;
}

int spec_read_body_json(const struct spec_field *field, const json_t *value, void *object,
                        const struct spec_place *place, struct spec_fault *fault)
{
    struct http_spec *http = object;
    OWN_BUF struct buf text = BUF_INIT;
    int r = spec_json_put(&text, value);

    (void)field;
    if (r == -EINVAL)
        return spec_refuse(place, fault, "is nested too deep");
    if (r < 0)
        return r;
    free(http->body); /* of a body beside it, which the check refuses */
    http->body_len = text.len;
    http->body = buf_take(&text);
    return http->body != NULL ? 0 : -ENOMEM;
}

/* Headers that frame the message or name the job are ours. */
static const char *const headers_reserved[] = {"Connection",
                                               "Content-Length",
                                               "Expect",
                                               "Keep-Alive",
                                               "Proxy-Connection",
                                               "Stint-Job-Id",
                                               "Stint-Attempt",
                                               "Stint-Fence",
                                               "Stint-Queue",
                                               "Proxy-Authorization",
                                               "TE",
                                               "Trailer",
                                               "Transfer-Encoding",
                                               "Upgrade",
                                               NULL};

const char *spec_pair_header(const char *name, const char *value)
{
    if (name[0] == 0 || strlen(name) > SPEC_NAME_BYTES_MAX)
        return "is not a header's name: it must have 1 to 128 bytes";
    for (const char *c = name; *c != 0; c++)
        if (!isalnum((unsigned char)*c) && strchr("!#$%&'*+-.^_`|~", *c) == NULL)
            return "is not a header's name: only letters, digits and !#$%&'*+-.^_`|~ may be in "
                   "it";
    for (size_t i = 0; headers_reserved[i] != NULL; i++)
        if (strcasecmp(headers_reserved[i], name) == 0)
            return "is a header that stint sets by itself";
    if (strlen(value) > SPEC_HEADER_BYTES_MAX)
        return "must have at most 8000 bytes";
    for (const char *c = value; *c != 0; c++)
        if (((unsigned char)*c < ' ' && *c != '\t') || (unsigned char)*c == 0x7f)
            return "must not contain control characters";
    return NULL;
}

static const char *find_header(const struct http_spec *http, const char *name)
{
    for (unsigned i = 0; i < http->headers_count; i++)
        if (strcasecmp(http->headers[i].name, name) == 0)
            return http->headers[i].value;
    return NULL;
}

static int add_content_type(struct http_spec *http)
{
    if (find_header(http, "Content-Type") != NULL)
        return 0;

    struct spec_pair *more =
        realloc(http->headers, (http->headers_count + 2) * sizeof *http->headers);
    if (more == NULL)
        return -ENOMEM;
    http->headers = more;

    struct spec_pair *pair = &more[http->headers_count++];
    pair->name = str_dup("Content-Type");
    pair->value = str_dup("application/json");
    return pair->name != NULL && pair->value != NULL ? 0 : -ENOMEM;
}

int spec_check_http(const json_t *json, void *object, const struct spec_place *place,
                    struct spec_fault *fault)
{
    struct http_spec *http = object;

    if (http->url == NULL)
        return REFUSE_IN(place, "url", "is missing");
    if (given(json, "body") && given(json, "json"))
        return spec_refuse(place, fault, "takes at most one of body, json");
    if (http->method == NULL)
        http->method = str_dup(http->body != NULL ? "POST" : "GET");
    if (http->method == NULL)
        return -ENOMEM;
    if (strcmp(http->method, "HEAD") == 0 && (http->body != NULL || http->save_to != NULL))
        return REFUSE_IN(place, "method", "HEAD goes without %s",
                         http->body != NULL ? "a body" : "save_to");
    if (http->save_to == NULL && http->response_bytes_max > SPEC_RESPONSE_BYTES_MAX)
        return REFUSE_IN(place, "response_bytes_max",
                         "must be at most 16M when the body goes into the result: use save_to");
    return given(json, "json") ? add_content_type(http) : 0;
}

/* ---- file -------------------------------------------------------------------------------- */

const struct spec_digest spec_digests[] = {
    {"sha256", 32},   {"sha1", 20},       {"sha224", 28},     {"sha384", 48},
    {"sha512", 64},   {"sha512-256", 32}, {"sha3-256", 32},   {"sha3-384", 48},
    {"sha3-512", 64}, {"blake2b512", 64}, {"blake2s256", 32}, {"md5", 16},
    {NULL, 0},
};

/* What an operation needs and what it may have besides; all else is refused, since a field
 * that is silently ignored is a misunderstanding that nobody notices. */
struct op_fields {
    const char *name;
    const char *needed[3];
    const char *allowed[3];
};

static const struct op_fields op_table[] = {
    [FILE_COPY] = {"copy", {"from", "to"}, {"recursive", "overwrite"}},
    [FILE_MOVE] = {"move", {"from", "to"}, {"overwrite"}},
    [FILE_REMOVE] = {"remove", {"from"}, {"recursive"}},
    [FILE_CHECKSUM] = {"checksum", {"from"}, {"algorithm", "expect"}},
    [FILE_ARCHIVE] = {"archive", {"from", "to"}, {"format", "overwrite"}},
    [FILE_EXTRACT] = {"extract", {"from", "to"}, {"overwrite"}},
    [FILE_WRITE] = {"write", {"to", "text"}, {"mode", "overwrite"}},
};

static bool is_among(const char *const *names, const char *name)
{
    for (size_t i = 0; i < 3 && names[i] != NULL; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static int check_op_fields(const json_t *json, const struct op_fields *op,
                           const struct spec_place *place, struct spec_fault *fault)
{
    json_t *unconst = (json_t *)(uintptr_t)json; /* iteration changes nothing */
    void *i = json_object_iter(unconst);

    for (size_t n = 0; n < 3 && op->needed[n] != NULL; n++)
        if (!given(json, op->needed[n]))
            return REFUSE_IN(place, op->needed[n], "is missing: %s needs it", op->name);
    for (; i != NULL; i = json_object_iter_next(unconst, i)) {
        const char *name = json_object_iter_key(i);
        if (strcmp(name, "op") != 0 && given(json, name) && !is_among(op->needed, name) &&
            !is_among(op->allowed, name))
            return REFUSE_IN(place, name, "has no meaning for %s", op->name);
    }
    return 0;
}

static int check_digest(struct file_spec *file, const struct spec_place *place,
                        struct spec_fault *fault)
{
    const struct spec_digest *digest = spec_digests;

    if (file->algorithm == NULL && (file->algorithm = str_dup(digest->name)) == NULL)
        return -ENOMEM;
    if (file->expect == NULL)
        return 0;
    while (digest->name != NULL && strcmp(digest->name, file->algorithm) != 0)
        digest++;
    if (strlen(file->expect) != (size_t)digest->bytes * 2 ||
        strspn(file->expect, "0123456789abcdefABCDEF") != strlen(file->expect))
        return REFUSE_IN(place, "expect", "must be %u hex digits for %s", digest->bytes * 2,
                         file->algorithm);
    return 0;
}

int spec_check_file(const json_t *json, void *object, const struct spec_place *place,
                    struct spec_fault *fault)
{
    struct file_spec *file = object;

    if (!given(json, "op"))
        return REFUSE_IN(place, "op",
                         "is missing: one of copy, move, remove, checksum, archive, extract or "
                         "write");

    int r = check_op_fields(json, &op_table[file->op], place, fault);
    if (r < 0)
        return r;
    if (file->op == FILE_CHECKSUM)
        return check_digest(file, place, fault);
    if (file->op == FILE_ARCHIVE && file->format == NULL)
        file->format = str_dup("tar.gz");
    return file->op == FILE_ARCHIVE && file->format == NULL ? -ENOMEM : 0;
}

/* ---- worker ------------------------------------------------------------------------------ */

/* Any JSON will do, and it is kept where it stands. */
int spec_read_payload(const struct spec_field *field, const json_t *value, void *object,
                      const struct spec_place *place, struct spec_fault *fault)
{
    (void)field;
    (void)value;
    (void)object;
    (void)place;
    (void)fault;
    return 0;
}

/* ---- common ------------------------------------------------------------------------------ */

int spec_read_durability(const struct spec_field *field, const json_t *value, void *object,
                         const struct spec_place *place, struct spec_fault *fault)
{
    struct spec *spec = object;
    const char *word = json_string_value(value);

    if (word == NULL || (strcmp(word, "full") != 0 && strcmp(word, "relaxed") != 0))
        return spec_refuse_shape(field, value, place, fault);
    spec->relaxed = strcmp(word, "relaxed") == 0;
    return 0;
}

int spec_read_retry(const struct spec_field *field, const json_t *value, void *object,
                    const struct spec_place *place, struct spec_fault *fault)
{
    struct spec *spec = object;

    if (json_is_object(value))
        return spec_read_table(&spec_table_retry, value, &spec->retry, place, fault);
    if (!json_is_integer(value) || json_integer_value(value) < 1 ||
        json_integer_value(value) > 10000)
        return spec_refuse_shape(field, value, place, fault);
    spec->retry.max_attempts = (uint32_t)json_integer_value(value);
    return 0;
}

int spec_check_job(const json_t *json, void *object, const struct spec_place *place,
                   struct spec_fault *fault)
{
    static const struct {
        const char *name;
        enum job_kind kind;
    } kinds[] = {
        {"exec", KIND_EXEC}, {"http", KIND_HTTP}, {"file", KIND_FILE}, {"worker", KIND_WORKER}};
    struct spec *spec = object;

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!given(json, kinds[i].name))
            continue;
        if (spec->kind != KIND_NONE)
            return spec_refuse(place, fault,
                               "names %s and %s: exactly one of exec, http, file, worker",
                               job_kind_name(spec->kind), kinds[i].name);
        spec->kind = kinds[i].kind;
    }
    if (spec->kind == KIND_NONE)
        return spec_refuse(place, fault,
                           "says no kind of work: exactly one of exec, http, file, worker");
    if (given(json, "delay") && given(json, "run_at"))
        return REFUSE_IN(place, "run_at", "goes without delay: say one of them");
    return 0;
}
