#!/bin/bash
# What a switch keeps, as clang at -O2 makes it: it holds on to the address of errno where gcc does
# not. Built into build/clang-O2, with as much of Check as it needs (tests/cross/check.h).
set -u
cd "$(dirname "$0")/../.." || exit 2
build=build/clang-O2
tests='switch tasks migrate'

parts=$(printf '%s\n' base/*.c scheduler/*.c scheduler/switch_"$(uname -m)".S |
    sed "s|\(.*\)\.[cS]$|$build/\1.o|")
# shellcheck disable=SC2086  # words are meant
programs=$(printf "$build/tests/unit/test_scheduler_%s\n" $tests)
export CFLAGS="-Itests/cross -DSLOWDOWN=10"
# shellcheck disable=SC2086,SC2046
make -s -j"$(nproc)" PKG=true CC=clang VARIANT=clang-O2 OPT=-O2 $parts $(printf '%s.o ' $programs) >/dev/null ||
    { echo "FAIL clang_builds"; exit 1; }

for program in $programs; do
    # shellcheck disable=SC2086
    clang -pie -pthread -o "$program" "$program.o" $parts -lm && timeout 120 "$program" 2>&1
    [ $? -le 1 ] || echo "FAIL ${program##*_} did not end by itself"
done | sed "s/^\(ok\|FAIL\) /\1 clang_/" | tee $build/all.out
! grep -q '^FAIL' $build/all.out
