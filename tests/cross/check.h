/* check.h: as much of Check as the scheduler's tests use, for machines that Check is not built
 * for: a header alone. Each test runs in a process of its own; a line says how it ended. */
#ifndef TESTS_CROSS_CHECK_H
#define TESTS_CROSS_CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CK_NORMAL 0
#define CROSS_TESTS_MAX 128

typedef struct {
    const char *name;
    void (*fn)(int _i);
} TTest;

#define START_TEST(test)                                                                       \
    static void test##_fn(int _i);                                                             \
    static const TTest test##_ttest = {#test, test##_fn};                                      \
    static const TTest *const test = &test##_ttest;                                            \
    static void test##_fn(int _i __attribute__((unused)))
#define END_TEST

#define ck_abort_msg(...)                                                                      \
    do {                                                                                       \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                        \
        fprintf(stderr, __VA_ARGS__);                                                          \
        fputc('\n', stderr);                                                                   \
        _exit(1);                                                                              \
    } while (0)
#define ck_assert_msg(condition, ...)                                                          \
    do {                                                                                       \
        if (!(condition))                                                                      \
            ck_abort_msg(__VA_ARGS__);                                                         \
    } while (0)
#define ck_assert(condition) ck_assert_msg(condition, "%s", #condition)

#define CROSS_COMPARE(type, format, a, op, b)                                                  \
    do {                                                                                       \
        type cross_a = (type)(a), cross_b = (type)(b);                                         \
        ck_assert_msg(cross_a op cross_b, "%s " #op " %s: " format " and " format, #a, #b,     \
                      cross_a, cross_b);                                                       \
    } while (0)
#define ck_assert_int_eq(a, b) CROSS_COMPARE(intmax_t, "%" PRIdMAX, a, ==, b)
#define ck_assert_int_ne(a, b) CROSS_COMPARE(intmax_t, "%" PRIdMAX, a, !=, b)
#define ck_assert_int_ge(a, b) CROSS_COMPARE(intmax_t, "%" PRIdMAX, a, >=, b)
#define ck_assert_int_gt(a, b) CROSS_COMPARE(intmax_t, "%" PRIdMAX, a, >, b)
#define ck_assert_int_le(a, b) CROSS_COMPARE(intmax_t, "%" PRIdMAX, a, <=, b)
#define ck_assert_int_lt(a, b) CROSS_COMPARE(intmax_t, "%" PRIdMAX, a, <, b)
#define ck_assert_uint_eq(a, b) CROSS_COMPARE(uintmax_t, "%" PRIuMAX, a, ==, b)
#define ck_assert_uint_ne(a, b) CROSS_COMPARE(uintmax_t, "%" PRIuMAX, a, !=, b)
#define ck_assert_uint_ge(a, b) CROSS_COMPARE(uintmax_t, "%" PRIuMAX, a, >=, b)
#define ck_assert_uint_gt(a, b) CROSS_COMPARE(uintmax_t, "%" PRIuMAX, a, >, b)
#define ck_assert_uint_le(a, b) CROSS_COMPARE(uintmax_t, "%" PRIuMAX, a, <=, b)
#define ck_assert_uint_lt(a, b) CROSS_COMPARE(uintmax_t, "%" PRIuMAX, a, <, b)
#define ck_assert_double_eq(a, b) CROSS_COMPARE(double, "%g", a, ==, b)
#define ck_assert_double_ge(a, b) CROSS_COMPARE(double, "%g", a, >=, b)
#define ck_assert_double_le(a, b) CROSS_COMPARE(double, "%g", a, <=, b)
#define ck_assert_ptr_eq(a, b) ck_assert_msg((a) == (b), "%s, %s", #a, #b)
#define ck_assert_ptr_nonnull(a) ck_assert_msg((a) != NULL, "%s is NULL", #a)
#define ck_assert_ptr_null(a) ck_assert_msg((a) == NULL, "%s is not NULL", #a)
#define ck_assert_str_eq(a, b)                                                                 \
    ck_assert_msg(strcmp((a), (b)) == 0, "\"%s\" and \"%s\"", (a), (b))
#define ck_assert_mem_eq(a, b, len)                                                            \
    ck_assert_msg(memcmp((a), (b), (len)) == 0, "%s, %s", #a, #b)

struct cross_test {
    const TTest *test;
    int i, signal;
};

typedef struct {
    struct cross_test tests[CROSS_TESTS_MAX];
    unsigned count, failed;
} Suite;
typedef Suite TCase;
typedef Suite SRunner;

static Suite cross_suite;

static inline Suite *suite_create(const char *name)
{
    (void)name;
    return &cross_suite;
}

static inline TCase *tcase_create(const char *name)
{
    return suite_create(name);
}

static inline SRunner *srunner_create(Suite *s)
{
    return s;
}

static inline void suite_add_tcase(Suite *s, TCase *tc)
{
    (void)s, (void)tc;
}

static inline void srunner_free(SRunner *s)
{
    (void)s;
}

/* Whoever runs the program has a limit for all of it. */
static inline void tcase_set_timeout(TCase *tc, double seconds)
{
    (void)tc, (void)seconds;
}

static inline void cross_add(Suite *s, const TTest *test, int i, int signal)
{
    const char *without = getenv("CROSS_WITHOUT");

    if (without != NULL && strstr(without, test->name) != NULL)
        return;
    if (s->count == CROSS_TESTS_MAX)
        abort();
    s->tests[s->count++] = (struct cross_test){test, i, signal};
}

#define tcase_add_test(tc, test) cross_add((tc), (test), 0, 0)
#define tcase_add_test_raise_signal(tc, test, sig) cross_add((tc), (test), 0, (sig))
#define tcase_add_loop_test(tc, test, from, to)                                                \
    do {                                                                                       \
        for (int cross_i = (int)(from); cross_i < (int)(to); cross_i++)                        \
            cross_add((tc), (test), cross_i, 0);                                               \
    } while (0)

static inline bool cross_passes(const struct cross_test *t)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        t->test->fn(t->i);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    return t->signal == 0 ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                          : WIFSIGNALED(status) && WTERMSIG(status) == t->signal;
}

static inline void srunner_run_all(SRunner *s, int mode)
{
    (void)mode;
    for (unsigned i = 0; i < s->count; i++) {
        bool passes = cross_passes(&s->tests[i]);

        printf("%s %s %d\n", passes ? "ok" : "FAIL", s->tests[i].test->name, s->tests[i].i);
        fflush(stdout);
        s->failed += !passes;
    }
}

static inline int srunner_ntests_failed(const SRunner *s)
{
    return (int)s->failed;
}

#endif
