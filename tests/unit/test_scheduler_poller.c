/* What the kernel is asked to wait for: to the nanosecond where it can be told so, else never
 * shorter. epoll's calls are the ones below. */
#include "scheduler/poller.h"

#include "tests/lib/scheduled.h"

#include <sys/epoll.h>
#include <time.h>

static struct {
    bool old; /* a kernel before 5.11 */
    bool for_ever;
    uint64_t exact_ns;
    int ms, exact_calls, rounded_calls;
} asked;

int epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *span,
                 const sigset_t *mask)
{
    (void)fd, (void)events, (void)max, (void)mask;
    asked.exact_calls++;
    if (asked.old) {
        errno = ENOSYS;
        return -1;
    }
    asked.for_ever = span == NULL;
    if (span != NULL)
        asked.exact_ns = (uint64_t)span->tv_sec * NS_PER_S + (uint64_t)span->tv_nsec;
    return 0;
}

int epoll_wait(int fd, struct epoll_event *events, int max, int ms)
{
    (void)fd, (void)events, (void)max;
    asked.rounded_calls++;
    asked.ms = ms;
    return 0;
}

/* Spans with a rest of every size, and seconds before it. */
static const uint64_t spans_ns[] = {50 * NS_PER_US,      999 * NS_PER_US,
                                    1500 * NS_PER_US,    NS_PER_S + NS_PER_MS / 2,
                                    59 * NS_PER_S + 701, 3600 * NS_PER_S + 1};
enum { SPANS = sizeof spans_ns / sizeof *spans_ns };

/* What was to wait from some moment of the call on, at least and at most. */
struct span {
    uint64_t least_ns, most_ns;
};

static struct span wait_for(uint64_t ns)
{
    struct task_list none = {0};
    uint64_t until_ns = clock_mono_ns() + ns;

    poller_wait(until_ns, &none);
    uint64_t now_ns = clock_mono_ns();
    return (struct span){until_ns > now_ns ? until_ns - now_ns : 0, ns};
}

START_TEST(the_kernel_is_told_the_end_of_a_wait_to_the_nanosecond)
{
    struct task_list none = {0};

    for (unsigned i = 0; i < SPANS; i++) {
        struct span s = wait_for(spans_ns[i]);
        ck_assert_uint_ge(asked.exact_ns, s.least_ns);
        ck_assert_uint_le(asked.exact_ns, s.most_ns);
        ck_assert(!asked.for_ever);
    }
    poller_wait(0, &none);
    ck_assert_uint_eq(asked.exact_ns, 0);
    poller_wait(TIMERS_NONE, &none);
    ck_assert(asked.for_ever);
    ck_assert_int_eq(asked.rounded_calls, 0);
}
END_TEST

START_TEST(on_an_old_kernel_a_wait_is_rounded_up_to_the_next_millisecond)
{
    struct task_list none = {0};

    asked.old = true;
    for (unsigned i = 0; i < SPANS; i++) {
        struct span s = wait_for(spans_ns[i]);
        if (s.most_ns > 60 * NS_PER_S) {
            ck_assert_int_eq(asked.ms, 60000);
            continue;
        }
        ck_assert_uint_ge((uint64_t)asked.ms * NS_PER_MS, s.least_ns);
        ck_assert_uint_lt((uint64_t)asked.ms * NS_PER_MS, s.most_ns + NS_PER_MS);
    }
    poller_wait(0, &none);
    ck_assert_int_eq(asked.ms, 0);
    poller_wait(TIMERS_NONE, &none);
    ck_assert_int_eq(asked.ms, -1);
    ck_assert_int_eq(asked.exact_calls, 1); /* what it lacks is asked for once */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_poller");
    TCase *tc = tcase_create("poller");

    tcase_add_test(tc, the_kernel_is_told_the_end_of_a_wait_to_the_nanosecond);
    tcase_add_test(tc, on_an_old_kernel_a_wait_is_rounded_up_to_the_next_millisecond);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
