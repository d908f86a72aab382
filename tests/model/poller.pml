/* Who sits in the poller (scheduler/processor.c, go_idle and poll_idle), and whether the role can
 * stay vacant while all sleep and a descriptor becomes ready.
 *
 * Two threads hold a processor each and go idle; a third comes back from a blocking call and takes
 * an idle processor away from whoever sleeps with it, perhaps from the one inside epoll, which
 * then polls on without a processor. Besides, a timer ends the poll once with nothing to show for
 * it. In the end one event must be handled, by whatever thread: if all sleep before, nobody looked.
 *
 * Each of these changes one line for the worse, and must be found out:
 *   SILENT_LEAVE  who leaves the role without a processor and with nothing ready wakes nobody
 *   SILENT_RETREAT  who gave the role back, having lost the processor before it could enter the
 *                 poll, wakes nobody
 *   KEEPS_ROLE    who could not enter the poll after all does not give the role back
 *   TOKEN_LATE    the waker gives the token after it took the thread out of the idle set, and kicks
 *                 the poll: a thread that has left the poll by then waits for its futex
 *   FREE_LATE     the role is given up only after work was handed to others */
#define THREADS 3
#define NOBODY 255
#define RUNNING 0
#define IDLE 1
#define POLLING 2
#define SPARE 3

byte poller = NOBODY, place[THREADS], idle_count, work, spinning;
bool has[THREADS]; /* a processor */
bool token[THREADS], rung[THREADS]; /* rung: its futex was woken */
bool pending, kick;

/* processor_wake, under idle_lock: one idle processor, rather one that does not poll. */
inline wake() {
    atomic {
        if
        :: spinning == 0 && idle_count > 0 ->
           k = 0;
           do
           :: k == THREADS -> break
           :: k < THREADS && has[k] && place[k] == IDLE -> break
           :: else -> k++
           od;
           if
           :: k == THREADS ->
              k = 0;
              do :: has[k] && place[k] == POLLING -> break :: else -> k++ od;
              polled = true
           :: else -> polled = false
           fi;
           place[k] = RUNNING; idle_count--; spinning++;
#ifdef TOKEN_LATE
           late = k; k = 0
        :: else -> late = NOBODY
        fi
    };
    if
    :: late != NOBODY -> atomic {
           token[late] = true;
           if :: polled -> kick = true :: else -> rung[late] = true fi;
           late = NOBODY
       }
    :: else -> skip
    fi
#else
           token[k] = true;
           if :: polled -> kick = true :: else -> rung[k] = true fi;
           k = 0
        :: else -> skip
        fi
    }
#endif
}

proctype Thread(byte me) {
    byte k, ready, late = NOBODY;
    bool spins, polled, woken;

    if
    :: has[me] -> skip
    :: else -> goto back
    fi;
search:
    if
    :: !has[me] -> goto rest
    :: else -> skip
    fi;
    atomic { if :: work > 0 -> work--; ready = 1 :: else -> ready = 0 fi };
    if :: spins -> spins = false; spinning-- :: else -> skip fi;
    if
    :: ready == 1 -> goto search
    :: else -> skip
    fi;
    /* go_idle */
    atomic { place[me] = IDLE; idle_count++ };
    if
    :: work > 0 ->
       atomic {
           if
           :: has[me] && place[me] == IDLE -> place[me] = RUNNING; idle_count--; goto search
           :: else -> skip
           fi
       };
       goto asleep
    :: else -> skip
    fi;
    if
    :: atomic { poller == NOBODY -> poller = me }
    :: poller != NOBODY -> goto asleep
    fi;
    atomic {
        if
        :: has[me] && place[me] == IDLE -> place[me] = POLLING; goto end_poll
        :: else -> skip
        fi
    };
#ifndef KEEPS_ROLE
    poller = NOBODY;
#endif
#ifndef SILENT_RETREAT
    if :: !has[me] -> wake() :: else -> skip fi;
#endif
    goto asleep;
end_poll:
    atomic { pending || kick -> ready = pending; pending = false; kick = false };
#ifndef FREE_LATE
    poller = NOBODY;
#endif
    /* leave_idle */
    atomic {
        woken = has[me] && place[me] == RUNNING;
        if
        :: has[me] && place[me] == POLLING -> place[me] = RUNNING; idle_count--
        :: else -> skip
        fi
    };
    if
    :: woken ->
       if :: token[me] -> skip :: else -> rung[me] fi; /* thread_wait_token */
       token[me] = false; rung[me] = false; spins = true
    :: else -> skip
    fi;
    if
    :: ready > 0 -> work = work + ready;
       if :: !has[me] -> wake() :: else -> skip fi
#ifndef SILENT_LEAVE
    :: ready == 0 && !has[me] -> wake()
#endif
    :: else -> skip
    fi;
#ifdef FREE_LATE
    poller = NOBODY;
#endif
    goto search;

asleep:
end_asleep:
    atomic { token[me] -> token[me] = false; rung[me] = false; spins = true };
    goto search;

rest:
    atomic { place[me] = SPARE };
    goto asleep;

back:
    /* processor_take_idle: rather not the poller's */
    atomic {
        if
        :: idle_count > 0 ->
           k = 0;
           do
           :: k == THREADS -> break
           :: k < THREADS && has[k] && place[k] == IDLE -> break
           :: else -> k++
           od;
           if
           :: k == THREADS -> k = 0; do :: has[k] && place[k] == POLLING -> break :: else -> k++ od
           :: else -> place[k] = SPARE
           fi;
           has[k] = false; has[me] = true; idle_count--; place[me] = RUNNING
        :: else -> skip
        fi;
        k = 0
    };
    if
    :: has[me] -> goto search
    :: else -> work++; wake(); goto rest
    fi
}

init {
    atomic {
        has[0] = true; has[1] = true; place[2] = SPARE;
        run Thread(0); run Thread(1); run Thread(2)
    };
    kick = true;                /* a timer, or somebody's kick: nothing becomes ready */
    !kick;
    pending = true;             /* the event */
    !pending && work == 0
}
