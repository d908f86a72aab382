/* Random programs on channels, compared step by step with a sequential model.
 *
 * A driver on one processor starts tasks that do one operation each (send, receive, select of
 * up to three cases), tries operations itself, closes channels and cancels waiting tasks. After
 * each step everything that can run has run, so the model can say exactly who must be done,
 * with what result and value, and who must still wait. Only where a select has a choice the
 * model follows the real one, after checking that the choice was open.
 *
 * STINT_SEED=n repeats one program; a failure names its seed and step. */
#include "scheduler/chan.h"

#include "base/rand.h"
#include "tests/lib/scheduled.h"

#include <string.h>

enum { CHANS = 4, OPS = 24, CASES = 3, STEPS = 250, PROGRAMS = 300 / SLOWDOWN, CAP_MAX = 3 };

struct op {
    struct group group;
    struct chan_case cases[CASES];
    unsigned count; /* of cases; 1 is a plain send or receive */
    uint64_t values[CASES];
    int result;        /* what the call answered */
    _Atomic bool done; /* result may be read */

    /* the model's half */
    bool used, waits;
    unsigned chans[CASES];
    int expected, expected_case;
    uint64_t expected_value;
};

struct entry {
    unsigned op, at; /* an operation, and which of its cases */
};

struct queue {
    struct entry entries[OPS * CASES];
    unsigned len;
};

struct model_chan {
    struct chan *real;
    uint64_t ring[CAP_MAX];
    unsigned len, cap;
    bool closed;
    struct queue queues[2]; /* by chan_op */
};

struct program {
    uint64_t seed;
    unsigned step;
    struct rand rnd;
    uint64_t next_value;
    struct model_chan chans[CHANS];
    struct op ops[OPS];
};

#define HOLDS(p, x)                                                                            \
    ck_assert_msg((x), "STINT_SEED=%llu step %u: " #x, (unsigned long long)(p)->seed, (p)->step)

/* ---- the model ---- */

static void queue_remove(struct queue *q, unsigned op)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < q->len; i++)
        if (q->entries[i].op != op)
            q->entries[kept++] = q->entries[i];
    q->len = kept;
}

static void model_forget(struct program *p, unsigned op)
{
    p->ops[op].waits = false;
    for (unsigned i = 0; i < CHANS; i++)
        for (unsigned k = 0; k < 2; k++)
            queue_remove(&p->chans[i].queues[k], op);
}

static void model_wait(struct program *p, unsigned op)
{
    struct op *o = &p->ops[op];

    o->waits = true;
    for (unsigned i = 0; i < o->count; i++) {
        struct queue *q = &p->chans[o->chans[i]].queues[o->cases[i].op];

        q->entries[q->len++] = (struct entry){op, i};
    }
}

static bool model_ready(const struct model_chan *m, enum chan_op kind)
{
    if (m->closed)
        return true;
    if (kind == CHAN_SEND)
        return m->len < m->cap || m->queues[CHAN_RECV].len > 0;
    return m->len > 0 || m->queues[CHAN_SEND].len > 0;
}

/* Ends the wait of the first in a queue: which case of which operation it was. */
static struct entry model_wake(struct program *p, struct queue *q, int result)
{
    struct entry first = q->entries[0];
    struct op *o = &p->ops[first.op];

    o->expected = result;
    o->expected_case = (int)first.at;
    model_forget(p, first.op);
    return first;
}

static int model_send(struct program *p, struct model_chan *m, uint64_t value)
{
    if (m->closed)
        return -EPIPE;
    if (m->queues[CHAN_RECV].len > 0) {
        struct entry e = model_wake(p, &m->queues[CHAN_RECV], 0);

        p->ops[e.op].expected_value = value;
        return 0;
    }
    if (m->len == m->cap)
        return -EAGAIN;
    m->ring[m->len++] = value;
    return 0;
}

static int model_recv(struct program *p, struct model_chan *m, uint64_t *ret_value)
{
    if (m->len > 0) {
        *ret_value = m->ring[0];
        memmove(m->ring, m->ring + 1, --m->len * sizeof *m->ring);
        if (!m->closed && m->queues[CHAN_SEND].len > 0) {
            struct entry e = model_wake(p, &m->queues[CHAN_SEND], 0);

            m->ring[m->len++] = p->ops[e.op].values[e.at];
        }
        return 0;
    }
    if (m->closed)
        return -EPIPE;
    if (m->queues[CHAN_SEND].len == 0)
        return -EAGAIN;
    struct entry e = model_wake(p, &m->queues[CHAN_SEND], 0);
    *ret_value = p->ops[e.op].values[e.at];
    return 0;
}

static void model_close(struct program *p, struct model_chan *m)
{
    m->closed = true;
    while (m->queues[CHAN_RECV].len > 0) /* receivers first; a select may stand in both */
        (void)model_wake(p, &m->queues[CHAN_RECV], -EPIPE);
    while (m->queues[CHAN_SEND].len > 0)
        (void)model_wake(p, &m->queues[CHAN_SEND], -EPIPE);
}

/* ---- the real thing ---- */

static int op_task(void *arg)
{
    struct op *o = arg;

    if (o->count > 1)
        o->result = chan_select(o->cases, o->count, 0);
    else if (o->cases[0].op == CHAN_SEND)
        o->result = chan_send(o->cases[0].chan, &o->values[0], 0);
    else
        o->result = chan_recv(o->cases[0].chan, &o->values[0], 0);
    atomic_store(&o->done, true);
    return 0;
}

/* The result of the operation itself: a select says which case, and that says how it went. */
static int outcome(const struct op *o, int *ret_case)
{
    *ret_case = o->count > 1 && o->result >= 0 ? o->result : 0;
    if (o->count == 1 || o->result < 0)
        return o->result;
    return o->cases[o->result].result;
}

/* A done operation must be done as the model said; its slot is free again. */
static void retire(struct program *p, unsigned op)
{
    struct op *o = &p->ops[op];
    int at;
    int r = outcome(o, &at);

    HOLDS(p, r == o->expected);
    if (r == 0 || r == -EPIPE)
        HOLDS(p, at == o->expected_case);
    if (r == 0 && o->cases[at].op == CHAN_RECV)
        HOLDS(p, o->values[at] == o->expected_value);
    (void)group_close(&o->group);
    o->used = false;
}

static void compare(struct program *p)
{
    let_others_run();
    for (unsigned i = 0; i < OPS; i++) {
        if (!p->ops[i].used)
            continue;
        HOLDS(p, atomic_load(&p->ops[i].done) == !p->ops[i].waits);
        if (!p->ops[i].waits)
            retire(p, i);
    }
    for (unsigned i = 0; i < CHANS; i++)
        HOLDS(p, chan_len(p->chans[i].real) == p->chans[i].len);
}

/* ---- steps ---- */

static void prepare(struct program *p, struct op *o)
{
    *o = (struct op){.used = true, .count = 1};
    if (rand_below(&p->rnd, 3) == 0)
        o->count = 2 + (unsigned)rand_below(&p->rnd, CASES - 1);
    for (unsigned i = 0; i < o->count; i++) {
        o->chans[i] = (unsigned)rand_below(&p->rnd, CHANS);
        o->values[i] = p->next_value++;
        o->cases[i] = (struct chan_case){
            .chan = p->chans[o->chans[i]].real,
            .op = rand_below(&p->rnd, 2) == 0 ? CHAN_SEND : CHAN_RECV,
            .element = &o->values[i],
        };
    }
}

/* What must be true of a done operation just started; moves the model along. */
static void follow(struct program *p, struct op *o)
{
    HOLDS(p, atomic_load(&o->done));

    int at;
    int r = outcome(o, &at);
    struct model_chan *m = &p->chans[o->chans[at]];
    uint64_t value = 0;

    HOLDS(p, model_ready(m, o->cases[at].op));
    int expected = o->cases[at].op == CHAN_SEND ? model_send(p, m, o->values[at])
                                                : model_recv(p, m, &value);
    HOLDS(p, r == expected);
    o->expected = expected;
    o->expected_case = at;
    o->expected_value = value;
}

static void step_start(struct program *p)
{
    unsigned op = (unsigned)rand_below(&p->rnd, OPS);
    struct op *o = &p->ops[op];
    bool ready = false;

    if (o->used)
        return;
    prepare(p, o);
    for (unsigned i = 0; i < o->count; i++)
        ready = ready || model_ready(&p->chans[o->chans[i]], o->cases[i].op);
    group_open(&o->group, "op");
    HOLDS(p, group_go(&o->group, op_task, o) == 0);
    let_others_run();
    if (ready)
        follow(p, o);
    else
        model_wait(p, op);
}

static void step_cancel(struct program *p)
{
    unsigned op = (unsigned)rand_below(&p->rnd, OPS);
    struct op *o = &p->ops[op];

    if (!o->used || !o->waits)
        return;
    model_forget(p, op);
    o->expected = -ECANCELED;
    group_cancel(&o->group, -ECANCELED);
}

static void step_try(struct program *p)
{
    struct model_chan *m = &p->chans[rand_below(&p->rnd, CHANS)];
    uint64_t value = p->next_value++, expected_value = 0;

    if (rand_below(&p->rnd, 2) == 0) {
        int r = chan_try_send(m->real, &value);
        HOLDS(p, r == model_send(p, m, value));
        return;
    }
    int r = chan_try_recv(m->real, &value);
    HOLDS(p, r == model_recv(p, m, &expected_value));
    HOLDS(p, r != 0 || value == expected_value);
}

static void step(struct program *p)
{
    unsigned dice = (unsigned)rand_below(&p->rnd, 100);

    if (dice < 65)
        step_start(p);
    else if (dice < 80)
        step_cancel(p);
    else if (dice < 99)
        step_try(p);
    else {
        struct model_chan *m = &p->chans[rand_below(&p->rnd, CHANS)];

        chan_close(m->real);
        model_close(p, m);
    }
    compare(p);
}

static void program(uint64_t seed)
{
    struct program *p = calloc(1, sizeof *p);

    p->seed = seed;
    rand_seed(&p->rnd, seed);
    for (unsigned i = 0; i < CHANS; i++) {
        p->chans[i].cap = (unsigned)rand_below(&p->rnd, CAP_MAX + 1);
        p->chans[i].real = chan_new(sizeof(uint64_t), p->chans[i].cap);
    }
    for (p->step = 0; p->step < STEPS; p->step++)
        step(p);
    for (unsigned i = 0; i < CHANS; i++) {
        chan_close(p->chans[i].real);
        model_close(p, &p->chans[i]);
    }
    compare(p);
    for (unsigned i = 0; i < CHANS; i++)
        chan_free(p->chans[i].real);
    free(p);
}

static int programs(void *arg)
{
    const char *seed = getenv("STINT_SEED");

    (void)arg;
    if (seed != NULL)
        program(strtoull(seed, NULL, 10));
    for (uint64_t i = 0; seed == NULL && i < PROGRAMS; i++)
        program(SCHEDULED_SEED + i);
    return 0;
}

START_TEST(random_programs_do_what_the_sequential_model_says)
{
    scheduled(1, programs, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_chan_model");
    TCase *tc = tcase_create("model");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, random_programs_do_what_the_sequential_model_says);
    suite_add_tcase(s, tc);
    return scheduled_main(s);
}
