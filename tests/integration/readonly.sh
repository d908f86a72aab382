#!/bin/sh
# A disk that is, or becomes, read-only: said clearly, nothing lost, and it goes on afterwards.
set -eu
exec python3 -B "$(dirname "$0")/readonly.py" "$1"
