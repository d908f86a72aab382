#!/bin/sh
# What systemd thinks of the units: they are well formed, and the service is shut off from what
# it does not need. $1 is the build whose stintd the service would start.
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/lint.sh
status=0

exposure_max=30 # tenths, of systemd-analyze security
build=$(realpath -m "${1:-build/release}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cp systemd/*.service systemd/*.socket "$scratch"
# A program that is not installed yet is no fault of the unit; one that is not built is.
sed -i "s|@BINDIR@|$build|" "$scratch"/*.service
chmod 644 "$scratch"/*

systemd-analyze verify --man=no --recursive-errors=yes "$scratch"/*.service "$scratch"/*.socket \
    >"$scratch/out" 2>&1 || echo "exit status $?" >>"$scratch/out"
verdict "systemd-analyze verifies the units" <"$scratch/out" || status=1

for unit in "$scratch"/*.service; do
    systemd-analyze security --offline=yes --no-pager --threshold="$exposure_max" "$unit" \
        >"$scratch/out" 2>&1 && : >"$scratch/out"
    verdict "${unit##*/} is exposed less than $exposure_max/100" <"$scratch/out" || status=1
done

exit "$status"
