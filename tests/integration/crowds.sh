#!/bin/sh
# Many at once: jobs, requests and clients, within their bounds of memory and threads.
set -eu
exec python3 -B "$(dirname "$0")/crowds.py" "$1"
