#!/bin/sh
# Each header says all it needs: it compiles alone.
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/lint.sh
status=0

flags=$(pkg-config --cflags libmicrohttpd sqlite3 jansson libcurl libsystemd)

# shellcheck disable=SC2016  # the inner shell expands
sources h | xargs -P "$(nproc)" -n 8 sh -c '
    flags=$1
    shift
    for header; do
        gcc -x c -fsyntax-only -std=gnu11 -D_GNU_SOURCE -I. -Wall -Wextra -Werror \
            $flags "$header" 2>&1 || :
    done' sh "$flags" | verdict "each header compiles alone" || status=1

exit "$status"
