#!/bin/sh
# No acknowledged job is lost and no ended one runs again when the daemon is killed under load.
set -eu
exec python3 "$(dirname "$0")/kill9.py" "$1" "${ROUNDS:-20}" 16
