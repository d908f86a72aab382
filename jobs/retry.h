/* retry.h: when a failed attempt is tried again.
 *
 * delay = min(cap, base · factor^(n-1)) for the n-th failure; of it one half is certain and the
 * other half is drawn by lot ("equal jitter"): never at once, and jobs that failed together do
 * not come back together. n counts real failures: neither shutdowns nor crashes. */
#ifndef JOBS_RETRY_H
#define JOBS_RETRY_H

#include "jobs/spec.h"

struct rand;

/* A target that asks for more is not believed: it could park a job for years. */
#define RETRY_AFTER_MS_MAX (INT64_C(24) * 60 * 60 * 1000)

/* Span until the next attempt after the n-th failure, n from 1; at least 1 ms. */
int64_t retry_delay_ms(const struct retry_spec *retry, uint32_t n, struct rand *rand);
/* The larger of both, the target's wish bounded by RETRY_AFTER_MS_MAX. */
int64_t retry_after_ms(int64_t delay_ms, int64_t asked_ms);

#endif
