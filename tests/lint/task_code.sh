#!/bin/sh
# Code that runs in tasks: a task that parks may go on in another thread.
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/lint.sh
status=0

# Where nobody parks while it is set, and nobody who parks has its address, a line may say so.
find base jobs api daemon -name '*.[ch]' -exec grep -HnwE '__thread|_Thread_local|thread_local' {} + |
    grep -v 'nobody parks while it is set' |
    verdict "no thread-local data where tasks run" || status=1

# The address of errno is a constant to the compiler, which may compute it once a function: an
# errno behind a call that parks can be the one of the thread before. Take it before the call,
# or let a function of its own make the system call.
find base jobs api daemon -name '*.c' -exec awk '
    /^\{/ { early = parked = 0 }
    /errno/ && parked { print FILENAME ":" FNR ": errno before and after line " parked; early = parked = 0 }
    /errno/ { early = 1 }
    early && /(^|[^a-z_])(chan_(send|recv|select)|event_wait|event_wait_shielded|group_(spawn|wait|close|join)|mutex_lock|mutex_lock_shielded|cond_wait|net_(wait|read|write|accept|connect)|semaphore_take|task_(yield|checkpoint|sleep_until|sleep_ns)|waitgroup_wait|wait_park|block_(enter|enter_long|leave))\(/ { parked = FNR }
' {} + | verdict "errno is not looked at across a parking call" || status=1

# A sleep of the thread keeps the processor from every other task. Between block_enter() and
# block_leave() it does not: such a line says "on a blocking thread".
find jobs api -name '*.c' -exec awk '
    /on a blocking thread/ || /^ *(\/\*|\*)/ { next }
    { code = $0; sub(/\/\*.*/, "", code) }
    code ~ /(^|[^a-z_])(sleep|usleep|nanosleep|clock_nanosleep|poll|select)\(/ { print FILENAME ":" FNR ": " $0 }
' {} + | verdict "no task puts its thread to sleep" || status=1

# One seam for time: what asks the clock itself cannot run on virtual time.
find scheduler storage jobs api daemon cli -name '*.c' \
    -exec grep -HnE '(^|[^a-z_])(clock_gettime|gettimeofday|time)\((NULL|CLOCK|&|0)' {} + |
    verdict "only base/clock.c asks for the time" || status=1

exit "$status"
