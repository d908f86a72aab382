#!/bin/bash
# Some tests of the scheduler under valgrind's memcheck: it follows the switches, and finds
# nothing. Few and short ones that do not ask for the time: it runs one thread at a time, fifty
# times slower.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:?usage: valgrind.sh BUILD-DIR}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
status=0

# An error makes the process of its test exit with 99, which Check counts.
for t in switch block; do
    if timeout 120 valgrind -q --error-exitcode=99 "$build/tests/unit/test_scheduler_$t" \
        >"$out" 2>&1; then
        echo "ok valgrind_finds_nothing_in_$t"
    else
        echo "FAIL valgrind_finds_nothing_in_$t"
        cat "$out"
        status=1
    fi
done
exit $status
