/* http_bench.h: what the programs that measure the whole daemon share: a blocking HTTP client
 * as small as can be, quantiles, a look at another process. Everything here ends the program
 * when it fails, since a figure of something broken is worse than none.
 *
 * Clients are written here, not taken from a library: they share two cores with the daemon they
 * measure, so whatever they spend is missing from the figure. */
#ifndef TESTS_BENCH_HTTP_BENCH_H
#define TESTS_BENCH_HTTP_BENCH_H

#include "base/buf.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MUST(x)                                                                                \
    do {                                                                                       \
        if (!(x)) {                                                                            \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #x, strerror(errno));      \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

#define ANSWER_BYTES_MAX (1 << 20)

static inline int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static inline double quantile(double *values, size_t count, double q)
{
    size_t at = (size_t)(q * (double)count);

    MUST(count > 0);
    qsort(values, count, sizeof *values, compare_doubles);
    return values[at < count ? at : count - 1];
}

static inline double since_s(uint64_t start_ns)
{
    return (double)(clock_mono_ns() - start_ns) / 1e9;
}

static inline void nap_us(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

/* One line of a result: KEY<TAB>VALUE. */
static inline void say(const char *key, double value)
{
    printf("%s\t%.3f\n", key, value);
    fflush(stdout);
}

/* As many descriptors as the system lets us have. */
static inline void files_raise(void)
{
    struct rlimit files;

    MUST(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max;
    MUST(setrlimit(RLIMIT_NOFILE, &files) == 0);
}

/* --- connections --- */

static inline int dial_unix(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    MUST(fd >= 0 && strlen(path) < sizeof addr.sun_path);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0)
        return fd;
    close(fd);
    return -1;
}

static inline int dial_tcp(const char *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                               .sin_port = htons((uint16_t)atoi(port))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    MUST(fd >= 0);
    MUST(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A path is a UNIX socket, anything else a port on 127.0.0.1. -1 when nobody is there. */
static inline int try_dial(const char *where)
{
    return where[0] == '/' ? dial_unix(where) : dial_tcp(where);
}

static inline int dial(const char *where)
{
    int fd = try_dial(where);

    MUST(fd >= 0);
    return fd;
}

/* --- requests and answers --- */

static inline void request_put(struct buf *b, const char *method, const char *path,
                               const char *headers, const char *body)
{
    buf_putf(b, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method, path, headers);
    if (body)
        buf_putf(b, "Content-Length: %zu\r\n", strlen(body));
    buf_puts(b, "\r\n");
    if (body)
        buf_puts(b, body);
    MUST(!buf_failed(b));
}

/* How long the answer at the front of the text is; 0 = it is not whole yet. */
static inline size_t answer_len(const char *text, size_t *ret_head)
{
    const char *head_end = strstr(text, "\r\n\r\n"),
               *length = strcasestr(text, "content-length:");

    if (!head_end)
        return 0;
    MUST(length && length < head_end);
    *ret_head = (size_t)(head_end - text) + 4;
    return *ret_head + strtoul(length + 15, NULL, 10);
}

static inline int answer_status(const char *text)
{
    return atoi(text + strlen("HTTP/1.1 "));
}

/* Reads one answer into b, which then holds its body alone; the status, or -1 when the other
 * side closed. */
static inline int answer_read(int fd, struct buf *b)
{
    size_t len = 0, head = 0;
    int status;

    buf_clear(b);
    while ((len = b->len > 0 ? answer_len(buf_str(b), &head) : 0) == 0 || b->len < len) {
        char *room = buf_reserve(b, 65536);
        ssize_t got;

        MUST(room && b->len < ANSWER_BYTES_MAX);
        got = recv(fd, room, 65536, 0);
        if (got <= 0)
            return -1;
        buf_commit(b, (size_t)got);
    }
    status = answer_status(buf_str(b));
    memmove(b->data, b->data + head, len - head + 1);
    b->len = len - head;
    return status;
}

static inline void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);

        MUST(sent > 0);
        data += sent;
        len -= (size_t)sent;
    }
}

/* One request and its answer on an open connection. The body stays in b. */
static inline int ask(int fd, const char *method, const char *path, const char *body,
                      struct buf *b)
{
    buf_clear(b);
    request_put(b, method, path, "", body);
    send_all(fd, b->data, b->len);
    return answer_read(fd, b);
}

/* A number of an object's text, wherever the field stands first; -1 without. */
static inline double number_of(const char *json, const char *field)
{
    const char *at = strstr(json, field);

    return at ? strtod(at + strlen(field), NULL) : -1;
}

/* --- other processes --- */

/* A field of /proc/PID/status: Threads, VmRSS or VmHWM (KiB). */
static inline double status_of(long pid, const char *field)
{
    char line[256];
    double value = -1;

    snprintf(line, sizeof line, "/proc/%ld/status", pid);

    FILE *f = fopen(line, "re");

    MUST(f != NULL);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
            value = strtod(line + strlen(field) + 1, NULL);
    fclose(f);
    MUST(value >= 0);
    return value;
}

/* CPU seconds a process has used, its children apart. */
static inline double cpu_of(long pid)
{
    char path[64], line[1024];
    unsigned long user, system;

    snprintf(path, sizeof path, "/proc/%ld/stat", pid);

    FILE *f = fopen(path, "re");

    MUST(f && fgets(line, sizeof line, f));
    fclose(f);

    const char *at = strrchr(line, ')');

    MUST(at && sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                      &system) == 2);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

#endif
