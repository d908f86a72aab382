#!/bin/bash
# demo.sh BUILD-DIR: a daemon on a scratch store does real work of each kind. Every command is
# printed before it runs, so that it can be repeated by hand (with the two exports printed at the
# start); nothing is left behind. What only waits for something is not printed.
set -euo pipefail
build=$(realpath "${1:-build/release}")
PATH=$build:$PATH
base=$(mktemp -d /tmp/stint-demo.XXXXXX)
export STINT_URL=unix://$base/state/stint.sock NO_COLOR=1
daemon=
web=

end() {
    local status=$?
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
    [ -z "$web" ] || kill "$web" 2>/dev/null || true
    wait 2>/dev/null || true
    if [ "$status" != 0 ]; then
        echo "demo: failed with status $status; the daemon's log:" >&2
        tail -n 20 "$base/log" >&2 || true
    fi
    rm -rf "$base"
    exit "$status"
}
trap end EXIT

exec 3>&1 # what is shown while the output of a function is taken
say() { printf '\n== %s\n' "$*"; }
# Shows a command line, then runs it.
show() {
    printf '$ %s\n' "$*" >&3
    eval "$*"
}
must() { "$@" || { echo "demo: expected: $*" >&2; exit 1; }; }

start() {
    printf '$ stintd --state %s/state --config %s/stintd.conf &\n' "$base" "$base"
    stintd --state "$base/state" --config "$base/stintd.conf" >>"$base/log" 2>&1 &
    daemon=$!
    curl -sf --retry 100 --retry-connrefused --retry-all-errors --retry-delay 0 --retry-max-time 20 \
        --unix-socket "$base/state/stint.sock" http://localhost/readyz >/dev/null
}

kill_daemon() {
    printf '$ kill -9 %s\n' "$daemon"
    kill -9 "$daemon"
    wait "$daemon" 2>/dev/null || true
}

# post PATH BODY [CURL-OPTIONS]: shows and runs a request.
post() {
    show "curl -sSf --unix-socket $base/state/stint.sock http://localhost$1${3:+ $3} -d '$2'"
}

# One job by curl; prints its id.
submit() {
    post /v1/jobs "$1" >"$base/answer"
    sed -n 's/^{"id":\([0-9]*\).*/\1/p' "$base/answer"
}

say "a daemon on a scratch store"
show "mkdir $base/files"
show "cat >$base/stintd.conf <<INI
[file]
roots = $base/files
[http]
allow = 127.0.0.0/8
[exec]
concurrency = 32
INI"
echo "\$ export PATH=$build:\$PATH STINT_URL=$STINT_URL"
start
show "curl -sS --unix-socket $base/state/stint.sock http://localhost/healthz; echo"

say "commands: by curl, and by the command line"
post /v1/jobs '{"exec":{"argv":["uname","-sr"]},"name":"first"}' "-H 'Prefer: wait=10'"
echo
show "stint run -- sh -c 'echo to stdout; echo to stderr >&2; echo I am job \$STINT_JOB_ID'"
must test "$(stint run -q -- echo whole)" = whole

say "a command that fails twice, is tried again, and succeeds"
# shellcheck disable=SC2016  # the shell of the job expands
flaky=$(submit '{"name":"flaky","exec":{"shell":"echo try $STINT_ATTEMPT; test $STINT_ATTEMPT -ge 3"},"retry":{"max_attempts":5,"base":"100ms"}}')
show "stint wait $flaky; stint show $flaky"

say "a command with children is cancelled: all of them go"
tree=$(submit '{"name":"tree","exec":{"shell":"setsid sleep 4711 & sleep 4711 & wait"}}')
until [ "$(pgrep -fc 'sleep 4711')" -ge 2 ]; do :; done
show "pgrep -fa 'sleep 4711'"
show "stint cancel $tree; stint wait $tree || true"
show "pgrep -fa 'sleep 4711' || echo none left"
must test "$(pgrep -fc 'sleep 4711')" = 0

say "files: archive a real folder, checksum it, extract it again"
source=/usr/share/doc
show "stint run -q -- sh -c 'mkdir -p $base/files/in && cp -rL $source/base-files $source/bash $base/files/in/ 2>/dev/null; du -sh $base/files/in' || true"
archive=$(submit "{\"file\":{\"op\":\"archive\",\"from\":\"$base/files/in\",\"to\":\"$base/files/in.tar.gz\"}}")
show "stint wait $archive"
sum=$(submit "{\"file\":{\"op\":\"checksum\",\"from\":\"$base/files/in.tar.gz\",\"algorithm\":\"sha256\"}}")
show "stint wait $sum; stint show $sum | grep result; sha256sum $base/files/in.tar.gz"
must grep -q "$(sha256sum "$base/files/in.tar.gz" | cut -d' ' -f1)" <(stint show "$sum")
extract=$(submit "{\"file\":{\"op\":\"extract\",\"from\":\"$base/files/in.tar.gz\",\"to\":\"$base/files/out\"}}")
show "stint wait $extract; diff -r $base/files/in $base/files/out && echo identical"

say "pages from a real local HTTP server"
show "python3 -u -m http.server --bind 127.0.0.1 --directory $base/files/in 0 >$base/web.log 2>&1 &"
web=$!
until port=$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$base/web.log") && [ -n "$port" ]; do :; done
page=$(submit "{\"http\":{\"url\":\"http://127.0.0.1:$port/\"}}")
missing=$(submit "{\"http\":{\"url\":\"http://127.0.0.1:$port/nothing-here\"}}")
show "stint wait $page; stint show $page | grep -o '\"status\":[0-9]*'"
show "stint wait $missing || true"

say "work for a program elsewhere: it leases a job"
photo=$(submit '{"name":"photo","worker":{"payload":{"photo":17},"lease":"10m"},"queue":"thumbs"}')
post /v1/leases '{"queues":["thumbs"]}'
echo

say "1,000 jobs in one request; kill -9 in the middle; start again; every one of them ends"
batch="{\"name\":\"batch\",\"exec\":{\"shell\":\"echo \$STINT_JOB_ID >> $base/files/ran; sleep 0.0%d\"}}"
show "for i in \$(seq 1000); do printf '$batch\n' \$((i % 5)); done >$base/batch.ndjson"
show "curl -sSf --unix-socket $base/state/stint.sock http://localhost/v1/jobs -H 'Content-Type: application/x-ndjson' --data-binary @$base/batch.ndjson | cut -c1-60"
until [ -f "$base/files/ran" ] && [ "$(wc -l <"$base/files/ran")" -ge 300 ]; do :; done
kill_daemon
show "wc -l < $base/files/ran"
start
until [ "$(stint ls --name batch --state queued,running,retrying --limit 1 -o id | wc -l)" = 0 ]; do sleep 0.1; done
show "stint queue ls"
done_count=$(stint ls --name batch --state succeeded --all -o id | wc -l)
echo "acknowledged 1000, succeeded $done_count, ran $(sort -u "$base/files/ran" | wc -l) different jobs, $(($(wc -l <"$base/files/ran") - 1000)) of them twice (cut off by the kill)"
must test "$done_count" = 1000

say "the program elsewhere still has its job, and completes it with its fence"
post "/v1/leases/$photo/complete" '{"fence":1,"result":{"thumb":"17-small.jpg"}}'
echo
show "stint show $photo | grep -e state -e attempt -e result"
must grep -q 17-small <(stint show "$photo")

say "a stop that waits for running jobs"
last=$(submit '{"name":"last","exec":{"shell":"sleep 1; echo ended by itself"}}')
until [ "$(stint ls --state running -o id)" = "$last" ]; do :; done
show "stint ls --limit 3"
printf '$ kill -TERM %s\n' "$daemon"
kill -TERM "$daemon"
wait "$daemon"
daemon=
show "tail -n 3 $base/log"
start
show "stint log $last; stint ls --limit 1"
must test "$(stint log "$last")" = 'ended by itself'
say "done: nothing is left behind"
