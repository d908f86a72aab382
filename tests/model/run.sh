#!/bin/bash
# Verifies the scheduler's protocols with Spin: each model as it is must be free of errors, and
# each of its mutants, which leaves out one thing that the code does, must be found out.
set -u
cd "$(dirname "$0")" || exit 2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# errors OPT MODEL FLAGS...: prints how many errors the search found; nothing if it broke down.
errors() {
    local opt=$1 model=$2 dir
    shift 2
    dir=$(mktemp -d -p "$scratch")
    cp "$model" "$dir/model.pml"
    cd "$dir" || return
    spin -a "$@" model.pml >spin.out 2>&1 &&
        gcc "$opt" -w -DSAFETY -DCOLLAPSE -o pan pan.c >gcc.out 2>&1 &&
        timeout 60 ./pan -m200000 >pan.out 2>&1 || return
    # A search that was cut short has shown nothing.
    grep -q 'max search depth too small' pan.out ||
        sed -n 's/^State-vector.*errors: \([0-9]*\)$/\1/p' pan.out
}

# holds NAME MODEL FLAGS...: no error. breaks NAME MODEL FLAGS...: at least one.
holds() {
    local name=$1
    shift
    if [ "$(errors -O1 "$@")" = 0 ]; then echo "ok $name"; else echo "FAIL $name"; fi
}
breaks() {
    local name=$1
    shift
    if [ "$(errors -O0 "$@")" = 1 ]; then echo "ok $name"; else echo "FAIL $name"; fi
}

# One line a search: what must come of it, and what to search.
searches() {
    echo "holds wait_ends_once_with_a_canceller wait.pml -DWITH_CANCEL"
    echo "holds wait_ends_once_with_a_deadline wait.pml -DWITH_DEADLINE"
    echo "holds wait_ends_once_with_both wait.pml -DWITH_DEADLINE -DWITH_CANCEL -DGIVES=1"
    for mutant in BLIND_CLAIM BLIND_EPOCH BLIND_FINISH PLAIN_FINISH BLIND_COMMIT STAYS_QUEUED \
        LATE_TOUCH; do
        echo "breaks wait_$mutant wait.pml -DWITH_DEADLINE -DWITH_CANCEL -DGIVES=1 -D$mutant"
    done
    for mutant in CANCEL_UNSEEN CANCEL_SOONER; do
        echo "breaks wait_$mutant wait.pml -DWITH_CANCEL -DGIVES=1 -D$mutant"
    done

    echo "holds poller_role_is_never_vacant poller.pml"
    for mutant in SILENT_LEAVE SILENT_RETREAT KEEPS_ROLE TOKEN_LATE FREE_LATE; do
        echo "breaks poller_$mutant poller.pml -D$mutant"
    done

    echo "holds take_leaves_one_user_of_a_processor take.pml"
    for mutant in NO_BARRIER NO_LOOK NO_TASK LOOK_FIRST NO_HOLDER BLIND_TAKE BLIND_KEEP UNASKED \
        DIRECT_UNASKED END_UNASKED LATE_CLEAR; do
        echo "breaks take_$mutant take.pml -D$mutant"
    done

    echo "holds idle_two_spawners idle.pml -DTHIEVES=2 -DBUSY=2"
    echo "holds idle_one_spawner idle.pml -DTHIEVES=2 -DBUSY=1 -DPER=2"
    echo "holds idle_from_outside idle.pml -DTHIEVES=2 -DBUSY=0 -DOUTSIDE=2"
    echo "holds idle_from_both_sides idle.pml -DTHIEVES=2 -DBUSY=1 -DOUTSIDE=1"
    echo "holds idle_yields_beside_the_global_queue idle.pml -DTHIEVES=2 -DBUSY=1 -DYIELDS=1 -DOUTSIDE=1"
    echo "holds idle_yields_beside_a_timer idle.pml -DTHIEVES=2 -DBUSY=1 -DYIELDS=1 -DTIMER"
    echo "breaks idle_SILENT_TIMER idle.pml -DTHIEVES=2 -DBUSY=1 -DYIELDS=1 -DTIMER -DSILENT_TIMER"
    for mutant in NO_FENCE NO_RESCAN RESCAN_FIRST IDLE_LAST COUNTED_ONLY NO_SUCCESSOR; do
        echo "breaks idle_$mutant idle.pml -DTHIEVES=2 -DBUSY=1 -DPER=2 -D$mutant"
    done
    echo "breaks idle_UNCOUNTED_RETURN idle.pml -DTHIEVES=2 -DBUSY=1 -DOUTSIDE=1 -DUNCOUNTED_RETURN"
    echo "breaks idle_SILENT_THEFT idle.pml -DCOARSE -DTHIEVES=3 -DBUSY=1 -DPER=3 -DSILENT_THEFT"
    echo "breaks idle_SILENT_BATCH idle.pml -DTHIEVES=2 -DBUSY=0 -DOUTSIDE=2 -DSILENT_BATCH"
}

export -f holds breaks errors
export scratch
searches | xargs -P "$(nproc)" -I{} bash -c '{}' | sort >"$scratch/results"
cat "$scratch/results"
! grep -q '^FAIL' "$scratch/results"
