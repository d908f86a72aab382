/* plays.h: the small scenarios, and what must be true after every schedule of them. */
#ifndef TESTS_SCHEDULE_PLAYS_H
#define TESTS_SCHEDULE_PLAYS_H

#include "tests/schedule/control.h"

extern const struct control_play play_runq, play_runq_next, play_event, play_chan,
    play_rendezvous, play_close, play_select, play_select_deadline, play_mutex,
    play_mutex_deadline, play_cond, play_semaphore, play_timer, play_timer_again, play_group,
    play_group_limit, play_run;

#endif
