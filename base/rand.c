#include "base/rand.h"

#include <errno.h>
#include <sys/random.h>

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

/* splitmix64 (Steele, Lea and Flood 2014): spreads one word over the four that xoshiro needs,
 * of which not all may be 0. */
static uint64_t split(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void rand_seed(struct rand *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = split(&seed);
}

uint64_t rand_next(struct rand *r)
{
    uint64_t *s = r->s, result = rotate(s[0] + s[3], 23) + s[0], t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

/* Lemire, "Fast Random Integer Generation in an Interval", 2019: the high half of a product;
 * the rare low halves that would favour some values are drawn again. */
uint64_t rand_below(struct rand *r, uint64_t bound)
{
    uint64_t floor = (0 - bound) % bound;
    unsigned __int128 product;

    do {
        product = (unsigned __int128)rand_next(r) * bound;
    } while ((uint64_t)product < floor);
    return (uint64_t)(product >> 64);
}

double rand_unit(struct rand *r)
{
    return (double)(rand_next(r) >> 11) * 0x1p-53;
}

int rand_secret(void *ret, size_t len)
{
    for (unsigned char *at = ret; len > 0;) {
        ssize_t got = getrandom(at, len, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        at += got;
        len -= (size_t)got;
    }
    return 0;
}
