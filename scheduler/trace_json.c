/* trace_json.c: the rings as Chrome's trace JSON: a track a thread; what has a begin and an end
 * becomes one slice, the rest is a mark. */
#include "base/buf.h"
#include "base/clock.h"
#include "scheduler/core.h"
#include "scheduler/trace.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES (64 * 1024)

enum role { ROLE_NONE, ROLE_MARK, ROLE_BEGIN, ROLE_END };
enum slot { SLOT_RUN, SLOT_BLOCK, SLOT_POLL, SLOT_SLEEP, SLOTS };

static const struct {
    enum role role;
    enum slot slot;
    const char *name;   /* NULL: the event's text */
    const char *number; /* what the event's number is; NULL: nothing */
    const char *text;
} kinds[TRACE_KINDS] = {
    [TRACE_SPAWN] = {ROLE_MARK, 0, "spawn", "task", "site"},
    [TRACE_READY] = {ROLE_MARK, 0, "ready", "task", "name"},
    [TRACE_RUN] = {ROLE_BEGIN, SLOT_RUN, NULL, "task", NULL},
    [TRACE_STOP] = {ROLE_END, SLOT_RUN, NULL, NULL, "then"},
    [TRACE_STEAL] = {ROLE_MARK, 0, "steal", "from", NULL},
    [TRACE_TIMERS] = {ROLE_MARK, 0, "timers", "fired", NULL},
    [TRACE_HANDOFF] = {ROLE_MARK, 0, "hand-off", "of", NULL},
    [TRACE_BLOCK] = {ROLE_BEGIN, SLOT_BLOCK, "blocking call", "lane", NULL},
    [TRACE_UNBLOCK] = {ROLE_END, SLOT_BLOCK, NULL, NULL, NULL},
    [TRACE_POLL] = {ROLE_BEGIN, SLOT_POLL, "poll", NULL, NULL},
    [TRACE_POLLED] = {ROLE_END, SLOT_POLL, NULL, "events", NULL},
    [TRACE_SLEEP] = {ROLE_BEGIN, SLOT_SLEEP, "asleep", NULL, NULL},
    [TRACE_AWAKE] = {ROLE_END, SLOT_SLEEP, NULL, NULL, NULL},
};

/* A copy of an event, to be read at leisure. */
struct copy {
    uint64_t at_ns, number;
    unsigned kind, place;
    uint32_t thread;
    const char *text;
};

/* What is open on a thread: at_ns == 0 is not. */
struct track {
    uint32_t thread;
    struct copy open[SLOTS];
};

struct writer {
    struct buf piece;
    const struct trace_sink *sink;
    uint64_t from_ns, to_ns;
    int pid, result;
};

static void send(struct writer *w)
{
    if (w->result == 0 && buf_failed(&w->piece))
        w->result = -ENOMEM;
    if (w->result == 0)
        w->result = w->sink->put(w->sink->ctx, &w->piece);
    buf_clear(&w->piece);
}

static void put_time(struct buf *b, const char *key, uint64_t ns)
{
    buf_putf(b, ",\"%s\":%llu.%03u", key, (unsigned long long)(ns / 1000),
             (unsigned)(ns % 1000));
}

static void put_word(struct buf *b, const char *key, const char *text)
{
    buf_putf(b, ",\"%s\":", key);
    buf_put_json(b, text, strlen(text));
}

/* Up to where the arguments stand, which begin with the processor. */
static void put_head(struct writer *w, const char *phase, const char *name,
                     const struct copy *e, uint64_t end_ns)
{
    struct buf *b = &w->piece;

    buf_putf(b, ",\n{\"ph\":\"%s\",\"pid\":%d,\"tid\":%u", phase, w->pid, e->thread);
    put_word(b, "name", name);
    put_time(b, "ts", e->at_ns - w->from_ns);
    if (end_ns > 0)
        put_time(b, "dur", end_ns > e->at_ns ? end_ns - e->at_ns : 0);
    buf_putf(b, ",\"args\":{\"processor\":%d", (int)e->place - 1);
}

static void put_number(struct buf *b, const struct copy *e)
{
    if (kinds[e->kind].number != NULL)
        buf_putf(b, ",\"%s\":%llu", kinds[e->kind].number, (unsigned long long)e->number);
}

static void put_mark(struct writer *w, const struct copy *e)
{
    put_head(w, "i", kinds[e->kind].name, e, 0);
    put_number(&w->piece, e);
    if (kinds[e->kind].text != NULL)
        put_word(&w->piece, kinds[e->kind].text, e->text);
    buf_puts(&w->piece, "},\"s\":\"t\"}");
}

static void put_slice(struct writer *w, struct copy *begin, const struct copy *end)
{
    const char *name = kinds[begin->kind].name;

    if (begin->at_ns == 0) /* it began before the trace, or was overwritten */
        return;
    put_head(w, "X", name != NULL ? name : begin->text, begin, end->at_ns);
    put_number(&w->piece, begin);
    put_number(&w->piece, end);
    if (kinds[end->kind].text != NULL)
        put_word(&w->piece, kinds[end->kind].text, end->text);
    buf_puts(&w->piece, "}}");
    begin->at_ns = 0;
}

static void put_thread(struct writer *w, uint32_t thread)
{
    buf_putf(&w->piece,
             ",\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%u,\"name\":\"thread_name\","
             "\"args\":{\"name\":\"%s\"}}",
             w->pid, thread, thread != 0 ? "scheduler" : "outside the scheduler");
}

static void put_event(struct writer *w, struct track *track, const struct copy *e)
{
    struct copy *open = &track->open[kinds[e->kind].slot];

    switch (kinds[e->kind].role) {
    case ROLE_MARK:
        put_mark(w, e);
        break;
    case ROLE_BEGIN:
        *open = *e;
        break;
    case ROLE_END:
        put_slice(w, open, e);
        break;
    case ROLE_NONE:
        break;
    }
    if (w->piece.len >= PIECE_BYTES)
        send(w);
}

/* What is open when the trace ends is told up to there. */
static void put_open(struct writer *w, struct track *track)
{
    static const unsigned ends[SLOTS] = {[SLOT_RUN] = TRACE_STOP,
                                         [SLOT_BLOCK] = TRACE_UNBLOCK,
                                         [SLOT_POLL] = TRACE_POLLED,
                                         [SLOT_SLEEP] = TRACE_AWAKE};

    for (unsigned i = 0; i < SLOTS; i++)
        put_event(w, track,
                  &(struct copy){.kind = ends[i], .at_ns = w->to_ns, .text = "goes on"});
}

static struct copy event_read(const struct trace_event *e)
{
    uint64_t who = get_relaxed(&e->who);
    const char *text = get_relaxed(&e->text);

    return (struct copy){.at_ns = get_relaxed(&e->at_ns),
                         .number = get_relaxed(&e->number),
                         .kind = who & 0xff,
                         .place = (who >> 8) & 0xffff,
                         .thread = (uint32_t)(who >> 32),
                         .text = text != NULL ? text : "?"};
}

/* T1: not the oldest slot of a full ring, and nothing from outside the traced time. */
static void put_ring(struct writer *w, const struct trace_ring *ring)
{
    uint64_t end = atomic_load_explicit(&ring->count, memory_order_acquire);
    uint64_t i = end >= TRACE_EVENTS ? end - TRACE_EVENTS + 1 : 0;
    struct track track = {.thread = UINT32_MAX};

    for (; i < end && w->result == 0; i++) {
        struct copy e = event_read(&ring->events[i % TRACE_EVENTS]);
        if (e.at_ns < w->from_ns || e.at_ns > w->to_ns || e.kind >= TRACE_KINDS)
            continue;
        if (e.thread != track.thread) {
            put_open(w, &track);
            track = (struct track){.thread = e.thread};
            put_thread(w, e.thread);
        }
        put_event(w, &track, &e);
    }
    put_open(w, &track);
}

int trace_write(const struct trace_ring *rings, uint64_t from_ns, uint64_t to_ns,
                const struct trace_sink *sink)
{
    struct writer w = {
        .piece = BUF_INIT, .sink = sink, .from_ns = from_ns, .to_ns = to_ns, .pid = getpid()};

    buf_putf(&w.piece,
             "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n{\"ph\":\"M\",\"pid\":%d,"
             "\"name\":\"process_name\",\"args\":{\"name\":\"scheduler\"}}",
             w.pid);
    for (; rings != NULL && w.result == 0; rings = rings->next)
        put_ring(&w, rings);
    buf_puts(&w.piece, "\n]}\n");
    if (w.result == 0)
        send(&w);
    buf_deinit(&w.piece);
    return w.result;
}
