/* block.h: calls that block a thread. The task keeps its stack and its thread; if the call
 * lasts, another thread takes over the processor, and this thread is kept for the next such
 * call.
 *
 *     block_enter(BLOCK_FILE);
 *     n = pread(fd, data, len, offset);
 *     r = n < 0 ? -errno : 0;                   read errno before leaving
 *     block_leave();
 *
 * A call that was not announced is noticed after some 15 ms, if others wait (hog.c).
 *
 * A call that is over in microseconds (page cache) costs two atomic operations and no switch.
 * Between enter and leave nothing of the scheduler may be called but event_set, net_kick
 * and group_cancel.
 * Each lane has its own limit; over it the task waits parked, first come first served, and no
 * thread is made. A blocked call cannot be cancelled: it ends when the system ends it. */
#ifndef SCHEDULER_BLOCK_H
#define SCHEDULER_BLOCK_H

#include <stdbool.h>

enum block_lane { BLOCK_FILE, BLOCK_EXEC, BLOCK_DNS, BLOCK_STORE, BLOCK_LANES };

void block_enter(enum block_lane lane);
/* For calls known to be long (fsync, getaddrinfo, waitpid): hands the processor over at once.
 */
void block_enter_long(enum block_lane lane);
/* Keeps the processor while nothing waits for it: for who would be the only one to use it. */
void block_enter_alone(enum block_lane lane);
/* Hands it over whatever waits: for who will be inside for many calls. */
void block_enter_apart(enum block_lane lane);
void block_leave(void);
/* Leaves if the processor is there still, which costs nothing; false: still inside. */
bool block_leave_if_kept(void);
/* Threads that may be inside the lane's calls at once. Before scheduler_run or at any time. */
void block_limit(enum block_lane lane, unsigned threads);

#endif
