/* ward.h: tasks that sleep a few calls deep, for gdb.py to find: each is "sleeper", of the
 * group "ward", in innermost() of between() of sleeper(). */
#ifndef TESTS_LIB_WARD_H
#define TESTS_LIB_WARD_H

#include "scheduler/chan.h"
#include "scheduler/group.h"

#include <errno.h>

enum { WARD_SLEEPERS = 3 };

static __attribute__((noinline)) int innermost(struct chan *c)
{
    return chan_recv(c, NULL, 0) + 1;
}

static __attribute__((noinline)) int between(struct chan *c)
{
    return innermost(c) + 1;
}

static int sleeper(void *arg)
{
    return between(arg) > 0 ? 0 : -EPROTO;
}

/* Opens g and starts them; on one processor they sleep once others had their turn. */
static inline int ward_open(struct group *g, struct chan *c)
{
    int r = 0;

    group_open(g, "ward");
    for (int i = 0; i < WARD_SLEEPERS && r == 0; i++)
        r = group_go(g, sleeper, c);
    return r;
}

#endif
