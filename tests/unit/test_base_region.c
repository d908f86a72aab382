#include "base/region.h"

#include "base/rand.h"
#include "tests/lib/suite.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PIECES = 5000, BYTES_MAX = 3000 };

struct piece {
    unsigned char *at;
    size_t bytes;
};

static void make(struct piece *p, unsigned i, struct rand *rand)
{
    p->bytes = (size_t)rand_below(rand, i % 7 == 0 ? BYTES_MAX : 100);
    p->at = region_alloc(p->bytes);
    ck_assert_ptr_nonnull(p->at);
    ck_assert_uint_eq((uintptr_t)p->at % 16, 0);
    memset(p->at, (int)(i & 0xff), p->bytes);
}

static void check_and_free(struct piece *p, unsigned i)
{
    size_t whole = 0;

    while (whole < p->bytes && p->at[whole] == (i & 0xff))
        whole++;
    ck_assert_uint_eq(whole, p->bytes);
    region_free(p->at);
    p->at = NULL;
}

/* Every third is freed while others are still made, as a reader does with what it grows. */
static void fill(struct piece *pieces, struct rand *rand, size_t first_bytes)
{
    region_begin(first_bytes);
    for (unsigned i = 0; i < PIECES; i++) {
        make(&pieces[i], i, rand);
        if (i % 3 == 0)
            check_and_free(&pieces[i], i);
    }
    region_end();
}

START_TEST(pieces_are_apart_and_freed_in_any_order)
{
    static struct piece pieces[PIECES];
    struct rand rand;

    rand_seed(&rand, 7);
    for (size_t first_bytes = 0; first_bytes < 1 << 20; first_bytes = first_bytes * 9 + 1) {
        fill(pieces, &rand, first_bytes);
        for (unsigned left = PIECES; left > 0; left--) {
            unsigned i = (unsigned)rand_below(&rand, PIECES);
            for (; pieces[i].at == NULL && i + 1 < PIECES; i++)
                ;
            if (pieces[i].at != NULL)
                check_and_free(&pieces[i], i);
        }
        for (unsigned i = 0; i < PIECES; i++)
            if (pieces[i].at != NULL)
                check_and_free(&pieces[i], i);
    }
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they have no figures */
static size_t in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* What malloc itself keeps at hand counts as in use, so it is a trend that is looked for. */
START_TEST(the_last_piece_that_goes_takes_its_chunk_along)
{
    static struct piece pieces[PIECES];
    struct rand rand;
    size_t before = 0;

    rand_seed(&rand, 8);
    for (unsigned round = 0; round < 50; round++) {
        fill(pieces, &rand, 100000);
        ck_assert_uint_gt(in_use(), before + 500000);
        for (unsigned i = 0; i < PIECES; i++)
            if (pieces[i].at != NULL)
                check_and_free(&pieces[i], i);
        if (round == 0)
            before = in_use();
    }
    ck_assert_uint_lt(in_use(), before + 500000);
}
END_TEST
#endif

START_TEST(outside_of_a_region_it_is_malloc)
{
    char *alone = region_alloc(10);

    region_begin(0);
    char *within = region_alloc(10);
    region_free(alone);
    region_end();
    region_free(within);
    region_free(NULL);
    ck_assert_ptr_null(region_alloc(SIZE_MAX - 3));
}
END_TEST

int main(void)
{
    return SUITE_MAIN("base/region", pieces_are_apart_and_freed_in_any_order,
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
                      the_last_piece_that_goes_takes_its_chunk_along,
#endif
                      outside_of_a_region_it_is_malloc);
}
