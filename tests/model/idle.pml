/* How processors go idle and are woken (scheduler/processor.c), and whether work can be left
 * lying while a processor sleeps.
 *
 * BUSY processors run a task that spawns PER others into its own ring; OUTSIDE tasks come from a
 * foreign thread into the global queue, in one batch; THIEVES processors look for work. A task
 * that has started keeps its processor until all tasks have started. So there is no way out of a
 * lost wake-up, nor of work that waits in a ring while a processor sleeps: both are invalid end
 * states, which Spin reports. There must be a thief for each task.
 *
 * Steps of one atomic instruction there are one atomic step here, and so is what happens under
 * idle_lock. A theft is two steps, as it is there: the tasks leave the victim's ring in one and
 * enter the thief's in the next, and between the two no scan sees them. The same is true of a
 * batch from the global queue.
 *
 * Each of these changes one line for the worse, and must be found out:
 *   NO_FENCE      a submitter looks for spinners before its push can be seen
 *   NO_RESCAN     a worker does not look again after it has published itself as idle
 *   RESCAN_FIRST  it looks again before it stops being counted as a spinner
 *   IDLE_LAST     it publishes itself as idle only after it has looked again
 *   COUNTED_ONLY  only a worker that was counted as a spinner looks again
 *   UNCOUNTED_RETURN  having seen work there, it searches again without being counted, and so
 *                 owes nobody a look when it finds one task of several
 *   NO_SUCCESSOR  a spinner that found work wakes nobody for what is left
 *   SILENT_THEFT  a thief that was not counted as a spinner tells nobody of what it brought home
 *   SILENT_BATCH  who takes a batch from the global queue tells nobody of it
 *   SILENT_TIMER  nobody was told of who yielded alone, as it is next; and nobody is told of a
 *                 second one that a timer puts beside it */
#ifndef THIEVES
#define THIEVES 2
#endif
#ifndef BUSY
#define BUSY 2
#endif
#ifndef PER
#define PER 1
#endif
#ifndef OUTSIDE
#define OUTSIDE 0
#endif
#ifndef YIELDS /* processors among the BUSY whose only task yields, instead of spawning */
#define YIELDS 0
#endif
#ifdef TIMER /* on each of them, just then */
#define FIRED 1
#else
#define FIRED 0
#endif
#define TASKS ((BUSY - YIELDS) * PER + YIELDS * (1 + FIRED) + OUTSIDE)
#define RINGS (BUSY + THIEVES)

byte ring[RINGS], global_len, spinning, idle_count, started;
bool idle[THIEVES], token[THIEVES];

#define NOBODY_KNOWS (idle_count > 0 && spinning == 0)

/* processor_wake: one idle worker, if nobody spins. It starts as a counted spinner. */
inline wake() {
    if
    :: atomic { spinning == 0 -> spinning = 1 };
       atomic {
           if
           :: idle_count > 0 ->
              k = 0;
              do :: idle[k] -> break :: else -> k++ od;
              idle[k] = false; idle_count--; token[k] = true
           :: else -> spinning--
           fi;
           k = 0
       }
    :: spinning != 0 -> skip
    fi
}

/* processor_submit: two loads, in this order. */
inline submit() {
    if
    :: idle_count > 0 -> if :: spinning == 0 -> wake() :: else -> skip fi
    :: else -> skip
    fi
}

/* A pass over the queues takes time. With COARSE it takes none, which leaves out interleavings
 * but makes room for more processors: what is found so is still an error. */
#ifdef COARSE
#define PASS atomic
#else
#define PASS
#endif

/* tasks_visible: one queue after the other. */
inline look(ret) {
    PASS {
        ret = global_len > 0; i = 0;
        do
        :: !ret && i < RINGS -> atomic { ret = ring[i] > 0; i++ }
        :: else -> break
        od;
        i = 0
    }
}

/* Half of each ring in turn, rounded up; got is how many were taken. */
inline steal() {
    PASS {
        i = 0; got = 0;
        do
        :: got == 0 && i < RINGS ->
           atomic {
               if
               :: i != BUSY + me && ring[i] > 0 ->
                  got = ring[i] - ring[i] / 2; ring[i] = ring[i] - got
               :: else -> skip
               fi;
               i++
           }
        :: else -> break
        od;
        i = 0
    };
    if :: got > 1 -> ring[BUSY + me] = ring[BUSY + me] + got - 1 :: else -> skip fi
}

proctype Worker(byte me) {
    byte i, k, got;
    bool counted, seen;

search:
    /* find_here: the own ring, then a batch of the global queue */
    atomic { if :: ring[BUSY + me] > 0 -> ring[BUSY + me]--; got = 1 :: else -> got = 0 fi };
    if
    :: got > 0 -> goto found
    :: else -> skip
    fi;
    atomic { got = global_len; global_len = 0 };
    if
    :: got > 1 ->
       ring[BUSY + me] = ring[BUSY + me] + got - 1;
#ifndef SILENT_BATCH
       submit();
#endif
       goto found
    :: got == 1 -> goto found
    :: else -> skip
    fi;
    /* find_elsewhere: at most half of the busy ones are counted; the test is racy */
    if
    :: !counted && 2 * spinning < RINGS - idle_count -> spinning++; counted = true
    :: else -> skip
    fi;
    steal();
    if
    :: got > 0 ->
#ifndef SILENT_THEFT
       if :: got > 1 && !counted -> submit() :: else -> skip fi;
#endif
       goto found
    :: else -> skip
    fi;

    /* go_idle */
#ifdef RESCAN_FIRST
    look(seen);
#endif
#ifdef IDLE_LAST
    if :: counted -> spinning--; counted = false :: else -> skip fi;
    look(seen);
    if :: seen -> goto search :: else -> skip fi;
    atomic { idle[me] = true; idle_count++ };
#else
    atomic { idle[me] = true; idle_count++ };
#ifdef COUNTED_ONLY
    if :: counted -> spinning--; counted = false :: else -> goto sleep fi;
#else
    if :: counted -> spinning--; counted = false :: else -> skip fi;
#endif
#ifndef RESCAN_FIRST
#ifdef NO_RESCAN
    seen = false;
#else
    look(seen);
#endif
#endif
    if
    :: seen ->
       atomic {
           if
           :: idle[me] -> idle[me] = false; idle_count--;
#ifndef UNCOUNTED_RETURN
              spinning++; counted = true;
#endif
              goto search
           :: else -> skip
           fi
       }
    :: else -> skip
    fi;
#endif
sleep:
end_asleep: /* a worker may sleep for ever; the tasks decide whether that was right */
    atomic { token[me] -> token[me] = false; counted = true };
    goto search;

found:
    if
    :: counted -> spinning--; counted = false;
#ifndef NO_SUCCESSOR
       if
       :: idle_count > 0 -> look(seen); if :: seen -> wake() :: else -> skip fi
       :: else -> skip
       fi
#endif
    :: else -> skip
    fi;
    started++;
    started == TASKS
}

proctype Spawner(byte me) {
    byte k, n;
    do
    :: n < PER ->
#ifdef NO_FENCE
       if
       :: NOBODY_KNOWS -> ring[me]++; wake()
       :: !NOBODY_KNOWS -> ring[me]++
       fi;
#else
       ring[me]++;
       submit();
#endif
       n++
    :: else -> break
    od
}

/* Nobody is told that its task yields: it is next here, or on a tick one from the global queue,
 * whose submitter has told somebody who will see both. */
proctype Yielder(byte me) {
    byte k, got;
    ring[me]++;
#ifdef TIMER
    ring[me]++;
#ifndef SILENT_TIMER
    if :: ring[me] > 1 -> submit() :: else -> skip fi;
#endif
#endif
    if
    :: atomic { global_len > 0 -> global_len--; got = 1 }
    :: atomic { if :: ring[me] > 0 -> ring[me]--; got = 1 :: else -> got = 0 fi }
    fi;
    if :: got > 0 -> started++; started == TASKS :: else -> skip fi
}

proctype Foreigner() {
    byte k;
    global_len = OUTSIDE;
    submit()
}

init {
    byte j;
    atomic {
        j = 0; do :: j < THIEVES -> run Worker(j); j++ :: else -> break od;
        j = 0; do :: j < YIELDS -> run Yielder(j); j++ :: else -> break od;
        do :: j < BUSY -> run Spawner(j); j++ :: else -> break od;
        if :: OUTSIDE > 0 -> run Foreigner() :: else -> skip fi
    };
    started == TASKS
}
