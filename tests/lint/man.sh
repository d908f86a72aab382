#!/bin/sh
# The manual is well formed, and lists the settings as the daemon's own table has them.
#
#   man.sh BUILD-DIR           checks
#   man.sh --write BUILD-DIR   writes the list of settings into stintd.conf(5)
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/lint.sh
status=0

# The page with its generated part replaced by what the daemon says.
settings_page() {
    sed '/^\.\\" begin:/q' man/stintd.conf.5
    "$1/stintd" --manual | sed '/^$/d'
    sed -n '/^\.\\" end/,$p' man/stintd.conf.5
}

if [ "${1:-}" = --write ]; then
    settings_page "${2:-build/release}" >man/stintd.conf.5.new
    mv man/stintd.conf.5.new man/stintd.conf.5
    exit
fi

pages=$(find man -name '*.[1-9]')
# shellcheck disable=SC2086  # words are meant
{
    [ -n "$pages" ] || echo "man/ has no pages"
    [ -z "$pages" ] || mandoc -Tlint -W warning $pages 2>&1 || :
} | verdict "mandoc has nothing to say" || status=1

settings_page "${1:-build/release}" | diff man/stintd.conf.5 - |
    verdict "stintd.conf(5) lists the settings of the daemon (else: man.sh --write)" || status=1

exit "$status"
