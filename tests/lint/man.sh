#!/bin/sh
# The manual is well formed, and lists settings and fields as the daemon's own tables have them.
#
#   man.sh BUILD-DIR           checks
#   man.sh --write BUILD-DIR   writes those lists into the pages
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/lint.sh
status=0

# generated PAGE OPTION BUILD: the page with its written part replaced by what the daemon says.
generated() {
    sed '/^\.\\" begin:/q' "man/$1"
    "$3/stintd" "$2" | sed '/^$/d'
    sed -n '/^\.\\" end/,$p' "man/$1"
}
written='stintd.conf.5:--manual stint-jobs.7:--manual-jobs'

if [ "${1:-}" = --write ]; then
    for w in $written; do
        generated "${w%%:*}" "${w#*:}" "${2:-build/release}" >man/new
        mv man/new "man/${w%%:*}"
    done
    exit
fi

pages=$(find man -name '*.[1-9]')
# shellcheck disable=SC2086  # words are meant
{
    [ -n "$pages" ] || echo "man/ has no pages"
    [ -z "$pages" ] || mandoc -Tlint -W warning $pages 2>&1 || :
} | verdict "mandoc has nothing to say" || status=1

for w in $written; do
    generated "${w%%:*}" "${w#*:}" "${1:-build/release}" | diff "man/${w%%:*}" - |
        verdict "${w%%:*} says what the daemon's tables say (else: man.sh --write)" || status=1
done

exit "$status"
