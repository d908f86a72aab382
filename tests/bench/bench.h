/* bench.h: what the programs that measure the scheduler share: printing, medians, and a main()
 * over a table of works. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include "base/clock.h"
#include "scheduler/scheduler.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MUST(x)                                                                                \
    do {                                                                                       \
        if (!(x)) {                                                                            \
            fprintf(stderr, "scheduler_bench:%d: %s\n", __LINE__, #x);                         \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

static uint64_t scale = 1; /* counts are divided by it */

static inline void print(const char *id, double value, const char *unit)
{
    printf("%s\t%.3f\t%s\n", id, value, unit);
}

static inline int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static inline double quantile(double *values, size_t count, double q)
{
    size_t at = (size_t)(q * (double)count);

    qsort(values, count, sizeof *values, compare);
    return values[at < count ? at : count - 1];
}

/* The median of the rounds after the first, which warms up. */
static inline double warm(double (*round)(void *), void *arg, unsigned rounds)
{
    double values[8];

    (void)round(arg);
    for (unsigned i = 0; i < rounds; i++)
        values[i] = round(arg);
    return quantile(values, rounds, 0.5);
}

static inline double status_bytes(const char *key)
{
    char line[256];
    unsigned long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");

    MUST(f != NULL);
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtoul(line + strlen(key), NULL, 10);
    fclose(f);
    return (double)kib * 1024;
}

static inline double since(uint64_t start_ns)
{
    return (double)(clock_mono_ns() - start_ns);
}

/* A work prints lines "id<TAB>value<TAB>unit"; it runs as the root task, with its id. */
struct work {
    const char *id;
    task_fn fn;
    unsigned processors;
};

/* [-quick] ID runs one work, -list names them all. */
static inline int works_main(int argc, char **argv, const struct work *works, size_t count)
{
    struct rlimit files;

    if (argc == 2 && strcmp(argv[1], "-list") == 0) {
        for (size_t i = 0; i < count; i++)
            puts(works[i].id);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "-quick") == 0) {
        scale = 100;
        argv++, argc--;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (size_t i = 0; argc == 2 && i < count; i++) {
        const struct scheduler_options options = {.processors = works[i].processors};

        if (strcmp(argv[1], works[i].id) == 0)
            return scheduler_run(&options, works[i].fn, (void *)(uintptr_t)works[i].id) != 0;
    }
    fprintf(stderr, "usage: scheduler_bench [-quick] ID | -list\n");
    return 2;
}

#endif
