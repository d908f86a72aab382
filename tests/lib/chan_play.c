#include "tests/lib/chan_play.h"

#include "base/rand.h"
#include "scheduler/chan.h"
#include "scheduler/group.h"
#include "scheduler/task.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANS = 4, OPS = 24, CASES = 3, STEPS = 250, CAP_MAX = 3, LONG_AGO_NS = 1 };

struct op {
    struct group group;
    struct chan_case cases[CASES];
    unsigned count; /* of cases; 1 is a plain send or receive */
    uint64_t values[CASES];
    int result;        /* what the call answered */
    _Atomic bool done; /* result may be read */

    /* the model's half */
    bool used, waits;
    unsigned chans[CASES]; /* CHANS = none */
    uint64_t deadline_ns;
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

/* Where choices come from: a seed, or the bytes of a fuzzer. */
struct draw {
    struct rand rand;
    const uint8_t *bytes; /* NULL: from rand */
    size_t len, at;
};

struct program {
    uint64_t seed; /* 0 = of bytes */
    unsigned step;
    struct draw draw;
    uint64_t next_value;
    struct model_chan chans[CHANS];
    struct op ops[OPS];
};

/* Ends the process: there is nobody to tell but the fuzzer, or the runner of the test. */
static void holds(const struct program *p, bool x, const char *what)
{
    if (x)
        return;
    fprintf(stderr, "chan_play: STINT_SEED=%llu step %u: %s\n", (unsigned long long)p->seed,
            p->step, what);
    abort();
}

#define HOLDS(p, x) holds((p), (x), #x)

static uint64_t draw(struct program *p, uint64_t bound)
{
    struct draw *d = &p->draw;

    if (d->bytes == NULL)
        return rand_below(&d->rand, bound);
    return d->at < d->len ? d->bytes[d->at++] % bound : 0;
}

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
        if (o->chans[i] == CHANS)
            continue;
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

/* On one processor every other runnable task has had its turn after this, and due timers too.
 */
static void turns(void)
{
    for (int i = 0; i < 8; i++)
        (void)task_yield();
}

static int op_task(void *arg)
{
    struct op *o = arg;

    if (o->count > 1)
        o->result = chan_select(o->cases, o->count, o->deadline_ns);
    else if (o->cases[0].op == CHAN_SEND)
        o->result = chan_send(o->cases[0].chan, &o->values[0], o->deadline_ns);
    else
        o->result = chan_recv(o->cases[0].chan, &o->values[0], o->deadline_ns);
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
    turns();
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
    if (draw(p, 3) == 0)
        o->count = 2 + (unsigned)draw(p, CASES - 1);
    if (draw(p, 8) == 0)
        o->deadline_ns = LONG_AGO_NS;
    for (unsigned i = 0; i < o->count; i++) {
        bool none = o->count > 1 && draw(p, 8) == 0;
        o->chans[i] = none ? CHANS : (unsigned)draw(p, CHANS);
        o->values[i] = p->next_value++;
        o->cases[i] = (struct chan_case){
            .chan = none ? NULL : p->chans[o->chans[i]].real,
            .op = draw(p, 2) == 0 ? CHAN_SEND : CHAN_RECV,
            .element = &o->values[i],
        };
    }
}

static bool is_ready(const struct program *p, const struct op *o)
{
    for (unsigned i = 0; i < o->count; i++)
        if (o->chans[i] < CHANS && model_ready(&p->chans[o->chans[i]], o->cases[i].op))
            return true;
    return false;
}

/* What must be true of a done operation just started; moves the model along. */
static void follow(struct program *p, struct op *o)
{
    int at;
    int r = outcome(o, &at);
    HOLDS(p, o->chans[at] < CHANS);
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
    unsigned op = (unsigned)draw(p, OPS);
    struct op *o = &p->ops[op];

    if (o->used)
        return;
    prepare(p, o);
    bool ready = is_ready(p, o);
    group_open(&o->group, "op");
    HOLDS(p, group_go(&o->group, op_task, o) == 0);
    turns();
    if (ready) {
        HOLDS(p, atomic_load(&o->done));
        follow(p, o);
    } else if (o->deadline_ns > 0) {
        o->expected = -ETIMEDOUT;
    } else {
        model_wait(p, op);
    }
}

/* A select that does not wait, by the driver itself. */
static void step_try_select(struct program *p)
{
    struct op o;

    prepare(p, &o);
    bool ready = is_ready(p, &o);
    int r = chan_try_select(o.cases, o.count);
    HOLDS(p, ready ? r >= 0 : r == -EAGAIN);
    if (!ready)
        return;
    o.count = CASES; /* also of one case: the answer says which */
    o.result = r;
    follow(p, &o);
    if (o.expected == 0 && o.cases[r].op == CHAN_RECV)
        HOLDS(p, o.values[r] == o.expected_value);
}

static void step_cancel(struct program *p)
{
    unsigned op = (unsigned)draw(p, OPS);
    struct op *o = &p->ops[op];

    if (!o->used || !o->waits)
        return;
    model_forget(p, op);
    o->expected = -ECANCELED;
    group_cancel(&o->group, -ECANCELED);
}

static void step_try(struct program *p)
{
    struct model_chan *m = &p->chans[draw(p, CHANS)];
    uint64_t value = p->next_value++, expected_value = 0;

    if (draw(p, 2) == 0) {
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
    unsigned dice = (unsigned)draw(p, 100);

    if (dice < 65)
        step_start(p);
    else if (dice < 80)
        step_cancel(p);
    else if (dice < 90)
        step_try(p);
    else if (dice < 98)
        step_try_select(p);
    else {
        struct model_chan *m = &p->chans[draw(p, CHANS)];

        chan_close(m->real);
        model_close(p, m);
    }
    compare(p);
}

static void program(struct program *p)
{
    for (unsigned i = 0; i < CHANS; i++) {
        p->chans[i].cap = (unsigned)draw(p, CAP_MAX + 1);
        p->chans[i].real = chan_new(sizeof(uint64_t), p->chans[i].cap);
    }
    for (; p->step < STEPS && (p->draw.bytes == NULL || p->draw.at < p->draw.len); p->step++)
        step(p);
    for (unsigned i = 0; i < CHANS; i++) {
        chan_close(p->chans[i].real);
        model_close(p, &p->chans[i]);
    }
    compare(p);
    /* Who selects no channel at all waits to be cancelled. */
    for (unsigned i = 0; i < OPS; i++) {
        if (!p->ops[i].used)
            continue;
        model_forget(p, i);
        p->ops[i].expected = -ECANCELED;
        group_cancel(&p->ops[i].group, -ECANCELED);
    }
    compare(p);
    for (unsigned i = 0; i < CHANS; i++)
        chan_free(p->chans[i].real);
}

void chan_play_seed(uint64_t seed)
{
    struct program *p = calloc(1, sizeof *p);

    p->seed = seed;
    rand_seed(&p->draw.rand, seed);
    program(p);
    free(p);
}

void chan_play_bytes(const uint8_t *bytes, size_t len)
{
    struct program *p = calloc(1, sizeof *p);

    p->draw.bytes = bytes;
    p->draw.len = len;
    program(p);
    free(p);
}
