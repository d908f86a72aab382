/* Who may, without a socket. */
#include "api/auth.h"

#include "api/api.h"
#include "base/io.h"
#include "tests/lib/folder.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct auth_peer tcp = {.tcp = true}, nobody = {.uid = 65534}, root = {.uid = 0};

static char *folder;
static char path[256];
static char why[API_WHY_BYTES];

static void setup_tokens(const char *text)
{
    if (folder == NULL)
        folder = folder_new();
    snprintf(path, sizeof path, "%s/token", folder);
    ck_assert_int_eq(io_file_replace(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

static struct auth *auth_with(const char *tokens)
{
    static char *hosts[] = {"jobs.example.org", NULL};
    const struct api_options options = {.token_file = path, .hosts = hosts};
    struct auth *auth;

    setup_tokens(tokens);
    ck_assert_int_eq(auth_open(&options, "192.0.2.7", &auth, why), 0);
    return auth;
}

static void done(struct auth *auth)
{
    auth_close(auth);
    folder_remove(folder);
    folder = NULL;
}

static enum auth_answer ask(struct auth *auth, const struct auth_peer *peer, enum scope scope,
                            const char *authorization)
{
    const struct auth_request request = {
        .peer = peer, .scope = scope, .authorization = authorization, .host = "127.0.0.1:7846"};
    return auth_check(auth, &request);
}

START_TEST(a_token_opens_the_tcp_door_as_far_as_its_scope)
{
    struct auth *auth = auth_with("0123456789abcdef\n"
                                  "  reader-0123456789   read # a comment\r\n"
                                  "# reader-of-comments admin\n\n"
                                  "monitor-0123456789 monitor");

    ck_assert_int_eq(ask(auth, &tcp, SCOPE_ADMIN, "Bearer 0123456789abcdef"), AUTH_OK);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_READ, "bearer   reader-0123456789"), AUTH_OK);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_WRITE, "Bearer reader-0123456789"), AUTH_SCOPE);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_MONITOR, "Bearer monitor-0123456789"), AUTH_OK);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_READ, "Bearer monitor-0123456789"), AUTH_SCOPE);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_READ, NULL), AUTH_NO_TOKEN);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_READ, "Bearer "), AUTH_BAD_TOKEN);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_READ, "Bearer 0123456789abcde"), AUTH_BAD_TOKEN);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_READ, "Bearer 0123456789abcdef0"), AUTH_BAD_TOKEN);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_READ, "Basic 0123456789abcdef"), AUTH_BAD_TOKEN);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_OPEN, NULL), AUTH_OK);
    done(auth);
}
END_TEST

START_TEST(without_a_token_file_tcp_lets_nobody_in)
{
    const struct api_options options = {.token_file = NULL};
    struct auth *auth;

    ck_assert_int_eq(auth_open(&options, NULL, &auth, why), 0);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_READ, "Bearer "), AUTH_BAD_TOKEN);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_READ, NULL), AUTH_NO_TOKEN);
    ck_assert_int_eq(ask(auth, &root, SCOPE_ADMIN, NULL), AUTH_OK);
    auth_close(auth);
}
END_TEST

START_TEST(monitoring_may_be_opened)
{
    const struct api_options options = {.ready_open = true};
    struct auth *auth;

    ck_assert_int_eq(auth_open(&options, NULL, &auth, why), 0);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_MONITOR, NULL), AUTH_OK);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_READ, NULL), AUTH_NO_TOKEN);
    auth_close(auth);
}
END_TEST

START_TEST(a_list_of_users_closes_the_socket_to_others)
{
    const uint32_t uids[] = {1234};
    const struct api_options options = {.uids = uids, .uids_count = 1};
    const struct auth_peer listed = {.uid = 1234}, self = {.uid = (uint32_t)geteuid()};
    struct auth *auth;

    ck_assert_int_eq(auth_open(&options, NULL, &auth, why), 0);
    ck_assert_int_eq(ask(auth, &listed, SCOPE_ADMIN, NULL), AUTH_OK);
    ck_assert_int_eq(ask(auth, &self, SCOPE_ADMIN, NULL), AUTH_OK);
    ck_assert_int_eq(ask(auth, &root, SCOPE_ADMIN, NULL), AUTH_OK);
    ck_assert_int_eq(ask(auth, &nobody, SCOPE_OPEN, NULL), AUTH_UID);
    auth_close(auth);
}
END_TEST

START_TEST(a_page_of_another_site_is_refused_at_both_doors)
{
    static const struct {
        const char *origin, *site;
        enum auth_answer answer;
    } rows[] = {
        {NULL, NULL, AUTH_OK},
        {"http://127.0.0.1:7846", NULL, AUTH_OK},
        {"http://127.0.0.1:7846", "same-origin", AUTH_OK},
        {NULL, "none", AUTH_OK},
        {"http://evil.example", NULL, AUTH_CROSS_SITE},
        {"http://127.0.0.1:80", NULL, AUTH_CROSS_SITE},
        {"null", NULL, AUTH_CROSS_SITE},
        {"", NULL, AUTH_CROSS_SITE},
        {NULL, "cross-site", AUTH_CROSS_SITE},
        {NULL, "same-site", AUTH_CROSS_SITE},
    };
    struct auth *auth = auth_with("0123456789abcdef");

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct auth_request request = {.peer = i % 2 ? &root : &tcp,
                                             .authorization = "Bearer 0123456789abcdef",
                                             .host = "127.0.0.1:7846",
                                             .origin = rows[i].origin,
                                             .fetch_site = rows[i].site,
                                             .scope = SCOPE_WRITE};
        ck_assert_int_eq(auth_check(auth, &request), rows[i].answer);
    }
    done(auth);
}
END_TEST

START_TEST(only_our_names_are_answered_at_tcp)
{
    static const struct {
        const char *host;
        enum auth_answer answer;
    } rows[] = {
        {"localhost", AUTH_OK},        {"LocalHost:7846", AUTH_OK},
        {"localhost.", AUTH_OK},       {"127.0.0.1", AUTH_OK},
        {"127.8.8.8:80", AUTH_OK},     {"[::1]:7846", AUTH_OK},
        {"192.0.2.7:7846", AUTH_OK},   {"jobs.example.org", AUTH_OK},
        {"evil.example", AUTH_HOST},   {"127.0.0.1.evil.example", AUTH_HOST},
        {"localhost.evil", AUTH_HOST}, {"", AUTH_HOST},
        {"192.0.2.8", AUTH_HOST},      {"[::2]", AUTH_HOST},
        {"[::1", AUTH_HOST},           {":7846", AUTH_HOST},
    };
    struct auth *auth = auth_with("0123456789abcdef");

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct auth_request request = {.peer = &tcp,
                                             .authorization = "Bearer 0123456789abcdef",
                                             .host = rows[i].host,
                                             .scope = SCOPE_READ};
        ck_assert_msg(auth_check(auth, &request) == rows[i].answer, "%s", rows[i].host);
    }
    done(auth);
}
END_TEST

START_TEST(a_reload_changes_tokens_and_a_bad_file_changes_nothing)
{
    struct auth *auth = auth_with("0123456789abcdef");

    setup_tokens("fedcba9876543210\n");
    ck_assert_int_eq(auth_load(auth, why), 0);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_READ, "Bearer 0123456789abcdef"), AUTH_BAD_TOKEN);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_READ, "Bearer fedcba9876543210"), AUTH_OK);

    setup_tokens("fedcba9876543210\nshort\n");
    ck_assert_int_eq(auth_load(auth, why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "line 2"));
    setup_tokens("fedcba9876543210 everything\n");
    ck_assert_int_eq(auth_load(auth, why), -EINVAL);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(auth_load(auth, why), -ENOENT);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_READ, "Bearer fedcba9876543210"), AUTH_OK);
    done(auth);
}
END_TEST

START_TEST(a_token_file_is_made_once)
{
    char first[128] = "", second[128] = "";
    struct auth *auth;
    const struct api_options options = {.token_file = path};

    folder = folder_new();
    snprintf(path, sizeof path, "%s/token", folder);
    for (char *text = first; text != NULL; text = text == first ? second : NULL) {
        ck_assert_int_eq(api_token_file_make(path), 0);
        FILE *f = fopen(path, "r");
        ck_assert_ptr_nonnull(fgets(text, sizeof first, f));
        fclose(f);
    }
    ck_assert_str_eq(first, second);
    ck_assert_uint_eq(strlen(first), 65);
    ck_assert_int_eq(auth_open(&options, NULL, &auth, why), 0);

    char header[160];
    snprintf(header, sizeof header, "Bearer %.64s", first);
    ck_assert_int_eq(ask(auth, &tcp, SCOPE_ADMIN, header), AUTH_OK);
    done(auth);
}
END_TEST

int main(void)
{
    return SUITE_MAIN(
        "api_auth", a_token_opens_the_tcp_door_as_far_as_its_scope,
        without_a_token_file_tcp_lets_nobody_in, monitoring_may_be_opened,
        a_list_of_users_closes_the_socket_to_others,
        a_page_of_another_site_is_refused_at_both_doors, only_our_names_are_answered_at_tcp,
        a_reload_changes_tokens_and_a_bad_file_changes_nothing, a_token_file_is_made_once);
}
