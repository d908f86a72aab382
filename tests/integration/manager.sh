#!/bin/sh
# The daemon as a service manager meets it: messages, sockets handed over, signals, exit statuses.
set -eu
exec python3 -B "$(dirname "$0")/manager.py" "$1"
