/* conf.h: every setting of the daemon in one table (conf_table.c). The table yields the
 * defaults, the checks, `stintd --help`, `stintd --print-config` and the manual's list of
 * options; nothing about a setting is said in a second place.
 *
 * Precedence: command line, then environment (STINTD_<SECTION>_<KEY>), then the file, then the
 * default. A value that does not fit is refused with its place: nothing starts half configured.
 */
#ifndef DAEMON_CONF_H
#define DAEMON_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

#define CONF_LIST_MAX 64
#define CONF_QUEUES_MAX 256
#define CONF_FILE_BYTES_MAX (1u << 20)
#define CONF_LINE_BYTES_MAX 198 /* libinih cuts what is longer; we refuse it instead */
#define CONF_WHY_BYTES 320
#define CONF_FILE_DEFAULT "/etc/stint/stintd.conf"

struct conf_queue {
    char *name;
    int64_t concurrency;     /* -1 = not set */
    int64_t key_concurrency; /* -1 = not set */
    int paused;              /* -1 = not set */
};

struct conf {
    /* [daemon] */
    char *state;       /* absolute after conf_load */
    char *socket;      /* absolute; "" = none; default STATE/stint.sock */
    char *listen;      /* ADDR:PORT; "" = none */
    char *socket_mode; /* octal */
    char *token_file;  /* absolute; default STATE/token */
    char **host_names; /* Host headers let in besides loopback names and the bound address */
    char *log_level, *log_format;
    int64_t drain_ms;
    uint64_t processors, blocking_threads;
    /* [jobs] */
    uint64_t running_max, waiting_max, backlog_max, crashes_max, log_bytes_max;
    int64_t keep_succeeded_ms, keep_failed_ms, keep_cancelled_ms; /* 0 = for ever */
    /* [exec] [http] [file] */
    uint64_t readers;
    uint64_t exec_concurrency, http_concurrency, file_concurrency, worker_concurrency;
    bool exec_cgroups, exec_limits_optional;
    char **http_allow;
    uint64_t http_response_bytes;
    char **file_roots;
    uint64_t extract_bytes_max;
    /* [api] */
    uint64_t connections_max;
    int64_t idle_timeout_ms;
    /* [queue NAME] */
    struct conf_queue queues[CONF_QUEUES_MAX];
    unsigned queues_count;
    /* Where it came from. */
    char *file; /* NULL when none was read */
};

enum conf_answer {
    CONF_OK = 0,
    CONF_HELP,
    CONF_VERSION,
    CONF_PRINT,
    CONF_MANUAL,
    CONF_MANUAL_JOBS,
    CONF_CHECK,
    CONF_DOCTOR
};

/* Reads all four sources. 0 or a positive answer (what the command line asks for instead of
 * starting; conf is filled for CONF_PRINT, CONF_CHECK and CONF_DOCTOR); -EINVAL with why
 * (CONF_WHY_BYTES): place, value, what is allowed. The default file may be missing, a named one
 * may not. */
int conf_load(struct conf *conf, int argc, char **argv, char *why);
/* Takes over from fresh what may change while jobs run; the rest of conf stays, and what of it
 * differs is named in ret_waiting, "" = nothing. Both stay the caller's. */
void conf_adopt(struct conf *conf, struct conf *fresh, struct buf *ret_waiting);
void conf_deinit(struct conf *conf);

void conf_help(struct buf *ret); /* --help */
void conf_print(const struct conf *conf,
                struct buf *ret);  /* the effective settings as a file */
void conf_manual(struct buf *ret); /* the list of stintd.conf(5) */

#endif
