#!/bin/sh
# The manual is well formed.
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/lint.sh
status=0

pages=$(find man -name '*.[1-9]')
# shellcheck disable=SC2086  # words are meant
{
    [ -n "$pages" ] || echo "man/ has no pages"
    [ -z "$pages" ] || mandoc -Tlint -W warning $pages 2>&1 || :
} | verdict "mandoc has nothing to say" || status=1

exit "$status"
