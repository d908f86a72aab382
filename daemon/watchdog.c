#include "daemon/watchdog.h"

#include "base/clock.h"
#include "base/log.h"
#include "scheduler/group.h"
#include "scheduler/task.h"

#include <errno.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

/* The beat is a task like any other, so it comes only when tasks run; besides, no processor may
 * have had work for half the period without taking any. */

struct watchdog {
    struct group group;
    uint64_t period_ns;
};

static int beat(void *arg)
{
    struct watchdog *w = arg;

    for (;;) {
        int r = task_sleep_ns(w->period_ns / 3);
        if (r < 0)
            return 0;

        struct scheduler_stats s;
        scheduler_stats(&s);
        if (s.stall_ns < w->period_ns / 2)
            sd_notify(0, "WATCHDOG=1");
        else
            log_error("daemon.stalled", LOG_U64("stall_ms", s.stall_ns / NS_PER_MS));
    }
}

int watchdog_start(struct watchdog **ret)
{
    uint64_t period_us = 0;

    if (sd_watchdog_enabled(0, &period_us) <= 0)
        return 0;

    struct watchdog *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    w->period_ns = period_us * NS_PER_US;
    group_open(&w->group, "watchdog");
    sd_notify(0, "WATCHDOG=1");
    int r = group_go(&w->group, beat, w);
    if (r < 0) {
        group_close(&w->group);
        free(w);
        return r;
    }
    *ret = w;
    return 0;
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (watchdog == NULL)
        return;
    group_close(&watchdog->group);
    free(watchdog);
}
