/* measure.h: what tests of the scheduler's bounds measure with, on a machine that may be busy
 * with other things. */
#ifndef TESTS_LIB_MEASURE_H
#define TESTS_LIB_MEASURE_H

#include "base/clock.h"
#include "scheduler/block.h"
#include "scheduler/scheduler.h"
#include "tests/lib/scheduled.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Check's own assertions write a mark to a file each time: too slow in a loop. */
#define HOLDS(x)                                                                               \
    do {                                                                                       \
        if (!(x))                                                                              \
            ck_abort_msg("line %d: %s", __LINE__, #x);                                         \
    } while (0)

/* Under the tools all takes longer. */
static inline uint64_t measure_bound_ns(uint64_t ns)
{
    return ns * (SLOWDOWN > 1 ? 4 : 1);
}

static inline int measure_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Sorts them. The value that so many of a hundred do not exceed. */
static inline uint64_t measure_percentile(uint64_t *values, size_t len, unsigned percent)
{
    qsort(values, len, sizeof *values, measure_order);
    return values[(len - 1) * percent / 100];
}

/* ---- how late the machine itself is: a thread of its own that sleeps again and again ---- */

struct measure_machine {
    pthread_t thread;
    _Atomic bool over;
    size_t len;
    uint64_t late_ns[2000];
};

static inline void *measure_machine_run(void *arg)
{
    struct measure_machine *m = arg;

    while (!atomic_load(&m->over) && m->len < sizeof m->late_ns / sizeof *m->late_ns) {
        uint64_t at_ns = clock_mono_ns() + 300 * NS_PER_US;

        (void)nanosleep(&(struct timespec){.tv_nsec = 300 * (long)NS_PER_US}, NULL);
        m->late_ns[m->len++] = clock_mono_ns() - at_ns;
    }
    return NULL;
}

static inline void measure_machine_begin(struct measure_machine *m)
{
    m->len = 0;
    atomic_store(&m->over, false);
    HOLDS(pthread_create(&m->thread, NULL, measure_machine_run, m) == 0);
}

/* From a task. Twice what the machine's own percentile was. */
static inline uint64_t measure_machine_end(struct measure_machine *m, unsigned percent)
{
    atomic_store(&m->over, true);
    block_enter_long(BLOCK_FILE);
    (void)pthread_join(m->thread, NULL);
    block_leave();
    return m->len > 0 ? 2 * measure_percentile(m->late_ns, m->len, percent) : 0;
}

static inline uint64_t measure_resident_bytes(void)
{
    unsigned long long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    HOLDS(f != NULL && fscanf(f, "%llu %llu", &pages, &resident) == 2);
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Entries of a list of the kernel's on this process, a line each. */
static inline unsigned measure_lines(const char *path)
{
    FILE *f = fopen(path, "re");
    unsigned lines = 0;

    HOLDS(f != NULL);
    for (int c; (c = fgetc(f)) != EOF;)
        lines += c == '\n';
    fclose(f);
    return lines;
}

struct measure_use {
    uint64_t cpu_ns, switches;
};

/* Of this process, since it began. */
static inline struct measure_use measure_use(void)
{
    struct rusage r;

    HOLDS(getrusage(RUSAGE_SELF, &r) == 0);
    uint64_t us = (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
    return (struct measure_use){
        .cpu_ns = (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * NS_PER_S + us * NS_PER_US,
        .switches = (uint64_t)(r.ru_nvcsw + r.ru_nivcsw),
    };
}

/* Lets this process have as many descriptors as it may, and answers how many. */
static inline unsigned measure_files(unsigned wanted)
{
    struct rlimit files;

    HOLDS(getrlimit(RLIMIT_NOFILE, &files) == 0);
    rlim_t most = files.rlim_max;
    files.rlim_cur = files.rlim_max = most > wanted ? most : wanted;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0) { /* more than it may */
        files.rlim_cur = files.rlim_max = most;
        HOLDS(setrlimit(RLIMIT_NOFILE, &files) == 0);
    }
    return files.rlim_cur < wanted ? (unsigned)files.rlim_cur : wanted;
}

#endif
