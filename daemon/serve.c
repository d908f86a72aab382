#include "daemon/serve.h"

#include "api/api.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/own.h"
#include "daemon/watchdog.h"
#include "jobs/engine_admin.h"
#include "scheduler/group.h"
#include "scheduler/net.h"
#include "scheduler/task.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* A stop goes from the outside in: no job starts any more and running ones get the drain; then
 * waiting clients get their answers and the doors close; then engine and store. A second TERM
 * cuts the drain short: jobs are stopped at once and go back to the queue, uncounted. */

#define API_DRAIN_NS (2 * NS_PER_S)
#define EXIT_STORE_FAILED 74 /* EX_IOERR of sysexits.h */

struct life {
    struct serve *serve;
    struct group group; /* every task of the daemon but the root */
    struct engine *engine;
    struct api *api;
    struct net *signals;
    struct kind_config kinds;
};

static sigset_t our_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

void serve_block_signals(void)
{
    sigset_t set = our_signals();

    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* ---------------------------------------------------------------- opening ----------------- */

/* After a failed sync nobody knows what is on the disk, and trying it again may hide the loss
 * (the kernel marks the pages clean). So the process ends at once, as if it had been killed:
 * the next start reads what is there, takes jobs back, and ends what they left running. */
static void on_store_failed(void *ctx, int r)
{
    (void)ctx;
    log_error("daemon.store_failed", LOG_ERR(r), LOG_STR("next", "ends now; start again"));
    _exit(EXIT_STORE_FAILED);
}

static struct engine_options engine_options_of(struct life *life)
{
    const struct conf *conf = life->serve->conf;

    return (struct engine_options){
        .store = life->serve->store,
        .kinds = &life->kinds,
        .running_max = (uint32_t)conf->running_max,
        .kind_max = {[KIND_EXEC] = (uint32_t)conf->exec_concurrency,
                     [KIND_HTTP] = (uint32_t)conf->http_concurrency,
                     [KIND_FILE] = (uint32_t)conf->file_concurrency,
                     [KIND_WORKER] = (uint32_t)conf->worker_concurrency},
        .backlog_max = (uint32_t)conf->backlog_max,
        .jobs_waiting_max = conf->waiting_max,
        .readers = (uint32_t)conf->readers,
        .crashes_max = (uint32_t)conf->crashes_max,
        .failed = on_store_failed,
    };
}

static const char *given(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static void fill_kinds(struct life *life)
{
    const struct conf *conf = life->serve->conf;
    const struct doors *doors = life->serve->doors;

    life->kinds = (struct kind_config){
        .state_dir = conf->state,
        .socket_path = given(doors->unix_path),
        .file_roots = conf->file_roots,
        .http_allow = conf->http_allow,
        .http_response_bytes_max = conf->http_response_bytes,
        .log_bytes_max = conf->log_bytes_max,
        .cgroups = conf->exec_cgroups,
        .limits_optional = conf->exec_limits_optional,
        .extract_bytes_max = conf->extract_bytes_max,
    };
}

static int apply_queues(struct life *life)
{
    const struct conf *conf = life->serve->conf;

    for (unsigned i = 0; i < conf->queues_count; i++) {
        const struct conf_queue *q = &conf->queues[i];
        const struct queue_settings settings = {.concurrency = q->concurrency,
                                                .key_concurrency = q->key_concurrency,
                                                .paused = q->paused};
        int r = engine_queue_set(life->engine, q->name, &settings);
        if (r != 0) {
            snprintf(life->serve->why, CONF_WHY_BYTES, "[queue %.64s]: %s", q->name,
                     r < 0 ? err_text(r) : "the store refuses writes");
            return r < 0 ? r : -EROFS;
        }
    }
    return 0;
}

static void apply_keep(struct life *life)
{
    const struct conf *conf = life->serve->conf;
    const struct keep_settings settings = {
        .keep_ms = {[JOB_SUCCEEDED] = conf->keep_succeeded_ms,
                    [JOB_FAILED] = conf->keep_failed_ms,
                    [JOB_CANCELLED] = conf->keep_cancelled_ms,
                    [JOB_EXPIRED] = conf->keep_cancelled_ms,
                    [JOB_SKIPPED] = conf->keep_cancelled_ms},
    };

    engine_keep(life->engine, &settings);
}

static int open_engine(struct life *life)
{
    struct engine_options options = engine_options_of(life);
    char why[STORE_WHY_BYTES] = "";

    int r = engine_open(&options, &life->group, &life->engine, why);
    if (r < 0)
        snprintf(life->serve->why, CONF_WHY_BYTES, "engine: %s", why[0] ? why : err_text(r));
    if (r < 0)
        return r;
    apply_keep(life);
    return apply_queues(life);
}

static int open_api(struct life *life)
{
    struct serve *serve = life->serve;
    const struct api_options options = {
        .engine = life->engine,
        .unix_fd = TAKE_FD(serve->doors->unix_fd),
        .tcp_fd = TAKE_FD(serve->doors->tcp_fd),
        .token_file = serve->conf->token_file,
        .hosts = serve->conf->host_names,
        .connections_max = (uint32_t)serve->conf->connections_max,
        .receive_timeout_ms = serve->conf->idle_timeout_ms,
        .send_timeout_ms = serve->conf->idle_timeout_ms,
        .version = STINT_VERSION,
        .started_at_ms = clock_wall_ms(),
    };
    char why[API_WHY_BYTES] = "";

    int r = api_open(&options, &life->group, &life->api, why);
    if (r < 0)
        snprintf(serve->why, CONF_WHY_BYTES, "api: %s", why[0] != '\0' ? why : err_text(r));
    return r;
}

static int open_signals(struct life *life)
{
    sigset_t set = our_signals();
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    int r = fd < 0 ? -errno : net_open(fd, &life->signals);

    if (r < 0)
        snprintf(life->serve->why, CONF_WHY_BYTES, "signals: %s", err_text(r));
    return r;
}

/* ---------------------------------------------------------------- living ------------------ */

static int next_signal(struct life *life, uint64_t deadline_ns)
{
    struct signalfd_siginfo info;
    ssize_t n = net_read(life->signals, &info, sizeof info, deadline_ns);

    return n < 0 ? (int)n : (int)info.ssi_signo;
}

static const char *door_name(const struct serve *serve)
{
    return serve->doors->unix_path[0] != '\0' ? serve->doors->unix_path
                                              : serve->doors->tcp_address;
}

static void tell_ready(const struct life *life)
{
    const struct serve *serve = life->serve;
    uint64_t took_us = (clock_mono_ns() - serve->started_ns) / NS_PER_US;

    sd_notifyf(0, "READY=1\nSTATUS=serving at %s", door_name(serve));
    log_info(
        "daemon.ready", LOG_STR("version", STINT_VERSION), LOG_U64("took_us", took_us),
        LOG_STR("state", serve->conf->state), LOG_STR("socket", given(serve->doors->unix_path)),
        LOG_STR("listen", given(serve->doors->tcp_address)),
        LOG_STR("config", serve->conf->file), LOG_U64("processors", scheduler_processors()),
        LOG_U64("exec", serve->conf->exec_concurrency),
        LOG_U64("http", serve->conf->http_concurrency),
        LOG_U64("file", serve->conf->file_concurrency));
}

/* Only what can change under running jobs changes: limits, queues, tokens, the log's level.
 * What needs a restart (folders, doors, allow lists) keeps its old value until then, and the
 * log says so. */
static void reload(struct life *life)
{
    struct conf *conf = calloc(1, sizeof *conf);
    char why[CONF_WHY_BYTES] = "";
    enum log_level level;

    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
               (unsigned long long)(clock_mono_ns() / NS_PER_US));
    int r = conf == NULL ? -ENOMEM : conf_load(conf, life->serve->argc, life->serve->argv, why);
    if (r < 0) {
        log_error("daemon.reload_refused", LOG_STR("why", why),
                  LOG_STR("kept", "all settings"));
    } else {
        OWN_BUF struct buf waiting = BUF_INIT;
        conf_adopt(life->serve->conf, conf, &waiting);
        if (waiting.len > 0)
            log_warn("daemon.restart_needed", LOG_STR("settings", buf_str(&waiting)));
        struct engine_options options = engine_options_of(life);
        engine_limits(life->engine, &options);
        apply_keep(life);
        if (apply_queues(life) < 0 || api_reload(life->api, why) < 0)
            log_error("daemon.reload_partial", LOG_STR("why", why[0] ? why : life->serve->why));
        if (log_level_parse(life->serve->conf->log_level, &level) == 0)
            log_set_level(level);
        log_info("daemon.reloaded", LOG_STR("config", life->serve->conf->file));
    }
    if (conf != NULL)
        conf_deinit(conf);
    free(conf);
    sd_notifyf(0, "READY=1\nSTATUS=serving at %s%s%.200s", door_name(life->serve),
               r < 0 ? "; the new settings are refused: " : "", r < 0 ? why : "");
}

static int serve_until_stopped(struct life *life)
{
    for (;;) {
        int s = next_signal(life, 0);
        if (s == SIGHUP)
            reload(life);
        else if (s == SIGTERM || s == SIGINT || s < 0)
            return s;
    }
}

/* ---------------------------------------------------------------- stopping ---------------- */

static int hurry(void *arg)
{
    struct life *life = arg;

    for (;;) {
        int s = next_signal(life, 0);
        if (s < 0)
            return 0;
        if (s == SIGTERM || s == SIGINT) {
            log_warn("daemon.stop_now", LOG_STR("signal", sigabbrev_np(s)));
            engine_drain(life->engine, task_now_ns());
            return 0;
        }
    }
}

static void drain(struct life *life, int s)
{
    const struct conf *conf = life->serve->conf;
    uint64_t began_ns = clock_mono_ns();
    struct group impatience;

    sd_notify(0, "STOPPING=1\nSTATUS=draining");
    log_info("daemon.stopping", LOG_STR("signal", s > 0 ? sigabbrev_np(s) : NULL),
             LOG_I64("drain_ms", conf->drain_ms));
    group_open(&impatience, "second signal");
    group_go(&impatience, hurry, life);
    engine_drain(life->engine, began_ns + (uint64_t)conf->drain_ms * NS_PER_MS + 1);
    group_close(&impatience);
    api_drain(life->api, clock_mono_ns() + API_DRAIN_NS);
    log_info("daemon.drained", LOG_U64("took_ms", (clock_mono_ns() - began_ns) / NS_PER_MS));
}

int serve_run(void *arg)
{
    struct life life = {.serve = arg};
    struct watchdog *watchdog = NULL;

    group_open(&life.group, "daemon");
    group_policy(&life.group, GROUP_COLLECT);
    fill_kinds(&life);
    int r = open_signals(&life);
    if (r == 0)
        r = open_engine(&life);
    if (r == 0)
        r = open_api(&life);
    if (r == 0)
        r = watchdog_start(&watchdog);
    if (r == 0) {
        tell_ready(&life);
        drain(&life, serve_until_stopped(&life));
    }
    api_close(life.api);
    engine_close(life.engine);
    watchdog_stop(watchdog);
    net_close(life.signals);
    group_close(&life.group);
    return r;
}
