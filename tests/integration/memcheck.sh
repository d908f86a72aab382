#!/bin/sh
# The whole daemon under valgrind's memcheck, from its start to a clean stop.
set -eu
exec python3 -B "$(dirname "$0")/memcheck.py" "$1"
