/* clock.h: the only caller of clock_gettime. Two clocks behind one seam: the machine's, and one
 * that stands still until a test moves it.
 *
 * Points in time end in _at_ms or _at_ns; spans in the unit alone. Wall time counts
 * milliseconds since 1970-01-01 UTC and may step; monotonic time counts nanoseconds since boot.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

struct clock {
    int64_t (*wall_ms)(const struct clock *clock);
    uint64_t (*mono_ns)(const struct clock *clock);
};

/* The machine's clock. Any thread, never fails. */
extern const struct clock clock_real;
int64_t clock_wall_ms(void);
uint64_t clock_mono_ns(void);

struct clock_virtual {
    struct clock clock; /* first, so that &v.clock is the seam */
    int64_t wall_ms;
    uint64_t mono_ns;
};

void clock_virtual_init(struct clock_virtual *v, int64_t wall_ms);
/* Both clocks go forward by the span. */
void clock_virtual_advance(struct clock_virtual *v, int64_t ms);
/* Only the wall clock moves, either way, as when an operator sets it. */
void clock_virtual_step(struct clock_virtual *v, int64_t ms);

#endif
