# shellcheck shell=bash
# One step is one program: it is run below a time limit, its output is kept back unless it
# fails, and what it says about its own tests is counted.

# The jobs of an outer make are not ours to share.
unset MAKEFLAGS MFLAGS MAKELEVEL

passed=0 failed=0 shaky=0 time_factor=1
scratch=$(mktemp -d)

# timeout(1) has a process group of its own: it must be told when we are interrupted.
child=
trap '[ -z "$child" ] || kill "$child"; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

# Check's own limit of 4 s is too near on a busy machine; ours (below) ends a hung program.
export CK_DEFAULT_TIMEOUT=60 CK_VERBOSITY=normal

# count_check OUT: adds up the lines "100%: Checks: 9, Failures: 0, Errors: 0".
count_check() {
    awk '/^[0-9]+%: Checks: / { gsub(/[^0-9 ]/, ""); ok += $2 - $3 - $4; bad += $3 + $4 }
         END { print ok + 0, bad + 0 }' "$1"
}

# count_lines OUT: adds up the lines "ok NAME" and "FAIL NAME".
count_lines() {
    awk '/^ok / { ok++ } /^FAIL / { bad++ } END { print ok + 0, bad + 0 }' "$1"
}

# count_status OUT: a program that says nothing of its own: the exit status alone counts.
count_status() {
    echo "1 0"
}

# wanted NAME: whether ONLY, a part of a name, lets it through.
wanted() {
    [[ -z ${ONLY:-} || $1 == *"$ONLY"* ]]
}

# attempt OUT LIMIT COMMAND...: leaves the output in OUT, exit status and duration in OUT.end.
attempt() {
    local out=$1 limit=$2 start rc
    shift 2
    start=$(date +%s%N)
    timeout --foreground -k 10 "$limit" "$@" >"$out" 2>&1 </dev/null
    rc=$?
    echo "$rc $((($(date +%s%N) - start) / 10000000))" >"$out.end"
}

# guarded COMMAND...: in a process group of its own, which ends with us.
guarded() {
    timeout 7200 "$@" &
    child=$!
    wait "$child"
    child=
}

# judge COUNT OUT: sets rc, took, ok, bad.
# A program that fails without a failure counted, or succeeds without a test counted, is one
# failure: a crash must not hide behind its own silence.
judge() {
    local count=$1 out=$2
    read -r rc took <"$out.end"
    read -r ok bad <<<"$("$count" "$out")"
    if [ "$rc" -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1
        [ "$count" != count_status ] || ok=0
    elif [ "$rc" -eq 0 ] && [ "$((ok + bad))" -eq 0 ]; then
        echo "no result line" >>"$out"
        bad=1
    fi
}
export -f attempt

# tell WORD NAME NUMBER [WHY]
tell() {
    printf '%s %-52s %4d %4d.%02d s%s\n' "$1" "$2" "$3" $((took / 100)) $((took % 100)) "${4:-}"
}

# finish NAME SECONDS COUNT OUT COMMAND...: judges a first attempt.
# What fails is run once more: a shared machine that stands still for a second breaks a test of
# time, and nothing else. What passes only then is told as shaky, with the output of its failure.
finish() {
    local name=$1 limit=$2 count=$3 out=$4 rc took ok bad why
    shift 4
    judge "$count" "$out"
    if [ "$bad" -ne 0 ]; then
        why="  exit status $rc$([ "$rc" -ne 124 ] || echo ", over $limit s"); once more"
        tell "...." "$name" "$bad" "$why"
        sed 's/^/    | /' "$out"
        guarded bash -c 'attempt "$@"' _ "$out" "$limit" "$@"
        judge "$count" "$out"
        [ "$bad" -ne 0 ] || shaky=$((shaky + 1))
    fi
    passed=$((passed + ok)) failed=$((failed + bad))
    if [ "$bad" -eq 0 ]; then
        tell "ok  " "$name" "$ok"
        return 0
    fi
    tell "FAIL" "$name" "$bad" "  exit status $rc$([ "$rc" -ne 124 ] || echo ", over $limit s")"
    sed 's/^/    /' "$out"
}

# step NAME SECONDS COUNT COMMAND...
step() {
    local name=$1 limit=$(($2 * time_factor)) count=$3
    shift 3
    wanted "$name" || return 0
    guarded bash -c 'attempt "$@"' _ "$scratch/out" "$limit" "$@"
    finish "$name" "$limit" "$count" "$scratch/out" "$@"
}

# steps SECONDS COUNT PROGRAM...: a step each, as many at once as there are cores; they wait more
# than they compute. What fails is run once more alone.
steps() {
    local limit=$(($1 * time_factor)) count=$2 program
    local -a programs=()
    shift 2
    for program in "$@"; do
        ! wanted "$program" || programs+=("$program")
    done
    [ ${#programs[@]} -gt 0 ] || return 0
    export scratch limit
    printf '%s\n' "${programs[@]}" >"$scratch/programs"
    # shellcheck disable=SC2016 # for the shell below
    guarded xargs -a "$scratch/programs" -P "$(nproc)" -I{} \
        bash -c 'attempt "$scratch/${1//\//_}" "$limit" "$1"' _ {}
    for program in "${programs[@]}"; do
        finish "$program" "$limit" "$count" "$scratch/${program//\//_}" "$program"
    done
}

# missing NAME WHY: what should be there and is not counts as failed, never as skipped.
missing() {
    wanted "$1" || return 0
    failed=$((failed + 1))
    printf 'FAIL %s: %s\n' "$1" "$2"
}

summary() {
    [ "$shaky" -eq 0 ] || echo "$shaky steps passed only at the second try"
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}
