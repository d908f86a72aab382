#include "daemon/conf_table.h"

#include "daemon/conf.h"

#define AT(field) offsetof(struct conf, field)
#define DAY_MS (UINT64_C(24) * 3600 * 1000)
#define KEEP_MS_MAX (3650 * DAY_MS)

/* To add a setting: a field in struct conf, a row here, tests/lint/man.sh --write for
 * stintd.conf(5). */
const struct conf_row conf_rows[] = {
    {"daemon", "state", "state", CONF_TEXT, AT(state), "/var/lib/stint", 0, 0, NULL, "DIR",
     "folder of the store, the logs and the token; made if missing"},
    {"daemon", "socket", "socket", CONF_TEXT, AT(socket), "STATE/stint.sock", 0, 0, NULL,
     "PATH", "UNIX socket for clients on this machine; empty for none"},
    {"daemon", "socket_mode", NULL, CONF_TEXT, AT(socket_mode), "0660", 0, 0, NULL, "MODE",
     "permissions of the socket: who can connect is let in"},
    {"daemon", "listen", "listen", CONF_TEXT, AT(listen), "", 0, 0, NULL, "ADDR:PORT",
     "TCP address for clients with a token; empty for none"},
    {"daemon", "token_file", "token-file", CONF_TEXT, AT(token_file), "STATE/token", 0, 0, NULL,
     "PATH", "one token a line for clients over TCP; STATE/token is made at the first start"},
    {"daemon", "host_names", NULL, CONF_LIST, AT(host_names), "", 0, 0, NULL, "NAME …",
     "names a Host header may carry besides loopback names and the bound address"},
    {"daemon", "log_level", "log-level", CONF_WORD, AT(log_level), "info", 0, 0,
     "error|warn|info|debug", "LEVEL", "least important level that is written"},
    {"daemon", "log_format", "log-format", CONF_WORD, AT(log_format), "auto", 0, 0,
     "auto|text|json|journal", "FORMAT",
     "form of a log line; auto is journal under systemd, else text"},
    {"daemon", "drain", "drain", CONF_SPAN, AT(drain_ms), "30s", 0, DAY_MS, NULL, "SPAN",
     "how long running jobs may go on after a stop was asked for"},
    {"daemon", "processors", "processors", CONF_COUNT, AT(processors), "0", 0, 256, NULL, "N",
     "threads that run tasks; 0 for what affinity and the cgroup's quota allow"},
    {"daemon", "blocking_threads", NULL, CONF_COUNT, AT(blocking_threads), "8", 1, 256, NULL,
     "N", "threads inside blocking calls at once: for files, and for commands"},
    {"jobs", "running_max", NULL, CONF_COUNT, AT(running_max), "10000", 1, 1000000, NULL, "N",
     "attempts at once, all kinds that the daemon runs together"},
    {"jobs", "waiting_max", NULL, CONF_COUNT, AT(waiting_max), "10000000", 1, 1000000000, NULL,
     "N", "jobs not ended; more are refused with 503"},
    {"jobs", "backlog_max", NULL, CONF_COUNT, AT(backlog_max), "4096", 16, 1000000, NULL, "N",
     "requests waiting for the store; more are refused with 503"},
    {"jobs", "crashes_max", NULL, CONF_COUNT, AT(crashes_max), "3", 1, 100, NULL, "N",
     "times a job may take the daemon down before it fails as poison"},
    {"jobs", "log_bytes_max", NULL, CONF_SIZE, AT(log_bytes_max), "16M", 4096,
     UINT64_C(1) << 40, NULL, "SIZE",
     "output kept of one attempt; the rest is cut, and said so"},
    {"jobs", "readers", NULL, CONF_COUNT, AT(readers), "2", 1, 16, NULL, "N",
     "threads that read the store for lists and single jobs"},
    {"jobs", "keep_succeeded", NULL, CONF_SPAN, AT(keep_succeeded_ms), "7d", 0, KEEP_MS_MAX,
     NULL, "SPAN", "how long jobs that succeeded stay, with their logs; 0 for ever"},
    {"jobs", "keep_failed", NULL, CONF_SPAN, AT(keep_failed_ms), "30d", 0, KEEP_MS_MAX, NULL,
     "SPAN", "how long jobs that failed stay; 0 for ever"},
    {"jobs", "keep_cancelled", NULL, CONF_SPAN, AT(keep_cancelled_ms), "7d", 0, KEEP_MS_MAX,
     NULL, "SPAN", "how long jobs that were cancelled, expired or skipped stay; 0 for ever"},
    {"exec", "concurrency", NULL, CONF_COUNT, AT(exec_concurrency), "16", 1, 100000, NULL, "N",
     "commands at once"},
    {"exec", "cgroups", NULL, CONF_BOOL, AT(exec_cgroups), "true", 0, 0, NULL, "BOOL",
     "give each command a cgroup of its own where the system allows it"},
    {"exec", "limits_optional", NULL, CONF_BOOL, AT(exec_limits_optional), "false", 0, 0, NULL,
     "BOOL",
     "run a command whose limits cannot be enforced here without them, instead of "
     "refusing it"},
    {"http", "concurrency", NULL, CONF_COUNT, AT(http_concurrency), "2000", 1, 100000, NULL,
     "N", "requests at once"},
    {"http", "allow", NULL, CONF_LIST, AT(http_allow), "", 0, 0, NULL, "CIDR …",
     "private, loopback or link-local destinations that jobs may reach"},
    {"http", "response_bytes", NULL, CONF_SIZE, AT(http_response_bytes), "64K", 0,
     UINT64_C(64) << 20, NULL, "SIZE", "of a response's body kept in the result"},
    {"file", "concurrency", NULL, CONF_COUNT, AT(file_concurrency), "4", 1, 10000, NULL, "N",
     "file jobs at once"},
    {"file", "roots", NULL, CONF_LIST, AT(file_roots), "", 0, 0, NULL, "DIR …",
     "folders below which file jobs may work; none means that file jobs are refused"},
    {"file", "extract_bytes_max", NULL, CONF_SIZE, AT(extract_bytes_max), "64G", 1 << 20,
     UINT64_C(1) << 50, NULL, "SIZE", "what may come out of one archive; more is refused"},
    {"worker", "concurrency", NULL, CONF_COUNT, AT(worker_concurrency), "100000", 1, 1000000,
     NULL, "N", "jobs that workers elsewhere lease at once"},
    {"api", "connections_max", NULL, CONF_COUNT, AT(connections_max), "8192", 1, 1000000, NULL,
     "N", "connections at once; further ones wait in the system's queue"},
    {"api", "idle_timeout", NULL, CONF_SPAN, AT(idle_timeout_ms), "60s", 1000, DAY_MS, NULL,
     "SPAN", "a connection silent for so long is closed"},
};
const size_t conf_rows_count = sizeof conf_rows / sizeof *conf_rows;

/* conf.c marks rows that a file gave already in a 64-bit word. */
_Static_assert(sizeof conf_rows / sizeof *conf_rows <= 64, "too many settings for the mark");
