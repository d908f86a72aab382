#include "tests/lib/suite.h"

int suite_main(const char *name, unsigned timeout_s, const TTest *const *tests)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tcase);
    if (timeout_s > 0)
        tcase_set_timeout(tcase, timeout_s);
    while (*tests)
        tcase_add_test(tcase, *tests++);
    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed > 0;
}
