#!/bin/sh
# Thread-local data and errno around a switch, as gcc and clang compile them for x86-64 and
# aarch64: tests/cross/probe.c says what is asked.
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/lint.sh
status=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

flags='-std=gnu11 -O2 -fno-omit-frame-pointer -fPIE -I. -D_GNU_SOURCE'
compilers='gcc
clang
aarch64-linux-gnu-gcc
clang --target=aarch64-linux-gnu -isystem /usr/aarch64-linux-gnu/include'

# fetches FUNCTION NAME FILE: in how many places of FUNCTION that is called or read.
fetches() {
    awk -v start="^$1:" '$0 ~ start { on = 1 } /\.cfi_endproc/ { on = 0 } on' "$3" |
        grep -cE "^[[:space:]]+(callq?|jmpq?|bl?|mrs)[[:space:]].*$2" || :
}

# expect FUNCTION NAME LEAST MOST: a line when the count of places is another.
expect() {
    got=$(fetches "$1" "$2" "$scratch/probe.s")
    if [ "$got" -lt "$3" ] || [ "$got" -gt "$4" ]; then
        echo "$compiler: $1 fetches $2 in $got places"
    fi
}

trapped=
for n in 1 2 3 4; do
    compiler=$(echo "$compilers" | sed -n "${n}p")
    # shellcheck disable=SC2086  # words are meant
    $compiler $flags -S -o "$scratch/probe.s" tests/cross/probe.c || exit 1
    {
        expect self_around thread_self 2 2
        expect errno_around errno_now 2 9
        expect self_around tpidr_el0 0 0
        expect errno_around tpidr_el0 0 0
        expect errno_around __errno_location 0 0
    } | verdict "what stands for the thread is fetched anew: ${compiler%% -isystem*}" || status=1
    [ "$(fetches trap_errno __errno_location "$scratch/probe.s")" != 1 ] || trapped="$trapped errno"
    [ "$(fetches trap_variable tpidr_el0 "$scratch/probe.s")" != 1 ] || trapped="$trapped variable"

done
for trap in errno variable; do
    case $trapped in *$trap*) ;; *) echo "no compiler falls into trap_$trap any more" ;; esac
done | verdict "the probe would see a thread's data kept over a switch" || status=1

# Behind functions of a file of its own no compiler sees what it is.
grep -nE '^[^*]*\b(__thread|_Thread_local|thread_local)\b' scheduler/*.[ch] | grep -v '^scheduler/current.c:' |
    verdict "one file of the scheduler has thread-local data" || status=1

exit "$status"
