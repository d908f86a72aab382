/* states.h: which moves between job states are allowed, as data. Every move of the core is
 * checked against it, so an impossible history cannot be stored.
 *
 *     new ──> held, blocked, scheduled, queued
 *     waiting ──> each other as the table says, and cancelled, expired, failed (time is up)
 *     queued ──> running ──> stopping
 *     running ──> succeeded, failed, retrying, queued (given back), held, stopping
 *     stopping ──> succeeded (it was faster), cancelled
 *     final ──> nothing
 *
 * stopping leads nowhere else: whatever comes of an attempt whose cancellation is recorded,
 * the job does not run again. */
#ifndef JOBS_STATES_H
#define JOBS_STATES_H

#include "storage/record.h"

/* The state a job comes from when it is submitted. */
#define STATE_NEW ((enum job_state)0)

/* Any thread. States that do not exist are never allowed. */
bool state_may(enum job_state from, enum job_state to);

#endif
