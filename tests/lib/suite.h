/* suite.h: the main() of a C test in one line. */
#ifndef TESTS_LIB_SUITE_H
#define TESTS_LIB_SUITE_H

#include <check.h>

/* Runs the tests up to NULL, each in a process of its own and for at most timeout_s (0: what
 * Check's environment says), prints Check's summary and returns the exit status:
 * return SUITE_MAIN("buf", a_test, another_test); */
int suite_main(const char *name, unsigned timeout_s, const TTest *const *tests);

#define SUITE_MAIN_WITHIN(timeout_s, name, ...)                                                \
    suite_main((name), (timeout_s), (const TTest *const[]){__VA_ARGS__, NULL})
#define SUITE_MAIN(name, ...) SUITE_MAIN_WITHIN(0, name, __VA_ARGS__)

#endif
