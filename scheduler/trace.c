#include "scheduler/trace.h"

#include "base/buf.h"
#include "base/clock.h"
#include "scheduler/core.h"
#include "scheduler/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define RING_BYTES (TRACE_EVENTS * sizeof(struct trace_event))

enum { TRACE_OFF, TRACE_RECORDS, TRACE_ENDS };

_Atomic bool trace_on;

static struct {
    _Atomic int state;
    uint64_t from_ns;      /* of who set the state */
    _Atomic uint32_t lock; /* guards all below */
    struct trace_ring *rings;
    /* Of all threads that are not the scheduler's: the monitor, who sets an event. */
    _Atomic uint32_t foreign_lock;
    struct trace_ring *foreign;
} self;

static struct trace_ring *ring_new(void)
{
    struct trace_ring *ring = calloc(1, sizeof *ring);

    if (ring == NULL)
        return NULL;
    ring->events = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ring->events == MAP_FAILED) {
        free(ring);
        return NULL;
    }
    ring->next = self.rings;
    self.rings = ring;
    return ring;
}

/* One that a thread left behind, or a new one; NULL without memory: its thread is not told of.
 */
static struct trace_ring *ring_take(void)
{
    spin_lock(&self.lock);
    struct trace_ring *ring = self.rings;
    while (ring != NULL && ring->taken)
        ring = ring->next;
    if (ring == NULL)
        ring = ring_new();
    if (ring != NULL)
        ring->taken = true;
    spin_unlock(&self.lock);
    return ring;
}

static void ring_add(struct trace_ring *ring, uint64_t who, uint64_t number, const char *text)
{
    uint64_t count = get_relaxed(&ring->count);
    struct trace_event *e = &ring->events[count % TRACE_EVENTS];

    set_relaxed(&e->at_ns, clock_mono_ns());
    set_relaxed(&e->who, who);
    set_relaxed(&e->number, number);
    set_relaxed(&e->text, text);
    atomic_store_explicit(&ring->count, count + 1, memory_order_release);
}

static void add_foreign(enum trace_kind kind, uint64_t number, const char *text)
{
    spin_lock(&self.foreign_lock);
    if (self.foreign == NULL)
        self.foreign = ring_take();
    if (self.foreign != NULL)
        ring_add(self.foreign, kind, number, text);
    spin_unlock(&self.foreign_lock);
}

__attribute__((noinline)) void trace_add(enum trace_kind kind, uint64_t number,
                                         const char *text)
{
    struct thread *m = thread_self();

    if (m == NULL) {
        add_foreign(kind, number, text);
        return;
    }
    /* A task reads what its thread wrote: in order, but the tools do not know. */
    struct trace_ring *ring = atomic_load_explicit(&m->trace, memory_order_acquire);
    if (ring == NULL) {
        if ((ring = ring_take()) == NULL)
            return;
        atomic_store_explicit(&m->trace, ring, memory_order_release);
    }
    const struct processor *p = get_relaxed(&m->processor);
    uint64_t place = p != NULL ? p->index + 1 : 0;
    ring_add(ring, kind | place << 8 | (uint64_t)m->tid << 32, number, text);
}

void trace_thread_end(void)
{
    struct thread *m = thread_self();
    struct trace_ring *ring = get_relaxed(&m->trace);

    if (ring == NULL)
        return;
    set_relaxed(&m->trace, NULL);
    spin_lock(&self.lock);
    ring->taken = false;
    spin_unlock(&self.lock);
}

void trace_free(void)
{
    atomic_store(&trace_on, false);
    atomic_store(&self.state, TRACE_OFF);
    while (self.rings != NULL) {
        struct trace_ring *ring = self.rings;
        self.rings = ring->next;
        munmap(ring->events, RING_BYTES);
        free(ring);
    }
    self.foreign = NULL;
}

int scheduler_trace_start(void)
{
    int state = TRACE_OFF;

    if (!look_begin())
        return -ESRCH;
    int r = atomic_compare_exchange_strong(&self.state, &state, TRACE_ENDS) ? 0 : -EBUSY;
    if (r == 0) {
        self.from_ns = clock_mono_ns();
        atomic_store(&trace_on, true);
        atomic_store(&self.state, TRACE_RECORDS);
    }
    look_end();
    return r;
}

/* What was told needs no memory any more. Who is at a last event finds a fresh page. */
static void rings_trim(void)
{
    spin_lock(&self.lock);
    for (struct trace_ring *ring = self.rings; ring != NULL; ring = ring->next)
        madvise(ring->events, RING_BYTES, MADV_DONTNEED);
    spin_unlock(&self.lock);
}

static struct trace_ring *rings_now(void)
{
    spin_lock(&self.lock);
    struct trace_ring *rings = self.rings; /* grows at its head only */
    spin_unlock(&self.lock);
    return rings;
}

static int stop(const struct trace_sink *sink)
{
    int state = TRACE_RECORDS, r = 0;

    if (!atomic_compare_exchange_strong(&self.state, &state, TRACE_ENDS))
        return -ESRCH;
    atomic_store(&trace_on, false);
    if (sink != NULL)
        r = trace_write(rings_now(), self.from_ns, clock_mono_ns(), sink);
    rings_trim();
    atomic_store(&self.state, TRACE_OFF);
    return r;
}

static int stop_and_look(const struct trace_sink *sink)
{
    if (!look_begin())
        return -ESRCH;
    int r = stop(sink);
    look_end();
    return r;
}

int scheduler_trace_stop(int (*put)(void *ctx, struct buf *piece), void *ctx)
{
    return stop_and_look(&(struct trace_sink){put, ctx});
}

int scheduler_trace_drop(void)
{
    return stop_and_look(NULL);
}
