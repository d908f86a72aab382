/* serve.h: the daemon's life between start and stop, as the root task of the scheduler. */
#ifndef DAEMON_SERVE_H
#define DAEMON_SERVE_H

#include "daemon/conf.h"
#include "daemon/doors.h"

struct store;

struct serve {
    struct conf *conf;
    struct doors *doors;
    struct store *store;
    int argc; /* for a reload */
    char **argv;
    uint64_t started_ns;
    char why[CONF_WHY_BYTES]; /* when serve_run fails */
};

/* task_fn. Opens engine and api, tells the service manager, waits for signals, drains, closes.
 * 0, or a negative errno with why. */
int serve_run(void *arg);
/* Blocks the signals that serve_run takes by descriptor; before threads start. */
void serve_block_signals(void);

#endif
