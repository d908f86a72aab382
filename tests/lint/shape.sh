#!/bin/sh
# Functions that fit a page, files that have one subject, no stand-ins.
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/lint.sh
status=0

function_lines_max=80
file_lines_max=600

# In this format a function begins and ends with a brace in the first column.
# shellcheck disable=SC2016  # awk expands
sources c h | xargs awk -v max="$function_lines_max" '
    FNR == 1 { start = 0 }
    /^\{/ { start = FNR; head = before }
    /^\}/ && start {
        if (FNR - start + 1 > max)
            print FILENAME ":" start ": " FNR - start + 1 " lines: " head
        start = 0
    }
    { before = $0 }' | verdict "no function is longer than $function_lines_max lines" || status=1

sources c h S sh | xargs awk -v max="$file_lines_max" '
    FNR == max + 1 { print FILENAME ": more than " max " lines" }' |
    verdict "no file is longer than $file_lines_max lines" || status=1

find README.md Makefile base scheduler storage jobs api daemon cli systemd man -type f \
    -exec grep -HnwE 'TODO|FIXME|XXX|HACK' {} + 2>/dev/null |
    verdict "nothing is left to be done later" || status=1

exit "$status"
