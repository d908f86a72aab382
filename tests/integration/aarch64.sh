#!/bin/bash
# The scheduler on aarch64: built by the cross compiler into build/aarch64, its own tests run by
# qemu-user, with as much of Check as they need (tests/cross/check.h). What emulation does not
# show is weak ordering: that is the models' part.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=build/aarch64
tests='switch tasks runq chan select mutex semaphore waitgroup group timer event block net stack
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
! grep -q '^FAIL' $build/all.out
