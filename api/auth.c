#include "api/auth.h"

#include "api/api.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/rand.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct token {
    char text[AUTH_TOKEN_BYTES_MAX];
    size_t len;
    enum scope scope;
};

struct tokens {
    unsigned count;
    struct token items[];
};

struct auth {
    char *token_file; /* NULL = none */
    char *bound;      /* literal address of the TCP door */
    char **hosts;     /* NULL-terminated */
    uint32_t *uids;
    unsigned uids_count;
    uint32_t uid;      /* our own */
    bool monitor_open; /* what asks for SCOPE_MONITOR needs no token */
    /* Held for a comparison or a swap, never over a call that parks. */
    pthread_mutex_t lock;
    struct tokens *tokens; /* guarded by lock */
};

static const char *const scope_names[SCOPE_COUNT] = {"open", "monitor", "read", "write",
                                                     "admin"};

/* ------------------------------------------------------------------------- the token file */

static int scope_parse(const char *word, size_t len, enum scope *ret)
{
    if (len == 0) {
        *ret = SCOPE_ADMIN;
        return 0;
    }
    for (enum scope s = SCOPE_MONITOR; s < SCOPE_COUNT; s++) {
        if (strlen(scope_names[s]) == len && memcmp(scope_names[s], word, len) == 0) {
            *ret = s;
            return 0;
        }
    }
    return -EINVAL;
}

/* One line, without its end. 1 = a token, 0 = nothing on it, -EINVAL. */
static int token_read(const char *line, size_t len, struct token *ret)
{
    static const char space[] = " \t\r";
    size_t start = 0;

    while (start < len && strchr(space, line[start]) != NULL)
        start++;
    if (start == len || line[start] == '#')
        return 0;

    size_t end = start;
    while (end < len && line[end] > ' ' && line[end] < 127)
        end++;
    size_t word = end;
    while (word < len && strchr(space, line[word]) != NULL)
        word++;
    size_t word_end = word;
    while (word_end < len && strchr(" \t\r#", line[word_end]) == NULL)
        word_end++;

    ret->len = end - start;
    if (ret->len < AUTH_TOKEN_BYTES_MIN || ret->len > AUTH_TOKEN_BYTES_MAX)
        return -EINVAL;
    memcpy(ret->text, line + start, ret->len);
    return scope_parse(line + word, word_end - word, &ret->scope) < 0 ? -EINVAL : 1;
}

static int tokens_read(const char *text, struct tokens *tokens, unsigned *ret_line)
{
    *ret_line = 0;
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");

        ++*ret_line;
        if (tokens->count == AUTH_TOKENS_MAX)
            return -E2BIG;
        int r = token_read(line, len, &tokens->items[tokens->count]);
        if (r < 0)
            return r;
        tokens->count += (unsigned)r;
        line += len + (line[len] == '\n');
    }
    return 0;
}

int auth_load(struct auth *auth, char *why)
{
    OWN_BUF struct buf text = BUF_INIT;
    unsigned line;

    if (auth->token_file == NULL)
        return 0;
    int r = io_file_read(AT_FDCWD, auth->token_file, AUTH_FILE_BYTES_MAX, &text);
    if (r < 0) {
        snprintf(why, API_WHY_BYTES, "cannot read the token file %s: %s", auth->token_file,
                 strerror(-r));
        return r;
    }

    OWN(free)
    struct tokens *tokens =
        calloc(1, sizeof *tokens + AUTH_TOKENS_MAX * sizeof tokens->items[0]);
    if (tokens == NULL)
        return -ENOMEM;
    r = tokens_read(buf_str(&text), tokens, &line);
    if (r < 0) {
        snprintf(why, API_WHY_BYTES,
                 "token file %s, line %u: expected a token of %d to %d characters and "
                 "monitor, read, write or admin behind it; at most %d lines",
                 auth->token_file, line, AUTH_TOKEN_BYTES_MIN, AUTH_TOKEN_BYTES_MAX,
                 AUTH_TOKENS_MAX);
        return r;
    }

    pthread_mutex_lock(&auth->lock);
    struct tokens *old = auth->tokens;
    auth->tokens = TAKE(tokens);
    pthread_mutex_unlock(&auth->lock);
    free(old);
    return 0;
}

/* ------------------------------------------------------------------------- the checks */

static enum auth_answer token_check(struct auth *auth, const struct auth_request *request)
{
    const char *text = request->authorization;

    if (text == NULL)
        return AUTH_NO_TOKEN;
    if (strncasecmp(text, "Bearer ", 7) != 0)
        return AUTH_BAD_TOKEN;
    text += 7;
    while (*text == ' ')
        text++;

    size_t len = strlen(text);
    enum scope scope = SCOPE_OPEN;
    pthread_mutex_lock(&auth->lock);
    for (unsigned i = 0; auth->tokens != NULL && i < auth->tokens->count; i++) {
        const struct token *token = &auth->tokens->items[i];

        if (str_equal_secret(token->text, token->len, text, len) && token->scope > scope)
            scope = token->scope;
    }
    pthread_mutex_unlock(&auth->lock);
    if (scope == SCOPE_OPEN)
        return AUTH_BAD_TOKEN;
    return scope < request->scope ? AUTH_SCOPE : AUTH_OK;
}

static bool uid_is_let_in(const struct auth *auth, uint32_t uid)
{
    if (uid == 0 || uid == auth->uid || auth->uids_count == 0)
        return true;
    for (unsigned i = 0; i < auth->uids_count; i++)
        if (auth->uids[i] == uid)
            return true;
    return false;
}

/* The length of the name in "name:port" or "[::1]:port", brackets included. */
static size_t host_len(const char *host)
{
    if (host[0] == '[') {
        const char *end = strchr(host, ']');
        return end == NULL ? strlen(host) : (size_t)(end - host) + 1;
    }
    return strcspn(host, ":");
}

static bool host_is_loopback(const char *name)
{
    struct in_addr v4;

    if (strcasecmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0)
        return true;
    return inet_pton(AF_INET, name, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

static bool host_is_ours(const struct auth *auth, const char *host)
{
    char name[256];
    size_t len = host_len(host);

    /* "host" and "host." are the same name. */
    if (len > 1 && host[len - 1] == '.')
        len--;
    if (len == 0 || len >= sizeof name)
        return false;
    memcpy(name, host, len);
    name[len] = '\0';
    if (host_is_loopback(name))
        return true;
    if (auth->bound != NULL && strcasecmp(auth->bound, name) == 0)
        return true;
    for (char **h = auth->hosts; h != NULL && *h != NULL; h++)
        if (strcasecmp(*h, name) == 0)
            return true;
    return false;
}

/* A page of ours has our own Host as its origin; "null" and others do not. */
static bool origin_is_ours(const char *origin, const char *host)
{
    static const char *const schemes[] = {"http://", "https://"};

    if (host == NULL)
        return false;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t len = strlen(schemes[i]);

        if (strncasecmp(origin, schemes[i], len) == 0)
            return strcasecmp(origin + len, host) == 0;
    }
    return false;
}

static bool is_cross_site(const struct auth_request *request)
{
    const char *site = request->fetch_site;

    if (request->origin != NULL && !origin_is_ours(request->origin, request->host))
        return true;
    return site != NULL && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
}

enum auth_answer auth_check(struct auth *auth, const struct auth_request *request)
{
    const struct auth_peer *peer = request->peer;

    if (is_cross_site(request))
        return AUTH_CROSS_SITE;
    if (!peer->tcp)
        return uid_is_let_in(auth, peer->uid) ? AUTH_OK : AUTH_UID;
    if (request->host != NULL && !host_is_ours(auth, request->host))
        return AUTH_HOST;
    if (request->scope == SCOPE_OPEN || (request->scope == SCOPE_MONITOR && auth->monitor_open))
        return AUTH_OK;
    return token_check(auth, request);
}

/* ------------------------------------------------------------------------- life */

static int hosts_copy(char *const *hosts, char ***ret)
{
    size_t count = 0;

    while (hosts != NULL && hosts[count] != NULL)
        count++;
    char **copy = calloc(count + 1, sizeof *copy);
    if (copy == NULL)
        return -ENOMEM;
    *ret = copy;
    for (size_t i = 0; i < count; i++)
        if ((copy[i] = str_dup(hosts[i])) == NULL)
            return -ENOMEM;
    return 0;
}

static int settings_copy(struct auth *auth, const struct api_options *options,
                         const char *bound)
{
    auth->token_file = str_dup(options->token_file);
    auth->bound = str_dup(bound);
    if ((options->token_file != NULL && auth->token_file == NULL) ||
        (bound != NULL && auth->bound == NULL))
        return -ENOMEM;
    auth->uids_count = options->uids_count;
    auth->uids = calloc(auth->uids_count + 1, sizeof *auth->uids);
    if (auth->uids == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < auth->uids_count; i++)
        auth->uids[i] = options->uids[i];
    return hosts_copy(options->hosts, &auth->hosts);
}

void auth_close(struct auth *auth)
{
    if (auth == NULL)
        return;
    for (char **h = auth->hosts; h != NULL && *h != NULL; h++)
        free(*h);
    free(auth->hosts);
    free(auth->uids);
    free(auth->token_file);
    free(auth->bound);
    free(auth->tokens);
    pthread_mutex_destroy(&auth->lock);
    free(auth);
}
OWN_DEFINE(struct auth, auth_close);

int auth_open(const struct api_options *options, const char *bound, struct auth **ret,
              char *why)
{
    OWN(auth_close) struct auth *auth = calloc(1, sizeof *auth);

    snprintf(why, API_WHY_BYTES, "out of memory");
    if (auth == NULL)
        return -ENOMEM;
    pthread_mutex_init(&auth->lock, NULL);
    auth->uid = (uint32_t)geteuid();
    auth->monitor_open = options->ready_open;
    int r = settings_copy(auth, options, bound);
    if (r < 0)
        return r;
    r = auth_load(auth, why);
    if (r < 0)
        return r;
    *ret = TAKE(auth);
    return 0;
}

const char *scope_name(enum scope scope)
{
    return scope_names[scope];
}

int api_token_file_make(const char *path)
{
    unsigned char secret[32];
    char text[2 * sizeof secret + 2];

    /* Whoever made it first, ourselves at an earlier start included, has the say. */
    if (access(path, F_OK) == 0)
        return 0;
    int r = rand_secret(secret, sizeof secret);
    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof secret; i++)
        snprintf(text + 2 * i, 3, "%02x", secret[i]);
    text[2 * sizeof secret] = '\n';
    /* Whole or not at all: an empty one of a crash would lock everybody out. */
    return io_file_replace(AT_FDCWD, path, text, 2 * sizeof secret + 1, 0600);
}
