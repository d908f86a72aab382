/* Thousands of seeds of the simulated engine. A seed that fails is told again in words:
 *
 *     STINT_SIM_SEED=17 build/release/tests/sim/test_sim      tells the story of one seed
 *     STINT_SIM_SEEDS=100000 …                                plays more of them */
#include "tests/lib/sim.h"

#include "base/str.h"
#include "tests/lib/suite.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SEEDS 300
#else
#define SEEDS 3000
#endif

static uint64_t number_of(const char *name, uint64_t usual)
{
    const char *text = getenv(name);
    uint64_t n;

    return text && str_u64(text, strlen(text), &n) == 0 ? n : usual;
}

START_TEST(no_seed_breaks_what_is_promised)
{
    uint64_t seeds = number_of("STINT_SIM_SEEDS", SEEDS);
    struct sim_totals totals = {.rounds = 0};
    char why[SIM_WHY_BYTES];

    for (uint64_t seed = 1; seed <= seeds; seed++) {
        if (sim_run(seed, NULL, why, &totals))
            continue;
        fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, why);
        sim_run(seed, stderr, why, &totals);
        ck_abort_msg("replay it with STINT_SIM_SEED=%llu", (unsigned long long)seed);
    }
    fprintf(stderr,
            "%llu seeds: %llu rounds, %llu jobs, %llu starts, %llu ends, %llu refused commits, "
            "%llu slow ones, %llu crashes, %llu late ends, %llu leases, %llu of them lost, "
            "%llu over "
            "when told, %llu stale words\n",
            (unsigned long long)seeds, (unsigned long long)totals.rounds,
            (unsigned long long)totals.submitted, (unsigned long long)totals.starts,
            (unsigned long long)totals.ends, (unsigned long long)totals.refused,
            (unsigned long long)totals.slow, (unsigned long long)totals.crashes,
            (unsigned long long)totals.superseded, (unsigned long long)totals.leases,
            (unsigned long long)totals.leases_lost, (unsigned long long)totals.leases_late,
            (unsigned long long)totals.stale_words);
    /* A simulation in which nothing happens proves nothing. */
    ck_assert_uint_gt(totals.crashes, seeds);
    ck_assert_uint_gt(totals.refused, seeds);
    ck_assert_uint_gt(totals.slow, seeds);
    ck_assert_uint_gt(totals.leases_late, seeds / 4);
    ck_assert_uint_gt(totals.ends, seeds * 10);
    ck_assert_uint_gt(totals.superseded, 0);
    ck_assert_uint_gt(totals.leases, seeds * 5);
    ck_assert_uint_gt(totals.leases_lost, seeds);
    ck_assert_uint_gt(totals.stale_words, seeds);
}
END_TEST

START_TEST(equal_seeds_give_equal_runs)
{
    struct sim_totals a = {.rounds = 0}, b = {.rounds = 0};
    char why[SIM_WHY_BYTES];

    sim_run(7, NULL, why, &a);
    sim_run(7, NULL, why, &b);
    ck_assert_mem_eq(&a, &b, sizeof a);
}
END_TEST

static int replay(uint64_t seed)
{
    struct sim_totals totals = {.rounds = 0};
    char why[SIM_WHY_BYTES] = "nothing wrong";
    bool good = sim_run(seed, stdout, why, &totals);

    printf("seed %llu: %s\n", (unsigned long long)seed, why);
    return good ? 0 : 1;
}

int main(void)
{
    uint64_t seed = number_of("STINT_SIM_SEED", 0);

    if (seed)
        return replay(seed);
    setenv("CK_DEFAULT_TIMEOUT", "300", 0);
    return SUITE_MAIN("sim", no_seed_breaks_what_is_promised, equal_seeds_give_equal_runs);
}
