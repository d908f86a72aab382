/* The life of a wait (scheduler/wait.c): one task waits ROUNDS times for a permit, and four may
 * end each wait: the object that gives permits, the deadline, a canceller, and the task itself
 * when it sees the cancellation while it parks. They compete in the task's word.
 *
 * Every step that is one atomic instruction there is one atomic step here; a lock is a flag.
 * Checked: nobody makes runnable what is runnable or still on its stack (no double wake), nobody
 * touches a frame that has ended, a timer ends only the wait it was started for, a permit is
 * neither lost nor doubled; and, by the absence of invalid end states, no wake is lost.
 *
 * Each of these changes one line for the worse, and must be found out:
 *   BLIND_CLAIM    a claim succeeds although another has won
 *   BLIND_EPOCH    a claim succeeds although the wait is a later one
 *   BLIND_FINISH   the winner makes the task runnable without looking whether it has parked
 *   PLAIN_FINISH   the winner writes the word without looking whether PARKED came in between
 *   BLIND_COMMIT   the parking side does not look whether a winner is done already
 *   CANCEL_UNSEEN  the parking side does not look at the cancellation after PARKED
 *   CANCEL_SOONER  the canceller looks for the wait first and sets the flag after
 *   STAYS_QUEUED   a loser does not take itself out of the object's queue
 *   LATE_TOUCH     the parking side reads the frame after it gave back the lock */
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef GIVES
#define GIVES 2
#endif
#define TAKEN 1
#define LATE 2
#define CANCELLED 3

/* the word */
byte epoch;
bool won, parked, ready, cancellable;
byte result;
/* the task */
bool cancel, on_stack = true, frame;
byte runnable;
/* the object */
bool lock, queued;
byte queued_epoch, permits, given, taken;
/* the timer */
bool armed;
byte armed_epoch, fired_epoch;
/* the thread that runs the commit */
bool committing, again, ended;

#ifdef BLIND_CLAIM
#define FREE(e) (epoch == (e))
#else
#ifdef BLIND_EPOCH
#define FREE(e) (!won)
#else
#define FREE(e) (epoch == (e) && !won)
#endif
#endif

inline acquire() { atomic { !lock -> lock = true } }

/* Who makes a task runnable must be the only one, and the task must have left its stack. */
inline make_runnable() {
    atomic { assert(!on_stack && runnable == 0); runnable++ }
}

/* A parked task's word is read and then stored, in two steps: whatever another wrote in between
 * would be lost. Before it has parked, one step. */
inline finish(e, r) {
    atomic { was_parked = parked && epoch == e; seen_won = won; seen_cancellable = cancellable };
    if
#ifdef PLAIN_FINISH
    :: epoch == e -> atomic { won = seen_won; parked = was_parked; cancellable = seen_cancellable;
                              ready = true; result = r }
#else
    :: was_parked -> atomic { epoch = e; won = seen_won; parked = true;
                              cancellable = seen_cancellable; ready = true; result = r }
    :: else -> atomic {
        was_parked = parked;
        if
        :: epoch == e -> ready = true; result = r
        :: else -> was_parked = false
        fi
       }
#endif
    fi;
    if
#ifdef BLIND_FINISH
    :: true -> make_runnable()
#else
    :: was_parked -> make_runnable()
    :: else -> skip
#endif
    fi
}

inline claim(e) {
    atomic { if :: FREE(e) -> won = true; mine = true :: else -> mine = false fi }
}

/* The scheduler's stack of the thread that ran the task. */
proctype Commit() {
    bool mine;
    byte e;
    do
    :: atomic { committing -> e = epoch; again = false };
       atomic { parked = true; cancellable = true;
#ifndef BLIND_COMMIT
                again = ready
#endif
       };
#ifndef CANCEL_UNSEEN
       if
       :: !again && cancel -> claim(e);
          if :: mine -> atomic { ready = true; result = CANCELLED; again = true } :: else -> skip fi
       :: else -> skip
       fi;
#endif
#ifdef LATE_TOUCH
       lock = false;
       assert(frame);
#else
       assert(frame);               /* which lock it is, is read from the frame */
       lock = false;
#endif
       atomic { committing = false;
                if :: again -> assert(!on_stack && runnable == 0); runnable++ :: else -> skip fi }
    :: atomic { ended && !committing -> break }
    od
}

proctype Task() {
    byte n, r;
    bool mine;
    do
    :: n < ROUNDS ->
       frame = true;
       atomic { epoch++; won = false; parked = false; ready = false; cancellable = false };
       acquire();
       if
       :: permits > 0 -> permits--; taken++; lock = false; r = TAKEN
       :: else ->
          atomic { queued = true; queued_epoch = epoch };
          mine = false;
          if :: cancel -> claim(epoch) :: else -> skip fi;
          if
          :: mine -> lock = false; r = CANCELLED
          :: else ->
             atomic { armed = true; armed_epoch = epoch };
             atomic { !committing -> on_stack = false; committing = true };
             atomic { runnable > 0 -> runnable--; on_stack = true };
             r = result;
             armed = false
          fi;
          if
          :: r == TAKEN -> taken++
          :: r == LATE -> assert(fired_epoch == epoch)
          :: else -> skip
          fi;
#ifndef STAYS_QUEUED
          if
          :: r != TAKEN -> acquire(); queued = false; lock = false
          :: else -> skip
          fi
#endif
       fi;
       frame = false;
       n++
    :: else -> break
    od;
    ended = true
}

/* Gives a permit: to the wait in the queue, or, if it is over or there is none, for later. */
proctype Object() {
    byte e;
    bool mine, was_parked, seen_won, seen_cancellable;
    do
    :: given < GIVES ->
       acquire();
       mine = false;
       if
       :: queued -> assert(frame); e = queued_epoch; queued = false; claim(e)
       :: else -> skip
       fi;
       if :: mine -> skip :: else -> permits++ fi;
       given++;
       lock = false;
       if :: mine -> finish(e, TAKEN) :: else -> skip fi
    :: else -> break
    od
}

/* May fire at any moment while armed, and may be overtaken between its look and its claim. */
proctype Deadline() {
    byte e;
    bool mine, was_parked, seen_won, seen_cancellable;
    do
    :: atomic { armed -> e = armed_epoch; armed = false };
       fired_epoch = e;
       claim(e);
       if :: mine -> finish(e, LATE) :: else -> skip fi
    :: atomic { ended -> break }
    od
}

proctype Canceller() {
    byte e;
    bool mine, was_parked, seen_won, seen_cancellable;
#ifndef CANCEL_SOONER
    cancel = true;
#endif
    e = epoch;
    atomic {
        if :: FREE(e) && parked && cancellable -> won = true; mine = true :: else -> mine = false fi
    };
#ifdef CANCEL_SOONER
    cancel = true;
#endif
    if :: mine -> finish(e, CANCELLED) :: else -> skip fi
}

init {
    atomic {
        run Task(); run Commit(); run Object();
#ifdef WITH_DEADLINE
        run Deadline();
#endif
#ifdef WITH_CANCEL
        run Canceller();
#endif
    }
    ended && given == GIVES && _nr_pr == 1;
    assert(taken + permits == GIVES)
}
