# shellcheck shell=bash
# What is run, by whom and for how long at most. Needs runner.sh.

lint_suite() {
    local script
    for script in tests/lint/*.sh; do
        step "$script" 300 count_lines "$script" "$1"
    done
}

# The scheduler's protocols, and that leaving out a step of them is found out.
model_suite() {
    step tests/model/run.sh 300 count_lines tests/model/run.sh
}

# The C tests of a build; a source without its program is a failure.
c_suite() {
    local source program
    local -a programs=()
    for source in ${c_sources:-tests/unit/test_*.c tests/fault/test_*.c tests/sim/test_*.c tests/schedule/test_*.c}; do
        [ -e "$source" ] || continue
        program=$1/${source%.c}
        if [ -x "$program" ]; then
            programs+=("$program")
        else
            missing "$program" "not built"
        fi
    done
    steps "${c_limit:-120}" count_check "${programs[@]}"
}

clang_build() {
    step "build with clang" 900 count_status make -s -j"$(nproc)" CC=clang VARIANT=clang OPT=-O1 tests
}

sanitizer_suite() {
    export ASAN_OPTIONS=halt_on_error=1:detect_leaks=1:strict_string_checks=1
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
    c_limit=300
    c_suite "$1"
    unset c_limit ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS
}

sanitizer_suites() {
    local variant
    for variant in asan tsan; do
        step "build with $variant" 900 count_status \
            make -s -j"$(nproc)" VARIANT=$variant OPT=-O1 tests
        # The fault, simulation and schedule tests have one thread, so that TSan could see nothing
        # there, or an mmap of their own, which TSan does not survive.
        [ "$variant" != tsan ] || local c_sources='tests/unit/test_*.c'
        sanitizer_suite build/$variant
    done
}

# The demo is what a newcomer sees: it counts as one, by its exit status.
integration_suite() {
    local script count
    for script in tests/integration/*.sh; do
        [ -e "$script" ] || continue
        count=count_lines
        [ "${script##*/}" != demo.sh ] || count=count_status
        step "$script" 900 $count "$script" "$1"
    done
}

fuzz_build() {
    step "build the fuzzers" 900 count_status make -s -j"$(nproc)" fuzzers
}

# Findings stay below build/; a crash is copied into the corpus by hand, with a unit test.
fuzz_suite() {
    local source name program
    for source in tests/fuzz/fuzz_*.c; do
        [ -e "$source" ] || continue
        name=$(basename "$source" .c)
        program=$1/${source%.c}
        if [ ! -x "$program" ]; then
            missing "$program" "not built"
        elif [ -z "$(ls "tests/fuzz/corpus/${name#fuzz_}" 2>/dev/null)" ]; then
            missing "$program" "no corpus in tests/fuzz/corpus/${name#fuzz_}"
        else
            mkdir -p "$1/found/$name"
            step "$program" $(($2 + 60)) count_status "$program" -max_total_time="$2" \
                -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$1/found/$name-" \
                "$1/found/$name" "tests/fuzz/corpus/${name#fuzz_}"
        fi
    done
}
