#!/bin/bash
# The scheduler on aarch64: built by the cross compiler into build/aarch64, its own tests run by
# qemu-user, with as much of Check as they need (tests/cross/check.h). What emulation does not
# show is weak ordering: that is the models' part.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=build/aarch64
tests='switch tasks migrate runq chan select mutex semaphore waitgroup group timer event block net stack
    trouble notes notes_ends'

sources() {
    printf '%s\n' base/*.c scheduler/*.c scheduler/switch_aarch64.S
    # shellcheck disable=SC2086  # words are meant
    printf 'tests/unit/test_scheduler_%s.c\n' $tests
}
objects=$(sources | sed "s|\(.*\)\.[cS]$|$build/\1.o|")

# Emulation is slow, and its repetitions show nothing new.
export CFLAGS="-Itests/cross -DSLOWDOWN=50"
# shellcheck disable=SC2086
make -s -j"$(nproc)" ARCH=aarch64 PKG=true CC=aarch64-linux-gnu-gcc VARIANT=aarch64 $objects ||
    { echo "FAIL aarch64_builds"; exit 1; }
echo "ok aarch64_builds"

# one TEST: a line a test. Left out are who counts the threads of the process, as qemu has one of
# its own, and who wants silence of a process that dies, where qemu says a word.
export CROSS_WITHOUT='no_thread_outlives_the_run
    another_fault_ends_the_process_and_is_not_called_an_overflow'
one() {
    local program=$build/tests/unit/test_scheduler_$1
    # shellcheck disable=SC2086
    aarch64-linux-gnu-gcc -static -pthread -o "$program" "$program.o" $parts -lm &&
        timeout 120 qemu-aarch64 "$program" 2>&1
    [ $? -le 1 ] || echo "FAIL $1 did not end by itself"
}
export -f one
parts=$(echo "$objects" | grep -v /tests/)
export build parts
# shellcheck disable=SC2016,SC2086
printf '%s\n' $tests | xargs -P "$(nproc)" -I{} bash -c 'one {} >$build/{}.out'
for t in $tests; do
    sed "s/^\(ok\|FAIL\) /\1 aarch64_${t}_/" "$build/$t.out"
done | tee $build/all.out

# gdb.py on that machine: of a program that runs, through qemu's door, and of the core it leaves.
patient=$PWD/$build/patient
# shellcheck disable=SC2086
make -s ARCH=aarch64 PKG=true CC=aarch64-linux-gnu-gcc VARIANT=aarch64 $build/tests/cross/patient.o &&
    aarch64-linux-gnu-gcc -static -pthread -o "$patient" $build/tests/cross/patient.o $parts -lm
ward=$(mktemp -d)
trap 'rm -rf "$ward"' EXIT

# look NAME ARGS...: what gdb finds there: three sleepers, the stack of each to its end. A register
# that was read from the wrong place makes an argument differ from what the caller gave.
look() {
    local name=$1 said
    shift
    said=$(timeout 60 gdb-multiarch -nx -batch -iex 'set debuginfod enabled off' "$@" \
        -x scheduler/gdb.py -ex 'stint tasks' -ex 'stint bt all' 2>&1)
    if [ "$(grep -c '"sleeper" parked on channel receive' <<<"$said")" = 6 ] &&
        [ "$(grep -c ' in innermost (' <<<"$said")" = 3 ] &&
        [ "$(grep -c ' in lie_down (' <<<"$said")" = 1 ] &&
        [ "$(grep -c ' in switch_entry (' <<<"$said")" = 4 ] &&
        ! grep -q 'Backtrace stopped\|task_leave (t=0x[0-9a-f]*, t@entry=' <<<"$said"; then
        echo "ok $name"
    else
        echo "FAIL $name: $said"
    fi
}
(cd "$ward" && ulimit -c unlimited && timeout 120 qemu-aarch64 "$patient") >/dev/null 2>&1
look aarch64_gdb_walks_the_stacks_of_a_core "$patient" "$ward"/qemu_*.core | tee -a $build/all.out
(ulimit -c 0 && exec timeout 120 qemu-aarch64 -g "$ward/door" "$patient") >/dev/null 2>&1 &
until [ -S "$ward/door" ] || ! kill -0 $!; do sleep 0.02; done
look aarch64_gdb_walks_the_stacks_of_a_living_process "$patient" \
    -ex "target remote $ward/door" -ex continue | tee -a $build/all.out
wait
! grep -q '^FAIL' $build/all.out
