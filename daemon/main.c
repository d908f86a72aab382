/* stintd: the process. Reads like a table of contents: settings, log, folder, doors, store,
 * then the scheduler with serve_run as its root task. Only this file ends the process. */
#include "api/api.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/io.h"
#include "base/log.h"
#include "base/map.h"
#include "base/rand.h"
#include "daemon/conf.h"
#include "daemon/doctor.h"
#include "daemon/doors.h"
#include "daemon/manual.h"
#include "daemon/serve.h"
#include "jobs/spec.h"
#include "scheduler/block.h"
#include "scheduler/scheduler.h"
#include "storage/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_CONFIG = 78, EXIT_BUSY = 75, EXIT_CANNOT = 74 }; /* as in sysexits.h */

static int print(enum conf_answer answer, const struct conf *conf)
{
    OWN_BUF struct buf out = BUF_INIT;

    if (answer == CONF_HELP)
        conf_help(&out);
    else if (answer == CONF_VERSION)
        buf_puts(&out, "stintd " STINT_VERSION "\n");
    else if (answer == CONF_MANUAL)
        conf_manual(&out);
    else if (answer == CONF_MANUAL_JOBS)
        manual_jobs(&out);
    else if (answer == CONF_PRINT)
        conf_print(conf, &out);
    else
        buf_putf(&out, "configuration is right (%s)\n",
                 conf->file != NULL ? conf->file : "no file, defaults");
    return io_write_all(STDOUT_FILENO, out.data, out.len) < 0 ? EXIT_CANNOT : EXIT_SUCCESS;
}

static void setup_log(const struct conf *conf)
{
    enum log_format format = LOG_TEXT;
    enum log_level level = LOG_INFO;

    if (strcmp(conf->log_format, "json") == 0)
        format = LOG_JSON;
    else if (strcmp(conf->log_format, "journal") == 0 ||
             (strcmp(conf->log_format, "auto") == 0 && getenv("JOURNAL_STREAM") != NULL))
        format = LOG_JOURNAL;
    log_level_parse(conf->log_level, &level);
    log_setup(STDERR_FILENO, format, level);
}

/* As many descriptors as we may have: connections and running commands each take some. */
static void raise_limits(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int refuse(int status, const char *event, const char *what, const char *why)
{
    log_error(event, LOG_STR("what", what), LOG_STR("why", why));
    return status;
}

static int open_store(const struct conf *conf, struct store **ret)
{
    char why[STORE_WHY_BYTES] = "";
    int r = io_mkdirs(AT_FDCWD, conf->state, 0750);

    if (r < 0)
        return refuse(EXIT_CANNOT, "daemon.no_state", conf->state, err_text(r));
    r = store_open_sqlite(conf->state, ret, why);
    if (r == 0)
        return 0;
    return refuse(r == STORE_LOCKED ? EXIT_BUSY : EXIT_CANNOT, "daemon.no_store", conf->state,
                  why[0] != '\0' ? why : err_text(r));
}

/* Names of queues and keys come from clients: without a secret they could choose names that
 * collide. */
static int seed_maps(void)
{
    uint64_t secret[2];
    int r = rand_secret(secret, sizeof secret);

    if (r < 0)
        return refuse(EXIT_CANNOT, "daemon.no_secret", "getrandom", err_text(r));
    map_seed(secret[0], secret[1]);
    return 0;
}

/* Settles what the store of a stopped daemon has to say for itself. */
static int doctor(const struct conf *conf)
{
    char path[PATH_MAX], why[STORE_WHY_BYTES] = "";
    struct stat st;

    snprintf(path, sizeof path, "%s/stint.db", conf->state);
    if (stat(path, &st) < 0 && errno == ENOENT)
        return refuse(EXIT_CANNOT, "doctor.no_store", path,
                      "there is no store: name its folder with --state");
    if (stat(path, &st) < 0)
        return refuse(EXIT_CANNOT, "doctor.no_store", path, err_text(-errno));
    if (st.st_size == 0)
        return refuse(EXIT_CANNOT, "doctor.no_store", path,
                      "it is empty: if there were jobs in it, restore a backup");
    int status = seed_maps();
    if (status != 0)
        return status;
    int r = doctor_check(conf->state, why);
    if (r == DOCTOR_HEALTHY)
        return EXIT_SUCCESS;
    if (r == DOCTOR_UNHEALTHY)
        return EXIT_FAILURE;
    if (r == DOCTOR_BUSY) {
        snprintf(path, sizeof path, "stint -u unix://%s doctor", conf->socket);
        log_error("doctor.cannot", LOG_STR("what", conf->state), LOG_STR("why", why),
                  LOG_STR("or", path));
        return EXIT_BUSY;
    }
    return refuse(EXIT_CANNOT, "doctor.cannot", conf->state,
                  why[0] != '\0' ? why : err_text(r));
}

/* Everything that needs no task: what fails here fails before anybody was answered. */
static int prepare(struct serve *serve)
{
    const struct conf *conf = serve->conf;

    spec_json_prepare();
    int status = seed_maps();
    if (status == 0)
        status = open_store(conf, &serve->store);
    if (status != 0)
        return status;
    int r = api_token_file_make(conf->token_file);
    if (r < 0)
        return refuse(EXIT_CANNOT, "daemon.no_token", conf->token_file, err_text(r));
    r = doors_open(conf, serve->doors, serve->why);
    if (r < 0)
        return refuse(r == -EADDRINUSE ? EXIT_BUSY : EXIT_CANNOT, "daemon.no_door",
                      conf->socket, serve->why);
    return 0;
}

static int run(struct serve *serve)
{
    const struct scheduler_options options = {
        .processors = (unsigned)serve->conf->processors,
        .blocking_max = (unsigned)serve->conf->blocking_threads,
    };

    block_limit(BLOCK_FILE, (unsigned)serve->conf->blocking_threads);
    block_limit(BLOCK_EXEC, (unsigned)serve->conf->blocking_threads);
    int r = scheduler_run(&options, serve_run, serve);
    if (r < 0)
        return refuse(EXIT_CANNOT, "daemon.failed", "start",
                      serve->why[0] != '\0' ? serve->why : err_text(r));
    log_info("daemon.stopped");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct conf conf;
    char why[CONF_WHY_BYTES];
    struct doors doors = {.unix_fd = -1, .tcp_fd = -1};
    struct serve serve = {.conf = &conf,
                          .doors = &doors,
                          .argc = argc,
                          .argv = argv,
                          .started_ns = clock_mono_ns()};

    /* Names of files in archives are UTF-8. Nothing else of a locale is wanted. */
    setlocale(LC_CTYPE, "C.UTF-8");
    int r = conf_load(&conf, argc, argv, why);
    if (r < 0) {
        fprintf(stderr, "stintd: %s\n", why);
        return EXIT_CONFIG;
    }
    if (r != CONF_OK && r != CONF_DOCTOR)
        return print((enum conf_answer)r, &conf);
    if (getenv("STINT_FAULT") != NULL && fault_arm_env(getenv("STINT_FAULT")) < 0) {
        fprintf(stderr, "stintd: STINT_FAULT: must be point:n:ERRNO,…\n");
        return EXIT_CONFIG;
    }
    setup_log(&conf);
    raise_limits();
    serve_block_signals();

    int status = r == CONF_DOCTOR ? doctor(&conf) : prepare(&serve);
    if (status == 0 && r != CONF_DOCTOR)
        status = run(&serve);
    doors_close(&doors, &conf);
    store_close(serve.store);
    conf_deinit(&conf);
    return status;
}
