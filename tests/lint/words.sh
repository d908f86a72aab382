#!/bin/sh
# Prose and comments: no word twice, nothing that is true on one machine only.
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/lint.sh
status=0

prose() {
    find . -maxdepth 1 -name '*.md'
    find man -type f
    find systemd -name '*.service' -o -name '*.socket' -o -name '*.conf'
}

# shellcheck disable=SC2046  # file names of ours have no blanks
grep -nE '(^|[^A-Za-z0-9_.])/(work|root|Users|home/[a-z]+)/' \
    $(sources c h S sh py) $(prose) Makefile .ci/run /dev/null |
    grep -v '^tests/lint/words.sh:' | verdict "no paths of one machine" || status=1

# In code only comments are read. "long long" is a type.
# shellcheck disable=SC2046
awk '
    FNR == 1 { last = "" }
    FILENAME ~ /\.[ch]$/ && !/^ *(\/\*| \*|\/\/)/ { last = ""; next }
    /^ *(\/\*|\*\/)? *$/ { last = ""; next }
    # Diagrams and examples are indented.
    /^ *\*?     / { last = "" }
    {
        n = split($0, words, /[ \t]+/)
        for (i = 1; i <= n; i++) {
            word = words[i]
            if (word ~ /^(\/\*|\*|\/\/|#|)$/)
                continue
            if (word == last && word ~ /^[A-Za-z]+$/ && word != "long")
                print FILENAME ":" FNR ": " word " " word
            last = word
        }
    }' $(sources c h) $(prose) | verdict "no word stands twice" || status=1

exit "$status"
