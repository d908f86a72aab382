/* watchdog.h: tells the service manager that we live, but only while we really do: a daemon
 * whose processors are stuck must be restarted, not praised. */
#ifndef DAEMON_WATCHDOG_H
#define DAEMON_WATCHDOG_H

struct watchdog;

/* A task of its own group; nothing when the manager asks for no watchdog. 0 or a negative
 * errno. */
int watchdog_start(struct watchdog **ret);
void watchdog_stop(struct watchdog *watchdog); /* parks; NULL is harmless */

#endif
