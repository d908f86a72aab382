#!/bin/sh
# Bad clients, a second daemon, a newer store, a full disk: clear answers, nothing lost.
set -eu
exec python3 -B "$(dirname "$0")/trouble.py" "$1"
