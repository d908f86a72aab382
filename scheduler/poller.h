/* poller.h: the only epoll of the scheduler. One idle thread sleeps in it (the role is
 * sched.poller); a busy system looks at it now and then without waiting. */
#ifndef SCHEDULER_POLLER_H
#define SCHEDULER_POLLER_H

#include "scheduler/core.h"

int poller_open(void); /* 0 or a negative errno */
void poller_close(void);
/* Edge-triggered, both directions. 0 or a negative errno. */
int poller_add(int fd, uint64_t data);
void poller_remove(int fd);
/* Sleeps until that time, an event or a kick. The holder of the role. */
void poller_wait(uint64_t until_ns, struct task_list *ret);
/* Looks without waiting; false when somebody sleeps in it, looks, or nothing is watched. Any
 * thread. */
bool poller_try(struct task_list *ret);
/* Wakes whoever sleeps in it, or the next who would. Any thread. */
void poller_kick(void);

/* net.c: what an event means. */
void net_event(uint64_t data, uint32_t events, struct task_list *ret);
void net_slabs_free(void);

#endif
