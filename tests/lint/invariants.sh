#!/bin/sh
# The page of the scheduler's promises names what exists, and each promise has a proof.
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/lint.sh
status=0
page=tests/scheduler-invariants.md

# exists NAME: a file, a test, a play, or a mutant that the models are searched with.
exists() {
    case $1 in
    */*) [ -e "$1" ] ;;
    play_*) grep -qw "&$1" tests/schedule/test_schedule.c ;;
    [A-Z]*) grep -qE -- "(-D|[^A-Z_])$1([^A-Z_]|$)" tests/model/run.sh ;;
    *) grep -qrE --include='test_*.c' "^START_TEST\($1\)" tests ;;
    esac
}

# shellcheck disable=SC2016 # backticks are what is looked for
grep -o '`[^`]*`' "$page" | tr -d '`' | LC_ALL=C sort -u | while read -r name; do
    exists "$name" || echo "$page: there is no $name"
done | verdict "what the page of promises names exists" || status=1

for n in $(seq 20); do
    grep -qE "^\| $n \|[^|]*\|[^|]*\`[^|]*\|[^|]*[a-z][^|]*\|$" "$page" || echo "$page: $n is not proved"
done | verdict "each of the twenty promises has a proof and a bound" || status=1

exit "$status"
