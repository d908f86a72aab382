#!/bin/bash
# What the documents say, tried; and stint-scheduler(7): its example builds and runs as printed, and it names every function that the
# headers of the family have.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:?usage: manual.sh BUILD-DIR}
page=man/stint-scheduler.7
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

claim() {
    if [ "$2" = 0 ]; then echo "ok $1"; else echo "FAIL $1"; status=1; fi
}

# The first display of the section, as a reader sees it.
sed -n '/^\.Sh EXAMPLE/,$p' $page | sed -n '/^\.Bd/,/^\.Ed/p' | sed '/^\.Ed/q' |
    sed '/^\.[BE]d/d; s/\\e/\\/g' >"$scratch/lines.c"
gcc -Wall -Wextra -Werror -I. -D_GNU_SOURCE -pthread "$scratch/lines.c" "$build/libstint.a" \
    -o "$scratch/lines"
claim the_example_of_the_manual_builds $?

printf 'a\nb\n' >"$scratch/two"
printf 'c\n' >"$scratch/one"
[ "$(timeout 20 "$scratch/lines" "$scratch/two" "$scratch/one" "$scratch/two")" = "5 lines" ]
claim the_example_of_the_manual_counts $?
timeout 20 "$scratch/lines" "$scratch/two" "$scratch/none" 2>&1 >/dev/null |
    grep -q "No such file or directory"
claim the_example_of_the_manual_tells_what_failed $?

for header in scheduler group task event net block chan mutex semaphore waitgroup timer observe; do
    grep -oE '\b(scheduler|group|task|event|net|block|chan|mutex|cond|semaphore|waitgroup|timer)_[a-z_0-9]+\(' \
        "scheduler/$header.h" | tr -d '('
done | sort -u | while read -r name; do
    grep -qE "^\.(It |Po )?.*F[no] $name\b" $page || echo "$page does not name $name"
done >"$scratch/missing"
cat "$scratch/missing"
[ ! -s "$scratch/missing" ]
claim the_manual_names_every_function_of_the_scheduler $?
python3 -B tests/integration/manual.py "$build" || status=1
exit $status
