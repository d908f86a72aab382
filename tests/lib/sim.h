/* sim.h: the engine's rounds in a world that a seed decides: what is submitted and asked, how
 * attempts end and when, what the clock does, which commits fail or are slow, where the daemon
 * dies. It drives jobs/commit.c itself, on the store in memory, on virtual time.
 *
 * A model beside it keeps its own journal of what was acknowledged, and after each round looks
 * for what must not be:
 *
 * V1  an acknowledged job is not in the store
 * V2  a final job changes, or is started; a failed one is no dead letter
 * V3  a fence does not rise with a start, or a crash is not counted once
 * V4  a start beyond a limit, in a paused queue, or after its time
 * V5  core_check() finds an invariant broken, or counts are not those of the store
 * V6  the core is not what a daemon loading the store would hold
 * V7  a key is answered with two sets of jobs
 * V8  left alone long enough, a job does not come to an end
 * V9  a worker's word with the present fence and in time is not heard, with another it is
 * V10 a job starts and one of its queue, key and kind is left that was to go before it
 * V11 the time of a job to wait, or of a lease, is over, and a round has left it as it was
 *
 * Equal seeds give equal runs: sim_run again with trace tells what happened in words. */
#ifndef TESTS_LIB_SIM_H
#define TESTS_LIB_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SIM_WHY_BYTES 256

struct sim_totals {
    uint64_t rounds, submitted, starts, ends, refused, crashes, superseded;
    uint64_t leases, leases_lost, stale_words;
    uint64_t slow, leases_late; /* commits that took long; leases that were over when told */
};

/* Plays one seed; story: where to tell it, NULL = nowhere. False: why says what was seen. Adds
 * to totals. */
bool sim_run(uint64_t seed, FILE *story, char why[SIM_WHY_BYTES], struct sim_totals *totals);

#endif
