/* doctor.h: `stintd --doctor`, for a daemon that does not run: is its store sound? Reads
 * all of it, loads the jobs into a core as a start would, checks the core, and changes nothing
 * on the disk: not even a store of an older schema, whose jobs are then not loaded. */
#ifndef DAEMON_DOCTOR_H
#define DAEMON_DOCTOR_H

enum doctor_answer { DOCTOR_HEALTHY = 0, DOCTOR_UNHEALTHY, DOCTOR_BUSY };

/* Prints a line a finding, or that there is none. A positive answer, or a negative errno when
 * it could not look; why (STORE_WHY_BYTES) then may have a sentence. Blocks. */
int doctor_check(const char *state_dir, char *why);

#endif
