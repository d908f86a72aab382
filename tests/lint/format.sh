#!/bin/sh
# The format is what clang-format makes of it.
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/lint.sh
status=0

sources c h | xargs -P "$(nproc)" -n 16 sh -c 'clang-format --dry-run -Werror "$@" 2>&1 || :' sh |
    grep -E 'error|No such' | verdict "the sources are formatted" || status=1

exit "$status"
