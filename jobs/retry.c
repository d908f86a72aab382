#include "jobs/retry.h"

#include "base/rand.h"

/* base · factor^(n-1), stopping at the cap: a factor of 2 would overflow after 60 rounds, and n
 * may be in the thousands. A factor below 1 could shrink for ever, so the steps are bounded; by
 * then any such product is 0. */
static double span_ms(const struct retry_spec *retry, uint32_t n)
{
    double span = (double)retry->base_ms, cap = (double)retry->cap_ms;

    if (retry->factor == 1)
        return span < cap ? span : cap;
    for (uint32_t i = 1; i < n && i < 4096 && span < cap; i++)
        span *= retry->factor;
    return span < cap ? span : cap;
}

int64_t retry_delay_ms(const struct retry_spec *retry, uint32_t n, struct rand *rand)
{
    double half = span_ms(retry, n) / 2;
    int64_t delay_ms = (int64_t)(half + half * rand_unit(rand));

    return delay_ms > 1 ? delay_ms : 1;
}

int64_t retry_after_ms(int64_t delay_ms, int64_t asked_ms)
{
    if (asked_ms > RETRY_AFTER_MS_MAX)
        asked_ms = RETRY_AFTER_MS_MAX;
    return asked_ms > delay_ms ? asked_ms : delay_ms;
}
