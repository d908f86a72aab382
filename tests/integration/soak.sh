#!/bin/sh
# An hour of mixed work with pauses in it: no false report of a deadlock, nothing lost, nothing
# left over. A fifth of a minute when it is not asked to take long.
set -eu
minutes=0.2
[ -z "${STINT_SOAK:-}" ] || minutes=${SOAK_MINUTES:-60}
exec python3 -B "$(dirname "$0")/soak.py" "$1" "$minutes"
