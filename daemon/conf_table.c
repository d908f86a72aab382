#include "daemon/conf_table.h"

#include "base/str.h"
#include "daemon/conf.h"
#include "daemon/doors.h"
#include "jobs/http_guard.h"

#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(struct conf, field)
#define DAY_MS (UINT64_C(24) * 3600 * 1000)
#define KEEP_MS_MAX (3650 * DAY_MS)

static bool is_path(const char *text)
{
    return text[0] != '\0';
}

static bool is_folder(const char *text)
{
    return text[0] == '/';
}

static bool is_mode(const char *text)
{
    size_t len = strlen(text);
    return len >= 3 && len <= 4 && strspn(text, "01234567") == len &&
           (len == 3 || text[0] == '0');
}

static bool is_address(const char *text)
{
    struct doors_address address;
    return text[0] == '\0' || doors_address_parse(text, &address);
}

static bool is_network(const char *text)
{
    char *allow[] = {(char *)(uintptr_t)text, NULL};
    struct http_guard *guard = NULL;
    const char *bad;
    int r = http_guard_new(allow, &guard, &bad);

    http_guard_free(guard);
    return r == 0;
}

static const struct conf_form path = {"a path", is_path};
static const struct conf_form folder = {"absolute paths", is_folder};
static const struct conf_form mode = {"octal, such as 0660", is_mode};
static const struct conf_form address = {"ADDR:PORT, such as 127.0.0.1:7846", is_address};
static const struct conf_form network = {"addresses or networks such as 10.1.0.0/16",
                                         is_network};

/* To add a setting: a field in struct conf, a row here, tests/lint/man.sh --write for
 * stintd.conf(5). */
const struct conf_row conf_rows[] = {
    {"daemon", "state", "state", CONF_TEXT, AT(state), "/var/lib/stint", 0, 0, NULL, "DIR",
     "folder of the store, the logs and the token; made if missing", CONF_START, &path},
    {"daemon", "socket", "socket", CONF_TEXT, AT(socket), "STATE/stint.sock", 0, 0, NULL,
     "PATH", "UNIX socket for clients on this machine; empty for none", CONF_START, NULL},
    {"daemon", "socket_mode", NULL, CONF_TEXT, AT(socket_mode), "0660", 0, 0, NULL, "MODE",
     "permissions of the socket: who can connect is let in", CONF_START, &mode},
    {"daemon", "listen", "listen", CONF_TEXT, AT(listen), "", 0, 0, NULL, "ADDR:PORT",
     "TCP address for clients with a token; empty for none", CONF_START, &address},
    {"daemon", "token_file", "token-file", CONF_TEXT, AT(token_file), "STATE/token", 0, 0, NULL,
     "PATH", "one token a line for clients over TCP; STATE/token is made at the first start",
     CONF_START, &path},
    {"daemon", "host_names", NULL, CONF_LIST, AT(host_names), "", 0, 0, NULL, "NAME …",
     "names a Host header may carry besides loopback names and the bound address", CONF_START,
     NULL},
    {"daemon", "log_level", "log-level", CONF_WORD, AT(log_level), "info", 0, 0,
     "error|warn|info|debug", "LEVEL", "least important level that is written", CONF_RELOAD,
     NULL},
    {"daemon", "log_format", "log-format", CONF_WORD, AT(log_format), "auto", 0, 0,
     "auto|text|json|journal", "FORMAT",
     "form of a log line; auto is journal under systemd, else text", CONF_START, NULL},
    {"daemon", "drain", "drain", CONF_SPAN, AT(drain_ms), "30s", 0, DAY_MS, NULL, "SPAN",
     "how long running jobs may go on after a stop was asked for", CONF_RELOAD, NULL},
    {"daemon", "processors", "processors", CONF_COUNT, AT(processors), "0", 0, 256, NULL, "N",
     "threads that run tasks; 0 for what affinity and the cgroup's quota allow", CONF_START,
     NULL},
    {"daemon", "blocking_threads", NULL, CONF_COUNT, AT(blocking_threads), "8", 1, 256, NULL,
     "N", "threads inside blocking calls at once: for files, and for commands", CONF_START,
     NULL},
    {"jobs", "running_max", NULL, CONF_COUNT, AT(running_max), "10000", 1, 1000000, NULL, "N",
     "attempts at once, all kinds that the daemon runs together", CONF_RELOAD, NULL},
    {"jobs", "waiting_max", NULL, CONF_COUNT, AT(waiting_max), "10000000", 1, 1000000000, NULL,
     "N", "jobs not ended; more are refused with 503", CONF_RELOAD, NULL},
    {"jobs", "backlog_max", NULL, CONF_COUNT, AT(backlog_max), "4096", 16, 1000000, NULL, "N",
     "requests waiting for the store; more are refused with 503", CONF_RELOAD, NULL},
    {"jobs", "crashes_max", NULL, CONF_COUNT, AT(crashes_max), "3", 1, 100, NULL, "N",
     "times a job may take the daemon down before it fails as poison", CONF_RELOAD, NULL},
    {"jobs", "log_bytes_max", NULL, CONF_SIZE, AT(log_bytes_max), "16M", 4096,
     UINT64_C(1) << 40, NULL, "SIZE",
     "output kept of one attempt; the rest is cut, and said so", CONF_START, NULL},
    {"jobs", "readers", NULL, CONF_COUNT, AT(readers), "2", 1, 16, NULL, "N",
     "threads that read the store for lists and single jobs", CONF_START, NULL},
    {"jobs", "keep_succeeded", NULL, CONF_SPAN, AT(keep_succeeded_ms), "7d", 0, KEEP_MS_MAX,
     NULL, "SPAN", "how long jobs that succeeded stay, with their logs; 0 for ever",
     CONF_RELOAD, NULL},
    {"jobs", "keep_failed", NULL, CONF_SPAN, AT(keep_failed_ms), "30d", 0, KEEP_MS_MAX, NULL,
     "SPAN", "how long jobs that failed stay; 0 for ever", CONF_RELOAD, NULL},
    {"jobs", "keep_cancelled", NULL, CONF_SPAN, AT(keep_cancelled_ms), "7d", 0, KEEP_MS_MAX,
     NULL, "SPAN", "how long jobs that were cancelled, expired or skipped stay; 0 for ever",
     CONF_RELOAD, NULL},
    {"exec", "concurrency", NULL, CONF_COUNT, AT(exec_concurrency), "16", 1, 100000, NULL, "N",
     "commands at once", CONF_RELOAD, NULL},
    {"exec", "cgroups", NULL, CONF_BOOL, AT(exec_cgroups), "true", 0, 0, NULL, "BOOL",
     "give each command a cgroup of its own where the system allows it", CONF_START, NULL},
    {"exec", "limits_optional", NULL, CONF_BOOL, AT(exec_limits_optional), "false", 0, 0, NULL,
     "BOOL",
     "run a command whose limits cannot be enforced here without them, instead of "
     "refusing it",
     CONF_START, NULL},
    {"http", "concurrency", NULL, CONF_COUNT, AT(http_concurrency), "2000", 1, 100000, NULL,
     "N", "requests at once", CONF_RELOAD, NULL},
    {"http", "allow", NULL, CONF_LIST, AT(http_allow), "", 0, 0, NULL, "CIDR …",
     "private, loopback or link-local destinations that jobs may reach", CONF_START, &network},
    {"http", "response_bytes", NULL, CONF_SIZE, AT(http_response_bytes), "64K", 0,
     UINT64_C(64) << 20, NULL, "SIZE", "of a response's body kept in the result", CONF_START,
     NULL},
    {"file", "concurrency", NULL, CONF_COUNT, AT(file_concurrency), "4", 1, 10000, NULL, "N",
     "file jobs at once", CONF_RELOAD, NULL},
    {"file", "roots", NULL, CONF_LIST, AT(file_roots), "", 0, 0, NULL, "DIR …",
     "folders below which file jobs may work; none means that file jobs are refused",
     CONF_START, &folder},
    {"file", "extract_bytes_max", NULL, CONF_SIZE, AT(extract_bytes_max), "64G", 1 << 20,
     UINT64_C(1) << 50, NULL, "SIZE", "what may come out of one archive; more is refused",
     CONF_START, NULL},
    {"worker", "concurrency", NULL, CONF_COUNT, AT(worker_concurrency), "100000", 1, 1000000,
     NULL, "N", "jobs that workers elsewhere lease at once", CONF_RELOAD, NULL},
    {"api", "connections_max", NULL, CONF_COUNT, AT(connections_max), "8192", 1, 1000000, NULL,
     "N", "connections at once, of which TCP may have seven eighths; more are refused with 503",
     CONF_START, NULL},
    {"api", "idle_timeout", NULL, CONF_SPAN, AT(idle_timeout_ms), "60s", 1000, DAY_MS, NULL,
     "SPAN", "a connection silent for so long is closed", CONF_START, NULL},
};
const size_t conf_rows_count = sizeof conf_rows / sizeof *conf_rows;

/* conf.c marks rows that a file gave already in a 64-bit word. */
_Static_assert(sizeof conf_rows / sizeof *conf_rows <= 64, "too many settings for the mark");
