#!/bin/sh
# No acknowledged job is lost and no ended one runs again when the daemon is killed under load.
set -eu
rounds=20
[ -z "${STINT_SOAK:-}" ] || rounds=200
exec python3 -B "$(dirname "$0")/kill9.py" "$1" "$rounds" 16
