/* Select: one operation of several, chosen fairly, and nothing lost when many tasks choose at
 * once.
 */
#include "scheduler/chan.h"

#include "base/rand.h"
#include "tests/lib/scheduled.h"

static int selecting(void *arg)
{
    struct chan *a = chan_new(sizeof(uint64_t), 1), *b = chan_new(sizeof(uint64_t), 1);
    uint64_t from_a = 0, to_b = 9;
    struct chan_case cases[] = {{a, CHAN_RECV, &from_a, 0},
                                {NULL, CHAN_RECV, NULL, 0},
                                {b, CHAN_SEND, &to_b, 0},
                                {b, CHAN_SEND, &to_b, 0}};

    (void)arg;
    int r = chan_select(cases, 4, 0);
    ck_assert(r == 2 || r == 3);
    ck_assert_int_eq(cases[r].result, 0);
    ck_assert_int_eq(chan_try_select(cases, 4), -EAGAIN);
    ck_assert_int_eq(chan_select(cases, 4, SOON), -ETIMEDOUT);
    ck_assert_int_eq(chan_select(cases, CHAN_SELECT_MAX + 1, 0), -EINVAL);
    ck_assert_int_eq(chan_try_select(cases, CHAN_SELECT_MAX + 1), -EINVAL);
    ck_assert_int_eq(chan_select(NULL, 0, SOON), -ETIMEDOUT);

    ck_assert_int_eq(chan_send(a, &to_b, 0), 0);
    ck_assert_int_eq(chan_select(cases, 4, 0), 0);
    ck_assert_uint_eq(from_a, 9);
    chan_close(b);
    r = chan_try_select(cases, 4);
    ck_assert(r == 2 || r == 3);
    ck_assert_int_eq(cases[r].result, -EPIPE);
    chan_free(a);
    chan_free(b);
    return 0;
}

START_TEST(a_select_does_one_case_that_can_go_on)
{
    scheduled(1, selecting, NULL);
}
END_TEST

static int wide_task(void *arg)
{
    struct chan **chans = arg;
    uint64_t values[CHAN_SELECT_MAX];
    struct chan_case cases[CHAN_SELECT_MAX];

    for (unsigned turn = 0; turn < CHAN_SELECT_MAX; turn++) {
        for (unsigned i = 0; i < CHAN_SELECT_MAX; i++)
            cases[i] = (struct chan_case){chans[i], CHAN_RECV, &values[i], 0};
        int r = chan_select(cases, CHAN_SELECT_MAX, 0);
        ck_assert_int_eq(r, (int)(turn * 29 % CHAN_SELECT_MAX));
        ck_assert_uint_eq(values[r], turn);
    }
    return 0;
}

static int wide(void *arg)
{
    struct chan *chans[CHAN_SELECT_MAX];
    struct group g;

    (void)arg;
    for (unsigned i = 0; i < CHAN_SELECT_MAX; i++)
        chans[i] = chan_new(sizeof(uint64_t), 0);
    group_open(&g, "wide");
    ck_assert_int_eq(group_go(&g, wide_task, chans), 0);
    for (uint64_t turn = 0; turn < CHAN_SELECT_MAX; turn++)
        ck_assert_int_eq(chan_send(chans[turn * 29 % CHAN_SELECT_MAX], &turn, 0), 0);
    ck_assert_int_eq(group_join(&g), 0);
    for (unsigned i = 0; i < CHAN_SELECT_MAX; i++) {
        uint64_t value = 0;

        ck_assert_int_eq(chan_try_send(chans[i], &value), -EAGAIN); /* nobody was left behind */
        chan_free(chans[i]);
    }
    return 0;
}

START_TEST(a_select_parks_on_as_many_cases_as_allowed)
{
    scheduled(_i == 0 ? 1 : 2, wide, NULL);
}
END_TEST

enum { DRAWS = 100000, WAYS = 8 };

/* Each of the ready cases must come up in its share of the draws, +- 2 % of all draws. */
static void draw(unsigned ready)
{
    struct chan *chans[WAYS];
    struct chan_case cases[WAYS];
    uint64_t values[WAYS];
    unsigned hits[WAYS] = {0};

    for (unsigned i = 0; i < WAYS; i++) {
        chans[i] = chan_new(sizeof(uint64_t), 1);
        cases[i] = (struct chan_case){chans[i], CHAN_RECV, &values[i], 0};
        if (i < ready)
            ck_assert_int_eq(chan_send(chans[i], &(uint64_t){i}, 0), 0);
    }
    for (int i = 0; i < DRAWS; i++) {
        int r = chan_select(cases, WAYS, 0);
        hits[r]++;
        ck_assert_int_eq(chan_send(chans[r], &values[r], 0), 0);
    }
    for (unsigned i = 0; i < WAYS; i++) {
        double share = (double)hits[i] / DRAWS;

        ck_assert_double_ge(share, i < ready ? 1.0 / ready - 0.02 : 0);
        ck_assert_double_le(share, i < ready ? 1.0 / ready + 0.02 : 0);
        chan_free(chans[i]);
    }
}

static int drawing(void *arg)
{
    (void)arg;
    draw(8);
    draw(3);
    draw(2);
    return 0;
}

START_TEST(ready_cases_are_chosen_equally_often)
{
    scheduled(1, drawing, NULL);
}
END_TEST

/* ---- select with everything at once: values are neither lost nor doubled ---- */

enum { TANGLE = 4, TANGLED = 8, EACH = 4000 / SLOWDOWN };

struct tangle {
    struct chan *chans[TANGLE];
    _Atomic uint8_t sent[TANGLED * EACH], got[TANGLED * EACH];
    _Atomic unsigned id, finished;
};

/* One select: offers a value of its own on one channel, wants one from each of two others, and
 * gives up soon. What it reports must be what the other side saw. */
static int tangle_once(struct tangle *t, struct rand *rnd, uint64_t own)
{
    uint64_t got[2], first = rand_below(rnd, TANGLE);
    struct chan_case cases[] = {{t->chans[first], CHAN_SEND, &own, 0},
                                {t->chans[(first + 1) % TANGLE], CHAN_RECV, &got[0], 0},
                                {t->chans[(first + 2) % TANGLE], CHAN_RECV, &got[1], 0}};
    uint64_t at_ns = rand_below(rnd, 4) == 0 ? task_now_ns() + rand_below(rnd, 50000) : SOON;

    int r = chan_select(cases, 3, at_ns);
    if (r == 0)
        atomic_fetch_add(&t->sent[own], 1);
    else if (r > 0)
        ck_assert_uint_eq(atomic_fetch_add(&t->got[got[r - 1]], 1), 0);
    return r;
}

static int tangle_task(void *arg)
{
    struct tangle *t = arg;
    unsigned id = atomic_fetch_add(&t->id, 1);
    struct rand rnd;

    rand_seed(&rnd, SCHEDULED_SEED + id);
    for (uint64_t next = 0; next < EACH;) {
        int r = tangle_once(t, &rnd, id * EACH + next);

        if (r == 0)
            next++;
        else if (r < 0 && r != -ETIMEDOUT)
            return r;
        if (r == -ETIMEDOUT && atomic_load(&t->finished) > 0)
            break; /* perhaps nobody is left to talk to */
    }
    atomic_fetch_add(&t->finished, 1);
    return 0;
}

static int tangled(void *arg)
{
    struct tangle *t = calloc(1, sizeof *t);
    struct group g;

    (void)arg;
    for (int i = 0; i < TANGLE; i++)
        t->chans[i] = chan_new(sizeof(uint64_t), (size_t)i % 2);
    group_open(&g, "tangle");
    for (int i = 0; i < TANGLED; i++)
        ck_assert_int_eq(group_go(&g, tangle_task, t), 0);
    ck_assert_int_eq(group_join(&g), 0);

    uint64_t value;
    for (int i = 0; i < TANGLE; i++) {
        while (chan_try_recv(t->chans[i], &value) == 0)
            ck_assert_uint_eq(atomic_fetch_add(&t->got[value], 1), 0);
        chan_free(t->chans[i]);
    }
    for (int i = 0; i < TANGLED * EACH; i++)
        ck_assert_uint_eq(t->sent[i], t->got[i]);
    free(t);
    return 0;
}

START_TEST(tangled_selects_neither_lose_nor_double_a_value)
{
    scheduled(_i == 0 ? 1 : 2, tangled, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_select");
    TCase *tc = tcase_create("select");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_select_does_one_case_that_can_go_on);
    tcase_add_loop_test(tc, a_select_parks_on_as_many_cases_as_allowed, 0, 2);
    tcase_add_test(tc, ready_cases_are_chosen_equally_often);
    tcase_add_loop_test(tc, tangled_selects_neither_lose_nor_double_a_value, 0, 2);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
