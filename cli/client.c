#include "cli/client.h"

#include "api/wire.h"
#include "base/io.h"
#include "base/own.h"
#include "cli/screen.h"
#include "cli/verb.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define TOKEN_FILE_BYTES_MAX (64u << 10)
#define REPLY_BYTES_MAX (256u << 20)
#define CONNECT_TIMEOUT_MS 5000L

struct client {
    CURL *easy;
    char *socket_path; /* NULL for TCP */
    char *base;        /* "http://localhost", "http://host:port" */
    struct curl_slist *headers;
    bool met, quiet;
    CURLcode failed; /* the last that was */
    char error[CURL_ERROR_SIZE];
};

/* ---------------------------------------------------------------- opening ----------------- */

/* The first token, as the daemon reads its file: # begins a comment, a scope may follow. */
static const char *first_token(const char *text, size_t *ret_len)
{
    for (;;) {
        text += strspn(text, " \t\r\n");
        if (*text != '#')
            break;
        text += strcspn(text, "\n");
    }
    *ret_len = strcspn(text, " \t\r\n");
    return text;
}

static int read_token(const char *path, struct curl_slist **headers)
{
    OWN_BUF struct buf text = BUF_INIT;
    int r = io_file_read(AT_FDCWD, path, TOKEN_FILE_BYTES_MAX, &text);

    if (r < 0) {
        fprintf(stderr, "stint: token file %s: %s\n", path, strerrordesc_np(-r));
        return r == -ENOENT ? EXIT_USAGE : EXIT_REFUSED;
    }
    size_t len;
    const char *token = first_token(buf_str(&text), &len);
    if (len == 0) {
        fprintf(stderr, "stint: token file %s: has no token\n", path);
        return EXIT_USAGE;
    }
    OWN_BUF struct buf header = BUF_INIT;
    buf_puts(&header, "Authorization: Bearer ");
    buf_put(&header, token, len);
    *headers = curl_slist_append(*headers, buf_str(&header));
    return 0;
}

static int set_target(struct client *client, const char *url)
{
    if (url == NULL)
        url = "unix://" WIRE_SERVICE_SOCKET;
    if (strncmp(url, "unix:", 5) == 0) {
        const char *path = url + 5;
        path += strncmp(path, "//", 2) == 0 ? 2 : 0;
        client->socket_path = strdup(path);
        client->base = strdup("http://localhost");
    } else if (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0) {
        client->base = strdup(url);
        for (size_t n = strlen(url); n > 0 && client->base != NULL && url[n - 1] == '/'; n--)
            client->base[n - 1] = '\0';
    } else {
        fprintf(stderr, "stint: --url %s: must be unix:///path or http://host:port\n", url);
        return EXIT_USAGE;
    }
    return client->base == NULL ? EXIT_SOFTWARE : 0;
}

int client_open(const struct client_options *options, struct client **ret)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return EXIT_SOFTWARE;

    curl_global_init(CURL_GLOBAL_DEFAULT);
    client->easy = curl_easy_init();
    int r = client->easy == NULL ? EXIT_SOFTWARE : set_target(client, options->url);
    if (r == 0 && options->token_file != NULL)
        r = read_token(options->token_file, &client->headers);
    if (r != 0) {
        client_close(client);
        return r;
    }
    /* Bodies are JSON; and no "Expect: 100-continue" pause before large ones. */
    client->headers = curl_slist_append(client->headers, "Content-Type: application/json");
    client->headers = curl_slist_append(client->headers, "Expect:");
    *ret = client;
    return 0;
}

void client_close(struct client *client)
{
    if (client == NULL)
        return;
    curl_slist_free_all(client->headers);
    curl_easy_cleanup(client->easy);
    curl_global_cleanup();
    free(client->socket_path);
    free(client->base);
    free(client);
}

void reply_deinit(struct reply *reply)
{
    buf_deinit(&reply->body);
    json_decref(reply->json);
    reply->json = NULL;
}

/* ---------------------------------------------------------------- one request ------------- */

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    struct buf *body = user;

    if (body->len + size * count > REPLY_BYTES_MAX)
        return 0;
    buf_put(body, data, size * count);
    return buf_failed(body) ? 0 : size * count;
}

static void prepare(const struct client *client, CURL *easy, const char *path, char *error)
{
    OWN_BUF struct buf url = BUF_INIT;

    buf_puts(&url, client->base);
    buf_puts(&url, path);
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, buf_str(&url));
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, client->headers);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    if (client->socket_path != NULL)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->socket_path);
}

static int tell_unreachable(const struct client *client, CURL *easy, CURLcode code)
{
    const char *where = client->socket_path != NULL ? client->socket_path : client->base;
    const char *why = client->error[0] != '\0' ? client->error : curl_easy_strerror(code);
    long os_errno = 0;

    /* For a socket file libcurl speaks of "localhost port 80"; the system's word is better. */
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_errno);
    if (client->socket_path != NULL && code == CURLE_COULDNT_CONNECT && os_errno != 0)
        why = strerrordesc_np((int)os_errno);
    fprintf(stderr, "stint: no daemon answers at %s: %s\n", where, why);
    fprintf(stderr,
            "  start one with `stintd --state DIR`, or name it with --url or STINT_URL\n");
    return EXIT_UNREACHABLE;
}

static int status_of_problem(const struct reply *reply)
{
    const char *type = json_string_value(json_object_get(reply->json, "type"));
    const char *slash = type != NULL ? strrchr(type, '/') : NULL;
    const struct wire_problem *known =
        type != NULL ? wire_problem_find(slash != NULL ? slash + 1 : type) : NULL;

    if (known != NULL)
        return known->exit_status;
    return reply->status == 404                           ? EXIT_NOT_FOUND
           : reply->status == 401 || reply->status == 403 ? EXIT_REFUSED
           : reply->status == 409                         ? EXIT_CONFLICT
           : reply->status == 429 || reply->status == 503 ? EXIT_LATER
           : reply->status >= 400 && reply->status < 500  ? EXIT_USAGE
                                                          : EXIT_SOFTWARE;
}

/* place may be NULL. Both may quote what others wrote. */
static void tell_line(const char *before, const char *place, const char *what)
{
    fputs(before, stderr);
    if (place != NULL) {
        screen_put(stderr, place, SIZE_MAX);
        fputs(": ", stderr);
    }
    screen_put(stderr, what, SIZE_MAX);
    fputc('\n', stderr);
}

/* What was wrong where, when the daemon says so; else the one sentence it has, and for whom of
 * several. */
static int tell_problem(const struct reply *reply)
{
    const char *title = json_string_value(json_object_get(reply->json, "title"));
    const char *detail = json_string_value(json_object_get(reply->json, "detail"));
    const char *instance = json_string_value(json_object_get(reply->json, "instance"));
    const json_t *errors = json_object_get(reply->json, "errors");
    size_t i;
    json_t *error;

    if (json_array_size(errors) > 0 || detail == NULL)
        fprintf(stderr, "stint: %s\n", title != NULL ? title : "the daemon refused");
    else
        tell_line("stint: ", instance != NULL ? instance : "refused", detail);
    json_array_foreach(errors, i, error)
    {
        const char *pointer = json_string_value(json_object_get(error, "pointer"));
        const char *what = json_string_value(json_object_get(error, "detail"));
        bool placed = pointer != NULL && pointer[0] != '\0';
        tell_line("  ", placed ? pointer : NULL, what != NULL ? what : "");
    }
    return status_of_problem(reply);
}

int client_call_but(struct client *client, const char *method, const char *path,
                    const char *body, long status, struct reply *ret)
{
    *ret = (struct reply){0};
    prepare(client, client->easy, path, client->error);
    curl_easy_setopt(client->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(client->easy, CURLOPT_WRITEDATA, &ret->body);
    if (body != NULL) {
        curl_easy_setopt(client->easy, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(client->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    }
    curl_easy_setopt(client->easy, CURLOPT_CUSTOMREQUEST, method);

    client->error[0] = '\0';
    CURLcode code = curl_easy_perform(client->easy);
    client->met |= code != CURLE_COULDNT_CONNECT && code != CURLE_COULDNT_RESOLVE_HOST;
    client->failed = code;
    if (code != CURLE_OK)
        return client->quiet ? EXIT_UNREACHABLE : tell_unreachable(client, client->easy, code);

    curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &ret->status);
    ret->json = json_loadb(buf_str(&ret->body), ret->body.len, JSON_DECODE_ANY, NULL);
    if (ret->status < 400 || ret->status == status)
        return 0;
    return tell_problem(ret);
}

int client_call(struct client *client, const char *method, const char *path, const char *body,
                struct reply *ret)
{
    return client_call_but(client, method, path, body, 0, ret);
}

bool client_has_met(const struct client *client)
{
    return client->met;
}

void client_hush(struct client *client, bool quiet)
{
    client->quiet = quiet;
}

void client_tell_unreachable(const struct client *client)
{
    tell_unreachable(client, client->easy, client->failed);
}

/* ---------------------------------------------------------------- streams ----------------- */

struct streaming {
    CURL *easy;
    int fd;
    int write_error;    /* negative errno: our side cannot take what comes */
    struct buf problem; /* a body that is no log: the daemon refused */
};

static size_t on_stream(char *data, size_t size, size_t count, void *user)
{
    struct streaming *s = user;
    long status = 0;

    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 400)
        return on_body(data, size, count, &s->problem);
    s->write_error = io_write_all(s->fd, data, size * count);
    return s->write_error < 0 ? 0 : size * count;
}

static int drive(CURLM *multi, const volatile bool *stop)
{
    for (int running = 1; running > 0;) {
        if (curl_multi_perform(multi, &running) != CURLM_OK)
            return EXIT_SOFTWARE;
        if (stop != NULL && *stop)
            return EXIT_INTERRUPTED;
        if (running > 0)
            curl_multi_poll(multi, NULL, 0, 500, NULL);
    }
    return 0;
}

static int result_of(struct client *client, CURLM *multi, struct streaming *all, unsigned count)
{
    int left, r = 0;

    for (unsigned i = 0; i < count; i++) {
        if (all[i].write_error == 0)
            continue;
        fprintf(stderr, "stint: output: %s\n", strerrordesc_np(-all[i].write_error));
        return EXIT_SOFTWARE;
    }
    for (CURLMsg *m; (m = curl_multi_info_read(multi, &left)) != NULL;) {
        if (m->msg != CURLMSG_DONE || m->data.result == CURLE_OK || r != 0)
            continue;
        long status = 0;
        curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        client->met |= status != 0;
        r = status == 0 ? tell_unreachable(client, m->easy_handle, m->data.result)
                        : EXIT_UNREACHABLE;
        if (status != 0)
            fprintf(stderr, "stint: the daemon went away; the job is kept\n");
    }
    for (unsigned i = 0; i < count && r == 0; i++) {
        if (all[i].problem.len == 0)
            continue;
        struct reply reply = {
            .json = json_loadb(buf_str(&all[i].problem), all[i].problem.len, 0, NULL)};
        curl_easy_getinfo(all[i].easy, CURLINFO_RESPONSE_CODE, &reply.status);
        r = tell_problem(&reply);
        reply_deinit(&reply);
    }
    return r;
}

int client_stream(struct client *client, const struct client_stream *streams, unsigned count,
                  const volatile bool *stop)
{
    struct streaming all[4] = {0};
    CURLM *multi = curl_multi_init();
    int r = multi == NULL || count > 4 ? EXIT_SOFTWARE : 0;

    client->error[0] = '\0';
    for (unsigned i = 0; i < count && r == 0; i++) {
        all[i].fd = streams[i].fd;
        all[i].easy = curl_easy_init();
        if (all[i].easy == NULL) {
            r = EXIT_SOFTWARE;
            break;
        }
        prepare(client, all[i].easy, streams[i].path, client->error);
        curl_easy_setopt(all[i].easy, CURLOPT_WRITEFUNCTION, on_stream);
        curl_easy_setopt(all[i].easy, CURLOPT_WRITEDATA, &all[i]);
        curl_multi_add_handle(multi, all[i].easy);
    }
    if (r == 0)
        r = drive(multi, stop);
    if (r == 0)
        r = result_of(client, multi, all, count);
    for (unsigned i = 0; i < count && i < 4; i++) {
        if (all[i].easy != NULL)
            curl_multi_remove_handle(multi, all[i].easy);
        curl_easy_cleanup(all[i].easy);
        buf_deinit(&all[i].problem);
    }
    curl_multi_cleanup(multi);
    return r;
}

void client_put_escaped(struct buf *b, const char *s)
{
    static const char hex[] = "0123456789ABCDEF";

    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c >= '0' && c <= '9') || strchr("-._~:,", c) != NULL;
        if (plain)
            buf_putc(b, (char)c);
        else
            buf_putf(b, "%%%c%c", hex[c >> 4], hex[c & 15]);
    }
}
