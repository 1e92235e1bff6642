# common.sh - what the end-to-end tests share; sourced first, with the path of swage and the source folder as arguments. Goes to a folder
# of its own, which is removed at the end. A test ends with [ $failures = 0 ].
# SPDX-License-Identifier: Apache-2.0
set -u
swage=$1
source=${2:-}
tools=$(dirname "$swage")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
cd "$work" || exit 1

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
check() { "$@" || fail "$*"; }
expect() { # expect STATUS TEXT ARGUMENTS...: exit status of swage, and the text in stdout or stderr
    status=$1 text=$2
    shift 2
    "$swage" "$@" >out 2>err
    got=$?
    if [ $got != "$status" ] || ! cat out err | grep -qF -- "$text"; then
        fail "swage $*: exit $got, expected $status with: $text"
        cat out err
    fi
}
make() { "$tools/make_h5" "$@" || fail "make_h5 $*"; }
