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
holds 'abacus: no such peer; there are pytorch' err

run 0 mlp-b16 --quick --threads 1 --output "$work/r.json"
holds '^1 thread .*scalar [0-9.]+' out
holds '^mlp-b16 +1 +[0-9.]+ us' out
for key in schema machine peaks peers rows workload dtype threads median_ns gops fraction_of_floor peer peer_median_ns; do
    grep -q "\"$key\":" "$work/r.json" || fail "r.json has no $key"
done
run 1 mlp-b16 --quick --threads 1 --output "$work/none/r.json"

# Peers that answer, one that ends in the middle, one that does not start, and none at all.
cat >"$work/peer" <<'PEER'
#!/bin/sh
case "$*" in *onnxruntime*) exit 1 ;; esac
echo '{"peer":"pytorch","version":"9.9","options":"ABACUS"}'
while read -r work dtype; do
    case $work in
    mlp-b1) exit 0 ;;
    mlp-b16) echo '{"rows":[{"variant":"slow","median_ns":2000000000.0,"min_ns":1,"form":""},{"variant":"eager","median_ns":1000000000.0,"min_ns":1},
{"variant":"other","form":"abc","error":"no fingers left"},{"variant":"broken","error":"beads"}]}' | tr -d '\n'; echo ;;
    *) echo '{"rows":[]}' ;;
    esac
done
PEER
chmod +x "$work/peer"
export SWAGE_PEER_PYTHON="$work/peer"
run 0 mlp-b16 mlp1-b16 --quick --threads 1 --against pytorch -o "$work/p.json"
holds '^mlp-b16 .*PyTorch 1.00 s, x [0-9.]+  PyTorch abc: no fingers left' out
holds '^PyTorch: 9.9; .*ABACUS' out
holds '^ONNX Runtime: not asked' out
grep -q '"failure":.*beads' "$work/p.json" || fail "a peer's failure is not in the JSON"
run 0 --report "$work/p.json" --markdown
holds '^\| row \| threads \| median \| .*PyTorch' out
holds '^\| `mlp-b16` \| 1 \| [0-9.]+ us, [0-9.]+ of floor.* \| 1.00 s, x [0-9.]+ \| no fingers left \|$' out
run 0 --report "$work/p.json" "$work/r.json" -o "$work/r.html"
holds '^mlp-b16 +1 +.* us, x [0-9.]+' out
grep -q 'share of the floor' "$work/r.html" || fail "the page has no bars"
printf '{"schema":1}' >"$work/no.json"
run 1 --report "$work/no.json"
holds 'not a JSON object of' err
run 2 --report
run 2 --markdown
run 0 mlp-b1 mlp-b16 --quick --threads 1 --against pytorch,ort
holds '^PyTorch: 9.9; ended at mlp-b1;' out
holds '^ONNX Runtime: failed; .*did not start' out
SWAGE_PEER_PYTHON="$work/no-such-file" run 0 mlp-b16 --quick --threads 1 --against all
holds '^PyTorch compiled: absent' out
holds '^ONNX Runtime: absent' out
unset SWAGE_PEER_PYTHON

# Switches of a recipe, and batch sizes.
json=$(dirname "$swage")/json
run 0 swae/mlp --compare-opts --quick --threads 1 model.hidden=[32] data.batch_size=64 -o "$work/c.json"
holds 'synthetic data' out
holds '^\+ fusion +[0-9]+ +[0-9]+ us' out
[ "$("$json" "$work/c.json" kind rows.0.name rows.0.batch | tr '\n' ' ')" = 'compare-opts baseline 64 ' ] || fail "c.json is another comparison"
"$json" "$work/c.json" rows.0.training.samples_per_s rows.0.training.gain rows.0.inference.peak_bytes_measured rows.0.loss_difference \
    machine.cpu >"$work/out" || fail "c.json lacks keys"
rows=$("$json" "$work/c.json" rows)
[ "$rows" -ge 5 ] || fail "only $rows rows"
i=0
while [ $i -lt "$rows" ]; do # a switch that this build or machine does not have says so
    name=$("$json" "$work/c.json" rows.$i.name)
    if "$json" "$work/c.json" rows.$i.failure 2>/dev/null | grep -q '^absent: '; then
        case $name in *fusion* | *fused* | *channels* | *loader*) fail "$name is absent" ;; esac
    else
        [ "$("$json" "$work/c.json" rows.$i.losses)" = 10 ] || fail "row $name has no ten losses"
        "$json" "$work/c.json" rows.$i.settings | grep -q 'performance.fusion=' || fail "row $name has no settings"
    fi
    i=$((i + 1))
done
run 0 swae/mlp --each --quick --threads 1 model.hidden=[32] --json data.path=samples/bssn data.batch_size=64
cp "$work/out" "$work/e.json"
[ "$("$json" "$work/e.json" kind data rows.2.name | tr '\n' ' ')" = 'each recipe channels-last ' ] || fail "e.json is another comparison"
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
