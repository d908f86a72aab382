# shellcheck shell=sh
# What the lints share. A lint prints one line "ok NAME" or "FAIL NAME" for each rule, after a
# FAIL what breaks it, and its exit status says whether all were ok.

rooms="base scheduler storage jobs api daemon cli"

# sources SUFFIX... lists the files of all rooms and tests with one of these endings.
sources() {
    lint_names=
    for lint_suffix in "$@"; do
        lint_names="$lint_names ${lint_names:+-o} -name *.$lint_suffix"
    done
    set -f
    # shellcheck disable=SC2086  # words are meant
    find $rooms tests -type f \( $lint_names \) | LC_ALL=C sort
    set +f
}

# verdict NAME: reads what breaks the rule; nothing read is ok. Fails when it was broken.
verdict() {
    lint_broken=$(cat)
    if [ -z "$lint_broken" ]; then
        echo "ok $1"
    else
        printf 'FAIL %s\n%s\n' "$1" "$lint_broken"
        return 1
    fi
}
