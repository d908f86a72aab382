/* The scheduler's figures, one work a run:
 *
 *     scheduler_bench [-quick] ID           prints lines "id<TAB>value<TAB>unit", and a fourth
 *                                           word when the figure is not ours but the floor's
 *     scheduler_bench -list                 the works
 *
 * What waits for time, files and sockets is measured by scheduler_wait_bench.c in the same way.
 *
 * scheduler.sh runs each work several times, takes medians, and puts the peer's figure of the
 * same run beside them. The works are those of the peer (peer/scheduler.go), one to one: where
 * Go starts a goroutine, a task is started; where Go joins by channel or WaitGroup, so do we,
 * or by the group that every task here has anyway. */
#include "scheduler/chan.h"
#include "scheduler/group.h"
#include "scheduler/task.h"
#include "tests/bench/bench.h"

#include <sys/mman.h>

/* ---- starting and switching ---- */

static _Atomic uint64_t counter;

static int count_task(void *arg)
{
    (void)arg;
    atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);
    return 0;
}

static double spawn_round(void *arg)
{
    uint64_t n = 1000000 / scale, start_ns = clock_mono_ns();
    struct group g;

    (void)arg;
    atomic_store(&counter, 0);
    group_open(&g, "spawn");
    for (uint64_t i = 0; i < n; i++)
        MUST(group_go(&g, count_task, NULL) == 0);
    MUST(group_join(&g) == 0);
    MUST(atomic_load(&counter) == n);
    return since(start_ns) / (double)n;
}

static int spawn_join(void *arg)
{
    (void)arg;
    print("spawn_join_1", warm(spawn_round, NULL, 3), "ns");
    return 0;
}

static int yield_task(void *arg)
{
    for (uint64_t i = *(uint64_t *)arg; i > 0; i--)
        (void)task_yield();
    return 0;
}

static int yield(void *arg)
{
    uint64_t each = 10000 / scale, start_ns = clock_mono_ns();
    struct group g;

    (void)arg;
    group_open(&g, "yield");
    for (int i = 0; i < 1000; i++)
        MUST(group_go(&g, yield_task, &each) == 0);
    MUST(group_join(&g) == 0);
    print("yield_1000", since(start_ns) / (double)(1000 * each), "ns");
    return 0;
}

/* ---- channels ---- */

struct pair {
    struct chan *there, *back;
    uint64_t n;
    double ns;
};

static int pong_task(void *arg)
{
    struct pair *p = arg;
    uint64_t value;

    while (chan_recv(p->there, &value, 0) == 0) {
        value++;
        MUST(chan_send(p->back, &value, 0) == 0);
    }
    return 0;
}

static int ping_task(void *arg)
{
    struct pair *p = arg;
    uint64_t value = 0, start_ns = clock_mono_ns();

    for (uint64_t i = 0; i < p->n; i++) {
        MUST(chan_send(p->there, &value, 0) == 0);
        MUST(chan_recv(p->back, &value, 0) == 0);
    }
    MUST(value == p->n);
    p->ns = since(start_ns) / (double)p->n;
    chan_close(p->there);
    return 0;
}

static int pingpong(void *arg)
{
    struct pair p = {.there = chan_new(8, 0), .back = chan_new(8, 0), .n = 1000000 / scale};
    struct group g;

    group_open(&g, "pair");
    MUST(group_go(&g, pong_task, &p) == 0);
    MUST(group_go(&g, ping_task, &p) == 0);
    MUST(group_join(&g) == 0);
    chan_free(p.there);
    chan_free(p.back);
    print(arg, p.ns, "ns");
    return 0;
}

struct stream {
    struct chan *chan;
    uint64_t each;
    _Atomic uint64_t sum;
};

static int produce_task(void *arg)
{
    struct stream *s = arg;
    uint64_t one = 1;

    for (uint64_t i = 0; i < s->each; i++)
        MUST(chan_send(s->chan, &one, 0) == 0);
    return 0;
}

static int consume_task(void *arg)
{
    struct stream *s = arg;
    uint64_t value, sum = 0;

    while (chan_recv(s->chan, &value, 0) == 0)
        sum += value;
    atomic_fetch_add(&s->sum, sum);
    return 0;
}

static int stream(void *arg)
{
    unsigned team = strcmp(arg, "chan_4_4") == 0 ? 4 : 1;
    uint64_t n = 10000000 / scale, start_ns = clock_mono_ns();
    struct stream s = {.chan = chan_new(8, 128), .each = n / team};
    struct group producers, consumers;

    group_open(&producers, "producers");
    group_open(&consumers, "consumers");
    for (unsigned i = 0; i < team; i++)
        MUST(group_go(&producers, produce_task, &s) == 0);
    for (unsigned i = 0; i < team; i++)
        MUST(group_go(&consumers, consume_task, &s) == 0);
    MUST(group_join(&producers) == 0);
    chan_close(s.chan);
    MUST(group_join(&consumers) == 0);
    MUST(atomic_load(&s.sum) == s.each * team);
    chan_free(s.chan);
    print(arg, since(start_ns) / (double)n, "ns");
    return 0;
}

/* ---- trees of tasks ---- */

struct leaf {
    struct chan *to;
    uint64_t number, size;
};

static int skynet_task(void *arg)
{
    struct leaf me = *(struct leaf *)arg, children[10];
    uint64_t value, sum = 0;
    struct group g;

    if (me.size == 1)
        return chan_send(me.to, &me.number, 0);
    struct chan *c = chan_new(8, 0);
    group_open(&g, "skynet");
    for (uint64_t i = 0; i < 10; i++) {
        children[i] = (struct leaf){c, me.number + i * (me.size / 10), me.size / 10};
        MUST(group_go_stack(&g, skynet_task, &children[i], STACK_SMALL) == 0);
    }
    for (int i = 0; i < 10; i++) {
        MUST(chan_recv(c, &value, 0) == 0);
        sum += value;
    }
    MUST(group_join(&g) == 0);
    chan_free(c);
    return chan_send(me.to, &sum, 0);
}

static double skynet_round(void *arg)
{
    uint64_t n = *(uint64_t *)arg, sum, start_ns = clock_mono_ns();
    struct leaf root = {chan_new(8, 0), 0, n};
    struct group g;

    group_open(&g, "root");
    MUST(group_go(&g, skynet_task, &root) == 0);
    MUST(chan_recv(root.to, &sum, 0) == 0);
    MUST(group_join(&g) == 0);
    MUST(sum == n * (n - 1) / 2);
    chan_free(root.to);
    return since(start_ns) / (double)NS_PER_MS;
}

static int skynet(void *arg)
{
    uint64_t n = scale == 1 ? 1000000 : 10000;

    (void)arg;
    print("skynet", warm(skynet_round, &n, 3), "ms");
    print("skynet_peak_mb", status_bytes("VmHWM:") / 1e6, "MB");
    return 0;
}

struct fib {
    int n;
    uint64_t value;
};

static int fib_task(void *arg)
{
    struct fib *f = arg, left = {f->n - 1, 0}, right = {f->n - 2, 0};
    struct group g;

    if (f->n < 2) {
        f->value = (uint64_t)f->n;
        return 0;
    }
    group_open(&g, "fib");
    MUST(group_go(&g, fib_task, &left) == 0);
    (void)fib_task(&right);
    MUST(group_join(&g) == 0);
    f->value = left.value + right.value;
    return 0;
}

static double fib_round(void *arg)
{
    struct fib f = *(struct fib *)arg;
    uint64_t start_ns = clock_mono_ns(), a = 0, b = 1;

    (void)fib_task(&f);
    double ns = since(start_ns);
    for (int i = 0; i < f.n; i++) {
        uint64_t next = a + b;

        a = b;
        b = next;
    }
    MUST(f.value == a);
    return ns / (double)(a + b - 1); /* fib(n + 1) - 1 forks */
}

static int fib(void *arg)
{
    struct fib f = {scale == 1 ? 27 : 18, 0};

    (void)arg;
    print("fib_fine", warm(fib_round, &f, 3), "ns");
    return 0;
}

/* ---- many tasks at once ---- */

struct parked {
    struct chan *gate;
    _Atomic uint64_t arrived;
};

static int parked_task(void *arg)
{
    struct parked *p = arg;

    atomic_fetch_add_explicit(&p->arrived, 1, memory_order_relaxed);
    return chan_recv(p->gate, NULL, 0) == -EPIPE ? 0 : -EPROTO;
}

/* The least that a stack costs: one page of it, touched for the first time. Laid out as stacks
 * are. */
static double fresh_pages(uint64_t n)
{
    size_t stride = 5 * 4096;
    char *base = mmap(NULL, n * stride, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    MUST(base != MAP_FAILED && madvise(base, n * stride, MADV_NOHUGEPAGE) == 0);
    uint64_t start_ns = clock_mono_ns();
    for (uint64_t i = 0; i < n; i++)
        *(volatile char *)(base + (i + 1) * stride - 1) = 1;
    double ns = since(start_ns) / (double)n;
    munmap(base, n * stride);
    return ns;
}

static double park_all(struct parked *p, struct group *g, uint64_t n)
{
    uint64_t start_ns = clock_mono_ns();

    p->gate = chan_new(0, 0);
    atomic_store(&p->arrived, 0);
    group_open(g, "parked");
    for (uint64_t i = 0; i < n; i++)
        MUST(group_go_stack(g, parked_task, p, STACK_SMALL) == 0);
    while (atomic_load(&p->arrived) < n)
        (void)task_sleep_ns(100 * NS_PER_US);
    return since(start_ns) / (double)n;
}

static double wake_all(struct parked *p, struct group *g, uint64_t n)
{
    uint64_t start_ns = clock_mono_ns();

    chan_close(p->gate);
    MUST(group_join(g) == 0);
    double ns = since(start_ns) / (double)n;
    chan_free(p->gate);
    return ns;
}

static int parked(void *arg)
{
    uint64_t n = 1000000 / scale;
    struct parked p;
    struct group g;

    (void)arg;
    printf("parked_1m_create\t%.3f\tns\tfloor\n", fresh_pages(n));
    double bytes = status_bytes("VmRSS:");
    print("parked_1m_create", park_all(&p, &g, n), "ns");
    (void)task_sleep_ns(100 * NS_PER_MS);
    print("parked_1m_bytes", (status_bytes("VmRSS:") - bytes) / (double)n, "B");
    print("parked_1m_wake", wake_all(&p, &g, n), "ns");
    /* On the stacks that those have left. */
    print("parked_1m_again", park_all(&p, &g, n), "ns");
    (void)wake_all(&p, &g, n);
    return 0;
}

static const struct work works[] = {
    {"spawn_join_1", spawn_join, 2}, {"yield_1000", yield, 1}, {"pingpong", pingpong, 2},
    {"pingpong_1c", pingpong, 1},    {"chan_1_1", stream, 2},  {"chan_4_4", stream, 2},
    {"skynet", skynet, 2},           {"fib_fine", fib, 2},     {"parked_1m", parked, 2},
};

int main(int argc, char **argv)
{
    return works_main(argc, argv, works, sizeof works / sizeof *works);
}
