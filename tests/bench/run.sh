#!/bin/bash
# run.sh [-quick] BUILD-DIR: figures of the whole daemon, each beside the machine's own
# floor, measured in turn with it so that both see the same disk and the same neighbours.
#
#     floor<TAB>id<TAB>value<TAB>unit
#     bench<TAB>id<TAB>value<TAB>unit<TAB>ratio to its floor, or -<TAB>name of that floor
#
# Each is the median of so many rounds. The daemon works in a scratch folder below BENCH_DIR
# (default: bench beside BUILD-DIR), which must lie on the disk that is to be measured; all is
# gone at the end, also after an interrupt. ONLY=pattern keeps the steps whose name matches.
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=5 seconds=1.5 floor_seconds=0.5 idle_jobs=300 exec_jobs=1000 backlog_quick=
if [ "${1:-}" = -quick ]; then
    rounds=3 seconds=0.5 floor_seconds=0.2 idle_jobs=100 exec_jobs=300 backlog_quick=-quick
    shift
fi
build=$(realpath "${1:?usage: run.sh [-quick] BUILD-DIR}")
parent=${BENCH_DIR:-$(dirname "$build")/bench}
mkdir -p "$parent"
scratch=$(mktemp -d "$parent/run.XXXXXX")
socket=$scratch/s
daemon=
export STINTD_CONFIG=/dev/null STINTD_HTTP_ALLOW=127.0.0.0/8 STINTD_DAEMON_LOG_LEVEL=warn

end() {
    local status=$?
    trap - EXIT INT TERM
    stop || true
    rm -rf "$scratch"
    exit "$status"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- the daemon ---

# start [SETTING=VALUE...]: on an empty store.
start() {
    stop
    rm -rf "$scratch/state"
    env "$@" setpriv --pdeathsig KILL "$build/stintd" --state "$scratch/state" \
        --socket "$socket" 2>>"$scratch/log" &
    daemon=$!
    for _ in $(seq 1000); do
        if curl -sf -m 1 --unix-socket "$socket" http://localhost/readyz >/dev/null; then
            return
        fi
        kill -0 "$daemon"
        sleep 0.02
    done
    echo "run.sh: the daemon did not become ready" >&2
    return 1
}

stop() {
    [ -n "$daemon" ] || return 0
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" || echo "# stintd ended with $?" >&2
    daemon=
    if [ -s "$scratch/log" ]; then
        sed 's/^/# /' "$scratch/log" >&2
        : >"$scratch/log"
    fi
}

# --- values ---

# note FILE: adds a measured value to those of this name; median FILE: their median.
note() { cat >>"$scratch/v.$1"; }
median() {
    sort -g "$scratch/v.$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
value() { awk -F'\t' -v key="$1" '$1 == key { print $2 }' "$scratch/out"; }

# bench ID VALUE UNIT [FLOOR-ID]
bench() {
    local ratio=- floor=-
    if [ -n "${4:-}" ]; then
        floor=$4
        ratio=$(awk -v a="$2" -v b="$(median "floor.$4")" 'BEGIN { printf "%.3f", a / b }')
    fi
    printf 'bench\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$ratio" "$floor"
}

# floor WHAT: one round of a floor.
floor() {
    "$build/tests/bench/floors" -dir "$scratch" -seconds "$floor_seconds" "$1" >"$scratch/out"
    awk -F'\t' '{ print $3 }' "$scratch/out" | note "floor.${1//:/_}"
}
floor_tell() { printf 'floor\t%s\t%s\t%s\n' "$1" "$(median "floor.$1")" "$2"; }

load() { "$build/tests/bench/http_load" -to "$socket" -pid "$daemon" "$@" >"$scratch/out"; }

# syncs MICROSECONDS: how many of the sync floor they are.
syncs() { awk -v us="$1" -v rate="$(median floor.sync)" 'BEGIN { printf "%.2f", us * rate / 1e6 }'; }

wanted() { [[ $1 =~ ${ONLY:-.} ]]; }

# --- steps ---

# submit ID FLOOR UNIT LOAD-ARGUMENT...: submission alone; the jobs are kept from running.
submit() {
    local id=$1 floor=$2
    shift 2
    wanted "$id" || return 0
    start
    for _ in $(seq "$rounds"); do
        floor "$floor"
        load -seconds "$seconds" "$@"
        value rate | note "$id"
        value p50_us | note "$id.p50"
        value cpu_s_10k | note "$id.cpu"
    done
    stop
    floor_tell "${floor//:/_}" 1/s
    bench "$id" "$(median "$id")" jobs/s "${floor//:/_}"
    bench "${id}_p50_us" "$(median "$id.p50")" us
    bench "${id}_cpu_per_10k" "$(median "$id.cpu")" s
}

# commands AT-ONCE JOBS: real commands from submission to end.
commands() {
    local id=exec_true_$1
    wanted "$id" || return 0
    start "STINTD_EXEC_CONCURRENCY=$1"
    for _ in $(seq "$rounds"); do
        floor "spawn:$1"
        load -drain -connections 1 -batch "$2" -jobs "$2"
        value rate | note "$id"
        value cpu_s_10k | note "$id.cpu"
    done
    stop
    floor_tell "spawn_$1" 1/s
    bench "$id" "$(median "$id")" jobs/s "spawn_$1"
    bench "${id}_cpu_per_10k" "$(median "$id.cpu")" s
}

# The cheapest jobs that the daemon runs itself, from submission to end.
nothing() {
    wanted e2e_http || return 0
    start STINTD_HTTP_CONCURRENCY=64
    for _ in $(seq "$rounds"); do
        "$build/tests/bench/http_echo" -to "$socket" -pid "$daemon" -jobs 2000 >"$scratch/out"
        value rate | note e2e_http
        value cpu_s_10k | note e2e_http.cpu
    done
    stop
    bench e2e_http "$(median e2e_http)" jobs/s
    bench e2e_http_cpu_per_10k "$(median e2e_http.cpu)" s
}

# Jobs that do nothing at all: submitted, leased by workers and completed, all in batches.
workers() {
    wanted e2e_noop || return 0
    start
    for _ in $(seq "$rounds"); do
        floor sqlite:1000
        "$build/tests/bench/http_workers" -to "$socket" -pid "$daemon" -seconds "$seconds" \
            >"$scratch/out"
        value rate | note e2e_noop
        value cpu_s_10k | note e2e_noop.cpu
    done
    stop
    floor_tell sqlite_1000 1/s
    bench e2e_noop "$(median e2e_noop)" jobs/s sqlite_1000
    bench cpu_per_10k "$(median e2e_noop.cpu)" s
}

# How many syncs of the same minute fit into it tells more than the time on a shared disk.
latency() {
    wanted "latency_idle$2" || return 0
    start
    floor sync
    "$build/tests/bench/http_idle" -to "$socket" -jobs "$idle_jobs" "$1" >"$scratch/out"
    stop
    bench "latency_idle$2_first_us" "$(value first_us)" us
    bench "latency_idle$2_p50_us" "$(value p50_us)" us
    bench "latency_idle$2_p99_us" "$(value p99_us)" us
    bench "latency_idle$2_p50_syncs" "$(syncs "$(value p50_us)")" syncs
}

rest() {
    wanted rest || return 0
    rm -rf "$scratch/state"
    "$build/tests/bench/http_start" -rounds "$rounds" -rest 3 "$socket" "$build/stintd" \
        --state "$scratch/state" --socket "$socket" >"$scratch/out" 2>>"$scratch/log"
    bench start_to_ready_ms "$(value ready_ms)" ms
    bench idle_rss_mb "$(value rss_mb)" MB
    bench idle_cpu_percent "$(value cpu_percent)" %
    bench idle_threads "$(value threads)" threads
    strip -o "$scratch/stripped" "$build/stintd"
    bench binary_kb "$(($(stat -c %s "$scratch/stripped") / 1000))" kB
}

crowd() {
    wanted crowd || return 0
    start
    "$build/tests/bench/http_crowd" -to "$socket" -pid "$daemon" http >"$scratch/out"
    bench http_1000_mb "$(value grown_mb)" MB
    bench http_1000_threads "$(value threads)" threads
    bench http_1000_at_once "$(value most)" jobs
    start
    "$build/tests/bench/http_crowd" -to "$socket" -pid "$daemon" wait >"$scratch/out"
    stop
    bench wait_1000_mb "$(value grown_mb)" MB
    bench wait_1000_threads "$(value threads)" threads
    bench wait_1000_answered_ms "$(value answered_ms)" ms
}

# A million waiting in the core alone, without keys and with a key each.
core() {
    wanted core || return 0
    "$build/tests/bench/core_bench"
}

# A million waiting, ten million ended: on stores of its own, without a daemon.
backlog() {
    wanted backlog || return 0
    TMPDIR=$scratch "$build/tests/bench/backlog_bench" $backlog_quick 2>/dev/null
}

submit submit_1 sync -connections 1
submit submit_64 sqlite:64 -connections 64
submit submit_batch_100 sqlite:100 -connections 4 -batch 100
commands 16 "$exec_jobs"
commands 64 "$exec_jobs"
nothing
workers
latency http ""
latency exec _exec
latency worker _worker
rest
crowd
core
backlog
