/* fault.h: named places where the world can be made to fail. Dead unless a test arms them: the
 * cost of a point is one load of a flag.
 *
 *     r = fault_at("store.commit");
 *     if (r < 0)
 *         return r;
 *
 * fault_arm("store.commit", 3, -EIO) makes the third pass fail with -EIO; every = true makes
 * all passes from the third on fail; nth = 0 only counts. A process is armed by its
 * environment: STINT_FAULT="store.commit:3:EIO,file.write:1+:ENOSPC", where + stands for every.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FAULT_POINTS_MAX 32 /* armed at one time */
#define FAULT_NAME_BYTES_MAX 63

extern _Atomic bool fault_armed;

int fault_hit(const char *point); /* counts a pass; 0 or the armed result */
void fault_arm(const char *point, uint64_t nth, int result, bool every);
void fault_disarm_all(void);
uint64_t fault_passes(const char *point); /* since it was armed */
int fault_arm_env(const char *text);      /* 0 or -EINVAL */

static inline int fault_at(const char *point)
{
    return atomic_load_explicit(&fault_armed, memory_order_relaxed) ? fault_hit(point) : 0;
}

#endif
