#!/bin/bash
# The scheduler's figures, medians of RUNS (5), beside a peer's of the same run:
#
#   scheduler.sh BUILD-DIR [-quick] [PATTERN]
#
#   bench<TAB>id<TAB>value<TAB>unit[<TAB>PEER=value<TAB>ratio]
#
# The peer is Go, when it is installed (peer/scheduler.go); for the echo works also the bare epoll
# loop, and where a work tells it, the floor of this machine. Runs of the two alternate, so that
# what else the machine does meets both. A ratio is ours by theirs: smaller is better but for rates
# (k/s), where it is the other way round. -quick does a hundredth of the work once, to show that
# everything runs.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:?usage: scheduler.sh BUILD-DIR [-quick] [PATTERN]}
shift
runs=${RUNS:-5} quick='' seconds=3
if [ "${1:-}" = -quick ]; then
    quick=-quick runs=1 seconds=1
    shift
fi
pattern=${1:-.}
bench=$build/tests/bench
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

go=
if command -v go >/dev/null; then
    (cd tests/bench/peer && GO111MODULE=off GOCACHE=$scratch/cache \
        go build -o "$scratch/go" scheduler.go) && go=$scratch/go
fi
[ -n "$go" ] || echo "scheduler.sh: no Go here: no peer's figures" >&2

# note NAME: adds lines "id value unit [other NAME]" to what is known of a runtime.
note() {
    awk -F'\t' -v who="$1" 'NF >= 3 { print $1 "\t" (NF > 3 ? $4 : who) "\t" $2 "\t" $3 }' >>"$scratch/figures"
}

# served ID CONNECTIONS NAME SERVER...: one run of an echo server under load.
served() {
    local id=$1 count=$2 name=$3 port in out
    shift 3
    coproc SERVER { "$@" 2>>"$scratch/errors"; }
    in=${SERVER[1]}
    exec {out}<&"${SERVER[0]}" # that one is gone when the server is
    read -r _ port <&"$out" || return
    "$bench/echo_load" "$id" "$port" "$count" $seconds 2>>"$scratch/errors" | note "$name"
    exec {in}>&-
    sed "s/^bytes/${id%_krt}_bytes/" <&"$out" | note "$name"
    exec {out}<&-
    wait "${SERVER_PID:-}" 2>/dev/null
}

for program in scheduler_bench scheduler_wait_bench; do
    for work in $("$bench/$program" -list | grep -vx echo | grep -E "$pattern"); do
        for ((run = 0; run < runs; run++)); do
            timeout 300 "$bench/$program" $quick "$work" 2>>"$scratch/errors" | note us
            [ -z "$go" ] || timeout 300 "$go" $quick "$work" 2>>"$scratch/errors" | note go
        done
    done
done
for count in 100 10000; do
    id=net_${count}_krt
    [[ $id =~ $pattern ]] || continue
    [ -z "$quick" ] || [ $count = 100 ] || continue
    for ((run = 0; run < runs; run++)); do
        served "$id" $count us "$bench/scheduler_wait_bench" echo
        served "$id" $count epoll "$bench/echo_load" -serve
        [ -z "$go" ] || served "$id" $count go "$go" echo
    done
done
sed 's/^/scheduler.sh: /' "$scratch/errors" >&2

sort -t"$(printf '\t')" -k1,1 -k2,2 -k3,3g "$scratch/figures" | awk -F'\t' -v OFS='\t' '
    function end() { if (n > 0) { median[id, who] = v[int((n + 1) / 2)]; n = 0 } }
    $1 != id || $2 != who { end(); id = $1; who = $2
        if (!(id in unit)) { unit[id] = $4; ids[++count] = id } }
    { v[++n] = $3 }
    END {
        end()
        for (i = 1; i <= count; i++) {
            id = ids[i]
            if (!((id, "us") in median))
                continue
            line = "bench" OFS id OFS median[id, "us"] OFS unit[id]
            for (k = split("go epoll floor", peers, " "); k > 0; k--)
                if (((id, peers[k]) in median) && median[id, peers[k]] > 0)
                    line = line OFS peers[k] "=" median[id, peers[k]] OFS \
                        sprintf("%.2f", median[id, "us"] / median[id, peers[k]])
            print line
        }
    }'
