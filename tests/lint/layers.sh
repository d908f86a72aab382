#!/bin/sh
# Includes go one way. The table below is the architecture: a change here is a change there,
# and its commit says why.
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/lint.sh
status=0

# A room, and what it may include besides the system: rooms, or single headers.
own='
base        base
scheduler   base scheduler
storage     base storage
jobs        base scheduler storage jobs
api         base scheduler storage jobs api
daemon      base scheduler storage jobs api daemon
cli         base cli api/wire.h
api/wire.h  base
'
# A header of others, and the files that are its homes. http_pump.c has an epoll of its own for
# the sockets of libcurl; its task waits for that one descriptor at the scheduler's poller.
foreign='
sqlite3\.h           ^storage/
libpq-fe\.h          ^storage/
microhttpd\.h        ^api/
curl/                ^jobs/[a-z_]*http|^cli/
sys/sdt\.h            ^scheduler/probe\.h$
sys/epoll\.h         ^scheduler/|^jobs/http_pump\.c$|^api/(server|pump)\.c$
jansson\.h           ^jobs/|^api/|^cli/
archive(_entry)?\.h  ^jobs/
systemd/             ^daemon/
ini\.h               ^daemon/
'
set -f
# shellcheck disable=SC2086  # words are meant
includes=$(set +f && find $rooms -type f -name '*.[chS]' -exec grep -Hn '^ *# *include' {} +) ||
    includes=

printf '%s\n' "$includes" | awk -F'[:"]' -v table="$own" '
    BEGIN {
        n = split(table, lines, "\n")
        for (i = 1; i <= n; i++) {
            m = split(lines[i], words, " +")
            for (j = 2; j <= m; j++)
                may[words[1], words[j]] = 1
        }
    }
    $3 !~ /include *$/ || NF < 5 { next }
    {
        from = $1
        sub("/.*", "", from)
        if (from "/wire.h" == $1 && from == "api")
            from = $1
        to = $4
        sub("/.*", "", to)
        if ($4 !~ "/")
            print $1 ":" $2 ": \"" $4 "\" names no room"
        else if (!((from, to) in may) && !((from, $4) in may))
            print $1 ":" $2 ": " from " must not know " $4
    }' | verdict "includes between rooms go one way" || status=1

printf '%s\n' "$includes" | awk -F: -v table="$foreign" '
    BEGIN {
        n = split(table, lines, "\n")
        for (i = 1; i <= n; i++)
            if (split(lines[i], words, " +") == 2)
                home[words[1]] = words[2]
    }
    match($0, /<[^>]*>/) {
        header = substr($0, RSTART + 1, RLENGTH - 2)
        for (pattern in home)
            if (header ~ "^" pattern && $1 !~ home[pattern])
                print $1 ":" $2 ": <" header "> has its home elsewhere"
    }' | verdict "each foreign header has one home" || status=1

exit "$status"
