/* chan.h: channels after Hoare and Go. Elements of one size are copied; capacity 0 hands over
 * from task to task. Any task may send or receive; close wakes everybody. */
#ifndef SCHEDULER_CHAN_H
#define SCHEDULER_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chan;

/* NULL without memory. element_bytes may be 0 (a signal), at most CHAN_ELEMENT_BYTES_MAX; more
 * slots than CHAN_CAP_MAX count as more than there is memory. */
struct chan *chan_new(size_t element_bytes, size_t cap);
/* Nobody may wait in it or use it after. NULL is harmless. */
void chan_free(struct chan *c);

#define CHAN_ELEMENT_BYTES_MAX 4096
#define CHAN_CAP_MAX (UINT32_C(1) << 30)

/* 0, -EPIPE when closed, -ETIMEDOUT at deadline_ns (0 = none), or the cancel reason. */
int chan_send(struct chan *c, const void *element, uint64_t deadline_ns);
/* 0, -EPIPE when closed and empty, -ETIMEDOUT, or the cancel reason. */
int chan_recv(struct chan *c, void *ret_element, uint64_t deadline_ns);
/* Never park: -EAGAIN when they would have to. Any thread for a buffered channel. */
int chan_try_send(struct chan *c, const void *element);
int chan_try_recv(struct chan *c, void *ret_element);
/* Senders answer -EPIPE from now on, receivers once it is empty. Closing twice is harmless. A
 * task that wakes hundreds by it yields in between. */
void chan_close(struct chan *c);
size_t chan_len(const struct chan *c);

enum chan_op { CHAN_SEND, CHAN_RECV };

struct chan_case {
    struct chan *chan; /* NULL: never ready */
    enum chan_op op;
    void *element; /* to read from or to write to */
    int result;    /* of the chosen case: 0 or -EPIPE */
};

#define CHAN_SELECT_MAX 64

/* Waits until one case can go on, and does it: its index. Among ready ones each is equally
 * likely. -ETIMEDOUT at deadline_ns (0 = none), the cancel reason, or -EINVAL. */
int chan_select(struct chan_case *cases, unsigned count, uint64_t deadline_ns);
/* As chan_select, but -EAGAIN when none is ready. */
int chan_try_select(struct chan_case *cases, unsigned count);

#endif
