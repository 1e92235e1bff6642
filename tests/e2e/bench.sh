#!/bin/sh
# bench.sh - proves: `swage bench` prints a table or one JSON object with the stable keys, writes it into a file, takes in a peer's
# times, says when a peer is absent or fails, and refuses what it does not know. Of a recipe it compares every speed switch, cumulative and alone,
# and batch sizes up to what the plan allows. Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
set -u
swage=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
fail() { echo "$*"; cat "$work/out" "$work/err"; failures=$((failures + 1)); }
# run STATUS ARGUMENTS...
run() {
    status=$1
    shift
    "$swage" bench "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ $got = "$status" ] || fail "swage bench $*: exit $got, expected $status"
}
holds() { grep -qE -- "$1" "$work/$2" || fail "$2 does not hold: $1"; }
cd "$source" || exit 1

run 0 --list
holds '^matmul-4096x125x512$' out
holds '^memory-mlp-b65536$' out
run 2 nothing-of-the-kind
holds 'no row is called "nothing-of-the-kind"' err
run 2 --against abacus
holds 'no such peer; there is pytorch' err

run 0 mlp-b16 --quick --threads 1 --output "$work/r.json"
holds '^1 thread .*scalar [0-9.]+' out
holds '^mlp-b16 +1 +[0-9.]+ us' out
for key in schema machine peaks peers rows workload dtype threads median_ns gops fraction_of_floor peer peer_median_ns; do
    grep -q "\"$key\":" "$work/r.json" || fail "r.json has no $key"
done
run 1 mlp-b16 --quick --threads 1 --output "$work/none/r.json"

# A peer that answers, one that does not, and none at all.
printf '#!/bin/sh\necho '\''{"peer":"pytorch","version":"9.9","options":{"cpu_capability":"ABACUS"},"rows":[
{"workload":"mlp-b16","threads":1,"variant":"slow","median_ns":2000000000.0,"min_ns":1},
{"workload":"mlp-b16","threads":1,"variant":"eager","median_ns":1000000000.0,"min_ns":1}]}'\''\n' >"$work/peer"
printf '#!/bin/sh\necho no module named torch >&2\nexit 1\n' >"$work/broken"
chmod +x "$work/peer" "$work/broken"
SWAGE_PEER_PYTHON="$work/peer" run 0 mlp-b16 --quick --threads 1 --against pytorch
holds 'PyTorch 1.00 s, x [0-9.]+' out
holds '^PyTorch: 9.9; .*ABACUS' out
SWAGE_PEER_PYTHON="$work/broken" run 0 mlp-b16 --quick --threads 1 --against pytorch
holds '^PyTorch: failed' out
SWAGE_PEER_PYTHON="$work/no-such-file" run 0 mlp-b16 --quick --threads 1 --against pytorch
holds '^PyTorch: absent' out

# Switches of a recipe, and batch sizes.
json=$(dirname "$swage")/json
run 0 swae/mlp --compare-opts --quick --threads 1 model.hidden=[32] data.batch_size=64 -o "$work/c.json"
holds 'synthetic data' out
holds '^\+ fusion +[0-9]+ +[0-9]+ us' out
[ "$("$json" "$work/c.json" kind rows.0.name rows.2.name rows.2.batch | tr '\n' ' ')" = 'compare-opts baseline + fusion 64 ' ] || fail "c.json is another comparison"
"$json" "$work/c.json" rows.1.training.samples_per_s rows.1.training.gain rows.1.inference.peak_bytes_measured rows.1.loss_difference \
    machine.cpu >"$work/out" || fail "c.json lacks keys"
for i in 0 1 2 3 4; do
    [ "$("$json" "$work/c.json" rows.$i.losses)" = 10 ] || fail "row $i has no ten losses"
    grep -q "performance.fusion=" "$work/c.json" || fail "no settings in c.json"
done
run 0 swae/mlp --each --quick --threads 1 model.hidden=[32] --json data.path=samples/bssn data.batch_size=64
cp "$work/out" "$work/e.json"
[ "$("$json" "$work/e.json" kind data rows.1.name | tr '\n' ' ')" = 'each recipe channels-last ' ] || fail "e.json is another comparison"
run 0 swae/mlp --batch-sizes 1,64,16000000 --quick --threads 1 model.hidden=[32] -o "$work/b.json"
holds '^batch 64 +[0-9.]+ us' out
holds '^batch 16000000 not run: planned' out
holds 'smallest batch within 5 % of the best training throughput: 64' out
[ "$("$json" "$work/b.json" best_batch rows | tr '\n' ' ')" = '64 3 ' ] || fail "b.json names another batch"
run 2 swae/mlp --batch-sizes 1,,2
holds 'expected numbers from 1' err
run 2 swae/mlp --batch-sizes 1 --each
run 2 swae/mlp --each no.such.key=1
run 2 swae/nothing --compare-opts
run 2 mlp-b16 trainer.seed=1
holds 'settings go with a recipe' err
[ $failures = 0 ]
