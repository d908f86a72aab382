#!/bin/sh
# A job that the daemon dies under comes back, is set aside the third time, and its logs stay.
set -eu
exec python3 -B "$(dirname "$0")/poison.py" "$1"
