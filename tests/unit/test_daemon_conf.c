/* Settings: four sources, one table, refusals with their place. */
#include "base/buf.h"
#include "base/io.h"
#include "daemon/conf.h"
#include "daemon/conf_table.h"
#include "tests/lib/folder.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder, *file;
static struct conf conf;
static char why[CONF_WHY_BYTES];

static void setup(void)
{
    folder = folder_new();
    ck_assert(asprintf(&file, "%s/stintd.conf", folder) > 0);
}

static void teardown(void)
{
    conf_deinit(&conf);
    folder_remove(folder);
    free(file);
}

static void write_file(const char *text)
{
    ck_assert_int_eq(io_file_replace(AT_FDCWD, file, text, strlen(text), 0600), 0);
}

/* Loads the file with up to two more words of a command line. */
static int load(const char *text, char *one, char *two)
{
    char *argv[] = {"stintd", "--config", file, one, two, NULL};
    int argc = 3 + (one != NULL) + (two != NULL);

    write_file(text);
    return conf_load(&conf, argc, argv, why);
}

START_TEST(defaults_hold_without_a_file_of_settings)
{
    setup();
    ck_assert_int_eq(load("", NULL, NULL), 0);
    ck_assert_str_eq(conf.state, "/var/lib/stint");
    ck_assert_str_eq(conf.socket, "/var/lib/stint/stint.sock");
    ck_assert_int_eq(conf.drain_ms, 30000);
    ck_assert_uint_eq(conf.http_concurrency, 2000);
    ck_assert(conf.exec_cgroups);
    ck_assert_ptr_null(conf.file_roots[0]);
    teardown();
}
END_TEST

START_TEST(the_command_line_beats_the_environment_beats_the_file)
{
    setup();
    setenv("STINTD_DAEMON_DRAIN", "7s", 1);
    ck_assert_int_eq(load("[daemon]\ndrain = 5s\n", NULL, NULL), 0);
    ck_assert_int_eq(conf.drain_ms, 7000);
    conf_deinit(&conf);
    ck_assert_int_eq(load("[daemon]\ndrain = 5s\n", "--drain=9s", NULL), 0);
    ck_assert_int_eq(conf.drain_ms, 9000);
    unsetenv("STINTD_DAEMON_DRAIN");
    teardown();
}
END_TEST

START_TEST(relative_paths_and_the_state_prefix_become_absolute)
{
    setup();
    ck_assert_int_eq(load("[daemon]\nstate = here\n", NULL, NULL), 0);
    ck_assert_int_eq(conf.state[0], '/');
    ck_assert_ptr_nonnull(strstr(conf.socket, "/here/stint.sock"));
    ck_assert_ptr_nonnull(strstr(conf.token_file, "/here/token"));
    teardown();
}
END_TEST

START_TEST(a_list_may_be_given_on_several_lines)
{
    setup();
    ck_assert_int_eq(load("[file]\nroots = /a /b\nroots = /c\n", NULL, NULL), 0);
    ck_assert_str_eq(conf.file_roots[0], "/a");
    ck_assert_str_eq(conf.file_roots[2], "/c");
    ck_assert_ptr_null(conf.file_roots[3]);
    teardown();
}
END_TEST

START_TEST(queues_have_sections_of_their_own)
{
    setup();
    ck_assert_int_eq(load("[queue images]\nconcurrency = 4\n[queue mail]\npaused = "
                          "yes\nkey_concurrency = 1\n",
                          NULL, NULL),
                     0);
    ck_assert_uint_eq(conf.queues_count, 2);
    ck_assert_str_eq(conf.queues[0].name, "images");
    ck_assert_int_eq(conf.queues[0].concurrency, 4);
    ck_assert_int_eq(conf.queues[0].key_concurrency, -1);
    ck_assert_int_eq(conf.queues[0].paused, -1);
    ck_assert_int_eq(conf.queues[1].key_concurrency, 1);
    ck_assert_int_eq(conf.queues[1].paused, 1);
    teardown();
}
END_TEST

static const struct {
    const char *text, *flag, *words;
} refusals[] = {
    {"[daemon]\n\nbogus = 1\n", NULL, ":3: [daemon] bogus: no such setting"},
    {"[nowhere]\nstate = 1\n", NULL, ":2: [nowhere] state: no such setting"},
    {"[daemon]\ndrain = soon\n", NULL, "must be a span"},
    {"[daemon]\ndrain = 2d\n", NULL, "from 0s to 1d"},
    {"[jobs]\nreaders = 0\n", NULL, "a number from 1 to 16"},
    {"[jobs]\nlog_bytes_max = 1K\n", NULL, "from 4K to 1T"},
    {"[exec]\ncgroups = perhaps\n", NULL, "true or false"},
    {"[daemon]\nlog_level = loud\n", NULL, "one of error|warn|info|debug"},
    {"[daemon]\nlog_level = info|debug\n", NULL, "one of error|warn|info|debug"},
    {"[daemon\n", NULL, ":1: "},
    {"[queue ]\nconcurrency = 1\n", NULL, "not a queue's name"},
    {"[queue a]\nspeed = 1\n", NULL, "known are concurrency"},
    {"[queue a]\nconcurrency = -1\n", NULL, "known are concurrency"},
    {"", "--bogus", "--bogus: no such option"},
    {"", "--drain", "needs a value"},
    {"", "--drain=x", "must be a span"},
    {"", "word", "word: no such option"},
    {"[daemon]\nstate =\n", NULL, ":2: [daemon] state = : must be a path"},
    {"[daemon]\nlisten = nonsense\n", NULL, "must be ADDR:PORT"},
    {"[daemon]\nlisten = 127.0.0.1:99999\n", NULL, "must be ADDR:PORT"},
    {"[daemon]\nlisten = example.org:80\n", NULL, "must be ADDR:PORT"},
    {"[daemon]\nsocket_mode = 0999\n", NULL, "must be octal"},
    {"[daemon]\nsocket_mode = 4777\n", NULL, "must be octal"},
    {"[http]\nallow = 10.0.0.0/8 10.0.0.0/99\n", NULL, "must be addresses or networks"},
    {"[file]\nroots = /srv\nroots = tmp\n", NULL, ":3: [file] roots = tmp: must be absolute"},
    {"state = /tmp\n", NULL, ":1: state: stands before any [section]"},
};

START_TEST(what_does_not_fit_is_refused_with_its_place)
{
    setup();
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        int r = load(refusals[i].text, (char *)(uintptr_t)refusals[i].flag, NULL);
        ck_assert_msg(r == -EINVAL, "not refused: %s", refusals[i].text);
        ck_assert_msg(strstr(why, refusals[i].words) != NULL, "%s: %s", refusals[i].words, why);
        const char *place = strstr(why, "stintd.conf:");
        ck_assert_msg(place == NULL || strstr(place + 1, "stintd.conf:") == NULL,
                      "the place stands twice: %s", why);
        conf_deinit(&conf);
    }
    teardown();
}
END_TEST

START_TEST(what_fits_is_taken)
{
    setup();
    ck_assert_int_eq(load("[daemon]\nlisten = [::1]:7846\nsocket_mode = 660\n"
                          "[http]\nallow = ::1 127.0.0.0/8\n[file]\nroots = /a /b\n",
                          NULL, NULL),
                     0);
    conf_deinit(&conf);
    ck_assert_int_eq(load("[daemon]\nlisten =\nsocket =\n", NULL, NULL), 0);
    teardown();
}
END_TEST

START_TEST(a_variable_of_our_name_that_is_no_setting_is_refused)
{
    setup();
    setenv("STINTD_DAEMON_DRAN", "7s", 1);
    ck_assert_int_eq(load("", NULL, NULL), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "STINTD_DAEMON_DRAN: no such setting"));
    conf_deinit(&conf);
    unsetenv("STINTD_DAEMON_DRAN");
    setenv("STINTD_CONFIG", "/nowhere", 1);
    ck_assert_int_eq(load("", NULL, NULL), 0);
    unsetenv("STINTD_CONFIG");
    teardown();
}
END_TEST

START_TEST(a_file_is_not_read_up_to_a_byte_of_0)
{
    static const char text[] = "[daemon]\ndrain = 5s\n\0bogus";
    char *argv[] = {"stintd", "--config", NULL, NULL};

    setup();
    argv[2] = file;
    ck_assert_int_eq(io_file_replace(AT_FDCWD, file, text, sizeof text - 1, 0600), 0);
    ck_assert_int_eq(conf_load(&conf, 3, argv, why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "byte of 0"));
    teardown();
}
END_TEST

START_TEST(a_line_that_would_be_cut_is_refused)
{
    char text[400] = "[file]\nroots = /";

    setup();
    memset(text + strlen(text), 'x', 250);
    ck_assert_int_eq(load(text, NULL, NULL), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, ":2: line of"));
    teardown();
}
END_TEST

START_TEST(a_named_file_must_exist)
{
    char *argv[] = {"stintd", "--config", "/nowhere/at/all", NULL};

    ck_assert_int_eq(conf_load(&conf, 3, argv, why), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "/nowhere/at/all: cannot be read"));
    conf_deinit(&conf);
}
END_TEST

START_TEST(what_is_printed_can_be_read_again)
{
    OWN_BUF struct buf first = BUF_INIT, second = BUF_INIT;

    setup();
    /* As one line the hosts would be too long to be read again. */
    setenv(
        "STINTD_DAEMON_HOST_NAMES",
        "one.example.org two.example.org three.example.org four.example.org five.example.org "
        "six.example.org seven.example.org eight.example.org nine.example.org a.example.org "
        "b.example.org c.example.org d.example.org e.example.org f.example.org",
        1);
    ck_assert_int_eq(load("[file]\nroots = /a /b\n[queue q]\nconcurrency = 2\nkey_concurrency "
                          "= 1\npaused = true\n"
                          "[daemon]\ndrain = 90s\n[jobs]\nlog_bytes_max = 3M\n",
                          NULL, NULL),
                     0);
    conf_print(&conf, &first);
    conf_deinit(&conf);
    unsetenv("STINTD_DAEMON_HOST_NAMES");
    ck_assert_int_eq(load(buf_str(&first), NULL, NULL), 0);
    conf_print(&conf, &second);
    ck_assert_str_eq(buf_str(&first), buf_str(&second));
    teardown();
}
END_TEST

START_TEST(help_and_manual_name_every_setting)
{
    OWN_BUF struct buf help = BUF_INIT, manual = BUF_INIT;

    conf_help(&help);
    conf_manual(&manual);
    for (size_t i = 0; i < conf_rows_count; i++) {
        ck_assert_ptr_nonnull(strstr(buf_str(&manual), conf_rows[i].key));
        if (conf_rows[i].flag != NULL)
            ck_assert_ptr_nonnull(strstr(buf_str(&help), conf_rows[i].flag));
    }
}
END_TEST

START_TEST(a_reload_takes_limits_and_leaves_folders)
{
    struct conf *fresh = calloc(1, sizeof *fresh);
    OWN_BUF struct buf waiting = BUF_INIT;
    char *argv[] = {"stintd", "--config", NULL, NULL};

    setup();
    argv[2] = file;
    ck_assert_int_eq(load("[daemon]\nstate = /one\n[exec]\nconcurrency = 3\n", NULL, NULL), 0);
    write_file("[daemon]\nstate = /two\nlog_level = debug\n[exec]\nconcurrency = 5\n"
               "[jobs]\nkeep_failed = 2d\nreaders = 3\n"
               "[queue q]\npaused = true\n");
    ck_assert_int_eq(conf_load(fresh, 3, argv, why), 0);
    conf_adopt(&conf, fresh, &waiting);
    ck_assert_str_eq(buf_str(&waiting), "[daemon] state, [daemon] socket, [daemon] token_file, "
                                        "[jobs] readers");
    ck_assert_uint_eq(conf.readers, 2);
    ck_assert_str_eq(conf.log_level, "debug");
    ck_assert_str_eq(conf.state, "/one");
    ck_assert_uint_eq(conf.exec_concurrency, 5);
    ck_assert_int_eq(conf.keep_failed_ms, INT64_C(2) * 24 * 3600 * 1000);
    ck_assert_int_eq(conf.keep_cancelled_ms, INT64_C(7) * 24 * 3600 * 1000);
    ck_assert_uint_eq(conf.queues_count, 1);
    conf_deinit(fresh);
    free(fresh);
    teardown();
}
END_TEST

int main(void)
{
    return SUITE_MAIN("daemon conf", defaults_hold_without_a_file_of_settings,
                      the_command_line_beats_the_environment_beats_the_file,
                      relative_paths_and_the_state_prefix_become_absolute,
                      a_list_may_be_given_on_several_lines, queues_have_sections_of_their_own,
                      what_does_not_fit_is_refused_with_its_place, what_fits_is_taken,
                      a_variable_of_our_name_that_is_no_setting_is_refused,
                      a_file_is_not_read_up_to_a_byte_of_0, a_line_that_would_be_cut_is_refused,
                      a_named_file_must_exist, what_is_printed_can_be_read_again,
                      help_and_manual_name_every_setting,
                      a_reload_takes_limits_and_leaves_folders);
}
