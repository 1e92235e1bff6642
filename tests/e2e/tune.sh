#!/bin/sh
# tune.sh - proves: `swage tune` fills a cache that max-autotune then uses without measuring, lists and clears it; a cache that is damaged, or cannot
# be written, is a warning; Ctrl-C keeps what is done; --explain and the table of switches say what is in effect.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
set -u
swage=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
cd "$work" || exit 1
export SWAGE_CACHE_DIR="$work/cache"

fail() {
    echo "$*"
    cat out err
    failures=$((failures + 1))
}
# run STATUS ARGUMENTS...
run() {
    status=$1
    shift
    "$swage" "$@" >out 2>err
    got=$?
    [ $got = "$status" ] || fail "swage $*: exit $got, expected $status"
}
# holds PATTERN FILE
holds() { grep -qE -- "$1" "$2" || fail "$2 does not hold: $1"; }
small="model.hidden=[24] loss.directions=8"

run 0 tune swae/mlp -b 48 $small
holds '^step +heuristic us +best us +gain +choice' out
holds '^linear \(48,125\)' out
holds "choices in $work/cache/tune.txt" out
run 0 tune swae/mlp -b 48 $small --json
holds '"known":	true' out
grep -q '"known":	false' out && fail "something was measured twice"
run 0 tune --list
holds '^linear \(48,125\)' out
lines=$(wc -l <cache/tune.txt)

# A run finds it all; the table and --explain say so.
run 0 train swae/mlp $small data.path="$source/samples/bssn" run.dir=runs run.name=a trainer.max_steps=2 trainer.epochs=1 performance=max --explain \
    performance.tune_seconds=1e-6
holds '^key +requested +effective +why' err
holds '^performance.mode +max-autotune +max-autotune' err
holds '^performance.fused_optimizer +true +true' err
holds '^fuse: linear \+ bias' err
holds '^placement: ' err
holds '^tune: ' err
run 0 plan swae/mlp $small --explain
holds '^fold: ' out
run 0 plan swae/mlp $small --explain --json
holds '^fold: ' err
run 0 bench mlp-b16 --quick --threads 1 --explain
holds '^fuse: linear' err

# Damaged, foreign, unwritable.
sed -i '3s/./x/' cache/tune.txt
run 0 tune --list
holds 'warning: .*1 damaged lines are left out' err
run 0 tune swae/mlp -b 48 $small
[ "$(wc -l <cache/tune.txt)" = "$lines" ] || fail "the damaged line was not measured again"
echo nonsense >cache/tune.txt
run 0 tune --list
holds 'warning: .*fresh one' err
SWAGE_CACHE_DIR=/dev/null/none run 0 tune swae/mlp -b 48 $small
holds 'warning: .*not kept' err

# Ctrl-C: 130, and the file is whole.
"$swage" tune swae/mlp-deep -b 2048 performance.tune_seconds=60 >out 2>err &
child=$!
sleep 1
kill -INT $child
wait $child
[ $? = 130 ] || fail "interrupted: exit status is not 130"
run 0 tune --list
run 0 tune --clear
[ ! -e cache/tune.txt ] || fail "--clear left the file"
run 0 tune --list
holds '^0 choices' out
[ $failures = 0 ]
