/* fault.h: named places where the world can be made to fail. Dead unless a test arms them: the
 * cost of a point is one load of a flag.
 *
 *     r = fault_at("store.commit");
 *     if (r < 0)
 *         return r;
 *
 * fault_arm("store.commit", 3, -EIO) makes the third pass fail with -EIO; every = true makes
 * all passes from the third on fail. STINT_FAULT="store.commit:3:EIO,…" arms them in a process.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

extern bool fault_armed;

int fault_hit(const char *point); /* counts a pass; 0 or the armed result */
void fault_arm(const char *point, uint64_t nth, int result, bool every);
void fault_disarm_all(void);
uint64_t fault_passes(const char *point); /* since it was armed */
int fault_arm_env(const char *text);      /* 0 or -EINVAL */

static inline int fault_at(const char *point)
{
    return fault_armed ? fault_hit(point) : 0;
}

#endif
