/* Taking a processor from under a running task (scheduler/hog.c, hog.h): can two threads be in one
 * processor?
 *
 * One processor and two threads. The hog runs a task that does some of these, in any order: uses
 * the processor on the task's stack (a wake-up), switches to the scheduler's stack and back, makes
 * a blocking call, announced as short or as long. The other thread gets the processor when it is
 * taken or handed over, uses it, and goes idle with it; there the hog may take it back. The
 * monitor tries to take it from the hog, and takes it from its blocking call, again and again.
 *
 * Stores of the hog that nothing orders (inside, task) lie in a buffer until it is flushed, by
 * chance, by a locked instruction of its own, or by the monitor's membarrier.
 *
 * Each of these changes one line for the worse, and must be found out:
 *   NO_BARRIER   the monitor leaves the membarrier out
 *   NO_LOOK      it does not look whether the thread is inside
 *   NO_TASK      it does not look whether the thread is on the scheduler's stack
 *   LOOK_FIRST   it looks first and asks then
 *   NO_HOLDER    it does not look whether the thread still has the processor
 *   BLIND_TAKE   it takes by a store, whatever the thread has answered
 *   BLIND_KEEP   the thread keeps its processor by a store
 *   UNASKED      the thread does not look whether it was asked
 *   DIRECT_UNASKED  it does not look when it goes from one task to the next
 *   END_UNASKED  nor when one ends and the next begins on its stack
 *   LATE_CLEAR   who comes back clears the question after it has a processor */
#define HOG 0
#define OTHER 1
#define NOBODY 2

#define NOTHING 0
#define YIELD 1
#define PROCESSOR 2
#define TAKEN 3

#define INSIDE 0
#define TASK 1
#ifndef ACTS
#define ACTS 3
#endif
#ifndef TRIES
#define TRIES 3
#endif

byte holder = HOG; /* processor.thread, under idle_lock */
bool has = true;   /* the hog's thread.processor is the processor */
bool idle;         /* the processor is in the idle set, with the other thread */
bool mark;         /* processor.blocked_by names the hog */
bool given;        /* the other thread's token */
byte asked, user = NOBODY, away;
bool ended, stopped, inside_hog, task_hog = true;
chan buffer = [4] of { byte, bool };

#define locked (len(buffer) == 0)

inline enters(who) { atomic { assert(user == NOBODY); user = who } }
inline leaves() { user = NOBODY }

proctype Flush() {
    byte what;
    bool value;
end:
    do
    :: atomic {
           buffer ? what, value ->
           if :: what == INSIDE -> inside_hog = value :: else -> task_hog = value fi
       }
    od
}

/* hog_answer */
inline answer() {
#ifndef UNASKED
    if
    :: asked >= PROCESSOR ->
#ifdef BLIND_KEEP
       seen = asked;
       if
       :: seen == PROCESSOR -> asked = YIELD
       :: else -> has = false; asked = YIELD
       fi
#else
       atomic { locked -> if :: asked == PROCESSOR -> asked = YIELD :: else -> skip fi };
       if :: asked == TAKEN -> has = false; asked = YIELD :: else -> skip fi
#endif
    :: else -> skip
    fi
#else
    skip
#endif
}

inline inside_begin() { buffer ! INSIDE, true; answer() }
inline inside_end() { buffer ! INSIDE, false }

/* blocking_come_back, until there is a processor */
inline come_back() {
#ifndef LATE_CLEAR
    atomic { locked -> asked = NOTHING };
#endif
    atomic { locked && idle -> idle = false; holder = HOG; has = true };
#ifdef LATE_CLEAR
    atomic { locked -> asked = NOTHING };
#endif
    away--
}

inline surely() {
    inside_begin();
    do
    :: has -> break
    :: else -> inside_end(); come_back(); inside_begin()
    od
}

proctype Hog() {
    byte acts, seen;
    do
    :: acts == ACTS -> break
    :: acts < ACTS -> acts++;
       if
       :: inside_begin(); /* a wake-up: without a processor it goes to the global queue */
          if :: has -> enters(HOG); leaves() :: else -> skip fi;
          inside_end()
       :: buffer ! TASK, false; /* the scheduler's stack; without a processor it queues */
          answer();
          if :: asked == YIELD -> atomic { locked -> asked = NOTHING } :: else -> skip fi;
          if :: has -> skip :: else -> come_back() fi;
          enters(HOG); leaves();
          buffer ! TASK, true
       :: buffer ! TASK, false; /* from task to task (run.c): only unasked, else by the loop */
#ifndef DIRECT_UNASKED
          if :: asked != NOTHING -> seen = 0 :: else -> seen = has fi;
#else
          seen = has;
#endif
          if
          :: seen == 1 -> enters(HOG); leaves()
          :: else -> answer(); /* the loop */
             atomic { locked -> asked = NOTHING };
             if :: has -> skip :: else -> come_back() fi
          fi;
          buffer ! TASK, true
       :: surely(); /* it ends, and the next begins on its stack (run.c): the same */
          buffer ! TASK, false;
#ifndef END_UNASKED
          seen = asked;
#else
          seen = NOTHING;
#endif
          if
          :: seen == NOTHING -> inside_end(); enters(HOG); leaves()
          :: else -> answer(); /* the loop, where it ends */
             atomic { locked -> asked = NOTHING };
             inside_end();
             enters(HOG); leaves()
          fi;
          buffer ! TASK, true
       :: surely();
          enters(HOG); leaves();
          has = false;
          if
          :: mark = true /* block_enter */
          :: atomic { assert(!given); away++; holder = OTHER; given = true } /* ..._long */
          fi;
          inside_end();
          /* block_leave */
          atomic { locked -> if :: mark -> mark = false; seen = 1 :: else -> seen = 0 fi };
          if :: seen == 1 -> has = true :: else -> come_back() fi
       fi
    od;
    surely();
    enters(HOG); leaves();
    inside_end();
    ended = true
}

/* It gets the processor, uses it, goes idle with it, and joins the spares when it is taken out. */
proctype Other() {
end:
    do
    :: given -> given = false;
       enters(OTHER); leaves();
       idle = true;
end_idle:
       !idle
    od
}

inline outside(ret) {
    ret = true;
#ifndef NO_TASK
    if :: !task_hog -> ret = false :: else -> skip fi;
#endif
#ifndef NO_LOOK
    if :: inside_hog -> ret = false :: else -> skip fi;
#endif
#ifndef NO_HOLDER
    if :: !has -> ret = false :: else -> skip fi
#endif
}

proctype Monitor() {
    byte tries;
    bool may;
    do
    :: tries == TRIES || ended -> break
    :: tries < TRIES && holder == HOG && !mark -> tries++;
#ifdef LOOK_FIRST
       outside(may);
#endif
       atomic { if :: asked < PROCESSOR -> asked = PROCESSOR :: else -> skip fi };
#ifndef NO_BARRIER
       atomic { locked -> skip };
#endif
#ifndef LOOK_FIRST
       outside(may);
#endif
       if
       :: may ->
          away++;
#ifdef BLIND_TAKE
          asked = TAKEN;
          atomic { assert(!given); holder = OTHER; given = true }
#else
          atomic { if :: asked == PROCESSOR -> asked = TAKEN; may = true :: else -> may = false fi };
          if
          :: may -> atomic { assert(!given && holder == HOG); holder = OTHER; given = true }
          :: else -> away--
          fi
#endif
       :: else -> skip
       fi;
       atomic { if :: asked == PROCESSOR -> asked = YIELD :: else -> skip fi }
    :: tries < TRIES && mark -> tries++; /* blocking_retake */
       away++;
       atomic { if :: mark -> mark = false; may = true :: else -> may = false fi };
       if
       :: may -> atomic { assert(!given); holder = OTHER; given = true }
       :: else -> away--
       fi
    od;
    stopped = true
}

init {
    atomic { run Flush(); run Hog(); run Other(); run Monitor() };
    ended && stopped;
    assert(away == 0 && holder == HOG && has || away == 1 && holder == OTHER)
}
