/* rand.h: seeded random numbers (xoshiro256++, Blackman and Vigna 2019), never for secrets;
 * those come from rand_secret(). One owner at a time. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

struct rand {
    uint64_t s[4];
};

void rand_seed(struct rand *r, uint64_t seed);
uint64_t rand_next(struct rand *r);
uint64_t rand_below(struct rand *r, uint64_t bound); /* 0 … bound-1, without bias; bound > 0 */
double rand_unit(struct rand *r);                    /* [0, 1) */
/* Bytes from the kernel; 0 or a negative errno. */
int rand_secret(void *ret, size_t len);

#endif
