#!/bin/sh
# The command line as a person and a script meet it.
set -eu
exec python3 -B "$(dirname "$0")/client.py" "$1"
