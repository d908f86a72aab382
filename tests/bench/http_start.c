/* http_start.c: what a daemon costs that does nothing: how long it takes to become ready, and
 * what it holds and spends at rest.
 *
 *   http_start [-rounds 5] [-rest SECONDS] SOCKET STINTD ARGUMENT...
 *
 * Starts the daemon so often, each time on what the round before left behind. Prints
 * KEY<TAB>VALUE lines: ready_ms (the median, from before the fork to the first answer of
 * /readyz), rss_mb and threads of the last one, and cpu_percent of its rest, which begins when
 * it has settled: the monitor ticks on for a second after the last work. */
#include "tests/bench/http_bench.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define ROUNDS_MAX 64
#define POLL_US 200
#define READY_S_MAX 30
#define SETTLE_S 3

static pid_t daemon_start(char **argv)
{
    pid_t pid = fork();

    MUST(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execv(argv[0], argv);
    perror(argv[0]);
    _exit(127);
}

static bool is_ready(const char *socket)
{
    struct buf b = BUF_INIT;
    int fd = try_dial(socket), status = 0;

    if (fd >= 0) {
        status = ask(fd, "GET", "/readyz", NULL, &b);
        close(fd);
    }
    buf_deinit(&b);
    return status == 200;
}

static pid_t start(const char *socket, char **argv, double *ret_ms)
{
    uint64_t start_ns = clock_mono_ns();
    pid_t pid = daemon_start(argv);

    while (!is_ready(socket)) {
        MUST(since_s(start_ns) < READY_S_MAX && waitpid(pid, NULL, WNOHANG) == 0);
        nap_us(POLL_US);
    }
    *ret_ms = since_s(start_ns) * 1e3;
    return pid;
}

static void stop(pid_t pid)
{
    int status;

    MUST(kill(pid, SIGTERM) == 0);
    MUST(waitpid(pid, &status, 0) == pid);
    MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void rest(pid_t pid, unsigned rest_s)
{
    sleep(SETTLE_S);
    double cpu = cpu_of(pid);

    sleep(rest_s);
    say("cpu_percent", (cpu_of(pid) - cpu) / rest_s * 100);
    say("rss_mb", status_of(pid, "VmRSS") * 1024 / 1e6);
    say("threads", status_of(pid, "Threads"));
}

int main(int argc, char **argv)
{
    double ready_ms[ROUNDS_MAX];
    unsigned rounds = 5, rest_s = 2;
    int i = 1;

    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        if (strcmp(argv[i], "-rounds") == 0)
            rounds = (unsigned)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "-rest") == 0)
            rest_s = (unsigned)atoi(argv[i + 1]);
        else
            break;
    }
    if (argc - i < 2 || argv[i][0] == '-' || rounds < 1 || rounds > ROUNDS_MAX || rest_s < 1)
        return fprintf(stderr, "usage: http_start [-rounds N] [-rest SECONDS] SOCKET STINTD "
                               "ARGUMENT...\n"),
               2;
    for (unsigned round = 0; round < rounds; round++) {
        pid_t pid = start(argv[i], argv + i + 1, &ready_ms[round]);

        if (round == rounds - 1)
            rest(pid, rest_s);
        stop(pid);
    }
    say("ready_ms", quantile(ready_ms, rounds, 0.5));
    return 0;
}
