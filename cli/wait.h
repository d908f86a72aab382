/* wait.h: until jobs end, and what their end means as an exit status. */
#ifndef CLI_WAIT_H
#define CLI_WAIT_H

#include "cli/verb.h"

#include <stdint.h>

/* Waits for one job; *ret_job is the caller's. deadline_ns 0 = for ever. stop may be NULL. A
 * daemon that has answered before and goes away is waited for, a minute long. 0, or an exit
 * status. */
int wait_for(struct client *client, unsigned long long id, uint64_t deadline_ns,
             const volatile bool *stop, json_t **ret_job);
/* 0 succeeded; exec: its own code, 128 + N for a signal; else 1. */
int wait_status(const json_t *job);

#endif
