#!/bin/sh
# Every script passes shellcheck and can be run.
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/lint.sh
status=0

scripts=$(find .ci tests systemd cli daemon -type f \( -name '*.sh' -o -path .ci/run \) | sort)

# shellcheck disable=SC2086  # words are meant
shellcheck -x $scripts 2>&1 | verdict "shellcheck has nothing to say" || status=1

for script in $scripts; do
    case $script in tests/lib/*) continue ;; esac
    [ -x "$script" ] || echo "$script: not executable"
done | verdict "every script can be run" || status=1

exit "$status"
