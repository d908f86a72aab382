/* suite.h: the main() of a C test in one line. */
#ifndef TESTS_LIB_SUITE_H
#define TESTS_LIB_SUITE_H

#include <check.h>

/* Runs the tests up to NULL, each in a process of its own, prints Check's summary and returns
 * the exit status: return SUITE_MAIN("buf", a_test, another_test); */
int suite_main(const char *name, const TTest *const *tests);

#define SUITE_MAIN(name, ...) suite_main((name), (const TTest *const[]){__VA_ARGS__, NULL})

#endif
