#!/bin/sh
# Retention, a copy under load and its restore, and the doctor, on the real daemon.
set -eu
exec python3 -B "$(dirname "$0")/care.py" "$1"
