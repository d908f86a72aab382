/* spawn_base.h: what makes a child cheap in a daemon with hundreds of descriptors. A child that
 * copies the table of them has each to close again: at 64 attempts at once that was a seventh
 * of the daemon's work for a short command. So the child shares the table, and its first call
 * copies of it only what is below a cut and leaves the rest behind (CLOSE_RANGE_UNSHARE).
 *
 * Its three streams have to be below the cut: a seat is three low descriptors, taken when there
 * were few, that stand for a child's streams while it is made, and for /dev/null in between. */
#ifndef JOBS_SPAWN_BASE_H
#define JOBS_SPAWN_BASE_H

#include <stdatomic.h>
#include <stdint.h>

#define SPAWN_SEATS 8 /* children being made at once; more are made without a seat */

struct spawn_seat {
    int fds[3];
};

struct spawn_base {
    _Atomic uint32_t taken; /* a bit a seat */
    int null_fd;
    int cut;          /* above all descriptors of the seats */
    uint64_t ignored; /* signals that children must not inherit so: bit N-1 is signal N */
    struct spawn_seat seats[SPAWN_SEATS];
};

/* Early, after the daemon chose which signals it ignores. 0 or a negative errno. */
int spawn_base_open(struct spawn_base *base);
/* No spawn may be under way. Harmless for one that was not opened and is all zero. */
void spawn_base_close(struct spawn_base *base);

/* NULL: none is free, or the streams did not go into it. Any thread. */
const struct spawn_seat *spawn_base_take(struct spawn_base *base, const int stdio[3]);
void spawn_base_put(struct spawn_base *base, const struct spawn_seat *seat);

#endif
