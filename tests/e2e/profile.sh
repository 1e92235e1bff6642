#!/bin/sh
# profile.sh - proves: `swage profile` prints tables or one JSON object, writes a trace that is JSON with spans, counter and named tracks
# and a page with the memory timeline, says whether data were real, and refuses what it does not know.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
set -u
swage=$1
source=$2
json=$(dirname "$swage")/json
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
fail() { echo "$*"; cat "$work/out" "$work/err"; failures=$((failures + 1)); }
# run STATUS ARGUMENTS...
run() {
    status=$1
    shift
    "$swage" profile "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ $got = "$status" ] || fail "swage profile $*: exit $got, expected $status"
}
holds() { grep -qE -- "$1" "$2" || fail "$2 does not hold: $1"; }
cd "$work" || exit 1

run 0 swae/mlp --steps 2 --top 4 -o a/b
holds '\.\.\. and [0-9]+ more' out
run 0 swae/mlp --steps 3 --top 99 -o a/b
holds 'training step, batch 256, synthetic data \(data.path is not set\)' out
holds 'Gop/s: scalar' out
holds '^work: [0-9.]+ GFLOP a step, [0-9.]+ GFLOP/s' out
holds '^memory: planned [0-9.]+ MiB, measured [0-9.]+ MiB' out
holds '(flop|steps) +linear \+bias +forward' out
holds 'a/b/trace.json: open it in' out
[ "$("$json" a/b/trace.json traceEvents)" -gt 50 ] || fail "few events in the trace"
[ "$("$json" a/b/trace.json traceEvents.0.ph)" = M ] || fail "the trace does not begin with names"
"$json" a/b/trace.json otherData.machine.cpu otherData.recipe >out || fail "the trace has no machine"
for what in '"ph":"X"' '"ph":"C"' '"scope":"encoder/fc2"' '"percent_of_floor":' '"gflop_per_s":' '"name":"worker 0 \(caller\)"'; do
    holds "$what" a/b/trace.json
done
holds '<svg' a/b/report.html
holds 'live bytes of the arena' a/b/report.html

run 0 swae/mlp --infer --steps 2 --json data.path="$source/samples/bssn" data.batch_size=64 data.workers=2 --threads 1
cp out r.json
[ "$("$json" r.json kind data batch threads recorded_steps | tr '\n' ' ')" = 'infer recipe 64 1 2 ' ] || fail "r.json is of another run"
"$json" r.json median_ns samples_per_s flop data_wait_ns planned_bytes measured_bytes steps.0.op by_op.0.share by_scope.0.x_floor >/dev/null || fail "r.json lacks keys"
[ -s profile/trace.json ] || fail "no trace in the default folder"

run 2 swae/mlpp
run 2 swae/mlp --steps 0
run 2 swae/mlp no.such.key=1
run 2
run 1 swae/mlp --steps 1 data.path=nowhere
run 1 swae/mlp --steps 1 -o /proc/nowhere
run 2 swae/mlp data.path="$source/samples/bssn" data.batch_size=1000000
holds 'choose a smaller one' err
[ $failures = 0 ]
