#!/bin/bash
# Runs the tests of a build and counts them; the last line is "N passed, N failed".
#
#   run.sh check BUILD-DIR          everything there is, as the build machine does
#   run.sh lint BUILD-DIR           tests/lint alone
#   run.sh c BUILD-DIR              the C tests alone
#   run.sh integration BUILD-DIR    the real daemon alone
#   run.sh san BUILD-DIR            the C tests of a build made with a sanitizer
#   run.sh fuzz BUILD-DIR SECONDS   every parser, from its corpus on
#   run.sh soak BUILD-DIR           C tests and integration with STINT_SOAK=1: long and many
#
# ONLY=pattern in the environment keeps the steps whose name contains the pattern.
set -u
cd "$(dirname "$0")/.." || exit 2
# shellcheck source=tests/lib/runner.sh
. tests/lib/runner.sh
# shellcheck source=tests/lib/suites.sh
. tests/lib/suites.sh

mode=${1:-} build=${2:-}
if [ -z "$mode" ] || [ -z "$build" ]; then
    sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi

case $mode in
check)
    lint_suite "$build"
    model_suite
    c_suite "$build"
    clang_build
    sanitizer_suites
    integration_suite "$build"
    fuzz_build
    fuzz_suite build/fuzz 10
    ;;
lint) lint_suite "$build" ;;
c) c_suite "$build" ;;
integration) integration_suite "$build" ;;
san) sanitizer_suite "$build" ;;
fuzz) fuzz_suite "$build" "${3:-60}" ;;
soak)
    export STINT_SOAK=1
    time_factor=60
    c_suite "$build"
    integration_suite "$build"
    ;;
*)
    echo "run.sh: no mode $mode" >&2
    exit 2
    ;;
esac
summary
