#!/bin/sh
# Workers lease jobs, die, are slow, and the daemon is killed under them: nothing is lost or twice.
set -eu
rounds=8
[ -z "${STINT_SOAK:-}" ] || rounds=80
exec python3 -B "$(dirname "$0")/workers.py" "$1" "$rounds"
