/* suite.h: the main() of a C test in one line. */
#ifndef TESTS_LIB_SUITE_H
#define TESTS_LIB_SUITE_H

#include <check.h>
#include <stdbool.h>

/* Three tests hang or fail under ThreadSanitizer on a loaded machine, and nowhere else; the
 * reason is not found yet. They pass by there, see known trouble in the CHANGELOG. */
#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN true
#else
#define UNDER_TSAN false
#endif

/* Runs the tests up to NULL, each in a process of its own, prints Check's summary and returns
 * the exit status: return SUITE_MAIN("buf", a_test, another_test); */
int suite_main(const char *name, const TTest *const *tests);

#define SUITE_MAIN(name, ...) suite_main((name), (const TTest *const[]){__VA_ARGS__, NULL})

#endif
