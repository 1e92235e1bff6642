#!/bin/sh
# costs.sh - proves: `swage costs` prints the published and the corrected table of a network and what this machine measures, as text, JSON and
# page, and refuses what it does not know. Arguments: path of swage.
# SPDX-License-Identifier: Apache-2.0
set -u
swage=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
fail() { echo "$*"; cat "$work/out" "$work/err"; failures=$((failures + 1)); }
run() {
    status=$1
    shift
    "$swage" costs "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ $got = "$status" ] || fail "swage costs $*: exit $got, expected $status"
}
holds() { grep -qE -- "$1" "$work/$2" || fail "$2 does not hold: $1"; }

run 0 swae/mlp-deep --precision fp8 --no-measure
holds '796672 FLOP per block .* 500 bytes become 20' out
holds 'Ethernet 1 Gbit +0\.125 +32\.0000 +4\.0000 +1\.0275 ' out
holds 'it has no fp8 unit' out
holds '^encoder/fc1 +linear +512 +64512 +128000 +128000 +128000$' out
run 0 swae/mlp-deep --latent-bytes 16 --launch 0 --no-measure
holds 'InfiniBand 200 Gbit +25 +0\.1600 +0\.0200 ' out
run 0 swae/mlp-deep -b 256 --report "$work/costs.html"
holds 'this machine: encode [0-9.]+, decode [0-9.]+ us per block' out
holds 'encoding pays below \(GB/s\) published [0-9.]+, corrected [0-9.]+, this machine [0-9.]+' out
grep -q 'break-even' "$work/costs.html" || fail "the page has no chart"
grep -q '<td>796672' "$work/costs.html" || grep -q '>796672<' "$work/costs.html" || fail "the page has no table of layers"
run 0 swae/mlp-deep -b 256 --json
holds '"encode_us":' out
holds '"macs_by_output":' out
holds '"link":.*"Ethernet 1 Gbit"' out
run 2 swae/mlp-deep --precision f16
holds 'there are f32, int8 and fp8' err
run 2 swae/mlp-deep --launch never
run 2
[ $failures = 0 ]
