/* chan_play.h: random programs on channels, compared step by step with a sequential model.
 *
 * A driver on one processor starts tasks that do one operation each (send, receive, select of
 * up to three cases, some without a channel, some with a deadline that has passed), tries
 * operations and selects itself, closes channels and cancels waiting tasks. After each step
 * everything that can run has run, so the model can say exactly who must be done, with what
 * result and value, and who must still wait. Only where a select has a choice the model follows
 * the real one, after checking that the choice was open. */
#ifndef TESTS_LIB_CHAN_PLAY_H
#define TESTS_LIB_CHAN_PLAY_H

#include <stddef.h>
#include <stdint.h>

/* From a task on one processor. A difference is told on standard error and ends the process. */
void chan_play_seed(uint64_t seed);
/* Each choice is a byte; the program ends with them. */
void chan_play_bytes(const uint8_t *bytes, size_t len);

#endif
